"""The engine: continue a forward pass from patched activations, exactly, repeating nothing that a patch cannot change.

Attention is causal, so the keys and values of the positions before the first patched one do not depend on the patch,
and neither do the blocks before the patched hook. The clean run keeps those keys and values, one copy for each prompt.
A patched run then sends only the patched and later positions through the later blocks, thousands of points of many
prompts as the rows of one batch. Each row attends to the shared keys of its prompt and to itself, which one attention
function, registered with transformers, computes for every architecture that uses the library's attention interface.
Other architectures run whole rows from the hook on. Either way the continuation is compared with the bridge's own
forward pass before it is used.
"""

import copy
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import nn

from .anatomy import Site, Values, anatomy, visited
from .errors import ActivationError, ModelError
from .models import LanguageModel
from .network import Network, attention, hooked, normalized

ROWS = 1024
"""Rows (points times recomputed positions) of one batch: large enough for matrix multiplication at full speed."""

TOLERANCE = 1e-3
"""Largest difference from the bridge's forward pass, relative to the spread of values, that rounding explains."""


N_VERIFIED = 3
"""Points of each prompt at which an engine is compared: the base, and perturbations as long as the base itself."""

_VERIFIED: WeakKeyDictionary[LanguageModel, set] = WeakKeyDictionary()


@dataclass(frozen=True)
class Readout:
    """What a patched run gives at the last position of each point; every tensor is [n_prompts, n_points, ...]."""

    logits: torch.Tensor
    """[..., d_vocab]"""
    resid_post: torch.Tensor
    """[..., d_model] output of the last block, before the final norm."""
    normalized: torch.Tensor
    """[..., d_model] the final stream divided by its scale (and centred by a LayerNorm), before the norm's weights."""

    def of_prompts(self, prompts: torch.Tensor) -> "Readout":
        """The rows of some prompts, by index."""
        return Readout(self.logits[prompts], self.resid_post[prompts], self.normalized[prompts])

    def of_points(self, points: slice) -> "Readout":
        """Some of the points."""
        return Readout(self.logits[:, points], self.resid_post[:, points], self.normalized[:, points])

    def each_alone(self) -> "Readout":
        """Every point as if it had a prompt to itself: [n_prompts · n_points, 1, ...]."""
        return Readout(*(x.flatten(0, 1).unsqueeze(1) for x in (self.logits, self.resid_post, self.normalized)))


class Suffix:
    """The rest of a network from a hook on, for a batch of prompts.

    Args:
        model: the network.
        tokens: [n_prompts, seq_len] token ids.
        hook_name: `blocks.{layer}.hook_resid_pre` or `blocks.{layer}.hook_resid_post`.
        positions: the positions to patch; the last one by default.

    Attributes:
        base: [n_prompts, d_model], or [n_prompts, n_positions, d_model] for several positions: the clean activations.

    Raises:
        ModelError: the hook does not exist, or the continuation differs from the bridge's forward pass.
        ActivationError: a position is outside the sequence.

    Example:
        >>> import plateaus_utils as pu
        >>> model = pu.load_model("tiny-random-gpt2", device="cpu")
        >>> tokens = torch.tensor([model.tokenizer.encode("A sentence.")])
        >>> suffix = pu.Suffix(model, tokens, model.default_hook)
        >>> suffix.base.shape
        torch.Size([1, 32])
        >>> suffix(suffix.base[:, None]).logits.shape
        torch.Size([1, 1, 257])
    """

    def __init__(self, model: LanguageModel, tokens: torch.Tensor, hook_name: str, positions: Sequence[int] = (-1,)):
        self.model, self.tokens = model, tokens.to(model.device)
        self.layer = model.layer_of(hook_name)
        seq_len = tokens.shape[1]
        places = sorted({p % seq_len for p in positions if -seq_len <= p < seq_len})
        if len(places) != len(positions) or not places:
            raise ActivationError(
                f"The positions {list(positions)} are not distinct places in a sequence of {seq_len}."
            )
        # An attention that is not ours cannot share a prefix: then nothing is cached and whole rows run.
        self.shares_prefix = bool(getattr(model.core, "_supports_attention_backend", False))
        self.start = places[0] if self.shares_prefix else 0
        self._places = [p - self.start for p in places]
        self._prefix: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._network = Network(model)
        self._held: Values = {}
        self._seen: Values = {}
        self._clean_run()
        clean = self._clean[:, self._places]
        self.base = clean[:, 0] if len(places) == 1 else clean
        self._verify(hook_name)

    @property
    def n_prompts(self) -> int:
        return len(self.tokens)

    @property
    def n_recomputed(self) -> int:
        """Positions that each point recomputes: from the first patched one to the last."""
        return self.tokens.shape[1] - self.start

    def __call__(self, points: torch.Tensor) -> Readout:
        """Run points [n_prompts, n_points, d_model] (or [n_prompts, n_points, n_positions, d_model]) in one batch.

        Gradients and forward-mode derivatives with respect to `points` pass through.

        Raises:
            ActivationError: a point is not finite, too long for float32, or not of the right shape.
        """
        n_prompts, n_points = points.shape[:2]
        expected = (*self.base.shape[:1], n_points, *self.base.shape[1:])
        if points.shape != expected:
            raise ActivationError(f"The points have shape {tuple(points.shape)}; {expected} was expected.")
        if not points.float().norm(dim=-1).isfinite().all():  # norms take the square, which overflows first
            raise ActivationError("A point to patch contains NaN or infinite values, or is too long for float32.")
        stream = self._stream(points.to(self._clean)).flatten(0, 1)
        with visited([*(self._held | self._seen)], self._visit):
            logits, resid_post = self._network.run(stream, self.layer, self.start, self._attend)
        # Centred writing weights leave the mean over the hidden dimensions as the patch set it.
        resid_post = self.model.canonical(resid_post) + (
            stream[:, -1].mean(-1, keepdim=True) if self.model.centred else 0
        )
        shape = (n_prompts, n_points, -1)
        return Readout(logits.view(shape), resid_post.view(shape), normalized(self.model, resid_post).view(shape))

    def of_prompts(self, prompts: torch.Tensor) -> "Suffix":
        """The same continuation for some of the prompts alone, by index."""
        chosen = copy.copy(self)
        chosen.tokens, chosen.base, chosen._clean = self.tokens[prompts], self.base[prompts], self._clean[prompts]
        chosen._prefix = {layer: (key[prompts], value[prompts]) for layer, (key, value) in self._prefix.items()}
        chosen._held = {site: value[prompts] for site, value in self._held.items()}
        return chosen

    def batches(self, n_points: int) -> Iterator[slice]:
        """Slices of the points axis, as even as possible, for batches of at most ROWS rows (or of one point each)."""
        n_batches = math.ceil(n_points / max(1, ROWS // (self.n_prompts * self.n_recomputed)))
        edges = [n_points * i // max(1, n_batches) for i in range(n_batches + 1)]
        return (slice(start, end) for start, end in itertools.pairwise(edges))

    def derivative(self, points: torch.Tensor, tangents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits at `points` and their directional derivative along `tangents`, by forward-mode differentiation."""
        return torch.func.jvp(lambda x: self(x).logits, (points,), (tangents.to(points),))

    # Inside the blocks, see `anatomy` -----------------------------------------------------------------------------------

    @torch.no_grad()
    def record(self, points: torch.Tensor, sites: Sequence[Site]) -> Values:
        """The values [n_prompts, n_points, ...] of some sites at points like those of a call."""
        recorder = copy.copy(self)
        recorder._seen = {site: torch.empty(0) for site in sites}
        recorder(points)
        return {site: value for site, value in recorder._seen.items() if len(value)}

    def holding(self, values: Values) -> "Suffix":
        """The same continuation with the values of some sites held, whatever the points; NaN leaves an element free.

        Args:
            values: [n_prompts, 1, ...], or [n_prompts, n_points, ...] for one value at each point; as of `record`.

        Raises:
            ActivationError: they belong to another number of prompts.
        """
        if wrong := [len(value) for value in values.values() if len(value) != self.n_prompts]:
            raise ActivationError(f"The values to hold are of {wrong[0]} prompts; this suffix has {self.n_prompts}.")
        held = copy.copy(self)
        held._held = self._held | values
        return held

    def trace(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits, and the stream at the last position [n_prompts, n_points, n_stages, d_model] on its way through the blocks.

        The stages are the point itself, then the stream after each attention and each MLP; the last is the last block's output.

        Raises:
            ModelError: see `anatomy`.
        """
        stages = [(points if points.dim() == 3 else points[:, :, -1]).flatten(0, 1)]
        with ExitStack() as stack:
            for norm in anatomy(self.model).taps(self.layer):
                stack.enter_context(hooked(norm, lambda stream: stages.append(stream[:, -1])))
            logits = self(points).logits
        return logits, self.model.canonical(torch.stack(stages, 1)).unflatten(0, points.shape[:2])

    def traced_derivative(self, points: torch.Tensor, tangents: torch.Tensor) -> tuple[tuple, tuple]:
        """`trace` at `points`, and its directional derivative along `tangents`, by forward-mode differentiation."""
        return torch.func.jvp(self.trace, (points,), (tangents.to(points),))

    def read_derivative(self, resid_post: torch.Tensor, tangents: torch.Tensor) -> torch.Tensor:
        """How the logits [k, n, d_vocab] change along tangents [k, n, d_model] of the last block's output [n, d_model]."""
        norm = self._network.final_norm
        normalized = torch.func.vmap(lambda tangent: torch.func.jvp(norm, (resid_post,), (tangent,))[1])(tangents)
        # Outside of vmap, which would read the whole unembedding once for each tangent.
        return nn.functional.linear(normalized, self.model.core.get_output_embeddings().weight)

    def _visit(self, site: Site, value: torch.Tensor) -> torch.Tensor | None:
        """Put what is held in a value's place, and keep what is recorded."""
        held, by_prompt = self._held.get(site), value.unflatten(0, (self.n_prompts, -1))
        if held is not None:
            by_prompt = torch.where(held.isnan(), by_prompt, held)
        if site in self._seen:
            self._seen[site] = by_prompt
        return None if held is None else by_prompt.flatten(0, 1)

    @torch.no_grad()
    def _clean_run(self) -> None:
        """Run the prompts as they are; keep the prefix's keys and values and the stream at the hook."""
        recorded = []
        self._network.run_tokens(self.tokens, self.layer, recorded, self._record)
        self._clean = self.model.canonical(recorded[0][:, self.start :].contiguous())

    def _stream(self, points: torch.Tensor) -> torch.Tensor:
        """The stream [n_prompts, n_points, n_recomputed, d_model] at the hook: clean, but at the patched places."""
        if points.dim() == 3:
            points = points.unsqueeze(2)
        if len(self._places) == self.n_recomputed:
            return points
        columns = self._clean.unsqueeze(1).expand(-1, points.shape[1], -1, -1).unbind(2)
        patched = dict(zip(self._places, points.unbind(2), strict=True))
        return torch.stack([patched.get(i, column) for i, column in enumerate(columns)], dim=2)

    @torch.no_grad()
    def _verify(self, hook_name: str) -> None:
        """Compare the bridge with the plain network, and the continuation of points at and away from the base with the bridge.

        Once for each hook, positions and length: attention in chunks, say, shows its difference at some lengths alone.
        """
        kind = (hook_name, tuple(self._places), self.start, self.tokens.shape[1])
        if kind in _VERIFIED.setdefault(self.model, set()):
            return
        noise = torch.randn(N_VERIFIED - 1, *self.base.shape, generator=torch.Generator().manual_seed(0)).to(self.base)
        away = self.base + noise * self.base.norm(dim=-1, keepdim=True) / math.sqrt(self.base.shape[-1])
        points = torch.cat([self.base[None], away])
        ours = self(points.transpose(0, 1)).logits.transpose(0, 1).float().log_softmax(-1)
        reference = torch.stack([self._bridge_logits(hook_name, point) for point in points]).float().log_softmax(-1)
        logits, cache = self.model.bridge.run_with_cache(self.tokens, names_filter=[hook_name])
        stream = self.model.canonical(cache[hook_name][:, self.start :])
        bridge, plain = (x[:, -1].float().log_softmax(-1) for x in (logits, self.model.core(self.tokens).logits))
        # In a float64 model, too, the library's softmax and RMSNorm round to float32.
        allowed = TOLERANCE * max(1.0, torch.finfo(self.model.dtype).eps / torch.finfo(torch.float32).eps)
        name, length = f"{self.model.name} ({type(self.model.core).__name__})", f"{self.tokens.shape[1]} tokens"
        if not (worst := _difference(bridge, plain)) <= allowed:
            raise ModelError(
                f"TransformerLens' bridge of {name} differs from transformers' own forward pass by {worst:.2g} of its spread "
                f"at {length}; use another model."
            )
        worst = max(_difference(ours, reference), float((self._clean - stream).abs().max() / stream.std()))
        if not worst <= allowed:
            raise ModelError(
                f"The engine cannot continue {name} exactly from {hook_name} at {length}: it differs from the full forward "
                f"pass by {worst:.2g} of its spread; use another model or hook."
            )
        _VERIFIED[self.model].add(kind)

    def _bridge_logits(self, hook_name: str, point: torch.Tensor) -> torch.Tensor:
        """Logits [n_prompts, d_vocab] of a whole forward pass of the bridge with a point of each prompt patched in."""
        places = [self.start + place for place in self._places]

        def patch(stream: torch.Tensor, hook) -> torch.Tensor:
            patched = stream.clone()
            patched[:, places] = point.view(len(point), len(places), -1)
            return patched

        return self.model.bridge.run_with_hooks(self.tokens, fwd_hooks=[(hook_name, patch)])[:, -1]

    # Attention: one function for the clean run and for patched rows ---------------------------------------------------

    def _record(self, module: nn.Module, query, key, value, **options) -> torch.Tensor:
        self._prefix[module.layer_idx] = (key[:, :, : self.start].contiguous(), value[:, :, : self.start].contiguous())
        return attention(module, query, key, value, None, **options)

    def _attend(self, module: nn.Module, query, key, value, **options) -> torch.Tensor:
        prefix = self._prefix[module.layer_idx] if self.start else None
        patterns = (site for site in self._held | self._seen if site.part == "patterns" and site.module is module)
        site = next(patterns, None)
        visit = None if site is None else functools.partial(self._visit, site)
        return attention(module, query, key, value, prefix, visit, **options)


def _difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference of log-probabilities, in units of their spread where that is above one."""
    return float((found - expected).abs().max() / expected.std().clamp_min(1))


@torch.no_grad()
def full_forward(
    model: LanguageModel, tokens: torch.Tensor, hook_name: str, points: torch.Tensor, batch_size: int = 32
) -> torch.Tensor:
    """Logits [n_points, d_vocab] of one prompt [seq_len] with its last position patched, by whole forward passes.

    This is what code without an engine does; it is here as the reference that the engine is compared with.
    """
    found = []
    for part in points.to(model.device).split(batch_size):

        def patch(stream: torch.Tensor, hook, part=part) -> torch.Tensor:
            return torch.cat([stream[:, :-1], part.unsqueeze(1)], 1)

        rows = tokens.to(model.device).expand(len(part), -1)
        found.append(model.bridge.run_with_hooks(rows, fwd_hooks=[(hook_name, patch)])[:, -1])
    return torch.cat(found)
