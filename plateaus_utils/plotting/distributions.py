"""Samples as histograms and dots."""

import itertools

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ..activations import Gaussian
from .style import COLORS, KIND_COLORS, KIND_DASHES, SERIES, axis_text, panels, styled


def known(values: xr.DataArray) -> np.ndarray:
    """All finite values, flat."""
    return values.values[np.isfinite(values.values)]


@styled
def spectrum(gaussian: Gaussian) -> Figure:
    """Eigenvalues of the covariance and the share of variance they carry together."""
    figure, axes = panels(1, 2)
    values = gaussian.eigenvalues.numpy()
    rank = np.arange(1, len(values) + 1)
    kept = values > values[0] * 1e-12
    axes[0, 0].loglog(rank[kept], values[kept])
    axes[0, 0].set(xlabel="rank", ylabel="eigenvalue of the covariance")
    axes[0, 1].plot(rank, np.cumsum(values) / values.sum())
    axes[0, 1].set(xlabel="rank", ylabel="cumulative share of variance", xscale="log", ylim=(0, 1.02))
    return figure


@styled
def histogram_panels(*samples: xr.DataArray, by: str, bins: int = 40) -> Figure:
    """One panel of outlined density histograms for each quantity.

    Args:
        samples: quantities with the dimension `by` and any others; `description` and `unit` label their axes. Values that
            are not finite are left out.
        by: the dimension whose members are told apart.
        bins: bins from the smallest to the largest value of a quantity.
    """
    figure, axes = panels(1, len(samples))
    for ax, sample in zip(axes[0], samples, strict=True):
        edges = np.histogram_bin_edges(known(sample), bins)
        for style, member in zip(SERIES(), sample[by].values.tolist(), strict=False):
            _outline(ax, known(sample.sel({by: member})), edges, member, member, style)
        ax.set(xlabel=axis_text(sample), ylabel="density")
    axes[0, 0].legend(fontsize=8)
    return figure


def _outline(ax, values: np.ndarray, edges: np.ndarray, kind: str, label: str, style: dict) -> None:
    """A density histogram in the look of a kind, or else in `style`."""
    color, dashes = KIND_COLORS.get(kind, style["color"]), KIND_DASHES.get(kind, style["linestyle"])
    look = {"histtype": "step", "linewidth": 1.6, "color": color, "linestyle": dashes}
    ax.hist(values, edges, density=True, label=label, **look)


@styled
def scatter_panels(*x: xr.DataArray, y: xr.DataArray, by: str) -> Figure:
    """One panel of dots for each quantity `x` against `y`, by member of a dimension of all of them.

    `description` and `unit` label the axes; pairs with a value that is not finite are left out.
    """
    figure, axes = panels(1, len(x), sharey=True)
    for ax, quantity in zip(axes[0], x, strict=True):
        for mark, kind in zip(itertools.cycle("os^"), quantity[by].values.tolist(), strict=False):
            across, up = xr.broadcast(quantity.sel({by: kind}, drop=True), y.sel({by: kind}, drop=True))
            look = {"color": KIND_COLORS.get(kind), "markersize": 3, "alpha": 0.5}
            ax.plot(across.values.ravel(), up.values.ravel(), mark, label=kind, **look)
        ax.set(xlabel=axis_text(quantity))
    axes[0, 0].set(ylabel=axis_text(y))
    axes[0, 0].legend(fontsize=8)
    return figure


@styled
def between_and_within(x: xr.DataArray, y: xr.DataArray, by: str, slope: float) -> Figure:
    """Two quantities on logarithmic axes: geometric means of prompts, and each value over the mean of its prompt.

    Args:
        x, y: positive values [prompt, `by`, direction]; `description` and `unit` label the axes.
        by: the dimension whose members are told apart within prompts.
        slope: of the dotted line, a power law to compare with.
    """
    figure, axes = panels(1, 2, height=3.1)
    means = [np.exp(np.log(values).mean([by, "direction"])) for values in (x, y)]
    axes[0, 0].plot(*means, "o", markersize=3, alpha=0.5, color=COLORS["black"])
    axes[0, 0].set(xlabel=axis_text(x), ylabel=axis_text(y))
    for mark, kind in zip(itertools.cycle("os^"), x[by].values.tolist(), strict=False):
        own = [(values / mean).sel({by: kind}).values.ravel() for values, mean in zip((x, y), means, strict=True)]
        axes[0, 1].plot(*own, mark, markersize=2, alpha=0.25, color=KIND_COLORS.get(kind), label=kind)
    line = np.array([float(limit) for limit in ((x / means[0]).min(), (x / means[0]).max())])
    axes[0, 1].plot(line, line**slope, color=COLORS["black"], linestyle=":", linewidth=1.4)
    axes[0, 1].set(
        xlabel=f"{x.attrs['description']} over the prompt's", ylabel=f"{y.attrs['description']} over the prompt's"
    )
    for ax in axes[0]:
        ax.set(xscale="log", yscale="log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    axes[0, 1].legend(fontsize=8, markerscale=2)
    return figure


@styled
def bends(slope: xr.DataArray, second: xr.DataArray, by: str) -> Figure:
    """Second differences against slopes times step, a panel for each member of `by`; lowest points lie in the shaded wedge.

    Args:
        slope, second: [prompt, `by`]; `description` and `unit` label the axes. Axes end at the outermost tenth of values,
            and values beyond them are drawn there.
    """
    figure, axes = panels(1, second.sizes[by], height=3.1, sharex=True, sharey=True)
    wide, high = (max(float(abs(values).quantile(0.9)), 1e-6) for values in (slope, second))
    for ax, member in zip(axes[0], second[by].values.tolist(), strict=True):
        edges = np.array([-wide, 0, wide])
        ax.fill_between(edges, 2 * abs(edges), 2 * wide + high, color=COLORS["grey"], alpha=0.15, linewidth=0)
        ax.axhline(0, color=COLORS["grey"], linewidth=1)
        found = slope.sel({by: member}).clip(-wide, wide), second.sel({by: member}).clip(-high, high)
        ax.plot(*found, "o", markersize=3, alpha=0.5, color=KIND_COLORS.get(member), label=f"{member} corner")
        ax.set(xlabel=axis_text(slope), ylim=(-1.08 * high, 1.08 * high), xlim=(-1.08 * wide, 1.08 * wide))
        ax.legend(fontsize=8, loc="lower right")
    axes[0, 0].set(ylabel=axis_text(second))
    return figure


@styled
def paired_thresholds(thresholds: xr.DataArray, group: str, reference: str) -> Figure:
    """Threshold sizes by member of `group`, and their paired differences from `reference` within prompts.

    Args:
        thresholds: [prompt, `group`, direction] with the attributes `limit` and `unit`. Censored sizes are drawn at the
            limit and counted in the legend; differences that involve one are left out.
    """
    figure, axes = panels(1, 2)
    limit = thresholds.attrs["limit"]
    edges = np.linspace(0, limit, 31)
    for style, member in zip(SERIES(), thresholds[group].values.tolist(), strict=False):
        sizes = thresholds.sel({group: member})
        label = f"{member} ({float(sizes.isnull().mean()):.0%} censored)"
        _outline(axes[0, 0], sizes.fillna(limit).values.ravel(), edges, member, label, style)
    axes[0, 0].set(xlabel=f"threshold ({thresholds.attrs['unit']})", ylabel="density")
    axes[0, 0].legend(fontsize=7, loc="upper right")
    _differences(axes[0, 1], thresholds, group, reference)
    return figure


def _differences(ax, thresholds: xr.DataArray, group: str, reference: str) -> None:
    """A column of dots, one a prompt, for each other member of `group`, with a line at the median."""
    others = [member for member in thresholds[group].values.tolist() if member != reference]
    for place, member in enumerate(others):
        values = known((thresholds.sel({group: reference}) - thresholds.sel({group: member})).mean("direction"))
        if not len(values):
            continue
        spread = np.random.default_rng(0).uniform(-0.16, 0.16, len(values))
        ax.plot(place + spread, values, "o", markersize=2.6, alpha=0.5, color=KIND_COLORS.get(member))
        ax.plot([place - 0.28, place + 0.28], [np.median(values)] * 2, color=COLORS["black"])
    ax.axhline(0, color=COLORS["grey"], linewidth=1)
    ax.set(xticks=range(len(others)), xticklabels=others, ylabel=f"{reference} minus other")
    ax.tick_params(axis="x", labelrotation=20 if len(others) > 2 else 0)


@styled
def single_latents(angles: xr.DataArray, latents: xr.Dataset) -> Figure:
    """Mean threshold angles of latents: histogram, and against frequency and the largest cosine with another latent.

    Args:
        angles: [latent], degrees.
        latents: `frequency` and `cosine` [latent].
    """
    figure, axes = panels(1, 3, width=8.4, height=2.9)
    axes[0, 0].hist(angles.values, 20, color=COLORS["blue"])
    axes[0, 0].set(xlabel="mean threshold angle (degrees)", ylabel="latents")
    for ax, name, label in zip(
        axes[0, 1:], ("frequency", "cosine"), ("share of activations", "largest cosine"), strict=True
    ):
        ax.plot(latents[name], angles, "o", markersize=3.5, alpha=0.6, color=COLORS["blue"])
        ax.set(xlabel=label, ylabel="angle (degrees)", xscale="log" if name == "frequency" else "linear")
    return figure
