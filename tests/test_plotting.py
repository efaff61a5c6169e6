"""What is shared by figures, and figures of distributions, maps and walks: artists against the data that they were given."""

import io
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr

from plateaus_utils import plotting
from plateaus_utils.activations import Gaussian

SIZES = np.linspace(0, 180, 7)


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def heights(patch) -> np.ndarray:
    """Heights of an outlined histogram's bins."""
    return patch.get_xy()[1::2, 1][:-1]


def curve(values, unit="degrees") -> xr.DataArray:
    return xr.DataArray(values, dims="path_size", coords={"path_size": ("path_size", SIZES, {"unit": unit})})


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


# The style ------------------------------------------------------------------------------------------------------------


def test_importing_and_drawing_leave_the_settings_of_matplotlib_alone():
    code = (
        "import matplotlib; before = dict(matplotlib.rcParams.copy()); before.pop('backend', None);"
        "from plateaus_utils import plotting; plotting.path_sketch();"
        "after = dict(matplotlib.rcParams.copy()); after.pop('backend', None); assert before == after"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_figures_are_drawn_in_the_style():
    ax = plotting.path_sketch().axes[0]
    assert not ax.spines["top"].get_visible() and not ax.get_legend().get_frame_on()
    assert ax.lines[0].get_linewidth() == plotting.STYLE["lines.linewidth"]
    assert ax.lines[0].get_color() == plotting.COLORS["blue"]


def test_kinds_of_direction_differ_in_colour_and_in_dashes():
    kinds = ("random", "real-other", "naive", "random mixture", "real mixture")
    assert (
        len({plotting.KIND_COLORS[kind] for kind in kinds}) == len({plotting.KIND_DASHES[kind] for kind in kinds}) == 5
    )
    series = list(plotting.SERIES)
    assert (
        len({style["color"] for style in series}) == len({str(style["linestyle"]) for style in series}) == len(series)
    )


# Distributions --------------------------------------------------------------------------------------------------------


def test_spectrum_ends_at_the_whole_variance():
    gaussian = Gaussian.fit(torch.randn(200, 6))
    left, right = plotting.spectrum(gaussian).axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), gaussian.eigenvalues.numpy())
    assert right.lines[0].get_ydata()[-1] == pytest.approx(1)


def test_histograms_hold_all_finite_values_of_each_member():
    values = np.array([[0.0, 1.0, 1.0, np.nan], [3.0, 4.0, 4.0, np.inf]])
    labels = {"description": "length", "unit": "steps"}
    sample = xr.DataArray(values, dims=("base", "prompt"), coords={"base": ["real", "random"]}, attrs=labels)
    (ax,) = plotting.histogram_panels(sample, by="base", bins=4).axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("length (steps)", "density")
    assert sorted(legend(ax)) == ["random", "real"]
    drawn = {patch.get_label(): patch for patch in ax.patches}
    np.testing.assert_allclose(heights(drawn["real"]), np.array([1, 2, 0, 0]) / 3)
    np.testing.assert_allclose(heights(drawn["random"]), np.array([0, 0, 0, 3]) / 3)
    assert drawn["real"].get_linestyle() != drawn["random"].get_linestyle()


def test_dots_lie_at_the_pairs_of_each_kind():
    dims, coords = ("prompt", "kind", "direction"), {"kind": ["random", "real-other"]}
    x = xr.DataArray(np.arange(8.0).reshape(2, 2, 2), dims=dims, coords=coords, attrs={"description": "cosine"})
    y = (10 + x).transpose("direction", "kind", "prompt")
    y.attrs = {"description": "threshold angle", "unit": "degrees"}
    left, right = plotting.scatter_panels(x, -x.assign_attrs(description="share"), y=y, by="kind").axes
    assert legend(left) == ["random", "real-other"] and left.get_ylabel() == "threshold angle (degrees)"
    for line, kind in zip(left.lines, x.kind.values, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), x.sel(kind=kind).values.ravel())
        np.testing.assert_array_equal(line.get_ydata(), 10 + line.get_xdata())
    np.testing.assert_array_equal(right.lines[0].get_ydata(), 10 - right.lines[0].get_xdata())


def test_thresholds_are_drawn_at_their_own_limit_where_censored():
    values = np.array([[[10.0, 12.0], [5.0, np.nan]], [[11.0, 9.0], [np.nan, np.nan]]])
    sizes = xr.DataArray(values, dims=("prompt", "base", "direction"), coords={"base": ["real", "random"]},
                         attrs={"limit": 50.0, "unit": "steps"})  # fmt: skip
    left, right = plotting.paired_thresholds(sizes, "base", "real").axes
    assert left.get_xlabel() == "threshold (steps)"
    assert set(legend(left)) == {"real (0% censored)", "random (75% censored)"}
    assert max(patch.get_xy()[:, 0].max() for patch in left.patches) == 50.0
    dots = next(line for line in right.lines if line.get_linestyle() == "None")
    assert dots.get_ydata().tolist() == [5.0]  # 10 - 5; the mean skips the censored direction


def test_single_latents_stand_at_their_frequency_and_cosine():
    latents = xr.Dataset({"frequency": ("latent", [0.01, 0.1, 0.5]), "cosine": ("latent", [0.2, 0.4, 0.3])})
    angles = xr.DataArray([40.0, 50.0, 60.0], dims="latent")
    bars, *dots = plotting.single_latents(angles, latents).axes
    assert sum(patch.get_height() for patch in bars.patches) == 3
    for ax, name in zip(dots, ("frequency", "cosine"), strict=True):
        np.testing.assert_array_equal(ax.lines[0].get_xdata(), latents[name])
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), angles)


# Maps -----------------------------------------------------------------------------------------------------------------


def test_a_plane_marks_its_corners_and_shows_the_nearest_run():
    grid = np.linspace(-0.25, 1.25, 7)
    corners = np.array([[0.0, 0.0], [2.0, 0.0], [0.5, 1.5]])
    kl = np.random.default_rng(0).uniform(0, 3, (3, 7, 7))
    landscape = xr.Dataset({"kl": (("corner", "v", "u"), kl), "corner_xy": (("corner", "xy"), corners)},
                           coords={"u": grid, "v": grid})  # fmt: skip
    surface, flat, bar = plotting.plane(landscape).axes
    assert [line.get_xydata()[0].tolist() for line in flat.lines] == corners.tolist()
    assert [text.get_text() for text in flat.texts] == [text.get_text() for text in surface.texts] == ["A", "B", "C"]
    assert surface.lines[0].get_data_3d()[2][1] == pytest.approx(kl.min(0).max())
    assert bar.get_ylabel() == "KL to nearest (nats)"


def test_triangles_mark_the_lowest_point_and_draw_censored_angles_at_the_limit():
    weights = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1 / 3] * 3])
    angles = np.array([[[30.0, 40, 50, 60], [80, np.nan, 70, 90]]])
    sections = xr.Dataset(
        {"threshold": (("prompt", "section", "point"), angles, {"limit": 120.0})},
        coords={"section": ["real-other", "random"], "weight": (("point", "corner"), weights)},
    )
    upper, _, lower, *_ = plotting.triangles(sections, n_columns=2).axes
    np.testing.assert_allclose(lower.lines[0].get_xydata(), [[0.5, np.sqrt(3) / 2]])  # the real corner, 30 degrees
    np.testing.assert_allclose(upper.lines[0].get_xydata(), [[1.0, 0.0]])  # 70 degrees
    assert upper.collections[0].get_array().tolist() == [80, 120, 70, 90]
    assert [text.get_text() for text in lower.texts] == ["real", "g₁", "g₂"]
    assert upper.collections[0].get_clim() == lower.collections[0].get_clim() == (30, 120)


# Walks ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["$$", "$", "a$b$", "$\\frac", "\\$", "plain"])
def test_texts_of_tokens_are_never_read_as_mathematics(token):
    chances = xr.DataArray(SIZES[:, None] / 180, dims=("path_size", "token"), coords={"token": [token]})
    figure = plotting.token_curve(curve(SIZES / 90), chances, 45.0)
    figure.savefig(io.BytesIO(), format="png")
    assert legend(figure.axes[1]) == [repr(token).replace("$", r"\$")]


def test_a_token_curve_shows_kl_above_the_probabilities_of_its_tokens():
    chances = xr.DataArray(
        np.stack([SIZES / 180, 1 - SIZES / 180], 1), dims=("path_size", "token"), coords={"token": [" a", " b"]}
    )
    upper, lower = plotting.token_curve(curve(SIZES / 90), chances, 45.0).axes
    np.testing.assert_array_equal(upper.lines[0].get_ydata(), SIZES / 90)
    assert upper.lines[1].get_ydata()[0] == 0.5 and upper.lines[2].get_xdata()[0] == 45
    for i in range(2):
        np.testing.assert_array_equal(lower.lines[i].get_ydata(), chances.isel(token=i))
    assert lower.get_xlabel() == "angle θ (degrees)"


@pytest.mark.parametrize(("threshold", "n_lines"), [(45.0, 4), (np.nan, 3)])
def test_a_walk_marks_its_place_and_the_threshold_where_there_is_one(threshold, n_lines):
    left, right = plotting.walk(curve(SIZES / 90), 3, [("$", 0.75), (" b", 0.25)], threshold).axes
    assert len(left.lines) == n_lines
    assert left.lines[-1].get_xydata().tolist() == [[90.0, 1.0]]
    assert [bar.get_width() for bar in right.patches] == [0.75, 0.25]
    assert [label.get_text() for label in right.get_yticklabels()] == [r"'\$'", "' b'"]


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
