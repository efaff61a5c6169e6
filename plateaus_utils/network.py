"""The plain network under the engine: entered at any block, left before the final norm, with the engine's own attention.

One attention function, registered with transformers, takes the place of the library's while a run of the engine lasts, in every
architecture that uses the library's attention interface.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface

from .models import LanguageModel

_INTERFACE = "plateaus_suffix"
_current = None


def _interface(module, query, key, value, attention_mask, scaling=None, softcap=None, sliding_window=None, **_):
    """What transformers calls in place of its own attention while a suffix runs."""
    return _current(module, query, key, value, scaling=scaling, softcap=softcap, sliding_window=sliding_window), None


AttentionInterface.register(_INTERFACE, _interface)
AttentionMaskInterface.register(_INTERFACE, lambda *_, **__: None)


class Network:
    """The plain Hugging Face network of a model, with a way in at any block and a way out before the final norm."""

    def __init__(self, model: LanguageModel):
        places = model.bridge.real_components
        self.core = model.core
        self.blocks = self.core.get_submodule(places["blocks"][0])
        self.final_norm = self.core.get_submodule(places["ln_final"][0])
        self.parameters = inspect.signature(self.core.forward).parameters

    def run(self, stream: torch.Tensor, layer: int, start: int, attention) -> tuple[torch.Tensor, torch.Tensor]:
        """Send rows [rows, r, d_model] through blocks `layer` on; the last position's logits and last block's output."""
        found = []
        entry = self.blocks[layer] if layer < len(self.blocks) else self.final_norm
        with ExitStack() as stack:
            stack.enter_context(self._attention(attention))
            for block in self.blocks[:layer]:
                stack.enter_context(_skipped(block, self.returns_tuple))
            stack.enter_context(hooked(entry, lambda _: stream))
            stack.enter_context(hooked(self.final_norm, lambda resid: found.append(resid[:, -1])))
            positions = torch.arange(start, start + stream.shape[1], device=stream.device).unsqueeze(0)
            embeds = torch.zeros_like(stream[..., : self.core.get_input_embeddings().embedding_dim])
            logits = self._forward(inputs_embeds=embeds, position_ids=positions, logits_to_keep=1)
        return logits[:, -1], found[0]

    def run_tokens(self, tokens: torch.Tensor, layer: int, recorded: list, attention) -> None:
        """The clean run; appends the stream [n, seq_len, d_model] that the block `layer` (or the final norm) reads."""
        entry = self.blocks[layer] if layer < len(self.blocks) else self.final_norm
        outputs = []
        handle = self.blocks[0].register_forward_hook(lambda _, __, output: outputs.append(isinstance(output, tuple)))
        with handle, self._attention(attention), hooked(entry, lambda resid: recorded.append(resid)):
            self._forward(input_ids=tokens, logits_to_keep=1)
        self.returns_tuple = outputs[0]

    def _forward(self, **inputs) -> torch.Tensor:
        accepted = {name: value for name, value in inputs.items() if name in self.parameters}
        return self.core(**accepted, use_cache=False).logits

    @contextmanager
    def _attention(self, function) -> Iterator[None]:
        """Let `function` compute attention while the block runs, where the architecture asks the library for it."""
        global _current
        config = self.core.config
        before, native = _current, config._attn_implementation
        _current = function
        config._attn_implementation = _INTERFACE if getattr(self.core, "_supports_attention_backend", False) else native
        try:
            yield
        finally:
            _current = before
            config._attn_implementation = native


@contextmanager
def _skipped(block: nn.Module, returns_tuple: bool) -> Iterator[None]:
    """Let a block pass its input on unchanged."""
    block.forward = lambda hidden_states, *_, **__: (hidden_states, None) if returns_tuple else hidden_states
    try:
        yield
    finally:
        del block.forward


@contextmanager
def hooked(module: nn.Module, function) -> Iterator[None]:
    """Show a module's first input to `function` before it runs, and replace it where the function returns a tensor."""

    def hook(_, args, kwargs):
        name = None if args else "hidden_states"
        given = kwargs[name] if name else args[0]
        replacement = function(given)
        if replacement is None:
            return None
        return (args, {**kwargs, name: replacement}) if name else ((replacement, *args[1:]), kwargs)

    with module.register_forward_pre_hook(hook, with_kwargs=True):
        yield


def normalized(model: LanguageModel, resid: torch.Tensor) -> torch.Tensor:
    """`ln_final.hook_normalized` from the last block's output."""
    if model.normalization == "LayerNorm":
        resid = resid - resid.mean(-1, keepdim=True)
    return resid / (resid.square().mean(-1, keepdim=True) + model.bridge.cfg.eps).sqrt()


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    prefix: tuple[torch.Tensor, torch.Tensor] | None,
    visit: Callable[[torch.Tensor], torch.Tensor | None] | None = None,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
) -> torch.Tensor:
    """Causal attention of rows over a prefix that groups of consecutive rows share, and over themselves.

    Shapes: query [rows, n_heads, r, d_head]; key [rows, n_kv_heads, r, d_head]; value [rows, n_kv_heads, r, d_value]; prefix
    tensors [n_prompts, n_kv_heads, p, ...] with rows a multiple of n_prompts. `visit` sees the weights, and may replace
    them. Returns [rows, r, n_heads, d_value].
    """
    rows, n_heads, r, d_head = query.shape
    n_kv, d_value = key.shape[1], value.shape[-1]
    shared = n_heads // n_kv
    query = query.reshape(rows, n_kv, shared * r, d_head)
    scores = [query @ key.transpose(-1, -2)]
    values = [value]
    if prefix is not None:
        n_prompts, _, p, _ = prefix[0].shape
        # Rows of one prompt side by side, so that the shared keys are multiplied once and never copied.
        together = query.view(n_prompts, -1, n_kv, shared * r, d_head).transpose(1, 2).flatten(2, 3)
        past = together @ prefix[0].transpose(-1, -2)
        past = past.view(n_prompts, n_kv, -1, shared * r, p).transpose(1, 2).flatten(0, 1)
        scores.insert(0, past)
        values.insert(0, prefix[1])
    weights = torch.cat(scores, -1) * (d_head**-0.5 if scaling is None else scaling)
    if softcap is not None:
        weights = softcap * torch.tanh(weights / softcap)
    hidden = _hidden_keys(r, weights.shape[-1], sliding_window, query.device)
    if hidden is not None:
        weights = weights.masked_fill(hidden.repeat(shared, 1), -torch.inf)
    weights = weights.float().softmax(-1).to(query.dtype)
    held = None if visit is None else visit(weights)
    weights = weights if held is None else held
    out = weights[..., -r:] @ value
    if prefix is not None:
        past = weights[..., :p].view(n_prompts, -1, n_kv, shared * r, p).transpose(1, 2).flatten(2, 3)
        past = (past @ prefix[1]).view(n_prompts, n_kv, -1, shared * r, d_value).transpose(1, 2)
        out = out + past.reshape(out.shape)
    return out.view(rows, n_heads, r, d_value).transpose(1, 2)


def _hidden_keys(r: int, n_keys: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    """[r, n_keys] where a key lies in the future of its query or behind its sliding window; None if none does."""
    if r == 1 and (window is None or n_keys <= window):
        return None
    query_place = torch.arange(n_keys - r, n_keys, device=device)[:, None]
    key_place = torch.arange(n_keys, device=device)[None]
    hidden = key_place > query_place
    return hidden if window is None else hidden | (key_place <= query_place - window)
