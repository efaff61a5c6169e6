"""Tokens -> activations at a hook; a Gaussian model of them; and activations that are not real."""

import hashlib
from dataclasses import dataclass

import torch
from sklearn.covariance import ledoit_wolf

from .errors import ActivationError
from .models import LanguageModel

SAMPLES_PER_DIMENSION = 2
"""Fewer activations than this for each hidden dimension leave a covariance matrix too poor to sample from."""


def generator(seed: int, purpose: str) -> torch.Generator:
    """A random stream of its own for each purpose, so that one draw does not shift the others."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@torch.no_grad()
def collect(model: LanguageModel, tokens: torch.Tensor, hook_name: str, batch_size: int = 512) -> torch.Tensor:
    """Activations of the last position at a hook, as the bridge reports them.

    Args:
        tokens: [n, seq_len] token ids.
        hook_name: `blocks.{layer}.hook_resid_pre` or `blocks.{layer}.hook_resid_post`.

    Returns:
        [n, d_model], float32, on the CPU.

    Raises:
        ModelError: the hook does not exist.
        ActivationError: an activation is not finite.
    """
    layer = model.layer_of(hook_name)
    source, stop = (f"blocks.{layer - 1}.hook_resid_post", layer) if layer else ("blocks.0.hook_resid_pre", 1)
    stop = stop if stop < model.n_layers else None
    found = []
    for batch in tokens.split(batch_size):
        _, cache = model.bridge.run_with_cache(batch.to(model.device), names_filter=[source], stop_at_layer=stop)
        found.append(cache[source][:, -1].float().cpu())
    activations = torch.cat(found)
    if not activations.isfinite().all():
        raise ActivationError(
            f"The activations of {model.name} at {hook_name} contain NaN or infinite values; "
            "load it in float32 or choose another layer."
        )
    return activations


@dataclass(frozen=True)
class Gaussian:
    """A multivariate normal distribution held as mean and eigen-decomposition of the covariance."""

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
            covariance = torch.from_numpy(ledoit_wolf(centred.numpy(), assume_centered=True)[0])
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
        """(tr C)² / tr C²: how many directions share the variance."""
        return float(self.eigenvalues.sum() ** 2 / self.eigenvalues.square().sum())


def isotropic(like: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Isotropic Gaussian vectors [..., d_model] with the norms of `like`: the report's "naive random"."""
    z = torch.randn(like.shape, generator=rng)
    return z * (like.norm(dim=-1, keepdim=True) / z.norm(dim=-1, keepdim=True))
