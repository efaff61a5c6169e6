"""Estimates -> the numbers and sentences that a chapter's text shows."""

from typing import Any

import xarray as xr
from myst_nb import glue as glue_one

from .. import estimates
from ..plotting import LABELS
from .verdicts import FORMATS


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
        (f"_{str(member).replace(' ', '_').replace('-', '_')}", value.sel({dim: member}))
        for member in value[dim].values
    ]


def percent(share: Any) -> str:
    """A share, or an estimate of one with its interval, as whole percentages."""
    return estimates.text(share, ".0%") if isinstance(share, xr.Dataset) else f"{float(share):.0%}"


def extremes(estimate: xr.Dataset, null: float) -> dict[str, str]:
    """The smallest and the largest of estimates over one dimension, with their places, and whether `null` lies between them."""
    (dim,) = estimate.value.dims
    low, high = estimate.value.argmin(), estimate.value.argmax()

    def at(place: xr.DataArray) -> str:
        return f"{float(estimate.value[place]):.2f} at {float(estimate[dim][place]):.2g} {estimate[dim].attrs['unit']}"

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


def plateaus(threshold: xr.Dataset, gap: xr.Dataset, separation: xr.Dataset, level: float) -> str:
    """The answer of chapter 2.

    Args:
        threshold: median threshold angle over [base].
        gap, separation: median paired difference and AUROC, real against Gaussian bases.
        level: the KL divergence that defines the threshold, nats.
    """
    real, gaussian = (words(threshold.sel(base=base)) for base in ("real", "random"))
    verdict = _above(gap, 0, "longer than", "shorter than", "not distinguishable from")
    return (
        f"The median angle at which the KL divergence reaches {level} nats is {real} around real activations and {gaussian} "
        f"around Gaussian ones (95 % intervals over {int(gap.n_documents)} documents, {int(gap.n)} prompts); the median "
        f"paired difference is {words(gap)}, the AUROC {words(separation)}. By this measure plateaus around real activations "
        f"are {verdict} those around Gaussian ones."
    )


def sensitive(threshold: xr.Dataset, within: xr.Dataset) -> str:
    """The answer of chapter 3.

    Args:
        threshold: median threshold angle over [kind].
        within: AUROC within prompts over [kind, of], see `estimates.pairwise`.
    """
    separation, mixtures = (
        within.sel(kind="real-other", of="random"),
        within.sel(kind="real mixture", of="random mixture"),
    )
    verdict = _above(separation, 0.5, "sooner than", "later than", "not distinguishably sooner than")
    mixed = _above(mixtures, 0.5, "still sooner", "later", "not distinguishable")
    return (
        f"The median threshold angle is {words(threshold.sel(kind='real-other'))} for real-other and "
        f"{words(threshold.sel(kind='random'))} for random directions; within a prompt a random direction has the larger "
        f"angle with probability {words(separation)} (95 % interval, {int(separation.n)} prompts). By this measure "
        f"real-other directions matter {verdict} random ones. Between mixtures, which contain no base and arrive nowhere, "
        f"that probability is {words(mixtures)}: real mixtures are {mixed}."
    )


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


def latents(sae: Any, around: xr.Dataset, along: xr.Dataset, verdict: dict[str, str]) -> str:
    """The answer of chapter 5.

    Args:
        sae: the dictionary of the single experiments.
        around, along: median threshold angles over [kind] of base, and of direction.
        verdict: claim -> its verdict.
    """
    added, real, gaussian = (words(around.sel(kind=kind)) for kind in ("with 2 more", "real", "random"))
    active, random, other = (words(along.sel(kind=kind)) for kind in ("active", "random", "real-other"))
    return (
        f"With the dictionary {sae.name} (explained variance {sae.explained_variance:.2f}, L0 {sae.l0:.0f}), the median "
        f"threshold angle around real activations with two latents added is {added}, against {real} around real and "
        f"{gaussian} around Gaussian ones (prediction on plateaus: {verdict['(viii)']}). Along active latents it is {active}, "
        f"along random directions {random}, along real-other ones {other} (prediction on directions: {verdict['(ix)']}; that "
        f"single latents are the most sensitive: {verdict['(x)']})."
    )


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
