"""The experiments. Each walks the road once, from prompts to numbers, and returns one labelled Dataset.

Every experiment takes a `Setting` (what is studied) and a name under which its result is stored and resumed. The first
dimension is `prompt`, the unit of replication.
"""

from .measuring import curves, threshold_sizes
from .plateaus import (
    activation_plane,
    activation_plateaus,
    final_distances,
    pair_paths,
    plateau_lengths,
    small_perturbations,
)
from .setting import Setting, base_points, prepare, prepare_at

__all__ = [
    "Setting",
    "activation_plane",
    "activation_plateaus",
    "base_points",
    "curves",
    "final_distances",
    "pair_paths",
    "plateau_lengths",
    "prepare",
    "prepare_at",
    "small_perturbations",
    "threshold_sizes",
]
