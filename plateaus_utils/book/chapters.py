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
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import papermill
import torch
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from .. import errors
from ..errors import BookError, ParameterError, PlateausError
from ..files import PROJECT, replacing
from ..results import USED
from .parameters import (
    chapters,
    check_parameters,
    declared_parameters,
    load_profile,
    number_cells,
    results_dir,
    source_notebook,
    suggestion,
)

COLLECTING = ("claims", "status")
"""Chapters that read what those listed before them left, and so are stale when one of them ran again."""


def chapter_key(name: str, parameters: dict[str, Any], root: Path = PROJECT, read: Iterable[str] = ()) -> str:
    """What determines the chapter: its script, parameters, the package, the pins, and the keys of chapters it reads."""
    digest = hashlib.sha256(json.dumps([parameters, *read], sort_keys=True).encode())
    package = sorted((root / "plateaus_utils").rglob("*.py"))
    for path in (root / "notebooks" / f"{name}.py", root / "requirements.txt", *package):
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def recorded_key(name: str, root: Path = PROJECT) -> str | None:
    """The key that the executed chapter carries, None where there is none or its file is damaged."""
    try:
        return nbformat.read(root / "executed" / f"{name}.ipynb", as_version=4).metadata.plateaus.key
    except (OSError, ValueError, AttributeError, nbformat.reader.NotJSONError):
        return None


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


def run_chapter(name: str, parameters: dict[str, Any], key: str, root: Path = PROJECT) -> None:
    """Execute one chapter and put it in place; on failure its old version is gone as well."""
    executed = root / "executed" / f"{name}.ipynb"
    executed.unlink(missing_ok=True)
    started = time.perf_counter()
    with replacing(executed) as temporary:
        (root / parameters["results_dir"]).mkdir(parents=True, exist_ok=True)
        used = root / "_build" / "run" / f"{name}.results"
        used.unlink(missing_ok=True)
        os.environ[USED] = str(used)  # for the kernel
        try:
            nb = execute(root / "notebooks" / f"{name}.py", parameters, root / "_build" / "run", root)
        finally:
            del os.environ[USED]
        try:
            finalise(nb, key=key, profile=parameters["profile"], parameters=parameters, results=_shown(used))
        except BookError as error:
            raise BookError(f"{name}: {error}") from error
        nbformat.write(nb, temporary)
    seconds = time.perf_counter() - started
    _note_status(name, parameters["profile"], seconds, root)
    print(f"{name:<28} {seconds:7.1f} s", flush=True)


def _shown(used: Path) -> list[str]:
    """The results that a chapter asked for, but for stored activations, which are large and quickly made again."""
    lines = used.read_text(encoding="utf-8").splitlines() if used.exists() else []
    return sorted({line for line in lines if not Path(line).name.startswith("activations")})


def _status_file(root: Path) -> Path:
    return root / "_build" / "run" / "status.json"


def _note_status(name: str, profile: str, seconds: float, root: Path) -> None:
    """What differs between runs that are otherwise the same is kept beside the notebooks."""
    path = _status_file(root)
    status = json.loads(path.read_text()) if path.exists() else {}
    status[name] = {
        "seconds": round(seconds, 1), "finished": time.strftime("%Y-%m-%d %H:%M:%S %z"), "profile": profile,
        "device": str(torch.accelerator.current_accelerator() or "cpu"), "commit": _commit(root),
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
    path = _status_file(root)
    status = json.loads(path.read_text()) if path.exists() else {}
    rows = {name: status[name] for name in chapters(root) if name in status}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(columns="chapter")


def run_chapters(profile: str, overrides: dict[str, Any], only: Iterable[str] = (), root: Path = PROJECT) -> list[str]:
    """Run what is stale among the chapters named in `only` (all by default); return those that remain stale.

    Everything is checked before anything runs.
    """
    names = chapters(root)
    for name in only:
        if name not in names:
            hint = suggestion(name, names)
            raise ParameterError(f"There is no chapter {name!r}{hint}; known are {', '.join(names)}.")
    declared = {name: declared_parameters(root / "notebooks" / f"{name}.py") for name in names}
    settings = load_profile(profile, root) | overrides
    check_parameters(settings, declared)
    settings |= {"profile": profile, "results_dir": results_dir(profile, overrides)}
    shutil.rmtree(root / "_build" / "html", ignore_errors=True)

    lost = not (root / settings["results_dir"]).is_dir()  # other chapters may read what a current one had left there
    stale = []
    for number, name in enumerate(names):
        parameters = {known: settings[known] for known in declared[name] if known in settings}
        read = [recorded_key(other, root) for other in names[:number]] if name in COLLECTING else []
        key = chapter_key(name, parameters, root, read)
        if recorded_key(name, root) == key and not lost:
            print(f"{name:<28} up to date", flush=True)
        elif only and name not in only:
            stale.append(name)
        else:
            run_chapter(name, parameters, key, root)
    return stale
