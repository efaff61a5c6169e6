"""Labelled arrays -> matplotlib Figures. One call makes one figure, without a title: captions belong to the page.

Curves and samples are DataArrays with their coordinates, intervals are the Datasets that `estimates` returns. Units, limits
and descriptions are read from their attributes; nothing is computed here beyond medians, quartiles and bins of what is drawn.
"""

from .curves import (
    against_smooth,
    cell_panels,
    curve_panels,
    frozen_panels,
    growth,
    lines_past,
    nearest_panels,
    pair_curves,
    quadratic_panels,
)
from .distributions import (
    bends,
    between_and_within,
    histogram_panels,
    paired_thresholds,
    scatter_panels,
    single_latents,
    spectrum,
)
from .intervals import change_panels, dots, grouped_dots, interval_curve, layer_panels
from .maps import plane, triangles
from .style import COLORS, KIND_COLORS, KIND_DASHES, LABELS, SERIES, STYLE, show
from .walks import path_sketch, token_curve, walk

__all__ = [
    "COLORS",
    "KIND_COLORS",
    "KIND_DASHES",
    "LABELS",
    "SERIES",
    "STYLE",
    "against_smooth",
    "bends",
    "between_and_within",
    "cell_panels",
    "change_panels",
    "curve_panels",
    "dots",
    "frozen_panels",
    "grouped_dots",
    "growth",
    "histogram_panels",
    "interval_curve",
    "layer_panels",
    "lines_past",
    "nearest_panels",
    "pair_curves",
    "paired_thresholds",
    "path_sketch",
    "plane",
    "quadratic_panels",
    "scatter_panels",
    "show",
    "single_latents",
    "spectrum",
    "token_curve",
    "triangles",
    "walk",
]
