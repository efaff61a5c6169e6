"""What decides the statements of chapter 2, against plain numpy on the stored files and against planted answers."""

import numpy as np
import pytest
import xarray as xr

from plateaus_utils import claims, contrasts, estimates
from plateaus_utils.effects import measure
from plateaus_utils.experiments import base_points, plateaus
from plateaus_utils.patching import Suffix
from plateaus_utils.paths import MODES
from plateaus_utils.primaries import plateaus as primaries


@pytest.fixture
def stored(setting):
    """Name -> the result file, as anybody reads it."""
    return lambda name: xr.load_dataset(setting.folder / f"{name}.nc")


def crossing(x, y, level):
    """Where a single curve first reaches a level, by a loop."""
    for i in range(1, len(x)):
        if y[i] >= level:
            return x[i - 1] + (level - y[i - 1]) / (y[i] - y[i - 1]) * (x[i] - x[i - 1])
    return x[-1]


def test_every_statement_of_the_chapter_has_its_function():
    named = {
        name
        for name, entry in claims.registry().items()
        if "estimand" in entry and "same_as" not in entry and entry["figure"].startswith("02_")
    }
    assert set(primaries.PRIMARIES) == named


@pytest.mark.parametrize("name", primaries.PRIMARIES)
def test_samples_can_be_judged(name, setting, stored):
    sample = primaries.PRIMARIES[name](setting)
    assert sample.dims == ("prompt",) and sample.document.values.tolist() == setting.documents.tolist()
    found = estimates.document_mean(sample)
    assert np.isfinite(float(found.value)) and int(found.n_documents) == setting.n_prompts
    assert stored(claims.registry()[name]["estimand"]["result"]).sizes["prompt"] == setting.n_prompts


# C1 -------------------------------------------------------------------------------------------------------------------


def test_onsets_are_where_the_divergence_is_a_tenth_of_that_at_90_degrees(setting, stored):
    onsets = primaries.onsets(setting)
    file = stored("plateau_onsets")
    np.testing.assert_array_equal(primaries.real_onset(setting), file.onset.sel(base="real"))
    suffix = Suffix(setting.model, setting.bases.tokens, setting.hook_name)
    targets, degrees = setting.draws(1).gaussian, np.arange(0, 90.5, 0.5)
    for base in ("real", "random"):
        at = base_points(setting, base)
        points = MODES["sphere"](at, targets[:, 0] - at, at.new_tensor(degrees))
        kl = measure(suffix, points, at[:, None])["kl"][:, 0].numpy().clip(0)
        np.testing.assert_allclose(file.kl_at_end.sel(base=base), kl[:, -1], rtol=1e-4)
        expected = [crossing(degrees, row, row[-1] / 10) for row in kl]
        np.testing.assert_allclose(onsets.sel(base=base), expected, atol=0.5)


def test_a_quadratic_has_its_onset_at_the_null():
    theta = np.linspace(0, 90, 9001)
    quadratic = np.sin(np.deg2rad(theta / 2)) ** 2
    assert crossing(theta, quadratic, quadratic[-1] / 10) == pytest.approx(claims.estimand("C1").null, abs=0.01)


# C2 -------------------------------------------------------------------------------------------------------------------


def test_ratio_of_lengths_follows_from_the_stored_lengths(setting, stored):
    lengths = stored("plateau_lengths").threshold.isel(kind=0, direction=0)
    filled = np.where(np.isnan(lengths.values), lengths.attrs["limit"], lengths.values)
    real, gaussian = (filled[:, lengths.base.values.tolist().index(base)] for base in ("real", "random"))
    np.testing.assert_allclose(primaries.length_ratio(setting), np.log(real / gaussian))
    np.testing.assert_allclose(primaries.steps(setting).sel(base="real"), 2 * real)
    assert lengths.attrs["level"] == pytest.approx(float(np.median(stored("plateau_movements").l2)))


def test_ratio_of_lengths_at_any_level_of_planted_curves():
    """Two straight lines, one twice as steep: the ratio is 2, and beyond the end of the slow one 4/3."""
    sizes = np.linspace(0, 10, 11)
    curves = xr.DataArray(
        np.stack([sizes, 2 * sizes])[None, :, None] * np.ones((3, 1, 2, 1)),
        dims=("prompt", "base", "direction", "path_size"),
        coords={"base": ["real", "random"], "path_size": ("path_size", sizes, {"unit": "activation units"})},
    )
    found = estimates.exponential(estimates.mean(primaries.length_ratios(curves, [3.0, 15.0]), n_boot=20))
    np.testing.assert_allclose(found.value, [2, 4 / 3])
    np.testing.assert_allclose(found.low, found.value)


# C13 ------------------------------------------------------------------------------------------------------------------


def test_exponents_are_slopes_above_the_noise_floor(setting, stored):
    file, expected = stored("small_perturbations").squeeze(), {"kl": [], "l2": []}
    for kl, l2 in zip(file.kl.values, file.l2.values, strict=True):
        three = np.flatnonzero(kl > 1e-6)[:3]
        for name, values in (("kl", kl), ("l2", l2)):
            expected[name].append(np.polyfit(np.log(file.path_size.values[three]), np.log(values[three]), 1)[0])
    for name, values in expected.items():
        np.testing.assert_allclose(primaries.growth_exponent(setting, name), values, rtol=1e-6)


# C16 and C17 ----------------------------------------------------------------------------------------------------------


def test_width_of_the_untrained_network_is_that_of_its_stored_paths(setting, stored):
    sample = primaries.untrained_width(setting)
    paths = stored("pairs_untrained_published").sel(interpolation="slerp", read="resid_post")
    share = (paths.from_start / (paths.from_start + paths.from_end)).values
    t = paths.t.values
    np.testing.assert_allclose(sample, [crossing(t, row, 0.9) - crossing(t, row, 0.1) for row in share])


def test_distances_covered_follow_from_the_stored_paths(setting, stored):
    sample = primaries.early_distance(setting)
    paths = stored("pairs_trained").sel(interpolation="linear", read="resid_post")
    expected = [np.interp(0.3, paths.t, row) / row[-1] for row in paths.from_start.values]
    np.testing.assert_allclose(sample, expected, rtol=1e-5)
    late = primaries.covered(stored("pairs_trained"), 0.6)
    np.testing.assert_allclose(
        late, [np.interp(0.6, paths.t, row) / row[-1] for row in paths.from_start.values], rtol=1e-5
    )
    slopes = [49 * np.diff(row / row[-1]).max() for row in paths.from_start.values]
    np.testing.assert_allclose(primaries.linear_slope(stored("pairs_trained")), slopes, rtol=1e-5)


# A plant in which each must come out on the other side ----------------------------------------------------------------


def test_exchanged_bases_turn_every_comparison_of_bases_around(setting):
    lengths = primaries.lengths(setting)
    forth, back = (contrasts.log_ratio(lengths, "base", *pair) for pair in (("real", "random"), ("random", "real")))
    np.testing.assert_allclose(forth, -back)
    assert plateaus.TWO_BASES == ("real", "random")
