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


def effect(even, odd):
    found = [[1.0, 0.0, 0.5, 0.5], [even + odd, even - odd, even, odd]]
    values = {"value": found, "low": np.subtract(found, 0.1), "high": np.add(found, 0.1)}
    dims = ("effect", "part")
    coords = {"effect": ["targets", "deviations"], "part": ["towards", "away", "even", "odd"]}
    return xr.Dataset(
        {name: (dims, x) for name, x in values.items()} | {"n_documents": 60}, coords, {"unit": "degrees"}
    )


@pytest.mark.parametrize(
    ("separation", "parts", "words"),
    [
        ((0.7, 0.6, 0.8), (2.0, 5.0), ("matter sooner than random ones", "matter sooner than Gaussian ones", "-3.0 [")),
        ((0.4, 0.3, 0.45), (5.0, 2.0), ("matter later than random ones", "sooner than Gaussian", "3.0 [2.9")),
        ((0.5, 0.4, 0.6), (-3.0, -1.0), ("not distinguishably sooner than", "matter later than Gaussian", "is -4.0 [")),
        ((0.5, 0.4, 0.6), (1.0, -1.0), ("not distinguishably sooner than", "are not told apart from", "is 0.0 [")),
    ],
)
def test_answer_about_directions_follows_the_intervals(separation, parts, words):
    first = prose.smallest(estimate([50.0, 31.4], [48, 29], [52, 33], "degrees", kind=["random", "towards mean"]))
    gap, earlier = estimate(5.6, 3.0, 8.0, "degrees"), estimate(0.9, 0.8, 0.95)
    answer = prose.sensitive(estimate(*separation), earlier, gap, effect(*parts), first)
    assert all(word in answer for word in words), answer
    assert "over 36 documents" in answer and "60 documents" in answer and "*towards mean* (31.4" in answer


@pytest.mark.parametrize(("parts", "word"), [((2.0, -5.0), "more odd than even"), ((5.0, 2.0), "more even than odd")])
def test_the_larger_part_of_an_effect(parts, word):
    assert prose.larger_part(effect(*parts).sel(effect="deviations")) == word


@pytest.mark.parametrize(
    ("difference", "word"),
    [((2, 1, 3), "larger"), ((-2, -3, -1), "smaller"), ((0, -1, 1), "not distinguishable in size")],
)
def test_a_difference_says_which_is_larger(difference, word):
    assert prose.compared(estimate(*difference)) == word
