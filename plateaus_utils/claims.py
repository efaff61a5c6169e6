"""A published statement, our estimate with its interval, and the verdict that follows from the two.

The statements and what decides each are data, in `book/claims.yaml`; the rules of verdicts are in `decisions`. One primary
estimand decides a statement: the mean over documents of one value each. Its intervals are widened for the number of
statements in its family (Bonferroni). Secondary numbers are shown and decide nothing.
"""

import functools
import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml

from . import decisions, estimates
from .contrasts import one_per_document
from .decisions import FAILS, HOLDS, LEVEL, OPEN, Estimand, Interval
from .errors import ParameterError, ResultError
from .files import DATA, replacing

NOT_TESTED = "not tested"
VERDICTS = (HOLDS, FAILS, OPEN, NOT_TESTED)

REGISTRY = DATA / "book" / "claims.yaml"


@functools.cache
def registry() -> dict[str, dict]:
    """Statement -> its entry in `book/claims.yaml`; one that repeats another has that one's estimand and figure."""
    return _read_registry()["claims"]


@functools.cache
def _read_registry() -> dict[str, dict]:
    read = yaml.safe_load(REGISTRY.read_text(encoding="utf-8"))
    for entry in read["claims"].values():
        if "same_as" in entry:
            repeated = read["claims"][entry["same_as"]]
            for key in ("family", "estimand", "size", "secondary", "figure"):
                if key in repeated:
                    entry[key] = repeated[key]
    return read


def estimand(name: str) -> Estimand:
    """What decides a statement.

    Raises:
        ParameterError: the registry has no such statement, or nothing decides it.
    """
    if "estimand" not in registry().get(name, {}):
        raise ParameterError(f"book/claims.yaml has no estimand for a statement {name!r}; add it there first.")
    return decisions.from_registry(registry()[name], _read_registry()["scales"])


def distinct() -> list[str]:
    """The statements of the registry, each counted once: without those that repeat another."""
    return [name for name, entry in registry().items() if "same_as" not in entry]


def decided() -> list[str]:
    """The distinct statements that the book's chapters judge."""
    return [name for name in distinct() if "estimand" in registry()[name] and "needs" not in registry()[name]]


def family_size(family: str) -> int:
    """How many distinct statements of a family the book decides: what intervals are widened for."""
    return sum(registry()[name]["family"] == family for name in decided())


def labels(name: str) -> list[str]:
    """The report's own numbers of a statement, such as (i), and its number."""
    return [other for other, entry in registry().items() if entry.get("same_as") == name] + [name]


# Judging ------------------------------------------------------------------------------------------------------------


class Judge:
    """Judges the statements of one run, and stores each beside its results.

    Args:
        folder: the results of the run.
        made_by: everything that determines the numbers; its hash is the claims' key.
        available: how many documents the corpora at hand hold.
        withheld: why estimates of this run say nothing about its statements, if so; they are then kept as not tested.

    Attributes:
        judged: the claims so far, see `evaluate`.
    """

    def __init__(self, folder: Path, made_by: dict, available: int | None = None, withheld: str | None = None):
        self.folder, self.available, self.withheld = folder, available, withheld
        self.key = _checksum(made_by)
        self.judged: list[dict] = []

    def __call__(self, name: str, sample: xr.DataArray, withheld: str | None = None, **secondary: xr.Dataset) -> None:
        """Judge a statement by its primary estimand; see `judged`.

        Args:
            sample: [prompt] one value for each prompt, with the coordinate `document`; logarithms on the scale `ratio`.
            withheld: why these numbers say nothing about this statement, if so.
            secondary: a single estimate for each secondary number that the registry names, see `estimates`.

        Raises:
            ParameterError: nothing decides this statement, it repeats another one, numbers are missing or too many, or an
                estimate is not a single one.
        """
        wanted = registry().get(name, {}).get("secondary", {})
        if set(wanted) != set(secondary):
            raise ParameterError(
                f"The secondary numbers of {name} are {', '.join(wanted) or 'none'}; given were "
                f"{', '.join(secondary) or 'none'}."
            )
        self._keep(name, sample, secondary, withheld)

    def alone(self, name: str, sample: xr.DataArray) -> None:
        """Judge a statement without its secondary numbers: for other models beside the one that the book is about."""
        self._keep(name, sample, {}, None)

    def _keep(self, name: str, sample: xr.DataArray, secondary: dict[str, xr.Dataset], withheld: str | None) -> None:
        if name in registry() and "same_as" in registry()[name]:
            raise ParameterError(f"{name} repeats {registry()[name]['same_as']}; judge that one.")
        claim = evaluate(name, estimand(name), sample, secondary, self.available)
        if reason := withheld or self.withheld:
            claim |= {"verdict": NOT_TESTED, "reason": reason, "documents_needed": None}
        self.judged.append(claim)
        store(self.folder, claim | {"key": self.key})


def evaluate(
    name: str, decides: Estimand, sample: xr.DataArray, secondary: dict[str, xr.Dataset], available: int | None
) -> dict:
    """A statement with its estimate, both answers and its verdict, as an object for JSON.

    `interval` has the level that the family's size asks for, `equivalence` that of the equivalence test. `standardized` are
    value and interval as distances from the null in half-widths. `sample` are the values of the documents.
    """
    entry = registry()[name]
    alpha = (1 - LEVEL) / family_size(entry["family"])
    interval, equivalence = (in_units(decides, sample, 1 - share) for share in (alpha, 2 * alpha))
    found = decisions.direction(decides, interval, equivalence)
    verdict = decisions.verdict(decides, interval, found)
    values = one_per_document(sample)
    deviation = standard_deviation(decides, values.values)
    needed = decisions.documents_needed(decides, interval, deviation, 1 - alpha) if verdict == OPEN else None
    effects = decides.effects(interval)
    return {
        "id": name,
        "labels": labels(name),
        "family": entry["family"],
        **{key: entry[key] for key in ("statement", "source", "published", "figure")},
        "estimand": decides.name,
        "value": interval.value,
        "interval": [interval.low, interval.high],
        "equivalence": [equivalence.low, equivalence.high],
        "standardized": [effects.value, effects.low, effects.high],
        "level": 1 - alpha,
        "unit": decides.unit,
        "n": values.size,
        "direction": found,
        "size": decisions.size(decides, interval),
        "verdict": verdict,
        "documents_needed": needed,
        "available": available,
        "secondary": [_secondary(key, entry["secondary"][key], found) for key, found in secondary.items()],
        "sample": {"document": [str(d) for d in values.document.values], "value": values.values.tolist()},
    }


def in_units(decides: Estimand, sample: xr.DataArray, level: float) -> Interval:
    """Mean over documents with its interval, in the unit of the estimand: ratios out of their logarithms."""
    found = estimates.document_mean(sample, level)
    ends = [float(found[part]) for part in estimates.PARTS]
    return Interval(*map(math.exp, ends)) if decides.is_ratio else Interval(*ends)


def standard_deviation(decides: Estimand, values: np.ndarray) -> float:
    """Of the documents' values [n], in half-widths."""
    unit = math.log(decides.half_width) if decides.is_ratio else decides.half_width
    return float(np.std(values.astype(float), ddof=1) / unit)


def _secondary(key: str, registered: dict, estimate: xr.Dataset) -> dict:
    if estimate.value.dims:
        raise ParameterError(f"'{registered['name']}' needs one estimate, not one over {list(estimate.value.dims)}.")
    value, low, high = (float(estimate[part]) for part in estimates.PARTS)
    of = estimate.attrs.get("of")
    return {
        "key": key,
        "name": f"{registered['name']}, {of}" if of else registered["name"],
        "value": value,
        "low": low,
        "high": high,
        "n": int(estimate.n),
        "unit": registered.get("unit", ""),
    }


# Files --------------------------------------------------------------------------------------------------------------


def store(folder: Path, claim: dict) -> None:
    """Keep a judged claim beside a run's results, one file each, with a checksum of its content."""
    content = _finite(claim)
    _write(folder / "claims" / f"{claim['id']}.json", content | {"checksum": _checksum(content)})


def stored(folder: Path) -> dict[str, dict]:
    """The judged claims of a run with their samples, in the registry's order.

    Raises:
        ResultError: a stored claim is damaged, or was edited.
    """
    found = {name: _read(folder / "claims" / f"{name}.json") for name in distinct()}
    return {name: claim for name, claim in found.items() if claim is not None}


def collect(folder: Path) -> list[dict]:
    """All distinct statements in the registry's order, those that are not tested with the reason; also in `claims.json`.

    Raises:
        ResultError: a stored claim is damaged, or was edited.
    """
    judged = stored(folder)
    claims = [judged.get(name) or _not_tested(name) for name in distinct()]
    claims = [{key: value for key, value in claim.items() if key != "sample"} for claim in claims]
    _write(folder / "claims.json", claims)
    return claims


def runs(folder: Path) -> dict[str, list[dict]]:
    """Run -> its collected claims, of every folder of results that has some: other models, layers, untrained twins."""
    found = {}
    for path in sorted(folder.glob("*/claims.json")):
        found[path.parent.name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _not_tested(name: str) -> dict:
    entry = registry()[name]
    decided = "its chapter has not been run with these settings" if "estimand" in entry else None
    return {
        "id": name,
        "labels": labels(name),
        **{key: entry[key] for key in ("family", "statement", "source", "published")},
        "figure": entry.get("figure"),
        "value": None,
        "n": 0,
        "verdict": NOT_TESTED,
        "reason": entry.get("needs") or decided,
        "secondary": [],
    }


def counts(collected: Iterable[dict]) -> dict[str, int]:
    """Verdict -> how many statements have it."""
    verdicts = [claim["verdict"] for claim in collected]
    return {verdict: verdicts.count(verdict) for verdict in VERDICTS}


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
