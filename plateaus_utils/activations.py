"""Tokens -> activations at a hook; a Gaussian model of them; and activations that are not real."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from sklearn.covariance import ledoit_wolf

from .arguments import SAMPLES_PER_DIMENSION
from .errors import ActivationError
from .models import LanguageModel


def generator(seed: int, purpose: str) -> torch.Generator:
    """A random stream of its own for each purpose, on the CPU, so that one draw does not shift the others."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def collect(model: LanguageModel, tokens: torch.Tensor, hook_name: str, batch_size: int = 512) -> torch.Tensor:
    """Activations [n, d_model] of the last position of `tokens` [n, seq_len] at a hook; see `collect_hooks`.

    Example:
        >>> import plateaus_utils as pu
        >>> model = pu.load_model("tiny-random-gpt2", device="cpu")
        >>> tokens = torch.tensor([model.tokenizer.encode("One."), model.tokenizer.encode("Two.")])
        >>> pu.collect(model, tokens, model.default_hook).shape
        torch.Size([2, 32])
    """
    return collect_hooks(model, tokens, [hook_name], batch_size)[hook_name]


@torch.no_grad()
def collect_hooks(
    model: LanguageModel,
    tokens: torch.Tensor,
    hook_names: Sequence[str],
    batch_size: int = 512,
    position: int | slice = -1,
) -> dict[str, torch.Tensor]:
    """Activations of the last position at several hooks in one pass, as `LanguageModel.canonical` gives them.

    Args:
        model: the network.
        tokens: [n, seq_len] token ids.
        hook_names: each `blocks.{layer}.hook_resid_pre` or `blocks.{layer}.hook_resid_post`.
        batch_size: sequences that run together.
        position: another position, or a slice of several.

    Returns:
        For each hook [n, d_model] (of several positions [n, n_positions, d_model]), float32, on the CPU.

    Raises:
        ModelError: a hook does not exist.
        ActivationError: an activation is not finite.
    """
    layers = {name: model.layer_of(name) for name in hook_names}
    # The input of a block is the output of the one before, which lets the pass stop there.
    sources = {name: f"blocks.{layer - 1}.hook_resid_post" if layer else name for name, layer in layers.items()}
    stop = max([1, *layers.values()])
    found: dict[str, list[torch.Tensor]] = {name: [] for name in hook_names}
    for batch in tokens.split(batch_size):
        _, cache = model.bridge.run_with_cache(
            batch.to(model.device),
            names_filter=list(sources.values()),
            stop_at_layer=stop if stop < model.n_layers else None,
        )
        for name, source in sources.items():
            found[name].append(model.canonical(cache[source][:, position]).float().cpu())
    activations = {name: torch.cat(parts) for name, parts in found.items()}
    for name, values in activations.items():
        if not values.isfinite().all():
            raise ActivationError(
                f"The activations of {model.name} at {name} contain NaN or infinite values; "
                "load it in float32 or choose another layer."
            )
    return activations


@dataclass(frozen=True)
class Gaussian:
    """A multivariate normal distribution held as mean and eigen-decomposition of the covariance.

    Example:
        >>> import plateaus_utils as pu
        >>> activations = torch.randn(1000, 3) * torch.tensor([3.0, 1.0, 0.0])
        >>> gaussian = pu.Gaussian.fit(activations)
        >>> gaussian.sample(5, torch.Generator().manual_seed(0)).shape
        torch.Size([5, 3])
        >>> bool(gaussian.eigenvalues[2] < 1e-12)
        True
    """

    mean: torch.Tensor
    """[d_model]"""
    eigenvalues: torch.Tensor
    """[d_model], descending, not negative."""
    eigenvectors: torch.Tensor
    """[d_model, d_model], one in each column."""
    n_samples: int

    @classmethod
    def fit(cls, activations: torch.Tensor, shrinkage: bool = False) -> "Gaussian":
        """The normal distribution with the mean and covariance of `activations` [n, d_model].

        With `shrinkage` the covariance is that of :cite:t:`ledoit2004wellconditioned`, for few samples. Sampling goes
        through the eigen-factor, so that a direction in which activations never vary (the all-ones vector of a centred
        LayerNorm model) stays empty.

        Raises:
            ActivationError: too few samples, or values that are not finite.
        """
        n, d = activations.shape
        if not activations.isfinite().all():
            raise ActivationError("The activations to fit contain NaN or infinite values.")
        if n < SAMPLES_PER_DIMENSION * d and not shrinkage:
            raise ActivationError(
                f"{n} activations are too few for a covariance matrix of {d} dimensions; give at least "
                f"{SAMPLES_PER_DIMENSION * d}, or use shrinkage."
            )
        centred = activations.double() - activations.double().mean(0)
        if shrinkage:
            # Shrinking towards the identity would fill that empty direction, so it happens in the hyperplane beside it.
            plane = _sum_zero_basis(d) if _sums_to_zero(activations) else torch.eye(d, dtype=torch.float64)
            shrunk = ledoit_wolf((centred @ plane).numpy(), assume_centered=True)[0]
            covariance = plane @ torch.from_numpy(shrunk) @ plane.T
        else:
            covariance = centred.T @ centred / (n - 1)
        eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
        return cls(activations.double().mean(0), eigenvalues.clamp_min(0).flip(0), eigenvectors.flip(1), n)

    def sample(self, n: int, rng: torch.Generator) -> torch.Tensor:
        """[n, d_model] draws, float32."""
        scores = torch.randn(n, len(self.mean), generator=rng, dtype=torch.float64) * self.eigenvalues.sqrt()
        return (self.mean + scores @ self.eigenvectors.T).float()

    @property
    def participation_ratio(self) -> float:
        """(tr C)² / tr C², from 1 to d_model: how many directions share the variance."""
        return float(self.eigenvalues.sum() ** 2 / self.eigenvalues.square().sum())


def _sums_to_zero(activations: torch.Tensor) -> bool:
    return bool(activations.double().sum(-1).abs().max() <= 1e-4 * activations.norm(dim=-1).max())


def _sum_zero_basis(d: int) -> torch.Tensor:
    """[d, d - 1] orthonormal columns that span the vectors whose entries sum to zero."""
    ones_first = torch.cat([torch.ones(d, 1), torch.eye(d)[:, 1:]], 1).double()
    return torch.linalg.qr(ones_first).Q[:, 1:]


def isotropic(like: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Isotropic Gaussian vectors [..., d_model] with the norms of `like` [..., d_model]: the report's "naive random"."""
    z = torch.randn(like.shape, generator=rng)
    return z * (like.norm(dim=-1, keepdim=True) / z.norm(dim=-1, keepdim=True))
