"""GGUF file -> an ordinary Hugging Face folder in the cache, made once and checked whenever it is used."""

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gguf
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from .errors import ModelError, first_line
from .files import cache_folder, content_hash, replacing

RECORD = "sha256.txt"
"""In a converted folder: its fingerprint at the time of the conversion."""


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


def gguf_folder(path: Path) -> Path:
    """The user's GGUF file as a Hugging Face folder, converted first if no file of the same content has been.

    Raises:
        ModelError: there is no such file, or what `converted` raises.
    """
    if not path.is_file():
        raise ModelError(f"There is no file '{path}'; give a GGUF file, a Hugging Face folder, or a model's name.")
    return converted(cache_folder() / f"gguf-{content_hash(path)}", lambda: path)


def converted(folder: Path, source: Callable[[], Path]) -> Path:
    """`folder`, made first if it is not there out of the GGUF file that `source` gives.

    Raises:
        ModelError: the file cannot be converted, see `convert_gguf`; or the folder was changed since it was made.
    """
    if folder.is_dir() and not (folder / RECORD).is_file():
        shutil.rmtree(folder)  # an older version recorded no hash, so nothing says that it is whole
    if not folder.is_dir():
        path = source()
        with replacing(folder) as temporary:
            convert_gguf(path, temporary)
            (temporary / RECORD).write_text(fingerprint(temporary) + "\n")
    if fingerprint(folder) != (folder / RECORD).read_text().strip():
        raise ModelError(f"The converted model in {folder} is damaged; delete that folder, and it is made again.")
    return folder


def convert_gguf(path: Path, folder: Path) -> None:
    """Dequantize a GGUF file into an ordinary Hugging Face folder (float32 safetensors, configuration, tokenizer).

    Raises:
        ModelError: the file is damaged, incomplete, of an architecture or with tensors that transformers does not read,
            or without a tokenizer.
    """
    with quiet("transformers"), _no_progress_bars():
        try:
            network, tokenizer = _read(path)
        except ModelError:
            raise
        except Exception as error:  # gguf, numpy and transformers raise a dozen unrelated types here
            raise ModelError(
                f"The file '{path.name}' holds no causal language model with a tokenizer that transformers can read "
                f"({first_line(error)}); give a whole GGUF file of an architecture that it knows."
            ) from error
        # A model loaded from GGUF refuses save_pretrained; a fresh one of the same shape does not.
        config = network.config
        del config.quantization_config
        fresh = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        fresh.load_state_dict(network.state_dict())
        fresh.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.utils.logging.enable_progress_bar()


def _read(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    reader = gguf.GGUFReader(path)
    with tempfile.TemporaryDirectory() as alone:  # else a tokenizer.json beside the file would win over the file's own
        Path(alone, "model.gguf").symlink_to(path.resolve())
        named = {"gguf_file": "model.gguf", "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(alone, **named)
        network, loaded = AutoModelForCausalLM.from_pretrained(
            alone, dtype=torch.float32, output_loading_info=True, **named
        )
    if missing := loaded["missing_keys"]:  # transformers fills them with random numbers
        raise ModelError(
            f"The file '{path.name}' lacks {len(missing)} tensors (first: {min(missing)}); give a whole one."
        )
    _require_all_read(path.name, reader, network)
    return network, tokenizer


def _require_all_read(name: str, reader: gguf.GGUFReader, network: PreTrainedModel) -> None:
    """Refuse a file that says more than the network takes from it: transformers passes over what it does not know."""
    in_file = sum(int(tensor.n_elements) for tensor in reader.tensors)
    taken = sum({tensor.data_ptr(): tensor.numel() for tensor in network.state_dict().values()}.values())
    if in_file != taken:
        raise ModelError(
            f"The file '{name}' holds {in_file:,} numbers, of which {type(network).__name__} takes {taken:,}, so it would "
            "be another model; give a Hugging Face folder of it."
        )
    architecture = reader.get_field("general.architecture").contents()
    scaling = reader.get_field(f"{architecture}.rope.scaling.type")
    if scaling is None or scaling.contents() == "none":
        return
    if (network.config.rope_parameters or {}).get("rope_type", "default") == "default":
        raise ModelError(
            f"The file '{name}' scales its rotary positions ({scaling.contents()}), which transformers does not read from "
            "GGUF; give a Hugging Face folder of it."
        )
