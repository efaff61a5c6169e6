"""Estimates of chapter 6 -> what it says of curvature, edges and the explanations that were offered."""

import numpy as np
import xarray as xr

from .. import estimates
from ..plotting import LABELS
from .prose import above, percent, words


def trivial(bases: xr.Dataset, separation: xr.Dataset, by_block: xr.Dataset, against_gaussian: xr.Dataset) -> str:
    """The answer of chapter 6; arguments as for `explanations`."""
    said = quadratic(bases)
    early, late = _both_blocks(by_block)
    own, foreign = (words(against_gaussian.sel(base=base, measure="angle")) for base in ("real", "foreign"))
    return (
        f"The quadratic with the curvature at the base puts the threshold around Gaussian bases at {said['predicted_random']}, "
        f"and {said['measured_random']} is measured; around real bases it never reaches the threshold on {said['never_real']} "
        f"of the paths, and {said['measured_real']} is measured: {said['flat_then_edge']}. Curvature "
        f"{_tells(separation)}. Random directions have the larger angle within a prompt with probability {words(early)} at "
        f"{early.block.item()} and {words(late)} at the last block. Real activations of foreign prompts exceed Gaussian bases "
        f"in threshold angle with probability {foreign}, the prompt's own with {own}."
    )


def quadratic(bases: xr.Dataset) -> dict[str, str]:
    """What the quadratic predicts around real and Gaussian bases, and what is measured.

    Args:
        bases: `findings.curvature.around_bases`.
    """
    predicted, measured, edge = (_medians(bases[name]) for name in ("predicted", "measured", "edge"))
    never = estimates.censored(bases.predicted)
    later = float(predicted.value.sel(base="real")) > float(measured.value.sel(base="real"))
    beyond = np.isfinite(edge.value.sel(base="real"))
    real_edge = f"with its edge at {words(edge.sel(base='real'))}" if beyond else "without an edge on most paths"
    shape = f"flat at first, then steeper than its curvature says, {real_edge}"
    return {
        "predicted_random": words(predicted.sel(base="random")),
        "measured_random": words(measured.sel(base="random")),
        "predicted_real": words(predicted.sel(base="real")),
        "measured_real": words(measured.sel(base="real")),
        "never_real": percent(never.sel(base="real")),
        "flat_then_edge": shape if later else f"no later than its curvature says, {real_edge}",
    }


def _medians(sizes: xr.DataArray) -> xr.Dataset:
    return estimates.median(sizes, n_boot=1000)


def _tells(separation: xr.Dataset) -> str:
    """Whether curvature tells real-other from random directions, from `findings.curvature.separation`."""
    auroc = separation.sel(comparison="AUROC of the curvature, real-other above random")
    larger, smaller = (
        "is larger along real-other directions than along random ones",
        "is smaller along real-other directions",
    )
    return f"{above(auroc, 0.5, larger, smaller, 'does not tell real-other from random directions')} (AUROC {words(auroc)})"


def curvature(separation: xr.Dataset, explained: xr.Dataset) -> str:
    """What curvature at the base says of directions and of prompts.

    Args:
        separation, explained: see `findings.curvature`.
    """
    share, _, between = (explained.isel(relation=i) for i in range(3))
    plain = words(separation.sel(comparison="threshold angle, real-other over random"))
    adjusted = words(separation.sel(comparison="the same, adjusted for curvature"))
    more = "prompts than about directions" if between.value**2 > share.value else "directions than about prompts"
    return (
        f"Within prompts, curvature {_tells(separation)}. A line in its logarithm explains {percent(share)} of the variance of "
        f"the log threshold angle. Real-other angles are {plain} times the random ones, and {adjusted} times at equal "
        f"curvature. Between prompts the rank correlation of curvature and angle is {words(between)}: it says "
        f"more about {more}."
    )


def mean_base(angles: xr.Dataset, chords: xr.Dataset) -> dict[str, str]:
    """Threshold angle and chord around the mean and around real activations; both are medians over [base]."""
    return {
        "angle_mean": words(angles.sel(base="mean")),
        "chord_mean": estimates.text(chords.sel(base="mean"), ".1f"),
        "angle_real": words(angles.sel(base="real")),
        "chord_real": estimates.text(chords.sel(base="real"), ".1f"),
    }


def _both_blocks(by_block: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """The first block and the last one."""
    return by_block.isel(block=0), by_block.isel(block=-1)


def explanations(
    bases: xr.Dataset,
    separation: xr.Dataset,
    by_block: xr.Dataset,
    by_effect: xr.Dataset,
    half_way: xr.Dataset,
    against_gaussian: xr.Dataset,
    with_bos: xr.Dataset,
) -> list[tuple[str, str, str]]:
    """The rows of chapter 6's table: an explanation, what it predicts, what was measured.

    Args:
        bases: `findings.curvature.around_bases`.
        separation: `findings.curvature.separation`.
        by_block: within-prompt AUROC of random against real-other directions over [block], the last block last.
        by_effect: the same over [effect].
        half_way: AUROC of both effects of the report over [network, effect].
        against_gaussian: AUROC over [base, measure] against Gaussian bases.
        with_bos: AUROC of random against real-other directions with the other choice of a beginning-of-sequence token.
    """
    said = quadratic(bases)
    early, late = _both_blocks(by_block)
    networks = "; ".join(
        f"{name}: plateau {words(half_way.sel(network=name, effect='plateau effect, L2'))}, "
        f"direction {words(half_way.sel(network=name, effect='direction effect, L2'))}"
        for name in half_way.network.values.tolist()
    )
    l2, kl = (words(by_effect.sel(effect=LABELS[effect])) for effect in ("l2", "kl"))
    own, foreign = (words(against_gaussian.sel(base=base, measure="angle")) for base in ("real", "foreign"))
    angle = words(separation.sel(comparison="AUROC of the angle, random above real-other"))
    return [
        ("KL is quadratic, so it looks flat", "the threshold of the quadratic around every base",
         f"real: {said['predicted_real']} predicted, {said['measured_real']} measured; Gaussian: {said['predicted_random']} "
         f"and {said['measured_random']}"),
        ("real-other directions start steeper", "a larger curvature along them, and no difference at equal curvature",
         f"curvature {_tells(separation)}; AUROC of the angle {angle}"),
        ("final norm, unembedding or softmax", "the direction effect remains at the last block",
         f"AUROC {words(late)} there, {words(early)} at {early.block.item()}"),
        ("a property of the output alone", "nothing in late activations",
         f"AUROC by L2 before the final norm {l2}, by KL {kl}"),
        ("any network of this shape", "the same in untrained weights", networks),
        ("off-distribution inputs are fragile", "foreign real bases have short plateaus, as Gaussian ones do",
         f"AUROC against Gaussian bases: own {own}, foreign real {foreign}"),
        ("the sink at the first token", "another result with a beginning-of-sequence token", f"AUROC {words(with_bos)}"),
    ]  # fmt: skip
