"""Inside the blocks: where the stream can be read, and the values of a run that another run can be held to.

A block of these networks adds its attention's output to the stream, then its MLP's. Five parts of it can be recorded and held:

- `gates`: what an MLP multiplies its linear part by: the activated gate of a gated MLP, act(h)/h of a plain one.
- `patterns`: the attention weights.
- `scales`: what the norms divide the stream by; the final norm counts as a block of its own, after the last.
- `attention`, `MLPs`: the outputs of the two.

With gates, patterns and scales held, a block is an affine function of the stream.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from .errors import ModelError, ParameterError
from .models import LanguageModel

PARTS = ("gates", "patterns", "scales", "attention", "MLPs")
COEFFICIENTS = PARTS[:3]
"""The parts that make a block nonlinear."""


@dataclass(frozen=True, eq=False)
class Site:
    """A value in a network, as a function of what a module reads and writes; the rows of a batch come first in it."""

    part: str
    block: int
    module: nn.Module
    read: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """(input, output) -> value"""
    write: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
    """(input, output, value) -> output with that value"""


Values = dict[Site, torch.Tensor]
"""Recorded values [n_prompts, n_points, ...]; to hold a run to some, NaN leaves an element free."""

Visit = Callable[[Site, torch.Tensor], torch.Tensor | None]
"""What is called with each value while the network runs; a value that it returns takes the other's place."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The blocks of a network of which the parts are known; see `anatomy`."""

    sites: tuple[Site, ...]
    after_attention: tuple[nn.Module, ...]
    """[n_layers] norms that read the stream after each block's attention."""
    after_mlp: tuple[nn.Module, ...]
    """[n_layers] norms that read the stream after each block's MLP: the next block's first, or the final one."""

    def taps(self, layer: int) -> list[nn.Module]:
        """Norms that read the stream after each attention and each MLP of the blocks from `layer` on, in turn."""
        pairs = zip(self.after_attention[layer:], self.after_mlp[layer:], strict=True)
        return [norm for pair in pairs for norm in pair]

    def select(self, parts: Sequence[str], blocks: Sequence[int]) -> list[Site]:
        """The sites of some parts in some blocks.

        Raises:
            ParameterError: there is no such part.
        """
        if unknown := set(parts) - set(PARTS):
            raise ParameterError(
                f"There is no part {', '.join(map(repr, sorted(unknown)))}; choose from {', '.join(PARTS)}."
            )
        return [site for site in self.sites if site.part in parts and site.block in blocks]


@contextmanager
def visited(sites: Sequence[Site], visit: Visit) -> Iterator[None]:
    """Let `visit` see, and replace, the values of sites while the network runs; `patterns` are left to the engine."""

    def hook(site: Site, _, args, kwargs, output):
        given = args[0] if args else kwargs["hidden_states"]
        first = output[0] if isinstance(output, tuple) else output
        value = visit(site, site.read(given, first))
        if value is None:
            return None
        replaced = site.write(given, first, value)
        return (replaced, *output[1:]) if isinstance(output, tuple) else replaced

    with ExitStack() as stack:
        for site in sites:
            if site.part != "patterns":
                stack.enter_context(site.module.register_forward_hook(functools.partial(hook, site), with_kwargs=True))
        yield


# Two shapes of blocks -----------------------------------------------------------------------------------------------

LLAMA = ("input_layernorm", "self_attn", "post_attention_layernorm", "mlp.act_fn", "mlp.gate_proj")
GPT2 = ("ln_1", "attn", "ln_2", "mlp.act", "mlp.c_fc")


@functools.cache
def anatomy(model: LanguageModel) -> Anatomy:
    """The parts of a network whose blocks are shaped like Llama's or GPT-2's.

    Raises:
        ModelError: they are not, or the engine does not compute its attention.
    """
    places = model.bridge.real_components
    blocks = model.core.get_submodule(places["blocks"][0])
    final_norm = model.core.get_submodule(places["ln_final"][0])
    known = all(any(map(functools.partial(_has_all, block), (LLAMA, GPT2))) for block in blocks)
    softcap = getattr(model.core.config, "final_logit_softcapping", None)
    if not known or softcap or not getattr(model.core, "_supports_attention_backend", False):
        raise ModelError(
            f"The blocks of {model.name} are shaped neither like Llama's nor like GPT-2's, so that their parts are unknown; "
            "use a model of those families."
        )
    gated = _has_all(blocks[0], LLAMA)
    first, attention, second, activation, _ = LLAMA if gated else GPT2
    if hasattr(blocks[0], "pre_feedforward_layernorm"):  # a Llama with norms after its parts as well
        second = "pre_feedforward_layernorm"
    sites = [_scale(len(blocks), final_norm)]
    for i, block in enumerate(blocks):
        module = block.get_submodule(attention)
        sites += [_output("patterns", i, module), _output("attention", i, module), _output("MLPs", i, block.mlp)]
        sites += [_gate(i, block.get_submodule(activation), gated)]
        sites += [_scale(i, child) for child in block.children() if "Norm" in type(child).__name__]
    starts = [*(block.get_submodule(first) for block in blocks[1:]), final_norm]
    return Anatomy(tuple(sites), tuple(block.get_submodule(second) for block in blocks), tuple(starts))


def _has_all(block: nn.Module, names: Sequence[str]) -> bool:
    """Whether a block has submodules of all these names."""
    found = dict(block.named_modules())
    return all(name in found for name in names)


def _output(part: str, block: int, module: nn.Module) -> Site:
    return Site(part, block, module, lambda _, output: output, lambda _, __, value: value)


def _gate(block: int, activation: nn.Module, gated: bool) -> Site:
    if gated:
        return _output("gates", block, activation)

    def share(given: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        near = given.abs() < 1e-4
        # At zero act(h)/h has a limit, its slope, but no value. `forward` runs no hook, as a call would.
        up, down = (activation.forward(torch.full_like(given, side)) for side in (1e-3, -1e-3))
        limit = (up - down) / 2e-3
        return torch.where(near, limit, output / torch.where(near, 1.0, given))

    return Site("gates", block, activation, share, lambda given, _, value: value * given)


def _scale(block: int, norm: nn.Module) -> Site:
    centres = isinstance(norm, nn.LayerNorm)
    eps = next(getattr(norm, name) for name in ("variance_epsilon", "eps") if hasattr(norm, name))

    def scale(given: torch.Tensor, _) -> torch.Tensor:
        centred = given - given.mean(-1, keepdim=True) if centres else given
        return (centred.square().mean(-1, keepdim=True) + eps).sqrt()

    def rescaled(given: torch.Tensor, output: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        shift = norm.bias if centres else 0
        return (output - shift) * (scale(given, output) / value) + shift

    return Site("scales", block, norm, scale, rescaled)
