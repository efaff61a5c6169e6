"""A control: the SAE of a network with fresh weights."""

import torch
import xarray as xr

from ...directions import directions
from ...effects import measure
from ...models import initializer_ranges
from ...patching import Suffix
from ...paths import MODES
from ...saes import SEED, Dictionary
from ..explanations import UNTRAINED_SIZES, untrained_setting
from ..measuring import in_chunks, path_sizes
from ..setting import Setting
from .choosing import dictionaries
from .single import latent_vectors


def untrained_control(setting: Setting) -> tuple[Setting, Dictionary]:
    """A network with fresh weights, and the SAE that was trained on it, or its principal components if there is none."""
    spread = initializer_ranges(setting.model)["published"]
    fresh = untrained_setting(setting.seeded(SEED), spread)
    return fresh, dictionaries(fresh)[0]


def relative_curves(setting: Setting, dictionary: Dictionary, name: str) -> xr.Dataset:
    """KL and L2 [prompt, kind, direction, path_size] on the sphere along an active latent, a random and a real-other one."""
    draws = setting.draws(1)
    vectors = {"active": latent_vectors(setting, dictionary, 1)["active"]}
    vectors |= {kind: directions(kind, setting.base_activations, draws) for kind in ("random", "real-other")}
    kinds, grid = list(vectors), torch.tensor(UNTRAINED_SIZES, dtype=torch.float32)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        along = torch.stack([vectors[kind][chunk] for kind in kinds], 1)
        points = MODES["sphere"](setting.base_activations[chunk, None, None].expand_as(along), along, grid)
        effect = measure(suffix, points.flatten(1, -2), names=("kl", "l2"))
        dims = ("prompt", "kind", "direction", "path_size")
        return xr.Dataset({key: (dims, value.view(points.shape[:-1])) for key, value in effect.items()})

    options = {"sae": dictionary.fingerprint, "kinds": kinds}
    coords = {"kind": kinds, "path_size": path_sizes("sphere", UNTRAINED_SIZES)}
    return in_chunks(setting, f"relative_{name}", options, compute, coords)
