"""Chapter 8: where in the network the curvature of a Gaussian base is lost around a real one."""

import numpy as np
import xarray as xr

from .. import estimates, statistics
from ..anatomy import COEFFICIENTS
from ..experiments.damping import BOUNDED, RANGES

QUANTITIES = {
    "tangent": "log‖δ‖",
    "stream": "log‖x‖",
    "ratio": "log‖δ‖/‖x‖",
    "read": "log√(δᵀFδ)",
}
"""Variable -> its name on the page; the third is the first minus the second."""

# Along the blocks ---------------------------------------------------------------------------------------------------


def changes(tangents: xr.Dataset) -> xr.DataArray:
    """By how much each block's attention and MLP change the four QUANTITIES [quantity, prompt, base, part, block].

    Args:
        tangents: of `experiments.damping.tangents`.
    """
    logs = tangents[["tangent", "stream", "read"]].assign(ratio=tangents.tangent - tangents.stream)
    steps = logs[list(QUANTITIES)].to_dataarray("quantity").diff("stage")
    parts = [
        steps.isel(stage=steps.part.values == part).drop_vars("part").swap_dims(stage="block")
        for part in ("attention", "MLP")
    ]
    found = xr.concat(parts, xr.Variable("part", ["attention", "MLP"]))
    return found.transpose("quantity", "prompt", "base", "part", "block").assign_attrs(unit="")


def contracting(tangent: xr.Dataset) -> str:
    """The parts in which estimates over [part, block] of the change of log‖δ‖ lie below zero, in words."""
    found = []
    for part in tangent.part.values.tolist():
        here = tangent.sel(part=part)
        blocks = here.block.values[here.high.values < 0].tolist()
        found.append(f"{len(blocks)} of {here.sizes['block']} {part} parts ({', '.join(map(str, blocks)) or 'none'})")
    return " and ".join(found)


TERMS = ("δ in attention", "δ in MLPs", "growth of the stream", "reading at the end")
TOTAL = "log curvature"


def account(tangents: xr.Dataset) -> xr.DataArray:
    """The log curvature at each base less that at the real one, and the four terms whose sum it is [prompt, base, term].

    At the base ‖δ‖ = ‖x‖, so that the log curvature is twice the growth of ‖δ‖, less twice that of ‖x‖, plus what the output
    reads of a δ as long as x. A positive term makes the other base more curved than the real one.
    """
    steps = changes(tangents)
    ends = tangents.isel(stage=-1)
    read = ends.read - ends.tangent + ends.stream
    attention, mlp = (steps.sel(quantity="tangent", part=part, drop=True).sum("block") for part in ("attention", "MLP"))
    growth = steps.sel(quantity="stream", drop=True).sum(["part", "block"])
    parts = [attention, mlp, -growth, read, ends.read]
    terms = xr.Variable("term", [*TERMS, TOTAL])
    found = 2 * xr.concat([part.reset_coords(drop=True) for part in parts], terms)
    found = found.assign_coords(document=tangents.document)
    against = found.drop_sel(base="real") - found.sel(base="real", drop=True)
    return against.transpose("prompt", "base", "term").assign_attrs(unit="")


def shares_of_account(terms: xr.DataArray) -> xr.Dataset:
    """Each term of `account` as a share of the difference in log curvature, over [term], from a Gaussian base."""
    here = terms.sel(base="random", drop=True)
    total = here.sel(term=TOTAL, drop=True)
    return estimates.estimate(statistics.ratio_of_means, here.sel(term=list(TERMS)), total, n_boot=1000, unit="")


N_FEW = 3


def carried_by_few(tangents: xr.Dataset) -> xr.Dataset:
    """Share of the term `δ in MLPs` of a Gaussian base that N_FEW MLPs carry, which other documents have chosen.

    The MLPs with the largest contributions over every other prompt are chosen, and the share is measured on the rest.
    """
    steps = changes(tangents).sel(quantity="tangent", part="MLP", drop=True)
    gap = (steps.sel(base="random", drop=True) - steps.sel(base="real", drop=True)).transpose("prompt", "block")
    chosen, rest = gap.isel(prompt=slice(0, None, 2)).mean("prompt"), gap.isel(prompt=slice(1, None, 2))
    sign = np.sign(float(chosen.sum()))
    few = np.argsort(-sign * chosen.values)[:N_FEW]
    found = estimates.estimate(
        statistics.ratio_of_means, rest.isel(block=few).sum("block"), rest.sum("block"), n_boot=1000, unit=""
    )
    return found.assign_attrs(blocks=", ".join(str(b) for b in sorted(gap.block.values[few].tolist())))


# Transplants --------------------------------------------------------------------------------------------------------

WAYS = {"real parts in the Gaussian run": ("random", "real"), "Gaussian parts in the real run": ("real", "random")}
"""Way -> base and donor."""


def moved(transplants: xr.Dataset, of: str) -> tuple[xr.DataArray, xr.DataArray]:
    """How far transplants move the log of a quantity towards the donor's [prompt, way, part, range], and the gap [prompt].

    Args:
        of: `curvature`, or `threshold` of BOUNDED parts; censored angles count as their limit.
    """
    held, free = transplants[of], transplants[f"free_{of}"]
    if of == "threshold":
        held = held.sel(part=list(BOUNDED))
    held, free = (np.log(x.fillna(held.attrs["limit"]) if "limit" in held.attrs else x) for x in (held, free))
    gap = free.sel(base="random", drop=True) - free.sel(base="real", drop=True)
    found = []
    for base, donor in WAYS.values():
        step = held.sel(base=base, donor=donor, drop=True) - free.sel(base=base, drop=True)
        found.append(step if base == "real" else -step)
    return xr.concat(found, xr.Variable("way", list(WAYS))).transpose("prompt", ...), gap


def restored(transplants: xr.Dataset, of: str) -> xr.Dataset:
    """The same as a share of the gap between real and Gaussian bases, over [way, part, range]: 1 restores all of it.

    It is unknown (NaN) where a run overflows in any prompt.
    """
    step, gap = moved(transplants, of)
    return estimates.estimate(statistics.ratio_of_means, step, gap, n_boot=300, unit="")


def by_part_and_range(shares: xr.Dataset, way: str) -> xr.Dataset:
    """The shares of one way over [row, part], a row for each range."""
    return shares.sel(way=way, drop=True).rename(range="row").transpose("row", "part")


def made_linear(transplants: xr.Dataset) -> xr.Dataset:
    """Ratio of curvatures, a part of all blocks held to its own values over free, geometric mean over [base, part]."""
    own = xr.concat(
        [
            np.log(transplants.curvature.sel(base=base, donor=base, range="all", drop=True))
            - np.log(transplants.free_curvature.sel(base=base, drop=True))
            for base in ("real", "random")
        ],
        xr.Variable("base", ["real", "random"]),
    )
    return estimates.exponential(estimates.document_means(own.transpose("prompt", "base", "part")))


def against_random_parts(transplants: xr.Dataset, control: xr.Dataset) -> xr.Dataset:
    """Share of the gap in log curvature that is restored, by [what, part]: transplants of all blocks, and the control.

    The control holds random elements to an unrelated base's values, as many as move the output alike.
    """
    step, gap = moved(transplants, "curvature")
    real = step.sel(way=next(iter(WAYS)), range="all", drop=True)
    chance = np.log(transplants.free_curvature.sel(base="random", drop=True)) - np.log(control.curvature)
    both = xr.concat([real, chance], xr.Variable("what", ["real parts", "random elements"]))
    return estimates.estimate(statistics.ratio_of_means, both.transpose("prompt", ...), gap, n_boot=1000, unit="")


def output_changes(transplants: xr.Dataset, control: xr.Dataset) -> xr.Dataset:
    """Median KL of the output at the base itself, by [what, part], as for `against_random_parts` (nats)."""
    real = transplants.output_change.sel(base="random", donor="real", range="all", drop=True)
    both = xr.concat([real, control.output_change], xr.Variable("what", ["real parts", "random elements"]))
    return estimates.known_median(both.transpose("prompt", ...), n_boot=1000)


# Hypotheses ---------------------------------------------------------------------------------------------------------

HALF, FEW_CARRY, SMALL = 0.5, 0.6, 0.25
"""Shares that the hypotheses were held to, fixed before the run."""


def strongest(transplants: xr.Dataset) -> xr.Dataset:
    """Share of the gap in curvature that the best part of a third restores at a Gaussian base; its name is in `attrs`.

    It is the best over every other prompt, and measured on the rest.
    """
    step, gap = moved(transplants, "curvature")
    cells = step.sel(way=next(iter(WAYS)), range=list(RANGES[:3]), drop=True).stack(cell=("part", "range"))
    place = int(cells.isel(prompt=slice(0, None, 2)).mean("prompt", skipna=False).argmax("cell"))
    part, where = cells.cell.values[place]
    rest = [x.isel(prompt=slice(1, None, 2)) for x in (cells.isel(cell=place).reset_coords(drop=True), gap)]
    rest[0] = rest[0].assign_coords(document=rest[1].document)
    found = estimates.estimate(statistics.ratio_of_means, *rest, n_boot=1000, unit="")
    return found.assign_attrs(of=f"{part}, {where} blocks")


def hypotheses(
    shares: xr.Dataset, few: xr.Dataset, best: xr.Dataset, restored_curvature: xr.Dataset
) -> list[tuple[str, str, xr.Dataset, str]]:
    """What each hypothesis was held to: (hypothesis, prediction, estimate, `met`, `refuted` or `open`).

    Args:
        shares: of `shares_of_account`.
        few: of `carried_by_few`.
        best: of `strongest`.
        restored_curvature: of `restored`.
    """
    gates = restored_curvature.sel(way=next(iter(WAYS)), part=COEFFICIENTS[0], range="all", drop=True)
    scales = restored_curvature.sel(way=next(iter(WAYS)), part=COEFFICIENTS[2], range="all", drop=True)
    mlps, growth = (shares.sel(term=term, drop=True) for term in ("δ in MLPs", "growth of the stream"))
    tests = [
        ("correction", "δ in MLPs makes at least half of the gap", mlps, HALF, 1),
        ("correction", f"{N_FEW} MLPs carry at least 60 % of δ in MLPs", few, FEW_CARRY, 1),
        ("correction", "real gates restore at least half", gates, HALF, 1),
        ("dilution", "growth of the stream makes at least half of the gap", growth, HALF, 1),
        ("dilution", "real scales restore at least half", scales, HALF, 1),
        ("generic smooth", f"{N_FEW} MLPs carry less than 60 % of δ in MLPs", few, FEW_CARRY, -1),
        ("generic smooth", "no part of one third restores a quarter", best, SMALL, -1),
    ]
    return [(who, claim, found, _met(found, limit, sign)) for who, claim, found, limit, sign in tests]


def _met(found: xr.Dataset, limit: float, sign: int) -> str:
    low, high = sorted((sign * (float(found.low) - limit), sign * (float(found.high) - limit)))
    return "met" if low > 0 else "refuted" if high < 0 else "open"
