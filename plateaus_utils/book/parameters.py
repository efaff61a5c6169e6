"""What the chapters declare, what a profile and a command line set, and whether the two fit."""

import ast
import difflib
import hashlib
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import papermill
import yaml
from nbformat import NotebookNode

from ..errors import ParameterError
from ..files import DATA, PROJECT

SET_BY_DRIVER = ("profile", "results_dir")
"""Parameters that every notebook declares and that only the driver may set."""


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
    number_cells(nb)
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


def load_profile(name: str, root: Path = DATA) -> dict[str, Any]:
    """The parameters in `profiles/NAME.yaml`."""
    known = sorted(path.stem for path in (root / "profiles").glob("*.yaml"))
    if name not in known:
        raise ParameterError(f"There is no profile {name!r}{suggestion(name, known)}; known are {', '.join(known)}.")
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
                f"No notebook declares the parameter {name!r}{suggestion(name, known)}; known are {', '.join(known)}."
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


def suggestion(name: str, known: list[str]) -> str:
    """A hint at the known name that is closest to a misspelt one; empty where none is close."""
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


def parameter_table(root: Path = PROJECT) -> str:
    """All parameters of all chapters, one a line: name, default, help, and where it is declared."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for chapter in chapters(root):
        for parameter in declared_parameters(root / "notebooks" / f"{chapter}.py").values():
            if parameter.name not in SET_BY_DRIVER:
                rows.setdefault((parameter.name, repr(parameter.default), parameter.help), []).append(chapter)
    return "\n".join(f"{name} = {default}\n    {text} [{', '.join(where)}]"
                     for (name, default, text), where in sorted(rows.items()))  # fmt: skip


def number_cells(nb: NotebookNode) -> None:
    """Give cells ids that are the same at every reading."""
    for number, cell in enumerate(nb.cells):
        cell.id = f"cell-{number:03}"
