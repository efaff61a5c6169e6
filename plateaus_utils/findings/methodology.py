"""Chapter 1: how activations lie."""

import numpy as np
import torch
import xarray as xr

from ..experiments.setting import Setting, base_points
from ..paths import UNITS

N_SAMPLED = 5000
"""Gaussian samples that are compared with real activations."""


def activation_lengths(setting: Setting) -> xr.Dataset:
    """Norms and distances to the mean of real, Gaussian and isotropic activations.

    Returns:
        `norm` and `distance` [kind, vector], in activation units; NaN beyond the number of vectors that a kind has.
    """
    sampled = setting.gaussian.sample(N_SAMPLED, torch.Generator().manual_seed(setting.seed))
    kinds = {"real": setting.other_activations, "random": sampled, "naive": base_points(setting, "naive")}
    mean = setting.gaussian.mean.float()
    found = {"norm": (kinds, ""), "distance": ({kind: x - mean for kind, x in kinds.items()}, " to the mean")}
    n = max(map(len, kinds.values()))
    return xr.Dataset(
        {
            name: (
                ("kind", "vector"),
                [_padded(x.norm(dim=-1).numpy(), n) for x in vectors.values()],
                {"description": name + what},
            )
            for name, (vectors, what) in found.items()
        },
        coords={"kind": list(kinds)},
    )


def _padded(values: np.ndarray, n: int) -> np.ndarray:
    return np.pad(values, (0, n - len(values)), constant_values=np.nan)


def leading_tokens(probabilities: torch.Tensor, sizes: np.ndarray, tokenizer, n: int = 8) -> xr.DataArray:
    """Probabilities [path_size, token] of the tokens that are the most probable one somewhere on a walk, by their texts.

    Args:
        probabilities: [n_sizes, d_vocab] of next tokens along the walk.
        sizes: [n_sizes].
        tokenizer: for the texts.
        n: at most so many tokens, those that lead at most sizes.
    """
    leaders = probabilities.argmax(-1)
    chosen = leaders.bincount().topk(min(n, len(leaders.unique()))).indices
    texts = [tokenizer.decode([int(token)]) for token in chosen]
    return xr.DataArray(
        probabilities[:, chosen].numpy(), dims=("path_size", "token"), coords={"path_size": sizes, "token": texts}
    )


def curve(degrees: torch.Tensor, kl: torch.Tensor) -> xr.DataArray:
    """KL divergences [n_sizes] at angles [n_sizes] as a labelled curve [size]."""
    sizes = ("path_size", degrees.numpy(), {"unit": UNITS["sphere"]})
    return xr.DataArray(kl.numpy(), dims="path_size", coords={"path_size": sizes})
