"""Curves [prompt, ..., path_size] as medians with a band from quartile to quartile."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ..quantities import EDGE, shares
from .style import AXIS, COLORS, KIND_COLORS, KIND_DASHES, LABELS, SERIES, panels, styled


def band(ax, curves: xr.DataArray, along: str, label: str, kind: str | None = None) -> None:
    """Median and quartiles of curves over all dimensions but `along`, in the look of a kind or else of the axes' cycle."""
    others = [dim for dim in curves.dims if dim != along]
    low, middle, high = curves.quantile([0.25, 0.5, 0.75], others).values
    own = {} if kind is None else {"color": KIND_COLORS.get(kind), "linestyle": KIND_DASHES.get(kind, "-")}
    (line,) = ax.plot(curves[along].values, middle, label=label, **own)
    ax.fill_between(curves[along].values, low, high, color=line.get_color(), alpha=0.18, linewidth=0)


@styled
def curve_panels(data: xr.Dataset, group: str, effects: Sequence[str], means: Sequence[str] = ()) -> Figure:
    """Effects against size, one panel each, by member of `group`: median and quartiles over prompts, or means alone.

    Args:
        data: effects [prompt, `group`, direction, path_size]. Directions of a prompt are averaged first, so that each prompt
            counts once.
    """
    n = len(effects) + len(means)
    figure, axes = panels(1, n, width=8.4 if n > 2 else 7.2, height=3.1)
    for ax, effect in zip(axes[0], (*effects, *means), strict=True):
        for member in data[group].values.tolist():
            values = data[effect].sel({group: member}).mean("direction")
            if effect in means:
                color, dashes = KIND_COLORS.get(member), KIND_DASHES.get(member, "-")
                ax.plot(data.path_size, values.mean("prompt"), color=color, linestyle=dashes, label=member)
            else:
                band(ax, values, "path_size", member, member)
        ax.set(xlabel=AXIS[data.path_size.attrs["unit"]], ylabel=LABELS[effect])
    axes[0, 0].legend(fontsize=8)
    return figure


@styled
def cell_panels(kl: xr.DataArray) -> Figure:
    """KL divergence against angle by kind of base, a panel for each `cell`: median and quartiles over prompts.

    Args:
        kl: [cell, prompt, base, direction, path_size]; directions are averaged first.
    """
    figure, axes = panels(1, kl.sizes["cell"], width=8.4, sharey=True)
    for ax, cell in zip(axes[0], kl.cell.values.tolist(), strict=True):
        for base in kl.base.values.tolist():
            band(ax, kl.sel(cell=cell, base=base).mean("direction"), "path_size", base, base)
        ax.set(xlabel=f"θ (degrees), {cell}", xticks=[0, 60, 120, 180])
    axes[0, 0].set(ylabel=LABELS["kl"])
    axes[0, 0].legend(fontsize=8)
    return figure


@styled
def nearest_panels(*distances: xr.DataArray) -> Figure:
    """Distances [prompt, kind, path_size] to the nearest real activation along paths, one panel for each mode."""
    figure, axes = panels(1, len(distances), sharey=True)
    for ax, data in zip(axes[0], distances, strict=True):
        for kind in data.kind.values.tolist():
            band(ax, data.sel(kind=kind), "path_size", kind, kind)
        ax.set(xlabel=AXIS[data.path_size.attrs["unit"]])
    axes[0, 0].set(ylabel="distance to nearest real (norms of b)", ylim=(0, None))
    axes[0, 0].legend(fontsize=8)
    return figure


SMOOTH = {"kl": (2, "quadratic"), "l2": (1, "linear map")}
"""Effect -> the power of the chord that the simplest network would show, and what it is called."""


@styled
def against_smooth(data: xr.Dataset, end: float = 90.0, share: float = 0.1) -> Figure:
    """KL and L2 relative to their values at the angle `end`, by kind of base, with a quadratic's and a linear map's curve.

    Args:
        data: effects [prompt, base, direction, path_size] on the sphere; directions are averaged first.
        share: of KL, where a line is drawn.
    """
    figure, axes = panels(1, 2, height=3.1)
    for ax, (effect, (power, name)) in zip(axes[0], SMOOTH.items(), strict=True):
        relative = shares(data[effect].mean("direction"), end)
        for kind in data.base.values.tolist():
            band(ax, relative.sel(base=kind), "path_size", kind, kind)
        sizes = np.linspace(0, end, 91)
        chord = np.sin(np.deg2rad(sizes / 2)) / np.sin(np.deg2rad(end / 2))
        ax.plot(sizes, chord**power, color=COLORS["black"], linestyle=KIND_DASHES["linear map"], label=name)
        ax.set(xlabel=AXIS["degrees"], ylabel=f"{LABELS[effect]}, relative to {end:.0f}°", ylim=(0, 1.2))
        ax.legend(fontsize=8)
    axes[0, 0].axhline(share, color=COLORS["grey"], linewidth=1)
    return figure


@styled
def growth(data: xr.Dataset) -> Figure:
    """KL and L2 [prompt, path_size] against small sizes on logarithmic axes."""
    figure, axes = panels(1, 2)
    for ax, effect in zip(axes[0], ("kl", "l2"), strict=True):
        band(ax, data[effect], "path_size", "real", "real")
        ax.set(xscale="log", yscale="log", xlabel=AXIS["‖base‖"], ylabel=LABELS[effect])
    return figure


@styled
def pair_curves(pairs: xr.Dataset, read: str) -> Figure:
    """Relative distance from the start along paths between activations, linear and slerp; one band for each network.

    Args:
        pairs: `from_start` [network, prompt, interpolation, read, t].
        read: where the distance is read off.
    """
    figure, axes = panels(1, 2, sharey=True)
    for ax, interpolation in zip(axes[0], ("linear", "slerp"), strict=True):
        ax.set_prop_cycle(SERIES)
        for name in pairs.network.values.tolist():
            start = pairs.from_start.sel(interpolation=interpolation, read=read, network=name)
            band(ax, start / start.isel(t=-1), "t", name)
        ax.plot([0, 1], [0, 1], color=COLORS["black"], linestyle=":", linewidth=1.2, label="straight line")
        ax.set(xlabel=f"t, {interpolation}", ylim=(0, None))
    axes[0, 0].set(ylabel="d(t) / d(1)")
    axes[0, 1].legend(fontsize=8)
    return figure


@styled
def frozen_panels(pairs: xr.Dataset) -> Figure:
    """Position of the last block's output between the ends of a path, d(t) [prompt, frozen, t], for each thing frozen."""
    figure, axes = panels(1, 1, width=5.2, height=3.2)
    ax = axes[0, 0]
    ax.set_prop_cycle(SERIES)
    for frozen in pairs.frozen.values.tolist():
        found = pairs.sel(frozen=frozen)
        band(ax, found.from_start / (found.from_start + found.from_end), "t", f"{frozen} frozen")
    ax.plot([0, 1], [0, 1], color=COLORS["black"], linestyle=":", linewidth=1.2, label="straight line")
    ax.set(xlabel="t, along the great circle", ylabel="d(t), share of the way at the last block")
    ax.legend(fontsize=8)
    return figure


@styled
def lines_past(lines: xr.Dataset) -> Figure:
    """Threshold angles [prompt, section, line, s] along lines past corners, relative to the corner."""
    figure, axes = panels(1, 1, width=5.6)
    relative = lines.threshold - lines.threshold.sel(s=0.0, drop=True)
    for section in lines.section.values.tolist():
        band(axes[0, 0], relative.sel(section=section), "s", f"{section} corner", section)
    axes[0, 0].axhline(0, color=COLORS["grey"], linewidth=1)
    axes[0, 0].set(xlabel="weight of the other target", ylabel="threshold minus corner's (degrees)")
    axes[0, 0].legend(fontsize=8)
    return figure


@styled
def quadratic_panels(by_base: xr.DataArray, by_kind: xr.DataArray) -> Figure:
    """Measured over predicted KL against angle: by base with random directions, and by direction from real bases.

    Args:
        by_base: [prompt, base, direction, path_size]; the geometric mean of directions is taken first.
        by_kind: [prompt, kind, direction, path_size].
    """
    figure, axes = panels(1, 2, sharey=True, height=3.1)
    for ax, ratio, dim in zip(axes[0], (by_base, by_kind), ("base", "kind"), strict=True):
        beyond_zero = np.exp(np.log(ratio.isel(path_size=slice(1, None)).clip(min=1e-6)).mean("direction"))
        for member in ratio[dim].values.tolist():
            band(ax, beyond_zero.sel({dim: member}), "path_size", member, member)
        ax.axhline(1, color=COLORS["grey"], linestyle=":", linewidth=1.2)
        ax.axhline(EDGE, color=COLORS["grey"], linestyle="--", linewidth=1)
        ax.set(xlabel=AXIS["degrees"], yscale="log")
        ax.legend(fontsize=8)
    axes[0, 0].set(ylabel="measured / predicted KL")
    return figure
