"""Intervals and comparisons. The unit of replication is the prompt; prompts of one document are resampled together."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

LEVEL = 0.95
N_BOOT = 2000


@dataclass(frozen=True)
class Interval:
    """An estimate, its 95 % interval, and the number of prompts behind it."""

    value: float
    low: float
    high: float
    n: int


def bootstrap(
    statistic: Callable[..., float],
    *samples: np.ndarray,
    documents: np.ndarray | None = None,
    two_way: bool = False,
    n_boot: int = N_BOOT,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of a statistic of samples, over prompts :cite:p:`efron1993bootstrap`.

    Args:
        statistic: called with the samples, whose first axis is resampled together.
        samples: arrays [n_prompts, ...].
        documents: [n_prompts] documents to resample instead of single prompts.
        two_way: resample the second axis (directions) as well, for each prompt and sample anew.

    Returns:
        The statistic of the samples themselves, with the central 95 % of its values under resampling. NaN values
        (a statistic that does not exist in a resample) are left out; with more than half of them the interval is NaN.
        Of no prompts everything is NaN.
    """
    n = len(samples[0])
    if n == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    groups = [np.flatnonzero(documents == d) for d in np.unique(documents)] if documents is not None else None
    rng = np.random.default_rng(seed)
    values = np.empty(n_boot)
    for i in range(n_boot):
        if groups is None:
            index = rng.integers(n, size=n)
        else:
            index = np.concatenate([groups[g] for g in rng.integers(len(groups), size=len(groups))])
        drawn = [sample[index] for sample in samples]
        if two_way:
            drawn = [np.take_along_axis(x, rng.integers(x.shape[1], size=x.shape), 1) for x in drawn]
        values[i] = statistic(*drawn)
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
    """Median of threshold sizes of any shape in which NaN means "beyond the limit"; infinite if half or more are censored.

    With one common limit this is the Kaplan-Meier median :cite:p:`kaplan1958nonparametric`.
    """
    return float(np.median(np.where(np.isnan(sizes), np.inf, sizes)))


def median_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Median of first − second, both [n_prompts, ...]; a censored value is infinite, and two censored ones are equal."""
    first, second = (np.where(np.isnan(x), np.inf, x) for x in (first, second))
    with np.errstate(invalid="ignore"):
        difference = np.where(np.isinf(first) & np.isinf(second), 0.0, first - second)
    return float(np.median(difference))


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Probability that a score from `positive` exceeds one from `negative`, ties counting half (Mann-Whitney).

    The two are of any shape. NaN scores are censored sizes: they rank above every number and tie with each other.
    """
    scores = np.concatenate([positive.ravel(), negative.ravel()])
    ranks = stats.rankdata(np.where(np.isnan(scores), np.inf, scores))
    n = positive.size
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * negative.size))


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Rank correlation of all values of two arrays of one shape; NaN counts as beyond every number."""
    first, second = (stats.rankdata(np.where(np.isnan(x), np.inf, x)) for x in (first.ravel(), second.ravel()))
    return float(np.corrcoef(first, second)[0, 1])


def slope_within(x: np.ndarray, y: np.ndarray) -> float:
    """Least-squares slope of y on x, both [n_prompts, ...], after each prompt's own mean is taken off."""
    x, y = _within(x), _within(y)
    return float((x * y).sum() / (x * x).sum())


def explained_within(x: np.ndarray, y: np.ndarray) -> float:
    """Share of the variance of y within prompts that a line in x explains; both are [n_prompts, ...]."""
    x, y = _within(x), _within(y)
    return float((x * y).sum() ** 2 / ((x * x).sum() * (y * y).sum()))


def adjusted_ratio(x: np.ndarray, y: np.ndarray) -> float:
    """exp of y of the second kind minus y of the first, at equal x: by least squares within prompts.

    Args:
        x: covariate [n_prompts, 2, n_directions].
        y: logarithms, shaped alike.
    """
    second = np.zeros_like(x)
    second[:, 1] = 1
    columns = np.stack([_within(second).ravel(), _within(x).ravel()], 1)
    return float(np.exp(np.linalg.lstsq(columns, _within(y).ravel())[0][0]))


def _within(values: np.ndarray) -> np.ndarray:
    """Values [n_prompts, ...] minus the mean of each prompt."""
    return values - values.mean(tuple(range(1, values.ndim)), keepdims=True)


def split_half(values: np.ndarray) -> float:
    """Reliability of the means of items [n_items, n_prompts]: rank correlation between two halves of the prompts.

    Corrected to the full number of prompts as by Spearman and Brown :cite:p:`brown1910correlation`.
    """
    r = spearman(values[:, ::2].mean(1), values[:, 1::2].mean(1))
    return 2 * r / (1 + r)


def bimodality(values: np.ndarray) -> float:
    """BIC of one normal distribution minus that of a mixture of two, for values [n].

    Above zero, the mixture describes the values better.
    """
    column = values[:, None]
    one, two = (GaussianMixture(k, n_init=5, random_state=0).fit(column).bic(column) for k in (1, 2))
    return float(one - two)


def held_out_scores(positive: np.ndarray, negative: np.ndarray, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a logistic regression on whole curves, each from a fit that has not seen the curve's document.

    Args:
        positive, negative: features [n_prompts, k, n_features] of the two kinds.
        documents: [n_prompts].

    Returns:
        Decision values [n_prompts, k] for either kind.
    """
    n, k, width = positive.shape
    features = np.concatenate([positive.reshape(-1, width), negative.reshape(-1, width)])
    kinds = np.repeat([1, 0], n * k)
    groups = np.tile(np.repeat(documents, k), 2)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    folds = GroupKFold(min(10, len(np.unique(documents))))
    scores = cross_val_predict(classifier, features, kinds, groups=groups, cv=folds, method="decision_function")
    return scores[: n * k].reshape(n, k), scores[n * k :].reshape(n, k)


def ratio_of_means(first: np.ndarray, second: np.ndarray) -> float:
    """Mean of the first sample over mean of the second, each of any shape."""
    return float(first.mean() / second.mean())


def mean_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean of the first sample minus mean of the second, each of any shape."""
    return float(np.mean(first) - np.mean(second))


def ks_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of two samples of any shape; NaN counts as beyond every number."""
    first, second = (np.where(np.isnan(x), np.inf, x).ravel() for x in (first, second))
    return float(stats.ks_2samp(first, second).statistic)


def proportion(successes: np.ndarray) -> Interval:
    """Share of true values [n_prompts] among independent prompts, with Wilson's interval :cite:p:`wilson1927probable`."""
    successes = np.asarray(successes, bool)
    interval = stats.binomtest(int(successes.sum()), successes.size).proportion_ci(LEVEL, method="wilson")
    return Interval(float(successes.mean()), float(interval.low), float(interval.high), successes.size)
