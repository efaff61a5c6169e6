"""Dataset -> matplotlib Figure. One call makes one figure, without a title: captions belong to the page."""

import itertools
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from cycler import cycler
from IPython.display import display
from matplotlib.figure import Figure

from .activations import Gaussian
from .effects import EFFECTS
from .kinds import COLORS, STYLES
from .paths import UNITS
from .sensitivity import relative
from .statistics import Interval, bootstrap, censored_median

KIND_COLORS = {name: color for name, (color, _) in STYLES.items()}
KIND_DASHES = {name: dash for name, (_, dash) in STYLES.items()}

STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 110,
    "image.cmap": "viridis",
    "axes.prop_cycle": cycler(color=list(COLORS.values())),
}

plt.rcParams.update(STYLE)

SERIES = STYLE["axes.prop_cycle"] + cycler(
    linestyle=["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (8, 2)), (0, (1, 3))]
)
"""Styles of lines whose kinds have none of their own: told apart without colour, too."""

AXIS = {"degrees": "angle θ (degrees)", "‖base‖": "distance α (norms of the base)", "activation units": "distance ℓ"}
LABELS = {effect.name: effect.axis for effect in EFFECTS.values()}


def show(figure: Figure, alt: str) -> None:
    """Display a figure with its alternative text, and close it."""
    plt.close(figure)
    display(figure, metadata={"image/png": {"alt": alt}})


def literal(token: str) -> str:
    """A token's text between quotes, for a figure: dollar signs, which matplotlib would read as mathematics, are escaped."""
    return repr(token).replace("$", r"\$")


def panels(
    rows: int = 1, columns: int = 1, width: float = 7.2, height: float = 2.9, **options
) -> tuple[Figure, np.ndarray]:
    """A figure of `rows` × `columns` axes; the axes always come as a 2-D array."""
    return plt.subplots(rows, columns, figsize=(width, height * rows), layout="constrained", squeeze=False, **options)


def band(ax, x: np.ndarray, values: np.ndarray, kind: str, label: str | None = None) -> None:
    """Median and quartile band of curves [n, len(x)]."""
    low, middle, high = np.nanpercentile(values, [25, 50, 75], axis=0)
    color = KIND_COLORS.get(kind)
    (line,) = ax.plot(x, middle, color=color, linestyle=KIND_DASHES.get(kind, "-"), label=label or kind)
    ax.fill_between(x, low, high, color=line.get_color(), alpha=0.18, linewidth=0)


def curve_panels(data: xr.Dataset, group: str, effects: Sequence[str], means: Sequence[str] = ()) -> Figure:
    """Effects against size, one panel each, by member of `group`: median and quartiles over prompts, or means alone.

    Directions of a prompt are averaged first, so that each prompt counts once.
    """
    n = len(effects) + len(means)
    figure, axes = panels(1, n, width=8.4 if n > 2 else 7.2, height=3.1)
    for ax, effect in zip(axes[0], (*effects, *means), strict=True):
        for member in data[group].values:
            values = data[effect].sel({group: member}).mean("direction").values
            if effect in means:
                color, dashes = KIND_COLORS.get(str(member)), KIND_DASHES.get(str(member), "-")
                ax.plot(data.path_size, values.mean(0), color=color, linestyle=dashes, label=str(member))
            else:
                band(ax, data.path_size.values, values, str(member))
        ax.set(xlabel=AXIS[data.path_size.attrs["unit"]], ylabel=LABELS[effect])
    axes[0, 0].legend(fontsize=8)
    return figure


def nearest_panels(distances: dict[str, xr.DataArray]) -> Figure:
    """Distance to the nearest real activation along paths, one panel for each mode."""
    figure, axes = panels(1, len(distances), sharey=True)
    for ax, (mode, data) in zip(axes[0], distances.items(), strict=True):
        for kind in data.kind.values:
            band(ax, data.path_size.values, data.sel(kind=kind).values, str(kind))
        ax.set(xlabel=AXIS[UNITS[mode]])
    axes[0, 0].set(ylabel="distance to nearest real (norms of b)", ylim=(0, None))
    axes[0, 0].legend(fontsize=8)
    return figure


def against_linear(data: xr.Dataset, effect: str, end: float = 90.0) -> Figure:
    """An effect relative to its value at the angle `end`, by kind of base, with the curve of a linear map."""
    figure, axes = panels(1, 1, width=5.6)
    for kind in data.base.values:
        sizes, shares = relative(data.path_size.values, data[effect].sel(base=kind).mean("direction").values, end)
        band(axes[0, 0], sizes, shares, str(kind))
    chord = np.sin(np.deg2rad(sizes / 2)) / np.sin(np.deg2rad(end / 2))
    axes[0, 0].plot(sizes, chord, color=COLORS["black"], linestyle=KIND_DASHES["linear map"], label="linear map")
    axes[0, 0].set(xlabel=AXIS["degrees"], ylabel=f"{LABELS[effect]}, relative to {end:.0f}°")
    axes[0, 0].legend(fontsize=8)
    return figure


def growth(data: xr.Dataset) -> Figure:
    """KL and L2 [prompt, path_size] against small sizes on logarithmic axes."""
    figure, axes = panels(1, 2)
    for ax, effect in zip(axes[0], ("kl", "l2"), strict=True):
        band(ax, data.path_size.values, data[effect].values, "real")
        ax.set(xscale="log", yscale="log", xlabel=AXIS["‖base‖"], ylabel=LABELS[effect])
    return figure


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


def histogram_panels(samples: dict[str, dict[str, np.ndarray]], bins: int = 40) -> Figure:
    """One panel of outlined density histograms for each quantity: label -> kind -> values."""
    figure, axes = panels(1, len(samples))
    for ax, (label, kinds) in zip(axes[0], samples.items(), strict=True):
        edges = np.histogram_bin_edges(np.concatenate([values.ravel() for values in kinds.values()]), bins)
        for style, (kind, values) in zip(SERIES(), kinds.items(), strict=False):
            ax.hist(
                values.ravel(),
                edges,
                density=True,
                histtype="step",
                label=kind,
                linewidth=1.6,
                color=KIND_COLORS.get(kind, style["color"]),
                linestyle=KIND_DASHES.get(kind, style["linestyle"]),
            )
        ax.set(xlabel=label, ylabel="density")
    axes[0, 0].legend(fontsize=8)
    return figure


def scatter_panels(x: dict[str, dict[str, np.ndarray]], y: dict[str, np.ndarray], ylabel: str) -> Figure:
    """One panel of dots for each quantity, label -> kind -> values, against the values `y` of the same kinds."""
    figure, axes = panels(1, len(x), sharey=True)
    for ax, (label, kinds) in zip(axes[0], x.items(), strict=True):
        for mark, (kind, values) in zip(itertools.cycle("os^"), kinds.items(), strict=False):
            color = KIND_COLORS.get(kind)
            ax.plot(values.ravel(), y[kind].ravel(), mark, label=kind, color=color, markersize=3, alpha=0.5)
        ax.set(xlabel=label)
    axes[0, 0].set(ylabel=ylabel)
    axes[0, 0].legend(fontsize=8)
    return figure


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


def token_curve(
    sizes: np.ndarray, kl: np.ndarray, probabilities: dict[str, np.ndarray], threshold: float, level: float, unit: str
) -> Figure:
    """One prompt's KL curve, above the probabilities of the tokens that lead somewhere on the way."""
    figure, axes = panels(2, 1, height=2.3, sharex=True)
    axes[0, 0].plot(sizes, kl, color=COLORS["black"])
    axes[0, 0].axhline(level, color=COLORS["grey"], linewidth=1, linestyle=":")
    axes[0, 0].set(ylabel=LABELS["kl"])
    axes[1, 0].set_prop_cycle(SERIES)
    for token, values in probabilities.items():
        axes[1, 0].plot(sizes, values, label=literal(token))
    axes[1, 0].set(xlabel=AXIS[unit], ylabel="probability", ylim=(0, None))
    axes[1, 0].legend(fontsize=8, ncols=2, title="next token", title_fontsize=8)
    if np.isfinite(threshold):
        for ax in axes[:, 0]:
            ax.axvline(threshold, color=COLORS["orange"], linewidth=1.2, linestyle="--")
    return figure


def walk(
    sizes: np.ndarray,
    kl: np.ndarray,
    place: int,
    tokens: list[tuple[str, float]],
    threshold: float,
    level: float,
    unit: str,
) -> Figure:
    """A KL curve with a marker at one of its sizes, beside the most probable next tokens there."""
    figure, axes = panels(1, 2, height=2.9)
    curve, bars = axes[0]
    curve.plot(sizes, kl, color=COLORS["black"])
    curve.plot(sizes[place], kl[place], "o", color=COLORS["orange"])
    curve.axhline(level, color=COLORS["grey"], linewidth=1, linestyle=":")
    if np.isfinite(threshold):
        curve.axvline(threshold, color=COLORS["orange"], linewidth=1.2, linestyle="--")
    curve.set(xlabel=AXIS[unit], ylabel=LABELS["kl"], ylim=(0, None))
    names, values = zip(*tokens, strict=True)
    bars.barh([literal(name) for name in names], values, color=COLORS["blue"])
    bars.invert_yaxis()
    bars.set(xlabel="probability", xlim=(0, 1))
    return figure


def plane(kl: xr.DataArray, corners: np.ndarray) -> Figure:
    """KL to the nearest of three activations over the plane through them: surface, and map with equal axes.

    Args:
        kl: [corner, v, u] divergence from the run on each corner.
        corners: [3, 2] orthonormal coordinates of the corners.
    """
    nearest = kl.min("corner").values
    u, v = np.meshgrid(kl.u.values, kl.v.values)
    x = u * corners[1, 0] + v * corners[2, 0]
    y = u * corners[1, 1] + v * corners[2, 1]
    figure = plt.figure(figsize=(8.2, 3.6), layout="constrained")
    surface = figure.add_subplot(1, 2, 1, projection="3d")
    surface.plot_surface(x, y, nearest, cmap="viridis", rcount=60, ccount=60, linewidth=0)
    for (cx, cy), name in zip(corners, "ABC", strict=True):
        surface.plot([cx, cx], [cy, cy], [0, nearest.max()], color=COLORS["black"], linewidth=1.2)
        surface.text(cx, cy, nearest.max() * 1.05, name, weight="bold", zorder=10)
    surface.set(xticklabels=[], yticklabels=[])
    surface.view_init(elev=48, azim=-70)
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


def paired_thresholds(thresholds: xr.DataArray, group: str, reference: str) -> Figure:
    """Threshold sizes by member of `group`, and their paired differences from `reference` within prompts.

    Censored sizes are drawn at their limit (an attribute, as is the unit) and counted in the legend; differences that
    involve one are left out there.
    """
    figure, axes = panels(1, 2)
    limit, xlabel = thresholds.attrs["limit"], f"threshold ({thresholds.attrs['unit']})"
    edges = np.linspace(0, limit, 31)
    for member in thresholds[group].values:
        values = thresholds.sel({group: member}).values.ravel()
        share = np.isnan(values).mean()
        axes[0, 0].hist(
            np.nan_to_num(values, nan=limit),
            edges,
            histtype="step",
            density=True,
            linewidth=1.6,
            label=f"{member} ({share:.0%} censored)",
            color=KIND_COLORS.get(str(member)),
            linestyle=KIND_DASHES.get(str(member), "-"),
        )
    axes[0, 0].set(xlabel=xlabel, ylabel="density")
    others = [m for m in thresholds[group].values if m != reference]
    differences = [
        (thresholds.sel({group: reference}) - thresholds.sel({group: m})).mean("direction").values for m in others
    ]
    differences = [d[np.isfinite(d)] for d in differences]
    for place, (member, values) in enumerate(zip(others, differences, strict=True)):
        if not len(values):
            continue
        spread = np.random.default_rng(0).uniform(-0.16, 0.16, len(values))
        axes[0, 1].plot(place + spread, values, "o", markersize=2.6, alpha=0.5, color=KIND_COLORS.get(str(member)))
        axes[0, 1].plot([place - 0.28, place + 0.28], [np.median(values)] * 2, color=COLORS["black"])
    axes[0, 1].axhline(0, color=COLORS["grey"], linewidth=1)
    axes[0, 1].set(xticks=range(len(others)), xticklabels=others, ylabel=f"{reference} minus other")
    axes[0, 1].tick_params(axis="x", labelrotation=20 if len(others) > 2 else 0)
    axes[0, 0].legend(fontsize=7, loc="upper right")
    return figure


def interval_curve(estimates: xr.Dataset, x: str, ylabel: str, reference: float | None = None) -> Figure:
    """Estimates over [kind, `x`], whatever the first is called, with their intervals against a logarithmic x."""
    (by,) = (dim for dim in estimates.value.dims if dim != x)
    figure, axes = panels(1, 1, width=5.6)
    ax, places = axes[0, 0], estimates[x]
    ax.set_prop_cycle(SERIES)
    for kind in estimates[by].values.tolist():
        found = estimates.sel({by: kind})
        style = {"color": KIND_COLORS.get(kind), "linestyle": KIND_DASHES.get(kind)}
        (line,) = ax.plot(places, found.value, label=kind, marker="o", markersize=3, **style)
        ax.fill_between(places, found.low, found.high, alpha=0.18, linewidth=0, color=line.get_color())
    if reference is not None:
        ax.axhline(reference, color=COLORS["grey"], linewidth=1, linestyle=":")
    unit = f" ({places.attrs['unit']})" if "unit" in places.attrs else ""
    ax.set(xlabel=places.attrs["description"] + unit, ylabel=ylabel, xscale="log")
    if estimates.sizes[by] > 1:
        ax.legend(fontsize=8)
    return figure


def dots(groups: dict[str, dict[str, Interval]], reference: float | None = None) -> Figure:
    """Estimates with their intervals, one row for each kind and one panel for each group, whose name labels its axis."""
    kinds = list(dict.fromkeys(kind for group in groups.values() for kind in group))
    figure, axes = panels(1, len(groups), height=0.9 + 0.24 * len(kinds), sharey=True)
    for ax, (label, group) in zip(axes[0], groups.items(), strict=True):
        for place, kind in enumerate(kinds):
            if kind in group and np.isfinite(group[kind].value):
                _dot(ax, group[kind], place, KIND_COLORS.get(kind, COLORS["black"]))
            elif kind in group:
                ax.annotate(
                    "beyond the range", (0.98, place), xycoords=("axes fraction", "data"), ha="right", fontsize=8
                )
        if reference is not None:
            ax.axvline(reference, color=COLORS["grey"], linewidth=1, linestyle=":")
        ax.set(xlabel=label, yticks=range(len(kinds)), yticklabels=kinds, ylim=(len(kinds) - 0.5, -0.5))
    return figure


def grouped_dots(groups: dict[str, dict[str, dict[str, Interval]]], reference: float | None = None) -> Figure:
    """As `dots`, with several kinds in each row, told apart by color and marker: panel -> row -> kind -> estimate."""
    rows = list(next(iter(groups.values())))
    kinds = list(dict.fromkeys(kind for group in groups.values() for row in group.values() for kind in row))
    looks = {kind: (color, mark) for kind, color, mark in zip(kinds, COLORS.values(), "osD^v", strict=False)}
    figure, axes = panels(1, len(groups), height=1.6 + 0.42 * len(rows), sharey=True)
    for ax, (label, group) in zip(axes[0], groups.items(), strict=True):
        for place, row in enumerate(rows):
            for kind, value in group[row].items():
                color, mark = looks[kind]
                shift = 0.6 * ((kinds.index(kind) + 0.5) / len(kinds) - 0.5)
                _dot(ax, value, place + shift, color, mark, kind if place == 0 else None)
        if reference is not None:
            ax.axvline(reference, color=COLORS["grey"], linewidth=1, linestyle=":")
        ax.set(xlabel=label, yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - 0.4, -0.6))
    handles, labels = max((ax.get_legend_handles_labels() for ax in axes[0]), key=lambda found: len(found[0]))
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    return figure


def _dot(ax, value: Interval, place: float, color: str, mark: str = "o", label: str | None = None) -> None:
    ax.plot([value.low, value.high], [place, place], color=color)
    ax.plot(value.value, place, mark, color=color, markersize=5, label=label)


def single_latents(angles: np.ndarray, latents: xr.Dataset) -> Figure:
    """Mean threshold angles of latents: histogram, and against frequency and the largest cosine with another latent."""
    figure, axes = panels(1, 3, width=8.4, height=2.9)
    axes[0, 0].hist(angles, 20, color=COLORS["blue"])
    axes[0, 0].set(xlabel="mean threshold angle (degrees)", ylabel="latents")
    for ax, name, label in zip(
        axes[0, 1:], ("frequency", "cosine"), ("share of activations", "largest cosine"), strict=True
    ):
        ax.plot(latents[name], angles, "o", markersize=3.5, alpha=0.6, color=COLORS["blue"])
        ax.set(xlabel=label, ylabel="angle (degrees)", xscale="log" if name == "frequency" else "linear")
    return figure


def pair_curves(pairs: xr.Dataset, read: str) -> Figure:
    """Relative distance from the start along paths between activations, linear and slerp; one band for each `network`."""
    figure, axes = panels(1, 2, sharey=True)
    for ax, interpolation in zip(axes[0], ("linear", "slerp"), strict=True):
        ax.set_prop_cycle(SERIES)
        for name in pairs.network.values.tolist():
            start = pairs.from_start.sel(interpolation=interpolation, read=read, network=name).values
            low, middle, high = np.percentile(start / start[:, -1:], [25, 50, 75], axis=0)
            (line,) = ax.plot(pairs.t, middle, label=name)
            ax.fill_between(pairs.t, low, high, alpha=0.18, linewidth=0, color=line.get_color())
        ax.plot([0, 1], [0, 1], color=COLORS["black"], linestyle=":", linewidth=1.2, label="straight line")
        ax.set(xlabel=f"t, {interpolation}", ylim=(0, None))
    axes[0, 0].set(ylabel="d(t) / d(1)")
    axes[0, 1].legend(fontsize=8)
    return figure


def triangles(sections: xr.Dataset, n_columns: int) -> Figure:
    """Ternary maps of threshold angles: all-Gaussian sections above, those with a real activation at the top below."""
    weights = sections.weight.values
    corner_x, corner_y = np.array([0.5, 0.0, 1.0]), np.array([np.sqrt(3) / 2, 0.0, 0.0])
    x, y = weights @ corner_x, weights @ corner_y
    rows = ("random", "real-other")
    values = sections.threshold.isel(prompt=slice(0, n_columns)).sel(section=list(rows)).values
    values = np.nan_to_num(values, nan=180.0)
    low, high = values.min(), values.max()
    labels = {"random": ("g₀", "g₁", "g₂"), "real-other": ("real", "g₁", "g₂")}
    figure, axes = panels(2, n_columns, width=7.6, height=2.5)
    for row, section in enumerate(rows):
        for column in range(values.shape[0]):
            ax, angles = axes[row, column], values[column, row]
            image = ax.tripcolor(x, y, angles, shading="gouraud", vmin=low, vmax=high)
            best = angles.argmin()
            ax.plot(x[best], y[best], "o", ms=9, mfc="none", mec=COLORS["orange"], mew=2, clip_on=False)
            for cx, cy, name, offset in zip(
                corner_x, corner_y, labels[section], ((0, 5), (-8, -12), (8, -12)), strict=True
            ):
                ax.annotate(name, (cx, cy), textcoords="offset points", xytext=offset, ha="center", fontsize=9)
            ax.set(aspect="equal", xlim=(-0.12, 1.12), ylim=(-0.14, 1.0))
            ax.axis("off")
    for ax in axes[:, values.shape[0] :].ravel():
        ax.axis("off")
    figure.colorbar(image, ax=axes, label="threshold angle (degrees)", shrink=0.8)
    return figure


def lines_past(lines: xr.Dataset) -> Figure:
    """Threshold angle along lines past corners, relative to the corner."""
    figure, axes = panels(1, 1, width=5.6)
    middle = lines.threshold.sel(s=0.0)
    for section in lines.section.values:
        values = (lines.threshold - middle).sel(section=section).values.reshape(-1, lines.sizes["s"])
        band(axes[0, 0], lines.s.values, values, str(section), label=f"{section} corner")
    axes[0, 0].axhline(0, color=COLORS["grey"], linewidth=1)
    axes[0, 0].set(xlabel="weight of the other target", ylabel="threshold minus corner's (degrees)")
    axes[0, 0].legend(fontsize=8)
    return figure


def flatness_panels(sizes: np.ndarray, flatness: dict[str, np.ndarray]) -> Figure:
    """Excess flatness against angle: by base with random directions on the left, by direction from real bases on the right."""
    figure, axes = panels(1, 2, sharey=True, height=3.1)
    for name, values in flatness.items():
        base, kind = name.split(" base, ")
        for ax, group, label in ((axes[0, 0], kind == "random", base), (axes[0, 1], base == "real", kind)):
            if group:
                band(ax, sizes[1:], np.nanmean(values, 1)[:, 1:], label)
    for ax in axes[0]:
        ax.axhline(1, color=COLORS["grey"], linestyle=":", linewidth=1.2)
        ax.set(xlabel=AXIS["degrees"], yscale="log")
        ax.legend(fontsize=8)
    axes[0, 0].set(ylabel="measured / predicted KL")
    return figure


def layer_panels(
    layers: Sequence[int], sizes: dict[str, list[Interval]], separation: dict[str, list[Interval]]
) -> Figure:
    """Median threshold angles and AUROC by perturbed layer."""
    figure, axes = panels(1, 2)
    for ax, series in zip(axes[0], (sizes, separation), strict=True):
        ax.set_prop_cycle(SERIES)
        for name, intervals in series.items():
            values = np.array([[i.value, i.low, i.high] for i in intervals])
            values = np.where(np.isfinite(values), values, 180.0)
            (line,) = ax.plot(layers, values[:, 0], marker="o", markersize=3, label=name)
            ax.fill_between(layers, values[:, 1], values[:, 2], color=line.get_color(), alpha=0.15, linewidth=0)
        ax.set(xlabel="block whose input is perturbed")
        ax.legend(fontsize=8)
    axes[0, 0].set(ylabel="median threshold angle (degrees)")
    axes[0, 1].set(ylabel="AUROC", ylim=(0, 1))
    axes[0, 1].axhline(0.5, color=COLORS["grey"], linestyle=":", linewidth=1.2)
    return figure


def control_panels(controls: xr.Dataset, documents: np.ndarray) -> Figure:
    """Median threshold angle with its interval, and entropy of the output, by kind of base, over the prompts that have it."""
    figure, axes = panels(1, 2, height=3.2, sharey=True)
    places = np.arange(controls.sizes["base"])[::-1]
    for place, kind in zip(places, controls.base.values, strict=True):
        color = KIND_COLORS.get(str(kind), COLORS["black"])
        found, present = controls.sel(base=kind), controls.present.sel(base=kind).values
        if not present.any():
            continue
        interval = bootstrap(
            censored_median, found.threshold.values[present], documents=documents[present], n_boot=1000
        )
        ends = np.nan_to_num([interval.low, interval.value, interval.high], posinf=180.0)
        axes[0, 0].plot(ends[[0, 2]], [place, place], color=color)
        axes[0, 0].plot(ends[1], place, "o", color=color)
        low, middle, high = np.percentile(found.entropy.values[present], [25, 50, 75])
        axes[0, 1].plot([low, high], [place, place], color=color)
        axes[0, 1].plot(middle, place, "o", color=color)
    axes[0, 0].set(yticks=places, yticklabels=controls.base.values, xlabel="threshold angle (degrees)", xlim=(0, None))
    axes[0, 1].set(xlabel="entropy of the output (nats)")
    return figure
