"""Numbers and sentences of the pages."""

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


def test_answer_about_optima_follows_the_share_and_the_bend():
    beside = {key: estimate(0.2, 0.1, 0.3) for key in ("convex", "convex_random", "local_random")}
    beside |= {"second": estimate(0.13, 0.07, 0.19, "degrees"), "slope": estimate(0.46, 0.3, 0.6, "degrees")}
    answer = prose.optima(estimate(0.12, 0.05, 0.2), beside)
    assert "a local optimum on fewer lines than not" in answer and "their slope outweighs the bend" in answer
    assert "in 12% [5%" in answer and "of 120 lines" in answer
    steep = beside | {"second": estimate(1.3, 1, 2, "degrees")}
    assert prose.bend(steep) == {
        "half_second": "0.65",
        "slope_size": "0.46",
        "bend_or_slope": "the bend outweighs the slope",
    }
    assert prose.bend(beside | {"second": estimate(-1, -2, 0)})["bend_or_slope"] == "the lines do not bend upwards"


@pytest.mark.parametrize(
    ("interval", "tells"),
    [
        ((0.5, 0.48, 0.52), "does not tell real-other from random directions"),
        ((0.6, 0.55, 0.65), "is larger along real-other directions than along random ones"),
        ((0.4, 0.35, 0.45), "is smaller along real-other directions"),
    ],
)
def test_what_curvature_tells_follows_its_separation(interval, tells):
    names = (
        "AUROC of the curvature, real-other above random",
        "threshold angle, real-other over random",
        "the same, adjusted for curvature",
    )
    columns = zip(interval, (0.83, 0.8, 0.86), (0.84, 0.8, 0.88), strict=True)
    separation = estimate(*(list(column) for column in columns), comparison=list(names))
    explained = estimate([0.04, -0.1, -0.8], [0] * 3, [0] * 3, relation=["share", "slope", "between"])
    said = prose.curvature(separation, explained)
    assert (
        f"curvature {tells}" in said
        and "0.84 [0.80" in said
        and said.endswith("more about prompts than about directions.")
    )


def test_quadratic_is_never_reached_where_it_is_never_reached():
    def sizes(real, random):
        values = np.stack([np.full((20, 2), real), np.full((20, 2), random)], 1)
        return xr.DataArray(
            values, dims=("prompt", "base", "direction"), coords={"base": ["real", "random"]},
            attrs={"unit": "degrees", "limit": 180.0},
        )  # fmt: skip

    bases = xr.Dataset({"predicted": sizes(np.nan, 18.0), "measured": sizes(42.0, 20.0), "edge": sizes(35.0, np.nan)})
    said = prose.quadratic(bases)
    assert said["never_real"] == "100%" and said["predicted_random"].startswith("18.0")
    assert said["flat_then_edge"].startswith("flat at first") and "its edge at 35.0" in said["flat_then_edge"]
    early = bases.assign(predicted=sizes(30.0, 18.0), edge=sizes(np.nan, np.nan))
    assert prose.quadratic(early)["flat_then_edge"] == "no later than its curvature says, without an edge on most paths"
