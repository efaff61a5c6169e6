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


def test_bends_put_minima_into_the_wedge():
    second = xr.DataArray(
        [[1.0, -1.0], [0.5, 0.2]] * 5, dims=("prompt", "section"), coords={"section": ["real-other", "random"]},
        attrs={"description": "second difference", "unit": "degrees"},
    )  # fmt: skip
    slope = (second * 0.1).assign_attrs(description="slope times step", unit="degrees")
    figure = plotting.bends(slope, second, by="section")
    drawn = [np.array(line.get_xydata()) for ax in figure.axes for line in ax.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(
        drawn[0], np.stack([slope.sel(section="real-other"), second.sel(section="real-other")], 1)
    )
    assert [ax.get_legend().get_texts()[0].get_text() for ax in figure.axes] == ["real-other corner", "random corner"]


def test_between_and_within_draws_means_and_deviations():
    rng = np.random.default_rng(0)
    labels = {"description": "curvature", "unit": "nats"}
    x = xr.DataArray(
        rng.uniform(1, 2, (6, 2, 3)), dims=("prompt", "kind", "direction"), coords={"kind": ["a", "b"]}, attrs=labels
    )
    figure = plotting.between_and_within(x, (1 / x).assign_attrs(labels), by="kind", slope=-1)
    between, within = figure.axes
    means = np.exp(np.log(x.values).mean((1, 2)))
    np.testing.assert_allclose(between.lines[0].get_xydata(), np.stack([means, 1 / means], 1))
    np.testing.assert_allclose(within.lines[0].get_xdata(), (x.values[:, 0] / means[:, None]).ravel())
    np.testing.assert_allclose(within.lines[0].get_ydata() * within.lines[0].get_xdata(), 1)


def test_quadratic_panels_draw_geometric_means_of_directions():
    ratio = xr.DataArray(
        np.array([1.0, 4.0])[None, None, :, None] * np.ones((3, 1, 2, 7)), dims=("prompt", "base", "direction", "path_size"),
        coords={"base": ["real"], "path_size": SIZES},
    )  # fmt: skip
    figure = plotting.quadratic_panels(ratio, ratio.rename(base="kind"))
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), 2)
