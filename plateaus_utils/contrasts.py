"""Labelled samples -> one value for each prompt: what the deciding estimands of the registry average over documents.

Prompts differ more than kinds of direction or base do, so kinds are compared inside each prompt: by a difference, by the
logarithm of a ratio, or by the share of pairs in which one exceeds the other. Sizes that are censored count as their limit.
"""

import numpy as np
import xarray as xr
from scipy import stats

from .errors import ParameterError

WITHIN = "direction"
"""The dimension of what a prompt has several of."""


def _two(sample: xr.DataArray, dim: str, of: str, against: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Both members of a dimension [prompt, direction], censored sizes at the attribute `limit`."""
    members = sample[dim].values.tolist()
    if missing := {of, against} - set(members):
        raise ParameterError(f"There is no {dim} {', '.join(map(repr, sorted(missing)))} among {members}.")
    known = sample.fillna(sample.attrs["limit"]) if "limit" in sample.attrs else sample
    first, second = (known.sel({dim: member}, drop=True) for member in (of, against))
    return tuple(x if WITHIN in x.dims else x.expand_dims(WITHIN, -1) for x in (first, second))


def difference(sample: xr.DataArray, dim: str, of: str, against: str) -> xr.DataArray:
    """Mean of `of` minus mean of `against` in each prompt [prompt], in the unit of the sample.

    Args:
        sample: [prompt, `dim`] or [prompt, `dim`, direction].

    Raises:
        ParameterError: a member does not exist.
    """
    first, second = _two(sample, dim, of, against)
    return (first.mean(WITHIN) - second.mean(WITHIN)).assign_attrs(unit=sample.attrs.get("unit", ""))


def log_ratio(sample: xr.DataArray, dim: str, of: str, against: str) -> xr.DataArray:
    """Logarithm of the ratio of geometric means, `of` over `against`, in each prompt [prompt]; all values must be positive.

    Arguments and errors as of `difference`.
    """
    first, second = (np.log(x) for x in _two(sample, dim, of, against))
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ParameterError("A ratio needs values above zero; clip what lies at the noise floor.")
    return (first.mean(WITHIN) - second.mean(WITHIN)).assign_attrs(unit="")


def auroc(sample: xr.DataArray, dim: str, of: str, against: str) -> xr.DataArray:
    """Share of pairs in each prompt in which `of` exceeds `against` [prompt], ties counting half.

    Arguments and errors as of `difference`; censored sizes tie with each other.
    """
    first, second = _two(sample, dim, of, against)
    second = second.rename({WITHIN: "other"})
    above = (first > second) + 0.5 * (first == second)
    return above.mean([WITHIN, "other"]).assign_attrs(unit="")


def spearman(first: xr.DataArray, second: xr.DataArray) -> xr.DataArray:
    """Rank correlation of two quantities [prompt, direction] in each prompt [prompt].

    Censored sizes count as their limit. Where one of the two does not vary in a prompt, the correlation is 0.
    """
    known = [x.fillna(x.attrs["limit"]) if "limit" in x.attrs else x for x in (first, second)]
    found = xr.apply_ufunc(_rank_correlation, *known, input_core_dims=[[WITHIN], [WITHIN]])
    return found.assign_attrs(unit="")


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    ranks = [stats.rankdata(x, axis=-1) for x in (first, second)]
    a, b = (x - x.mean(-1, keepdims=True) for x in ranks)
    spread = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return np.where(spread > 0, (a * b).sum(-1) / np.where(spread > 0, spread, 1), 0.0)


def one_per_document(sample: xr.DataArray) -> xr.DataArray:
    """The first prompt of each document: values [prompt] of independent units.

    Raises:
        ParameterError: the sample has other dimensions or no documents, or a value is missing.
    """
    if sample.dims != ("prompt",) or "document" not in sample.coords:
        raise ParameterError(
            f"A deciding sample has one value for each prompt and the coordinate 'document', not {list(sample.dims)}."
        )
    if sample.isnull().any():
        raise ParameterError(
            "A deciding sample has a missing value; drop prompts that have none, and fill censored sizes."
        )
    first = np.unique(sample.document.values, return_index=True)[1]
    return sample.isel(prompt=np.sort(first))
