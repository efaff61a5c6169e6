"""Chapter 6: what would explain plateaus and sensitive directions away."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from .. import contrasts, estimates, quantities
from ..effects import EFFECTS
from ..experiments import explanations
from ..experiments.setting import Setting
from ..models import initializer_ranges
from ..primaries.explanations import separation

# Blocks -------------------------------------------------------------------------------------------------------------


def by_block(angles: dict[int, xr.DataArray]) -> xr.Dataset:
    """Within-prompt AUROC of random against real-other directions over [block], from angles [prompt, kind, direction]."""
    found = {f"block {block}": estimates.document_mean(separation(sizes)) for block, sizes in angles.items()}
    return estimates.together(found, "block")


def auroc_by_effect(curves: xr.Dataset) -> xr.Dataset:
    """Within-prompt AUROC of random against real-other directions over [effect].

    Each is by the angle at which the effect reaches half of its median value at 90°.

    Args:
        curves: effects [prompt, kind, direction, path_size] on the sphere.
    """
    found = {}
    for effect in ("kl", "l2", "l2_normalized"):
        sizes = quantities.crossing(curves[effect], float(curves[effect].sel(path_size=90).median()) / 2)
        found[EFFECTS[effect].axis] = estimates.mean(separation(sizes), n_boot=500)
    return estimates.together(found, "effect")


def sizes_by_layer(sweep: xr.Dataset) -> xr.Dataset:
    """Median threshold angles over [series, layer], from `explanations.layer_thresholds`."""
    series = {
        "real base": sweep.plateau.sel(base="real", drop=True),
        "Gaussian base": sweep.plateau.sel(base="random", drop=True),
        "real-other direction": sweep.direction.sel(kind="real-other", drop=True),
    }
    return estimates.together({name: estimates.median(x, n_boot=500) for name, x in series.items()}, "series")


def separation_by_layer(sweep: xr.Dataset) -> xr.Dataset:
    """Within-prompt AUROC of both effects of the report over [series, layer], from `explanations.layer_thresholds`."""
    series = {
        "plateau effect": contrasts.auroc(sweep.plateau, "base", "real", "random"),
        "direction effect": separation(sweep.direction),
    }
    return estimates.together({name: estimates.mean(x, n_boot=500) for name, x in series.items()}, "series")


# Untrained weights --------------------------------------------------------------------------------------------------

COMPARED = {"base": ("plateau effect", "real", "random"), "kind": ("direction effect", "random", "real-other")}
"""Both effects of the report: dimension -> name, and the two members that are compared."""


def half_way_by_network(setting: Setting) -> xr.Dataset:
    """Within-prompt AUROC of both effects of the report in the trained network and in untrained ones, over [network, effect].

    It is by the angle at which a curve reaches half of its own value at 90°, since an absolute threshold may never be reached.
    """
    networks = {"trained": setting} | {
        f"untrained ({name})": explanations.untrained_setting(setting, spread)
        for name, spread in initializer_ranges(setting.model).items()
    }
    found = {
        name: _half_way(explanations.both_effects(network, f"relative_{i}"))
        for i, (name, network) in enumerate(networks.items())
    }
    return estimates.together(found, "network")


def _half_way(curves: dict[str, xr.Dataset]) -> xr.Dataset:
    """The same of one network over [effect], from `explanations.both_effects`."""
    found = {}
    for read in ("kl", "l2"):
        for dim, (name, of, against) in COMPARED.items():
            half = quantities.share_crossing(curves[dim][read], 0.5, end=90)
            found[f"{name}, {read.upper()}"] = estimates.mean(contrasts.auroc(half, dim, of, against), n_boot=1000)
    return estimates.together(found, "effect")


# Yardsticks, controls and covariates --------------------------------------------------------------------------------


def natural_variation(setting: Setting) -> xr.Dataset:
    """Medians of `explanations.natural_variation` over [quantity, donor]."""
    swaps = explanations.natural_variation(setting)[["angle", "distance", "kl"]].to_dataarray("quantity")
    return estimates.known_median(swaps, within=("swap",), n_boot=1000)


def control_medians(controls: xr.Dataset) -> xr.Dataset:
    """Median threshold angles over [base], each over the prompts that have such a base; see `explanations.base_controls`."""
    return _where_present(controls, lambda sizes: estimates.median(sizes, n_boot=1000), "threshold")


def control_chords(controls: xr.Dataset) -> xr.Dataset:
    """The same of the straight distances from the base, which differ where norms do; activation units."""
    chords = quantities.chords(controls.threshold, controls.norm)
    return _where_present(controls.assign(chord=chords), lambda sizes: estimates.median(sizes, n_boot=1000), "chord")


def control_norms(controls: xr.Dataset) -> xr.Dataset:
    """Median norms over [base]."""
    return _where_present(controls, lambda norms: estimates.median(norms, n_boot=1000), "norm")


def above_gaussian(controls: xr.Dataset) -> xr.Dataset:
    """Within-prompt AUROC over [base, measure]: of realistic bases against Gaussian ones, by angle and by chord."""
    known = controls.threshold.fillna(controls.threshold.attrs["limit"])
    measures = {"angle": known, "chord": quantities.chords(known, controls.norm)}
    rows = {
        base: estimates.together(
            {name: estimates.mean(contrasts.auroc(x, "base", base, "random")) for name, x in measures.items()},
            "measure",
        )
        for base in ("real", "foreign")
    }
    return estimates.together(rows, "base")


def control_entropies(controls: xr.Dataset) -> xr.Dataset:
    """Median and quartiles of the output's entropy over [base], each over the prompts that have such a base."""
    return _where_present(controls, estimates.quartiles, "entropy")


def _where_present(controls: xr.Dataset, statistic: Callable[[xr.DataArray], xr.Dataset], name: str) -> xr.Dataset:
    """An estimate for each base that some prompt has."""
    found = {}
    for base in controls.base.values.tolist():
        here = controls.sel(base=base, drop=True)
        if here.present.any():
            found[base] = statistic(here[name].isel(prompt=here.present.values))
    return estimates.together(found, "base")


def same_token(controls: xr.Dataset) -> xr.DataArray:
    """Threshold angles [prompt, base, direction] of the real and the same-token base, of the prompts that have both."""
    present = controls.present.sel(base="same token").values
    return controls.threshold.sel(base=["real", "same token"]).isel(prompt=present)


def covariate_correlations(setting: Setting, sizes: xr.DataArray) -> xr.Dataset:
    """Rank correlations of plain properties of the base with its threshold angles, over [property, target].

    Args:
        setting: the one of `sizes`.
        sizes: threshold angles [prompt, kind, direction]; the median of a prompt's directions counts.
    """
    found = explanations.covariates(setting)
    properties = xr.DataArray(
        np.stack(list(found.values()), 1),
        dims=("prompt", "property"),
        coords={"property": list(found), "document": ("prompt", setting.documents)},
    )
    return estimates.spearman(properties, _targets(sizes), n_boot=1000)


def _targets(sizes: xr.DataArray) -> xr.DataArray:
    """Median angles along random and real-other directions, and their difference [prompt, target]."""
    two = sizes.sel(kind=["random", "real-other"]).fillna(np.inf).median("direction").rename(kind="target")
    random, other = (two.sel(target=kind, drop=True) for kind in ("random", "real-other"))
    gap = (random - other).fillna(0)  # two censored sizes are equal
    return xr.concat([two, gap.expand_dims(target=["random minus real-other"])], "target", combine_attrs="override")
