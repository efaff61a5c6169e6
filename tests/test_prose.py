"""Numbers and sentences of the pages."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from plateaus_utils.book import accounts, answers, prose


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
    answer = answers.plateaus(edge, estimate(*gap, "degrees"), threshold, 25.84, 0.5)
    assert f"are {word} those around Gaussian ones" in answer
    assert "42.0 [40.0" in answer and "over 36 documents" in answer and "a quadratic at 25.8°" in answer
    assert "around real activations it rises later than a quadratic does" in answer
    assert "around Gaussian ones sooner than a quadratic does" in answer


def test_words_about_a_width_follow_its_interval():
    assert answers.shelf(estimate(0.9, 0.85, 0.95)) == "less of a shelf than a line"
    assert answers.shelf(estimate(0.6, 0.55, 0.65)) == "more of a shelf than a line"
    assert answers.shelf(estimate(0.8, 0.75, 0.85)) == "as much of a shelf as a line"


def test_order_by_length_is_compared_with_that_by_angle():
    lengths = estimate([2.0, 0.7], [0] * 2, [3] * 2, level=("level", [40.0, 388.0], {"unit": "activation units"}))
    falling, level = ([estimate(v, [0] * 2, [1] * 2, level=("level", [0.5, 5.0], {"unit": "nats"})) for v in x]
                      for x in (([0.9, 0.4],), ([0.9, 0.8],)))  # fmt: skip
    found = answers.lengths_by_level(lengths, falling[0])
    assert found["length_largest"] == "2.00 at 40 activation units" and found["length_reverses"] == "it reverses"
    assert found["as_angles"].startswith("just as the AUROC")
    assert answers.lengths_by_level(lengths, level[0])["as_angles"].startswith("unlike")


@pytest.mark.parametrize(("bic", "word"), [(3.0, "better"), (-3.0, "no better")])
def test_groups_are_found_where_two_distributions_describe_better(bic, word):
    assert answers.groups(bic) == {"bimodal": word, "bic": f"{bic:.1f}"}


def test_percentages_of_shares_and_of_estimates():
    assert prose.percent(0.256) == "26%"
    assert prose.percent(estimate(0.25, 0.1, 0.4)).replace("\N{NO-BREAK SPACE}", " ") == "25% [10%, 40%]"


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
    found = answers.latents(sae, judged).replace("\N{NO-BREAK SPACE}", " ")
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
    assert answers.encoder_counts(counts) == {"fewest_isotropic": "90", "most_isotropic": "700", "l0_median": "12"}


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
    first = answers.smallest(estimate([50.0, 31.4], [48, 29], [52, 33], "degrees", kind=["random", "towards mean"]))
    gap, earlier = estimate(5.6, 3.0, 8.0, "degrees"), estimate(0.9, 0.8, 0.95)
    answer = answers.sensitive(estimate(*separation), earlier, gap, effect(*parts), first)
    assert all(word in answer for word in words), answer
    assert "over 36 documents" in answer and "60 documents" in answer and "*towards mean* (31.4" in answer


@pytest.mark.parametrize(("parts", "word"), [((2.0, -5.0), "more odd than even"), ((5.0, 2.0), "more even than odd")])
def test_the_larger_part_of_an_effect(parts, word):
    assert answers.larger_part(effect(*parts).sel(effect="deviations")) == word


@pytest.mark.parametrize(
    ("difference", "word"),
    [((2, 1, 3), "larger"), ((-2, -3, -1), "smaller"), ((0, -1, 1), "not distinguishable in size")],
)
def test_a_difference_says_which_is_larger(difference, word):
    assert answers.compared(estimate(*difference)) == word


def test_answer_about_optima_follows_the_share_and_the_bend():
    beside = {key: estimate(0.2, 0.1, 0.3) for key in ("convex", "convex_random", "local_random")}
    beside |= {"second": estimate(0.13, 0.07, 0.19, "degrees"), "slope": estimate(0.46, 0.3, 0.6, "degrees")}
    answer = answers.optima(estimate(0.12, 0.05, 0.2), beside)
    assert "a local optimum on fewer lines than not" in answer and "their slope outweighs the bend" in answer
    assert "in 12% [5%" in answer and "of 120 lines" in answer
    steep = beside | {"second": estimate(1.3, 1, 2, "degrees")}
    assert answers.bend(steep) == {
        "half_second": "0.65",
        "slope_size": "0.46",
        "bend_or_slope": "the bend outweighs the slope",
    }
    assert answers.bend(beside | {"second": estimate(-1, -2, -0.5)})["bend_or_slope"] == "they bend downwards"
    assert "cannot be told" in answers.bend(beside | {"second": estimate(0.1, -1, 1)})["bend_or_slope"]


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
    said = accounts.curvature(separation, explained)
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
    said = accounts.quadratic(bases)
    assert said["never_real"] == "100%" and said["predicted_random"].startswith("18.0")
    assert said["flat_then_edge"].startswith("flat at first") and "its edge at 35.0" in said["flat_then_edge"]
    early = bases.assign(predicted=sizes(30.0, 18.0), edge=sizes(np.nan, np.nan))
    assert (
        accounts.quadratic(early)["flat_then_edge"] == "no later than its curvature says, without an edge on most paths"
    )
