"""Estimates -> the numbers and sentences that a chapter's text shows."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from myst_nb import glue as glue_one

from .. import estimates
from ..plotting import LABELS
from .verdicts import FORMATS, number


def words(value: Any) -> str:
    """A number as the text shows it: an estimate with interval and unit, a share in percent, anything else as it is."""
    if isinstance(value, xr.Dataset):
        unit = value.attrs.get("unit", "")
        unit = "°" if unit == "degrees" else unit
        text = estimates.text(value, FORMATS.get(unit, ".2f"))
        return f"{text}{unit}" if unit in ("°", "") else f"{text} {unit}"
    return str(value)


def glue(**values: Any) -> None:
    """Make values available to the text of the page, as `{glue:text}` roles.

    Args:
        values: name -> value, see `words`. Of an estimate over one dimension each member gets a name of its own, with the
            member's after an underscore: `median` over [base] gives `median_real`, `median_random` and so on.
    """
    for name, value in values.items():
        for suffix, single in _members(value):
            glue_one(name + suffix, words(single), display=False)


def _members(value: Any) -> list[tuple[str, Any]]:
    if not (isinstance(value, xr.Dataset) and value.value.dims):
        return [("", value)]
    (dim,) = value.value.dims
    return [
        ("_" + re.sub(r"\W+", "_", str(member)).strip("_"), value.sel({dim: member})) for member in value[dim].values
    ]


def percent(share: Any) -> str:
    """A share, or an estimate of one with its interval, as whole percentages."""
    return estimates.text(share, ".0%") if isinstance(share, xr.Dataset) else f"{float(share):.0%}"


def extremes(estimate: xr.Dataset, null: float) -> dict[str, str]:
    """The smallest and the largest of estimates over one dimension, with their places, and whether `null` lies between them."""
    (dim,) = estimate.value.dims
    low, high = estimate.value.argmin(dim), estimate.value.argmax(dim)

    def at(place: xr.DataArray) -> str:
        return f"{float(estimate.value[place]):.2f} at {float(estimate[dim][place]):.3g} {estimate[dim].attrs['unit']}"

    both = float(estimate.value[low]) < null < float(estimate.value[high])
    return {"smallest": at(low), "largest": at(high), "reverses": "it reverses" if both else "it does not reverse"}


def sample(setting: Any, n_directions: int | None = None, shown: Any = None) -> dict[str, Any]:
    """What was studied, and on how much: the names that every chapter's head shows.

    Args:
        setting: of the prompts that decide.
        shown: of those that are only drawn.
    """
    found = {
        "studied": setting.description,
        "n_prompts_used": setting.n_prompts,
        "n_documents_used": _documents(setting),
    }
    if shown is not None:
        found |= {"n_prompts_shown": shown.n_prompts, "n_documents_shown": _documents(shown)}
    return found if n_directions is None else found | {"n_directions_used": n_directions}


def _documents(setting: Any) -> int:
    return len(set(setting.documents.tolist()))


# The answers --------------------------------------------------------------------------------------------------------


def _above(estimate: xr.Dataset, null: float, above: str, below: str, open_: str) -> str:
    """Which of three words an interval calls for."""
    return above if float(estimate.low) > null else below if float(estimate.high) < null else open_


def plateaus(edge: xr.Dataset, gap: xr.Dataset, threshold: xr.Dataset, quadratic: float, level: float) -> str:
    """The answer of chapter 2.

    Args:
        edge: mean angle over [base] at a tenth of the KL at 90°.
        gap: its mean paired difference, real minus Gaussian base.
        threshold: median threshold angle over [base].
        quadratic: the angle at which a quadratic has its edge, degrees.
        level: the KL divergence that defines the threshold, nats.
    """
    real, gaussian = (edge.sel(base=base) for base in ("real", "random"))
    late, early, same = "later than a quadratic does", "sooner than a quadratic does", "about where a quadratic does"
    leaves = [_above(found, quadratic, late, early, same) for found in (real, gaussian)]
    verdict = _above(gap, 0, "longer than", "shorter than", "not distinguishable from")
    return (
        f"The KL divergence reaches a tenth of its value at 90° at {words(real)} around real activations and at "
        f"{words(gaussian)} around Gaussian ones, a quadratic at {quadratic:.1f}° (means over {int(gap.n_documents)} "
        f"documents, 95 % intervals): around real activations it rises {leaves[0]}, around Gaussian ones {leaves[1]}. By "
        f"this measure plateaus around real activations are {verdict} those around Gaussian ones (paired difference "
        f"{words(gap)}). The median angle at which the divergence reaches {level} nats is "
        f"{words(threshold.sel(base='real'))} and {words(threshold.sel(base='random'))}."
    )


def lengths_by_level(ratio: xr.Dataset, auroc: xr.Dataset) -> dict[str, str]:
    """How the order of plateaus depends on what counts as far, by length and by angle; estimates over [level]."""
    length, angle = extremes(ratio, null=1), extremes(auroc, null=0.5)
    both = length["reverses"] == angle["reverses"]
    return {
        "length_smallest": length["smallest"], "length_largest": length["largest"], "length_reverses": length["reverses"],
        "as_angles": "just as the AUROC of angles with the KL threshold" if both
        else "unlike the AUROC of angles with the KL threshold",
    }  # fmt: skip


def shelf(width: xr.Dataset) -> str:
    """What a 10-90 % width says beside the 0.8 of a straight line."""
    return _above(
        width, 0.8, "less of a shelf than a line", "more of a shelf than a line", "as much of a shelf as a line"
    )


def sensitive(separation: xr.Dataset, earlier: xr.Dataset, gap: xr.Dataset, effects: xr.Dataset, first: str) -> str:
    """The answer of chapter 3.

    Args:
        separation: within-prompt AUROC of the threshold angle, random above real-other.
        earlier: share of prompts in which the median real-other angle is the smaller one.
        gap: threshold angle, random minus real-other.
        effects: angles of Gaussian minus real kinds of direction and their parts over [effect, part].
        first: which kind has the smallest angle, see `smallest`.
    """
    sooner = _above(separation, 0.5, "sooner than", "later than", "not distinguishably sooner than")
    towards, away = (effects.sel(effect="deviations", part=part) for part in ("towards", "away"))
    without = _above(towards, 0, "matter sooner than", "matter later than", "are not told apart from")
    return (
        f"In the same prompt, a random direction has the larger threshold angle than a real-other one with probability "
        f"{words(separation)} (95 % interval over {int(separation.n_documents)} documents); the mean difference is "
        f"{words(gap)}, and in {percent(earlier)} of the prompts the median real-other angle is the smaller one. By this "
        f"measure real-other directions matter {sooner} random ones. With base and mean removed from both targets, real "
        f"directions {without} Gaussian ones ({int(towards.n_documents)} documents): the difference is {words(towards)}, and "
        f"{words(away)} the other way along the same axes. Of all kinds, the smallest angles are those of {first}."
    )


def larger_part(effect: xr.Dataset) -> str:
    """Which of its parts an effect over [part] mostly is."""
    even, odd = (abs(float(effect.value.sel(part=part))) for part in ("even", "odd"))
    return "more odd than even" if odd > even else "more even than odd"


def smallest(estimate: xr.Dataset) -> str:
    """The member of an estimate's one dimension with the smallest value, and that value."""
    (dim,) = estimate.value.dims
    found = estimate.isel({dim: int(estimate.value.argmin(dim))})
    return f"*{found[dim].item()}* ({words(found)})"


def compared(difference: xr.Dataset) -> str:
    """Whether one thing is larger than another, from the interval of their difference."""
    return _above(difference, 0, "larger", "smaller", "not distinguishable in size")


def optima(share: xr.Dataset, beside: dict[str, xr.Dataset]) -> str:
    """The answer of chapter 4.

    Args:
        share: of lines on which the real-other corner is the lowest of three points.
        beside: `findings.optima.secondary`.
    """
    verdict = _above(share, 0.5, "on more lines than not", "on fewer lines than not", "on about as many lines as not")
    return (
        f"A real-other direction has a smaller threshold angle than its neighbours on both sides in {percent(share)} of "
        f"{int(share.n)} lines, one a document (95 % intervals): it is a local optimum {verdict}. Of lines past Gaussian "
        f"directions the share is {percent(beside['local_random'])}. Lines curve upwards at {percent(beside['convex'])} of "
        f"real-other and at {percent(beside['convex_random'])} of Gaussian directions; "
        f"past real-other ones, {bend(beside)['bend_or_slope']}."
    )


def bend(beside: dict[str, xr.Dataset]) -> dict[str, str]:
    """Half the second difference and the slope times the step of lines past real-other corners, and which is larger.

    Args:
        beside: `findings.optima.secondary`.
    """
    half, slope = float(beside["second"].value) / 2, float(beside["slope"].value)
    outweighs = (
        "the bend outweighs the slope" if half > slope else "they bend upwards, but their slope outweighs the bend"
    )
    larger = _above(beside["second"], 0, outweighs, "they bend downwards", "whether they bend cannot be told")
    return {"half_second": f"{half:.2f}", "slope_size": f"{slope:.2f}", "bend_or_slope": larger}


def mixing(left: xr.DataArray, sag: xr.Dataset) -> dict[str, str]:
    """What mixing two Gaussian targets does to their deviation from the mean, and to the threshold angle.

    Args:
        left: share of the deviation that is left half-way [prompt].
        sag: threshold angle half-way minus that of the corners.
    """
    return {
        "shortening": f"{float(left.mean()):.0%}",
        "sag": _above(sag, 0, "larger", "smaller", "not distinguishably other"),
        "sag_size": words(sag),
    }


def latents(sae: Any, judged: Sequence[dict]) -> str:
    """The answer of chapter 5.

    Args:
        sae: the dictionary that decides.
        judged: the chapter's claims, see `claims.Judge`.
    """
    found = {claim["id"]: _answered(claim) for claim in judged}
    return (
        f"The dictionary is {sae.name} (explained variance {sae.explained_variance:.2f}, L0 {sae.l0:.0f}). The threshold angle "
        f"around activations with eight more latents exceeds that after a random move of equal length by {found['(viii)']}. "
        f"Exciting an active latent leaves the plateau before a Gaussian deviation from the mean does in a share of "
        f"{found['(ix)']} of a prompt's pairs. Along a sum of 128 latents the threshold angle exceeds that along one of them "
        f"by {found['(x)']}. In brackets: the verdict, and before it whether a difference as the report predicts was found."
    )


def _answered(claim: dict) -> str:
    """Number, direction and verdict of a judged claim."""
    value = number(claim["value"], *claim["interval"], claim["unit"])
    direction, verdict = claim["direction"], claim["verdict"]
    return f"{value} ({verdict if direction == verdict else f'{direction}: {verdict}'})"


def encoder_counts(counts: xr.DataArray) -> dict[str, str]:
    """The extremes of the numbers switched on [prompt, kind] by isotropic vectors, and the median of real activations."""
    isotropic, real = (counts.sel(kind=kind) for kind in ("isotropic", "real"))
    extreme = {"fewest_isotropic": isotropic.min(), "most_isotropic": isotropic.max(), "l0_median": real.median()}
    return {name: f"{float(count):.0f}" for name, count in extreme.items()}


def sae_kind(sae: Any) -> str:
    """What to know of a dictionary that is no SAE."""
    if sae.is_sae:
        return ""
    return (
        "It is no SAE but a control, because none is known for this model and layer; so no claim about SAEs is judged."
    )


def groups(bic: float) -> dict[str, str]:
    """Whether two normal distributions describe values better than one, from the difference of BIC."""
    return {"bimodal": "better" if bic > 0 else "no better", "bic": f"{bic:.1f}"}


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
    return f"{_above(auroc, 0.5, larger, smaller, 'does not tell real-other from random directions')} (AUROC {words(auroc)})"


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


def toys(effects: xr.Dataset, dropped: list[str], nearest: dict[str, str]) -> dict[str, str]:
    """The answer of chapter 7, and the sentences that name what is dropped and which cell the language model is nearest to.

    Args:
        effects: over [estimator, factor], see `findings.toys.effects`.
        dropped: names of estimators that do not tell noise.
        nearest: estimator -> name of a cell.
    """
    n, noisy = effects.sizes["estimator"], sum(cell in ("noise", "both") for cell in nearest.values())
    both = effects.told.astype(bool).all("factor")
    where = "; ".join(f"{estimator}: *{cell}*" for estimator, cell in nearest.items())
    noise = effects.sel(factor="noise")
    ratio, lead, contracts = (
        words(noise.sel(estimator=name))
        for name in (
            "curvature, Gaussian over real (log)", "threshold, random minus feature off (°)", "‖δ‖ through all blocks (log)",
        )
    )  # fmt: skip
    return {
        "answer": (
            f"Of {n} estimators {n - len(dropped)} tell networks that were trained with noise from those that were not, and "
            f"{int(both.sum())} tell superposition as well. Noise changes the logarithm of the curvature ratio of Gaussian to "
            f"real bases by {ratio}, the lead of switching an own feature off over a random direction by {lead} degrees, and "
            f"the logarithm by which a deviation grows through the blocks by {contracts} (95 % intervals over inputs). By "
            f"{noisy} of the {len(nearest)} estimators that can be computed for it and tell noise, the language model is "
            "nearest to a cell with noise."
        ),
        "failed": ", ".join(noise.estimator.values[~noise.as_predicted.values].tolist()) or "none",
        "dropped": ", ".join(dropped) if dropped else "none",
        "nearest": where if where else "no estimator that tells noise can be computed for it",
    }


def damping(gap: xr.Dataset, account: xr.Dataset, gates: xr.Dataset, width: xr.Dataset, verdict: str) -> str:
    """The answer of chapter 8.

    Args:
        gap: ratio of curvatures, Gaussian over real base.
        account: shares of its logarithm over [term].
        gates: share of it that the real gates restore in the Gaussian run.
        width: how much wider paths are with MLPs than with attention frozen.
        verdict: on the statement that the MLPs make the shelf.
    """
    terms = "; ".join(f"{term} {percent(account.sel(term=term))}" for term in account.term.values.tolist())
    return (
        f"The output is {words(gap)} times as curved at Gaussian as at real bases. Of the logarithm of that, the terms of the "
        f"account carry: {terms}. Holding the MLPs' gates at their real values in the Gaussian run restores {percent(gates)}. "
        f"Paths between real activations have a 10–90 % width that is {words(width)} larger with the MLPs frozen than with "
        f"attention frozen (the MLPs make the shelf: {verdict})."
    )


def predictions(tests: list[tuple[str, str, xr.Dataset, str]]) -> list[tuple[str, str, str]]:
    """The rows of chapter 8's table of hypotheses: hypothesis, prediction, what was measured and what that says."""
    return [(who, claim, f"{percent(found)}: {said}") for who, claim, found, said in tests]


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
