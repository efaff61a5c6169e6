"""What the parameters of a chapter may be: checked by the driver, by the notebooks themselves, and by `experiments.prepare`."""

import ast
import difflib
import math
import re
from collections.abc import Sequence
from typing import Any

from .errors import ParameterError

TYPES = {
    **dict.fromkeys(("model", "results_dir", "corpus", "device", "dtype", "text", "profile"), str),
    **dict.fromkeys(("layer", "seq_len", "seed", "n_prompts", "n_others", "n_shown", "n_walks"), int),
    **dict.fromkeys(("prepend_bos", "shrinkage"), bool),
}
"""Parameter -> type; `bool` is no `int` here."""

RANGES = {
    "layer": (0, math.inf),
    "seq_len": (2, math.inf),
    "seed": (0, 2**63 - 1),
    "n_prompts": (2, math.inf),
    "n_others": (2, math.inf),
    "n_shown": (2, math.inf),
    "n_walks": (1, math.inf),
}
"""Parameter -> smallest and largest value."""

CHOICES = {
    "device": ("auto", "cpu", "cuda", "mps", "xpu"),
    "dtype": ("float32", "float64", "bfloat16", "float16"),
}
"""Parameter -> what it may be; a device may have a number after a colon."""

SAMPLES_PER_DIMENSION = 2
"""Fewer activations than this for each hidden dimension leave a covariance matrix too poor to sample from."""

MODELS = {
    "smollm2-135m-instruct": {"num_hidden_layers": 30, "max_position_embeddings": 8192, "hidden_size": 576},
    "gemma-3-270m": {"num_hidden_layers": 18, "max_position_embeddings": 32768, "hidden_size": 640},
    "tiny-random-gpt2": {"num_hidden_layers": 4, "max_position_embeddings": 256, "hidden_size": 32},
}
"""Model that needs no hub -> its size, known before it is fetched or made."""

NAMES = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}


def check(**given: Any) -> None:
    """Refuse values of the wrong type or outside their range.

    Raises:
        ParameterError: names the first such parameter, what was given and what is allowed.
    """
    for name, value in given.items():
        kind = TYPES.get(name)
        if kind is not None and type(value) is not kind:
            raise ParameterError(f"{name} must be {NAMES[kind]}; {value!r} is not.")
        if kind is str and not value.strip():
            raise ParameterError(f"{name} is empty; give it a value, or leave it out.")
        low, high = RANGES.get(name, (-math.inf, math.inf))
        if name in RANGES and not low <= value <= high:
            allowed = f"at least {low}" if math.isinf(high) else f"from {low} to {high}"
            raise ParameterError(f"{name} must be {allowed}; {value!r} is not.")
        if name in CHOICES and re.sub(r":\d+$", "", value) not in CHOICES[name]:
            raise ParameterError(f"{name} must be one of {', '.join(CHOICES[name])}; {value!r} is not.")


def check_as_default(name: str, value: Any, default: Any) -> None:
    """Refuse a value of another type than a parameter's default, or outside its range.

    Raises:
        ParameterError: as `check`.
    """
    if not fits(value, default):
        raise ParameterError(f"{name} must be {_type_name(default)} (its default is {default!r}); {value!r} is not.")
    check(**{name: value})


def check_injected(cells: Sequence[str]) -> None:
    """Refuse what papermill injected into a notebook that does not declare it, or declares it of another type.

    Papermill itself only warns of such a name, and passes `-p shrinkage false` on as text.

    Args:
        cells: the sources that this kernel has run, which IPython calls `In`. A notebook declares `name: type = default`,
            papermill assigns `name = value`.

    Raises:
        ParameterError: names the parameter, and the declared one that is closest.
    """
    declared, injected = {}, {}
    for cell in cells:
        for statement in _statements(cell):
            if isinstance(statement, ast.AnnAssign):
                declared[statement.target.id] = ast.literal_eval(statement.value)
            elif isinstance(statement, ast.Assign) and cell.startswith("# Parameters"):
                injected[statement.targets[0].id] = ast.literal_eval(statement.value)
    for name, value in injected.items():
        if name not in declared:
            known = sorted(declared)
            raise ParameterError(
                f"This notebook declares no parameter {name!r}{suggestion(name, known)}; known are {', '.join(known)}."
            )
        check_as_default(name, value, declared[name])


def _statements(cell: str) -> list[ast.stmt]:
    try:
        return ast.parse(cell).body
    except SyntaxError:  # a cell with IPython's own commands declares nothing
        return []


def fits(value: Any, default: Any) -> bool:
    """Whether a value has the type of a default; a whole number will do where the default is a fraction."""
    if isinstance(default, list):
        entries = default[:1] or [""]
        return isinstance(value, list) and all(fits(element, entries[0]) for element in value)
    if isinstance(default, float):
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is type(default)


def _type_name(default: Any) -> str:
    if isinstance(default, list):
        return f"a list, each entry {_type_name((default or [''])[0])}"
    return NAMES.get(type(default), type(default).__name__)


def suggestion(name: str, known: Sequence[str]) -> str:
    """A hint at the known name that is closest to a misspelt one; empty where none is close."""
    close = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""
