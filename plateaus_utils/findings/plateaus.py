"""Chapter 2: plateaus around bases."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from .. import estimates, quantities
from ..experiments import plateaus
from ..experiments.setting import Setting
from ..primaries.plateaus import length_ratios
from ..sensitivity import KL_THRESHOLD


def flat_share(planes: xr.Dataset) -> float:
    """Share of the area of planes that lies below the KL threshold of the nearest of their three corners."""
    return float((planes.kl.min("corner") < KL_THRESHOLD).mean())


def chord(degrees: float, end: float) -> float:
    """How far a linear map's output has moved along the sphere at an angle, as a share of where it is at the angle `end`."""
    return float(np.sin(np.deg2rad(degrees) / 2) / np.sin(np.deg2rad(end) / 2))


def auroc_by_level(kl: xr.DataArray) -> xr.Dataset:
    """AUROC of threshold angles, real against each other base, over [base, level], for KL thresholds from 0.01 to 5 nats.

    Args:
        kl: curves [prompt, base, direction, path_size].
    """
    angles = quantities.crossings(kl, np.geomspace(0.01, 5, 15))
    return estimates.auroc(angles, "base", of="real", n_boot=500)


def unrelated_distance(setting: Setting) -> float:
    """Median L2 distance at the last block's output between unrelated prompts, activation units."""
    return float(np.median(plateaus.final_distances(setting)))


def ratio_by_level(distances: xr.DataArray, marks: dict[str, float]) -> xr.Dataset:
    """Ratio of plateau lengths, real over Gaussian bases, over [base, level], for levels below, between and above `marks`.

    Args:
        distances: curves [prompt, base, direction, path_size] of the L2 distance.
        marks: name -> level, activation units.
    """
    ends = min(marks.values()) / 4, max(marks.values()) * 1.5
    found = estimates.exponential(estimates.mean(length_ratios(distances, np.geomspace(*ends, 15)), n_boot=1000))
    return found.expand_dims(base=["random"])


NETWORKS = ("trained", "untrained (published)", "untrained (configured)")


def by_network(*pairs: xr.Dataset) -> xr.Dataset:
    """Paths through NETWORKS, in that order, over as many prompts as all of them have, with a dimension `network`."""
    n = min(found.sizes["prompt"] for found in pairs)
    shown = [found.isel(prompt=slice(n)) for found in pairs]
    return xr.concat(shown, xr.Variable("network", list(NETWORKS)), combine_attrs="override")


def mean_by_network(measure: Callable[[xr.Dataset], xr.DataArray], *pairs: xr.Dataset) -> xr.Dataset:
    """Mean over documents of a measure of paths through NETWORKS, each over all prompts that it has, over [network].

    Args:
        measure: paths -> [prompt].
    """
    found = [estimates.document_mean(measure(paths)) for paths in pairs]
    return estimates.together(dict(zip(NETWORKS, found, strict=True)), "network")
