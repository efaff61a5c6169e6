"""Result files say what is in them: every one of a whole run, opened with xarray alone."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from plateaus_utils import experiments
from plateaus_utils.experiments import explanations, explorer, latents, optima, plateaus, sensitive

WITHOUT_LABELS = {
    "prompt": "its coordinate `document` says where each came from",
    "other": "the same",
    "direction": "the draws of a kind are interchangeable",
    "swap": "so are swaps",
    "move": "and the moves along one sort of vector",
    "line": "and the two lines past a corner",
    "d_model": "the network's own axes",
    "point": "its coordinate `weight` places it in the triangle",
    "place": "its coordinate `path_size` says how far along the walk it is",
    "token_rank": "the variable `token` says which",
}
"""Dimensions without a coordinate of their own, and why."""


@pytest.fixture(scope="module")
def folder(setting, tmp_path_factory):
    """The files of every experiment that a chapter runs, on the tiny network."""
    setting = dataclasses.replace(setting, folder=tmp_path_factory.mktemp("labelled"))
    setting = setting.replace(seed=3)  # so that its activations are stored there as well
    (sae,) = latents.dictionaries(setting)
    plateaus.activation_plane(setting)
    plateaus.trained_pairs(setting)
    plateaus.untrained_pairs(setting, "published")
    plateaus.plateau_onsets(setting)
    plateaus.length_curves(setting)
    plateaus.plateau_lengths(setting)
    plateaus.small_perturbations(setting)
    for mode in ("sphere", "straight"):
        plateaus.plateau_curves(setting, mode)
        plateaus.plateau_thresholds(setting, mode)
        sensitive.direction_curves(setting, mode)
        sensitive.direction_thresholds(setting, mode)
        latents.latent_thresholds(setting, sae, mode)
        latents.base_thresholds(setting, sae, mode)
    latents.built_thresholds(setting, sae)
    sensitive.many_directions(setting)
    sensitive.walks_to_targets(setting)
    sensitive.isotropic_distances(setting)
    sensitive.mixture_steps(setting)
    sensitive.same_token_pairs(setting)
    sensitive.cosines_with_mean(setting)
    sensitive.cosines_with_base(setting)
    sensitive.other_token_pairs(setting)
    optima.triangle_sections(setting, "triangles", setting.n_prompts)
    optima.lines_past_corners(setting)
    experiments.threshold_sizes(setting.replace(prepend_bos=True), "plateau_thresholds_bos", bases=("real", "random"))
    explanations.local_quadratic(setting, "quadratic", ("real",), ("random",))
    blocks = explanations.at_blocks(setting)
    explanations.late_directions(blocks)
    explanations.layer_thresholds({layer: at.first(4) for layer, at in blocks.items()})
    explanations.both_effects(setting, "relative")
    explanations.natural_variation(setting)
    explanations.base_controls(setting)
    latents.active_thresholds(setting, [sae])
    latents.latent_effects(setting, [sae])
    latents.spread_thresholds(setting, sae)
    latents.spread_curves(setting, sae)
    latents.codes_switched_on(setting, sae)
    latents.alignments(setting, sae, 2)
    latents.walks_to_built(setting, sae)
    latents.mixed_moves(setting, sae)
    latents.part_thresholds(setting, sae)
    for places in ("all", "last"):
        latents.error_effects(setting, sae, places)
        latents.errors_by_sae(setting, [sae], places)
    latents.ablation_effects(setting, sae)
    latents.single_latents(setting, sae)
    latents.relative_curves(*latents.untrained_control(setting), "untrained")
    explorer.walks(setting, sae)
    return setting.folder


def files(folder):
    """Name -> Dataset as anybody reads it."""
    return {path.stem: xr.load_dataset(path) for path in sorted(folder.glob("*.nc"))}


def test_every_dimension_has_labels_and_every_variable_says_what_it_is(folder):
    found = files(folder)
    assert len(found) > 40
    for name, result in found.items():
        assert result.data_vars, name
        for dim in result.dims:
            assert dim in WITHOUT_LABELS or dim in result.coords, f"{name} has no labels for {dim}"
        for variable in result.data_vars.values():
            assert variable.attrs["description"] and "unit" in variable.attrs, f"{name}: {variable.name}"
        for coordinate in result.coords.values():
            numbers = coordinate.dtype.kind == "f"
            assert not numbers or {"description", "unit"} <= set(coordinate.attrs), f"{name}: {coordinate.name}"


def test_documents_stand_beside_every_prompt(folder, setting):
    for name, result in files(folder).items():
        (dim,) = {"prompt", "other"} & set(result.dims)
        documents = result["document"]
        assert documents.dims == (dim,), name
        assert all(str(document).startswith("lee/") for document in documents.values), name


def test_threshold_sizes_know_their_level_and_limit(folder):
    for name, result in files(folder).items():
        for key in {"threshold", "whole", "moved"} & set(result.data_vars):
            labels = result[key].attrs
            assert labels["level"] > 0 and labels["effect"] in ("kl", "l2"), name
            if name != "walks":  # which has one for each mode: the last place
                assert np.nanmax(result[key].values, initial=0) <= labels["limit"], name


def test_names_do_not_hide_those_of_xarray(folder):
    for name, result in files(folder).items():
        for label in {*result.dims, *result.variables}:
            assert not hasattr(xr.DataArray, str(label)), f"{name}: {label}"


def test_results_read_back_are_what_was_returned(folder, setting):
    elsewhere = dataclasses.replace(setting, folder=folder).seeded(3)
    fresh = sensitive.walks_to_targets(elsewhere)
    again = sensitive.walks_to_targets(elsewhere)
    xr.testing.assert_identical(fresh, again)
    assert fresh.document.dtype.kind == again.document.dtype.kind == "U"
