"""A published statement, our estimates with their intervals, and the verdict that follows from the two.

The statements, their bands and their figures are data, in `book/claims.yaml`. A claim is judged by its parts, each an interval
against a band: inside the band it holds, wholly outside it does not hold, otherwise it cannot be told. Bands are the published
values widened for differences of seed, sample and definition; they were fixed before anything was measured. Absolute
numbers of GPT-2 small apply to GPT-2 small; on other models a part without a band is shown and not judged. The numbering
C1 to C29 and (i) to (x) is this book's own.
"""

import functools
import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xarray as xr
import yaml

from .errors import ParameterError, ResultError
from .files import PROJECT, replacing
from .statistics import chance_band

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"
NOT_TESTED = "not tested"

GPT2_SMALL = ("gpt2", "openai-community/gpt2")
REGISTRY = PROJECT / "book" / "claims.yaml"


@functools.cache
def published() -> dict[str, dict]:
    """The registry: claim -> statement, source, published value, figure, parts, `same_as`, `needs`; see `book/claims.yaml`.

    A claim that repeats another one has that one's figure, and its parts unless it names its own.
    """
    claims = yaml.safe_load(REGISTRY.read_text(encoding="utf-8"))
    for claim in claims.values():
        if "same_as" in claim:
            repeated = claims[claim["same_as"]]
            claim |= {"figure": repeated["figure"], "parts": claim.get("parts", repeated["parts"])}
    return claims


class Judge:
    """Judges the claims of one run, and stores each beside its results.

    Args:
        model: name of the model; bands of GPT-2 small apply to it alone.
        folder: the results of the run.
        made_by: everything that determines the numbers; its hash is the claims' key.
        withheld: why estimates of this run say nothing about its claims, if so; they are then kept as not tested.

    Attributes:
        judged: each with statement, source, published value, ours with interval, unit and sample size, verdict, and all parts.
    """

    def __init__(self, model: str, folder: Path, made_by: dict, withheld: str | None = None):
        self.is_gpt2, self.folder, self.withheld = model in GPT2_SMALL, folder, withheld
        self.key = _checksum(made_by)
        self.judged: list[dict] = []

    def __call__(self, claim: str, withheld: str | None = None, **estimates: xr.Dataset) -> None:
        """Judge a claim, and those that repeat it, by one estimate for each part that the registry names; see `judged`.

        Args:
            withheld: why these estimates say nothing about this claim, if so.
            estimates: part -> a single estimate, see `plateaus_utils.estimates`; its attribute `of` is added to the name.

        Raises:
            ParameterError: the registry has no such claim, parts are missing or too many, or an estimate is not a single one.
        """
        if claim not in published() or "parts" not in published()[claim]:
            raise ParameterError(f"book/claims.yaml has no parts for a claim {claim!r}; add them there first.")
        wanted = published()[claim]["parts"]
        if set(wanted) != set(estimates):
            raise ParameterError(
                f"The parts of {claim} are {', '.join(wanted)}; given were {', '.join(estimates) or 'none'}."
            )
        for name in self._repeated(claim):
            judged = evaluate(name, estimates, self.is_gpt2)
            if reason := withheld or self.withheld:
                judged |= {"verdict": NOT_TESTED, "reason": reason, "prompts_needed": None}
            self.judged.append(judged)
            store(self.folder, judged | {"key": self.key})

    @staticmethod
    def _repeated(claim: str) -> Iterable[str]:
        return (name for name, entry in published().items() if claim in (name, entry.get("same_as")))


def evaluate(claim: str, estimates: dict[str, xr.Dataset], is_gpt2: bool) -> dict:
    """A claim of the registry with its estimates and its verdict, as an object for JSON."""
    entry = published()[claim]
    parts = [_part(registered, estimates[name], is_gpt2) for name, registered in entry["parts"].items()]
    needed = [part["prompts_needed"] for part in parts if part["verdict"] == OPEN and part["prompts_needed"]]
    first = parts[0]
    return {
        "id": claim,
        **{name: entry[name] for name in ("statement", "source", "published", "figure")},
        "value": first["value"],
        "interval": [first["low"], first["high"]],
        "unit": first["unit"],
        "n": first["n"],
        "verdict": combined([part["verdict"] for part in parts if part["verdict"]]),
        "prompts_needed": max(needed) if needed else None,
        "parts": parts,
    }


def _part(registered: dict, estimate: xr.Dataset, is_gpt2: bool) -> dict:
    """One measured number of a claim, against the band that applies to the model."""
    if estimate.value.dims:
        raise ParameterError(f"'{registered['name']}' needs one estimate, not one over {list(estimate.value.dims)}.")
    value, low, high = (float(estimate[name]) for name in ("value", "low", "high"))
    n = int(estimate.n)
    band = registered.get("gpt2" if is_gpt2 and "gpt2" in registered else "band", [None, None])
    if "chance" in registered:
        band = list(chance_band(registered["chance"], n))
    verdict = _verdict((low, high), band)
    of = estimate.attrs.get("of")
    return {
        "name": f"{registered['name']}, {of}" if of else registered["name"],
        "value": value,
        "low": low,
        "high": high,
        "n": n,
        "n_documents": int(estimate.n_documents),
        "unit": registered.get("unit", ""),
        "band": band,
        "verdict": verdict,
        "prompts_needed": _prompts_needed(value, (low, high), n, band) if verdict else None,
    }


def _edges(band: list) -> tuple[float, float]:
    low, high = band
    return (-math.inf if low is None else low), (math.inf if high is None else high)


def _verdict(interval: tuple[float, float], band: list) -> str | None:
    """What an interval says against a band; None for a part without one."""
    if band == [None, None]:
        return None
    low, high = _edges(band)
    if low <= interval[0] and interval[1] <= high:
        return HOLDS
    return FAILS if interval[1] < low or interval[0] > high else OPEN


def _prompts_needed(value: float, interval: tuple[float, float], n: int, band: list) -> int | None:
    """About how many prompts settle a part, if the value stays as it is; None if no number does.

    The interval's half-width falls with the square root of n; it must become the distance to the nearest edge.
    """
    distance = min(abs(value - edge) for edge in _edges(band) if math.isfinite(edge))
    half = (interval[1] - interval[0]) / 2
    if not (distance > 0 and math.isfinite(half) and math.isfinite(distance)):
        return None
    return max(2, math.ceil(n * (half / distance) ** 2))


def combined(verdicts: list[str]) -> str:
    """A claim holds if all judged parts hold, does not hold if one does not, and cannot be told otherwise."""
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts and all(v == HOLDS for v in verdicts) else OPEN


# Files --------------------------------------------------------------------------------------------------------------


def store(folder: Path, claim: dict) -> None:
    """Keep a judged claim beside a run's results, one file each, with a checksum of its content."""
    content = _finite(claim)
    _write(folder / "claims" / f"{claim['id']}.json", content | {"checksum": _checksum(content)})


def collect(folder: Path) -> list[dict]:
    """All claims in the registry's order, those that are not tested with the reason; also written to `claims.json`.

    Raises:
        ResultError: a stored claim is damaged, or was edited.
    """
    claims = [_read(folder / "claims" / f"{name}.json") or _not_tested(name) for name in published()]
    _write(folder / "claims.json", claims)
    return claims


def _not_tested(name: str) -> dict:
    entry = published()[name]
    tested = "its chapter has not been run with these settings" if "parts" in entry else None
    return {
        "id": name,
        **{key: entry[key] for key in ("statement", "source", "published")},
        "figure": None,
        "value": None,
        "interval": None,
        "unit": "",
        "n": 0,
        "verdict": NOT_TESTED,
        "reason": entry.get("needs") or tested or "no chapter of this book tests it yet",
        "parts": [],
    }


def _write(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _read(path: Path) -> dict | None:
    try:
        claim = json.loads(path.read_text(encoding="utf-8"))
        checksum = claim.pop("checksum")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ResultError(f"The claim file {path.name} is damaged; run its chapter again.") from error
    if checksum != _checksum(claim):
        raise ResultError(f"The claim file {path.name} does not match its checksum; run its chapter again.")
    return claim


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def _finite(content: Any) -> Any:
    """JSON knows no infinity: a censored median is written as null."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
