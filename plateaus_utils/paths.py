"""Bases and directions -> points, all in the units of the activations.

Every path takes two vectors [..., d_model] and sizes [n_sizes] or [..., n_sizes], and returns points
[..., n_sizes, d_model].
"""

from collections.abc import Callable

import torch

from .errors import ActivationError

PARALLEL = 1e-4
"""A direction whose part orthogonal to the base is shorter than this share of it names no meridian of the sphere."""


def straight(base: torch.Tensor, direction: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """b + α·‖b‖·u, with u the unit direction: the report's straight mode, α in units of the base's norm.

    Args:
        base: [..., d_model].
        direction: [..., d_model], of any length.
        alpha: [n_sizes] or [..., n_sizes].

    Returns:
        [..., n_sizes, d_model].

    Raises:
        ActivationError: the base or the direction is zero, or something is not finite.

    Example:
        >>> import plateaus_utils as pu
        >>> pu.straight(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 5.0]), torch.tensor([0.0, 0.5, 1.0]))
        tensor([[2., 0.],
                [2., 1.],
                [2., 2.]])
    """
    _require_length(base)
    return absolute(base, direction, alpha * base.norm(dim=-1, keepdim=True))


def absolute(base: torch.Tensor, direction: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """b + ℓ·u, with u the unit direction and ℓ in units of the activations; shapes and errors as of `straight`."""
    unit = _unit(direction, "The direction has zero length; it names nowhere to go.")
    _require_finite(base)
    return base.unsqueeze(-2) + length.unsqueeze(-1) * unit.unsqueeze(-2)


def sphere(base: torch.Tensor, direction: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """cos θ·b + sin θ·‖b‖·u⊥, with u⊥ the unit part of the direction orthogonal to the base: the report's sphere mode.

    Args:
        base: [..., d_model].
        direction: [..., d_model], of any length.
        degrees: [n_sizes] or [..., n_sizes] angles θ.

    Returns:
        [..., n_sizes, d_model], all with the norm of the base.

    Raises:
        ActivationError: the base or the direction is zero, they are parallel, or something is not finite.

    Example:
        >>> import plateaus_utils as pu
        >>> points = pu.sphere(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 1.0]), torch.tensor([0.0, 90.0]))
        >>> points.round(decimals=3).abs()
        tensor([[2., 0.],
                [0., 2.]])
    """
    _require_finite(base)
    _require_length(base)
    norm = base.norm(dim=-1, keepdim=True)
    radial = base / norm
    unit = _unit(direction, "The direction has zero length; it names nowhere to go.")
    tangent = unit - (unit * radial).sum(-1, keepdim=True) * radial
    if (tangent.norm(dim=-1) < PARALLEL).any():
        raise ActivationError(
            "The direction is parallel to the base, so it names no meridian of the sphere; use straight mode."
        )
    tangent = tangent / tangent.norm(dim=-1, keepdim=True)
    # A second projection: the first leaves a rounding error that is large against a short tangent.
    tangent = tangent - (tangent * radial).sum(-1, keepdim=True) * radial
    angle = torch.deg2rad(degrees).unsqueeze(-1)
    return angle.cos() * base.unsqueeze(-2) + angle.sin() * (norm * tangent).unsqueeze(-2)


def linear_pair(start: torch.Tensor, end: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """(1 − t)·A + t·B at t [n_sizes] or [..., n_sizes], between ends [..., d_model]: [..., n_sizes, d_model].

    Raises:
        ActivationError: an end is not finite.
    """
    _require_finite(start, end)
    return torch.lerp(start.unsqueeze(-2), end.unsqueeze(-2), t.unsqueeze(-1).to(start))


def slerp_pair(start: torch.Tensor, end: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """From A to B along the great circle of directions, the norm interpolated linearly :cite:p:`shoemake1985animating`.

    Nearly parallel ends are interpolated linearly. Shapes as of `linear_pair`.

    Raises:
        ActivationError: an end is zero or not finite, or the ends point in opposite ways.
    """
    _require_finite(start, end)
    message = "An end of the path has zero length, so it has no direction."
    a, b = _unit(start.double(), message), _unit(end.double(), message)
    angle = torch.acos((a * b).sum(-1).clamp(-1, 1))[..., None, None]
    if (angle > torch.pi - PARALLEL).any():
        raise ActivationError("The ends of the path point in opposite ways, so no great circle joins them.")
    t = t.double().unsqueeze(-1)
    parallel = angle < PARALLEL
    sine = torch.where(parallel, 1.0, angle.sin())
    weight_a = torch.where(parallel, 1 - t, torch.sin((1 - t) * angle) / sine)
    weight_b = torch.where(parallel, t, torch.sin(t * angle) / sine)
    norm = (1 - t) * start.double().norm(dim=-1)[..., None, None] + t * end.double().norm(dim=-1)[..., None, None]
    return (norm * (weight_a * a.unsqueeze(-2) + weight_b * b.unsqueeze(-2))).to(start.dtype)


def _unit(direction: torch.Tensor, message: str) -> torch.Tensor:
    _require_finite(direction)
    length = direction.norm(dim=-1, keepdim=True)
    if (length == 0).any():
        raise ActivationError(message)
    return direction / length


def _require_length(base: torch.Tensor) -> None:
    if (base == 0).all(-1).any():
        raise ActivationError("The base has zero length, so sizes in units of it mean nothing; use absolute mode.")


def _require_finite(*vectors: torch.Tensor) -> None:
    if not all(vector.isfinite().all() for vector in vectors):
        raise ActivationError("A base or direction contains NaN or infinite values.")


Path = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
MODES: dict[str, Path] = {"straight": straight, "sphere": sphere, "absolute": absolute}
UNITS = {"straight": "‖base‖", "sphere": "degrees", "absolute": "activation units"}
