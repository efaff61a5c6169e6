"""Estimates -> the numbers and sentences that a chapter's text shows."""

import re
from typing import Any

import xarray as xr
from myst_nb import glue as glue_one

from .. import estimates
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


def above(estimate: xr.Dataset, null: float, above: str, below: str, open_: str) -> str:
    """Which of three words an interval calls for."""
    return above if float(estimate.low) > null else below if float(estimate.high) < null else open_
