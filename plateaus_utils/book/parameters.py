"""What the chapters declare, what a profile and a command line set, and whether the two fit."""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import try_to_load_from_cache

from ..arguments import MODELS, SAMPLES_PER_DIMENSION, check_as_default, suggestion
from ..errors import ParameterError
from ..files import DATA, PROJECT, file_name, members

SET_BY_DRIVER = ("profile", "results_dir")
"""Parameters that every notebook declares and that only the driver may set."""


@dataclass(frozen=True)
class Parameter:
    """One assignment of a notebook's `parameters` cell."""

    name: str
    default: Any
    help: str


class _Loader(yaml.SafeLoader):
    """YAML with plain decimal numbers (not 010 for 8, not 1:30 for 90; 1e-3 is a number), and with each key once, as text."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":int", ":float", ":timestamp"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node)
            if not isinstance(key, str):
                raise ParameterError(f"The key {key!r} is no text; put it in quotes, or give the parameter's name.")
            if key in found:
                raise ParameterError(f"The key {key!r} is given twice; keep one of them.")
            found[key] = self.construct_object(value_node, deep=True)
        return found


_SIGNS = "-+0123456789."
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9]\d*)$"), _SIGNS)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$|[-+]?\.inf$|\.nan$"),
    _SIGNS,
)


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


_CELL = re.compile(r"^# %%", re.MULTILINE)
_TAGGED = re.compile(r"[^\n]*\btags=\[[^\]\n]*\"parameters\"")
_DECLARED = re.compile(r"(\w+): \w+ = ([^=]*?)(?:  # ([^=]*))?")


def declared_parameters(path: Path) -> dict[str, Parameter]:
    """What the `parameters` cell of the script at `path` declares: names with defaults and trailing comments.

    The script is read as text, because jupytext and papermill take seconds to import.
    """
    cells = [cell for cell in _CELL.split(path.read_text(encoding="utf-8"))[1:] if _TAGGED.match(cell)]
    if len(cells) != 1:
        raise ParameterError(f"{path.name} must have exactly one cell tagged parameters, it has {len(cells)}.")
    declared = {}
    for line in filter(None, cells[0].splitlines()[1:]):
        try:
            name, default, explained = _DECLARED.fullmatch(line).groups()
            declared[name] = Parameter(name, ast.literal_eval(default), explained or "")
        except (AttributeError, SyntaxError, ValueError) as error:
            raise ParameterError(
                f"papermill cannot read the parameter `{line}` of {path.name}; write `name: type = literal  # help`, "
                "without another = in the line."
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
        values = yaml.load((root / "profiles" / f"{name}.yaml").read_text(encoding="utf-8"), _Loader)
    except UnicodeDecodeError as error:
        raise ParameterError(f"profiles/{name}.yaml is not UTF-8 text (byte {error.start}).") from error
    except ParameterError as error:
        raise ParameterError(f"profiles/{name}.yaml: {error}") from error
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
        for parameters in declared.values():
            if name in parameters:
                check_as_default(name, value, parameters[name].default)


def check_inputs(given: dict[str, Any], declared: dict[str, dict[str, Parameter]]) -> None:
    """Refuse what can be told without loading anything: paths that do not exist, a layer or length that the model lacks.

    Raises:
        ParameterError: names the parameter, what was given and what is there.
    """
    defaults = {p.name: p.default for parameters in declared.values() for p in parameters.values()}
    values = defaults | given
    paths = [("model", values.get("model")), *(("corpus", path) for path in members(values.get("corpus", "")))]
    paths += [("saes", path) for path in values.get("saes", [])]
    for name, path in paths:
        if path and path.startswith((".", "/", "~")) and not Path(path).expanduser().exists():
            raise ParameterError(f"{name} names '{path}', which does not exist; correct the path.")
    if "model" in values:
        _check_against_model(values, _configuration(values["model"]))


def _check_against_model(values: dict[str, Any], config: dict[str, Any]) -> None:
    """Refuse a layer, length or number of activations that does not fit a model's configuration, as far as that is known."""
    layers, context, width = (
        next((config[key] for key in keys if isinstance(config.get(key), int)), None)
        for keys in (
            ("num_hidden_layers", "n_layer", "num_layers"),
            ("max_position_embeddings", "n_positions"),
            ("hidden_size", "n_embd", "d_model"),
        )
    )
    model = values["model"]
    if layers is not None and values.get("layer", 0) >= layers:
        raise ParameterError(
            f"layer is {values['layer']}, but {model} has layers 0 to {layers - 1}; choose one of them."
        )
    if context is not None and values.get("seq_len", 0) > context:
        raise ParameterError(
            f"seq_len is {values['seq_len']}, but {model} has a context of at most {context} tokens; choose a smaller one."
        )
    fewest = SAMPLES_PER_DIMENSION * (width or 0)
    if values.get("n_others", fewest) < fewest and not values.get("shrinkage"):
        raise ParameterError(
            f"n_others is {values['n_others']}, but a covariance matrix of the {width} dimensions of {model} needs at least "
            f"{fewest}; give more, or set shrinkage."
        )


def _configuration(model: str) -> dict[str, Any]:
    """The configuration of a model that needs no hub, lies in a folder, or was fetched from the hub before; else empty."""
    if model in MODELS:
        return MODELS[model]
    folder = Path(model).expanduser()
    try:
        path = folder / "config.json" if folder.is_dir() else try_to_load_from_cache(model, "config.json")
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):  # no such file, not JSON, not in the cache
        return {}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def results_dir(profile: str, overrides: dict[str, Any]) -> str:
    """Folder of a run's results: the profile's own, or one that spells out what was overridden."""
    if not overrides:
        return f"results/{profile}"
    spelled = ",".join(f"{name}={overrides[name]}" for name in sorted(overrides))
    return f"results/{profile}+{file_name(spelled)}"


def planned(
    profile: str, overrides: dict[str, Any], only: Iterable[str] = (), root: Path = PROJECT
) -> dict[str, dict[str, Any]]:
    """The parameters of each chapter, in reading order. Everything is checked here; nothing is loaded, made or removed.

    Raises:
        ParameterError: a chapter of `only`, the profile or a parameter does not exist or cannot be meant.
    """
    names = chapters(root)
    for name in only:
        if name not in names:
            raise ParameterError(
                f"There is no chapter {name!r}{suggestion(name, names)}; known are {', '.join(names)}."
            )
    declared = {name: declared_parameters(root / "notebooks" / f"{name}.py") for name in names}
    settings = load_profile(profile, root) | overrides
    check_parameters(settings, declared)
    check_inputs(settings, declared)
    settings |= {"profile": profile, "results_dir": results_dir(profile, overrides)}
    return {name: {known: settings[known] for known in declared[name] if known in settings} for name in names}


def parameter_table(root: Path = PROJECT) -> str:
    """All parameters of all chapters, one a line: name, default, help, and where it is declared."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for chapter in chapters(root):
        for parameter in declared_parameters(root / "notebooks" / f"{chapter}.py").values():
            if parameter.name not in SET_BY_DRIVER:
                rows.setdefault((parameter.name, repr(parameter.default), parameter.help), []).append(chapter)
    return "\n".join(f"{name} = {default}\n    {text} [{', '.join(where)}]"
                     for (name, default, text), where in sorted(rows.items()))  # fmt: skip
