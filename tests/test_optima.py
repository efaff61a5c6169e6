import numpy as np
import pytest
import xarray as xr

from plateaus_utils.experiments import optima
from plateaus_utils.findings import optima as findings


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


def test_statistics_of_a_corner_keep_the_documents_of_the_prompts():
    planted = sections(np.full(15, 50.0), 4).assign_coords(document=("prompt", ["lee/1"]))
    found = optima.corner_statistics(planted)
    assert found.document.values.tolist() == ["lee/1"] and found.margin.attrs["unit"] == "degrees"


def test_the_middle_of_an_edge_sags_by_what_was_planted():
    weights = optima.triangle(4)
    values = 60 - 20 * (1 - (weights**2).sum(1))  # 60 at the corners, 50 half-way between two of them
    planted = sections(values, 4)
    planted.threshold.attrs["limit"] = 180.0
    assert findings.sag(planted).values == pytest.approx(-10)


def test_mixing_two_targets_shortens_their_deviation_from_the_mean(setting):
    draws = setting.draws(3, "triangle")
    first, second = (draws.gaussian[:, i].double().numpy() - draws.mean.numpy() for i in (0, 1))
    norms = [np.linalg.norm(x, axis=1) for x in (first, second, (first + second) / 2)]
    left = findings.shortening(setting)
    np.testing.assert_allclose(left, norms[2] / ((norms[0] + norms[1]) / 2), rtol=1e-5)
    assert (left < 1).all()


def test_one_corner_of_three_is_the_lowest():
    weights = optima.triangle(4)
    tilted = sections(30 + 40 * weights[:, 2], 4)
    tilted.threshold.values[:, :, 0] += 1
    assert findings.lowest_corner(tilted).values.tolist() == [[False], [True], [False]]
