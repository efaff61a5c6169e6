"""Intervals and comparisons. The unit of replication is the prompt; prompts of one document are resampled together."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from .sensitivity import first_crossing

LEVEL = 0.95
N_BOOT = 2000


@dataclass(frozen=True)
class Interval:
    """An estimate, its 95 % interval, and the number of prompts behind it."""

    value: float
    low: float
    high: float
    n: int

    def __format__(self, spec: str) -> str:
        spec = spec or ".2f"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def bootstrap(
    statistic: Callable[..., float],
    *samples: np.ndarray,
    documents: np.ndarray | None = None,
    n_boot: int = N_BOOT,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of a statistic of paired samples, over prompts :cite:p:`efron1993bootstrap`.

    Args:
        statistic: called with the samples, resampled together along their first axis.
        samples: arrays [n_prompts, ...].
        documents: [n_prompts] documents to resample instead of single prompts.

    Returns:
        The statistic of the samples themselves, with the central 95 % of its values under resampling. NaN values
        (a statistic that does not exist in a resample) are left out; with more than half of them the interval is NaN.
    """
    n = len(samples[0])
    groups = [np.flatnonzero(documents == d) for d in np.unique(documents)] if documents is not None else None
    rng = np.random.default_rng(seed)
    values = np.empty(n_boot)
    for i in range(n_boot):
        if groups is None:
            index = rng.integers(n, size=n)
        else:
            index = np.concatenate([groups[g] for g in rng.integers(len(groups), size=len(groups))])
        values[i] = statistic(*(sample[index] for sample in samples))
    low, high = _central(values)
    return Interval(float(statistic(*samples)), low, high, n)


def _central(values: np.ndarray) -> tuple[float, float]:
    known = np.sort(values[~np.isnan(values)])
    if len(known) < len(values) / 2:
        return np.nan, np.nan
    # Nearest ranks instead of interpolation: between a number and infinity (a censored median) there is nothing.
    ranks = np.round(np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2]) * (len(known) - 1)).astype(int)
    return float(known[ranks[0]]), float(known[ranks[1]])


def censored_median(sizes: np.ndarray) -> float:
    """Median of threshold sizes in which NaN means "beyond the limit"; infinite if half or more are censored.

    With one common limit this is the Kaplan-Meier median :cite:p:`kaplan1958nonparametric`.
    """
    return float(np.median(np.where(np.isnan(sizes), np.inf, sizes)))


def median_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Median over prompts of first − second; a censored value is infinite, and two censored ones are equal."""
    first, second = (np.where(np.isnan(x), np.inf, x) for x in (first, second))
    with np.errstate(invalid="ignore"):
        difference = np.where(np.isinf(first) & np.isinf(second), 0.0, first - second)
    return float(np.median(difference))


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Probability that a score from `positive` exceeds one from `negative`, ties counting half (Mann-Whitney).

    NaN scores are censored sizes: they rank above every number and tie with each other.
    """
    scores = np.concatenate([positive.ravel(), negative.ravel()])
    ranks = stats.rankdata(np.where(np.isnan(scores), np.inf, scores))
    n = positive.size
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * negative.size))


def ks_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of two samples; NaN counts as beyond every number."""
    first, second = (np.where(np.isnan(x), np.inf, x).ravel() for x in (first, second))
    return float(stats.ks_2samp(first, second).statistic)


def proportion(successes: np.ndarray) -> Interval:
    """Share of true values among independent prompts, with Wilson's interval :cite:p:`wilson1927probable`."""
    successes = np.asarray(successes, bool)
    interval = stats.binomtest(int(successes.sum()), successes.size).proportion_ci(LEVEL, method="wilson")
    return Interval(float(successes.mean()), float(interval.low), float(interval.high), successes.size)


# Comparisons of labelled results -------------------------------------------------------------------------------------


def compare(sizes: xr.DataArray, group: str, reference: str, documents: np.ndarray) -> pd.DataFrame:
    """Threshold sizes [prompt, `group`, direction] of each member of a group against one of them.

    Returns:
        A row for each member: median, median paired difference (reference minus member, per prompt and direction),
        AUROC (probability that the reference's size is the larger), each an `Interval`, and the share censored.
    """
    first = sizes.sel({group: reference}).values
    rows = {}
    for member in sizes[group].values:
        values = sizes.sel({group: member}).values
        same = member == reference
        rows[str(member)] = {
            "median": bootstrap(censored_median, values, documents=documents),
            "difference": None if same else bootstrap(median_difference, first, values, documents=documents),
            "AUROC": None if same else bootstrap(auroc, first, values, documents=documents),
            "censored": float(np.isnan(values).mean()),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def comparison_table(comparisons: dict[tuple[str, ...], pd.DataFrame]) -> pd.DataFrame:
    """Several comparisons as one table of text, for a page."""

    def text(value) -> str:
        if isinstance(value, Interval):
            return f"{value:.3g}" if np.isfinite(value.value) else "beyond the range"
        return "" if value is None else f"{value:.0%}"

    return pd.concat({" / ".join(key): table.map(text) for key, table in comparisons.items()})


def auroc_between(
    curves: xr.DataArray, group: str, first: str, second: str, level: float, documents: np.ndarray
) -> Interval:
    """AUROC of the sizes at which curves [prompt, `group`, direction, size] of two members first reach `level`."""
    sizes = curves["size"].values
    crossings = (first_crossing(sizes, curves.sel({group: member}).values, level) for member in (first, second))
    return bootstrap(auroc, *crossings, documents=documents, n_boot=500)
