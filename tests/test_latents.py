"""Experiments on latents: the vectors and activations are what they are said to be, and sizes are those of the engine alone."""

import numpy as np
import pytest
import torch

from plateaus_utils.effects import measure
from plateaus_utils.errors import SAEError
from plateaus_utils.experiments import latents, measuring
from plateaus_utils.experiments.explorer import KINDS, WALK_SIZES, walk_vectors, walks
from plateaus_utils.experiments.latents import choosing, replacements, searching, targets
from plateaus_utils.patching import Suffix
from plateaus_utils.paths import sphere
from plateaus_utils.saes import BANDS, SEED, Dictionary


@pytest.fixture(scope="module")
def dictionary(setting):
    """No SAE comes with the package for the tiny model: the principal components stand in."""
    (found,) = latents.dictionaries(setting)
    assert found.name == "principal-components"
    return found


@pytest.fixture
def suffix(setting):
    return Suffix(setting.model, setting.bases.tokens, setting.hook_name)


def test_named_sae_that_is_not_there_is_refused(setting, refused):
    with refused(SAEError, "'nowhere'"):
        latents.dictionaries(setting, ["nowhere"])


def test_main_dictionary_is_the_best_of_those_of_typical_sparsity():
    def made(name, l0, explained):
        return Dictionary(name, None, explained, l0, None, "")

    found = [made("sparse", 8, 0.99), made("a", 30, 0.90), made("b", 40, 0.95), made("dense", 128, 0.999)]
    assert latents.main_dictionary(found).name == "b"
    assert latents.main_dictionary([found[0], found[3]]).name == "sparse"  # 8 is a quarter of 32, 128 four times
    assert latents.main_dictionary([made("low", 12, 0.9), found[0]]).name == "low"


def test_latent_vectors_are_rows_of_latents_of_their_kind(setting, dictionary):
    codes = dictionary.encode(setting.base_activations)
    found = latents.latent_vectors(setting, dictionary)
    for kind, allowed in (("active", codes > 0), ("inactive", (codes <= 0) & (dictionary.frequency > 0))):
        cosines = found[kind] @ dictionary.rows.T
        chosen = cosines.argmax(-1)
        torch.testing.assert_close(cosines.amax(-1), torch.ones(setting.n_prompts, 2))
        assert allowed.gather(1, chosen).all() and (chosen[:, 0] != chosen[:, 1]).all()


def test_few_active_latents_are_repeated_and_none_are_refused(dictionary, refused):
    codes, rng = torch.zeros(2, len(dictionary.frequency)), torch.Generator().manual_seed(0)
    codes[0, [1, 4]] = 1.0
    codes[1, 3] = 1.0
    chosen = choosing.pick_active(dictionary, codes, 4, rng).tolist()
    assert set(chosen[0][:2]) == {1, 4} and chosen[0][2:] == chosen[0][:2] and chosen[1] == [3] * 4
    with refused(SAEError, "no active latent"):
        choosing.pick_active(dictionary, torch.zeros_like(codes), 4, rng)


def test_a_prompts_active_latents_are_of_different_bands_where_it_has_them(setting, dictionary):
    chosen, bands = latents.active_latents(setting, dictionary), latents.active_bands(setting, dictionary)
    for prompt, codes in enumerate(dictionary.encode(setting.base_activations)):
        frequency = dictionary.frequency[chosen[prompt]].numpy()
        limits = np.array(list(BANDS.values()))
        assert bands.values[prompt].tolist() == [list(BANDS)[i] for i in np.searchsorted(limits, frequency)]
        known = {int(np.searchsorted(limits, float(f))) for f in dictionary.frequency[codes > 0]}
        assert len(set(bands.values[prompt])) == min(2, len(known)) and (codes[chosen[prompt]] > 0).all()


def test_shown_prompts_take_the_same_active_latents(setting, dictionary):
    whole, shown = (latents.active_latents(s, dictionary) for s in (setting, setting.first(4)))
    assert torch.equal(whole[:4], shown)


def test_threshold_sizes_are_those_of_the_search_alone(setting, dictionary, suffix):
    found = latents.latent_thresholds(setting, dictionary, "sphere")
    vectors, draws = latents.latent_vectors(setting, dictionary), setting.draws(2)
    expected = {"active": vectors["active"], "-active": -vectors["active"], "inactive": vectors["inactive"],
                "random deviation": draws.gaussian - draws.mean}  # fmt: skip
    for kind, along in expected.items():
        alone = measuring.thresholds_along(suffix, setting.base_activations, along)
        np.testing.assert_allclose(found.sel(kind=kind), alone.size, atol=1e-3)


def test_sums_contain_one_another_and_their_limits_are_the_mean_and_all(setting, dictionary):
    sums = latents.spread_vectors(setting, dictionary)
    rows = dictionary.rows[dictionary.alive]
    one, two, four = (sums[f"plain/{k}"][:, 0] for k in (1, 2, 4))
    torch.testing.assert_close(one.norm(dim=-1), torch.ones(setting.n_prompts))
    second = two - one
    torch.testing.assert_close((second @ rows.T).amax(-1), torch.ones(setting.n_prompts))
    assert not torch.allclose(four, two)
    torch.testing.assert_close(sums["mean removed/1"][:, 0], one - rows.mean(0))
    torch.testing.assert_close(sums["plain/all"][0, 0], rows.mean(0))
    signed = sums["random signs/2"][:, 0]
    matches = torch.stack([(signed - (a * one + b * second)).norm(dim=-1) for a in (1, -1) for b in (1, -1)])
    assert (matches.amin(0) < 1e-5).all()


def test_empty_sums_count_as_censored(setting, dictionary):
    zero = {"nothing": torch.zeros(setting.n_prompts, 1, setting.model.d_model)}
    assert searching.sizes_along(setting, dictionary, "test_empty", zero).isnull().all()


def test_bases_made_by_the_sae(setting, dictionary):
    points = latents.sae_bases(setting, dictionary)
    base = setting.base_activations
    torch.testing.assert_close(points["reconstruction"], base + dictionary.error(base))
    changed = dictionary.encode(base) @ dictionary.sae.W_dec
    for kind in ("without 2 latents", "with 2 more", "with 8 more"):
        assert (points[kind] - base).norm(dim=-1).min() > 0
    assert ((points["without 2 latents"] - base).norm(dim=-1) <= 2 * changed.norm(dim=-1) + 1e-3).all()
    lengths = [(points[kind] - base).norm(dim=-1) for kind in ("with 8 more", "moved as far")]
    torch.testing.assert_close(*lengths, atol=1e-4, rtol=1e-4)
    away = torch.nn.functional.normalize(points["moved as far"] - base, dim=-1)
    deviation = setting.draws(1, "donors").gaussian[:, 0] - setting.gaussian.mean.float()
    torch.testing.assert_close((away * deviation).sum(-1), deviation.norm(dim=-1), atol=1e-4, rtol=1e-3)
    assert list(latents.base_thresholds(setting, dictionary, "sphere").kind.values) == list(points)


def test_built_and_gaussian_bases_have_a_target_each(setting, dictionary):
    found = latents.built_thresholds(setting, dictionary)
    assert found.sizes["direction"] == latents.N_BUILT
    gaussian, targets = (setting.draws(latents.N_BUILT, name).gaussian for name in ("Gaussian bases", "built bases"))
    for k in (0, latents.N_BUILT - 1):
        along = {"random": (targets - gaussian)[:, k : k + 1]}
        alone = searching.sizes_along(setting, dictionary, f"test_alone_{k}", along, points={"random": gaussian[:, k]})
        np.testing.assert_allclose(found.sel(kind="random").isel(direction=k), alone[:, 0, 0], atol=0.5)


def test_parts_of_a_real_other_direction_add_up(setting, dictionary):
    parts = latents.real_other_parts(setting, dictionary)
    torch.testing.assert_close(parts["all latents"] + parts["unexplained"], parts["whole"])
    base, target = setting.base_activations, setting.draws(2).real[:, 0]
    before, after = dictionary.encode(base), dictionary.encode(target)
    both = (after - before) * ((before > 0) & (after > 0))
    rest = parts["switched on"][:, 0] + parts["switched off"][:, 0] + both @ dictionary.sae.W_dec
    torch.testing.assert_close(rest, parts["all latents"][:, 0], atol=1e-4, rtol=1e-4)
    strongest = (after - before).abs().argmax(1)
    expected = (after - before).gather(1, strongest[:, None]) * dictionary.sae.W_dec[strongest]
    torch.testing.assert_close(parts["strongest 1"][:, 0], expected, atol=1e-5, rtol=1e-4)


def test_moves_have_their_length_and_the_unmoved_target_is_the_whole(setting, dictionary):
    found = latents.mixed_moves(setting, dictionary)
    draws = setting.draws(targets.N_MOVES, "moves")
    suffix = Suffix(setting.model, setting.bases.tokens, setting.hook_name)
    alone = measuring.thresholds_along(
        suffix, setting.base_activations, draws.real[:, :1] - setting.base_activations[:, None]
    )
    np.testing.assert_allclose(found.whole, alone.size[:, 0], atol=1e-3)
    assert found.moved.shape == (setting.n_prompts, 2, 2 * targets.N_MOVES)


def test_alignments_are_cosines_with_the_nearest_latent_and_shares_in_the_span_of_active_ones(setting, dictionary):
    found = latents.alignments(setting, dictionary, 2)
    units = torch.nn.functional.normalize(setting.draws(2).gaussian - setting.base_activations[:, None], dim=-1)
    expected = (units @ dictionary.rows[dictionary.alive].T).abs().amax(-1)
    np.testing.assert_allclose(found.nearest.sel(kind="random"), expected, rtol=1e-5)
    for prompt in range(3):
        span = dictionary.rows[dictionary.encode(setting.base_activations)[prompt] > 0].double().numpy().T
        unit = units[prompt].double().numpy().T
        inside = span @ np.linalg.lstsq(span, unit, rcond=None)[0]
        np.testing.assert_allclose(found.in_active.sel(kind="random")[prompt], (inside**2).sum(0), rtol=1e-3)


@pytest.mark.parametrize("places", ["last", "all"])
def test_other_steps_are_as_long_as_the_error(setting, dictionary, places, monkeypatch):
    seen = []

    def spy(suffix, points, names):
        seen.append((suffix, points))
        return measure(suffix, points, names=names)

    monkeypatch.setattr(replacements, "measure", spy)
    kl = latents.error_effects(setting.first(6), dictionary, places, "test_errors")
    suffix, points = seen[0]
    base = suffix.base
    steps = points - base[:, None]
    lengths = steps.norm(dim=-1)
    torch.testing.assert_close(lengths, lengths[:, :1].expand_as(lengths), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(steps[:, 0], dictionary.error(base), atol=1e-4, rtol=1e-3)
    assert kl.shape == (6, 4, 4) and (kl > 0).all() and points.dim() == (4 if places == "all" else 3)
    np.testing.assert_array_equal(kl.sel(kind="SAE error"), kl.sel(kind="SAE error", direction=[0] * 4))
    expected = measure(suffix, points, names=("kl",))["kl"]
    for kind, first in (("isotropic", 1), ("random mixture", 2), ("real mixture", 3)):
        np.testing.assert_allclose(kl.sel(kind=kind), expected[:, first::3], rtol=1e-4, atol=1e-6)


def test_ablation_takes_just_one_latents_part_away(setting, dictionary, suffix):
    kl = latents.ablation_effects(setting, dictionary)
    codes = dictionary.encode(setting.base_activations)
    every = setting.base_activations[:, None] - codes[..., None] * dictionary.sae.W_dec
    expected = measure(suffix, every)["kl"]
    for i in range(setting.n_prompts):
        for value in kl.sel(kind="ablate a latent").values[i]:
            assert np.abs(expected[i][codes[i] > 0].numpy() - value).min() <= 1e-5 + 1e-3 * value


def test_single_latents_know_their_tokens(setting, dictionary):
    single = latents.single_latents(setting, dictionary)
    codes = dictionary.encode(setting.other_activations)[:, torch.tensor(single.latent.values)]
    last = setting.others.tokens[:, -1]
    for i in range(5):
        active = codes[:, i] > 0
        assert float(single.frequency[i]) == pytest.approx(float(active.float().mean()))
        counts = torch.bincount(last[active])
        assert float(single.purity[i]) == pytest.approx(float(counts.max() / counts.sum()))
        means = {int(t): float(codes[active & (last == t), i].mean()) for t in last[active].unique()}
        best = max(means, key=means.get)
        assert single.tokens.values[i].startswith(repr(setting.model.tokenizer.decode([best])))


def test_encoder_counts_codes_of_each_sort(setting, dictionary):
    counts = latents.codes_switched_on(setting, dictionary)
    assert list(counts.kind.values) == ["isotropic", "random", "real"]
    expected = (dictionary.encode(setting.base_activations) > 0).sum(-1)
    np.testing.assert_array_equal(counts.sel(kind="real"), expected)
    isotropic = setting.draws(1).naive[:, 0]
    torch.testing.assert_close(isotropic.norm(dim=-1), setting.base_activations.norm(dim=-1))
    np.testing.assert_array_equal(counts.sel(kind="isotropic"), (dictionary.encode(isotropic) > 0).sum(-1))


def test_untrained_control_uses_the_untrained_networks_own_activations(setting):
    fresh, control = latents.untrained_control(setting)
    assert latents.untrained_control(setting.seeded(5))[0].provenance["seed"] == fresh.provenance["seed"] == SEED
    assert "untrained" in fresh.model.name and control.name == "principal-components"
    curves = latents.relative_curves(fresh, control, "test")
    assert (np.abs(curves.kl.sel(path_size=0)) < 1e-6).all() and (curves.l2.sel(path_size=90) > 0).all()


def test_walks_start_at_the_base_and_follow_its_next_tokens(setting, dictionary, suffix):
    found = walks(setting, dictionary)
    assert list(found.kind.values) == list(KINDS)
    assert (np.abs(found.kl.isel(place=0)) < 1e-6).all() and (found.l2.isel(place=0) < 1e-4).all()
    along = walk_vectors(setting, dictionary)[:, list(KINDS).index("random")]
    points = sphere(setting.base_activations, along, torch.tensor(WALK_SIZES["sphere"], dtype=torch.float32))
    with torch.no_grad():
        probabilities = suffix(points).logits.softmax(-1)
    walk = found.sel(mode="sphere", kind="random")
    for i, tokens in enumerate(walk.token.values):
        np.testing.assert_allclose(walk.probability[i], probabilities[i][:, tokens], atol=1e-5)
        others = np.delete(probabilities[i].amax(0).numpy(), tokens)
        assert probabilities[i].amax(0)[tokens].min() >= others.max() - 1e-5
