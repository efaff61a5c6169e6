"""What an SAE's encoder makes of activations that are not real."""

import torch
import xarray as xr

from ...patching import Suffix
from ...saes import Dictionary
from ..measuring import in_chunks
from ..setting import Setting

SWITCHED_ON = {"n_active": {"description": "latents that the encoder switches on", "unit": "latents"}}


def codes_switched_on(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """How many latents the encoder switches on [prompt, kind] for a document's activation and for two vectors in its place.

    The vectors are an isotropic one with the norm of the activation, and a sample of the Gaussian.
    """
    draws = setting.draws(1)
    points = {"isotropic": draws.naive[:, 0], "random": draws.gaussian[:, 0], "real": setting.base_activations}
    counts = torch.stack([(dictionary.encode(x) > 0).sum(-1) for x in points.values()], 1)

    def compute(_: Suffix, chunk: slice) -> xr.Dataset:
        return xr.Dataset({"n_active": (("prompt", "kind"), counts[chunk].numpy())})

    options, coords = {"sae": dictionary.fingerprint}, {"kind": list(points)}
    return in_chunks(setting, "codes_switched_on", options, compute, coords, SWITCHED_ON).n_active
