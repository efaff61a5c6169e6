"""What all figures share: the palette, the style that is on while one is drawn, panels, and the texts of axes."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from cycler import cycler
from IPython.display import display
from matplotlib.figure import Figure

from ..effects import EFFECTS
from ..kinds import COLORS, STYLES

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

SERIES = STYLE["axes.prop_cycle"] + cycler(
    linestyle=["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (8, 2)), (0, (1, 3))]
)
"""Styles of lines whose kinds have none of their own: told apart without colour, too."""

styled = plt.rc_context(STYLE)
"""Decorator: the style is on while the function runs, and matplotlib's own settings are back afterwards."""

AXIS = {"degrees": "angle θ (degrees)", "‖base‖": "distance α (norms of the base)", "activation units": "distance ℓ"}
LABELS = {effect.name: effect.axis for effect in EFFECTS.values()}


@styled
def show(figure: Figure, alt: str) -> None:
    """Display a figure with its alternative text, and close it."""
    plt.close(figure)
    display(figure, metadata={"image/png": {"alt": alt}})


def literal(token: str) -> str:
    """A token's text between quotes, for a figure: dollar signs, which matplotlib would read as mathematics, are escaped."""
    return repr(token).replace("$", r"\$")


def axis_text(values: xr.DataArray) -> str:
    """The description of labelled values, with their unit in brackets where they have one."""
    unit = values.attrs.get("unit")
    return values.attrs["description"] + (f" ({unit})" if unit else "")


def panels(
    rows: int = 1, columns: int = 1, width: float = 7.2, height: float = 2.9, **options
) -> tuple[Figure, np.ndarray]:
    """A figure of `rows` × `columns` axes; the axes always come as a 2-D array."""
    return plt.subplots(rows, columns, figsize=(width, height * rows), layout="constrained", squeeze=False, **options)
