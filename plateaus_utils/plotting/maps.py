"""Values over planes and over triangles of directions."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from .style import COLORS, panels, styled


@styled
def plane(landscape: xr.Dataset) -> Figure:
    """KL to the nearest of three activations over the plane through them: surface, and map with equal axes.

    Args:
        landscape: `kl` [corner, v, u], the divergence from the run on each corner, and `corner_xy` [corner, xy], the corners
            in orthonormal coordinates; of one plane.
    """
    nearest, corners = landscape.kl.min("corner").values, landscape.corner_xy.values
    u, v = np.meshgrid(landscape.u.values, landscape.v.values)
    x = u * corners[1, 0] + v * corners[2, 0]
    y = u * corners[1, 1] + v * corners[2, 1]
    figure = plt.figure(figsize=(8.2, 3.6), layout="constrained")
    _surface(figure.add_subplot(1, 2, 1, projection="3d"), x, y, nearest, corners)
    flat = figure.add_subplot(1, 2, 2)
    levels = np.concatenate([[0, 0.01, 0.05, 0.1, 0.25], np.geomspace(0.5, max(nearest.max(), 1.0), 8)])
    image = flat.contourf(x, y, nearest, levels=levels, norm=plt.matplotlib.colors.BoundaryNorm(levels, 256))
    flat.contour(x, y, nearest, levels=[0.5], colors="white", linewidths=1.2)
    for (cx, cy), name in zip(corners, "ABC", strict=True):
        flat.plot(cx, cy, "o", color="white", markeredgecolor="black")
        flat.annotate(name, (cx, cy), textcoords="offset points", xytext=(6, 5), color="white", weight="bold")
    flat.set(aspect="equal", xlabel="along A to B", ylabel="across")
    flat.grid(False)
    figure.colorbar(image, ax=flat, label="KL to nearest (nats)", format="%.2g")
    return figure


def _surface(ax, x: np.ndarray, y: np.ndarray, heights: np.ndarray, corners: np.ndarray) -> None:
    """Heights [v, u] over a plane, with a line that stands on each corner [3, 2]."""
    ax.plot_surface(x, y, heights, cmap="viridis", rcount=60, ccount=60, linewidth=0)
    for (cx, cy), name in zip(corners, "ABC", strict=True):
        ax.plot([cx, cx], [cy, cy], [0, heights.max()], color=COLORS["black"], linewidth=1.2)
        ax.text(cx, cy, heights.max() * 1.05, name, weight="bold", zorder=10)
    ax.set(xticklabels=[], yticklabels=[])
    ax.view_init(elev=48, azim=-70)


CORNERS = np.array([[0.5, np.sqrt(3) / 2], [0.0, 0.0], [1.0, 0.0]])
"""Where the corners of a triangle are drawn; the first one is at the top."""
SECTIONS = {"random": ("g₀", "g₁", "g₂"), "real-other": ("real", "g₁", "g₂")}
"""Section -> what its corners are called."""


@styled
def triangles(sections: xr.Dataset, n_columns: int) -> Figure:
    """Ternary maps of threshold angles: all-Gaussian sections above, those with a real activation at the top below.

    Args:
        sections: `threshold` [prompt, section, point] with the attribute `limit`, at which censored angles are drawn, and
            the coordinate `weight` [point, corner].
        n_columns: how many of the first prompts are shown.
    """
    places = sections.weight.values @ CORNERS
    angles = sections.threshold.isel(prompt=slice(0, n_columns)).sel(section=list(SECTIONS))
    angles = angles.fillna(sections.threshold.attrs["limit"])
    low, high = float(angles.min()), float(angles.max())
    figure, axes = panels(2, n_columns, width=7.6, height=2.5)
    for row, section in enumerate(SECTIONS):
        for column in range(angles.sizes["prompt"]):
            ax, values = axes[row, column], angles.isel(prompt=column).sel(section=section).values
            image = ax.tripcolor(*places.T, values, shading="gouraud", vmin=low, vmax=high)
            ax.plot(*places[values.argmin()], "o", ms=9, mfc="none", mec=COLORS["orange"], mew=2, clip_on=False)
            for corner, name, offset in zip(CORNERS, SECTIONS[section], ((0, 5), (-8, -12), (8, -12)), strict=True):
                ax.annotate(name, corner, textcoords="offset points", xytext=offset, ha="center", fontsize=9)
            ax.set(aspect="equal", xlim=(-0.12, 1.12), ylim=(-0.14, 1.0))
    for ax in axes.ravel():
        ax.axis("off")
    figure.colorbar(image, ax=axes, label="threshold angle (degrees)", shrink=0.8)
    return figure
