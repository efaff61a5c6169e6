"""What decides the statements of chapter 3: recomputed from the stored results with numpy alone."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from plateaus_utils import claims, estimates
from plateaus_utils.experiments import sensitive
from plateaus_utils.primaries.sensitive import PRIMARIES, mean_correlations, steepest_rises


@pytest.fixture(scope="module")
def stored(setting):
    """Statement -> the file that its deciding sample is formed from, opened with xarray alone; the sample was computed."""

    def open_result(statement):
        sample = PRIMARIES[statement](setting)
        name = claims.registry()[statement]["estimand"]["result"]
        return sample, xr.load_dataset(setting.folder / f"{name}.nc")

    return open_result


def sizes(result, *kinds):
    """Threshold sizes [n_prompts, n_directions] of some kinds, censored ones at the limit."""
    where = [list(result.kind.values).index(kind) for kind in kinds]
    limit = result.threshold.attrs["limit"]
    return [np.where(np.isnan(x), limit, x) for x in np.moveaxis(result.threshold.values[:, 0, where], 1, 0)]


@pytest.mark.parametrize("statement", PRIMARIES)
def test_every_deciding_sample_has_a_known_value_and_a_document_for_each_prompt(statement, stored):
    sample, result = stored(statement)
    assert sample.dims == ("prompt",) and sample.notnull().all()
    assert set(sample.document.values) <= set(result.document.values)
    assert (sample.dtype == bool) == (statement == "(ii)")


def test_the_share_counts_prompts_whose_real_other_median_is_smaller(stored):
    sample, result = stored("(ii)")
    random, real = sizes(result, "random", "real-other")
    assert random.shape == (10, 16)
    np.testing.assert_array_equal(sample, np.median(real, axis=1) < np.median(random, axis=1))


def test_separation_counts_pairs(stored):
    sample, result = stored("(iv)")
    random, real = sizes(result, "random", "real-other")
    pairs = [[(g > r) + 0.5 * (g == r) for g in random[i] for r in real[i]] for i in range(10)]
    np.testing.assert_allclose(sample, np.mean(pairs, axis=1))


def test_distances_are_compared_by_geometric_means(stored):
    sample, result = stored("C4")
    random, isotropic = sizes(result, "random", "naive")
    np.testing.assert_allclose(np.exp(sample), stats.gmean(isotropic, axis=1) / stats.gmean(random, axis=1))


@pytest.mark.parametrize("effect", ["l2", "kl"])
def test_steepest_rise_is_the_middle_of_the_largest_step(effect, stored, setting):
    sample, result = stored("C5")
    steps = np.diff(result[effect].values, axis=-1).argmax(-1)  # [prompt, kind], of 25 equal steps
    positions = 4.0 * steps + 2.0
    np.testing.assert_allclose(steepest_rises(setting)[effect], positions, rtol=1e-6)
    if effect == "l2":
        kinds = list(result.kind.values)
        expected = positions[:, kinds.index("random")] - positions[:, kinds.index("real-other")]
        np.testing.assert_allclose(sample, expected, atol=1e-4)


def test_mixtures_are_compared_by_geometric_means_above_the_noise_floor(stored):
    sample, result = stored("C12")
    kl = np.maximum(result.kl.values[:, 0, :, :, 0], 1e-6)
    kinds = list(result.kind.values)
    logs = np.log(kl).mean(-1)
    np.testing.assert_allclose(sample, logs[:, kinds.index("real mixture")] - logs[:, kinds.index("random mixture")])


def test_slopes_towards_the_same_token_are_the_steepest_steps_in_units_of_a_line(stored, setting):
    sample, result = stored("C19")
    distance = result.from_start.values[:, 0, list(result["read"].values).index("resid_post")]
    slope = np.diff(distance, axis=-1).max(-1) / distance[:, -1] * 49
    have = (setting.bases.tokens[:, -1:] == setting.others.tokens[:, -1]) & setting.elsewhere
    np.testing.assert_allclose(np.exp(sample), slope[have.any(1).numpy()], rtol=1e-5)


def test_the_correlation_with_the_mean_is_that_of_ranks_within_prompts(stored, setting):
    sample, result = stored("C26")
    cosines = sensitive.cosines_with_mean(setting).values
    random, real = sizes(result, "random", "real-other")
    expected = [
        [stats.spearmanr(x[i], cosines[i, k]).statistic for i in range(10)] for k, x in enumerate((random, real))
    ]
    np.testing.assert_allclose(mean_correlations(setting), expected, atol=1e-12)
    np.testing.assert_allclose(sample, expected[0], atol=1e-12)


def test_exponentials_are_ratios_with_the_same_numbers_of_documents():
    logs = xr.Dataset({"value": 0.0, "low": -np.log(2), "high": np.log(3), "n": 7, "n_documents": 5})
    found = estimates.exponential(logs)
    np.testing.assert_allclose([found.value, found.low, found.high], [1, 0.5, 3])
    assert (int(found.n), int(found.n_documents)) == (7, 5)
