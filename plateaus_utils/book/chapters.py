"""Run the chapters with one set of parameters.

Each chapter that `_toc.yml` lists under `executed/` is taken from its script `notebooks/NAME.py` through papermill to
`executed/NAME.ipynb`. A chapter whose script, parameters and code have not changed is not run again. Nothing half-done is
ever in place: `executed/NAME.ipynb` exists only if that chapter ran to its end.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pandas as pd
import papermill
from filelock import FileLock, Timeout
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from .. import errors
from ..errors import BookError, ParameterError, PlateausError
from ..files import PROJECT, cache_folder, content_hash, members, replacing
from ..results import USED
from .parameters import SET_BY_DRIVER, chapters

COLLECTING = ("claims", "status")
"""Chapters that read what those listed before them left, and so are stale when one of them ran again."""


def _collected(earlier: Iterable[str], own: Path, root: Path) -> list[str | None]:
    """Keys of the chapters before a collecting one, and hashes of the claims of other runs, which it shows beside its own."""
    others = sorted(path for path in (root / "results").glob("*/claims.json") if path.parent != own)
    return [recorded(name, root).get("key") for name in earlier] + [content_hash(path) for path in others]


def chapter_key(name: str, parameters: dict[str, Any], root: Path = PROJECT, read: Iterable[str] = ()) -> str:
    """What determines the chapter.

    Its script, its parameters with the content of every file or folder that they name, the package, the registry of
    statements, the pins, and the keys of what it reads.
    """
    named = {path: content_hash(Path(path).expanduser()) for path in _named_paths(parameters)}
    digest = hashlib.sha256(json.dumps([parameters, named, *read], sort_keys=True).encode())
    package = sorted((root / "plateaus_utils").rglob("*.py"))
    registry = (root / "book").glob("claims.yaml")
    for path in (root / "notebooks" / f"{name}.py", root / "requirements.txt", *registry, *package):
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _named_paths(parameters: dict[str, Any]) -> list[str]:
    """Values of parameters, or entries of lists of them, that name an existing file or folder: a corpus, a model, an SAE."""
    given = {name: value for name, value in parameters.items() if name not in SET_BY_DRIVER}
    values = [v for value in given.values() for v in (value if isinstance(value, list) else [value])]
    named = {name for v in values if isinstance(v, str) and v for name in members(v) if name}
    return sorted(name for name in named if Path(name).expanduser().exists())


def recorded(name: str, root: Path = PROJECT) -> dict[str, Any]:
    """What the executed chapter says of itself (key, parameters, results, claims); empty if there is none or it is damaged."""
    try:
        return dict(nbformat.read(root / "executed" / f"{name}.ipynb", as_version=4).metadata.plateaus)
    except (OSError, ValueError, AttributeError, TypeError, nbformat.reader.NotJSONError):
        return {}


def is_current(name: str, key: str, root: Path = PROJECT) -> bool:
    """Whether the executed chapter has this key, and what it left beside itself is still there: results, unchanged claims."""
    record = recorded(name, root)
    return (
        record.get("key") == key
        and all((root / path).is_file() for path in record.get("results", []))
        and all(
            (root / path).is_file() and content_hash(root / path) == sha256
            for path, sha256 in record.get("claims", {}).items()
        )
    )


def source_notebook(path: Path) -> NotebookNode:
    """The percent script at `path` as an unexecuted notebook, the same at every reading."""
    nb = jupytext.read(path)
    nb.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    number_cells(nb)
    return nb


def execute(source: Path, parameters: dict[str, Any], run_dir: Path, cwd: Path = PROJECT) -> NotebookNode:
    """Run the script at `source` with `parameters` in a fresh kernel and return the notebook as papermill leaves it.

    Both the unexecuted notebook and what has run so far are in `run_dir`, to look at when something fails.

    Raises:
        BookError: a cell raised an exception, or the kernel died.
    """
    unexecuted, output = run_dir / f"{source.stem}.ipynb", run_dir / f"{source.stem}.out.ipynb"
    with replacing(unexecuted) as temporary:
        nbformat.write(source_notebook(source), temporary)
    progress = sys.stderr if sys.stderr.isatty() else None
    try:
        return papermill.execute_notebook(
            unexecuted, output, parameters=parameters, kernel_name="python3", language="python", cwd=cwd,
            progress_bar=False, stderr_file=progress, start_timeout=120,
            extra_arguments=["--log-level=CRITICAL"],  # else each kernel warns that it runs over TCP
        )  # fmt: skip
    except PapermillExecutionError as error:
        reason = error.evalue
        if not _is_ours(error.ename):
            reason = f"cell {error.cell_index} raised {error}"
        raise BookError(f"{source.stem}: {reason.strip()}") from error
    except DeadKernelError as error:
        raise BookError(f"{source.stem}: its kernel died, most likely for want of memory.") from error


def _is_ours(error_name: str) -> bool:
    kind = getattr(errors, error_name, None)
    return isinstance(kind, type) and issubclass(kind, PlateausError)


def finalise(nb: NotebookNode, **record: Any) -> NotebookNode:
    """Make an executed notebook fit to be a page, byte for byte the same after every run.

    Everything that depends on the moment (timing, random ids, progress bars, widget state) goes. The alternative
    text that a figure carries in its output moves to where myst-nb looks for it. `record` is kept in the metadata.

    Raises:
        BookError: a figure without alternative text, or two figures in one cell.
    """
    nb.metadata = {key: nb.metadata[key] for key in ("kernelspec", "language_info") if key in nb.metadata}
    nb.metadata["plateaus"] = record
    number_cells(nb)
    for cell in nb.cells:
        for timing in ("papermill", "execution"):
            cell.metadata.pop(timing, None)
        tags = cell.metadata.pop("tags", [])
        if "injected-parameters" in tags:
            tags.append("hide-input")
            cell.metadata["mystnb"] = {"code_prompt_show": "Parameters of this run"}
        if tags:
            cell.metadata["tags"] = tags
        if cell.cell_type == "code":
            cell.outputs = list(_lasting(cell.outputs))
            _move_alt_text(cell)
    return nb


def number_cells(nb: NotebookNode) -> None:
    """Give cells ids that are the same at every reading."""
    for number, cell in enumerate(nb.cells):
        cell.id = f"cell-{number:03}"


def _lasting(outputs: list[NotebookNode]) -> Iterator[NotebookNode]:
    """Outputs without widgets and stderr; printed text in one piece, however the kernel happened to cut it."""
    printed = None
    for output in outputs:
        if output.output_type == "stream":
            if output.name == "stderr":
                continue
            if printed is not None:
                printed.text += output.text
                continue
            printed = output
        elif "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
            continue
        else:
            printed = None
        yield output


def _move_alt_text(cell: NotebookNode) -> None:
    images = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    if not images:
        return
    if len(images) > 1:
        raise BookError(f"{cell.id} shows {len(images)} figures; a cell shows one, so that it can be described.")
    image = cell.metadata.setdefault("mystnb", {}).setdefault("image", {})
    alt = images[0].metadata.get("image/png", {}).pop("alt", image.get("alt"))
    if not alt:
        raise BookError(f"{cell.id} shows a figure without alternative text.")
    image["alt"] = alt


@contextmanager
def only_run(root: Path = PROJECT) -> Iterator[None]:
    """Keep every other run of the driver out of this checkout while the block runs; clear away what a killed one left.

    Raises:
        ParameterError: another run is under way.
    """
    folder = root / "_build" / "run"
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / "lock"), folder / "pid"
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        pid = owner.read_text().strip() if owner.exists() else "unknown"
        raise ParameterError(
            f"Another run (pid {pid}) uses this checkout; wait for it, or use another clone."
        ) from error
    with lock:
        owner.write_text(str(os.getpid()))
        _clear_unfinished(root)
        yield


SECONDS_OF_A_WRITE = 3600
"""Nothing takes longer to write; plain papermill and other checkouts, which no lock keeps out, may be writing."""


def _clear_unfinished(root: Path) -> None:
    """Remove temporary folders of `files.replacing` whose process was killed; where others may write, only old ones."""
    own = [root / "executed", root / "_build", root / "book" / "_vendor"]
    shared = [root / "results", cache_folder()]
    for place in (*own, *shared):
        for folder in place.rglob(".*.????????"):
            if folder.is_dir() and (place in own or time.time() - folder.stat().st_mtime > SECONDS_OF_A_WRITE):
                shutil.rmtree(folder, ignore_errors=True)


def run_chapter(name: str, parameters: dict[str, Any], key: str, root: Path = PROJECT) -> None:
    """Execute one chapter and put it in place; on failure its old version is gone as well."""
    executed = root / "executed" / f"{name}.ipynb"
    executed.unlink(missing_ok=True)
    started, since = time.perf_counter(), time.time_ns()
    with replacing(executed) as temporary:
        used = root / "_build" / "run" / f"{name}.results"
        used.unlink(missing_ok=True)
        os.environ[USED] = str(used)  # for the kernel
        try:
            nb = execute(root / "notebooks" / f"{name}.py", parameters, root / "_build" / "run", root)
        finally:
            del os.environ[USED]
        (root / parameters["results_dir"]).mkdir(parents=True, exist_ok=True)  # also for a chapter that keeps nothing
        record = {"results": _shown(used), "claims": _written_claims(root / parameters["results_dir"], since, root)}
        try:
            finalise(nb, key=key, profile=parameters["profile"], parameters=parameters, **record)
        except BookError as error:
            raise BookError(f"{name}: {error}") from error
        nbformat.write(nb, temporary)
    seconds = time.perf_counter() - started
    _note_status(name, parameters["profile"], parameters.get("device", ""), seconds, root)
    print(f"{name:<28} {seconds:7.1f} s", flush=True)


def _shown(used: Path) -> list[str]:
    """The results that a chapter asked for, but for stored activations, which are large and quickly made again."""
    lines = used.read_text(encoding="utf-8").splitlines() if used.exists() else []
    return sorted({line for line in lines if not Path(line).name.startswith("activations")})


def _written_claims(folder: Path, since: int, root: Path) -> dict[str, str]:
    """The claims that a chapter wrote after the time `since` (ns), each with its hash."""
    files = sorted(file for file in (folder / "claims").glob("*.json") if file.stat().st_mtime_ns >= since)
    return {str(file.relative_to(root)): content_hash(file) for file in files}


def _status(root: Path) -> dict[str, dict]:
    """How each chapter ran last; empty where nothing is known, or the file is damaged."""
    try:
        status = json.loads(_status_file(root).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) and all(isinstance(entry, dict) for entry in status.values()) else {}


def _status_file(root: Path) -> Path:
    return root / "_build" / "run" / "status.json"


def _note_status(name: str, profile: str, device: str, seconds: float, root: Path) -> None:
    """What differs between runs that are otherwise the same is kept beside the notebooks."""
    path, status = _status_file(root), _status(root)
    status[name] = {
        "seconds": round(seconds, 1), "finished": time.strftime("%Y-%m-%d %H:%M:%S %z"), "profile": profile,
        "device": device, "commit": _commit(root),
    }  # fmt: skip
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(status, indent=2) + "\n")


def _commit(root: Path) -> str:
    """Short hash of the checkout, with a plus sign if files differ from it; "unknown" outside a repository."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + (
            "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def status_table(root: Path = PROJECT) -> pd.DataFrame:
    """How each chapter of the book ran last: seconds, time, profile, device, commit."""
    status = _status(root)
    rows = {name: status[name] for name in chapters(root) if name in status}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(columns="chapter")


def run_chapters(plan: dict[str, dict[str, Any]], only: Iterable[str] = (), root: Path = PROJECT) -> list[str]:
    """Run what is stale among the chapters named in `only` (all by default); return those that remain stale.

    Args:
        plan: the parameters of each chapter, see `parameters.planned`.
    """
    shutil.rmtree(root / "_build" / "html", ignore_errors=True)
    # Other chapters may read what a current one had left there.
    lost = not all((root / parameters["results_dir"]).is_dir() for parameters in plan.values())
    stale = []
    for number, (name, parameters) in enumerate(plan.items()):
        read = _collected(list(plan)[:number], root / parameters["results_dir"], root) if name in COLLECTING else []
        key = chapter_key(name, parameters, root, read)
        if is_current(name, key, root) and not lost:
            print(f"{name:<28} up to date", flush=True)
        elif only and name not in only:
            stale.append(name)
        else:
            run_chapter(name, parameters, key, root)
    return stale
