"""Labelled samples in, labelled intervals out: every statistic of the book, with its 95 % interval.

A sample is a DataArray with the dimension `prompt`, the coordinate `document` on it and, where sizes can be censored, the
attribute `limit`: NaN means "beyond the limit". What a prompt has several of (`direction`) belongs to its sample; every
other dimension is kept. An estimate is a Dataset over the dimensions that are kept, with `value`, `low`, `high`, `n` (prompts)
and `n_documents`. Prompts of one document are resampled together.

    angles = plateaus.threshold_angles(setting)                 # [prompt, base, direction]
    estimates.median(angles)                                    # over [base]
    estimates.auroc(angles, "base", of="real")                  # real against each other base
    estimates.auroc(angles, "base", "real", "random")           # a single estimate
"""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from scipy import stats

from . import contrasts, statistics
from .contrasts import one_per_document
from .errors import ParameterError

WITHIN = ("direction",)
"""Dimensions that belong to a prompt's own sample."""


def estimate(
    statistic: Callable[..., float],
    *samples: xr.DataArray,
    over: str = "prompt",
    within: Sequence[str] = WITHIN,
    two_way: bool = False,
    n_boot: int = statistics.N_BOOT,
    unit: str | None = None,
) -> xr.Dataset:
    """Percentile bootstrap of a statistic of labelled samples :cite:p:`efron1993bootstrap`.

    Args:
        statistic: called with an array [n, ...] for each sample, whose first axis is resampled together.
        samples: [`over`, ...] on the same items; a dimension that only some of them have is repeated for the others.
        over: the unit of replication. Where it has a coordinate `document`, whole documents are resampled.
        within: dimensions that belong to one item's sample.
        two_way: resample the second axis (directions) as well, for each item and sample anew.
        n_boot: resamples.
        unit: of the estimate; that of the first sample by default.

    Returns:
        `value`, `low` and `high` over the remaining dimensions, with the scalars `n` and `n_documents`. A resample in which
        the statistic does not exist is left out; with more than half of them so, the interval is NaN. Of no items
        everything is NaN.

    Raises:
        ParameterError: a sample has no dimension `over`.
    """
    for sample in samples:
        if over not in sample.dims:
            raise ParameterError(f"A sample has the dimensions {list(sample.dims)}; it needs the dimension '{over}'.")
    first = samples[0]
    documents = first.document.values if "document" in first.coords else np.arange(first.sizes[over])
    kept = list(dict.fromkeys(str(d) for s in samples for d in s.dims if d != over and d not in within))
    sizes = {d: next(s.sizes[d] for s in samples if d in s.dims) for d in kept}
    found = np.empty((3, *sizes.values()))
    arrays = [s.transpose(*(d for d in kept if d in s.dims), over, ...) for s in samples]
    for place in itertools.product(*map(range, sizes.values())):
        index = dict(zip(kept, place, strict=True))
        drawn = [array[tuple(index[d] for d in kept if d in array.dims)].values for array in arrays]
        interval = statistics.bootstrap(statistic, *drawn, documents=documents, two_way=two_way, n_boot=n_boot)
        found[:, *place] = interval.value, interval.low, interval.high
    coords = {d: s.coords[d] for d in kept for s in samples if d in s.coords}
    labelled = {name: xr.DataArray(part, dims=kept, coords=coords) for name, part in zip(PARTS, found, strict=True)}
    counted = {"n": first.sizes[over], "n_documents": len(np.unique(documents))}
    attrs = {name: first.attrs[name] for name in ("description", "limit", "unit") if name in first.attrs}
    return xr.Dataset({**labelled, **counted}, attrs=attrs | ({} if unit is None else {"unit": unit}))


PARTS = ("value", "low", "high")


# One sample ---------------------------------------------------------------------------------------------------------


def median(sample: xr.DataArray, **options) -> xr.Dataset:
    """Median, censored sizes beyond every number; options as for `estimate`."""
    return estimate(statistics.censored_median, sample, **options)


def known_median(sample: xr.DataArray, **options) -> xr.Dataset:
    """Median of the values that exist (NaN means "none", not "censored")."""
    return estimate(np.nanmedian, sample, **options)


def mean(sample: xr.DataArray, **options) -> xr.Dataset:
    """Mean."""
    return estimate(np.mean, sample, **options)


def censored(sizes: xr.DataArray) -> xr.DataArray:
    """Share of censored sizes, over the dimensions that are kept."""
    return sizes.isnull().mean(["prompt", *(d for d in WITHIN if d in sizes.dims)])


def proportion(successes: xr.DataArray) -> xr.Dataset:
    """Share of true values among independent prompts, with Wilson's interval :cite:p:`wilson1927probable`.

    Args:
        successes: boolean [prompt, ...].
    """

    def interval(column: np.ndarray) -> tuple[float, float, float]:
        found = statistics.proportion(column)
        return found.value, found.low, found.high

    found = xr.apply_ufunc(
        interval, successes, input_core_dims=[["prompt"]], output_core_dims=[[], [], []], vectorize=True
    )
    n = successes.sizes["prompt"]
    n_documents = len(np.unique(successes.document)) if "document" in successes.coords else n
    return xr.Dataset(dict(zip(PARTS, found, strict=True)) | {"n": n, "n_documents": n_documents}, attrs={"unit": ""})


def document_mean(sample: xr.DataArray, level: float = statistics.LEVEL) -> xr.Dataset:
    """Mean over documents of one value each, with Student's interval; of true and false, Wilson's.

    Args:
        sample: [prompt] with the coordinate `document`; of several prompts of a document the first counts.
        level: of the interval.

    Raises:
        ParameterError: see `contrasts.one_per_document`; or there are fewer than two documents.
    """
    values = one_per_document(sample).values.astype(float)
    if len(values) < 2:
        raise ParameterError(f"A mean over documents needs at least two of them, not {len(values)}.")
    mean = values.mean()
    if sample.dtype == bool:
        low, high = stats.binomtest(int(values.sum()), len(values)).proportion_ci(level, method="wilson")
    else:
        half = stats.t.isf((1 - level) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
        low, high = mean - half, mean + half
    found = dict(zip(PARTS, (mean, low, high), strict=True)) | {"n": len(values), "n_documents": len(values)}
    return xr.Dataset(found, attrs={"unit": sample.attrs.get("unit", "")})


def exponential(found: xr.Dataset) -> xr.Dataset:
    """An estimate of logarithms of ratios as one of ratios."""
    return found.assign({part: np.exp(found[part]) for part in PARTS})


def document_means(sample: xr.DataArray) -> xr.Dataset:
    """`document_mean` for each member of the dimensions other than `prompt`."""
    others = [dim for dim in sample.dims if dim != "prompt"]
    if not others:
        return document_mean(sample)
    found = [document_means(sample.isel({others[0]: i}, drop=True)) for i in range(sample.sizes[others[0]])]
    return xr.concat(found, sample[others[0]], data_vars=list(PARTS))


def by_corpus(sample: xr.DataArray) -> xr.Dataset:
    """`document_mean` of the documents of each corpus [corpus]; a document's name starts with its corpus and a slash.

    A corpus of which there is only one document is left out.
    """
    corpora = np.array([str(document).rpartition("/")[0] for document in sample.document.values])
    names = [str(n) for n in np.unique(corpora) if len(np.unique(sample.document.values[corpora == n])) > 1]
    found = [document_mean(sample[corpora == name]) for name in names]
    return xr.concat(found, xr.Variable("corpus", names), combine_attrs="override")


# Members of a dimension against others ------------------------------------------------------------------------------


def versus(
    statistic: Callable[..., float],
    sample: xr.DataArray,
    dim: str,
    of: str | None = None,
    against: str | None = None,
    **options,
) -> xr.Dataset:
    """`statistic(of, against)` for members of a dimension.

    Args:
        of, against: two members, for a single estimate; or one of the two, which is compared with every other member.

    Returns:
        An estimate over the remaining dimensions, and over `dim` where only one member was named.

    Raises:
        ParameterError: neither is given, or one is no member.
    """
    _, others = _members(sample, dim, of, against)
    first, second = (
        sample.sel({dim: others}) if member is None else sample.sel({dim: member}, drop=True)
        for member in (of, against)
    )
    return estimate(statistic, first, second, **options)


def _members(sample: xr.DataArray, dim: str, of: str | None, against: str | None) -> tuple[list[str], list[str]]:
    """The one or two members of a dimension that are named, and its others."""
    members = sample[dim].values.tolist()
    named = [member for member in (of, against) if member is not None]
    if not named or not set(named) <= set(members):
        raise ParameterError(f"Name one or two of the {dim}s {members} to compare, not {named}.")
    return named, [member for member in members if member not in named]


def difference(
    sample: xr.DataArray, dim: str, of: str | None = None, against: str | None = None, **options
) -> xr.Dataset:
    """Median over prompts of `of` minus `against`; two censored sizes are equal. See `versus`."""
    return versus(statistics.median_difference, sample, dim, of, against, **options)


def mean_difference(
    sample: xr.DataArray, dim: str, of: str | None = None, against: str | None = None, **options
) -> xr.Dataset:
    """Mean of `of` minus mean of `against`; see `versus`."""
    return versus(statistics.mean_difference, sample, dim, of, against, **options)


def ratio_of_means(
    sample: xr.DataArray, dim: str, of: str | None = None, against: str | None = None, **options
) -> xr.Dataset:
    """Mean of `of` over mean of `against`; see `versus`."""
    return versus(statistics.ratio_of_means, sample, dim, of, against, unit="", **options)


def auroc(sample: xr.DataArray, dim: str, of: str | None = None, against: str | None = None, **options) -> xr.Dataset:
    """Probability that a value of `of` exceeds one of `against`, of any prompts; ties count half. See `versus`."""
    return versus(statistics.auroc, sample, dim, of, against, unit="", **options)


def ks_distance(
    sample: xr.DataArray, dim: str, of: str | None = None, against: str | None = None, **options
) -> xr.Dataset:
    """Kolmogorov-Smirnov distance of `of` from `against`; see `versus`."""
    return versus(statistics.ks_distance, sample, dim, of, against, unit="", **options)


# The same within documents ------------------------------------------------------------------------------------------


def within(
    contrast: Callable[..., xr.DataArray],
    sample: xr.DataArray,
    dim: str,
    of: str | None = None,
    against: str | None = None,
) -> xr.Dataset:
    """`document_means` of a contrast (see `contrasts`) of members of a dimension; the rest as of `versus`."""
    named, others = _members(sample, dim, of, against)
    if len(named) == 2:
        return document_means(contrast(sample, dim, of, against))
    found = [contrast(sample, dim, of or other, against or other) for other in others]
    return document_means(xr.concat(found, xr.Variable(dim, others)))


def within_difference(sample: xr.DataArray, dim: str, of: str | None = None, against: str | None = None) -> xr.Dataset:
    """Mean over documents of `of` minus `against`; see `within`."""
    return within(contrasts.difference, sample, dim, of, against)


def within_ratio(sample: xr.DataArray, dim: str, of: str | None = None, against: str | None = None) -> xr.Dataset:
    """Geometric mean over documents of `of` over `against`; see `within`."""
    return exponential(within(contrasts.log_ratio, sample, dim, of, against))


def within_auroc(sample: xr.DataArray, dim: str, of: str | None = None, against: str | None = None) -> xr.Dataset:
    """Probability that a value of `of` exceeds one of `against` in the same prompt, as a mean over documents; see `within`."""
    return within(contrasts.auroc, sample, dim, of, against)


# Two quantities -----------------------------------------------------------------------------------------------------


def spearman(first: xr.DataArray, second: xr.DataArray, **options) -> xr.Dataset:
    """Rank correlation of two quantities of the same items, over the dimensions that are kept."""
    return estimate(statistics.spearman, first, second, unit="", **options)


# Words --------------------------------------------------------------------------------------------------------------


def words(value: float, low: float, high: float, spec: str = ".2f") -> str:
    """`value [low, high]`; what is infinite is beyond the range that was tried."""
    value, low, high = (
        f"{x:z{spec}}" if math.isfinite(x) else "unknown" if math.isnan(x) else "beyond the range"
        for x in (value, low, high)
    )
    return f"{value} [{low},\N{NO-BREAK SPACE}{high}]"


def text(estimate: xr.Dataset, spec: str = ".2f") -> str:
    """A single estimate in words."""
    return words(*(float(estimate[part]) for part in PARTS), spec)


# More of several ----------------------------------------------------------------------------------------------------


def quartiles(sample: xr.DataArray) -> xr.Dataset:
    """Median and quartiles of the values that exist, over the dimensions that are kept: how they vary, not how well known."""
    over = ["prompt", *(d for d in WITHIN if d in sample.dims)]
    found = sample.quantile([0.5, 0.25, 0.75], over)
    parts = {name: found.isel(quantile=i, drop=True) for i, name in enumerate(PARTS)}
    return xr.Dataset(parts | {"n": sample.sizes["prompt"]}, attrs=sample.attrs)


def together(named: dict[str, xr.Dataset], dim: str) -> xr.Dataset:
    """Estimates as one, over a new first dimension of their names; NaN where one has not the members of the others.

    `n` and `n_documents` are those of each.
    """
    found = list(named.values())
    kept = {d: list(dict.fromkeys(m for e in found for m in e[d].values.tolist())) for d in found[0].value.dims}
    aligned = [e.reindex(kept) for e in found]
    return xr.concat(aligned, xr.Variable(dim, list(named)), data_vars="all", combine_attrs="drop_conflicts")


def pairwise(comparison: Callable[..., xr.Dataset], sample: xr.DataArray, dim: str, **options) -> xr.Dataset:
    """Every member of a dimension against every other one.

    Args:
        comparison: such as `auroc`.

    Returns:
        Estimates over [`dim`, of]: of the member `of` against that of `dim`; NaN on the diagonal.
    """
    members = sample[dim].values.tolist()
    found = {of: comparison(sample, dim, of=of, **options).reindex({dim: members}) for of in members}
    return together(found, "of").transpose(dim, "of")
