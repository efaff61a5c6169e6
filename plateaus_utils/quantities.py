"""Labelled curves -> labelled quantities of each prompt: the measures of `sensitivity`, with coordinates and units kept.

A curve is a DataArray with the dimension `path_size` (`t` on paths between two activations); a quantity has the remaining ones.
"""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from . import sensitivity, statistics
from .sensitivity import KL_THRESHOLD


def _reduce(measure: Callable[[np.ndarray], np.ndarray], curves: xr.DataArray, along: str, **attrs) -> xr.DataArray:
    """`measure` of values whose last axis is `along`, which it removes."""
    found = xr.apply_ufunc(measure, curves, input_core_dims=[[along]])
    return found.transpose(*(d for d in curves.dims if d != along)).assign_attrs(attrs)


def _unit(curves: xr.DataArray) -> str:
    return curves.path_size.attrs.get("unit", "")


def crossing(curves: xr.DataArray, level: float = KL_THRESHOLD) -> xr.DataArray:
    """Size at which curves [..., path_size] first reach a level; NaN where censored at the attribute `limit`."""
    sizes = curves.path_size.values
    return _reduce(
        lambda values: sensitivity.first_crossing(sizes, values, level),
        curves, "path_size", unit=_unit(curves), level=level, limit=float(sizes[-1]),
    )  # fmt: skip


def crossings(curves: xr.DataArray, levels: Sequence[float]) -> xr.DataArray:
    """The same at several levels, with a dimension `level`."""
    levels = np.asarray(levels, float)
    what = f"{curves.name.upper()} threshold" if curves.name else "threshold"
    found = [crossing(curves, level) for level in levels]
    return xr.concat(
        found,
        xr.Variable("level", levels, {"description": what, "unit": curves.attrs.get("unit", "")}),
        combine_attrs="drop_conflicts",
    )


def chords(angles: xr.DataArray, norms: xr.DataArray) -> xr.DataArray:
    """Straight distances from the base at angles on the sphere, in degrees, around bases of these norms; NaN stays NaN.

    Equal angles around bases of different norms are different distances.
    """
    found = (2 * norms * np.sin(np.deg2rad(angles) / 2)).transpose(*angles.dims).drop_attrs()
    return found.assign_attrs(description="distance from the base", unit=norms.attrs.get("unit", ""))


def shares(curves: xr.DataArray, end: float) -> xr.DataArray:
    """Curves [..., path_size] up to the size `end`, divided by their value there."""
    kept = curves.sel(path_size=curves.path_size.values <= end + 1e-9)
    return (
        (kept / kept.isel(path_size=-1, drop=True))
        .assign_coords(path_size=kept.path_size)
        .transpose(*curves.dims)
        .assign_attrs(unit="")
    )


def share_crossing(curves: xr.DataArray, share: float, end: float) -> xr.DataArray:
    """Size at which curves [..., path_size] first reach a share of their own value at the size `end`."""
    found = crossing((curves / curves.sel(path_size=end, drop=True)).assign_coords(path_size=curves.path_size), share)
    return found.assign_attrs(unit=_unit(curves))


def area(curves: xr.DataArray, end: float) -> xr.DataArray:
    """Mean over the grid up to `end` of value(size)/value(end)."""
    sizes = curves.path_size.values
    return _reduce(lambda values: sensitivity.area(sizes, values, end), curves, "path_size", unit="")


def rise(curves: xr.DataArray, end: float) -> xr.DataArray:
    """Size at 90 % minus size at 10 % of the value reached at `end`."""
    sizes = curves.path_size.values
    return _reduce(lambda values: sensitivity.rise(sizes, values, end), curves, "path_size", unit=_unit(curves))


def steepest(curves: xr.DataArray, along: str = "path_size") -> xr.DataArray:
    """Size at the middle of the steepest step of curves."""
    sizes = curves[along].values
    return _reduce(
        lambda values: sensitivity.steepest(sizes, values), curves, along, unit=curves[along].attrs.get("unit", "")
    )


def exponent(curves: xr.DataArray, kl: xr.DataArray) -> xr.DataArray:
    """Slope of log value against log size close to the base [prompt, ...]; NaN where too few sizes exceed the noise floor.

    Args:
        curves: [prompt, ..., path_size].
        kl: the KL divergence at the same sizes.
    """
    sizes = curves.path_size.values
    found = xr.apply_ufunc(
        lambda values, divergence: sensitivity.exponent(sizes, values, divergence),
        curves, kl, input_core_dims=[["path_size"], ["path_size"]],
    )  # fmt: skip
    return found.assign_attrs(unit="")


def width(pairs: xr.Dataset) -> xr.DataArray:
    """10-90 % width of A-to-B paths [prompt, ...], from `from_start` and `from_end` [prompt, ..., t]; a line gives 0.8."""
    t = pairs.t.values
    found = xr.apply_ufunc(
        lambda start, end: sensitivity.width(t, start, end),
        pairs.from_start, pairs.from_end, input_core_dims=[["t"], ["t"]],
    )  # fmt: skip
    return found.assign_attrs(unit="")


def max_slope(pairs: xr.Dataset) -> xr.DataArray:
    """Largest step of d(t)/d(1) times the number of steps [prompt, ...], from `from_start` [prompt, ..., t]; a line gives 1."""
    return _reduce(sensitivity.max_slope, pairs.from_start, "t", unit="")


def curvature(gram: xr.DataArray) -> xr.DataArray:
    """KL over the squared angle as the angle shrinks to zero [prompt, ...], from a quadratic form at the base.

    Args:
        gram: [prompt, ..., i, j], see `sensitivity.quadratic_kl`. At small angles the path runs along its second vector.
    """
    found = gram.sel(i="across", j="across", drop=True) / 2
    return found.assign_attrs(description="curvature at the base", unit="nats per squared radian")


def quadratic_threshold(gram: xr.DataArray, level: float = KL_THRESHOLD) -> xr.DataArray:
    """Smallest angle at which the quadratic form alone reaches a level [prompt, ...], degrees; NaN if never within 180°.

    Arguments as of `curvature`.
    """
    degrees = np.arange(0, 180.1, 0.25)
    found = xr.apply_ufunc(
        lambda form: sensitivity.first_crossing(degrees, sensitivity.quadratic_kl(form, degrees), level),
        gram, input_core_dims=[["i", "j"]],
    )  # fmt: skip
    return found.assign_attrs(
        description="threshold that the quadratic predicts", unit="degrees", level=level, limit=180.0
    )


def over_quadratic(kl: xr.DataArray, gram: xr.DataArray) -> xr.DataArray:
    """Measured over predicted KL [prompt, ..., path_size]: 1 for an exact quadratic, below 1 if flatter.

    Args:
        kl: curves [prompt, ..., path_size] on the sphere.
        gram: as of `curvature`.
    """
    sizes = kl.path_size.values
    found = xr.apply_ufunc(
        lambda values, form: sensitivity.over_quadratic(values, form, sizes),
        kl, gram, input_core_dims=[["path_size"], ["i", "j"]], output_core_dims=[["path_size"]],
    )  # fmt: skip
    return found.assign_coords(path_size=kl.path_size).assign_attrs(unit="")


EDGE = 1.5
"""Times the quadratic: where a curve exceeds it, it has left what its curvature at the base says."""


def edge(kl: xr.DataArray, gram: xr.DataArray) -> xr.DataArray:
    """Smallest angle at which measured KL exceeds EDGE times the quadratic [prompt, ...], degrees; NaN if it never does.

    Arguments as of `over_quadratic`. Divergences below the noise floor say nothing and count as below.
    """
    ratio = over_quadratic(kl, gram)
    found = crossing(ratio.where((kl > sensitivity.NOISE_FLOOR) & ratio.notnull(), 0), EDGE)
    return found.assign_attrs(description="edge", unit=_unit(kl))


def held_out_scores(first: xr.DataArray, second: xr.DataArray) -> xr.DataArray:
    """Scores of a classifier of whole curves [prompt, direction, path_size], each from a fit that has not seen its document.

    Returns:
        [kind, prompt, direction] decision values, larger for `first`; both have a scalar coordinate `kind`.
    """
    logs = [
        np.log(np.maximum(curves.isel(path_size=slice(1, None)), 1e-9)).transpose("prompt", "direction", "path_size")
        for curves in (first, second)
    ]
    scores = statistics.held_out_scores(*(x.values for x in logs), first.document.values)
    labelled = [x.isel(path_size=0, drop=True).copy(data=score) for x, score in zip(logs, scores, strict=True)]
    return xr.concat(labelled, "kind").assign_attrs(unit="")
