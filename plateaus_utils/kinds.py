"""Every kind of base and of direction: what it is called, how it is drawn, and how it is made.

A kind is added here and nowhere else: experiments, explorers, figures and the glossary read these tables. A minus sign in
front of a kind of direction reverses it and needs no entry.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .activations import isotropic
from .errors import ParameterError

COLORS = {
    "blue": "#0072B2",
    "orange": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "yellow": "#E69F00",
    "black": "#222222",
    "grey": "#767676",
}
"""The palette of Okabe and Ito, which stays distinct under the common colour-vision deficiencies."""

Dash = str | tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Kind:
    """One kind of base or of direction."""

    name: str
    """What results call it."""
    label: str
    """What pages and the glossary call it."""
    meaning: str
    """Its entry in the glossary."""
    recipe: Callable[..., torch.Tensor]
    """Of a base: (setting, generator) -> [n_prompts, d_model]. Of a direction: (bases [n, 1, d_model], draws) ->
    [n, k, d_model]."""
    color: str | None = None
    """Of its lines; None where the figure chooses."""
    dash: Dash = "-"
    main: bool = False
    """Whether curves are drawn of it; of bases, whether it is one of the report's."""
    modes: tuple[str, ...] = ("sphere", "straight")
    """Of a direction: the modes of path in which its threshold sizes are measured."""
    explored: bool = False
    """Whether the static explorer walks along it."""


@dataclass(frozen=True)
class Draws:
    """What directions are made of, for each base: all [n, k, d_model], but `mean` [d_model]."""

    gaussian: torch.Tensor
    gaussian_second: torch.Tensor
    real: torch.Tensor
    real_second: torch.Tensor
    naive: torch.Tensor
    mean: torch.Tensor
    real_index: torch.Tensor
    """[n, k] which of the other activations each `real` is."""

    def __getitem__(self, chosen: slice) -> "Draws":
        """The draws of some of the bases."""
        return Draws(
            self.gaussian[chosen],
            self.gaussian_second[chosen],
            self.real[chosen],
            self.real_second[chosen],
            self.naive[chosen],
            self.mean,
            self.real_index[chosen],
        )


def _by_name(*kinds: Kind) -> dict[str, Kind]:
    return {kind.name: kind for kind in kinds}


def find(table: dict[str, Kind], name: str) -> Kind:
    """The kind of that name.

    Raises:
        ParameterError: the table has none.
    """
    if name not in table:
        raise ParameterError(f"There is no kind {name!r}; choose from {', '.join(table)}.")
    return table[name]


# Bases --------------------------------------------------------------------------------------------------------------


def _same_token(setting, rng: torch.Generator) -> torch.Tensor:
    # A base whose token ends no other prompt keeps its own activation; `Setting.ends_alike` tells which.
    index = setting.same_token_index(rng)
    return torch.where((index >= 0)[:, None], setting.other_activations[index], setting.base_activations)


def _permuted_scores(setting, rng: torch.Generator) -> torch.Tensor:
    vectors, mean = setting.gaussian.eigenvectors.float(), setting.gaussian.mean.float()
    scores = (setting.other_activations - mean) @ vectors
    return mean + scores.gather(0, setting.some_others(scores.shape[1], rng, replacement=True)) @ vectors.T


BASES = _by_name(
    Kind(
        "real", "real base", "The prompt's own activation.",
        lambda setting, _: setting.base_activations,
        COLORS["blue"], main=True,
    ),
    Kind(
        "random", "random base",
        "A sample of a Gaussian with the mean and covariance of real activations, put in the place of the real base.",
        lambda setting, rng: setting.gaussian.sample(setting.n_prompts, rng),
        COLORS["orange"], "--", main=True,
    ),
    Kind(
        "naive", "naive base", "An isotropic Gaussian vector with the norm of the real base.",
        lambda setting, rng: isotropic(setting.base_activations, rng),
        COLORS["green"], "-.", main=True,
    ),
    Kind(
        "same token", "base of the same token",
        "The real activation of another document's prompt that ends in the same token.",
        _same_token,
    ),
    Kind(
        "foreign", "foreign base", "The real activation of any prompt of another document.",
        lambda setting, rng: setting.other_activations[setting.some_others(1, rng)[:, 0]],
    ),
    Kind(
        "midpoint", "midpoint base", "The mean of two real activations of other documents.",
        lambda setting, rng: setting.other_activations[setting.some_others(2, rng)].mean(1),
    ),
    Kind(
        "permuted scores", "base of permuted scores",
        "A vector each of whose principal component scores is that of another real activation: real marginals, no joint "
        "structure.",
        _permuted_scores,
    ),
    Kind(
        "mean", "mean base", "The mean of all real activations.",
        lambda setting, _: setting.gaussian.mean.float().expand(setting.n_prompts, -1),
    ),
)  # fmt: skip
"""The report's three come first :cite:p:`heimersheim2024plateaus`; the others are controls."""

MAIN_BASES = tuple(kind.name for kind in BASES.values() if kind.main)


# Directions ---------------------------------------------------------------------------------------------------------

DIRECTIONS = _by_name(
    Kind(
        "random", "random direction",
        "$g - b$, with $g$ a sample of a Gaussian with the mean and covariance of real activations: the report's \"random\".",
        lambda base, draws: draws.gaussian - base,
        COLORS["orange"], "--", main=True, explored=True,
    ),
    Kind(
        "real-other", "real-other direction",
        "$r - b$, with $r$ the real activation of an unrelated prompt, from another document.",
        lambda base, draws: draws.real - base,
        COLORS["blue"], main=True, explored=True,
    ),
    Kind(
        "naive", "naive direction", "An isotropic Gaussian vector $z$ with the norm of the {term}`base`.",
        lambda base, draws: draws.naive,
        COLORS["green"], "-.", main=True, explored=True,
    ),
    Kind(
        "random mixture", "random mixture",
        "$g_1 - g_2$, the difference of two independent samples of the Gaussian of a {term}`random direction` "
        "{cite:p}`lee2024sensitive`. It contains no base.",
        lambda base, draws: draws.gaussian - draws.gaussian_second,
        COLORS["yellow"], (0, (5, 1, 1, 1, 1, 1)), main=True,
    ),
    Kind(
        "real mixture", "real mixture",
        "$r_1 - r_2$, the difference of two unrelated real activations {cite:p}`lee2024sensitive`. It contains no base.",
        lambda base, draws: draws.real - draws.real_second,
        COLORS["sky"], ":", main=True,
    ),
    Kind(
        "random deviation", "random deviation",
        "$g - \\mu$, from the mean $\\mu$ of real activations to a Gaussian sample. It contains no base.",
        lambda base, draws: draws.gaussian - draws.mean,
        modes=("sphere",),
    ),
    Kind(
        "real deviation", "real deviation",
        "$r - \\mu$, from the mean $\\mu$ of real activations to an unrelated one. It contains no base.",
        lambda base, draws: draws.real - draws.mean,
        modes=("sphere",),
    ),
    Kind(
        "towards mean", "direction towards the mean", "$\\mu - b$, with $\\mu$ the mean of real activations.",
        lambda base, draws: (draws.mean - base).expand_as(draws.naive),
        modes=("sphere",),
    ),
    Kind(
        "naive minus base", "naive minus base", "$z - b$, with $z$ a {term}`naive direction`.",
        lambda base, draws: draws.naive - base,
        modes=("straight",),
    ),
    Kind(
        "minus base", "minus base", "$-b$: the {term}`base` shrinks to nothing and beyond.",
        lambda base, draws: (-base).expand_as(draws.naive),
        modes=("straight",),
    ),
)  # fmt: skip
"""The report's own two come first :cite:p:`heimersheim2024plateaus`."""

MAIN_DIRECTIONS = tuple(kind.name for kind in DIRECTIONS.values() if kind.main)
EXPLORED_DIRECTIONS = tuple(kind.name for kind in DIRECTIONS.values() if kind.explored)


def measured(mode: str) -> tuple[str, ...]:
    """Names of the kinds of direction whose threshold sizes are measured in a mode of path."""
    return tuple(kind.name for kind in DIRECTIONS.values() if mode in kind.modes)


# Styles -------------------------------------------------------------------------------------------------------------

STYLES: dict[str, tuple[str, Dash]] = {
    kind.name: (kind.color, kind.dash) for kind in (*BASES.values(), *DIRECTIONS.values()) if kind.color
} | {"isotropic": (COLORS["green"], "-."), "linear map": (COLORS["black"], (0, (1, 1)))}
"""Name -> colour and dashes of the kinds that have their own, and of two lines for comparison. A base and a direction of
one name look alike."""
