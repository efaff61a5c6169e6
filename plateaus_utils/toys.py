"""Small residual networks whose answer is known: they compute sparse features, with or without superposition and noise.

An input has a few of N_FEATURES features, each with a fixed direction in the stream. Feature i asks for token i as the next
one, unless feature i + 1 is on as well and silences it. All networks learn this with as many blocks and neurons; they
differ in two ways. *Superposition*: the stream has fewer dimensions than there are features, or more. *Noise*: in training
alone, Gaussian noise of a fixed share of the stream's norm is added before each block, which rewards correcting errors.
A `ToySuffix` stands wherever a `patching.Suffix` does, so that the book's own measurements run on them.
"""

import copy
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from .activations import generator
from .errors import ActivationError, ModelError
from .patching import ROWS, Readout
from .results import resumed

N_FEATURES = 48
"""Features of an input, and next tokens."""
N_BLOCKS, N_NEURONS = 4, 128
N_SEEDED = 2
"""Features that are drawn for an input; with probability one half each, the feature that silences it is on, too."""
ON = (0.5, 1.5)
"""Range of the value of a feature that is on; off is 0."""
SMOOTHING = 0.1
"""Share of the target distribution that is spread over all tokens, so that logits stay finite."""

WIDTHS = {"without": 64, "with": 32}
"""Superposition -> dimensions of the stream."""
NOISES = {"without": 0.0, "with": 0.15}
"""Noise -> its norm before each block in training, as a share of the stream's."""

N_STEPS, BATCH, LEARNING_RATE, WARM_UP = 1500, 256, 5e-3, 100
N_TESTED = 4000
MARGIN = 0.02
"""Largest difference between the accuracies of networks that are compared."""

EPS = 1e-6

SHAPES = {
    "embed": ("feature", "d_model"),
    "read": ("block", "d_model", "neuron"),
    "bias": ("block", "neuron"),
    "write": ("block", "neuron", "d_model"),
    "unembed": ("d_model", "token"),
    "prior": ("token",),
}
"""The weights of a network: the directions of the features, unit vectors that are not trained; what each block reads from the
stream, adds, and writes back; logits from the stream, and what is added to them."""


@dataclass(frozen=True)
class Inputs:
    """Sparse features and what they ask for."""

    values: torch.Tensor
    """[n, N_FEATURES], 0 where a feature is off."""
    wanted: torch.Tensor
    """[n, N_FEATURES] boolean: the next tokens that are right."""

    @property
    def target(self) -> torch.Tensor:
        """[n, N_FEATURES] next-token probabilities: shared by the tokens that are wanted, but for SMOOTHING."""
        share = self.wanted.float()
        return (1 - SMOOTHING) * share / share.sum(-1, keepdim=True) + SMOOTHING / N_FEATURES


def draw_inputs(n: int, rng: torch.Generator) -> Inputs:
    """Draw n inputs: N_SEEDED features each, and with probability one half the one that silences each."""
    seeded = torch.rand(n, N_FEATURES, generator=rng).topk(N_SEEDED, -1).indices
    silencing = torch.where(torch.rand(n, N_SEEDED, generator=rng) < 0.5, (seeded + 1) % N_FEATURES, seeded)
    on = torch.zeros(n, N_FEATURES, dtype=torch.bool).scatter(1, torch.cat([seeded, silencing], 1), True)
    values = on * (ON[0] + (ON[1] - ON[0]) * torch.rand(n, N_FEATURES, generator=rng))
    return Inputs(values, on & ~on.roll(-1, 1))


@dataclass(frozen=True)
class Run:
    """What a network does with points [..., d_model] after the embedding."""

    streams: torch.Tensor
    """[N_BLOCKS + 1, ..., d_model] before each block and after the last."""
    gates: torch.Tensor
    """[N_BLOCKS, ..., N_NEURONS] what goes into each ReLU."""
    logits: torch.Tensor
    """[..., N_FEATURES]"""


@dataclass(frozen=True, eq=False)
class Toy:
    """A network: embedding, residual blocks of one layer of ReLU each, RMS norm, unembedding."""

    weights: dict[str, torch.Tensor]
    """Name -> tensor; names and dimensions are those of SHAPES."""

    @property
    def d_model(self) -> int:
        return self.weights["embed"].shape[1]

    def embed(self, inputs: Inputs) -> torch.Tensor:
        """The real activations [n, d_model] of inputs."""
        return inputs.values @ self.weights["embed"]

    def run(self, points: torch.Tensor, noise: float = 0.0, rng: torch.Generator | None = None) -> Run:
        """Continue from points [..., d_model], with noise of that share of the norm before each block."""
        streams, gates = [points], []
        for read, bias, write in zip(*(self.weights[name] for name in ("read", "bias", "write")), strict=True):
            stream = streams[-1]
            if noise:
                scale = noise / math.sqrt(self.d_model) * stream.detach().norm(dim=-1, keepdim=True)
                stream = stream + scale * torch.randn(stream.shape, generator=rng)
            gates.append(stream @ read + bias)
            streams.append(stream + gates[-1].relu() @ write)
        logits = normalize(streams[-1]) @ self.weights["unembed"] + self.weights["prior"]
        return Run(torch.stack(streams), torch.stack(gates), logits)


def normalize(stream: torch.Tensor) -> torch.Tensor:
    """The stream divided by its root mean square."""
    return stream / (stream.square().mean(-1, keepdim=True) + EPS).sqrt()


def untrained(d_model: int, rng: torch.Generator) -> Toy:
    """Random weights; the features' directions are orthogonal where the stream has room for that."""
    directions = torch.randn(N_FEATURES, d_model, generator=rng)
    if d_model >= N_FEATURES:
        directions = torch.linalg.qr(directions.T).Q.T.contiguous()

    def scaled(*shape: int, gain: float = 1.0) -> torch.Tensor:
        return gain / math.sqrt(shape[-2]) * torch.randn(shape, generator=rng)

    return Toy({
        "embed": directions / directions.norm(dim=-1, keepdim=True),
        "read": scaled(N_BLOCKS, d_model, N_NEURONS),
        "bias": torch.zeros(N_BLOCKS, N_NEURONS),
        "write": scaled(N_BLOCKS, N_NEURONS, d_model, gain=1 / N_BLOCKS),
        "unembed": scaled(d_model, N_FEATURES),
        "prior": torch.zeros(N_FEATURES),
    })  # fmt: skip


def train(d_model: int, noise: float, seed: int, n_steps: int = N_STEPS) -> Toy:
    """Train a network to predict the target distributions by cross-entropy with AdamW; the same for the same seed.

    Args:
        d_model: dimensions of the stream.
        noise: norm of the noise before each block, as a share of the stream's.
        seed: of weights, inputs and noise.
        n_steps: of BATCH inputs each.
    """
    rng = generator(seed, f"toy/{d_model}")  # noise or not, the same weights and directions at the start
    toy = untrained(d_model, rng)
    trained = [weights.requires_grad_() for name, weights in toy.weights.items() if name != "embed"]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE)
    for step in range(n_steps):
        decay = 0.5 * (1 + math.cos(math.pi * step / n_steps))
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1.0, (step + 1) / WARM_UP) * decay
        inputs = draw_inputs(BATCH, rng)
        loss = -(inputs.target * toy.run(toy.embed(inputs), noise, rng).logits.log_softmax(-1)).sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Toy({name: weights.detach() for name, weights in toy.weights.items()})


@torch.no_grad()
def accuracy(toy: Toy, seed: int = 0) -> float:
    """Share of N_TESTED inputs, without noise, of which every wanted token has a larger logit than every other one."""
    inputs = draw_inputs(N_TESTED, generator(seed, "toy/test"))
    logits = toy.run(toy.embed(inputs)).logits
    worst = logits.masked_fill(~inputs.wanted, torch.inf).amin(-1)
    return float((worst > logits.masked_fill(inputs.wanted, -torch.inf).amax(-1)).float().mean())


def require_equal(accuracies: dict[str, float]) -> None:
    """Networks are compared only if their accuracies lie within MARGIN.

    Raises:
        ModelError: they do not.
    """
    low, high = min(accuracies, key=accuracies.get), max(accuracies, key=accuracies.get)
    if accuracies[high] - accuracies[low] > MARGIN:
        raise ModelError(
            f"The toy network '{low}' is right on {accuracies[low]:.3f} of its inputs and '{high}' on {accuracies[high]:.3f}, "
            f"more than {MARGIN} apart; train longer."
        )


def networks(folder: Path, n_networks: int, n_steps: int = N_STEPS) -> dict[tuple[str, str, int], Toy]:
    """Trained networks by (superposition, noise, seed), read where they are stored; all equally accurate.

    Raises:
        ModelError: see `require_equal`.
    """
    cells = itertools.product(WIDTHS, NOISES, range(n_networks))
    found = {cell: _stored(folder, *cell, n_steps) for cell in cells}
    require_equal({_name(*cell): accuracy(toy) for cell, toy in found.items()})
    return found


def _name(superposition: str, noise: str, seed: int) -> str:
    return f"{superposition} superposition, {noise} noise, seed {seed}"


def _stored(folder: Path, superposition: str, noise: str, seed: int, n_steps: int) -> Toy:
    def compute(_: slice) -> xr.Dataset:
        toy = train(WIDTHS[superposition], NOISES[noise], seed, n_steps)
        labels = {name: {"description": f"weights: {name}", "unit": ""} for name in SHAPES}
        found = xr.Dataset({name: (dims, toy.weights[name], labels[name]) for name, dims in SHAPES.items()})
        return found.assign_coords({dim: np.arange(size) for dim, size in found.sizes.items()})

    made_by = {"d_model": WIDTHS[superposition], "noise": NOISES[noise], "seed": seed, "n_steps": n_steps}
    file = f"toy_{_name(superposition, noise, seed)}".replace(",", "").replace(" ", "_")
    stored = resumed(folder, file, made_by, 1, 1, compute)
    return Toy({name: torch.from_numpy(stored[name].values.copy()) for name in SHAPES})


class ToySuffix:
    """A toy network from the embedding on, for a batch of inputs: the interface of `patching.Suffix`.

    Attributes:
        toy: the network.
        base: [n_prompts, d_model] the real activations.
    """

    def __init__(self, toy: Toy, base: torch.Tensor):
        self.toy, self.base = toy, base

    @property
    def n_prompts(self) -> int:
        return len(self.base)

    def __call__(self, points: torch.Tensor) -> Readout:
        """Run points [n_prompts, n_points, d_model]; derivatives with respect to them pass through.

        Raises:
            ActivationError: a point is not finite or not of the right shape.
        """
        if points.dim() != 3 or (points.shape[0], points.shape[2]) != tuple(self.base.shape):
            raise ActivationError(
                f"The points have shape {tuple(points.shape)}; [{self.n_prompts}, n_points, {self.toy.d_model}] was expected."
            )
        if not points.isfinite().all():
            raise ActivationError("A point to patch contains NaN or infinite values.")
        run = self.toy.run(points.to(self.base))
        return Readout(run.logits, run.streams[-1], normalize(run.streams[-1]))

    def of_prompts(self, prompts: torch.Tensor) -> "ToySuffix":
        """The same for some of the inputs alone, by index."""
        chosen = copy.copy(self)
        chosen.base = self.base[prompts]
        return chosen

    def batches(self, n_points: int) -> Iterator[slice]:
        """Slices of the points axis for batches of at most ROWS points (or of one point of each input)."""
        n_batches = math.ceil(n_points / max(1, ROWS // self.n_prompts))
        edges = [n_points * i // max(1, n_batches) for i in range(n_batches + 1)]
        return (slice(start, end) for start, end in itertools.pairwise(edges))

    def derivative(self, points: torch.Tensor, tangents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits at `points` and their directional derivative along `tangents`, by forward-mode differentiation."""
        return torch.func.jvp(lambda x: self(x).logits, (points,), (tangents.to(points),))
