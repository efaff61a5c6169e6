"""The experiments. Each walks the road once, from prompts to numbers, and returns one labelled Dataset.

Every experiment takes a `Setting` (what is studied) and a name under which its result is stored and resumed. The first
dimension is `prompt`, the unit of replication. `setting` says what is studied, `measuring` holds the two measurements that
most experiments are made of, and the other modules hold the experiments of one chapter each.
"""

from .measuring import curves, threshold_sizes
from .setting import Setting, base_points, prepare

__all__ = ["Setting", "base_points", "curves", "prepare", "threshold_sizes"]
