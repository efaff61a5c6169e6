"""Labelled quantities of curves, on curves whose answers are known."""

import numpy as np
import pytest
import xarray as xr

from plateaus_utils import quantities, sensitivity

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
        attrs={"unit": "nats"},
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


def test_chords_are_straight_distances_at_angles():
    angles = xr.DataArray(
        [[60.0, 180.0], [90.0, np.nan]], dims=("prompt", "base"), attrs={"unit": "degrees", "limit": 180}
    )
    found = quantities.chords(angles, xr.DataArray([[1.0, 2.0], [3.0, 4.0]], dims=("prompt", "base")))
    np.testing.assert_allclose(found, [[1, 4], [3 * 2**0.5, np.nan]])
    assert "limit" not in found.attrs
