"""An interval and a registered estimand -> two answers: is the effect there, and is it as large as published?

Everything is measured as the distance from the estimand's null, with the published sign positive, in half-widths of practical
equality; ratios on a logarithmic scale. Direction: *reversed* if the interval lies below zero, *practically equal* if the
interval of an equivalence test (two one-sided tests :cite:p:`schuirmann1987comparison`) lies inside plus or minus one
half-width, *detected* if the interval lies above zero, *undecided* otherwise. An effect holds if it is detected. A statement
of absence holds if the two are practically equal, and an effect outside that region contradicts it; a one-sided one, which
only an effect of the published sign contradicts, also holds if the effect is reversed. All edges are open.
"""

import math
from dataclasses import dataclass
from typing import Any

from scipy import stats

REVERSED, EQUAL, DETECTED, UNDECIDED = "reversed", "practically equal", "detected", "undecided"
HOLDS, FAILS, OPEN = "holds", "does not hold", "undecided"
SMALLER, COMPATIBLE, LARGER, NOT_COMPARABLE = "smaller", "compatible", "larger", "not comparable"

ON_THE_EDGE = 0.01
"""Standard deviations: a value so near to what would decide, 100,000 documents and more away, lies on the edge."""
LEVEL, POWER = 0.95, 0.9
"""Of intervals in a family of one, and of the numbers of documents that are asked for."""


@dataclass(frozen=True)
class Interval:
    """A value and the ends of an interval around it, in the unit of an estimand."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimand:
    """The one number that decides a statement; the fields are those of `book/claims.yaml`."""

    name: str
    scale: str
    unit: str
    kind: str
    """`effect` or `absence`."""
    sign: int
    null: float
    half_width: float
    one_sided: bool = False
    published: float | None = None
    spread: float = 0.0
    """Standard deviation of the published number, on a logarithmic scale."""
    not_comparable: str | None = None

    @property
    def is_ratio(self) -> bool:
        return self.scale == "ratio"

    def standardized(self, value: float) -> float:
        """Distance of a value from the null in half-widths, positive where the published effect is."""
        if self.is_ratio:
            return self.sign * math.log(value / self.null) / math.log(self.half_width)
        return self.sign * (value - self.null) / self.half_width

    def effects(self, interval: Interval) -> Interval:
        """An interval of values as one of standardized distances."""
        ends = sorted(self.standardized(x) for x in (interval.low, interval.high))
        return Interval(self.standardized(interval.value), *ends)


def direction(estimand: Estimand, interval: Interval, equivalence: Interval) -> str:
    """What the two intervals say of the effect.

    Args:
        interval: of the level that detects.
        equivalence: the narrower one of the equivalence test.
    """
    found, narrow = estimand.effects(interval), estimand.effects(equivalence)
    if not all(map(math.isfinite, (found.low, found.high))):
        return UNDECIDED
    equal = narrow.low > -1 and narrow.high < 1
    if equal and estimand.kind == "absence":
        return EQUAL
    if found.high < 0:
        return REVERSED
    if equal or (estimand.one_sided and narrow.high < 1):
        return EQUAL
    return DETECTED if found.low > 0 else UNDECIDED


def verdict(estimand: Estimand, interval: Interval, found: str) -> str:
    """What a direction says of the statement; an absence is contradicted by an interval wholly outside the region."""
    if estimand.kind == "effect":
        return HOLDS if found == DETECTED else OPEN if found == UNDECIDED else FAILS
    if found == EQUAL or (estimand.one_sided and found == REVERSED):
        return HOLDS
    effects = estimand.effects(interval)
    return FAILS if effects.low > 1 or effects.high < -1 else OPEN


def size(estimand: Estimand, interval: Interval) -> str:
    """Whether the interval meets the published value, widened by its spread and by a half-width."""
    if estimand.published is None:
        return NOT_COMPARABLE
    found, published = estimand.effects(interval), estimand.standardized(estimand.published)
    if not all(map(math.isfinite, (found.low, found.high))):
        return NOT_COMPARABLE
    margin = published_margin(estimand)
    if found.high < published - margin:
        return SMALLER
    return LARGER if found.low > published + margin else COMPATIBLE


def published_margin(estimand: Estimand) -> float:
    """Half the width of the published region, in half-widths of practical equality."""
    return math.hypot(estimand.spread / math.log(estimand.half_width), 1) if estimand.is_ratio else 1.0


def documents_needed(estimand: Estimand, interval: Interval, deviation: float, level: float) -> int | None:
    """How many documents settle a statement with a probability of POWER, if effect and spread stay as they are.

    Args:
        deviation: standard deviation over documents, in half-widths.
        level: of the interval that detects.

    Returns:
        The smallest number by any way in which the statement can be decided; None if there is none.
    """
    effect = estimand.effects(interval).value
    alpha = 1 - level
    detects = stats.norm.isf(alpha / 2) + stats.norm.isf(1 - POWER)
    # Two one-sided tests; at an effect of zero both have to succeed, so that each may miss half as often.
    equates = stats.norm.isf(alpha) + stats.norm.isf((1 - POWER) / 2)
    outside = effect - 1 if estimand.one_sided else abs(effect) - 1
    ways = [(detects, abs(effect)) if estimand.kind == "effect" else (detects, outside), (equates, -outside)]
    beyond = deviation * ON_THE_EDGE
    found = [math.ceil((quantile * deviation / distance) ** 2) for quantile, distance in ways if distance > beyond]
    return max(2, min(found)) if found else None


def from_registry(entry: dict[str, Any], scales: dict[str, dict[str, Any]]) -> Estimand:
    """The estimand of an entry of the registry, with what its scale adds."""
    stated, size_ = entry["estimand"], entry.get("size", {})
    scale = scales[stated["scale"]]
    return Estimand(
        name=stated["name"],
        scale=stated["scale"],
        unit=scale["unit"],
        kind=stated["kind"],
        sign=stated["sign"],
        null=float(stated.get("reference", scale["reference"])),
        half_width=float(stated.get("half_width", scale["half_width"])),
        one_sided=stated.get("one_sided", False),
        published=size_.get("published"),
        spread=float(size_.get("spread", 0)),
        not_comparable=size_.get("not_comparable"),
    )
