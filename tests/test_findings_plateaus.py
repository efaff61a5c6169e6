"""Quantities of chapter 2's figures and text, on planted data."""

import numpy as np
import pytest
import xarray as xr

from plateaus_utils.findings import plateaus as findings
from plateaus_utils.primaries import plateaus as primaries

T = np.linspace(0, 1, 50)


def pairs(n, power):
    """Paths [prompt, interpolation, read, t] whose distance grows with a power of t."""
    dims, coords = (
        ("prompt", "interpolation", "read", "t"),
        {"interpolation": ["linear", "slerp"], "read": ["resid_post"]},
    )
    start = np.broadcast_to(T**power, (n, 2, 1, 50))
    document = ("prompt", [f"lee/{i}" for i in range(n)])
    return xr.Dataset(
        {"from_start": (dims, start), "from_end": (dims, 1 - start)}, coords | {"t": T, "document": document}
    )


def test_networks_are_drawn_over_the_prompts_that_all_have_and_averaged_over_their_own():
    paths = [pairs(6, 1), pairs(6, 0.5), pairs(3, 2)]
    drawn = findings.by_network(*paths)
    assert drawn.network.values.tolist() == list(findings.NETWORKS) and drawn.sizes["prompt"] == 3
    np.testing.assert_allclose(drawn.from_start.sel(network="trained").isel(prompt=0, interpolation=0, read=0), T)
    found = findings.mean_by_network(primaries.great_circle_width, *paths)
    assert found.n_documents.values.tolist() == [6, 6, 3]
    np.testing.assert_allclose(found.value, [0.8, 0.81 - 0.01, np.sqrt(0.9) - np.sqrt(0.1)], atol=0.01)


def test_ratio_of_lengths_is_known_at_every_level_of_straight_lines():
    sizes = np.linspace(0, 100, 101)
    curves = xr.DataArray(
        np.stack([sizes, 3 * sizes])[None, :, None] * np.ones((4, 1, 1, 1)),
        dims=("prompt", "base", "direction", "path_size"),
        coords={"base": ["real", "random"], "path_size": ("path_size", sizes, {"unit": "activation units"})},
        attrs={"unit": "activation units"}, name="l2",
    )  # fmt: skip
    found = findings.ratio_by_level(curves, {"near": 8.0, "far": 40.0})
    assert found.base.values.tolist() == ["random"] and float(found.level.min()) == pytest.approx(2)
    assert float(found.level.max()) == pytest.approx(60)
    np.testing.assert_allclose(found.value, 3)
    assert found.level.attrs == {"description": "L2 threshold", "unit": "activation units"}
