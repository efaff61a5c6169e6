"""The toy networks of chapter 7, measured as the language model is, and inside.

Every network of a cell of the two-by-two design sees the same inputs, so that cells are compared input by input. The measured
cells share the dimensions `superposition` and `noise` (without, with) and `network`, the seed of the training.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from .. import toys
from ..activations import Gaussian, generator
from ..directions import directions, draw
from ..effects import measure
from ..errors import ParameterError
from ..kinds import MAIN_BASES, Draws
from ..paths import MODES
from ..results import resumed
from ..toys import Inputs, Toy, ToySuffix
from .explanations import fisher_gram
from .measuring import CURVE_SIZES, labelled, path_sizes, threshold_labels, thresholds_along
from .setting import base_points

N_OTHERS = 4000
"""Real activations behind the Gaussian of a network, and from which real-other directions come."""
N_DIRECTIONS = 2
KINDS = ("random", "real-other", "random deviation", "feature on", "feature off")
"""Kinds of direction: three of the book's, and a feature of the network that is off switched on, or one that is on, off."""
INSIDE = 15.0
"""Angle at which what happens inside a network is measured, degrees: below the thresholds of all cells."""


@dataclass(frozen=True, eq=False)
class ToySetting:
    """A network and its inputs, with what recipes of bases and directions read of a `Setting`."""

    toy: Toy
    inputs: Inputs
    base_activations: torch.Tensor
    """[n_prompts, d_model]"""
    other_activations: torch.Tensor
    """[N_OTHERS, d_model]"""
    gaussian: Gaussian
    seed: int

    @property
    def n_prompts(self) -> int:
        return len(self.base_activations)

    @property
    def documents(self) -> np.ndarray:
        """[n_prompts] every input is a document of its own."""
        return np.array([f"toy/{i}" for i in range(self.n_prompts)])

    @functools.cached_property
    def suffix(self) -> ToySuffix:
        return ToySuffix(self.toy, self.base_activations)

    def draws(self, k: int) -> Draws:
        """Draw k targets of each sort for every base; see `Setting.draws`."""
        others = np.array([f"other/{i}" for i in range(len(self.other_activations))])
        rng = generator(self.seed, f"directions/{k}")
        given = self.base_activations, self.other_activations, self.gaussian
        return draw(*given, k, rng, self.documents, others)

    def directions(self, kind: str, at: torch.Tensor) -> torch.Tensor:
        """N_DIRECTIONS directions [n_prompts, k, d_model] of one of KINDS at bases [n_prompts, d_model]."""
        if not kind.startswith("feature"):
            return directions(kind, at, self.draws(N_DIRECTIONS))
        off = self.inputs.values == 0
        suits = off if kind == "feature on" else ~off
        chosen = torch.multinomial(suits.float(), N_DIRECTIONS, generator=generator(self.seed, kind))
        rows = self.toy.weights["embed"][chosen]
        return rows if kind == "feature on" else -rows


def toy_setting(toy: Toy, n_inputs: int, seed: int) -> ToySetting:
    """The first n_inputs inputs of a seed, the same for every network, and others for targets and the Gaussian."""
    inputs = toys.draw_inputs(n_inputs, generator(seed, "toy/bases"))
    others = toys.draw_inputs(N_OTHERS, generator(seed, "toy/others"))
    activations = toy.embed(others)
    return ToySetting(toy, inputs, toy.embed(inputs), activations, Gaussian.fit(activations), seed)


# Measuring ----------------------------------------------------------------------------------------------------------


def measured(folder: Path, n_networks: int, n_inputs: int, seed: int = 0, n_steps: int = toys.N_STEPS) -> xr.Dataset:
    """All measurements of all cells.

    Args:
        folder: of the results.
        n_networks: seeds of training in each cell.
        n_inputs: independent inputs, the same for every network.
        seed: of the inputs, the bases and the directions.
        n_steps: of training.

    Returns:
        [superposition, noise, network, prompt, ...]: see `measure_network`, and `accuracy` [superposition, noise, network].

    Raises:
        ParameterError: fewer than one network or two inputs.
        ModelError: see `toys.networks`.
    """
    if n_networks < 1 or n_inputs < 2:
        raise ParameterError(
            f"Toy networks need at least 1 network a cell and 2 inputs, not {n_networks} and {n_inputs}; ask for more."
        )
    found = toys.networks(folder, n_networks, n_steps)

    def compute(_: slice) -> xr.Dataset:
        rows = []
        for (superposition, noise, network), toy in found.items():
            data = measure_network(toy_setting(toy, n_inputs, seed)).assign(accuracy=((), toys.accuracy(toy), ACCURACY))
            rows.append(data.expand_dims(superposition=[superposition], noise=[noise], network=[network]))
        return xr.combine_by_coords(rows, combine_attrs="override").sel(
            superposition=list(toys.WIDTHS), noise=list(toys.NOISES)
        )

    made_by = {"n_networks": n_networks, "n_inputs": n_inputs, "seed": seed, "n_steps": n_steps}
    return resumed(folder, "toy_networks", made_by, 1, 1, compute)


ACCURACY = {
    "description": "share of inputs of which every wanted token has a larger logit than every other",
    "unit": "",
}


def measure_network(setting: ToySetting) -> xr.Dataset:
    """Everything that is measured of one network.

    Returns:
        `kl` [prompt, base, direction, path_size] towards random targets, and `gram` [prompt, base, direction, i, j] of the
        same paths; `threshold` [prompt, kind, direction] at real bases; at INSIDE degrees from real bases, towards random
        targets: `crossed` [prompt, direction, block], the share of gates that changed sign, `apart` and `length`
        [prompt, direction, depth], the distance from the base's stream and its length, before each block and at the end.
    """
    around = [_around(setting, base) for base in MAIN_BASES]
    found = xr.concat(around, xr.Variable("base", list(MAIN_BASES))).merge(_along(setting)).merge(_inside(setting))
    vectors = ["base", "across"]
    depths = {"block": np.arange(toys.N_BLOCKS), "depth": np.arange(toys.N_BLOCKS + 1)}
    coords = {"path_size": path_sizes("sphere", CURVE_SIZES["sphere"]), "kind": list(KINDS), "i": vectors, "j": vectors}
    coords |= depths | {"document": ("prompt", setting.documents)}
    return labelled(found.transpose("prompt", ...), coords, LABELS)


LABELS = {
    "gram": {"description": "Gram matrix of the base and ‖base‖u⊥ under the Fisher information", "unit": "nats"},
    "threshold": threshold_labels("sphere"),
    "crossed": {
        "description": f"share of a block's gates with another sign at {INSIDE:.0f}° than at the base",
        "unit": "",
    },
    "apart": {"description": f"distance at {INSIDE:.0f}° from the base's stream", "unit": "activation units"},
    "length": {"description": "length of the base's stream", "unit": "activation units"},
}


def _around(setting: ToySetting, base: str) -> xr.Dataset:
    at = base_points(setting, base)
    vectors = setting.directions("random", at)
    sizes = torch.tensor(CURVE_SIZES["sphere"], dtype=torch.float32)
    points = MODES["sphere"](at[:, None].expand_as(vectors), vectors, sizes)
    kl = measure(setting.suffix, points.flatten(1, 2), at[:, None])["kl"].view(points.shape[:-1])
    gram = fisher_gram(setting.suffix, at, vectors[:, None])[:, 0]
    dims = ("prompt", "direction")
    return xr.Dataset({"kl": ((*dims, "path_size"), kl), "gram": ((*dims, "i", "j"), gram)})


def _along(setting: ToySetting) -> xr.Dataset:
    at = setting.base_activations
    vectors = torch.stack([setting.directions(kind, at) for kind in KINDS], 1)
    sizes = thresholds_along(setting.suffix, at, vectors).size
    return xr.Dataset({"threshold": (("prompt", "kind", "direction"), sizes)})


@torch.no_grad()
def _inside(setting: ToySetting) -> xr.Dataset:
    at = setting.base_activations
    vectors = setting.directions("random", at)
    points = MODES["sphere"](at[:, None].expand_as(vectors), vectors, torch.tensor([INSIDE]))[:, :, 0]
    here, there = setting.toy.run(at[:, None].expand_as(points)), setting.toy.run(points)
    crossed = ((here.gates > 0) != (there.gates > 0)).float().mean(-1)
    apart, length = (there.streams - here.streams).norm(dim=-1), here.streams.norm(dim=-1)
    values = {"crossed": (crossed, "block"), "apart": (apart, "depth"), "length": (length, "depth")}
    return xr.Dataset({k: ((along, "prompt", "direction"), v) for k, (v, along) in values.items()})
