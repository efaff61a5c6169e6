"""Curvature, predicted threshold and edge: on exact quadratics, on a planted step, and on planted relations."""

import numpy as np
import pytest
import xarray as xr

from plateaus_utils import estimates, quantities, sensitivity, statistics
from plateaus_utils.experiments import sensitive
from plateaus_utils.findings import curvature as findings

SIZES = np.arange(0, 181, 7.5)


def form(*grams):
    """Gram matrices, one a prompt, with the labels of a stored form."""
    vectors = ["base", "across"]
    return xr.DataArray(np.array(grams, float), dims=("prompt", "i", "j"), coords={"i": vectors, "j": vectors})


def curves(values):
    sizes = ("path_size", SIZES, {"unit": "degrees"})
    return xr.DataArray(values, dims=("prompt", "path_size"), coords={"path_size": sizes})


ISOTROPIC = form(np.eye(2), 4 * np.eye(2))


def test_an_exact_quadratic_is_as_predicted_and_has_no_edge():
    gram = form([[2.0, 0.3], [0.3, 1.0]], [[1.0, -0.2], [-0.2, 6.0]])
    kl = curves(sensitivity.quadratic_kl(gram.values, SIZES))
    np.testing.assert_allclose(quantities.over_quadratic(kl, gram).isel(path_size=slice(1, None)), 1)
    np.testing.assert_allclose(quantities.curvature(gram), [0.5, 3.0])
    small = sensitivity.quadratic_kl(gram.values, [0.01])[:, 0] / np.deg2rad(0.01) ** 2
    np.testing.assert_allclose(quantities.curvature(gram), small, rtol=1e-3)
    edge = quantities.edge(kl, gram)
    assert edge.isnull().all() and edge.attrs["limit"] == 180 and edge.attrs["unit"] == "degrees"


def test_a_planted_step_is_the_edge():
    kl = curves(sensitivity.quadratic_kl(ISOTROPIC.values, SIZES) * np.where(SIZES > 40, 10, 1))
    np.testing.assert_allclose(quantities.edge(kl, ISOTROPIC), 37.5 + 7.5 * 0.5 / 9)
    flatter = kl * 0.1  # a tenth of the quadratic, then as much as it says: no edge
    assert quantities.edge(flatter, ISOTROPIC).isnull().all()


def test_divergences_below_the_noise_floor_are_no_edge():
    kl = curves(np.full((2, len(SIZES)), sensitivity.NOISE_FLOOR / 2))
    assert quantities.edge(kl, ISOTROPIC * 1e-12).isnull().all()


def test_the_quadratic_alone_reaches_a_level_where_its_chord_is_long_enough():
    """Of an isotropic form with factor f the divergence is 2f·sin²(θ/2), at most 2f."""
    found = quantities.quadratic_threshold(form(np.eye(2), 4 * np.eye(2), 0.2 * np.eye(2)), 0.5)
    expected = 2 * np.rad2deg(np.arcsin(np.sqrt([0.25, 0.0625])))
    np.testing.assert_allclose(found[:2], expected, atol=0.01)
    assert np.isnan(found[2]) and found.attrs["limit"] == 180


def test_chords_are_straight_distances():
    angles = xr.DataArray([[60.0, 180.0], [90.0, np.nan]], dims=("prompt", "base"))
    norms = xr.DataArray([[2.0, 3.0], [1.0, 1.0]], dims=("prompt", "base"), attrs={"unit": "activation units"})
    found = quantities.chords(angles, norms)
    np.testing.assert_allclose(found, [[2, 6], [np.sqrt(2), np.nan]])
    assert found.attrs["unit"] == "activation units"


@pytest.fixture
def planted():
    """Log angle = −0.3 · log curvature − 0.2 for the second kind, with an offset for each prompt, and noise."""
    rng = np.random.default_rng(0)
    log_curvature = rng.normal(0, 1, (80, 2, 8)) + rng.normal(0, 3, (80, 1, 1)) + np.array([0, 1])[:, None]
    gap = np.array([0, -0.2])[:, None]
    log_angle = -0.3 * log_curvature + gap + rng.normal(0, 0.05, (80, 2, 8)) + rng.normal(0, 0.1, (80, 1, 1))
    dims = ("prompt", "kind", "direction")
    coords = {"kind": ["random", "real-other"], "document": ("prompt", [f"d{i}" for i in range(80)])}
    found = {"curvature": (dims, np.exp(log_curvature)), "angle": (dims, np.exp(log_angle))}
    return xr.Dataset(found, coords=coords)


def test_planted_relations_are_found(planted):
    explained = findings.explained(planted)
    slope = explained.sel(relation="within prompts: slope of log angle (a quadratic: −0.5)")
    assert float(explained.sel(relation="between prompts: rank correlation").value) < -0.9
    assert float(slope.low) < float(slope.value) < float(slope.high) < 0
    separation = findings.separation(planted)
    adjusted = separation.sel(comparison="the same, adjusted for curvature")
    assert float(adjusted.low) < np.exp(-0.2) < float(adjusted.high)
    assert float(adjusted.high) - float(adjusted.low) < 0.02
    plain = separation.sel(comparison="threshold angle, real-other over random")
    assert float(plain.value) == pytest.approx(np.exp(-0.5), rel=0.1)


def test_slopes_and_shares_within_prompts_are_those_of_a_regression_with_dummies():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 3))
    dummies = np.kron(np.eye(5), np.ones((6, 1)))
    kind = np.tile(np.repeat([0.0, 1.0], 3), 5)
    slope = np.linalg.lstsq(np.column_stack([x.ravel(), dummies]), y.ravel())[0][0]
    assert statistics.slope_within(x, y) == pytest.approx(slope)
    full = np.linalg.lstsq(np.column_stack([kind, x.ravel(), dummies]), y.ravel())[0]
    assert statistics.adjusted_ratio(x, y) == pytest.approx(np.exp(full[0]))
    own = [(v - v.mean((1, 2), keepdims=True)).ravel() for v in (x, y)]
    assert statistics.explained_within(x, y) == pytest.approx(np.corrcoef(*own)[0, 1] ** 2)


def test_ratio_of_curvatures_is_geometric(planted):
    bases = planted.rename(kind="base").assign_coords(base=["random", "real"])
    logs = np.log(bases.curvature.values)
    expected = np.exp((logs[:, 0] - logs[:, 1]).mean())
    assert float(findings.gaussian_over_real(bases).value) == pytest.approx(expected)


def test_measured_paths_are_set_against_their_own_form(setting):
    found = findings.around_bases(setting)
    assert found.curvature.dims == found.measured.dims == ("prompt", "base", "direction")
    stored = xr.load_dataset(setting.folder / "quadratic_bases.nc").gram
    np.testing.assert_allclose(found.curvature, stored.values[..., 1, 1][:, :, 0] / 2)
    kinds = findings.along_kinds(setting)
    columns = findings.medians(kinds)
    assert set(columns) >= {"never reached", "edge (°)"}
    assert float(columns["edge (°)"].sel(kind="random").value) == pytest.approx(
        float(estimates.statistics.censored_median(kinds.edge.sel(kind="random").values))
    )
    directions = findings.of_directions(setting)
    assert directions.angle.shape == (10, 2, sensitive.N_MANY) and directions.angle.notnull().all()
