"""One value for each prompt: against loops over prompts, and on answers that are known."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from plateaus_utils import contrasts, estimates
from plateaus_utils.errors import ParameterError


@pytest.fixture
def sample():
    """[prompt, kind, direction] of 12 prompts from 6 documents, one size of kind b censored."""
    values = np.random.default_rng(0).uniform(10, 100, (12, 2, 3)).round()
    values[3, 1, 0] = np.nan
    return xr.DataArray(
        values,
        dims=("prompt", "kind", "direction"),
        coords={"kind": ["a", "b"], "document": ("prompt", np.repeat(np.array(list("uvwxyz")), 2))},
        attrs={"limit": 180.0, "unit": "degrees"},
    )


def known(sample):
    return np.nan_to_num(sample.values, nan=180.0)


def test_a_difference_is_that_of_the_means_of_a_prompt(sample):
    a, b = known(sample)[:, 0], known(sample)[:, 1]
    found = contrasts.difference(sample, "kind", "a", "b")
    np.testing.assert_allclose(found, a.mean(1) - b.mean(1))
    assert found.attrs["unit"] == "degrees" and found.document.values[0] == "u"


def test_a_ratio_is_one_of_geometric_means(sample):
    a, b = known(sample)[:, 0], known(sample)[:, 1]
    found = contrasts.log_ratio(sample, "kind", "a", "b")
    np.testing.assert_allclose(np.exp(found), stats.gmean(a, axis=1) / stats.gmean(b, axis=1))


def test_an_auroc_counts_pairs_of_a_prompt(sample):
    a, b = known(sample)[:, 0], known(sample)[:, 1]
    expected = [np.mean([(x > y) + 0.5 * (x == y) for x in a[i] for y in b[i]]) for i in range(12)]
    np.testing.assert_allclose(contrasts.auroc(sample, "kind", "a", "b"), expected)


def test_censored_sizes_tie(sample):
    empty = sample.where(False)
    assert (contrasts.auroc(empty, "kind", "a", "b") == 0.5).all()
    assert (contrasts.log_ratio(empty, "kind", "a", "b") == 0).all()


def test_rank_correlations_are_those_of_each_prompt(sample):
    a, b = sample.sel(kind="a", drop=True), sample.sel(kind="b", drop=True)
    found = contrasts.spearman(a, b)
    expected = [stats.spearmanr(known(sample)[i, 0], known(sample)[i, 1]).statistic for i in range(12)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (contrasts.spearman(a, b * 0 + 1).fillna(9) == 0).all()


def test_samples_without_directions_are_compared_too(sample):
    single = sample.isel(direction=0)
    found = contrasts.difference(single, "kind", "a", "b")
    np.testing.assert_allclose(found, known(single)[:, 0] - known(single)[:, 1])


def test_an_unknown_member_is_refused(sample, refused):
    with refused(ParameterError, "'c'", "kind"):
        contrasts.auroc(sample, "kind", "a", "c")


def test_a_ratio_of_zero_is_refused(sample, refused):
    with refused(ParameterError, "above zero"):
        contrasts.log_ratio(sample * 0, "kind", "a", "b")


def test_the_first_prompt_of_a_document_counts(sample):
    values = contrasts.difference(sample, "kind", "a", "b")
    chosen = contrasts.one_per_document(values)
    assert chosen.document.values.tolist() == list("uvwxyz")
    np.testing.assert_array_equal(chosen, values.values[::2])


@pytest.mark.parametrize("change", [lambda x: x.drop_vars("document"), lambda x: x.where(x.document != "u")])
def test_samples_without_documents_or_with_missing_values_are_refused(sample, refused, change):
    with refused(ParameterError, "deciding sample"):
        contrasts.one_per_document(change(contrasts.difference(sample, "kind", "a", "b")))


def test_a_mean_over_documents_has_students_interval(sample):
    values = contrasts.difference(sample, "kind", "a", "b")
    chosen = values.values[::2]
    low, high = stats.t.interval(0.99, 5, chosen.mean(), stats.sem(chosen))
    found = estimates.document_mean(values, 0.99)
    np.testing.assert_allclose([found.value, found.low, found.high], [chosen.mean(), low, high])
    assert (int(found.n), int(found.n_documents)) == (6, 6)


def test_a_share_has_wilsons_interval(sample):
    is_larger = contrasts.difference(sample, "kind", "a", "b") > 0
    hits = int(is_larger.values[::2].sum())
    low, high = stats.binomtest(hits, 6).proportion_ci(0.9, method="wilson")
    found = estimates.document_mean(is_larger, 0.9)
    np.testing.assert_allclose([found.value, found.low, found.high], [hits / 6, low, high])


def test_one_document_has_no_mean(sample, refused):
    with refused(ParameterError, "at least two"):
        estimates.document_mean(contrasts.difference(sample, "kind", "a", "b").isel(prompt=slice(0, 2)))
