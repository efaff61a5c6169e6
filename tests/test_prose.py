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


@pytest.mark.parametrize(
    ("ends", "mixed", "word", "mixed_word"),
    [
        ((0.8, 0.7, 0.9), (0.3, 0.2, 0.4), "sooner than", "later"),
        ((0.2, 0.1, 0.3), (0.8, 0.7, 0.9), "later than", "still sooner"),
        ((0.5, 0.4, 0.6), (0.5, 0.4, 0.6), "not distinguishably sooner than", "not distinguishable"),
    ],
)
def test_answer_about_directions_follows_both_comparisons(ends, mixed, word, mixed_word):
    threshold = estimate([40.0, 45.0], [38, 43], [42, 47], "degrees", kind=["real-other", "random"])
    kinds = ["random", "real-other", "random mixture", "real mixture"]
    parts = {}
    for name, a, b in zip(("value", "low", "high"), ends, mixed, strict=True):
        cells = np.full((4, 4), np.nan)
        cells[1, 0], cells[3, 2] = a, b  # of random against real-other, and of random against real mixtures
        parts[name] = (("kind", "of"), cells)
    within = xr.Dataset({**parts, "n": ("of", [40] * 4)}, coords={"kind": kinds, "of": kinds})
    answer = prose.sensitive(threshold, within)
    assert f"real-other directions matter {word} random ones" in answer
    assert answer.endswith(f"real mixtures are {mixed_word}.") and "40 prompts" in answer


def test_answer_about_optima_names_real_and_random_corners_in_order():
    corners = [f"local minimum, {section} corner" for section in ("real-other", "random")]
    corner = estimate([0.75, 0.25], [0.6, 0.1], [0.9, 0.4], what=corners)
    both = estimate([0.5, 0.125], [0.4, 0.1], [0.6, 0.2], section=["real-other", "random"])
    answer = prose.optima(corner, both)
    places = [answer.index(number) for number in ("0.75 [", "120 triangles", "0.25 [", "0.50 [", "0.12 [")]
    assert places == sorted(places)


@pytest.mark.parametrize(("bic", "word"), [(3.0, "better"), (-3.0, "no better")])
def test_groups_are_found_where_two_distributions_describe_better(bic, word):
    assert prose.groups(bic) == {"bimodal": word, "bic": f"{bic:.1f}"}


def test_percentages_of_shares_and_of_estimates():
    assert prose.percent(0.256) == "26%"
    assert prose.percent(estimate(0.25, 0.1, 0.4)).replace("\N{NO-BREAK SPACE}", " ") == "25% [10%, 40%]"


@pytest.fixture
def measured():
    """What chapter 6 measures, every number another one."""
    paths = {"path": ["real base, random", "random base, random"], "path_size": [15.0, 30.0]}
    networks = {"network": ["trained", "untrained (x)"], "effect": ["plateau effect, L2", "direction effect, L2"]}

    def cells(first, dims):
        values = first + np.arange(4.0).reshape(2, 2) / 100
        parts = {name: (tuple(dims), values + shift) for name, shift in (("value", 0), ("low", -0.1), ("high", 0.1))}
        return xr.Dataset(parts, coords=dims)

    return {
        "flat": cells(0.51, paths),
        "by_block": estimate([0.61, 0.62], [0] * 2, [1] * 2, block=["block 1", "block 29"]),
        "by_effect": estimate([0.63, 0.64], [0] * 2, [1] * 2, effect=[prose.LABELS["kl"], prose.LABELS["l2"]]),
        "half_way": cells(0.71, networks),
        "against_gaussian": estimate([0.81, 0.82], [0] * 2, [1] * 2, base=["real", "foreign"]),
        "with_bos": estimate(0.91, 0, 1),
    }


def test_each_explanation_shows_its_own_numbers(measured):
    rows = [said for _, _, said in prose.explanations(**measured)]
    expected = [("0.52", "0.54"), ("0.62", "0.61", "block 1"), ("0.64", "0.63"), ("0.71", "0.72", "0.73", "0.74"),
                ("0.81", "0.82"), ("0.91",)]  # fmt: skip
    for row, numbers in zip(rows, expected, strict=True):
        places = [row.index(number) for number in numbers]
        assert places == sorted(places), row


def test_answer_about_explanations_says_flatter_where_the_interval_lies_below_one(measured):
    answer = prose.trivial(measured["flat"], measured["by_block"], measured["against_gaussian"])
    assert "0.52" in answer and "flatter than a quadratic" in answer
    assert answer.index("0.82") < answer.index("0.81")  # foreign activations before the prompt's own


def test_answer_about_latents_names_the_dictionary_and_the_verdicts():
    class Named:
        name, explained_variance, l0, is_sae = "topk-32", 0.8, 32.0, True

    around = estimate([41.0, 42.0, 21.0], [0] * 3, [90] * 3, "degrees", kind=["with 2 more", "real", "random"])
    along = estimate([51.0, 52.0, 53.0], [0] * 3, [90] * 3, "degrees", kind=["active", "random", "real-other"])
    answer = prose.latents(Named, around, along, {"(viii)": "holds", "(ix)": "open", "(x)": "fails"})
    words = ("topk-32", "0.80", "41.0", "42.0", "21.0", "holds", "51.0", "52.0", "53.0", "open", "fails")
    places = [answer.index(word) for word in words]
    assert places == sorted(places)
    assert prose.sae_kind(Named) == ""
