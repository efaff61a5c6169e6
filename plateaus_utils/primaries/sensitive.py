"""Chapter 3: what decides the statements about sensitive directions."""

import numpy as np
import xarray as xr

from .. import contrasts, quantities
from ..experiments import sensitive
from ..experiments.setting import Setting
from ..sensitivity import NOISE_FLOOR


def real_other_is_earlier(setting: Setting) -> xr.DataArray:
    """(ii) Whether the median real-other angle is smaller than the median random one; censored angles count as the limit."""
    angles = sensitive.many_directions(setting).threshold
    medians = angles.fillna(angles.attrs["limit"]).median("direction")
    return medians.sel(kind="real-other", drop=True) < medians.sel(kind="random", drop=True)


def separation(setting: Setting) -> xr.DataArray:
    """(iv) Within-prompt AUROC of the threshold angle, random above real-other."""
    return contrasts.auroc(sensitive.many_directions(setting).threshold, "kind", "random", "real-other")


def isotropic_over_random(setting: Setting) -> xr.DataArray:
    """C4 Logarithm of the ratio of threshold distances, isotropic over random directions."""
    return contrasts.log_ratio(sensitive.isotropic_distances(setting).threshold, "kind", "naive", "random")


def steepest_rises(setting: Setting) -> xr.Dataset:
    """Positions of the steepest step of `l2` and `kl` on the way to a target [prompt, kind], in percent of the way."""
    walks = sensitive.walks_to_targets(setting)
    return xr.Dataset(
        {
            effect: (100 * quantities.steepest(walks[effect])).assign_attrs(
                description=f"steepest step of {effect.upper()}", unit="% of the way"
            )
            for effect in ("l2", "kl")
        }
    )


def steepest_rise_gap(setting: Setting) -> xr.DataArray:
    """C5 Position of the steepest rise of L2, Gaussian minus real target, in percent of the way."""
    return contrasts.difference(steepest_rises(setting).l2, "kind", "random", "real-other")


def mixture_effects(setting: Setting) -> xr.DataArray:
    """KL of `sensitive.mixture_steps` [prompt, kind, direction], at least that of the noise floor."""
    return sensitive.mixture_steps(setting).kl.clip(min=NOISE_FLOOR)


def real_over_random_mixture(setting: Setting) -> xr.DataArray:
    """C12 Logarithm of the ratio of KL divergences, real over random mixtures."""
    return contrasts.log_ratio(mixture_effects(setting), "kind", "real mixture", "random mixture")


def slopes(pairs: xr.Dataset) -> xr.DataArray:
    """Maximal slopes of linear paths between two activations [prompt], at the last block's output."""
    found = quantities.max_slope(pairs.sel(interpolation="linear", read="resid_post", drop=True))
    return found.assign_attrs(description="maximal slope")


def same_token_slope(setting: Setting) -> xr.DataArray:
    """C19 Logarithm of the maximal slope towards an activation of the same last token, of the prompts that have one."""
    return np.log(slopes(sensitive.same_token_pairs(setting)).dropna("prompt")).assign_attrs(unit="")


def mean_correlations(setting: Setting) -> xr.DataArray:
    """Within-prompt rank correlations of threshold angle and cosine with the direction to the mean [kind, prompt]."""
    angles, cosines = sensitive.many_directions(setting).threshold, sensitive.cosines_with_mean(setting)
    found = [contrasts.spearman(angles.sel(kind=kind), cosines.sel(kind=kind)) for kind in sensitive.SEPARATED]
    return xr.concat(found, "kind")


def mean_correlation(setting: Setting) -> xr.DataArray:
    """C26 The same of random directions."""
    return mean_correlations(setting).sel(kind="random", drop=True)


PRIMARIES = {
    "(ii)": real_other_is_earlier,
    "(iv)": separation,
    "C4": isotropic_over_random,
    "C5": steepest_rise_gap,
    "C12": real_over_random_mixture,
    "C19": same_token_slope,
    "C26": mean_correlation,
}
"""Statement -> what decides it."""
