"""What decides the statements of chapter 5: recomputed from the stored results with numpy alone."""

import itertools

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from plateaus_utils import claims, estimates
from plateaus_utils.experiments import latents
from plateaus_utils.primaries import latents as primaries
from plateaus_utils.primaries.latents import PRIMARIES


@pytest.fixture(scope="module")
def dictionary(setting):
    return latents.dictionaries(setting)[0]


@pytest.fixture(scope="module")
def stored(setting, dictionary):
    """Statement -> its deciding sample, and the file that it is formed from, opened with xarray alone."""

    def open_result(statement):
        sample = PRIMARIES[statement](setting, dictionary)
        name = claims.registry()[statement]["estimand"]["result"]
        return sample, xr.load_dataset(setting.folder / f"{name}.nc")

    return open_result


def member(values, dim, name):
    """The part of a variable of a result that belongs to one member of a dimension, as a plain array."""
    place = list(values[dim].values).index(name)
    return np.take(values.values, place, axis=values.dims.index(dim))


def sizes(result, kind):
    """Threshold sizes of a kind, censored ones at the limit."""
    found = member(result.threshold, "kind", kind)
    return np.where(np.isnan(found), result.threshold.attrs["limit"], found)


def test_every_statement_of_the_chapter_is_computed():
    of_chapter = [
        name
        for name in claims.distinct()
        if claims.registry()[name].get("figure", "").startswith("05_") and "estimand" in claims.registry()[name]
    ]
    assert sorted(PRIMARIES) == sorted(of_chapter)


@pytest.mark.parametrize("statement", PRIMARIES)
def test_every_deciding_sample_has_a_known_value_and_a_document_for_each_prompt(statement, stored, setting):
    sample, result = stored(statement)
    assert sample.dims == ("prompt",) and sample.notnull().all() and sample.sizes["prompt"] == setting.n_prompts
    np.testing.assert_array_equal(sample.document, result.document)


def test_adding_latents_is_compared_with_a_move_of_equal_length(stored, setting, dictionary):
    sample, result = stored("(viii)")
    values = sizes(result, "with 8 more")[:, 0] - sizes(result, "moved as far")[:, 0]
    np.testing.assert_allclose(sample, values)
    found = primaries.gap(setting, dictionary, "with 8 more", "random")
    gap = sizes(result, "with 8 more")[:, 0] - sizes(result, "random")[:, 0]
    first = np.unique(result.document.values, return_index=True)[1]
    assert float(found.value) == pytest.approx(gap[first].mean())


def test_built_bases_are_compared_by_ratios(stored, setting, dictionary):
    sample, result = stored("C3")
    built, gaussian = (sizes(result, kind) for kind in ("built, structured", "random"))
    assert built.shape[1] == 8
    np.testing.assert_allclose(np.exp(sample), stats.gmean(built, axis=1) / stats.gmean(gaussian, axis=1), rtol=1e-5)
    first = np.unique(result.document.values, return_index=True)[1]
    single = xr.load_dataset(setting.folder / "sae_bases_sphere.nc")
    built, real = (sizes(single, kind)[:, 0] for kind in ("built, structured", "real"))
    found = primaries.angle_ratio(setting, dictionary, "built, structured", "real")
    assert float(found.value) == pytest.approx(stats.gmean((built / real)[first]))


def test_steepest_rises_are_found_in_the_stored_walks(stored, setting):
    sample, built = stored("C6")
    plain = xr.load_dataset(setting.folder / "walks_to_targets.nc")
    places = []
    for result, kind in ((plain, "random"), (built, "built, structured")):
        size = result.path_size.values
        steps = np.diff(member(result.l2, "kind", kind), axis=-1)
        places.append(100 * ((size[1:] + size[:-1]) / 2)[steps.argmax(-1)])
    np.testing.assert_allclose(sample, places[0] - places[1])


@pytest.mark.parametrize(("of", "against"), [("active", "random deviation"), ("-active", "random deviation"),
                                             ("active", "random mixture"), ("active", "real-other")])  # fmt: skip
def test_a_direction_is_sooner_in_the_pairs_in_which_the_other_is_larger(stored, setting, dictionary, of, against):
    sample, result = stored("(ix)")
    ours, others = sizes(result, of), sizes(result, against)
    pairs = [[(y > x) + 0.5 * (y == x) for x, y in itertools.product(*both)] for both in zip(ours, others, strict=True)]
    expected = np.mean(pairs, axis=1)
    if (of, against) == ("active", "random deviation"):
        np.testing.assert_allclose(sample, expected)
    first = np.unique(result.document.values, return_index=True)[1]
    assert float(primaries.sooner(setting, dictionary, of, against).value) == pytest.approx(expected[first].mean())


def test_one_latent_is_compared_with_a_sum_that_contains_it(stored):
    sample, result = stored("(x)")
    assert list(result.kind.values) == ["random signs/1", "random signs/128"]
    np.testing.assert_allclose(sample, sizes(result, "random signs/128")[:, 0] - sizes(result, "random signs/1")[:, 0])


def test_moves_that_lower_the_threshold_are_counted(stored, setting, dictionary):
    sample, result = stored("C9")
    whole = np.nan_to_num(result.whole.values, nan=np.inf)[:, None]
    lower = {
        along: np.nan_to_num(member(result.moved, "moved_along", along), nan=np.inf) < whole
        for along in ("own latents", "mixtures")
    }
    assert lower["mixtures"].shape == (setting.n_prompts, 4)
    np.testing.assert_allclose(sample, lower["own latents"].mean(1) - lower["mixtures"].mean(1))
    first = np.unique(result.document.values, return_index=True)[1]
    own = lower["own latents"][first]
    found = primaries.share_lowered(setting, dictionary, "own latents"), primaries.any_lowered(setting, dictionary)
    assert [float(x.value) for x in found] == pytest.approx([own.mean(), own.any(1).mean()])


@pytest.mark.parametrize(("statement", "against"), [("C10", "isotropic"), ("C11", "random mixture")])
def test_errors_are_compared_by_ratios_at_all_positions(stored, statement, against):
    sample, result = stored(statement)
    error, others = (member(result.kl, "kind", kind) for kind in ("SAE error", against))
    assert others.shape[1] == 4
    ratio = error[:, 0] / stats.gmean(others, axis=1)
    np.testing.assert_allclose(np.exp(sample), ratio, rtol=1e-5)


def test_alignment_is_compared_within_prompts(stored, setting, dictionary):
    sample, result = stored("C25")
    cosines = xr.load_dataset(setting.folder / "latent_alignment.nc").nearest
    angles = result.threshold.isel(base=0)
    found = {}
    for kind in ("random", "real-other"):
        pairs = zip(sizes(xr.Dataset({"threshold": angles}), kind), member(cosines, "kind", kind), strict=True)
        found[kind] = np.array([stats.spearmanr(*pair).statistic for pair in pairs])
    np.testing.assert_allclose(sample, found["random"])
    first = np.unique(result.document.values, return_index=True)[1]
    assert float(primaries.aligned(setting, dictionary, "real-other").value) == pytest.approx(
        found["real-other"][first].mean()
    )


def test_ablations_are_compared_by_geometric_means(stored):
    sample, result = stored("C28")
    ablated, towards = (member(result.kl, "kind", k) for k in ("ablate a latent", "towards the reconstruction"))
    assert ablated.shape[1] == 2 and min(ablated.min(), towards.min()) > 1e-6
    np.testing.assert_allclose(np.exp(sample), stats.gmean(ablated, axis=1) / stats.gmean(towards, axis=1), rtol=1e-5)


def test_divergences_below_the_noise_floor_count_as_it(setting, dictionary, monkeypatch):
    kl = xr.DataArray([[0.0, 1e-3]], dims=("prompt", "kind"), coords={"kind": ["SAE error", "isotropic"]})
    monkeypatch.setattr(primaries.replacements, "error_effects", lambda *_: kl)
    assert float(np.exp(PRIMARIES["C10"](setting, dictionary)[0])) == pytest.approx(1e-3)


def test_counts_are_compared_by_ratios_and_none_counts_as_one(stored, setting, dictionary, monkeypatch):
    sample, result = stored("C29")
    counts = {kind: np.maximum(member(result.n_active, "kind", kind), 1) for kind in ("isotropic", "real")}
    np.testing.assert_allclose(np.exp(sample), counts["isotropic"] / counts["real"])
    documents = {"kind": ["isotropic", "real"], "document": ("prompt", ["a", "b"])}
    planted = xr.DataArray([[40, 10], [8, 0]], dims=("prompt", "kind"), coords=documents)
    monkeypatch.setattr(primaries.encoding, "codes_switched_on", lambda *_: planted)
    np.testing.assert_allclose(np.exp(PRIMARIES["C29"](setting, dictionary)), [4, 8])
    assert float(primaries.mean_count(setting, dictionary, "real").value) == pytest.approx(np.sqrt(10))


def test_secondary_numbers_of_the_registry_are_single_estimates(setting, dictionary):
    found = [
        primaries.steepest_gap(setting, dictionary, "reconstruction", "real-other"),
        primaries.error_ratio(setting, dictionary, "real mixture", "last"),
        primaries.ablation_ratio(setting, dictionary, "ablate a latent", "double a latent"),
        primaries.alignment_between(setting, dictionary),
    ]
    assert all(estimate.value.dims == () and set(estimates.PARTS) <= set(estimate) for estimate in found)
    assert all(float(ratio.low) < float(ratio.value) < float(ratio.high) for ratio in found[1:3])
