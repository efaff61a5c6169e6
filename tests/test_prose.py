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
    prose.glue(width=estimate([1.0], [0.5], [1.5], network=["untrained (published)"]))
    assert "width_untrained_published" in made


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
def test_answer_about_plateaus_follows_the_gap_and_the_quadratic(gap, word):
    edge = estimate([42.0, 20.0], [40, 18], [44, 22], "degrees", base=["real", "random"])
    threshold = estimate([47.0, 25.0], [40, 18], [49, 27], "degrees", base=["real", "random"])
    answer = prose.plateaus(edge, estimate(*gap, "degrees"), threshold, 25.84, 0.5)
    assert f"are {word} those around Gaussian ones" in answer
    assert "42.0 [40.0" in answer and "over 36 documents" in answer and "a quadratic at 25.8°" in answer
    assert "around real activations it rises later than a quadratic does" in answer
    assert "around Gaussian ones sooner than a quadratic does" in answer


def test_words_about_a_width_follow_its_interval():
    assert prose.shelf(estimate(0.9, 0.85, 0.95)) == "less of a shelf than a line"
    assert prose.shelf(estimate(0.6, 0.55, 0.65)) == "more of a shelf than a line"
    assert prose.shelf(estimate(0.8, 0.75, 0.85)) == "as much of a shelf as a line"


def test_order_by_length_is_compared_with_that_by_angle():
    lengths = estimate([2.0, 0.7], [0] * 2, [3] * 2, level=("level", [40.0, 388.0], {"unit": "activation units"}))
    falling, level = ([estimate(v, [0] * 2, [1] * 2, level=("level", [0.5, 5.0], {"unit": "nats"})) for v in x]
                      for x in (([0.9, 0.4],), ([0.9, 0.8],)))  # fmt: skip
    found = prose.lengths_by_level(lengths, falling[0])
    assert found["length_largest"] == "2.00 at 40 activation units" and found["length_reverses"] == "it reverses"
    assert found["as_angles"].startswith("just as the AUROC")
    assert prose.lengths_by_level(lengths, level[0])["as_angles"].startswith("unlike")
