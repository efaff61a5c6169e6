"""Perturb a language model's residual stream, watch the next-token distribution, and measure the plateau.

The names in `__all__` are what most uses need; each is imported when it is first asked for, because torch and
transformers take seconds to import. Everything else is imported from its module.
"""

import importlib

__version__ = "0.1.0"

_MODULES = {
    "load_model": "models",
    "load_prompts": "prompts",
    "collect": "activations",
    "Gaussian": "activations",
    "sphere": "paths",
    "straight": "paths",
    "Suffix": "patching",
    "measure": "effects",
    "find_thresholds": "sensitivity",
    "prepare": "experiments",
}
"""Public name -> module that defines it, in the order in which a measurement uses them."""

__all__ = [*_MODULES]


def __getattr__(name: str) -> object:
    if name == "estimates":  # a module, whose functions are called by its name
        return importlib.import_module(".estimates", __name__)
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
