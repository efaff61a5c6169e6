"""Name or path -> language model: a TransformerLens bridge, the plain network that the engine runs, and what they are.

Names are those of embedded models (see `embedded`), hub ids, local Hugging Face folders, or GGUF files.
"""

import copy
import dataclasses
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from .arguments import check
from .conversion import fingerprint, gguf_folder, quiet
from .embedded import EMBEDDED, EMBEDDED_MODELS, TINY, embedded_folder, tiny_folder
from .errors import ModelError, first_line

DESCRIPTIONS = {
    **{name: model.description for name, model in EMBEDDED_MODELS.items()},
    TINY: "a tiny GPT-2 with random weights (for checking the software, not a finding)",
}

PUBLISHED_INITIALIZER_RANGE = {EMBEDDED: 1 / math.sqrt(576)}
"""Standard deviation of fresh weights that a model's authors publish, where the configuration states another one.

The configuration published with SmolLM2-135M :cite:`allal2025smollm2` says 0.041667 = 1/sqrt(d_model); the GGUF file
does not carry it, and the converted configuration falls back on the library's 0.02."""

_HOOK = re.compile(r"blocks\.(\d+)\.hook_resid_(pre|post)")


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A causal language model, held as two functionally equivalent networks.

    `bridge` is the reference: TransformerLens hook names, weights processed as `processing` says. `core` is the plain
    Hugging Face network, which the engine continues from patched activations. Where the processing centres the
    residual stream, `core` writes the same activations plus a constant over the hidden dimensions, which a LayerNorm
    model cannot see.
    """

    name: str
    bridge: TransformerBridge
    core: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    processing: str
    centred: bool
    """Whether activations are given with zero mean over the hidden dimensions; see `canonical`."""
    revision: str
    """Hub commit, or a hash of the files that hold the weights."""

    @property
    def description(self) -> str:
        return DESCRIPTIONS.get(self.name, self.name)

    @property
    def normalization(self) -> str:
        """LayerNorm or RMSNorm."""
        return "RMSNorm" if self.bridge.cfg.uses_rms_norm else "LayerNorm"

    @property
    def d_model(self) -> int:
        return self.bridge.cfg.d_model

    @property
    def n_layers(self) -> int:
        return self.bridge.cfg.n_layers

    @property
    def n_ctx(self) -> int:
        return self.bridge.cfg.n_ctx

    @property
    def device(self) -> torch.device:
        return self.core.device

    @property
    def dtype(self) -> torch.dtype:
        return self.core.dtype

    @property
    def default_hook(self) -> str:
        """Where the report perturbs, and where every model is perturbed by default: the input of the second block."""
        return "blocks.1.hook_resid_pre"

    @property
    def read_offs(self) -> dict[str, str]:
        """Where effects are read: hooks of the last block's output, the normalized final stream, and the logits."""
        return {
            "resid_post": f"blocks.{self.n_layers - 1}.hook_resid_post",
            "normalized": "ln_final.hook_normalized",
            "logits": "unembed.hook_out",
        }

    def canonical(self, stream: torch.Tensor) -> torch.Tensor:
        """Residual stream [..., d_model] without its mean over the hidden dimensions, where the model is centred.

        A LayerNorm cannot see that mean. TransformerLens takes it out of the writing weights of most architectures; BLOOM,
        Nemotron and XGLM keep some of it.
        """
        return stream - stream.mean(-1, keepdim=True) if self.centred else stream

    def layer_of(self, hook_name: str) -> int:
        """Index of the block that reads the stream at `hook_name`; n_layers means the final norm reads it.

        Raises:
            ModelError: the hook is no point of the residual stream between blocks, or the layer does not exist.
        """
        match = _HOOK.fullmatch(hook_name)
        if match is None:
            raise ModelError(
                f"The hook '{hook_name}' is no place to perturb; use blocks.LAYER.hook_resid_pre or "
                f"blocks.LAYER.hook_resid_post with LAYER from 0 to {self.n_layers - 1}."
            )
        layer = int(match[1])
        if layer >= self.n_layers:
            raise ModelError(f"The hook '{hook_name}' does not exist: {self.name} has layers 0 to {self.n_layers - 1}.")
        return layer + (match[2] == "post")


def load_model(name: str = EMBEDDED, device: str = "auto", dtype: str = "float32") -> LanguageModel:
    """Load a causal language model with its tokenizer.

    Args:
        name: `smollm2-135m-instruct` or `gemma-3-270m` (embedded), `tiny-random-gpt2` (for checks), a local Hugging Face
            folder, a GGUF file (converted once, and named by its file name), or a hub id such as `openai-community/gpt2`.
        device: `auto` (an accelerator where there is one), or `cpu`, `cuda`, `mps` or `xpu`, also with a number (`cuda:1`).
        dtype: `float32`, `float64`, `bfloat16` or `float16`; the last two have a noise floor that the caller must show.

    Returns:
        The model in evaluation mode, without gradients on its weights. LayerNorm models carry TransformerLens' weight
        processing (LayerNorm folded, writing weights and unembedding centred) in `bridge`; RMSNorm models are left as
        they are, because an RMSNorm sees the mean over the hidden dimensions and centring would change the function.

    Raises:
        ParameterError: an argument is of the wrong type, or `device` or `dtype` is none of these.
        ModelError: the model is unknown, cannot be reached or read, or is not supported; or the device is not here.

    Example:
        >>> import plateaus_utils as pu
        >>> model = pu.load_model("tiny-random-gpt2", device="cpu")
        >>> model.n_layers, model.d_model, model.default_hook
        (4, 32, 'blocks.1.hook_resid_pre')
    """
    check(model=name, device=device, dtype=dtype)
    precision, place = getattr(torch, dtype), _device(device)
    folder = local_folder(name)
    if _is_gguf(name):
        name = Path(name).name
    _require_causal(name, folder)
    network, tokenizer = _read(name, folder, precision)
    network.to(place)
    revision = fingerprint(folder) if folder else getattr(network.config, "_commit_hash", None) or "unknown"
    return _assemble(name, network, tokenizer, revision)


def untrained(model: LanguageModel, initializer_range: float, seed: int = 0) -> LanguageModel:
    """The same architecture with fresh weights, by its own initialization with standard deviation `initializer_range`."""
    config = copy.deepcopy(model.core.config)
    config.initializer_range = initializer_range
    config._attn_implementation = "eager"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = AutoModelForCausalLM.from_config(config, dtype=model.dtype)
    fresh = _assemble(model.name, network.to(model.device), model.tokenizer, f"fresh weights, seed {seed}")
    return dataclasses.replace(fresh, name=f"{model.name}, untrained (initializer range {initializer_range:.4f})")


def initializer_ranges(model: LanguageModel) -> dict[str, float]:
    """Standard deviations of fresh weights: as the configuration states it, and as the model's authors publish it."""
    stated = model.core.config.initializer_range
    return {"configured": stated, "published": PUBLISHED_INITIALIZER_RANGE.get(model.name, stated)}


def local_folder(name: str) -> Path | None:
    """The Hugging Face folder behind `name`, made if it is embedded, the tiny model or a GGUF file; None for a hub id."""
    if name in EMBEDDED_MODELS:
        return embedded_folder(name)
    if name == TINY:
        return tiny_folder()
    if _is_gguf(name):
        return gguf_folder(Path(name).expanduser())
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")):
        raise ModelError(f"There is no folder '{name}'; give a Hugging Face folder, a hub id, or '{EMBEDDED}'.")
    return None


def _is_gguf(name: str) -> bool:
    return name.lower().endswith(".gguf") and not Path(name).expanduser().is_dir()


def _require_causal(name: str, folder: Path | None) -> None:
    """Refuse what is no causal language model of text by its configuration alone, before any weights are read.

    Neither the network nor TransformerLens is asked: for some of these architectures its bridge installs packages.

    Raises:
        ModelError: the configuration cannot be read, or is of a kind that the engine cannot continue.
    """
    try:
        config = AutoConfig.from_pretrained(folder or name, trust_remote_code=False)
    except Exception as error:  # transformers and huggingface_hub raise a dozen unrelated types here
        raise _unreadable(name, folder, error) from error
    architectures = ", ".join(config.architectures or [type(config).__name__])
    kinds = {
        "an encoder-decoder": config.is_encoder_decoder,
        "multi-modal": any(hasattr(config, part) for part in ("vision_config", "audio_config"))
        or "ForConditionalGeneration" in architectures,
        "encoder-only": type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False),
        "quantized": getattr(config, "quantization_config", None) is not None,
        "no causal language model": type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING,
        "of two widths (word_embed_proj_dim is not hidden_size)": getattr(config, "word_embed_proj_dim", None)
        not in (None, getattr(config, "hidden_size", None)),
    }
    for kind, found in kinds.items():
        if found:
            raise ModelError(
                f"The model '{name}' ({architectures}) is {kind}; give a decoder-only causal language model of text with "
                "weights in floating point."
            )


def _read(name: str, folder: Path | None, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Weights and tokenizer as transformers reads them, with its many errors turned into one."""
    try:
        network, loaded = AutoModelForCausalLM.from_pretrained(
            folder or name,
            dtype=dtype,
            attn_implementation="eager",
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(folder or name, trust_remote_code=False)
        if len(tokenizer) < 2:  # what some tokenizer classes make of no files at all
            raise ValueError("the tokenizer has no vocabulary")
    except Exception as error:  # as above
        raise _unreadable(name, folder, error) from error
    # What the file lacks, transformers fills with random numbers.
    for what, tensors in (
        ("lack", loaded["missing_keys"]),
        ("hold, beside what the configuration names,", loaded["unexpected_keys"]),
        ("hold in another shape", [key for key, *_ in loaded["mismatched_keys"]]),
    ):
        if tensors:
            raise ModelError(
                f"The weights of '{name}' {what} {len(tensors)} tensors (first: {min(tensors)}); give a complete checkpoint "
                "that fits its config.json."
            )
    n_embedded = network.get_input_embeddings().num_embeddings
    if len(tokenizer) > n_embedded:
        raise ModelError(
            f"The tokenizer of '{name}' has {len(tokenizer)} tokens, but its embedding has {n_embedded} rows; save the "
            "tokenizer that belongs to the model."
        )
    return network, tokenizer


def _unreadable(name: str, folder: Path | None, error: Exception) -> ModelError:
    if folder is not None:
        return ModelError(
            f"The folder '{name}' holds no causal language model with a tokenizer that transformers "
            f"can read ({first_line(error)}); save both there with save_pretrained."
        )
    return ModelError(
        f"The model '{name}' is no embedded model or local folder, and the Hugging Face hub did not give "
        f"it ({first_line(error)}); connect once (HF_HOME, HF_HUB_OFFLINE and HF_TOKEN say where and "
        f"how), pass a local folder, or use the embedded '{EMBEDDED}'."
    )


def _device(device: str) -> torch.device:
    if device == "auto":
        return torch.accelerator.current_accelerator() or torch.device("cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # not on this machine
        raise ModelError(f"There is no device '{device}' here; use auto, cpu, cuda or mps.") from error


def _assemble(name: str, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, revision: str) -> LanguageModel:
    """Wrap `network` in a bridge and keep a plain copy for the engine, sharing tensors where nothing changes them."""
    network.eval().requires_grad_(False)
    tensors = [*network.parameters(), *network.buffers()]
    shared = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    try:
        with quiet(None):  # it knows some of our names as old ones of its own
            bridge = TransformerBridge.boot_transformers(
                name, hf_model=network, tokenizer=copy.deepcopy(tokenizer), device=network.device, dtype=network.dtype
            )
    except Exception as error:  # the bridge raises several types for architectures it does not know
        raise ModelError(f"TransformerLens has no bridge for '{name}' ({first_line(error)}).") from error
    if lacking := {"blocks", "ln_final"} - set(bridge.real_components):
        raise ModelError(
            f"The model '{name}' has no {' and no '.join(sorted(lacking))}, by TransformerLens' names; give one whose blocks "
            "write into a residual stream that a final norm reads."
        )
    bridge.requires_grad_(False)
    if bridge.cfg.uses_rms_norm:
        return LanguageModel(name, bridge, shared, tokenizer, "none (RMSNorm)", False, revision)
    core = copy.deepcopy(shared)
    with quiet(None):
        bridge.enable_compatibility_mode(disable_warnings=True)
    bridge.requires_grad_(False)  # the processing makes new weights
    return LanguageModel(
        name,
        bridge,
        core,
        tokenizer,
        "LayerNorm folded, writing weights and unembedding centred (TransformerLens)",
        True,
        revision,
    )


def describe(model: LanguageModel) -> dict[str, str]:
    """What made a result, as strings for its attributes."""
    return {
        "model": model.name,
        "model_description": model.description,
        "model_revision": model.revision,
        "weight_processing": model.processing,
        "normalization": model.normalization,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "architecture": json.dumps(model.core.config.architectures or [type(model.core).__name__]),
    }
