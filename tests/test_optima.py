import numpy as np
import pytest
import xarray as xr

from plateaus_utils.experiments import optima


def sections(values: np.ndarray, resolution: int) -> xr.Dataset:
    """Both sections of one prompt with the same given angles."""
    weights = optima.triangle(resolution)
    return xr.Dataset(
        {"threshold": (("prompt", "section", "point"), np.stack([values, values])[None])},
        coords={"section": list(optima.SECTIONS), "weight": (("point", "corner"), weights)},
    )


@pytest.mark.parametrize("resolution", [1, 4, 10])
def test_triangular_grid(resolution):
    weights = optima.triangle(resolution)
    assert len(weights) == (resolution + 1) * (resolution + 2) // 2
    assert np.allclose(weights.sum(1), 1) and (weights >= 0).all()
    assert weights[0].tolist() == [1, 0, 0]
    assert [weights[i].argmax() for i in optima.corner_indices(weights)] == [0, 1, 2]
    beside = optima.neighbours(weights)
    assert (beside == beside.T).all() and not beside.diagonal().any()
    assert beside.sum(1)[0] == 2  # a corner touches two points
    if resolution >= 3:
        inner = (weights > 0).all(1)
        assert (beside.sum(1)[inner] == 6).all()


def test_a_cone_at_the_corner_is_a_global_minimum():
    weights = optima.triangle(4)
    found = optima.corner_statistics(sections(30 + 40 * (1 - weights[:, 0]), 4))
    assert found.local.all() and found["global"].all()
    assert found.margin.values == pytest.approx(10)  # one of four steps down a slope of 40


def test_a_pit_elsewhere_leaves_the_corner_local_only():
    weights = optima.triangle(4)
    angles = 30 + 40 * (1 - weights[:, 0])
    angles[-1] = 5
    found = optima.corner_statistics(sections(angles, 4))
    assert found.local.all() and not found["global"].any()


def test_ties_and_censoring_are_no_strict_minimum():
    flat = optima.corner_statistics(sections(np.full(15, 50.0), 4))
    assert not flat.local.any() and (flat.margin == 0).all()
    never = optima.corner_statistics(sections(np.full(15, np.nan), 4))
    assert not never.local.any() and (never.margin == 0).all()
    only_corner = np.full(15, np.nan)
    only_corner[0] = 80.0
    assert optima.corner_statistics(sections(only_corner, 4)).local.all()


def test_a_fine_map_contains_the_coarse_one():
    fine = optima.triangle(optima.FINE_RESOLUTION)
    kept = optima.on_coarse_grid(sections(np.arange(len(fine), dtype=float), optima.FINE_RESOLUTION))
    assert np.allclose(kept.weight.values, optima.triangle(optima.RESOLUTION))


def test_a_slope_is_a_one_sided_minimum_and_no_two_sided_one():
    s = np.array(optima.STEPS)
    dims = ("prompt", "section", "line", "s")
    coords = {"section": list(optima.SECTIONS), "s": s}
    slope = xr.Dataset({"threshold": (dims, np.broadcast_to(40 + 10 * s, (1, 2, 2, 5)).copy())}, coords=coords)
    bowl = xr.Dataset({"threshold": (dims, np.broadcast_to(40 + 10 * s**2, (1, 2, 2, 5)).copy())}, coords=coords)
    assert not optima.two_sided(slope).any()
    assert optima.two_sided(bowl).all()
