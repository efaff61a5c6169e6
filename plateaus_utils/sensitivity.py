"""Curve -> numbers: where it crosses a threshold, how wide and steep it rises; and the crossing without the curve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .errors import ActivationError
from .paths import Path

KL_THRESHOLD = 0.5
"""The report's threshold, in nats."""


# Measures of sampled curves -----------------------------------------------------------------------------------------


def first_crossing(sizes: np.ndarray, values: np.ndarray, level: float | np.ndarray) -> np.ndarray:
    """Smallest size at which curves [..., n_sizes] reach `level`, interpolated linearly; NaN (censored) if never.

    `sizes` is [n_sizes], increasing, and the result [...] is in their unit. `level` is a number or [...], one for each
    curve, in the unit of `values`. A curve that starts at or above its level crosses at sizes[0].
    """
    sizes, values = np.asarray(sizes, float), np.asarray(values, float)
    level = np.broadcast_to(np.asarray(level, float), values.shape[:-1])
    reached = values >= level[..., None]
    i = reached.argmax(-1)
    before = np.maximum(i - 1, 0)
    high = np.take_along_axis(values, i[..., None], -1)[..., 0]
    low = np.take_along_axis(values, before[..., None], -1)[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        fraction = np.where(high > low, (level - low) / (high - low), 1.0)
    crossing = sizes[before] + np.clip(fraction, 0, 1) * (sizes[i] - sizes[before])
    return np.where(reached.any(-1), np.where(i == 0, sizes[0], crossing), np.nan)


def last_below(sizes: np.ndarray, values: np.ndarray, level: float | np.ndarray) -> np.ndarray:
    """Size [...] from which curves [..., n_sizes] stay at or above `level`; NaN if they end below it.

    The first crossing if monotone; sizes and level as there.
    """
    values = np.asarray(values, float)
    below = values < np.broadcast_to(np.asarray(level, float), values.shape[:-1])[..., None]
    last = np.where(below.any(-1), values.shape[-1] - 1 - below[..., ::-1].argmax(-1), -1)
    tail = np.where(np.arange(values.shape[-1]) < np.maximum(last, 0)[..., None], -np.inf, values)
    return first_crossing(sizes, tail, level)


def relative(sizes: np.ndarray, values: np.ndarray, end: float) -> tuple[np.ndarray, np.ndarray]:
    """The part of curves [..., n_sizes] up to the size `end`, divided by their value there.

    Returns:
        The n_kept sizes up to `end` [n_kept], and the shares [..., n_kept].
    """
    sizes, values = np.asarray(sizes, float), np.asarray(values, float)
    kept = sizes <= end + 1e-9
    with np.errstate(invalid="ignore", divide="ignore"):
        return sizes[kept], values[..., kept] / values[..., kept][..., -1:]


def area(sizes: np.ndarray, values: np.ndarray, end: float) -> np.ndarray:
    """Mean [...] over the grid [n_sizes] up to `end` of value(size)/value(end), for curves [..., n_sizes]."""
    return relative(sizes, values, end)[1].mean(-1)


def rise(sizes: np.ndarray, values: np.ndarray, end: float) -> np.ndarray:
    """Size at 90 % minus size at 10 % of the value reached at `end`: [...] for curves [..., n_sizes]."""
    sizes, shares = relative(sizes, values, end)
    return first_crossing(sizes, shares, 0.9) - first_crossing(sizes, shares, 0.1)


def steepest(sizes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Size [...] at the middle of the steepest step of curves [..., n_sizes]."""
    sizes = np.asarray(sizes, float)
    slopes = np.diff(values, axis=-1) / np.diff(sizes)
    return ((sizes[1:] + sizes[:-1]) / 2)[np.nanargmax(slopes, -1)]


def width(t: np.ndarray, from_start: np.ndarray, from_end: np.ndarray) -> np.ndarray:
    """10-90 % width of A-to-B paths: t(d = 0.9) − t(d = 0.1) with d = ‖x−x_A‖/(‖x−x_A‖+‖x−x_B‖) at the read-off.

    With t [n_sizes] and both distances [..., n_sizes] in one unit, the widths are [...], in units of t. A straight line
    gives 0.8; see Shinkle and Heimersheim :cite:p:`shinkle2025plateaus`.
    """
    share = from_start / (from_start + from_end)
    return first_crossing(t, share, 0.9) - first_crossing(t, share, 0.1)


def max_slope(from_start: np.ndarray) -> np.ndarray:
    """Largest step of d(α)/d(1) times the number of steps; a straight line gives 1 :cite:p:`janiak2024stable`.

    Distances from the start [..., n_sizes] at evenly spaced α give slopes [...], without a unit.
    """
    share = from_start / from_start[..., -1:]
    return np.diff(share, axis=-1).max(-1) * (share.shape[-1] - 1)


NOISE_FLOOR = 1e-6
"""KL below this, in nats, may be float32 rounding of the logits."""


def exponent(sizes: np.ndarray, values: np.ndarray, kl: np.ndarray, n_points: int = 3) -> np.ndarray:
    """Slope of log value against log size over the smallest `n_points` sizes at which `kl` exceeds the noise floor.

    With sizes [n_sizes], and values and `kl` [..., n_sizes], the slopes are [...]. NaN where fewer
    sizes are left. Of a smooth divergence it is 2, of the distance behind it 1.
    """
    usable = kl > NOISE_FLOOR
    first = usable.argmax(-1)
    index = first[..., None] + np.arange(n_points)
    enough = usable.any(-1) & (index[..., -1] < kl.shape[-1])
    index = np.minimum(index, kl.shape[-1] - 1)
    x = np.log(np.asarray(sizes, float)[index])
    y = np.log(np.take_along_axis(np.asarray(values, float), index, -1))
    x = x - x.mean(-1, keepdims=True)
    return np.where(enough, (x * y).sum(-1) / (x * x).sum(-1), np.nan)


def quadratic_kl(gram: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """KL on the sphere if it were exactly its quadratic form at the base.

    Half the Fisher form of the chord x(θ) − b = (cos θ − 1)·b + sin θ·‖b‖u⊥, whose two vectors have the Gram matrix `gram`
    [..., 2, 2]: the covariance, under the base's next-token distribution, of the logits' derivatives along them.

    Returns:
        [..., n_sizes] nats.
    """
    theta = np.deg2rad(np.asarray(degrees, float))
    chord = np.stack([np.cos(theta) - 1, np.sin(theta)])
    return 0.5 * np.einsum("is,...ij,js->...s", chord, np.asarray(gram, float), chord)


def over_quadratic(kl: np.ndarray, gram: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Measured over predicted KL at the same angle [..., n_sizes]: 1 for an exact quadratic, NaN at angle 0.

    `kl` is [..., n_sizes] in nats; `gram` [..., 2, 2] and `degrees` [n_sizes] are as in `quadratic_kl`.
    """
    predicted = quadratic_kl(gram, degrees)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(predicted > 0, kl / predicted, np.nan)


# The crossing, found without the curve ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Thresholds:
    """Threshold sizes [n_prompts, n_directions]; NaN where the effect never reached the level up to the limit."""

    size: torch.Tensor
    evaluations: torch.Tensor
    """[n_prompts, n_directions] how many points each cost."""

    @property
    def censored(self) -> torch.Tensor:
        return self.size.isnan()


def find_thresholds(
    effect: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    path: Path,
    bases: torch.Tensor,
    directions: torch.Tensor,
    *,
    level: float | torch.Tensor,
    grid: Sequence[float],
    tolerance: float,
) -> Thresholds:
    """Smallest size at which an effect reaches `level` along each direction, all directions at once.

    Every direction walks up the grid to its first crossing there, past sizes at which even growth with the fourth power
    of the size would not reach the level. Then its bracket is narrowed by the power law through its ends, aimed just past the
    crossing on the longer side, and by bisection every fourth time, until it is 2·tolerance wide.

    Args:
        effect: points [m, n, d_model] and the indices [m] of the prompts they belong to -> effects [m, n].
        path: base, direction, sizes -> points, see `paths`.
        bases: [n_prompts, d_model].
        directions: [n_prompts, n_directions, d_model].
        level: a number, or one for each prompt [n_prompts].
        grid: increasing sizes, without 0; the last is the limit.
        tolerance: largest error of a size that is asked for, in the unit of the grid.

    Raises:
        ActivationError: the effect is not finite somewhere, or the level or the tolerance is impossible.

    Example:
        >>> import plateaus_utils as pu
        >>> base, directions = torch.tensor([[1.0, 0.0]]), torch.tensor([[[0.0, 1.0], [0.0, -1.0]]])
        >>> def effect(points, prompts):  # the square of how far up a point lies
        ...     return points[..., 1].clamp_min(0) ** 2
        >>> options = {"level": 0.25, "grid": [15.0, 30.0, 45.0, 90.0], "tolerance": 0.1}
        >>> found = pu.find_thresholds(effect, pu.sphere, base, directions, **options)
        >>> found.size.round(decimals=0)
        tensor([[30., nan]], dtype=torch.float64)
    """
    n, k = directions.shape[:2]
    level = torch.as_tensor(level, dtype=torch.float64)
    if not (level >= 0).all() or not tolerance > 0:
        raise ActivationError(
            f"A threshold search needs a level from 0 up and a tolerance above 0, not {level.tolist()} and {tolerance}."
        )
    level = level.expand(n)[:, None].expand(n, k)
    steps = torch.as_tensor(grid, dtype=torch.float64)
    low, high = torch.zeros(n, k, dtype=torch.float64), torch.full((n, k), torch.inf, dtype=torch.float64)
    at_low, at_high = torch.zeros(n, k, dtype=torch.float64), torch.full((n, k), torch.nan, dtype=torch.float64)
    tries = torch.zeros(n, k, dtype=torch.int64)
    refinements = torch.zeros(n, k, dtype=torch.int64)
    while True:
        bracketed = high.isfinite()
        active = torch.where(bracketed, high - low > 2 * tolerance, low < steps[-1])
        if not active.any():
            break
        size = torch.where(
            bracketed,
            _inside(low, high, _power_law(low, high, at_low, at_high, level), refinements, tolerance),
            _ahead(steps, low, at_low, level),
        )
        value = _evaluate(effect, path, bases, directions, size, active)
        reached = active & (value >= level)
        missed = active & (value < level)
        high, at_high = torch.where(reached, size, high), torch.where(reached, value, at_high)
        low, at_low = torch.where(missed, size, low), torch.where(missed, value, at_low)
        tries += active
        refinements += active & bracketed
    crossing = _power_law(low, high, at_low, at_high, level)
    return Thresholds(torch.where(high.isfinite(), crossing, torch.nan), tries)


FARTHEST = 3.0
"""How many times its last size a search may go ahead on the grid."""


def _ahead(steps, low, at_low, level) -> torch.Tensor:
    """The next size of the grid; or a later one, the last that growth with the fourth power does not take to the level.

    Never more than FARTHEST times the size: an effect near the noise floor says nothing about how it grows.
    """
    growth = (level / at_low.clamp_min(1e-24)).pow(1 / 4).clamp(1, FARTHEST)
    following = torch.searchsorted(steps, low, right=True)
    far = torch.searchsorted(steps, low * growth, right=True) - 1
    return steps[torch.maximum(following, far).clamp_max(len(steps) - 1)]


def _power_law(low, high, at_low, at_high, level) -> torch.Tensor:
    """Where the power law through both ends of a bracket meets the level; a quadratic where the lower end has no effect."""
    share = (level / at_low).log() / (at_high / at_low).log()
    return torch.where(at_low > 0, low * (high / low).pow(share), low + (high - low) * (level / at_high).sqrt())


def _inside(low, high, crossing, refinements, tolerance) -> torch.Tensor:
    """The next size to try strictly inside each bracket, given a guess of the crossing."""
    past = torch.where(high - crossing > crossing - low, 0.8 * tolerance, -0.8 * tolerance)
    edge = torch.minimum(0.2 * (high - low), torch.full_like(low, 0.8 * tolerance))
    guess = torch.maximum(low + edge, torch.minimum(high - edge, crossing + past))
    return torch.where(refinements % 4 == 3, (low + high) / 2, guess)


def _evaluate(effect, path, bases, directions, size, active) -> torch.Tensor:
    """Effects [n_prompts, n_directions] at one size for each active direction, 0 for others.

    Points of one prompt share what precedes the patch, so they run side by side: in groups of one width, of which a prompt
    has as many as it needs, the last one padded. The width weighs padding against a group's own cost, about that of a point.
    """
    n_active = active.sum(1)
    width = min(range(1, int(n_active.max()) + 1), key=lambda w: int(((n_active + w - 1) // w).sum()) * (w + 1))
    order = torch.argsort(active.int(), dim=1, descending=True, stable=True)[:, : int(n_active.max())]
    order = torch.nn.functional.pad(order, (0, -order.shape[1] % width)).unflatten(1, (-1, width))
    taken = (torch.arange(order[0].numel()) < n_active[:, None]).view(order.shape)
    prompts = torch.nonzero(taken.any(-1))[:, 0]
    order, taken = order[taken.any(-1)], taken[taken.any(-1)]
    chosen = directions[prompts[:, None], order]
    sizes = size[prompts[:, None], order].where(taken, 0.0).to(directions.dtype)
    points = path(bases[prompts][:, None].expand_as(chosen), chosen, sizes[..., None]).squeeze(2)
    values = effect(points, prompts).double().clamp_min(0)  # rounding may leave a zero divergence just below it
    if not values.isfinite().all():
        raise ActivationError("The effect of a perturbation is not finite; run the model in float32.")
    whole = torch.zeros_like(size)
    whole[prompts[:, None].expand_as(order)[taken], order[taken]] = values[taken]
    return whole
