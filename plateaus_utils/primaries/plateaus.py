"""What decides the statements of chapter 2, and the quantities behind their secondary numbers."""

from collections.abc import Sequence

import xarray as xr

from .. import contrasts, quantities
from ..experiments import plateaus
from ..experiments.setting import Setting

# C1: the onset, where a plateau ends ----------------------------------------------------------------------------------


def onsets(setting: Setting) -> xr.DataArray:
    """Angles [prompt, base] at a tenth of the KL at 90°, real and Gaussian bases, degrees."""
    return plateaus.plateau_onsets(setting).onset


def real_onset(setting: Setting) -> xr.DataArray:
    """The same at real bases [prompt]."""
    return onsets(setting).sel(base="real", drop=True)


# C2: absolute lengths -----------------------------------------------------------------------------------------------


def lengths(setting: Setting) -> xr.DataArray:
    """Plateau lengths [prompt, base] at the published level, activation units; those beyond the limit count as the limit."""
    found = plateaus.plateau_lengths(setting).threshold
    filled = found.fillna(found.limit).drop_attrs()
    return filled.assign_attrs(description="plateau length", unit=found.unit)


def length_ratio(setting: Setting) -> xr.DataArray:
    """Logarithms of their ratios, real over Gaussian base [prompt]."""
    return contrasts.log_ratio(lengths(setting), "base", "real", "random")


def steps(setting: Setting) -> xr.DataArray:
    """The same lengths in the published steps [prompt, base]."""
    return (lengths(setting) / plateaus.ABSOLUTE_STEP).assign_attrs(unit="steps")


def length_ratios(distances: xr.DataArray, levels: Sequence[float]) -> xr.DataArray:
    """Logarithms of the ratios of lengths, real over Gaussian base, at each of several levels [prompt, level].

    Args:
        distances: curves [prompt, base, direction, path_size] of the L2 distance; lengths beyond them count as their end.
        levels: of the L2 distance, activation units.
    """
    return contrasts.log_ratio(quantities.crossings(distances, levels), "base", "real", "random")


# C13: growth at small sizes -----------------------------------------------------------------------------------------


def growth_exponent(setting: Setting, effect: str = "kl") -> xr.DataArray:
    """Exponents of the growth of an effect at small sizes [prompt], of prompts with enough sizes above the noise floor."""
    small = plateaus.small_perturbations(setting)
    return quantities.exponent(small[effect], small.kl).dropna("prompt")


# C16 and C17: from one activation to another ------------------------------------------------------------------------


def great_circle_width(pairs: xr.Dataset) -> xr.DataArray:
    """10-90 % widths on great-circle paths [prompt], at the last block's output; a straight line gives 0.8."""
    return quantities.width(pairs.sel(interpolation="slerp", read="resid_post", drop=True))


def untrained_width(setting: Setting) -> xr.DataArray:
    """The same of the untrained network that is initialized as published."""
    return great_circle_width(plateaus.untrained_pairs(setting, "published"))


def linear_slope(pairs: xr.Dataset) -> xr.DataArray:
    """Maximal slopes on linear paths [prompt], at the last block's output; a straight line gives 1."""
    return quantities.max_slope(pairs.sel(interpolation="linear", read="resid_post", drop=True))


def relative_distance(pairs: xr.Dataset) -> xr.DataArray:
    """d(t)/d(1) on linear paths [prompt, t]: the last block's output from its start, over that at the end of the path."""
    distance = pairs.from_start.sel(interpolation="linear", read="resid_post", drop=True)
    return (distance / distance.isel(t=-1, drop=True)).assign_attrs(description="d(t)/d(1)", unit="")


def covered(pairs: xr.Dataset, share: float) -> xr.DataArray:
    """d(t)/d(1) where a share of the path is walked [prompt], interpolated linearly between the points of the path."""
    return relative_distance(pairs).interp(t=share).drop_vars("t")


EARLY, LATE = 0.3, 0.6
"""Shares of the path at which the published curve is read."""


def early_distance(setting: Setting) -> xr.DataArray:
    """d(0.3)/d(1) through the trained network [prompt]."""
    return covered(plateaus.trained_pairs(setting), EARLY)


PRIMARIES = {
    "C1": real_onset,
    "C2": length_ratio,
    "C13": growth_exponent,
    "C16": untrained_width,
    "C17": early_distance,
}
