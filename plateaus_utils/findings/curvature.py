"""Chapter 6: what the curvature of the divergence at the base predicts, and where curves leave it."""

import numpy as np
import xarray as xr

from .. import contrasts, estimates, kinds, quantities, statistics
from ..experiments import explanations, plateaus, sensitive
from ..experiments.setting import Setting

KINDS = ("random", "real-other")


def around_bases(setting: Setting) -> xr.Dataset:
    """Curvature, predicted and measured threshold, edge and curve of random directions [prompt, base, direction]."""
    form = explanations.local_quadratic(setting, "quadratic_bases", kinds.MAIN_BASES, ("random",))
    curves = plateaus.plateau_curves(setting, "sphere").kl
    angles = explanations.base_controls(setting).threshold.sel(base=list(kinds.MAIN_BASES))
    return _against_quadratic(curves, angles, form.sel(kind="random", drop=True))


def along_kinds(setting: Setting) -> xr.Dataset:
    """The same at real bases along each kind of direction [prompt, kind, direction]."""
    form = explanations.local_quadratic(setting, "quadratic_kinds", ("real",), kinds.MAIN_DIRECTIONS)
    angles = sensitive.direction_thresholds(setting, "sphere").threshold.sel(kind=list(kinds.MAIN_DIRECTIONS))
    return _against_quadratic(
        sensitive.direction_curves(setting, "sphere").kl, angles, form.sel(base="real", drop=True)
    )


def _against_quadratic(kl: xr.DataArray, measured: xr.DataArray, form: xr.DataArray) -> xr.Dataset:
    return xr.Dataset(
        {
            "curvature": quantities.curvature(form),
            "predicted": quantities.quadratic_threshold(form),
            "measured": measured,
            "edge": quantities.edge(kl, form),
            "ratio": quantities.over_quadratic(kl, form),
        }
    )


def medians(found: xr.Dataset) -> dict[str, xr.Dataset | xr.DataArray]:
    """Columns of a table: medians over bases or kinds, and shares of paths that never get there within 180°.

    Args:
        found: `around_bases` or `along_kinds`.
    """
    columns = {
        "curvature (nats/rad²)": estimates.median(found.curvature, n_boot=1000),
        "threshold by the quadratic (°)": estimates.median(found.predicted, n_boot=1000),
        "never reached": estimates.censored(found.predicted),
        "measured threshold (°)": estimates.median(found.measured, n_boot=1000),
        "never reached, measured": estimates.censored(found.measured),
        "edge (°)": estimates.median(found.edge, n_boot=1000),
        "no edge": estimates.censored(found.edge),
    }
    return columns


def gaussian_over_real(bases: xr.Dataset) -> xr.Dataset:
    """How many times the curvature at Gaussian bases is that at real ones: geometric mean over documents."""
    ratio = contrasts.log_ratio(bases.curvature, "base", "random", "real")
    return estimates.exponential(estimates.document_mean(ratio))


# Directions ---------------------------------------------------------------------------------------------------------


def of_directions(setting: Setting) -> xr.Dataset:
    """`curvature` and threshold `angle` of `sensitive.many_directions` at real bases [prompt, kind, direction]."""
    form = explanations.local_quadratic(
        setting, "quadratic_directions", ("real",), KINDS, n_directions=sensitive.N_MANY
    )
    angles = sensitive.many_directions(setting).threshold.sel(kind=list(KINDS))
    known = angles.fillna(angles.attrs["limit"]).assign_attrs(angles.attrs | {"description": "threshold angle"})
    return xr.Dataset({"curvature": quantities.curvature(form.sel(base="real", drop=True)), "angle": known})


def separation(found: xr.Dataset) -> xr.Dataset:
    """Real-other against random directions within prompts, by curvature and by threshold, over [comparison].

    Args:
        found: `of_directions`.
    """
    rows = {
        "curvature, real-other over random": _ratio(found.curvature),
        "AUROC of the curvature, real-other above random": _auroc(found.curvature, "real-other", "random"),
        "threshold angle, real-other over random": _ratio(found.angle),
        "the same, adjusted for curvature": _between_logs(statistics.adjusted_ratio, found),
        "AUROC of the angle, random above real-other": _auroc(found.angle, "random", "real-other"),
    }
    return estimates.together(rows, "comparison")


def explained(found: xr.Dataset) -> xr.Dataset:
    """How far curvature and threshold angle go together, within prompts and between them, over [relation].

    Args:
        found: `of_directions`.
    """
    angle, curvature = (np.log(found[name]).mean(["kind", "direction"]) for name in ("angle", "curvature"))
    rows = {
        "within prompts: share of log angle explained": _between_logs(statistics.explained_within, found),
        "within prompts: slope of log angle (a quadratic: −0.5)": _between_logs(statistics.slope_within, found),
        "between prompts: rank correlation": estimates.spearman(curvature, angle, n_boot=1000),
    }
    return estimates.together(rows, "relation")


def _ratio(values: xr.DataArray) -> xr.Dataset:
    ratio = contrasts.log_ratio(values, "kind", "real-other", "random")
    return estimates.exponential(estimates.document_mean(ratio))


def _auroc(values: xr.DataArray, of: str, against: str) -> xr.Dataset:
    return estimates.document_mean(contrasts.auroc(values, "kind", of, against))


def _between_logs(statistic, found: xr.Dataset) -> xr.Dataset:
    """A statistic of log curvature and log angle [n_prompts, kind, direction]."""
    logs = [np.log(found[name]).transpose("prompt", "kind", "direction") for name in ("curvature", "angle")]
    return estimates.estimate(statistic, *logs, within=("kind", "direction"), n_boot=1000, unit="")
