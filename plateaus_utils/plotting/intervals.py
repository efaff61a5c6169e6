"""Estimates, with their intervals: as dots, one row each, and along a coordinate."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..estimates import PARTS
from .style import COLORS, KIND_COLORS, KIND_DASHES, SERIES, axis_text, panels, styled


def _drawable(estimate: xr.Dataset) -> xr.Dataset:
    """The three parts, what is beyond the range at its limit (the attribute), where it has one."""
    parts = estimate[list(PARTS)]
    return parts.where(~np.isinf(parts), estimate.attrs["limit"]) if "limit" in estimate.attrs else parts


def _lines(ax, estimate: xr.Dataset, x: str) -> None:
    """Estimates over [series, `x`], whatever the first is called, as lines with bands."""
    (by,) = (dim for dim in estimate.value.dims if dim != x)
    members = estimate[by].values.tolist()
    taken = {KIND_COLORS.get(member) for member in members}
    free = [look for look in SERIES if look["color"] not in taken]
    ax.set_prop_cycle(color=[look["color"] for look in free], linestyle=[look["linestyle"] for look in free])
    for member in members:
        found = _drawable(estimate.sel({by: member}))
        own = {"color": KIND_COLORS.get(member), "linestyle": KIND_DASHES.get(member)}
        (line,) = ax.plot(estimate[x], found.value, label=member, marker="o", markersize=3, **own)
        ax.fill_between(estimate[x], found.low, found.high, alpha=0.18, linewidth=0, color=line.get_color())
    if estimate.sizes[by] > 1:
        ax.legend(fontsize=8)


@styled
def interval_curve(
    estimate: xr.Dataset,
    x: str,
    ylabel: str,
    reference: float | None = None,
    marks: Mapping[str, float] = MappingProxyType({}),
    scale: str = "log",
) -> Figure:
    """Estimates over [series, `x`] against x, which its own `description` and `unit` label.

    Args:
        reference: where to draw a dotted horizontal line.
        marks: name -> place on x of a vertical line.
        scale: of the axis of x, as matplotlib calls it.
    """
    figure, axes = panels(1, 1, width=5.6)
    ax = axes[0, 0]
    _lines(ax, estimate, x)
    if reference is not None:
        ax.axhline(reference, color=COLORS["grey"], linewidth=1, linestyle=":")
    for name, place in marks.items():
        ax.axvline(place, color=COLORS["black"], linewidth=1, linestyle="--")
        ax.annotate(
            name, (place, 0.98), xycoords=("data", "axes fraction"), rotation=90, ha="right", va="top", fontsize=8
        )
    ax.set(xlabel=axis_text(estimate[x]), ylabel=ylabel, xscale=scale)
    return figure


@styled
def layer_panels(sizes: xr.Dataset, separation: xr.Dataset) -> Figure:
    """Median threshold angles and AUROC, each an estimate over [series, layer], by perturbed layer."""
    figure, axes = panels(1, 2)
    for ax, estimate in zip(axes[0], (sizes, separation), strict=True):
        _lines(ax, estimate, "layer")
        ax.set(xlabel="block whose input is perturbed")
    axes[0, 0].set(ylabel="median threshold angle (degrees)")
    axes[0, 1].set(ylabel="AUROC", ylim=(0, 1))
    axes[0, 1].axhline(0.5, color=COLORS["grey"], linestyle=":", linewidth=1.2)
    return figure


@styled
def change_panels(changes: xr.Dataset, names: Mapping[str, str]) -> Figure:
    """Estimates over [quantity, base, part, block] against the block: a row for each quantity, a column for each part.

    Args:
        names: quantity -> text of its axis.
    """
    parts = changes.part.values.tolist()
    figure, axes = panels(len(names), len(parts), height=1.9, sharex=True, sharey="row")
    for row, (quantity, name) in zip(axes, names.items(), strict=True):
        for ax, part in zip(row, parts, strict=True):
            _lines(ax, changes.sel(quantity=quantity, part=part), "block")
            ax.axhline(0, color=COLORS["grey"], linestyle=":", linewidth=1.2)
            if ax.get_legend() is not None and ax is not axes[0, 0]:
                ax.get_legend().remove()
        row[0].set(ylabel=f"change of\n{name}")
    for ax, part in zip(axes[0], parts, strict=True):
        ax.set_title(part, fontsize=10)
    for ax in axes[-1]:
        ax.set(xlabel="block")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@styled
def dots(groups: dict[str, xr.Dataset], reference: float | None = None) -> Figure:
    """Estimates over one dimension with their intervals, a row for each member, and a panel for each group.

    Args:
        groups: text of a panel's axis -> its estimates. A value beyond the range, or unknown, is said and not drawn; an
            interval that ends beyond the range ends at the limit (the attribute).
        reference: where to draw a dotted line.
    """
    rows = list(dict.fromkeys(row for group in groups.values() for row in _members(group, 0)))
    figure, axes = panels(1, len(groups), height=0.9 + 0.24 * len(rows), sharey=True)
    for ax, (label, group) in zip(axes[0], groups.items(), strict=True):
        (dim,) = group.value.dims
        for place, row in enumerate(rows):
            if row in _members(group, 0):
                _dot(ax, group.sel({dim: row}), place, KIND_COLORS.get(row, COLORS["black"]))
        _rows(ax, label, rows, (len(rows) - 0.5, -0.5), reference)
    return figure


@styled
def grouped_dots(groups: dict[str, xr.Dataset], reference: float | None = None) -> Figure:
    """As `dots`, for estimates over [row, kind]: several kinds in each row, told apart by colour and marker.

    A kind that a row does not have is NaN there.
    """
    rows = _members(next(iter(groups.values())), 0)
    kinds = list(dict.fromkeys(kind for group in groups.values() for kind in _members(group, 1)))
    looks = {kind: (color, mark) for kind, color, mark in zip(kinds, COLORS.values(), "osD^v", strict=False)}
    figure, axes = panels(1, len(groups), height=1.6 + 0.42 * len(rows), sharey=True)
    for ax, (label, group) in zip(axes[0], groups.items(), strict=True):
        row_dim, kind_dim = group.value.dims
        for place, row in enumerate(rows):
            for kind in _members(group, 1):
                found = group.sel({row_dim: row, kind_dim: kind})
                shift = 0.6 * ((kinds.index(kind) + 0.5) / len(kinds) - 0.5)
                if not np.isnan(found.value):
                    _dot(ax, found, place + shift, *looks[kind], label=kind)
        _rows(ax, label, rows, (len(rows) - 0.4, -0.6), reference)
    found = {label: handle for ax in axes[0] for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    found = {kind: found[kind] for kind in kinds if kind in found}
    figure.legend(found.values(), found.keys(), loc="outside upper center", ncols=max(len(found), 1), fontsize=8)
    return figure


def _members(estimate: xr.Dataset, axis: int) -> list[str]:
    """The members of one of an estimate's dimensions."""
    return estimate[estimate.value.dims[axis]].values.tolist()


def _dot(ax, estimate: xr.Dataset, place: float, color: str, mark: str = "o", label: str | None = None) -> None:
    """A single estimate: a line from end to end and a mark at the value, or words where there is no value to draw."""
    if not np.isfinite(estimate.value):
        said = "unknown" if np.isnan(estimate.value) else "beyond the range"
        ax.annotate(said, (0.98, place), xycoords=("axes fraction", "data"), ha="right", fontsize=8)
        return
    found = _drawable(estimate)
    ax.plot([found.low, found.high], [place, place], color=color)
    ax.plot(found.value, place, mark, color=color, markersize=5, label=label)


def _rows(ax, label: str, rows: list[str], ylim: tuple[float, float], reference: float | None) -> None:
    """Names of rows, the text of the axis, and a dotted line at the reference."""
    if reference is not None:
        ax.axvline(reference, color=COLORS["grey"], linewidth=1, linestyle=":")
    ax.set(xlabel=label, yticks=range(len(rows)), yticklabels=rows, ylim=ylim)
