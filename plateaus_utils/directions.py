"""Activations -> directions. Every kind is formed from one set of draws, so that kinds can be compared in pairs."""

import numpy as np
import torch

from .activations import Gaussian, isotropic
from .errors import ActivationError
from .kinds import DIRECTIONS, Draws, find
from .prompts import elsewhere


def draw(
    bases: torch.Tensor,
    others: torch.Tensor,
    gaussian: Gaussian,
    k: int,
    rng: torch.Generator,
    base_documents: np.ndarray,
    other_documents: np.ndarray,
) -> Draws:
    """Draw k targets of each sort for every base [n, d_model].

    Real ones are `others` [n_others, d_model], without replacement per base, and never from the base's own document. An
    activation with the base's own norm is passed over as a real target: at the input of the first block it is the same
    token's embedding, the base itself, and leads nowhere.

    Args:
        base_documents, other_documents: [n] and [n_others], the document of each.

    Raises:
        ActivationError: fewer than 2k others remain for a base.
    """
    n, d = bases.shape
    norms, own = others.norm(dim=-1), bases.norm(dim=-1, keepdim=True)
    allowed = elsewhere(base_documents, other_documents) & ((norms - own).abs() > 1e-5 * own)
    if (fewest := int(allowed.sum(1).min())) < 2 * k:
        raise ActivationError(
            f"A base has {fewest} other activations from other documents, but {2 * k} are drawn for each; ask for more "
            "others, or use a corpus of more documents."
        )
    orders = (torch.randperm(len(others), generator=rng) for _ in range(n))
    chosen = torch.stack([order[keep[order]][: 2 * k] for order, keep in zip(orders, allowed, strict=True)])
    samples = gaussian.sample(2 * n * k, rng).view(2, n, k, d)
    naive = isotropic(bases[:, None].expand(n, k, d), rng)
    return Draws(
        samples[0],
        samples[1],
        others[chosen[:, :k]],
        others[chosen[:, k:]],
        naive,
        gaussian.mean.float(),
        chosen[:, :k],
    )


def directions(kind: str, bases: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Directions [n, k, d_model] of one kind at the bases [n, d_model]; not normalized, since paths are.

    A minus sign in front of a kind reverses it: `-real-other` leads away from the target.

    Raises:
        ParameterError: there is no such kind.
    """
    if kind.startswith("-"):
        return -directions(kind[1:], bases, draws)
    return find(DIRECTIONS, kind).recipe(bases[:, None], draws)
