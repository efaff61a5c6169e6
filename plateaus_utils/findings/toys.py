"""Chapter 7: what each estimator says of networks whose answer is known, and of the language model.

An estimator is one number for each input, averaged over its directions: [superposition, noise, network, prompt], for the
language model [prompt]. The effect of a factor of the two-by-two design is the difference with minus without it, for the same
input, averaged over the other factor and the networks; its interval is over inputs. An estimator *tells* a factor if that
interval excludes zero and the difference has the same sign in every pair of networks that differ in this factor alone.
"""

import numpy as np
import xarray as xr

from .. import contrasts, estimates, quantities
from ..experiments import plateaus, sensitive
from ..experiments.setting import Setting
from . import curvature as curved

FACTORS = ("noise", "superposition")
CELLS = {
    "neither": {"superposition": "without", "noise": "without"},
    "noise": {"superposition": "without", "noise": "with"},
    "superposition": {"superposition": "with", "noise": "without"},
    "both": {"superposition": "with", "noise": "with"},
}
"""Name of a cell of the design -> its place."""


PREDICTED = {
    "curvature at real bases (log)": (-1, 1),
    "curvature, Gaussian over real (log)": (1, 0),
    "edge at real bases (°)": (1, -1),
    "angle at 10 % of KL, real bases (°)": (1, -1),
    "angle at 10 % of KL, real minus Gaussian (°)": (1, 0),
    "threshold at real bases (°)": (1, -1),
    "threshold, random minus real-other (°)": (1, 0),
    "threshold, random minus feature on (°)": (1, 0),
    "threshold, random minus feature off (°)": (1, 0),
    "gates that change sign (share)": (-1, 1),
    "‖δ‖ through all blocks (log)": (-1, 1),
    "‖x‖ through all blocks (log)": (0, 0),
    "‖δ‖/‖x‖ through the first block (log)": (-1, 1),
    "‖δ‖/‖x‖ through all blocks (log)": (-1, 1),
}
"""Estimator -> signs of the effects of noise, if it makes a network correct errors, and of superposition, as in the chapter's
table of predictions; 0 is no effect."""


# Estimators ---------------------------------------------------------------------------------------------------------


def _outside(
    curvature: xr.DataArray, edge: xr.DataArray, kl: xr.DataArray, angles: xr.DataArray
) -> dict[str, xr.DataArray]:
    """Estimators that need nothing but the output: of paths by base, and of threshold angles by kind of direction."""
    logs, known = np.log(curvature).mean("direction"), edge.fillna(edge.attrs["limit"]).mean("direction")
    tenth = quantities.share_crossing(kl, 0.1, 90).mean("direction")
    sizes = angles.fillna(angles.attrs["limit"]).mean("direction")
    real, gaussian = ({"base": base, "drop": True} for base in ("real", "random"))
    random = sizes.sel(kind="random", drop=True)
    return {
        "curvature at real bases (log)": logs.sel(**real),
        "curvature, Gaussian over real (log)": logs.sel(**gaussian) - logs.sel(**real),
        "edge at real bases (°)": known.sel(**real),
        "angle at 10 % of KL, real bases (°)": tenth.sel(**real),
        "angle at 10 % of KL, real minus Gaussian (°)": tenth.sel(**real) - tenth.sel(**gaussian),
        "threshold at real bases (°)": random,
        "threshold, random minus real-other (°)": random - sizes.sel(kind="real-other", drop=True),
    }


def _inside(data: xr.Dataset, angles: xr.DataArray) -> dict[str, xr.DataArray]:
    """Estimators that need the features or the inside of the network."""
    sizes = angles.fillna(angles.attrs["limit"]).mean("direction")
    random = sizes.sel(kind="random", drop=True)
    apart, length = (np.log(data[name]).mean("direction") for name in ("apart", "length"))
    grown, longer = (x - x.isel(depth=0, drop=True) for x in (apart, length))
    end = {"depth": -1, "drop": True}
    return {
        "threshold, random minus feature on (°)": random - sizes.sel(kind="feature on", drop=True),
        "threshold, random minus feature off (°)": random - sizes.sel(kind="feature off", drop=True),
        "gates that change sign (share)": data.crossed.mean(["direction", "block"]),
        "‖δ‖ through all blocks (log)": grown.isel(**end),
        "‖x‖ through all blocks (log)": longer.isel(**end),
        "‖δ‖/‖x‖ through the first block (log)": (grown - longer).sel(depth=1, drop=True),
        "‖δ‖/‖x‖ through all blocks (log)": (grown - longer).isel(**end),
    }


def of_toys(data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Every estimator [superposition, noise, network, prompt] of the cells that `experiments.toys.measured` returns."""
    edge = quantities.edge(data.kl, data.gram)
    outside = _outside(quantities.curvature(data.gram), edge, data.kl, data.threshold)
    return outside | _inside(data, data.threshold)


def of_language_model(setting: Setting) -> dict[str, xr.DataArray]:
    """The estimators [prompt] that need only the output, from the results of chapters 2, 3 and 6."""
    bases = curved.around_bases(setting)
    kl = plateaus.plateau_curves(setting, "sphere").kl
    return _outside(bases.curvature, bases.edge, kl, sensitive.direction_thresholds(setting, "sphere").threshold)


# What they tell -----------------------------------------------------------------------------------------------------


def effects(values: dict[str, xr.DataArray]) -> xr.Dataset:
    """Effect of each factor over [estimator, factor], with `told`, whether the estimator tells it.

    `as_predicted` says whether the effect has the sign of PREDICTED, or is not told where none is predicted.

    Args:
        values: `of_toys`.
    """
    found = estimates.together({name: _effects(value) for name, value in values.items()}, "estimator")
    signs = xr.zeros_like(found.value).copy(data=[PREDICTED[name] for name in values])
    return found.assign(as_predicted=xr.where(found.told.astype(bool), np.sign(found.value), 0) == signs)


def _effects(value: xr.DataArray) -> xr.Dataset:
    found = {}
    for factor in FACTORS:
        (other,) = set(FACTORS) - {factor}
        difference = contrasts.difference(value.mean([other, "network"]), factor, "with", "without")
        estimate = estimates.document_mean(difference)
        pairs = value.sel({factor: "with"}, drop=True).mean("prompt") - value.sel({factor: "without"}, drop=True).mean(
            "prompt"
        )
        clear = (estimate.low > 0) | (estimate.high < 0)
        found[factor] = estimate.assign(told=clear & bool((np.sign(pairs) == np.sign(estimate.value)).all()))
    return estimates.together(found, "factor")


def dropped(effects: xr.Dataset) -> list[str]:
    """Names of the estimators that do not tell noise, which is what stands for error correction here."""
    told = effects.told.sel(factor="noise").astype(bool)
    return told.estimator.values[~told.values].tolist()


def by_cell(values: dict[str, xr.DataArray]) -> xr.Dataset:
    """Mean of each estimator over inputs and networks, over [estimator, cell]."""
    found = {}
    for name, value in values.items():
        cells = {cell: value.sel(place, drop=True).mean("network") for cell, place in CELLS.items()}
        found[name] = estimates.together({cell: estimates.document_mean(x) for cell, x in cells.items()}, "cell")
    return estimates.together(found, "estimator")


def beside_language_model(values: dict[str, xr.DataArray], language: dict[str, xr.DataArray]) -> xr.Dataset:
    """`by_cell` for the estimators of the language model, which is a column of its own."""
    cells = by_cell({name: values[name] for name in language})
    found = {name: estimates.document_mean(value.reset_coords(drop=True).assign_coords(document=value.document))
             for name, value in language.items()}  # fmt: skip
    model = estimates.together(found, "estimator").expand_dims(cell=["language model"], axis=-1)
    return xr.concat([cells, model], "cell")


def curves(data: xr.Dataset) -> xr.DataArray:
    """KL [cell, prompt, base, direction, path_size] of the measured cells, averaged over networks."""
    cells = [data.kl.sel(place, drop=True).mean("network") for place in CELLS.values()]
    return xr.concat(cells, xr.Variable("cell", list(CELLS))).assign_coords(path_size=data.path_size)


def nearest(table: xr.Dataset, kept: list[str]) -> dict[str, str]:
    """The cell whose mean is nearest to that of the language model, for each estimator that is kept."""
    means = table.value.sel(estimator=[name for name in table.estimator.values if name in kept])
    gaps = abs(means.sel(cell=list(CELLS)) - means.sel(cell="language model"))
    return dict(zip(gaps.estimator.values.tolist(), gaps.idxmin("cell").values.tolist(), strict=True))


def beyond(table: xr.Dataset, kept: list[str]) -> list[str]:
    """Names of the estimators that are kept and whose interval of the language model lies beyond the means of all cells."""
    chosen = table.sel(estimator=[name for name in table.estimator.values if name in kept])
    means, model = chosen.value.sel(cell=list(CELLS)), chosen.sel(cell="language model")
    outside = (model.low > means.max("cell")) | (model.high < means.min("cell"))
    return outside.estimator.values[outside.values].tolist()
