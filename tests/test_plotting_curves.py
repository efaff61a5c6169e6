"""Figures of curves and of estimates: lines at the medians and the values, bands at the quartiles and the ends."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from plateaus_utils import estimates, plotting

SIZES = np.linspace(0, 180, 7)
DIMS = ("prompt", "kind", "direction", "path_size")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def lines(ax) -> dict:
    return {line.get_label(): line for line in ax.lines}


def ends(band) -> tuple[float, float]:
    """The lowest and the highest point of a band."""
    heights = band.get_paths()[0].vertices[:, 1]
    return heights.min(), heights.max()


@pytest.fixture
def curves():
    """Effects [prompt, kind, direction, path_size] of five prompts."""
    values = np.random.default_rng(0).uniform(0.1, 2, (5, 2, 2, len(SIZES))) * (1 + SIZES)
    effects = {name: (DIMS, values * scale) for name, scale in (("kl", 1), ("l2", 2), ("top_changed", 0.001))}
    return xr.Dataset(
        effects, coords={"kind": ["random", "real-other"], "path_size": ("path_size", SIZES, {"unit": "degrees"})}
    )


# Curves ---------------------------------------------------------------------------------------------------------------


def test_curves_are_medians_and_quartiles_over_prompts_of_means_over_directions(curves):
    kl, share = plotting.curve_panels(curves, "kind", ["kl"], means=["top_changed"]).axes
    for band, kind in zip(kl.collections, curves.kind.values, strict=True):
        of_prompts = curves.kl.sel(kind=kind).values.mean(1)
        np.testing.assert_array_equal(lines(kl)[kind].get_xdata(), SIZES)
        np.testing.assert_allclose(lines(kl)[kind].get_ydata(), np.median(of_prompts, 0))
        low, high = np.percentile(of_prompts, [25, 75], axis=0)
        np.testing.assert_allclose(ends(band), [low.min(), high.max()])
        np.testing.assert_allclose(
            lines(share)[kind].get_ydata(), curves.top_changed.sel(kind=kind).values.mean((0, 1))
        )
    assert legend(kl) == ["random", "real-other"] and not share.collections
    assert lines(kl)["random"].get_linestyle() != lines(kl)["real-other"].get_linestyle()
    assert (kl.get_xlabel(), kl.get_ylabel()) == ("angle θ (degrees)", "KL divergence (nats)")


def test_each_mode_has_its_own_panel_and_unit(curves):
    sphere = curves.kl.isel(direction=0)
    straight = sphere.assign_coords(path_size=("path_size", SIZES / 90, {"unit": "‖base‖"}))
    left, right = plotting.nearest_panels(straight, sphere).axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("distance α (norms of the base)", "angle θ (degrees)")
    for ax in (left, right):
        np.testing.assert_allclose(lines(ax)["random"].get_ydata(), np.median(sphere.sel(kind="random"), 0))


def test_curves_that_are_smooth_maps_lie_on_their_references():
    chord = np.sin(np.deg2rad(SIZES / 2))
    dims = ("prompt", "base", "direction", "path_size")
    coords = {"base": ["real"], "path_size": ("path_size", SIZES, {"unit": "degrees"})}
    scale = np.array([1.0, 3.0])[:, None, None, None]
    curves = {effect: (dims, scale * chord**power) for effect, power in (("kl", 2), ("l2", 1))}
    axes = plotting.against_smooth(xr.Dataset(curves, coords)).axes
    for ax, name in zip(axes, ("quadratic", "linear map"), strict=True):
        real, smooth = (lines(ax)[label] for label in ("real", name))
        assert real.get_xdata().max() == smooth.get_xdata().max() == 90 and real.get_ydata()[-1] == 1
        drawn = np.interp(real.get_xdata(), smooth.get_xdata(), smooth.get_ydata())
        np.testing.assert_allclose(real.get_ydata(), drawn, atol=1e-6)
        assert real.get_linestyle() != smooth.get_linestyle()
    quadratic = lines(axes[0])["quadratic"]
    assert np.interp(0.1, quadratic.get_ydata(), quadratic.get_xdata()) == pytest.approx(25.84, abs=0.05)


def test_growth_is_drawn_on_logarithmic_axes(curves):
    small = curves[["kl", "l2"]].isel(kind=0, direction=0, path_size=slice(1, None))
    for ax, effect in zip(plotting.growth(small).axes, ("kl", "l2"), strict=True):
        np.testing.assert_allclose(ax.lines[0].get_ydata(), np.median(small[effect], 0))
        assert ax.get_xscale() == ax.get_yscale() == "log"


def test_pair_curves_draw_medians_of_each_network():
    t = np.linspace(0, 1, 5)
    start = np.stack([np.stack([t, 2 * t, 3 * t]), np.stack([t**2] * 3)])[:, :, None, None]
    dims = ("network", "prompt", "interpolation", "read", "t")
    pairs = xr.Dataset(
        {"from_start": (dims, np.broadcast_to(start, (2, 3, 2, 1, 5)))},
        coords={
            "network": ["trained", "untrained"],
            "interpolation": ["linear", "slerp"],
            "read": ["resid_post"],
            "t": t,
        },
    )
    for ax in plotting.pair_curves(pairs, "resid_post").axes:
        np.testing.assert_allclose(lines(ax)["trained"].get_ydata(), t)
        np.testing.assert_allclose(lines(ax)["untrained"].get_ydata(), t**2)


def test_lines_past_corners_are_zero_at_the_corner():
    s, rise = np.array([-0.1, 0.0, 0.1]), np.array([[1.0, 2.0], [3.0, 4.0]])  # [section, line]
    angles = 50 + rise[None, :, :, None] * np.abs(s)
    sections = ["real-other", "random"]
    lines_ = xr.Dataset(
        {"threshold": (("prompt", "section", "line", "s"), angles)}, coords={"section": sections, "s": s}
    )
    (ax,) = plotting.lines_past(lines_).axes
    for section, middle in zip(sections, (1.5, 3.5), strict=True):
        np.testing.assert_allclose(lines(ax)[f"{section} corner"].get_ydata(), middle * np.abs(s), atol=1e-12)


# Estimates ------------------------------------------------------------------------------------------------------------


def estimate(values, dims, coords, width=0.1, **attrs) -> xr.Dataset:
    """Estimates whose intervals are `width` to either side."""
    values = np.array(values, float)
    shifts = (("value", 0), ("low", -width), ("high", width))
    return xr.Dataset({name: (dims, values + shift) for name, shift in shifts} | {"n": 9}, coords=coords, attrs=attrs)


@pytest.fixture
def by_level():
    """Estimates over [base, level]."""
    level = ("level", [0.1, 1.0, 5.0], {"description": "KL threshold", "unit": "nats"})
    values = [[0.9, 0.8, 0.7], [0.95, 0.9, 0.85]]
    return estimate(values, ("base", "level"), {"base": ["random", "naive"], "level": level})


def test_marked_places_are_named_on_the_figure(by_level):
    (ax,) = plotting.interval_curve(by_level, "level", "AUROC", marks={"here": 0.5}).axes
    assert [line.get_xdata()[0] for line in ax.lines if list(line.get_ydata()) == [0, 1]] == [0.5]
    assert "here" in [text.get_text() for text in ax.texts]


def test_interval_curve_draws_estimates_and_their_ends(by_level):
    (ax,) = plotting.interval_curve(by_level, "level", "AUROC", reference=0.5).axes
    for band, base in zip(ax.collections, ("random", "naive"), strict=True):
        np.testing.assert_array_equal(lines(ax)[base].get_xdata(), by_level.level)
        np.testing.assert_array_equal(lines(ax)[base].get_ydata(), by_level.value.sel(base=base))
        found = by_level.sel(base=base)
        np.testing.assert_allclose(ends(band), [found.low.min(), found.high.max()])
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == ("KL threshold (nats)", "AUROC", "log")


def test_layers_draw_what_is_beyond_the_range_at_its_limit():
    coords = {"series": ["real base", "Gaussian base"], "layer": [0, 5]}
    sizes = estimate([[40, np.inf], [30, 20]], ("series", "layer"), coords, limit=180.0)
    separation = estimate([[0.5, 0.6], [0.7, 0.8]], ("series", "layer"), coords)
    left, right = plotting.layer_panels(sizes, separation).axes
    assert lines(left)["real base"].get_ydata().tolist() == [40, 180]
    assert lines(right)["Gaussian base"].get_ydata().tolist() == [0.7, 0.8]
    assert lines(left)["real base"].get_linestyle() != lines(left)["Gaussian base"].get_linestyle()


def test_dots_stand_at_the_values_with_lines_from_end_to_end():
    first = estimate([1.0, 2.0], ("kind",), {"kind": ["random", "real"]}, width=0.5)
    second = estimate([3.0], ("base",), {"base": ["real"]}, width=0.5)
    left, right = plotting.dots({"angle": first, "distance": second}, reference=1.0).axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("angle", "distance")
    assert [label.get_text() for label in left.get_yticklabels()] == ["random", "real"]
    drawn = [line.get_xydata().tolist() for line in left.lines]
    assert drawn[:4] == [[[0.5, 0], [1.5, 0]], [[1.0, 0]], [[1.5, 1], [2.5, 1]], [[2.0, 1]]]
    assert right.lines[1].get_xydata().tolist() == [[3.0, 1]]
    assert left.lines[0].get_color() == plotting.KIND_COLORS["random"]


@pytest.mark.parametrize(("value", "words"), [(np.inf, "beyond the range"), (np.nan, "unknown")])
def test_a_value_that_is_no_number_is_said_and_not_drawn(value, words):
    found = estimate([1.0, value], ("kind",), {"kind": ["a", "b"]})
    (ax,) = plotting.dots({"size": found}).axes
    assert [text.get_text() for text in ax.texts] == [words] and len(ax.lines) == 2


def test_an_interval_that_ends_beyond_the_range_ends_at_the_limit():
    sizes = xr.DataArray([[1.0], [2.0], [3.0], [np.nan], [np.nan]], dims=("prompt", "kind"), coords={"kind": ["a"]},
                         attrs={"limit": 50.0})  # fmt: skip
    found = estimates.median(sizes, n_boot=200)
    assert np.isinf(found.high.item())
    (ax,) = plotting.dots({"size": found}).axes
    assert ax.lines[0].get_xdata()[1] == 50 and ax.lines[1].get_xdata().tolist() == [3.0]


def test_grouped_dots_tell_kinds_apart_and_skip_those_that_a_row_lacks():
    coords = {"sae": ["one", "two"], "kind": ["active", "dead"]}
    both = estimate([[1.0, 2.0], [3.0, np.nan]], ("sae", "kind"), coords)
    single = estimate([[5.0], [6.0]], ("sae", "kind"), {"sae": ["one", "two"], "kind": ["active"]})
    figure = plotting.grouped_dots({"KL": both, "angle": single}, reference=1.0)
    left, right = figure.axes
    values = [line.get_xdata()[0] for line in left.lines if line.get_marker() != "None"]
    assert values == [1.0, 2.0, 3.0]
    assert [line.get_xdata()[0] for line in right.lines if line.get_marker() != "None"] == [5.0, 6.0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["active", "dead"]
    marks = [(line.get_marker(), line.get_color()) for line in left.lines if line.get_marker() != "None"]
    assert marks[0] == marks[2] and marks[0][0] != marks[1][0] and marks[0][1] != marks[1][1]
