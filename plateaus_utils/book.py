"""Run the chapters with one set of parameters and build the site from what came out.

`python -m plateaus_utils.book --profile quick --set layer=5` takes each chapter that `_toc.yml` lists under
`executed/` from its script `notebooks/NAME.py` through papermill to `executed/NAME.ipynb`, and hands all of them to
jupyter-book. A chapter whose script, parameters and code have not changed is not run again. Nothing half-done is
ever in place: `executed/NAME.ipynb` exists only if that chapter ran to its end, `_build/html` only if the last
command made it, without a warning, from chapters that are all up to date.
"""

import argparse
import ast
import difflib
import hashlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pandas as pd
import papermill
import torch
import yaml
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from . import errors
from .errors import ParameterError, PlateausError
from .files import PROJECT, replacing
from .results import USED
from .site import BookError, build_site

SET_BY_DRIVER = ("profile", "results_dir")
"""Parameters that every notebook declares and that only the driver may set."""

COLLECTING = ("claims", "status")
"""Chapters that read what those listed before them left, and so are stale when one of them ran again."""

KERNEL_ENVIRONMENT = {
    "OMP_NUM_THREADS": "2",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait by spinning slow everything down on a machine that does other work
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}


# Parameters ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """One assignment of a notebook's `parameters` cell."""

    name: str
    default: Any
    help: str


class _Loader(yaml.SafeLoader):
    """YAML whose numbers may be written 1e-3, which YAML 1.1 takes for text."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), "-+0123456789")


def chapters(root: Path = PROJECT) -> list[str]:
    """Names of the notebooks that `_toc.yml` lists under `executed/`, in reading order."""
    names = [page.removeprefix("executed/") for page in toc_pages(root) if page.startswith("executed/")]
    for name in names:
        if not (root / "notebooks" / f"{name}.py").is_file():
            raise ParameterError(f"_toc.yml lists executed/{name}, but there is no notebooks/{name}.py.")
    return names


def toc_pages(root: Path = PROJECT) -> list[str]:
    """Every page that `_toc.yml` lists, in reading order."""
    return list(_toc_files(yaml.safe_load((root / "_toc.yml").read_text())))


def _toc_files(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key in ("root", "file"))
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _toc_files(child)


def source_notebook(path: Path) -> NotebookNode:
    """The percent script at `path` as an unexecuted notebook, the same at every reading."""
    nb = jupytext.read(path)
    nb.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    _number_cells(nb)
    return nb


def declared_parameters(path: Path) -> dict[str, Parameter]:
    """What the `parameters` cell of the script at `path` declares: names with defaults and trailing comments."""
    nb = source_notebook(path)
    cells = [cell for cell in nb.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ParameterError(f"{path.name} must have exactly one cell tagged parameters, it has {len(cells)}.")
    inspected = papermill.inspect_notebook(nb)
    declared = {}
    for statement in ast.parse(cells[0].source).body:
        try:
            name = (statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]).id
            declared[name] = Parameter(name, ast.literal_eval(statement.value), inspected[name]["help"].strip())
        except (AttributeError, KeyError, ValueError) as error:
            raise ParameterError(
                f"papermill cannot read the parameter `{ast.unparse(statement)}` of {path.name}; "
                "write `name: type = literal  # help`, without another = in the line."
            ) from error
    missing = [name for name in SET_BY_DRIVER if name not in declared]
    if missing:
        raise ParameterError(f"{path.name} does not declare the parameter {missing[0]}, which every notebook needs.")
    return declared


def load_profile(name: str, root: Path = PROJECT) -> dict[str, Any]:
    """The parameters in `profiles/NAME.yaml`."""
    known = sorted(path.stem for path in (root / "profiles").glob("*.yaml"))
    if name not in known:
        raise ParameterError(f"There is no profile {name!r}{_suggestion(name, known)}; known are {', '.join(known)}.")
    try:
        values = yaml.load((root / "profiles" / f"{name}.yaml").read_text(), _Loader)
    except yaml.YAMLError as error:
        raise ParameterError(f"profiles/{name}.yaml is not valid YAML: {_one_line(error)}.") from error
    if not isinstance(values or {}, dict):
        raise ParameterError(f"profiles/{name}.yaml must map parameter names to values.")
    return values or {}


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """`name=value` strings as a dictionary, each value read as YAML."""
    parsed = {}
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator or not name:
            raise ParameterError(f"{setting!r} is not of the form name=value.")
        try:
            parsed[name] = yaml.load(text, _Loader)
        except yaml.YAMLError as error:
            raise ParameterError(f"The value of {name} is not valid YAML: {_one_line(error)}.") from error
    return parsed


def check_parameters(given: dict[str, Any], declared: dict[str, dict[str, Parameter]]) -> None:
    """Refuse a parameter that no chapter in `declared` has, or a value of another type than its default."""
    known = sorted({name for parameters in declared.values() for name in parameters} - set(SET_BY_DRIVER))
    for name, value in given.items():
        if name in SET_BY_DRIVER:
            raise ParameterError(f"{name} cannot be set: it follows from --profile and the other parameters.")
        if name not in known:
            raise ParameterError(
                f"No notebook declares the parameter {name!r}{_suggestion(name, known)}; known are {', '.join(known)}."
            )
        for chapter, parameters in declared.items():
            if name in parameters and not _fits(value, parameters[name].default):
                raise ParameterError(
                    f"{name} must be {_type_name(parameters[name].default)}, as in {chapter} "
                    f"({name} = {parameters[name].default!r}); {value!r} is not."
                )


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, list):
        return isinstance(value, list) and all(_fits(element, default[0]) for element in value if default)
    if isinstance(default, float):
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is type(default)


def _type_name(default: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}
    if isinstance(default, list):
        return f"a list, each entry {_type_name(default[0])}" if default else "a list"
    return names.get(type(default), type(default).__name__)


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def results_dir(profile: str, overrides: dict[str, Any]) -> str:
    """Folder of a run's results: the profile's own, or one that spells out what was overridden."""
    if not overrides:
        return f"results/{profile}"
    spelled = ",".join(f"{name}={overrides[name]}" for name in sorted(overrides))
    safe = re.sub(r"[^\w.,=-]+", "_", spelled)[:80]
    if safe != spelled:  # two different settings must not share a folder
        safe += "-" + hashlib.sha256(spelled.encode()).hexdigest()[:8]
    return f"results/{profile}+{safe}"


# Chapters ------------------------------------------------------------------------------------------------------------


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
    _number_cells(nb)
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


def _number_cells(nb: NotebookNode) -> None:
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
            hint = _suggestion(name, names)
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


# Command line --------------------------------------------------------------------------------------------------------


def parameter_table(root: Path = PROJECT) -> str:
    """All parameters of all chapters, one a line: name, default, help, and where it is declared."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for chapter in chapters(root):
        for parameter in declared_parameters(root / "notebooks" / f"{chapter}.py").values():
            if parameter.name not in SET_BY_DRIVER:
                rows.setdefault((parameter.name, repr(parameter.default), parameter.help), []).append(chapter)
    return "\n".join(f"{name} = {default}\n    {text} [{', '.join(where)}]"
                     for (name, default, text), where in sorted(rows.items()))  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0: all is well, 1: a chapter or the site failed, 2: the request cannot be met."""
    parser = argparse.ArgumentParser(prog="python -m plateaus_utils.book", description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="quick", help="a file of profiles/, without its .yaml (default: quick)")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE",
                        help="parameters that win over the profile's")  # fmt: skip
    parser.add_argument("--only", nargs="+", action="extend", default=[], metavar="CHAPTER",
                        help="run these chapters alone; the site is built if the others are up to date")  # fmt: skip
    parser.add_argument("--no-site", action="store_true", help="run chapters, build nothing")
    parser.add_argument("--help-parameters", action="store_true", help="list the parameters of all chapters, and exit")
    options = parser.parse_args(arguments)
    os.environ.update(KERNEL_ENVIRONMENT)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill must stop the kernel as well
    try:
        if options.help_parameters:
            print(parameter_table())
            return 0
        stale = run_chapters(options.profile, parse_settings(options.set), options.only)
        if options.no_site:
            return 0
        if stale:
            print(f"The site was not built, because these chapters are not up to date: {', '.join(stale)}.")
            return 0
        print(f"The site is at {build_site().relative_to(PROJECT)}/index.html")
    except PlateausError as error:
        print(error, file=sys.stderr)
        return 2
    except BookError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
