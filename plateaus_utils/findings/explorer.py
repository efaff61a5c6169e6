"""The explorer: one of its walks, for print."""

from typing import Any

import xarray as xr

from ..paths import UNITS


def printed_walk(walks: xr.Dataset, tokenizer: Any, n_tokens: int = 6) -> xr.Dataset:
    """The first prompt's walk towards another real activation, on the sphere, with the first of its followed tokens.

    Args:
        walks: `explorer.walks`.
        tokenizer: for the texts of the tokens.
        n_tokens: how many tokens are kept.

    Returns:
        `kl` [path_size], `probability` [path_size, token] and `threshold`; sizes with their unit, tokens as texts.
    """
    one = walks.isel(prompt=0, token_rank=slice(0, n_tokens)).sel(mode="sphere", kind="real-other")
    texts = [tokenizer.decode([int(token)]) for token in one.token.values]
    found = one[["kl", "probability", "threshold"]].rename(token_rank="token").swap_dims(place="path_size")
    found["path_size"].attrs["unit"] = UNITS["sphere"]
    return found.assign_coords(token=texts)
