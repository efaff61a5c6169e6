"""Chapter 5: what decides the statements about SAE latents, and the numbers that are shown beside them.

All take a `Setting` and a dictionary, and return one value for each prompt [prompt] in the unit of their statement, unless they
are said to return an estimate over documents.
"""

from collections.abc import Callable

import numpy as np
import xarray as xr

from .. import contrasts, estimates, quantities
from ..experiments import sensitive
from ..experiments.latents import bases, encoding, replacements, single, sums, targets
from ..experiments.setting import Setting
from ..saes import Dictionary
from ..sensitivity import NOISE_FLOOR


def _ratio(logs: xr.DataArray) -> xr.Dataset:
    return estimates.exponential(estimates.document_mean(logs))


# Bases and targets that an SAE made ---------------------------------------------------------------------------------


def with_latents_added(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """(viii): threshold angle with eight more latents minus after a random move of equal length, degrees."""
    return _around(setting, dictionary, contrasts.difference, f"with {bases.N_ADDED} more", "moved as far")


def gap(setting: Setting, dictionary: Dictionary, of: str, against: str) -> xr.Dataset:
    """The same of two other kinds of base: an estimate, degrees."""
    return estimates.document_mean(_around(setting, dictionary, contrasts.difference, of, against))


def built_over_gaussian(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """C3: logarithm of the threshold angles around built bases over those around Gaussian ones."""
    return contrasts.log_ratio(bases.built_thresholds(setting, dictionary), "kind", bases.STRUCTURED, "random")


def angle_ratio(setting: Setting, dictionary: Dictionary, of: str, against: str) -> xr.Dataset:
    """The ratio of two other kinds of base: an estimate."""
    return _ratio(_around(setting, dictionary, contrasts.log_ratio, of, against))


def _around(setting: Setting, dictionary: Dictionary, contrast: Callable, of: str, against: str) -> xr.DataArray:
    return contrast(bases.base_thresholds(setting, dictionary, "sphere"), "kind", of, against)


def steepest_towards_built(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """C6: position of the steepest rise of L2 on the way to a Gaussian target minus to a built one, % of the way."""
    return contrasts.difference(steepest(setting, dictionary, "l2"), "kind", "random", bases.STRUCTURED)


def steepest_gap(setting: Setting, dictionary: Dictionary, of: str, against: str) -> xr.Dataset:
    """The same of two other kinds of target: an estimate, % of the way."""
    return estimates.document_mean(contrasts.difference(steepest(setting, dictionary, "l2"), "kind", of, against))


def steepest(setting: Setting, dictionary: Dictionary, effect: str) -> xr.DataArray:
    """Position of the steepest rise of an effect [prompt, kind], towards targets that are real, Gaussian or made by an SAE."""
    walks = sensitive.walks_to_targets(setting), bases.walks_to_built(setting, dictionary)
    found = [100 * quantities.steepest(walk[effect]) for walk in walks]
    return xr.concat(found, "kind").assign_attrs(unit="% of the way")


# Directions along latents -------------------------------------------------------------------------------------------


def active_before_deviation(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """(ix): within-prompt AUROC of the threshold angle, Gaussian deviation above active latent."""
    return _before(setting, dictionary, "active", "random deviation")


def sooner(setting: Setting, dictionary: Dictionary, of: str, against: str) -> xr.Dataset:
    """The same of two other kinds of direction, `against` above `of`: an estimate."""
    return estimates.document_mean(_before(setting, dictionary, of, against))


def _before(setting: Setting, dictionary: Dictionary, of: str, against: str) -> xr.DataArray:
    return contrasts.auroc(single.latent_thresholds(setting, dictionary, "sphere"), "kind", against, of)


def one_before_many(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """(x): threshold angle along a sum of 128 latents with random signs minus along one of them, degrees."""
    one, many = (f"random signs/{k}" for k in (sums.SPREAD[0], sums.SPREAD[-1]))
    return contrasts.difference(sums.spread_thresholds(setting, dictionary), "kind", many, one)


# Real-other directions ----------------------------------------------------------------------------------------------


def own_minus_mixtures(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """C9: share of moves that lower the threshold angle, along own latents minus along Gaussian mixtures."""
    return contrasts.difference(lowered(setting, dictionary).astype(float), "moved_along", "own latents", "mixtures")


def lowered(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """Whether each move lowers the threshold of its direction [prompt, moved_along, direction]; censored ones are infinite."""
    moves = targets.mixed_moves(setting, dictionary)
    lower = moves.moved.fillna(np.inf) < moves.whole.fillna(np.inf)
    return lower.rename(move="direction").assign_attrs(unit="")


def share_lowered(setting: Setting, dictionary: Dictionary, along: str) -> xr.Dataset:
    """Share of a prompt's moves of one sort that lower the threshold: an estimate."""
    return estimates.document_mean(lowered(setting, dictionary).sel(moved_along=along, drop=True).mean("direction"))


def any_lowered(setting: Setting, dictionary: Dictionary) -> xr.Dataset:
    """Share of prompts of which a move along an own latent lowers the threshold: an estimate."""
    return estimates.document_mean(
        lowered(setting, dictionary).sel(moved_along="own latents", drop=True).any("direction")
    )


def alignment_within(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """C25: rank correlation of the threshold angles of random directions with their largest cosine with a latent."""
    return aligned_within(setting, dictionary, "nearest").sel(kind="random", drop=True)


def aligned_within(setting: Setting, dictionary: Dictionary, alignment: str) -> xr.DataArray:
    """Within-prompt rank correlation of threshold angles with one of `targets.ALIGNMENTS` [prompt, kind]."""
    return contrasts.spearman(*angles_and_alignments(setting, dictionary, alignment))


def aligned(setting: Setting, dictionary: Dictionary, kind: str) -> xr.Dataset:
    """The rank correlation with the largest cosine of another kind of direction: an estimate."""
    return estimates.document_mean(aligned_within(setting, dictionary, "nearest").sel(kind=kind, drop=True))


def angles_and_alignments(
    setting: Setting, dictionary: Dictionary, alignment: str
) -> tuple[xr.DataArray, xr.DataArray]:
    """Threshold angles and alignments of the many random and real-other directions, both [prompt, kind, direction]."""
    angles = sensitive.many_directions(setting).threshold.sel(kind=list(targets.ALIGNED))
    angles = angles.assign_attrs(description="threshold angle")
    return angles, targets.alignments(setting, dictionary, angles.sizes["direction"])[alignment]


def alignment_between(setting: Setting, dictionary: Dictionary) -> xr.Dataset:
    """Rank correlation over prompts of the threshold angle of one random direction with its largest cosine: an estimate."""
    pair = angles_and_alignments(setting, dictionary, "nearest")
    return estimates.spearman(*(x.sel(kind="random", drop=True).isel(direction=0) for x in pair))


# Errors, ablations and the encoder ----------------------------------------------------------------------------------


def error_over_isotropic(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """C10: logarithm of the KL divergence of the SAE's error over that of isotropic steps, at all positions."""
    return _error_over(setting, dictionary, "isotropic", "all")


def error_over_mixture(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """C11: the same over random mixtures."""
    return _error_over(setting, dictionary, "random mixture", "all")


def error_ratio(setting: Setting, dictionary: Dictionary, against: str, places: str) -> xr.Dataset:
    """The ratio over another step as long, at `all` positions or at the `last`: an estimate."""
    return _ratio(_error_over(setting, dictionary, against, places))


def _error_over(setting: Setting, dictionary: Dictionary, against: str, places: str) -> xr.DataArray:
    return _log_ratio(replacements.error_effects(setting, dictionary, places), "SAE error", against)


def ablating_over_reconstructing(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """C28: logarithm of the KL divergence of ablating an active latent over a step as long towards the reconstruction."""
    return _log_ratio(
        replacements.ablation_effects(setting, dictionary), "ablate a latent", "towards the reconstruction"
    )


def ablation_ratio(setting: Setting, dictionary: Dictionary, of: str, against: str) -> xr.Dataset:
    """The ratio of two other steps of `replacements.ABLATIONS`: an estimate."""
    return _ratio(_log_ratio(replacements.ablation_effects(setting, dictionary), of, against))


def _log_ratio(kl: xr.DataArray, of: str, against: str) -> xr.DataArray:
    """Logarithm of a ratio of KL divergences, which are at least the noise floor."""
    return contrasts.log_ratio(kl.clip(NOISE_FLOOR), "kind", of, against)


def switched_on_over_real(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """C29: logarithm of the number of latents that an isotropic vector switches on over that of the document's activation."""
    return contrasts.difference(_switched_on(setting, dictionary), "kind", "isotropic", "real")


def mean_count(setting: Setting, dictionary: Dictionary, kind: str) -> xr.Dataset:
    """Geometric mean of the number of latents that one kind switches on: an estimate."""
    found = _ratio(_switched_on(setting, dictionary).sel(kind=kind, drop=True))
    return found.assign_attrs(unit="latents")


def _switched_on(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """Logarithms of the numbers of latents switched on [prompt, kind]; no latent counts as one."""
    return np.log(encoding.codes_switched_on(setting, dictionary).clip(1)).assign_attrs(unit="")


PRIMARIES = {
    "C29": switched_on_over_real,
    "(viii)": with_latents_added,
    "(ix)": active_before_deviation,
    "(x)": one_before_many,
    "C9": own_minus_mixtures,
    "C3": built_over_gaussian,
    "C6": steepest_towards_built,
    "C10": error_over_isotropic,
    "C11": error_over_mixture,
    "C25": alignment_within,
    "C28": ablating_over_reconstructing,
}
"""Statement -> function of a setting and a dictionary."""
