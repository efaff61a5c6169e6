"""Atomic writes, names for files, hashes of what files and folders hold, and which files a parameter names."""

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ModelError, ResultError

_PACKAGE = Path(__file__).resolve().parent
_IN_CHECKOUT = (_PACKAGE.parent / "_toc.yml").is_file()

PROJECT = _PACKAGE.parent if _IN_CHECKOUT else Path()
"""What relative result folders belong to: the checkout, or the working folder if the package is installed without one."""

DATA = PROJECT if _IN_CHECKOUT else _PACKAGE / "data"
"""Where `saes/` and `profiles/` are: at the top of the checkout; the wheel carries them inside the package."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds, remove it otherwise.

    The block may create a file or a folder there. An existing folder at `path` is kept (it is whole, because only
    this function makes it), an existing file is replaced.

    Raises:
        ResultError: no space is left, or the folder cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        yield temporary / path.name
        if path.is_dir():
            return
        os.replace(temporary / path.name, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResultError(
                f"No space is left to write {path.name} in {path.parent}; free some and run the same "
                "command again, finished parts are kept."
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS):
            raise ResultError(
                f"The folder {path.parent} cannot be written; choose another one or change its permissions."
            ) from error
        raise
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def file_name(text: str) -> str:
    """Any text as the name of one file: other characters become `_`, and a hash tells apart what then looks the same."""
    safe = re.sub(r"[^\w.,=-]+", "_", text)[:80]
    return safe if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def content_hash(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files below a folder."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path)}\0".encode())
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def members(corpus: str) -> list[str]:
    """The corpora that a `+`-joined list names; a file or folder that exists is one, whatever its name holds."""
    return [corpus] if Path(corpus).expanduser().exists() else corpus.split("+")


def cache_folder() -> Path:
    """Where converted models are kept: PLATEAUS_CACHE, or `plateaus` in the user's cache folder.

    Raises:
        ModelError: PLATEAUS_CACHE is empty, or names a file.
    """
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "plateaus"
    named = os.environ.get("PLATEAUS_CACHE", str(default))
    folder = Path(named).expanduser()
    if not named or folder.is_file():
        raise ModelError(f"PLATEAUS_CACHE is '{named}', which is no folder; name one, or unset it.")
    return folder
