"""Estimates -> the numbers and sentences that a chapter's text shows."""

import re
from collections.abc import Sequence
from typing import Any

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


def optima(corner: xr.Dataset, both_sides: xr.Dataset) -> str:
    """The answer of chapter 4.

    Args:
        corner: shares of minima over [what].
        both_sides: shares of corners lower than both sides of two lines, over [section].
    """
    real, random = (words(corner.sel(what=f"local minimum, {section} corner")) for section in ("real-other", "random"))
    real_line, random_line = (words(both_sides.sel(section=section)) for section in ("real-other", "random"))
    return (
        f"The real-other corner is a strict local minimum in {real} of {int(corner.n)} triangles, a random corner in {random} "
        f"(95 % intervals). Compared with both sides of two lines that run past it, the real-other direction is lower in "
        f"{real_line}, a random one in {random_line} of the cases."
    )


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


def trivial(flat: xr.Dataset, by_block: xr.Dataset, against_gaussian: xr.Dataset) -> str:
    """The answer of chapter 6; arguments as for `explanations`."""
    real, gaussian = (flat.sel(path=f"{base} base, random", path_size=30) for base in ("real", "random"))
    verdict = _above(real, 1, "steeper than", "flatter than", "not distinguishable from")
    early, late = _both_blocks(by_block)
    foreign, own = (words(against_gaussian.sel(base=base)) for base in ("foreign", "real"))
    return (
        f"At 30° the KL divergence around real bases is {words(real)} times what its own curvature predicts, {verdict} a "
        f"quadratic; around Gaussian bases {words(gaussian)}. The direction effect has an AUROC of {words(early)} at "
        f"{early.block.item()} and {words(late)} at the last block. Real activations of foreign prompts exceed Gaussian bases "
        f"in threshold angle with probability {foreign}, the prompt's own with {own}."
    )


def _both_blocks(by_block: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """The first block and the last one."""
    return by_block.isel(block=0), by_block.isel(block=-1)


def explanations(
    flat: xr.Dataset,
    by_block: xr.Dataset,
    by_effect: xr.Dataset,
    half_way: xr.Dataset,
    against_gaussian: xr.Dataset,
    with_bos: xr.Dataset,
) -> list[tuple[str, str, str]]:
    """The rows of chapter 6's table: an explanation, what it predicts, what was measured.

    Args:
        flat: excess flatness over [path, size].
        by_block: AUROC of random against real-other directions over [block], the last block last.
        by_effect: the same over [effect].
        half_way: AUROC of both effects of the report over [network, effect].
        against_gaussian: AUROC over [base] against Gaussian bases.
        with_bos: AUROC of random against real-other directions with the other choice of a beginning-of-sequence token.
    """
    real, gaussian = (words(flat.sel(path=f"{base} base, random", path_size=30)) for base in ("real", "random"))
    early, late = _both_blocks(by_block)
    networks = "; ".join(
        f"{name}: plateau {words(half_way.sel(network=name, effect='plateau effect, L2'))}, "
        f"direction {words(half_way.sel(network=name, effect='direction effect, L2'))}"
        for name in half_way.network.values.tolist()
    )
    l2, kl = (words(by_effect.sel(effect=LABELS[effect])) for effect in ("l2", "kl"))
    own, foreign = (words(against_gaussian.sel(base=base)) for base in ("real", "foreign"))
    return [
        ("KL is quadratic, so it looks flat", "excess flatness 1 around every base",
         f"at 30°: real {real}, Gaussian {gaussian}"),
        ("final norm, unembedding or softmax", "the direction effect remains at the last block",
         f"AUROC {words(late)} there, {words(early)} at {early.block.item()}"),
        ("a property of the output alone", "nothing in late activations",
         f"AUROC by L2 before the final norm {l2}, by KL {kl}"),
        ("any network of this shape", "the same in untrained weights", networks),
        ("off-distribution inputs are fragile", "realistic bases have the plateau, wherever they come from",
         f"AUROC against Gaussian bases: own {own}, foreign real {foreign}"),
        ("the sink at the first token", "another result with a beginning-of-sequence token", f"AUROC {words(with_bos)}"),
    ]  # fmt: skip
