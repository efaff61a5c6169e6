"""Results as labelled netCDF files that say what made them; computed once, resumed after an interruption."""

import ast
import datetime
import functools
import hashlib
import importlib.metadata
import inspect
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from tqdm import tqdm

from . import __version__
from .errors import ResultError
from .files import PROJECT, file_name, replacing

USED = "PLATEAUS_USED_RESULTS"
"""Environment variable with the file in which a chapter's kernel lists the results that it asks for."""

LIBRARIES = ("torch", "transformers", "transformer-lens", "datasets", "numpy")


def results_folder(results_dir: str) -> Path:
    """A folder given relative to the checkout, or absolute, or below the home folder (`~`).

    Raises:
        ResultError: it is empty, or a file.
    """
    folder = PROJECT / Path(results_dir).expanduser()
    if not results_dir.strip() or folder.is_file():
        raise ResultError(f"results_dir is '{results_dir}', which is no folder; name one for the results.")
    return folder


PACKAGE = Path(__file__).parent
_SOURCES = {path: path.read_bytes() for path in sorted(PACKAGE.rglob("*.py"))}
"""The package as it was imported: an edit made while it runs does not belong to what it computes."""


def code_hash(compute: Callable | None = None) -> str:
    """SHA-256 of the module that defines `compute` and of all that it imports from this package; without it, of everything."""
    modules = sorted(_SOURCES) if compute is None else sorted(_needed(Path(inspect.getfile(inspect.unwrap(compute)))))
    digest = hashlib.sha256()
    for path in modules:
        digest.update(_source(path))
    return digest.hexdigest()


def _source(path: Path) -> bytes:
    return _SOURCES[path] if path in _SOURCES else path.read_bytes()


@functools.cache
def _needed(module: Path) -> frozenset[Path]:
    """The module and, in turn, every module of this package that it imports."""
    found, waiting = set(), [module]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path)
    return frozenset(found)


def _imported(path: Path) -> list[Path]:
    """Modules of this package that one of its modules imports; of a package, its `__init__`."""
    found = []
    for node in ast.walk(ast.parse(_source(path))):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            folder = path.parents[node.level - 1]
        elif (node.module or "").split(".")[0] == PACKAGE.name:
            folder = PACKAGE.parent
        else:
            continue
        base = folder.joinpath(*(node.module or "").split("."))
        names = [base, *(base / alias.name for alias in node.names)]
        found += [
            file for name in names for file in (name.with_suffix(".py"), name / "__init__.py") if file in _SOURCES
        ]
    return found


def versions() -> dict[str, str]:
    """What ran: Python, the machine's architecture, this package and the libraries that compute."""
    found = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), "machine": platform.machine(), "plateaus_utils": __version__, **found}


def resumed(
    folder: Path,
    name: str,
    settings: dict,
    n_prompts: int,
    step: int,
    compute: Callable[[slice], xr.Dataset],
    provenance: dict | None = None,
) -> xr.Dataset:
    """The result `name` under `settings`: read if it is stored, else computed in chunks of prompts and stored.

    A chunk is written as soon as it is whole, so that an interrupted run continues after its last one. A damaged or
    foreign file is reported and computed again.

    Args:
        settings: everything that determines the numbers, apart from the code; kept in the attributes.
        compute: slice of prompts -> Dataset with a `prompt` dimension (or without one, if n_prompts is step).
        provenance: what is kept there as well but determines nothing, such as names.
    """
    key = hashlib.sha256(
        json.dumps([settings, code_hash(compute), versions()], sort_keys=True, default=str).encode()
    ).hexdigest()
    path = folder / f"{file_name(name)}.nc"
    _note_use(path)
    stored = _if_current(path, key)
    if stored is not None:
        return stored
    parts_folder = folder / ".parts" / f"{path.stem}-{key[:16]}"
    parts = []
    with tqdm(total=n_prompts, desc=name, unit="prompt", disable=not sys.stderr.isatty()) as bar:
        for start in range(0, n_prompts, step):
            part_path = parts_folder / f"{start:06d}.nc"
            part = _if_current(part_path, key)
            if part is None:
                part = compute(slice(start, min(start + step, n_prompts))).assign_attrs(key=key)
                save(part, part_path)
            parts.append(part)
            bar.update(min(step, n_prompts - start))
    whole = xr.concat(parts, "prompt") if len(parts) > 1 else parts[0]
    whole.attrs = {
        "name": name,
        "key": key,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "code_sha256": code_hash(compute),
        "versions": json.dumps(versions()),
        "settings": json.dumps((provenance or {}) | settings, default=str),
    }
    save(whole, path)
    shutil.rmtree(parts_folder, ignore_errors=True)
    return whole


def _note_use(path: Path) -> None:
    """Tell the driver, if there is one, that the chapter in this kernel shows this result."""
    if noted := os.environ.get(USED):
        with open(noted, "a", encoding="utf-8") as file:
            file.write(f"{path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path}\n")


def _if_current(path: Path, key: str) -> xr.Dataset | None:
    """The stored Dataset if it is whole and made under the same key."""
    if not path.is_file():
        return None
    try:
        stored = load(path)
    except ResultError as error:
        print(f"{error} It is computed again.", file=sys.stderr)
        return None
    return stored if stored.attrs.get("key") == key else None


def save(dataset: xr.Dataset, path: Path) -> None:
    """Write a Dataset with a checksum of its content, under a temporary name first.

    Raises:
        ResultError: no space is left, or the folder cannot be written.
    """
    # Through memory: the HDF5 library calls a full disk an "HDF error" without a number.
    content = dataset.assign_attrs(content_sha256=_content_hash(dataset)).to_netcdf(engine="netcdf4")
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load(path: Path) -> xr.Dataset:
    """Read a Dataset that `save` wrote.

    Raises:
        ResultError: the file is absent, damaged, or not a result of this package.
    """
    try:
        dataset = xr.load_dataset(path, engine="netcdf4")
    except FileNotFoundError as error:
        raise ResultError(f"There is no result file {path.name}; run the chapter that makes it.") from error
    except Exception as error:  # the HDF5 library reports damage in many ways
        raise ResultError(
            f"The result file {path.name} is damaged or no netCDF file ({type(error).__name__})."
        ) from error
    checksum = dataset.attrs.pop("content_sha256", None)
    if checksum is None:
        raise ResultError(f"The file {path.name} was not written by this package.")
    if checksum != _content_hash(dataset):
        raise ResultError(f"The result file {path.name} is damaged: its content does not match its checksum.")
    return dataset.assign_coords({name: c.astype(str) for name, c in dataset.coords.items() if c.dtype == object})


def newest(folder: Path) -> str:
    """When the newest result of a folder was computed, or "never"."""
    times = [
        load(path).attrs.get("created", "") for path in folder.glob("*.nc") if not path.name.startswith("activations")
    ]
    return max(times, default="never")


def _content_hash(dataset: xr.Dataset) -> str:
    digest = hashlib.sha256()
    for name in sorted(dataset.variables):
        variable = dataset.variables[name]
        digest.update(f"{name}{variable.dims}{variable.shape}".encode())
        values = variable.values
        if values.dtype.kind in "OUT":
            digest.update("\0".join(values.astype(str).ravel()).encode())
        else:
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
