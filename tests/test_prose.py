"""Numbers and sentences of the pages."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from plateaus_utils.book import prose


def estimate(value, low, high, unit="", **coords):
    parts = dict(zip(("value", "low", "high"), (value, low, high), strict=True))
    if coords:
        ((dim, labels),) = coords.items()
        parts = {name: (dim, values) for name, values in parts.items()}
    return xr.Dataset({**parts, "n": 120, "n_documents": 36}, coords=coords, attrs={"unit": unit})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (estimate(0.5, 0.25, 0.75), "0.50 [0.25, 0.75]"),
        (estimate(42.61, 39.8, 45.6, "degrees"), "42.6 [39.8, 45.6]°"),
        (estimate(np.inf, 39.8, np.inf, "degrees"), "beyond the range [39.8, beyond the range]°"),
        (estimate(12.345, 1, 20, "steps"), "12.3 [1.0, 20.0] steps"),
        (3, "3"),
        ("as it is", "as it is"),
    ],
)
def test_words(value, words):
    assert prose.words(value).replace("\N{NO-BREAK SPACE}", " ") == words


def test_glue_names_every_member(monkeypatch):
    made = {}
    monkeypatch.setattr(prose, "glue_one", lambda name, value, display: made.update({name: value}))
    by_base = estimate([1.0, 2.0], [0.5, 1.5], [1.5, 2.5], base=["real", "real-other"])
    prose.glue(median=by_base, n=7)
    assert list(made) == ["median_real", "median_real_other", "n"] and made["n"] == "7"
    assert made["median_real_other"].startswith("2.00")


def test_extremes_say_where_and_whether_they_reverse():
    by_level = estimate([0.9, 0.4, 0.6], [0] * 3, [1] * 3, level=("level", [0.01, 5.0, 1.0], {"unit": "nats"}))
    assert prose.extremes(by_level, 0.5) == {
        "smallest": "0.40 at 5 nats", "largest": "0.90 at 0.01 nats", "reverses": "it reverses",
    }  # fmt: skip
    assert prose.extremes(by_level, 0.3)["reverses"] == "it does not reverse"


@pytest.mark.parametrize(
    ("gap", "word"),
    [((20, 10, 30), "longer than"), ((-20, -30, -10), "shorter than"), ((1, -1, 3), "not distinguishable from")],
)
def test_answer_about_plateaus_follows_the_gap(gap, word):
    threshold = estimate([42.0, 20.0], [40, 18], [44, 22], "degrees", base=["real", "random"])
    answer = prose.plateaus(threshold, estimate(*gap, "degrees"), estimate(0.87, 0.8, 0.9), 0.5)
    assert f"are {word} those around Gaussian ones" in answer
    assert "42.0 [40.0" in answer and "over 36 documents, 120 prompts" in answer


def test_answer_on_latents_names_a_verdict_once_where_it_is_the_direction():
    def claim(name, value, unit, direction, verdict):
        interval = [value - 1, value + 1]
        return {
            "id": name,
            "value": value,
            "interval": interval,
            "unit": unit,
            "direction": direction,
            "verdict": verdict,
        }

    judged = [
        claim("(viii)", 4.0, "°", "detected", "holds"),
        claim("(ix)", 0.5, "", "practically equal", "does not hold"),
        claim("(x)", 1.0, "°", "undecided", "undecided"),
    ]
    sae = SimpleNamespace(name="by hand", explained_variance=0.9, l0=32.4)
    found = prose.latents(sae, judged).replace("\N{NO-BREAK SPACE}", " ")
    for words in (
        "by hand (explained variance 0.90, L0 32)",
        "4.0 [3.0, 5.0]° (detected: holds)",
        "(practically equal: does not hold)",
    ):
        assert words in found
    assert "1.0 [0.0, 2.0]° (undecided)" in found


def test_encoder_counts_are_extremes_of_one_kind_and_the_median_of_another():
    counts = xr.DataArray(
        [[400, 9], [90, 20], [700, 12]], dims=("prompt", "kind"), coords={"kind": ["isotropic", "real"]}
    )
    assert prose.encoder_counts(counts) == {"fewest_isotropic": "90", "most_isotropic": "700", "l0_median": "12"}
