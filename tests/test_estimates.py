"""Labelled samples in, labelled intervals out: against plain numpy, and on answers that are known."""

import numpy as np
import pytest
import xarray as xr

from plateaus_utils import contrasts, estimates, statistics
from plateaus_utils.errors import ParameterError

LABELS = {"unit": "degrees", "limit": 180.0, "description": "threshold angle"}


@pytest.fixture
def angles():
    """[prompt, base, direction] of 40 prompts from 10 documents: real angles are the larger by 20 degrees."""
    rng = np.random.default_rng(0)
    values = rng.normal(30, 5, (40, 3, 2))
    values[:, 0] += 20
    return xr.DataArray(
        values,
        dims=("prompt", "base", "direction"),
        coords={"base": ["real", "random", "naive"], "document": ("prompt", np.repeat(np.arange(10), 4))},
        attrs=LABELS,
    )


def plain(statistic, *arrays, documents, **options):
    found = statistics.bootstrap(statistic, *arrays, documents=documents, **options)
    return [found.value, found.low, found.high]


def numbers(estimate):
    return [float(estimate[part]) for part in estimates.PARTS]


def test_an_estimate_keeps_the_other_dimensions_and_counts_prompts_and_documents(angles):
    found = estimates.median(angles)
    assert found.value.dims == ("base",) and found.base.values.tolist() == ["real", "random", "naive"]
    assert (int(found.n), int(found.n_documents)) == (40, 10)
    assert found.attrs == LABELS
    for i, base in enumerate(angles.base.values):
        expected = plain(statistics.censored_median, angles.values[:, i], documents=angles.document.values)
        assert numbers(found.sel(base=base)) == expected


def test_dimensions_may_come_in_any_order(angles):
    first, second = (estimates.median(x, n_boot=50) for x in (angles, angles.transpose("direction", "base", "prompt")))
    xr.testing.assert_identical(first, second)


def test_whole_documents_are_resampled(angles):
    together = angles.isel(prompt=np.repeat(np.arange(10) * 4, 4))  # within a document all prompts are the same
    single = together.drop_vars("document")
    wide, narrow = (estimates.mean(x, n_boot=400) for x in (together, single))
    assert ((wide.high - wide.low) > 1.5 * (narrow.high - narrow.low)).all()
    assert int(narrow.n_documents) == 40


def test_censored_sizes_are_beyond_every_number(angles):
    censored = angles.where(angles.base != "naive")
    found = estimates.median(censored, n_boot=50)
    assert np.isposinf(found.value.sel(base="naive")) and np.isfinite(found.value.sel(base="real"))
    assert estimates.censored(censored).values.tolist() == [0, 0, 1]
    assert "beyond the range" in estimates.text(found.sel(base="naive"))


@pytest.mark.parametrize(
    ("function", "statistic"),
    [
        (estimates.difference, statistics.median_difference),
        (estimates.mean_difference, statistics.mean_difference),
        (estimates.ratio_of_means, statistics.ratio_of_means),
        (estimates.auroc, statistics.auroc),
        (estimates.ks_distance, statistics.ks_distance),
    ],
)
def test_members_are_compared_as_their_names_say(angles, function, statistic):
    real, random = angles.values[:, 0], angles.values[:, 1]
    documents = angles.document.values
    assert numbers(function(angles, "base", "real", "random")) == plain(statistic, real, random, documents=documents)
    reversed_ = function(angles, "base", "random", "real", n_boot=50)
    assert float(reversed_.value) == statistic(random, real)


def test_one_named_member_is_compared_with_all_others(angles):
    of, against = (estimates.auroc(angles, "base", **{side: "real"}, n_boot=50) for side in ("of", "against"))
    assert of.base.values.tolist() == against.base.values.tolist() == ["random", "naive"]
    assert (of.value > 0.95).all()
    np.testing.assert_allclose(of.value, 1 - against.value)


@pytest.mark.parametrize("named", [{}, {"of": "reel"}, {"of": "real", "against": "x"}])
def test_members_that_do_not_exist_are_refused(angles, refused, named):
    with refused(ParameterError, "real"):
        estimates.auroc(angles, "base", **named)


def test_a_sample_without_its_unit_is_refused(angles, refused):
    with refused(ParameterError, "needs the dimension 'prompt'"):
        estimates.median(angles.rename(prompt="vector"))


def test_comparison_within_prompts_is_not_fooled_by_differences_between_them(angles):
    shift = xr.DataArray(np.random.default_rng(1).normal(0, 200, 40), dims="prompt")
    pooled = estimates.auroc(angles + shift, "base", "real", "random", n_boot=50)
    within = estimates.within_auroc(angles + shift, "base", "real", "random")
    assert float(within.value) > 0.95 > 0.7 > float(pooled.value)


@pytest.mark.parametrize("contrast", ["difference", "log_ratio", "auroc"])
def test_members_are_compared_within_documents_one_by_one(contrast, angles):
    by_level = xr.concat([angles, 2 * angles], xr.Variable("level", [1, 2]))
    estimator = {"difference": "within_difference", "log_ratio": "within_ratio", "auroc": "within_auroc"}[contrast]
    found = getattr(estimates, estimator)(by_level, "base", of="real")
    assert set(found.value.dims) == {"base", "level"} and "real" not in found.base and int(found.n_documents) == 10
    for base in found.base.values:
        for i, level in enumerate((1, 2)):
            sample = getattr(contrasts, contrast)(by_level.isel(level=i, drop=True), "base", "real", base)
            expected = numbers(estimates.document_mean(sample))
            expected = np.exp(expected) if contrast == "log_ratio" else expected
            assert numbers(found.sel(base=base, level=level)) == pytest.approx(expected)


def test_corpora_of_one_document_are_left_out(angles):
    sample = contrasts.difference(angles, "base", "real", "random")
    names = np.array([f"{'big' if i < 39 else 'small'}/{i}" for i in range(40)])
    found = estimates.by_corpus(sample.assign_coords(document=("prompt", names)))
    assert found.corpus.values.tolist() == ["big"] and found.n_documents.values.tolist() == [39]
    assert float(found.value.sel(corpus="big")) == pytest.approx(float(sample[:39].mean()))


def test_other_units_than_prompts_may_be_resampled():
    values = xr.DataArray(np.arange(100.0), dims="vector")
    found = estimates.estimate(np.max, values, over="vector", n_boot=100)
    assert float(found.value) == 99 and int(found.n) == 100 and float(found.low) < 99


def test_shares_have_wilsons_interval(angles):
    found = estimates.proportion(angles.isel(direction=0) > 40)
    expected = statistics.proportion(angles.values[:, 0, 0] > 40)
    assert numbers(found.sel(base="real")) == pytest.approx([expected.value, expected.low, expected.high])
    assert (int(found.n), int(found.n_documents)) == (40, 10)


def test_estimates_of_logarithms_become_those_of_ratios():
    sample = xr.DataArray(np.log([1.0, 2.0, 4.0]), dims="prompt", coords={"document": ("prompt", ["a", "b", "c"])})
    logarithm, ratio = (f(estimates.document_mean(sample)) for f in (lambda x: x, estimates.exponential))
    assert float(ratio.value) == pytest.approx(2) and int(ratio.n) == 3
    assert numbers(ratio) == pytest.approx(np.exp(numbers(logarithm)))


def test_rank_correlation_of_two_labelled_quantities(angles):
    real = angles.sel(base="real", drop=True)
    assert float(estimates.spearman(real, real**3, n_boot=20).value) == pytest.approx(1)
    assert float(estimates.spearman(real, -real, n_boot=20).value) == pytest.approx(-1)


def test_quartiles_describe_the_values_that_exist(angles):
    found = estimates.quartiles(angles)
    real = angles.values[:, 0]
    np.testing.assert_allclose(numbers(found.sel(base="real")), np.percentile(real, [50, 25, 75]))


def test_estimates_together_keep_order_and_their_own_numbers(angles):
    few = angles.sel(base=["naive", "real"]).isel(prompt=slice(0, 8))
    found = estimates.together(
        {"all": estimates.median(angles, n_boot=20), "few": estimates.median(few, n_boot=20)}, "set"
    )
    assert found.value.dims == ("set", "base") and found.base.values.tolist() == ["real", "random", "naive"]
    assert found.n.values.tolist() == [40, 8] and found.attrs == LABELS
    xr.testing.assert_equal(found.value.sel(set="all", drop=True), estimates.median(angles, n_boot=20).value)
    assert np.isnan(found.value.sel(set="few", base="random"))


def test_pairs_say_how_often_the_column_exceeds_the_row(angles):
    found = estimates.pairwise(estimates.auroc, angles, "base", n_boot=20)
    assert found.value.dims == ("base", "of")
    expected = float(estimates.auroc(angles, "base", "real", "random", n_boot=20).value)
    assert float(found.value.sel(base="random", of="real")) == expected > 0.95
    assert float(found.value.sel(base="real", of="random")) == pytest.approx(1 - expected)
    assert np.isnan(np.diag(found.value)).all()


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((0.5, 0.25, 0.75), "0.50 [0.25,\N{NO-BREAK SPACE}0.75]"),
        ((np.inf, 1, np.inf), "beyond the range [1.00,\N{NO-BREAK SPACE}beyond the range]"),
        ((np.nan, np.nan, np.nan), "unknown [unknown,\N{NO-BREAK SPACE}unknown]"),
        ((-0.001, -1, 1), "0.00 [-1.00,\N{NO-BREAK SPACE}1.00]"),
    ],
)
def test_words_of_an_interval(ends, text):
    assert estimates.words(*ends) == text
