"""Quantities of chapter 5, on planted values whose answers are known."""

import numpy as np
import pytest
import xarray as xr

from plateaus_utils import estimates
from plateaus_utils.findings import latents as findings
from plateaus_utils.primaries import latents as primaries


def labelled(values, dims, **coords):
    document = {"document": ("prompt", [f"lee/{i}" for i in range(np.shape(values)[dims.index("prompt")])])}
    return xr.DataArray(values, dims=dims, coords=document | coords)


def test_lowered_moves_count_censored_sizes_as_infinite(monkeypatch):
    moves = xr.Dataset(
        {"whole": ("prompt", [10.0, np.nan]), "moved": (("prompt", "moved_along", "move"), [[[9, 11]], [[9, np.nan]]])},
        coords={"moved_along": ["own latents"]},
    )
    monkeypatch.setattr(primaries.targets, "mixed_moves", lambda *_: moves)
    lower = primaries.lowered(None, None).sel(moved_along="own latents")
    assert lower.values.tolist() == [[True, False], [True, False]]


@pytest.mark.parametrize(("l0", "expected"), [((8, 16, 32), 1), ((32, 16, 8), -1)])
def test_correlation_with_l0_is_one_where_the_ratio_grows_with_it(l0, expected):
    kl = np.stack([np.tile([ratio, 1.0], (20, 1)) for ratio in (9.0, 1.0, 2.0, 3.0)])
    errors = labelled(kl, ("sae", "prompt", "kind"), kind=["SAE error", "isotropic"], sae=["other", "a", "b", "c"])
    family = dict(zip("abc", l0, strict=True))
    assert float(findings.ratio_against_l0(errors, family).value) == pytest.approx(expected)
    steps = errors.rename(kind="direction").drop_vars("direction").expand_dims(kind=["active"])
    assert float(findings.steps_against_l0(steps, family).value) == pytest.approx(expected)


def test_statistics_by_band_take_the_prompts_that_have_one():
    sizes = labelled([[10.0, 50.0], [20.0, np.nan], [30.0, 40.0]], ("prompt", "direction")).assign_attrs(limit=180.0)
    bands = labelled([["rare", "dense"], ["rare", "dense"], ["rare", "rare"]], ("prompt", "direction"))
    found = findings.by_band(estimates.median, sizes, bands)
    assert found.band.values.tolist() == ["rare", "dense"]  # no prompt has one of the middle band
    assert found.value.values.tolist() == [20.0, 115.0] and found.n.values.tolist() == [3, 2]


def test_separation_from_a_reference_is_that_within_prompts():
    sizes = labelled(
        [[[1, 2], [3, 4]], [[5, 6], [5, 0]]], ("prompt", "kind", "direction"), kind=["latent", "reference"]
    )
    found = findings.above(sizes, "reference")
    assert found.kind.values.tolist() == ["latent"] and float(found.value[0]) == pytest.approx((1 + 0.125) / 2)


def test_ratios_are_geometric_means_of_pairs():
    kl = labelled([[4.0, 1.0, 2.0], [1.0, 4.0, 2.0]], ("prompt", "kind"), kind=["error", "a", "b"])
    found = findings.geometric_mean(findings.log_ratios(kl, "error"))
    np.testing.assert_allclose(found.value.sel(kind=["a", "b"]), [1.0, 1.0])
    assert found.kind.values.tolist() == ["a", "b"]
