"""Single walks: the two kinds of path, and one prompt's curve with its next tokens."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ..sensitivity import KL_THRESHOLD
from .style import AXIS, COLORS, LABELS, SERIES, literal, panels, styled


@styled
def path_sketch() -> Figure:
    """The straight and the sphere path in the plane of the base and the direction."""
    figure, axes = panels(1, 1, width=4.6, height=3.4)
    ax = axes[0, 0]
    direction = np.array([-0.55, 0.835])
    theta = np.deg2rad(np.linspace(0, 180, 181))
    ax.plot(np.cos(theta), np.sin(theta), color=COLORS["blue"], label="sphere: constant norm")
    line = np.array([1, 0]) + np.linspace(0, 1, 2)[:, None] * direction
    ax.plot(*line.T, color=COLORS["orange"], linestyle="--", label="straight: α from 0 to 1")
    for angle in (30, 60, 90):
        point = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        ax.plot(*point, "o", color=COLORS["blue"], markersize=4)
        ax.annotate(f"{angle}°", point, textcoords="offset points", xytext=(4, 4), fontsize=8)
    ax.annotate("", (1, 0), (0, 0), arrowprops={"arrowstyle": "->", "color": COLORS["black"]})
    ax.annotate("base b", (0.45, 0), textcoords="offset points", xytext=(0, -13))
    ax.annotate("b + ‖b‖u", line[1], textcoords="offset points", xytext=(-4, -3), fontsize=8, ha="right")
    ax.annotate("−b", (-1, 0), textcoords="offset points", xytext=(-4, -13))
    ax.plot([0, 1, -1], [0, 0, 0], "o", color=COLORS["black"], markersize=4)
    ax.set(aspect="equal", xlabel="along the base (norms of b)", ylabel="along u⊥", ylim=(-0.25, 1.35))
    ax.set_xticks([-1, -0.5, 0, 0.5, 1])
    ax.legend(fontsize=8, loc="upper center", ncols=2)
    return figure


@styled
def token_curve(kl: xr.DataArray, probabilities: xr.DataArray, threshold: float) -> Figure:
    """One prompt's KL curve, above the probabilities of the tokens that lead somewhere on the way.

    Args:
        kl: [path_size] in nats, its sizes with their `unit`.
        probabilities: [size, token], tokens by their texts.
        threshold: the size at which KL reaches the threshold; NaN where it does not.
    """
    figure, axes = panels(2, 1, height=2.3, sharex=True)
    _curve(axes[0, 0], kl, threshold)
    axes[1, 0].set_prop_cycle(SERIES)
    for i, token in enumerate(probabilities.token.values.tolist()):
        axes[1, 0].plot(kl.path_size, probabilities.isel(token=i), label=literal(token))
    axes[1, 0].set(xlabel=AXIS[kl.path_size.attrs["unit"]], ylabel="probability", ylim=(0, None))
    axes[1, 0].legend(fontsize=8, ncols=2, title="next token", title_fontsize=8)
    _mark(axes[1, 0], threshold)
    return figure


@styled
def walk(kl: xr.DataArray, place: int, tokens: list[tuple[str, float]], threshold: float) -> Figure:
    """A KL curve with a marker at one of its sizes, beside the most probable next tokens there.

    Args:
        kl: [path_size] in nats, its sizes with their `unit`.
        place: index of the marked size.
        tokens: texts and probabilities of next tokens there.
        threshold: the size at which KL reaches the threshold; NaN where it does not.
    """
    figure, axes = panels(1, 2, height=2.9)
    curve, bars = axes[0]
    _curve(curve, kl, threshold)
    curve.plot(kl.path_size[place], kl[place], "o", color=COLORS["orange"])
    curve.set(xlabel=AXIS[kl.path_size.attrs["unit"]], ylim=(0, None))
    names, values = zip(*tokens, strict=True)
    bars.barh([literal(name) for name in names], values, color=COLORS["blue"])
    bars.invert_yaxis()
    bars.set(xlabel="probability", xlim=(0, 1))
    return figure


def _curve(ax, kl: xr.DataArray, threshold: float) -> None:
    """A KL curve with the threshold's level, dotted, and its size, dashed."""
    ax.plot(kl.path_size, kl, color=COLORS["black"])
    ax.axhline(KL_THRESHOLD, color=COLORS["grey"], linewidth=1, linestyle=":")
    ax.set(ylabel=LABELS["kl"])
    _mark(ax, threshold)


def _mark(ax, threshold: float) -> None:
    """A dashed line at a size, if there is one."""
    if np.isfinite(threshold):
        ax.axvline(threshold, color=COLORS["orange"], linewidth=1.2, linestyle="--")
