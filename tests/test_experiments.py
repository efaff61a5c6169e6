"""The experiments on a tiny network: shapes, pairing, exactness, and numbers computed a second way."""

import dataclasses
import json

import datasets
import numpy as np
import pytest
import torch
import xarray as xr

from plateaus_utils import embedded, models, quantities, results
from plateaus_utils.activations import collect
from plateaus_utils.directions import directions
from plateaus_utils.effects import kl_divergence, measure
from plateaus_utils.errors import ActivationError, CorpusError, ModelError, ParameterError
from plateaus_utils.experiments import (
    base_points,
    curves,
    explanations,
    measuring,
    optima,
    plateaus,
    prepare,
    sensitive,
    threshold_sizes,
)
from plateaus_utils.kinds import BASES, MAIN_DIRECTIONS
from plateaus_utils.patching import Suffix
from plateaus_utils.paths import sphere, straight
from plateaus_utils.sensitivity import exponent, first_crossing, max_slope, width

ANGLES = [0.0, 45.0, 90.0, 180.0]


def distances(x, y):
    """[n, m] without the shortcut through a matrix product, which loses the small ones."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


@pytest.fixture
def elsewhere(setting, tmp_path):
    """The same setting with an empty folder of results."""
    return dataclasses.replace(setting, folder=tmp_path)


# What is studied ------------------------------------------------------------------------------------------------------


def test_setting_holds_activations_of_its_own_prompts(setting, small):
    assert setting.n_prompts == small["n_prompts"] and len(setting.others) == small["n_others"]
    assert setting.base_activations.shape == (10, 32) and setting.other_activations.shape == (80, 32)
    torch.testing.assert_close(
        setting.base_activations, collect(setting.model, setting.bases.tokens, "blocks.1.hook_resid_pre")
    )
    torch.testing.assert_close(
        setting.other_activations, collect(setting.model, setting.others.tokens, "blocks.1.hook_resid_pre")
    )
    assert len(set(setting.documents)) == setting.n_prompts
    torch.testing.assert_close(setting.gaussian.mean.float(), setting.other_activations.mean(0))


def test_activations_are_stored_once_and_read_back(tmp_path, small, monkeypatch):
    first = prepare(embedded.TINY, str(tmp_path), **small)
    assert [path.name for path in tmp_path.glob("*.nc")] == ["activations_10_80_1.nc"]
    before = (tmp_path / "activations_10_80_1.nc").stat().st_mtime_ns
    second = prepare(embedded.TINY, str(tmp_path), **small)
    assert (tmp_path / "activations_10_80_1.nc").stat().st_mtime_ns == before
    assert torch.equal(first.other_activations, second.other_activations)
    assert torch.equal(first.base_activations, second.base_activations)


def test_settings_with_and_without_first_token_do_not_overwrite_each_other(tmp_path, small):
    for bos in (False, True):
        setting = prepare(embedded.TINY, str(tmp_path), **small, prepend_bos=bos)
        assert (setting.bases.tokens[:, 0] == 256).all() == bos
    assert len(list(tmp_path.glob("activations*.nc"))) == 2


def test_first_prompts_of_a_setting_are_a_setting(setting):
    few = setting.first(4)
    assert few.n_prompts == 4 and torch.equal(few.base_activations, setting.base_activations[:4])
    assert few.content != setting.content and few.provenance["n_prompts"] == 4


def test_settings_at_several_layers_are_the_settings_at_each(tmp_path, setting):
    found = dataclasses.replace(setting, folder=tmp_path).at_layers([0, 1, 3])
    assert list(found) == [0, 1, 3]
    torch.testing.assert_close(found[1].base_activations, setting.base_activations)
    torch.testing.assert_close(found[1].other_activations, setting.other_activations)
    torch.testing.assert_close(found[1].gaussian.mean, setting.gaussian.mean)
    deep = collect(setting.model, setting.others.tokens, "blocks.3.hook_resid_pre")
    torch.testing.assert_close(found[3].other_activations, deep)


def test_bad_parameters_of_a_setting_are_refused(tmp_path, small, refused):
    with refused(ModelError, "blocks.9.hook_resid_pre"):
        prepare(embedded.TINY, str(tmp_path), **small, layer=9)
    with refused(CorpusError, "longer than the model's context of 256"):
        prepare(embedded.TINY, str(tmp_path), **small | {"seq_len": 300})
    with refused(ActivationError, "60 activations are too few", "at least 64"):
        prepare(embedded.TINY, str(tmp_path), **small | {"n_others": 60, "shrinkage": False})


def test_local_model_and_pretokenized_corpus_go_all_the_way(tmp_path, family_folder):
    # The way of a GPT-2 from the hub with a corpus of token ids, on local stand-ins for both.
    generator = np.random.default_rng(0)
    rows = [{"input_ids": [*generator.integers(0, 256, 40).tolist(), 256]} for _ in range(60)]
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "corpus")
    setting = prepare(
        family_folder("gpt2"),
        str(tmp_path / "results"),
        corpus=str(tmp_path / "corpus"),
        n_prompts=6,
        n_others=40,
        shrinkage=True,
        device="cpu",
    )
    assert setting.model.name == family_folder("gpt2") and not (setting.bases.tokens == 256).any()
    found = threshold_sizes(setting, "t", kinds=("random", "real-other"), level=0.05)
    assert found.threshold.shape == (6, 1, 2, 2) and found.threshold.notnull().mean() > 0.5


# Kinds of base --------------------------------------------------------------------------------------------------------


def test_bases_are_what_their_names_say(setting):
    real, others = setting.base_activations, setting.other_activations
    found = {kind: base_points(setting, kind) for kind in BASES}
    assert all(points.shape == real.shape and points.isfinite().all() for points in found.values())
    assert torch.equal(found["real"], real)
    torch.testing.assert_close(found["naive"].norm(dim=-1), real.norm(dim=-1))
    assert distances(found["foreign"], others).min(1).values.max() < 1e-4
    torch.testing.assert_close(found["mean"], others.mean(0).expand(10, -1), atol=1e-5, rtol=1e-5)
    middles = (others[:, None] + others[None]) / 2
    assert distances(found["midpoint"], middles.flatten(0, 1)).min(1).values.max() < 1e-4
    assert distances(found["random"], torch.cat([real, others])).min() > 0.1
    for kind in ("random", "permuted scores"):
        assert found[kind].sum(-1).abs().max() < 1e-3  # a centred model's bases sum to zero


def test_permuted_scores_come_from_real_ones(setting):
    vectors, mean = setting.gaussian.eigenvectors.float(), setting.gaussian.mean.float()
    real = (setting.other_activations - mean) @ vectors
    found = (base_points(setting, "permuted scores") - mean) @ vectors
    nearest = (found[:, None] - real[None]).abs().min(1).values
    assert nearest.max() < 1e-3


def test_base_of_the_same_token_comes_from_a_prompt_that_ends_in_it(setting):
    found = base_points(setting, "same token")
    for i, ends in enumerate(ends_in_the_same_token(setting)):
        if ends:
            nearest = int(distances(found[i : i + 1], setting.other_activations).argmin())
            assert nearest in ends
        else:
            assert torch.equal(found[i], setting.base_activations[i])


def ends_in_the_same_token(setting):
    """For each base the others of other documents whose prompts end in its last token."""
    pairs = list(zip(setting.others.documents, setting.others.tokens[:, -1].tolist(), strict=True))
    return [
        [j for j, (document, last) in enumerate(pairs) if last == token and document != own]
        for own, token in zip(setting.documents, setting.bases.tokens[:, -1].tolist(), strict=True)
    ]


def test_no_base_meets_an_other_of_its_own_document(setting):
    """Bases and swaps made of one real activation: every one is found among others of other documents."""
    for seed in range(5):
        other = setting.seeded(seed)
        foreign = base_points(other, "foreign")
        for i, own in enumerate(setting.documents):
            nearest = int(distances(foreign[i : i + 1], setting.other_activations).argmin())
            assert setting.others.documents[nearest] != own
            for k in (1, 2, 8):
                assert own not in setting.others.documents[other.draws(k).real_index[i]]
    rng = torch.Generator().manual_seed(0)
    for index in (setting.some_others(3, rng), setting.some_others(200, rng, replacement=True)):
        assert all(own not in setting.others.documents[row] for own, row in zip(setting.documents, index, strict=True))


def test_unknown_kind_of_base_is_refused(setting, refused):
    with refused(ParameterError, "'unheard-of'", "permuted scores"):
        base_points(setting, "unheard-of")


def test_kinds_of_base_are_the_same_whenever_they_are_asked_for(setting):
    for kind in BASES:
        assert torch.equal(base_points(setting, kind), base_points(setting, kind))


# Curves ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sphere_curves(setting):
    return curves(
        setting, "test_sphere", bases=("real", "random"), kinds=("random", "real-other", "naive"), sizes=ANGLES
    )


def test_curves_are_labelled_and_finite(sphere_curves, setting):
    assert sphere_curves.kl.dims == ("prompt", "base", "kind", "direction", "path_size")
    assert sphere_curves.kl.shape == (10, 2, 3, 2, 4)
    assert set(sphere_curves.data_vars) >= set(measuring.CURVE_EFFECTS)
    assert all(np.isfinite(sphere_curves[name]).all() for name in measuring.CURVE_EFFECTS)
    assert sphere_curves.path_size.attrs["unit"] == "degrees" and sphere_curves.kl.attrs["description"]
    np.testing.assert_array_equal(sphere_curves.document, setting.documents)


def test_curves_are_what_one_forward_pass_for_each_point_gives(sphere_curves, setting):
    draws = setting.draws(2)
    for prompt, base, kind, direction, size in ((0, "real", "random", 0, 1), (7, "random", "real-other", 1, 2)):
        start = base_points(setting, base)[prompt]
        vector = directions(kind, base_points(setting, base), draws)[prompt, direction]
        point = sphere(start, vector, torch.tensor([ANGLES[size]]))[0]
        logits = []
        for value in (start, point):

            def patch(stream, hook, value=value):
                stream[:, -1] = value
                return stream

            with torch.no_grad():
                tokens = setting.bases.tokens[prompt : prompt + 1]
                logits.append(
                    setting.model.bridge.run_with_hooks(tokens, fwd_hooks=[(setting.hook_name, patch)])[:, -1]
                )
        found = sphere_curves.kl.isel(prompt=prompt, direction=direction, path_size=size).sel(base=base, kind=kind)
        assert float(found) == pytest.approx(kl_divergence(*logits).item(), rel=1e-3)


def test_zero_size_has_zero_effect_around_every_base(sphere_curves):
    # Invariant: no perturbation, no effect, relative to the run on the inserted base.
    start = sphere_curves.isel(path_size=0)
    assert float(start.kl.max()) <= 1e-6 and float(start.top_changed.max()) == 0
    assert float(start.l2.max()) <= 1e-5 * float(sphere_curves.l2.max()) * 10
    assert float(abs(start.cosine - 1).max()) <= 1e-5


def test_all_meridians_meet_at_the_antipode(sphere_curves):
    end = sphere_curves.kl.isel(path_size=-1).sel(base="real").values
    np.testing.assert_allclose(end, np.broadcast_to(end[:, :1, :1], end.shape), rtol=1e-3)


def test_same_call_elsewhere_gives_the_same_numbers_to_the_last_digit(sphere_curves, elsewhere):
    again = curves(
        elsewhere, "test_sphere", bases=("real", "random"), kinds=("random", "real-other", "naive"), sizes=ANGLES
    )
    xr.testing.assert_identical(again.drop_attrs(), sphere_curves.drop_attrs())


def test_stored_result_is_what_was_computed(sphere_curves, setting):
    again = curves(
        setting, "test_sphere", bases=("real", "random"), kinds=("random", "real-other", "naive"), sizes=ANGLES
    )
    xr.testing.assert_identical(again, sphere_curves)


@pytest.mark.parametrize("prompts", [1, 3, 10])
def test_numbers_do_not_depend_on_how_prompts_are_chunked(sphere_curves, elsewhere, monkeypatch, prompts):
    monkeypatch.setattr(measuring, "PROMPTS_PER_SUFFIX", prompts)
    found = curves(
        elsewhere, "test_sphere", bases=("real", "random"), kinds=("random", "real-other", "naive"), sizes=ANGLES
    )
    for name in ("kl", "l2", "cosine"):
        np.testing.assert_allclose(found[name], sphere_curves[name], rtol=1e-4, atol=1e-5)


def test_interrupted_experiment_continues_with_the_same_numbers(sphere_curves, elsewhere, monkeypatch):
    monkeypatch.setattr(measuring, "PROMPTS_PER_SUFFIX", 3)
    options = {"bases": ("real", "random"), "kinds": ("random", "real-other", "naive"), "sizes": ANGLES}
    made, original = [], measuring._suffix

    def suffix(model, tokens, *rest):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(len(tokens))
        return original(model, tokens, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(measuring, "_suffix", suffix)
        curves(elsewhere, "test_sphere", **options)
    made.clear()
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "_suffix", suffix)
        found = curves(elsewhere, "test_sphere", **options)
    assert made == [3, 1]
    np.testing.assert_allclose(found.kl, sphere_curves.kl, rtol=1e-4, atol=1e-5)


def test_pairing_by_directions_gives_every_base_the_real_bases_vectors(setting):
    options = {"bases": ("real", "random"), "kinds": ("random",), "mode": "straight", "sizes": [0.5, 1.0]}
    by_target = curves(setting, "test_by_target", **options, pairing="targets")
    by_direction = curves(setting, "test_by_direction", **options, pairing="directions")
    np.testing.assert_allclose(by_target.kl.sel(base="real"), by_direction.kl.sel(base="real"), rtol=1e-4, atol=1e-6)
    inserted = base_points(setting, "random")
    suffix = Suffix(setting.model, setting.bases.tokens, setting.hook_name)
    for result, origin in ((by_target, inserted), (by_direction, setting.base_activations)):
        vectors = directions("random", origin, setting.draws(2))
        points = straight(inserted[:, None].expand_as(vectors), vectors, torch.tensor([0.5, 1.0]))
        kl = measure(suffix, points.flatten(1, 2), inserted[:, None])["kl"].view(10, 2, 2)
        np.testing.assert_allclose(result.kl.sel(base="random", kind="random"), kl, rtol=1e-4, atol=1e-6)


def test_result_is_stale_when_the_module_that_computes_it_changes(elsewhere, monkeypatch):
    hashed = []
    code_hash = results.code_hash
    monkeypatch.setattr(results, "code_hash", lambda compute=None: hashed.append(compute) or code_hash(compute))
    plateaus.pair_paths(elsewhere, "pairs")
    compute = next(c for c in hashed if c is not None)
    assert code_hash(compute) != code_hash(), "the chapter's own module is not part of the key"


# Threshold sizes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["sphere", "straight"])
def test_thresholds_are_where_dense_curves_cross(mode, setting):
    options = {"bases": ("real", "random"), "kinds": ("random", "real-other"), "mode": mode}
    found = threshold_sizes(setting, f"test_thresholds_{mode}", **options, level=0.1)
    limit = found.threshold.attrs["limit"]
    sizes = np.linspace(0, limit, 361)
    dense = curves(setting, f"test_dense_{mode}", **options, sizes=sizes, effects=("kl",))
    expected = first_crossing(sizes, dense.kl.values, 0.1)
    assert found.threshold.shape == expected.shape == (10, 2, 2, 2)
    np.testing.assert_array_equal(np.isnan(found.threshold), np.isnan(expected))
    assert np.isfinite(expected).sum() > 20
    assert np.nanmax(np.abs(found.threshold - expected)) <= measuring.TOLERANCES[mode]
    assert (found.evaluations > 0).all() and found.threshold.attrs["level"] == 0.1


def test_impossible_level_is_censored_everywhere(setting):
    found = threshold_sizes(setting, "test_censored", level=1e6)
    assert found.threshold.isnull().all() and found.threshold.attrs["limit"] == 180
    assert (found.evaluations == 4).all()  # 15, 45, 135 and the last: three times as far each time


# Activation plateaus --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["sphere", "straight"])
def test_plateaus_have_curves_and_thresholds_at_three_bases_paired_both_ways(mode, setting):
    drawn = plateaus.plateau_curves(setting, mode)
    assert drawn.base.values.tolist() == ["real", "random", "naive"]
    assert drawn.kl.sizes["path_size"] == len(measuring.CURVE_SIZES[mode])
    assert float(drawn.kl.isel(path_size=0).max()) <= 1e-6
    targets, same_vectors = (plateaus.plateau_thresholds(setting, mode, p).threshold for p in ("targets", "directions"))
    assert targets.dims == ("prompt", "base", "direction") and targets.shape == (10, 3, 1)
    np.testing.assert_allclose(targets.sel(base="real"), same_vectors.sel(base="real"), rtol=1e-5)
    assert (targets.sel(base="random") != same_vectors.sel(base="random")).any()


def test_norms_of_bases_are_their_lengths_and_naive_ones_have_the_real_one(setting):
    norms = plateaus.base_norms(setting)
    np.testing.assert_allclose(norms.sel(base="real"), np.linalg.norm(setting.base_activations, axis=1), rtol=1e-5)
    np.testing.assert_allclose(norms.sel(base="naive"), norms.sel(base="real"), rtol=1e-5)
    assert (norms.sel(base="random") != norms.sel(base="real")).all()


def test_thresholds_may_have_a_level_for_each_base(setting):
    suffix = Suffix(setting.model, setting.bases.tokens, setting.hook_name)
    at = torch.stack([base_points(setting, base) for base in ("real", "random")], 1)
    vectors = setting.draws(1).gaussian - at
    levels = torch.rand(10, 2) + 0.05
    together = measuring.thresholds_along(suffix, at, vectors, level=levels).size
    for i, j in ((0, 0), (3, 1), (9, 0)):
        own = Suffix(setting.model, setting.bases.tokens[i : i + 1], setting.hook_name)
        alone = measuring.thresholds_along(
            own, at[i, j][None], vectors[i, j][None, None], level=float(levels[i, j])
        ).size
        np.testing.assert_allclose(together[i, j], alone[0, 0], atol=1e-3)


def test_final_distances_are_between_prompts_of_different_documents(setting):
    final = collect(setting.model, setting.bases.tokens, "blocks.3.hook_resid_post").double()
    expected = [
        (final[i] - final[j]).norm().item()
        for i in range(10)
        for j in range(i + 1, 10)
        if setting.documents[i] != setting.documents[j]
    ]
    np.testing.assert_allclose(plateaus.final_distances(setting), expected, rtol=1e-4)


def test_plateau_length_is_where_the_distance_reaches_the_published_level(setting):
    found = plateaus.plateau_lengths(setting)
    movements = plateaus.plateau_movements(setting)
    starts = setting.base_activations
    mean = setting.other_activations.double().mean(0).float()
    np.testing.assert_allclose(movements.length, 0.19 * (starts - mean).norm(dim=-1), rtol=1e-4)
    vectors = directions("random", starts, setting.draws(1))[:, 0]
    vectors = vectors / vectors.norm(dim=-1, keepdim=True)
    suffix = Suffix(setting.model, setting.bases.tokens, setting.hook_name)
    moved = starts + torch.from_numpy(movements.length.values)[:, None] * vectors
    np.testing.assert_allclose(movements.l2, measure(suffix, moved[:, None], names=("l2",))["l2"][:, 0], rtol=1e-3)
    level = found.threshold.attrs["level"]
    assert level == float(movements.l2.median())
    # A little before the length the output has moved less than the level, a little after it more.
    lengths = torch.from_numpy(found.threshold.sel(base="real").values).float()
    around = torch.stack([starts + (scale * lengths)[:, None] * vectors for scale in (0.9, 1.1)], 1)
    before, after = measure(suffix, around, names=("l2",))["l2"].T
    known = lengths.isfinite()
    assert known.sum() >= 5 and (before[known] < level).all() and (after[known] > level).all()


def test_lengths_and_their_curves_agree(setting):
    lengths = plateaus.plateau_lengths(setting).threshold
    curve = plateaus.length_curves(setting).l2
    assert curve.dims == ("prompt", "base", "direction", "path_size") and (curve.isel(path_size=0) < 1e-3).all()
    crossed = quantities.crossing(curve, lengths.attrs["level"])
    ratio = float(crossed.median() / lengths.median())
    assert ratio == pytest.approx(1, abs=0.35)  # other targets of the same Gaussian


def test_small_perturbations_grow_with_the_square_in_divergence_and_linearly_in_distance(setting):
    found = plateaus.small_perturbations(setting)
    assert found.kl.dims == ("prompt", "path_size") and found.kl.shape == (10, 9)
    sizes = found.path_size.values
    assert np.nanmedian(exponent(sizes, found.kl.values, found.kl.values)) == pytest.approx(2, abs=0.15)
    assert np.nanmedian(exponent(sizes, found.l2.values, found.kl.values)) == pytest.approx(1, abs=0.05)


def test_plane_passes_through_its_three_corners(setting):
    found = plateaus.activation_plane(setting)
    assert found.kl.shape == (3, 3, 31, 31) and found.corner_xy.shape == (3, 3, 2)
    at = {"A": (0, 0), "B": (1, 0), "C": (0, 1)}
    for corner, (u, v) in at.items():
        own = found.kl.sel(corner=corner).sel(u=u, v=v, method="nearest")
        assert float(own.max()) < 1e-4
    draws = setting.draws(1, "plane")
    corners = torch.stack([setting.base_activations[:3], draws.real[:3, 0], draws.real_second[:3, 0]], 1)
    expected = torch.cdist(corners, corners).numpy()
    xy = found.corner_xy.values
    np.testing.assert_allclose(np.linalg.norm(xy[:, :, None] - xy[:, None], axis=-1), expected, rtol=1e-3, atol=1e-3)
    # From corner A, the divergence at corner B is that of simply inserting B.
    suffix = Suffix(setting.model, setting.bases.tokens[:3], setting.hook_name)
    kl = measure(suffix, corners, corners[:, :1])["kl"][:, 0]
    np.testing.assert_allclose(found.kl.sel(corner="A").sel(u=1, v=0, method="nearest"), kl[:, 1], rtol=1e-3)


# Paths between activations --------------------------------------------------------------------------------------------


def test_pair_paths_leave_one_end_and_arrive_at_the_other(setting):
    # Invariant: the distance from the start is 0 at the start; at the end, that from the end is.
    found = plateaus.pair_paths(setting, "test_pairs")
    assert found.from_start.dims == ("prompt", "interpolation", "read", "t")
    assert found.from_start.shape == (10, 2, 2, 50)
    span = found.from_start.isel(t=-1)
    assert (found.from_start.isel(t=0) <= 1e-5 * span + 1e-5).all()
    assert (found.from_end.isel(t=-1) <= 1e-5 * span + 1e-5).all()
    np.testing.assert_allclose(found.from_end.isel(t=0), span, rtol=1e-4)
    share = (found.from_start / found.from_start.isel(t=-1)).values
    np.testing.assert_allclose(share[..., [0, -1]] - [0, 1], 0, atol=1e-5)
    assert np.isfinite(width(found.t.values, found.from_start.values, found.from_end.values)).any()
    assert (max_slope(found.from_start.values) >= 1 - 1e-3).all()


def test_pair_paths_end_at_the_activations_asked_for(setting):
    ends = torch.arange(10)
    found = plateaus.pair_paths(setting, "test_chosen_pairs", ends=ends)
    suffix = Suffix(setting.model, setting.bases.tokens, setting.hook_name)
    expected = measure(suffix, setting.other_activations[ends][:, None], names=("l2",))["l2"][:, 0]
    for interpolation in ("linear", "slerp"):
        end = found.from_start.isel(t=-1).sel(interpolation=interpolation, read="resid_post")
        np.testing.assert_allclose(end, expected, rtol=1e-4)


def test_untrained_network_has_paths_of_its_own(setting):
    fresh = models.untrained(setting.model, 0.02)
    found = plateaus.pair_paths(setting, "test_untrained_pairs", fresh)
    again = plateaus.untrained_pairs(setting, "published")  # of this model no other scale is published
    assert not np.allclose(again.from_start, found.from_start)
    assert not np.allclose(found.from_start, plateaus.trained_pairs(setting).from_start)
    # At a published scale of initialization a network is close to linear: near 0.8 and 1.
    linear = found.sel(interpolation="linear", read="resid_post")
    widths = width(found.t.values, linear.from_start.values, linear.from_end.values)
    assert np.median(widths) == pytest.approx(0.8, abs=0.06)
    assert np.median(max_slope(linear.from_start.values)) == pytest.approx(1, abs=0.3)


# Sensitive directions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["sphere", "straight"])
def test_direction_experiments_hold_all_their_kinds(mode, setting):
    curve, size = sensitive.direction_curves(setting, mode), sensitive.direction_thresholds(setting, mode)
    assert curve.kl.dims == ("prompt", "kind", "direction", "path_size") and tuple(curve.kind.values) == MAIN_DIRECTIONS
    assert ("kl_reverse" in curve) == (mode == "sphere") and float(curve.kl.isel(path_size=0).max()) <= 1e-6
    kinds = size.kind.values.tolist()
    assert set(MAIN_DIRECTIONS) <= set(kinds) and ("-random" in kinds) == (mode == "sphere")


def test_on_the_sphere_a_target_and_its_difference_from_the_base_name_one_meridian(setting):
    # Towards −g in place of −(g − base): the base's share of a direction does not count there.
    base, draws = setting.base_activations, setting.draws(2)
    first = sphere(base[:, None].expand(-1, 2, -1), directions("random", base, draws), torch.tensor([60.0]))
    second = sphere(base[:, None].expand(-1, 2, -1), draws.gaussian, torch.tensor([60.0]))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)


def test_walk_to_a_target_ends_with_the_targets_own_effect(setting):
    found = sensitive.walks_to_targets(setting)
    assert found.kl.dims == ("prompt", "kind", "path_size") and found.kl.shape == (10, 2, 26)
    draws = setting.draws(1, "walks")
    suffix = Suffix(setting.model, setting.bases.tokens, setting.hook_name)
    for kind, target in (("real-other", draws.real), ("random", draws.gaussian)):
        kl = measure(suffix, target)["kl"][:, 0]
        np.testing.assert_allclose(found.kl.sel(kind=kind).isel(path_size=-1), kl, rtol=1e-3, atol=1e-5)
    assert float(found.kl.isel(path_size=0).max()) <= 1e-6


def test_only_the_straight_path_to_a_real_target_arrives_at_a_real_activation(setting):
    found = sensitive.nearest_real(setting, "straight")
    base = setting.base_activations
    vector = setting.draws(2).real[:, 0] - base
    arrival = vector.norm(dim=-1) / base.norm(dim=-1)
    step = found.path_size.diff("path_size").values.max()
    for i in range(10):
        near = found.sel(kind="real-other").isel(prompt=i).interp(path_size=float(arrival[i]))
        if arrival[i] <= 2:
            assert float(near) <= step


def test_arrival_angle_is_the_angle_between_base_and_target(setting):
    base, real = setting.base_activations.double(), setting.draws(2).real.double()
    cosine = (base[:, None] * real).sum(-1) / base.norm(dim=-1)[:, None] / real.norm(dim=-1)
    np.testing.assert_allclose(sensitive.arrival_angles(setting), torch.rad2deg(cosine.acos()), atol=0.05)


def test_pairs_of_the_same_last_token_are_known_of_the_prompts_that_have_one(setting):
    found = sensitive.same_token_pairs(setting)
    have = [bool(ends) for ends in ends_in_the_same_token(setting)]
    assert found.from_start.shape == (10, 1, 2, 50)
    assert found.from_start.notnull().all(["interpolation", "read", "t"]).values.tolist() == have


def test_pairs_of_another_last_token_end_in_one_of_another_document(setting, elsewhere):
    found = sensitive.other_token_pairs(elsewhere)
    ends = json.loads(found.attrs["settings"])["ends"]
    for i, end in enumerate(ends):
        assert setting.others.tokens[end, -1] != setting.bases.tokens[i, -1]
        assert setting.others.documents[end] != setting.documents[i]


def test_cosines_with_the_mean_are_those_of_the_tangents_of_sphere_paths(setting):
    found, draws = sensitive.cosines_with_mean(setting), setting.draws(sensitive.N_MANY)
    assert found.dims == ("prompt", "kind", "direction") and found.kind.values.tolist() == ["random", "real-other"]
    base, mean = setting.base_activations.double(), setting.gaussian.mean.double()
    targets = {"mean": mean.expand_as(draws.gaussian), "random": draws.gaussian, "real-other": draws.real}
    tangents = {}
    for name, target in targets.items():
        ends = base[:, None].expand(-1, sensitive.N_MANY, -1)
        tangents[name] = sphere(ends, target.double() - ends, torch.tensor([90.0]).double())[:, :, 0]
    for kind in ("random", "real-other"):
        expected = torch.cosine_similarity(tangents[kind], tangents["mean"], dim=-1)
        np.testing.assert_allclose(found.sel(kind=kind), expected, atol=1e-4)


# Local optima ---------------------------------------------------------------------------------------------------------


def test_corners_of_a_triangle_are_the_directions_of_its_targets(setting):
    found = optima.triangle_sections(setting, "test_triangles", 4)
    assert found.threshold.shape == (4, 2, 15)
    weights, draws = found.weight.values, setting.draws(3, "triangle")[:4]
    few = setting.first(4)
    suffix = Suffix(few.model, few.bases.tokens, few.hook_name)
    targets = {0: draws.real[:, 0], 1: draws.gaussian[:, 0]}
    for section, target in targets.items():
        alone = measuring.thresholds_along(suffix, few.base_activations, (target - few.base_activations)[:, None])
        np.testing.assert_allclose(found.threshold[:, section, 0], alone.size[:, 0], atol=0.5)
    shared = np.flatnonzero(weights[:, 0] == 0)  # the edge between the two Gaussian targets is in both sections
    edge = found.threshold.values[:, :, shared]
    np.testing.assert_allclose(edge[:, 0], edge[:, 1], atol=0.1)


def test_finer_map_of_the_first_prompts_shows_the_same_triangles(setting):
    coarse = optima.triangle_sections(setting, "test_coarse", setting.n_prompts)
    fine = optima.on_coarse_grid(optima.triangle_sections(setting, "test_fine", 3, optima.FINE_RESOLUTION, 0.01))
    np.testing.assert_array_equal(fine.weight, coarse.weight)
    np.testing.assert_allclose(fine.threshold, coarse.threshold[:3], atol=optima.TOLERANCE + 0.01)


def test_lines_cross_at_the_corner_they_pass(setting):
    found = optima.lines_past_corners(setting, tolerance=0.1)
    assert found.threshold.shape == (10, 2, 5) and found.s.values.tolist() == list(optima.STEPS)
    at_corner = found.threshold.sel(s=0.0)
    draws = setting.draws(3, "triangle")
    suffix = Suffix(setting.model, setting.bases.tokens, setting.hook_name)
    alone = measuring.thresholds_along(
        suffix, setting.base_activations, (draws.real[:, 0] - setting.base_activations)[:, None], tolerance=0.1
    )
    np.testing.assert_allclose(at_corner.sel(section="real-other"), alone.size[:, 0], atol=0.2)


# Trivial explanations -------------------------------------------------------------------------------------------------


def test_thresholds_by_layer_are_those_of_each_layers_setting(tmp_path, setting):
    settings = dataclasses.replace(setting, folder=tmp_path).at_layers([1, 3])
    found = explanations.layer_thresholds({layer: at.first(5) for layer, at in settings.items()})
    assert found.plateau.shape == (2, 5, 2, 2) and found.direction.shape == (2, 5, 2, 2)
    alone = threshold_sizes(setting.first(5), "test_first_five", kinds=("random", "real-other"))
    np.testing.assert_allclose(
        found.direction.sel(layer=1).transpose(*alone.threshold.isel(base=0).dims),
        alone.threshold.isel(base=0),
        atol=0.5,
    )


def test_control_of_the_same_token_is_present_where_another_prompt_ends_in_it(setting, elsewhere):
    token = setting.bases.tokens[0, -1]
    kept = setting.others.tokens[:, -1] != token
    alone = dataclasses.replace(
        elsewhere, others=setting.others[kept], other_activations=setting.other_activations[kept]
    )
    present = explanations.base_controls(alone).present
    assert present.sel(base="same token").values.tolist() == [bool(ends) for ends in ends_in_the_same_token(alone)]
    assert not present.sel(base="same token")[0] and present.drop_sel(base="same token").values.all()


def test_controls_have_thresholds_and_entropies_for_every_kind_of_base(setting):
    found = explanations.base_controls(setting)
    assert found.base.values.tolist() == list(BASES) and found.entropy.shape == (10, 8)
    assert float(found.entropy.min()) >= 0 and float(found.entropy.max()) <= np.log(257) + 1e-4
    with torch.no_grad():
        p = setting.model.core(setting.bases.tokens).logits[:, -1].double().softmax(-1)
    expected = -(p * p.log()).sum(-1)
    np.testing.assert_allclose(found.entropy.sel(base="real"), expected, rtol=1e-3)


def test_natural_variation_measures_the_swap_it_makes(setting):
    found = explanations.natural_variation(setting, 3)
    assert found.kl.dims == ("prompt", "swap", "donor") and found.kl.shape == (10, 3, 2)
    index = setting.draws(3, "swaps").real_index
    swapped = setting.other_activations[index]
    base = setting.base_activations[:, None]
    any_ = found.sel(donor="any")
    np.testing.assert_allclose(any_.distance, (swapped - base).norm(dim=-1) / base.norm(dim=-1), rtol=1e-4)
    suffix = Suffix(setting.model, setting.bases.tokens, setting.hook_name)
    np.testing.assert_allclose(any_.kl, measure(suffix, swapped)["kl"], rtol=1e-3, atol=1e-6)
    counts = [min(3, len(ends)) for ends in ends_in_the_same_token(setting)]
    assert found.kl.sel(donor="same token").notnull().sum("swap").values.tolist() == counts


def test_untrained_setting_keeps_the_prompts_and_has_its_own_activations(elsewhere):
    fresh = explanations.untrained_setting(elsewhere, 0.02)
    assert torch.equal(fresh.bases.tokens, elsewhere.bases.tokens)
    assert not torch.allclose(fresh.base_activations, elsewhere.base_activations)
    torch.testing.assert_close(fresh.base_activations, collect(fresh.model, fresh.bases.tokens, fresh.hook_name))
    assert fresh.made_by != elsewhere.made_by and fresh.provenance["shrinkage"]
    found = explanations.both_effects(fresh, "untrained")
    assert found["base"].kl.dims == ("prompt", "base", "direction", "path_size")
    assert found["kind"].kind.values.tolist() == ["random", "real-other"]


def test_covariates_are_plain_properties_of_the_bases(setting):
    found = explanations.covariates(setting)
    base, mean = setting.base_activations.numpy(), setting.other_activations.numpy().mean(0)
    np.testing.assert_allclose(found["norm of the base"], np.linalg.norm(base, axis=1), rtol=1e-5)
    np.testing.assert_allclose(found["distance to the mean"], np.linalg.norm(base - mean, axis=1), rtol=1e-4)
    last = setting.others.tokens[:, -1].tolist()
    shares = [last.count(int(token)) / 80 for token in setting.bases.tokens[:, -1]]
    np.testing.assert_allclose(found["frequency of the last token"], shares, rtol=1e-5)


# Every result says what made it ---------------------------------------------------------------------------------------


def test_settings_of_a_result_are_in_its_file(elsewhere):
    curves(elsewhere, "said", sizes=[10.0], effects=("kl",))
    said = json.loads(results.load(elsewhere.folder / "said.nc").attrs["settings"])
    assert said["model"] == embedded.TINY and said["hook_name"] == "blocks.1.hook_resid_pre" and said["seed"] == 0
    assert said["sizes"] == [10.0] and said["n_prompts"] == 10 and said["corpus"] == "lee"


def test_an_edited_corpus_under_the_same_name_is_measured_anew(small, tmp_path):
    letters = np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz "), (40, 100))
    text, found = tmp_path / "corpus.txt", []
    for first in "ab":
        text.write_text("\n\n".join(first + "".join(row) for row in letters))
        setting = prepare(embedded.TINY, str(tmp_path / "results"), **small | {"corpus": str(text)})
        found.append((setting.content, plateaus.small_perturbations(setting)))
    (old_content, old), (new_content, new) = found
    assert old_content != new_content
    assert not old.kl.equals(new.kl)


def test_results_of_another_seed_are_not_taken_for_this_one(setting):
    other = setting.seeded(setting.seed + 1)
    assert other.made_by != setting.made_by


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"prepend_bos": True}, {"n_others": 50}, {"n_prompts": 9}, {"seq_len": 9}]
)
def test_replaced_arguments_give_what_preparing_with_them_gives(setting, small, tmp_path, change):
    changed = dataclasses.replace(setting, folder=tmp_path / "a").replace(**change)
    prepared = prepare(embedded.TINY, str(tmp_path / "b"), **small | change)
    assert changed.made_by == prepared.made_by != setting.made_by
    assert changed.provenance == prepared.provenance


def test_shrinkage_is_in_the_key(setting, tmp_path):
    options = {"n_others": 64, "shrinkage": True}
    with_it = dataclasses.replace(setting, folder=tmp_path).replace(**options)
    without = with_it.replace(shrinkage=False)
    assert with_it.content == without.content and with_it.made_by != without.made_by
    assert not torch.allclose(with_it.gaussian.eigenvalues, without.gaussian.eigenvalues)


def test_key_follows_from_what_is_computed_from_and_not_from_names(setting, elsewhere):
    """Another name of the same corpus, or more prompts of which the same are used, make no other result."""
    renamed = dataclasses.replace(elsewhere, arguments=elsewhere.arguments.replace(corpus="other-name"))
    assert renamed.made_by == setting.made_by and renamed.provenance["corpus"] == "other-name"
    moved = dataclasses.replace(setting, base_activations=setting.base_activations + 1e-6)
    documents = dataclasses.replace(setting.bases, documents=setting.bases.documents[::-1])
    assert moved.made_by != setting.made_by != dataclasses.replace(setting, bases=documents).made_by


@pytest.mark.parametrize(("change", "words"), [
    ({"n_prompt": 5}, "no argument 'n_prompt'"), ({"n_prompts": 1}, "n_prompts must be at least 2"),
    ({"prepend_bos": 1}, "true or false"), ({"device": "cpu"}, "no argument 'device'"),
])  # fmt: skip
def test_bad_changes_of_a_setting_are_refused(setting, refused, change, words):
    with refused(ParameterError, words):
        setting.replace(**change)
    with refused(ParameterError, words):
        setting.at_layers([1, 3], **change)


def test_provenance_names_the_device_that_the_model_is_on(setting):
    assert setting.provenance["device"] == str(next(setting.model.core.parameters()).device) == "cpu"


def test_documents_available_are_those_of_bases_and_others_together(setting):
    assert setting.n_documents_available == len({*setting.bases.documents, *setting.others.documents})


@pytest.mark.parametrize("n", [0, -1, 2.0, True])
def test_no_prompts_are_refused(setting, n, refused):
    with refused(ParameterError, "at least 1"):
        setting.first(n)
