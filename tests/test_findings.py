"""Labelled quantities of curves and of experiments, on curves whose answers are known."""

import numpy as np
import pytest
import xarray as xr

from plateaus_utils import findings, quantities, sensitivity

SIZES = np.arange(0, 181, 15.0)


@pytest.fixture
def curves():
    """[prompt, kind, direction, path_size]: a quadratic of the angle, steeper for the second kind."""
    scale = np.array([1.0, 4.0])
    values = np.broadcast_to((scale[:, None] * (SIZES / 90) ** 2)[None, :, None], (3, 2, 2, len(SIZES)))
    return xr.DataArray(
        values,
        dims=("prompt", "kind", "direction", "path_size"),
        coords={
            "kind": ["slow", "fast"],
            "document": ("prompt", [0, 0, 1]),
            "path_size": ("path_size", SIZES, {"unit": "degrees"}),
        },
    )


def test_crossing_keeps_labels_and_is_that_of_the_plain_curves(curves):
    found = quantities.crossing(curves, 0.5)
    assert found.dims == ("prompt", "kind", "direction") and found.document.values.tolist() == [0, 0, 1]
    assert found.attrs == {"unit": "degrees", "level": 0.5, "limit": 180.0}
    np.testing.assert_array_equal(found.values, sensitivity.first_crossing(SIZES, curves.values, 0.5))
    assert found.sel(kind="fast").mean() < found.sel(kind="slow").mean()


def test_what_never_crosses_is_censored(curves):
    assert quantities.crossing(curves, 5).isnull().sel(kind="slow").all()
    by_level = quantities.crossings(curves, [0.5, 5])
    assert by_level.level.values.tolist() == [0.5, 5] and by_level.level.attrs["unit"] == "nats"
    xr.testing.assert_equal(by_level.sel(level=0.5, drop=True), quantities.crossing(curves, 0.5))


def test_shares_are_one_at_the_end(curves):
    shares = quantities.shares(curves, 90)
    assert shares.path_size.max() == 90 and (shares.sel(path_size=90) == 1).all()
    np.testing.assert_allclose(shares.sel(path_size=45), 0.25)
    half = quantities.share_crossing(curves, 0.25, 90)
    np.testing.assert_allclose(half, 45)
    assert half.attrs["unit"] == "degrees"


@pytest.mark.parametrize("name", ["area", "rise"])
def test_measures_up_to_an_end_are_those_of_the_plain_curves(curves, name):
    found = getattr(quantities, name)(curves, 90)
    np.testing.assert_array_equal(found.values, getattr(sensitivity, name)(SIZES, curves.values, 90))


def test_steepest_step_of_a_step_is_where_it_is(curves):
    step = (curves.path_size > 60).astype(float).expand_dims(prompt=3)
    assert (quantities.steepest(step) == 67.5).all() and quantities.steepest(step).attrs["unit"] == "degrees"


def test_exponents_of_powers():
    sizes = 2.0 ** -np.arange(8, 0, -1)
    power = xr.DataArray(np.stack([sizes**2, sizes**2]), dims=("prompt", "path_size"), coords={"path_size": sizes})
    np.testing.assert_allclose(quantities.exponent(power, power), 2)
    np.testing.assert_allclose(quantities.exponent(power**0.5, power), 1)


def test_straight_pairs_have_the_width_and_slope_of_a_line():
    t = np.linspace(0, 1, 50)
    pairs = xr.Dataset(
        {
            "from_start": (("prompt", "t"), np.stack([t, 2 * t])),
            "from_end": (("prompt", "t"), np.stack([1 - t, 2 - 2 * t])),
        },
        coords={"t": t},
    )
    np.testing.assert_allclose(quantities.width(pairs), 0.8)
    np.testing.assert_allclose(quantities.max_slope(pairs), 1)


def test_chord_of_a_linear_map():
    assert findings.chord(90, 90) == 1
    assert findings.chord(60, 180) == pytest.approx(0.5)


def test_flat_share_counts_points_near_any_corner():
    kl = np.full((1, 3, 2, 2), 9.0)
    kl[0, 2, 0] = 0.1
    assert findings.flat_share(xr.Dataset({"kl": (("prompt", "corner", "v", "u"), kl)})) == 0.5


def test_earlier_compares_medians_within_prompts_and_censored_ones_are_late():
    sizes = xr.DataArray(
        [[[1, 1, 9], [2, 2, 2]], [[3, 3, 3], [2, 2, 2]], [[np.nan] * 3, [2, 2, 2]], [[2, 2, 2], [np.nan] * 3]],
        dims=("prompt", "kind", "direction"), coords={"kind": ["a", "b"]},
    )  # fmt: skip
    assert findings.earlier(sizes, "a", "b").values.tolist() == [True, False, False, True]


def test_lowered_moves_count_censored_sizes_as_infinite():
    moves = xr.Dataset(
        {"whole": ("prompt", [10.0, np.nan]), "moved": (("prompt", "moved_along", "move"), [[[9, 11]], [[9, np.nan]]])},
        coords={"moved_along": ["own latents"]},
    )
    assert findings.lowered(moves).sel(moved_along="own latents").values.tolist() == [[True, False], [True, False]]


def test_ratio_against_l0_is_one_where_the_ratio_grows_with_it():
    def errors(ratio):
        values = np.tile([ratio, 1.0], (20, 1))
        return xr.DataArray(values, dims=("prompt", "kind"), coords={"kind": ["SAE error", "isotropic"]})

    growing = {name: errors(ratio) for name, ratio in (("a", 1.0), ("b", 2.0), ("c", 3.0))}
    assert float(findings.ratio_against_l0(growing, [8, 16, 32]).value) == pytest.approx(1)
    assert float(findings.ratio_against_l0(growing, [32, 16, 8]).value) == pytest.approx(-1)
