"""Datasets -> the interactive parts of static pages: data as JSON in the page, drawn by scripts of the site's own."""

import json

import numpy as np
import xarray as xr
from IPython.display import HTML

from ..paths import UNITS
from ..sensitivity import KL_THRESHOLD

MODE_TEXT = {
    "sphere": ("sphere: constant norm", "angle θ (degrees)"),
    "straight": ("straight", "distance α (norms of the base)"),
}
UNIT_TEXT = {"degrees": "°", "‖base‖": " ‖b‖"}


def _embedded(name: str, data: dict, fallback: str, script: str | None = None) -> HTML:
    """A place for a script to draw in, the data for it, and what is read where scripts do not run.

    A page needs each script once, however many places it draws in.
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    source = f'<script src="../_static/{script}" defer></script>' if script else ""
    return HTML(
        f'<div id="{name}-app" class="interactive"><p>{fallback}</p></div>'
        f'<script type="application/json" id="{name}-data">{text}</script>{source}'
    )


def _rounded(values: np.ndarray, digits: int = 4) -> list:
    """Nested lists of numbers with so many significant digits; NaN becomes null."""
    if values.ndim:
        return [_rounded(value, digits) for value in values]
    return None if np.isnan(values) else float(f"{float(values):.{digits}g}")


def explorer(walks: xr.Dataset, prompts: list[str], tokenizer) -> HTML:
    """The static explorer of `experiments.explorer.walks`, with the prompts as text."""
    modes = [
        {
            "name": str(mode), "label": MODE_TEXT[str(mode)][0], "axis": MODE_TEXT[str(mode)][1],
            "unit": UNIT_TEXT[UNITS[str(mode)]], "sizes": _rounded(walks.path_size.sel(mode=mode).values),
        }
        for mode in walks.mode.values
    ]  # fmt: skip

    def walk(prompt: int, mode: str, kind: str) -> dict:
        chosen = walks.isel(prompt=prompt).sel(mode=mode, kind=kind)
        return {
            "kl": _rounded(chosen.kl.values), "l2": _rounded(chosen.l2.values),
            "threshold": _rounded(chosen.threshold.values), "probability": _rounded(chosen.probability.values, 3),
            "tokens": [tokenizer.decode([int(token)]) for token in chosen.token.values],
        }  # fmt: skip

    kinds = [str(kind) for kind in walks.kind.values]
    data = {
        "prompts": prompts, "kinds": kinds, "modes": modes, "level": KL_THRESHOLD,
        "walks": [[[walk(i, mode["name"], kind) for kind in kinds] for mode in modes] for i in range(len(prompts))],
    }  # fmt: skip
    return _embedded(
        "explorer", data, "The figure below shows the same for one prompt; choosing needs JavaScript.", "explorer.js"
    )


def landscape(kl: xr.DataArray, corners: np.ndarray) -> HTML:
    """A plane of KL divergences [corner, v, u] as a surface that can be turned, and a map to point at; see `plotting.plane`."""
    u, v = np.meshgrid(kl.u.values, kl.v.values)
    data = {
        "x": _rounded(u * corners[1, 0] + v * corners[2, 0]), "y": _rounded(u * corners[1, 1] + v * corners[2, 1]),
        "z": _rounded(kl.min("corner").values), "corners": _rounded(corners),
    }  # fmt: skip
    return _embedded("landscape", data, "The figure below shows the same; turning it needs JavaScript.", "landscape.js")


def triangle(section: xr.Dataset, labels: tuple[str, str, str]) -> HTML:
    """One triangle of threshold angles [point] as a map to point at, on a page with a `landscape`; see `experiments.optima`."""
    data = {
        "weights": _rounded(section.weight.values), "values": _rounded(section.threshold.values), "labels": list(labels),
    }  # fmt: skip
    return _embedded("triangle", data, "Pointing at the map needs JavaScript.")
