"""Figures draw what they were given."""

import io

import numpy as np
import pytest
import xarray as xr

from plateaus_utils import estimates, plotting

SIZES = np.linspace(0, 180, 7)


@pytest.mark.parametrize("token", ["$$", "$", "a$b$", "$\\frac", "\\$", "plain"])
def test_texts_of_tokens_are_never_read_as_mathematics(token):
    figure = plotting.token_curve(SIZES, SIZES / 90, {token: SIZES / 180}, 45.0, 0.5, "degrees")
    figure.savefig(io.BytesIO(), format="png")
    (legend,) = [ax.get_legend() for ax in figure.axes if ax.get_legend()]
    drawn = [text.get_text() for text in legend.get_texts()]
    assert drawn == [repr(token).replace("$", r"\$")]


@pytest.fixture
def by_level():
    """Estimates over [base, level] whose values are known."""
    values = np.array([[0.9, 0.8, 0.7], [0.95, 0.9, 0.85]])
    parts = {name: (("base", "level"), values + shift) for name, shift in (("value", 0), ("low", -0.1), ("high", 0.1))}
    level = ("level", [0.1, 1.0, 5.0], {"description": "KL threshold", "unit": "nats"})
    return xr.Dataset({**parts, "n": 9, "n_documents": 3}, coords={"base": ["random", "naive"], "level": level})


def test_interval_curve_draws_estimates_and_their_ends(by_level):
    figure = plotting.interval_curve(by_level, "level", "AUROC", reference=0.5)
    (ax,) = figure.axes
    lines = {line.get_label(): line for line in ax.lines}
    for base in ("random", "naive"):
        np.testing.assert_array_equal(lines[base].get_xdata(), by_level.level)
        np.testing.assert_array_equal(lines[base].get_ydata(), by_level.value.sel(base=base))
    for band, base in zip(ax.collections, ("random", "naive"), strict=True):
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(float(by_level.low.sel(base=base).min()))
        assert heights.max() == pytest.approx(float(by_level.high.sel(base=base).max()))
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == ("KL threshold (nats)", "AUROC", "log")


def test_marked_places_are_named_on_the_figure(by_level):
    (ax,) = plotting.interval_curve(by_level, "level", "AUROC", marks={"here": 0.5}).axes
    assert [line.get_xdata()[0] for line in ax.lines if list(line.get_ydata()) == [0, 1]] == [0.5]
    assert "here" in [text.get_text() for text in ax.texts]


def test_curves_that_are_smooth_maps_lie_on_their_references():
    chord = np.sin(np.deg2rad(SIZES / 2))
    dims = ("prompt", "base", "direction", "path_size")
    coords = {"base": ["real"], "path_size": ("path_size", SIZES, {"unit": "degrees"})}
    curves = {effect: (dims, np.tile(5 * chord**power, (3, 1, 2, 1))) for effect, power in (("kl", 2), ("l2", 1))}
    figure = plotting.against_smooth(xr.Dataset(curves, coords))
    for ax, name in zip(figure.axes, ("quadratic", "linear map"), strict=True):
        lines = {line.get_label(): line for line in ax.lines}
        assert lines["real"].get_xdata().max() == lines[name].get_xdata().max() == 90
        drawn = np.interp(lines["real"].get_xdata(), lines[name].get_xdata(), lines[name].get_ydata())
        np.testing.assert_allclose(lines["real"].get_ydata(), drawn, atol=1e-6)
    quadratic = next(line for line in figure.axes[0].lines if line.get_label() == "quadratic")
    assert np.interp(0.1, quadratic.get_ydata(), quadratic.get_xdata()) == pytest.approx(25.84, abs=0.05)


def test_thresholds_are_drawn_at_their_own_limit_where_censored():
    values = np.array([[[10.0, 12.0], [5.0, np.nan]], [[11.0, 9.0], [np.nan, np.nan]]])
    sizes = xr.DataArray(values, dims=("prompt", "base", "direction"), coords={"base": ["real", "random"]},
                         attrs={"limit": 50.0, "unit": "steps"})  # fmt: skip
    figure = plotting.paired_thresholds(sizes, "base", "real")
    left, right = figure.axes
    assert left.get_xlabel() == "threshold (steps)"
    assert {text.get_text() for text in left.get_legend().get_texts()} == {
        "real (0% censored)",
        "random (75% censored)",
    }
    assert max(patch.get_xy()[:, 0].max() for patch in left.patches) == 50.0
    dots = next(line for line in right.lines if line.get_linestyle() == "None")
    assert dots.get_ydata().tolist() == [5.0]  # 10 - 5; the mean skips the censored direction


def test_pair_curves_draw_medians_of_each_network():
    t = np.linspace(0, 1, 5)
    start = np.stack([np.stack([t, 2 * t, 3 * t]), np.stack([t**2] * 3)])[:, :, None, None]
    pairs = xr.Dataset(
        {"from_start": (("network", "prompt", "interpolation", "read", "t"), np.broadcast_to(start, (2, 3, 2, 1, 5)))},
        coords={
            "network": ["trained", "untrained"],
            "interpolation": ["linear", "slerp"],
            "read": ["resid_post"],
            "t": t,
        },
    )
    figure = plotting.pair_curves(pairs, "resid_post")
    for ax in figure.axes:
        drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
        np.testing.assert_allclose(drawn["trained"], t)
        np.testing.assert_allclose(drawn["untrained"], t**2)


def test_a_beyond_the_range_median_is_said_and_not_drawn():
    sizes = xr.DataArray([[1.0, np.nan], [2.0, np.nan]], dims=("prompt", "kind"), coords={"kind": ["a", "b"]})
    found = estimates.median(sizes, n_boot=20)
    intervals = {str(k): plotting.Interval(*(float(found[p].sel(kind=k)) for p in estimates.PARTS), 2) for k in "ab"}
    figure = plotting.dots({"size": intervals})
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.texts] == ["beyond the range"]
