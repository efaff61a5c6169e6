"""What decides the statement of chapter 4: recomputed from the stored result with numpy alone, and on planted lines."""

import numpy as np
import pytest
import xarray as xr

from plateaus_utils import claims
from plateaus_utils.experiments import optima
from plateaus_utils.primaries.optima import PRIMARIES, lowest, second_difference, slope_times_step


def test_the_share_counts_lines_whose_corner_lies_below_both_sides(setting):
    sample = PRIMARIES["C8"](setting)
    name = claims.registry()["C8"]["estimand"]["result"]
    result = xr.load_dataset(setting.folder / f"{name}.nc")
    assert result.threshold.dims == ("prompt", "section", "s") and result.section.values.tolist()[0] == "real-other"
    np.testing.assert_allclose(result.s, [-0.2, -0.1, 0, 0.1, 0.2])
    angles = result.threshold.values[:, 0]
    angles = np.where(np.isnan(angles), result.threshold.attrs["limit"], angles)
    expected = (angles[:, 2] < angles[:, 1]) & (angles[:, 2] < angles[:, 3])
    assert sample.dtype == bool and sample.dims == ("prompt",)
    np.testing.assert_array_equal(sample, expected)
    np.testing.assert_array_equal(sample.document, result.document)


def planted(angles):
    """Lines with one section and one prompt for each row of angles [n, 5]."""
    dims, coords = ("prompt", "section", "s"), {"section": ["real-other"], "s": list(optima.STEPS)}
    values = np.asarray(angles, float)[:, None]
    return xr.Dataset({"threshold": (dims, values, {"limit": 180.0})}, coords=coords)


S = np.array(optima.STEPS)


@pytest.mark.parametrize(
    ("angles", "second", "slope", "low"),
    [
        (40 + 100 * S**2, 2.0, 0.0, True),
        (40 + 100 * S**2 + 9 * S, 2.0, 0.9, True),  # its lowest point lies within half a step of the corner
        (40 + 100 * S**2 - 11 * S, 2.0, -1.1, False),  # convex, and no minimum
        (40 + 10 * S, 0.0, 1.0, False),
        (40 - 100 * S**2, -2.0, 0.0, False),
        (np.full(5, 40.0), 0.0, 0.0, False),
        ([180, np.nan, 170, np.nan, 180], 20.0, 0.0, True),  # censored angles count as their limit
    ],
)
def test_lines_of_known_shape(angles, second, slope, low):
    lines = planted([angles])
    assert float(second_difference(lines).squeeze()) == pytest.approx(second)
    assert float(slope_times_step(lines).squeeze()) == pytest.approx(slope)
    assert lowest(lines).values.tolist() == [[low]]


def test_to_be_lowest_is_half_the_second_difference_above_the_slope_times_the_step():
    lines = planted(np.random.default_rng(0).uniform(20, 60, (200, 5)))
    for step in (0.1, 0.2):
        above = second_difference(lines, step) / 2 > abs(slope_times_step(lines, step))
        np.testing.assert_array_equal(lowest(lines, step), above)
