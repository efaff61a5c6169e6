"""SAE features: whether latents of a sparse autoencoder behave like the model's own features.

`choosing` says which SAE and which latents, `single` and `sums` step along one latent and along many, `bases` start from
activations that an SAE made, `targets` take real-other directions apart, `replacements` put an SAE's output in the place of an
activation, `encoding` asks what its encoder makes of random vectors, and `untrained` is the control.
"""

from .bases import N_BUILT, base_thresholds, built_thresholds, sae_bases, walks_to_built
from .choosing import active_bands, active_latents, dictionaries, main_dictionary
from .encoding import codes_switched_on
from .replacements import ablation_effects, error_effects, errors_by_sae
from .single import active_thresholds, latent_effects, latent_thresholds, latent_vectors, single_latents
from .sums import SPREAD, SUMS, spread_curves, spread_thresholds, spread_vectors
from .targets import alignments, mixed_moves, part_thresholds, real_other_parts
from .untrained import relative_curves, untrained_control

__all__ = [
    "SPREAD",
    "SUMS",
    "ablation_effects",
    "active_bands",
    "active_latents",
    "active_thresholds",
    "alignments",
    "N_BUILT",
    "base_thresholds",
    "built_thresholds",
    "codes_switched_on",
    "dictionaries",
    "error_effects",
    "errors_by_sae",
    "latent_effects",
    "latent_thresholds",
    "latent_vectors",
    "main_dictionary",
    "mixed_moves",
    "part_thresholds",
    "real_other_parts",
    "relative_curves",
    "sae_bases",
    "single_latents",
    "spread_curves",
    "spread_thresholds",
    "spread_vectors",
    "untrained_control",
    "walks_to_built",
]
