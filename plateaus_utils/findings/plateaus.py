"""Chapter 2: plateaus around bases."""

import numpy as np
import xarray as xr

from ..experiments import plateaus
from ..experiments.setting import Setting
from ..models import initializer_ranges, untrained
from ..sensitivity import KL_THRESHOLD


def flat_share(planes: xr.Dataset) -> float:
    """Share of the area of planes that lies below the KL threshold of the nearest of their three corners."""
    return float((planes.kl.min("corner") < KL_THRESHOLD).mean())


def chord(degrees: float, end: float) -> float:
    """How far a linear map's output has moved along the sphere at an angle, as a share of where it is at the angle `end`."""
    return float(np.sin(np.deg2rad(degrees) / 2) / np.sin(np.deg2rad(end) / 2))


def plateau_steps(setting: Setting) -> xr.DataArray:
    """Plateau lengths [prompt, base, direction] in steps of 0.5, NaN where censored; see `plateaus.plateau_lengths`."""
    lengths = plateaus.plateau_lengths(setting)
    labels = {"description": "plateau length", "unit": "steps", "limit": lengths.attrs["max_steps"]}
    return lengths.steps.assign_attrs(labels)


def trained_and_untrained_pairs(setting: Setting, seed: int) -> xr.Dataset:
    """`plateaus.pair_paths` through the trained network and two untrained ones, with a dimension `network`.

    One is initialized as the configuration states, one as the model's authors publish, see `models.initializer_ranges`.
    """
    networks = {"trained": None} | {
        f"untrained ({name})": untrained(setting.model, spread, seed)
        for name, spread in initializer_ranges(setting.model).items()
    }
    found = [plateaus.pair_paths(setting, f"pairs_{i}", network) for i, network in enumerate(networks.values())]
    return xr.concat(found, xr.Variable("network", list(networks)))
