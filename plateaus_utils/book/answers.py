"""Estimates -> the sentences that answer each chapter's question, and those that its text takes from the numbers."""

from collections.abc import Sequence
from typing import Any

import xarray as xr

from .prose import above, extremes, percent, words
from .verdicts import number


def plateaus(onset: xr.Dataset, gap: xr.Dataset, threshold: xr.Dataset, quadratic: float, level: float) -> str:
    """The answer of chapter 2.

    Args:
        onset: mean angle over [base] at a tenth of the KL at 90°.
        gap: its mean paired difference, real minus Gaussian base.
        threshold: median threshold angle over [base].
        quadratic: the angle at which a quadratic has its onset, degrees.
        level: the KL divergence that defines the threshold, nats.
    """
    real, gaussian = (onset.sel(base=base) for base in ("real", "random"))
    late, early, same = "later than a quadratic does", "sooner than a quadratic does", "about where a quadratic does"
    leaves = [above(found, quadratic, late, early, same) for found in (real, gaussian)]
    verdict = above(gap, 0, "longer than", "shorter than", "not distinguishable from")
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
    return above(
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
    sooner = above(separation, 0.5, "sooner than", "later than", "not distinguishably sooner than")
    towards, away = (effects.sel(effect="deviations", part=part) for part in ("towards", "away"))
    without = above(towards, 0, "matter sooner than", "matter later than", "are not told apart from")
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
    return above(difference, 0, "larger", "smaller", "not distinguishable in size")


def optima(share: xr.Dataset, beside: dict[str, xr.Dataset]) -> str:
    """The answer of chapter 4.

    Args:
        share: of lines on which the real-other corner is the lowest of three points.
        beside: `findings.optima.secondary`.
    """
    verdict = above(share, 0.5, "on more lines than not", "on fewer lines than not", "on about as many lines as not")
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
    larger = above(beside["second"], 0, outweighs, "they bend downwards", "whether they bend cannot be told")
    return {"half_second": f"{half:.2f}", "slope_size": f"{slope:.2f}", "bend_or_slope": larger}


def mixing(left: xr.DataArray, sag: xr.Dataset) -> dict[str, str]:
    """What mixing two Gaussian targets does to their deviation from the mean, and to the threshold angle.

    Args:
        left: share of the deviation that is left half-way [prompt].
        sag: threshold angle half-way minus that of the corners.
    """
    return {
        "shortening": f"{float(left.mean()):.0%}",
        "sag": above(sag, 0, "larger", "smaller", "not distinguishably other"),
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
