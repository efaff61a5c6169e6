"""Damping or dilution: tangents, transplants and frozen pairs on networks of which the answer is known."""

import numpy as np
import pytest
import torch
import transformers
import xarray as xr
from conftest import GPT2

from plateaus_utils import embedded, estimates, experiments, paths
from plateaus_utils.anatomy import COEFFICIENTS
from plateaus_utils.effects import measure
from plateaus_utils.experiments import damping, explanations, plateaus
from plateaus_utils.findings import damping as findings
from plateaus_utils.patching import Suffix
from plateaus_utils.primaries import damping as primaries

PLANTED = 2
"""The only block that writes anything, and of it only the MLP."""
SHRINKS = 0.6
"""What it takes away from the normalized stream."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A network whose stream passes on unchanged but in one MLP, which subtracts a share of what it reads.

    Its hidden units lie so far on the linear side of the activation that the MLP is a linear map.
    """
    torch.manual_seed(0)
    network = transformers.AutoModelForCausalLM.from_config(
        transformers.GPT2Config(**GPT2, bos_token_id=256, eos_token_id=256)
    )
    far, eye = 30.0, torch.eye(32)
    for i, block in enumerate(network.transformer.h):
        for projection in (block.attn.c_proj, block.mlp.c_proj):
            projection.weight.data.zero_()
            projection.bias.data.zero_()
        if i == PLANTED:
            block.mlp.c_fc.weight.data.zero_()
            block.mlp.c_fc.weight.data[:, :32] = eye
            block.mlp.c_fc.bias.data.fill_(far)
            block.mlp.c_proj.weight.data[:32] = -SHRINKS * eye
            block.mlp.c_proj.bias.data.fill_(SHRINKS * far)
    folder = tmp_path_factory.mktemp("planted")
    network.save_pretrained(folder / "network")
    embedded.byte_tokenizer().save_pretrained(folder / "network")
    options = {"corpus": "lee", "n_prompts": 6, "n_others": 100, "seq_len": 8, "shrinkage": True, "device": "cpu"}
    return experiments.prepare(str(folder / "network"), str(folder / "results"), **options)


@pytest.fixture(scope="module")
def steps(setting):
    return damping.tangents(setting)


@pytest.fixture(scope="module")
def transplants(setting):
    return damping.transplants(setting)


# Tangents -------------------------------------------------------------------------------------------------------------


def test_a_planted_damping_block_is_found_and_nothing_else(planted):
    found = findings.changes(damping.tangents(planted))
    tangent = found.sel(quantity="tangent")
    elsewhere = tangent.where((tangent.block != PLANTED) | (tangent.part != "MLP"), 0)
    assert np.abs(elsewhere).max() < 1e-4
    # δ is orthogonal to x, so a LayerNorm with a scale σ passes on δ/σ, and the MLP leaves 1 − 0.6/σ of it.
    at = planted.base_activations
    scale = at.var(-1, unbiased=False).sqrt()
    expected = (1 - SHRINKS / scale).abs().log()
    here = tangent.sel(base="real", part="MLP", block=PLANTED)
    np.testing.assert_allclose(here, expected, rtol=1e-2, atol=2e-3)


def test_terms_of_the_account_are_its_total(steps):
    found = findings.account(steps)
    np.testing.assert_allclose(
        found.sel(term=list(findings.TERMS)).sum("term"), found.sel(term=findings.TOTAL), atol=1e-4
    )


def test_the_last_stage_is_the_curvature_of_chapter_six(setting, steps):
    # Against the Gram matrix under the Fisher information, from derivatives of the whole suffix.
    gram = explanations.local_quadratic(setting, "both", ("real", "random"), ("random",), 1)
    across = gram.sel(i="across", j="across").isel(kind=0, direction=0)
    np.testing.assert_allclose(np.exp(2 * steps.read.isel(stage=-1).sel(base=across.base)), across, rtol=1e-3)


def test_tangent_and_stream_start_with_one_norm(setting, steps):
    start = steps.isel(stage=0)
    np.testing.assert_allclose(start.tangent, start.stream, atol=1e-4)
    norms = setting.base_activations.norm(dim=-1).log()
    np.testing.assert_allclose(start.stream.sel(base="real"), norms, atol=1e-4)


def test_matched_bases_have_the_norm_and_nearly_the_entropy_of_real_ones(setting):
    suffix = Suffix(setting.model, setting.bases.tokens, setting.hook_name)
    real = setting.base_activations
    matched = damping.matched_points(setting, suffix, slice(None))
    torch.testing.assert_close(matched.norm(dim=-1), real.norm(dim=-1))
    gaussian = experiments.base_points(setting, "random")
    both = measure(suffix, torch.stack([real, matched, gaussian], 1), names=("entropy",))["entropy"]
    assert (both[:, 1] - both[:, 0]).abs().mean() < (both[:, 2] - both[:, 0]).abs().mean() / 2


def test_depths_are_the_own_layer_a_third_and_two_thirds(setting):
    assert damping.depths(setting) == [1, 2]  # of four blocks; a third is the own one


# Transplants ----------------------------------------------------------------------------------------------------------


def test_thirds_of_the_blocks_hold_every_block_once_and_the_final_norm(setting):
    ranges = damping.block_ranges(setting)
    assert ranges == {"early": [1], "middle": [2], "late": [3, 4], "all": [1, 2, 3, 4]}


def test_own_values_leave_the_output_and_free_curvature_is_the_tangents(steps, transplants):
    own = [transplants.output_change.sel(base=base, donor=base, range="all") for base in damping.TWO_BASES]
    assert max(float(change.max()) for change in own) < 1e-6
    expected = np.exp(2 * steps.read.isel(stage=-1).sel(base=transplants.base))
    np.testing.assert_allclose(transplants.free_curvature, expected, rtol=1e-3)


def test_without_nonlinear_parts_a_transplant_does_nothing(planted):
    # Nothing attends and the only MLP is linear: gates and patterns of another run change no curvature.
    found = damping.transplants(planted)
    held = found.curvature.sel(part=["gates", "patterns"])
    for base, donor in (("real", "random"), ("random", "real")):
        free = found.free_curvature.sel(base=base, drop=True)
        there = held.sel(base=base, donor=donor, drop=True)
        np.testing.assert_allclose(there, free.broadcast_like(there), rtol=1e-2)


def test_random_elements_move_the_output_about_as_much_as_the_transplants(setting, transplants):
    control = damping.random_parts(setting)
    wanted = transplants.output_change.sel(base="random", donor="real", range="all")
    ratio = np.abs(np.log(control.output_change / wanted))
    assert float(ratio.median()) < np.log(3)
    assert control.part.values.tolist() == list(COEFFICIENTS)


def test_runs_that_overflow_are_unknown_and_their_shares_too():
    found = synthetic(0.0)
    found.curvature[2, 1, 0, 2] = np.nan
    shares = findings.restored(found, "curvature").sel(way=next(iter(findings.WAYS)))
    assert np.isnan(shares.value.sel(part="scales")).all() and (shares.value.sel(part="gates") == 0).all()
    assert not findings.strongest(found).attrs["of"].startswith("scales")


def synthetic(restores: float, n: int = 8) -> xr.Dataset:
    """Transplants in which gates in all blocks restore a share of a gap of log 28, and nothing else anything."""
    rng = np.random.default_rng(0)
    real = np.exp(rng.normal(size=n))
    dims = ("prompt", "base", "donor", "part", "range")
    coords = {"base": ["real", "random"], "donor": ["real", "random"], "part": list(COEFFICIENTS)}
    coords |= {"range": list(damping.RANGES), "document": ("prompt", [f"d{i}" for i in range(n)])}
    free = np.stack([real, 28 * real], 1)
    held = np.broadcast_to(free[:, :, None, None, None], (n, 2, 2, 3, 4)).copy()
    held[:, 1, 0, 0, 3] = 28 ** (1 - restores) * real
    held[:, 0, 1, 2, 1] = 28**0.5 * real
    data = {"curvature": (dims, held), "free_curvature": (dims[:2], free)}
    return xr.Dataset(data, coords)


def test_planted_shares_are_restored_exactly():
    into_gaussian, into_real = findings.WAYS
    found = findings.restored(synthetic(1.0), "curvature").value
    assert float(found.sel(way=into_gaussian, part="gates", range="all")) == pytest.approx(1)
    assert float(found.sel(way=into_real, part="scales", range="middle")) == pytest.approx(0.5)
    assert float(np.abs(found).sum()) == pytest.approx(1.5)
    own = findings.made_linear(synthetic(1.0)).value
    np.testing.assert_allclose(own, 1)


# Hypotheses -----------------------------------------------------------------------------------------------------------


def single(low: float, high: float) -> xr.Dataset:
    return xr.Dataset(
        {"value": (low + high) / 2, "low": low, "high": high, "n": 5, "n_documents": 5}, attrs={"unit": ""}
    )


@pytest.mark.parametrize("interval, said", [((0.6, 0.9), "met"), ((0.1, 0.3), "refuted"), ((0.4, 0.7), "open")])
def test_predictions_are_met_refuted_or_open_by_their_bounds(interval, said):
    shares = estimates.together({term: single(*interval) for term in findings.TERMS}, "term")
    restored = findings.restored(synthetic(0.0), "curvature")
    tests = findings.hypotheses(shares, single(0.61, 0.9), single(0, 0.1), restored)
    by_claim = {(who, claim): met for who, claim, _, met in tests}
    assert by_claim["correction", "δ in MLPs makes at least half of the gap"] == said
    assert by_claim["dilution", "growth of the stream makes at least half of the gap"] == said
    assert by_claim["correction", "real gates restore at least half"] == "refuted"
    assert by_claim["correction", "3 MLPs carry at least 60 % of δ in MLPs"] == "met"
    assert by_claim["generic smooth", "3 MLPs carry less than 60 % of δ in MLPs"] == "refuted"
    assert by_claim["generic smooth", "no part of one third restores a quarter"] == "met"


def test_few_mlps_are_found_where_they_were_planted():
    rng = np.random.default_rng(0)
    n, blocks = 20, np.arange(1, 11)
    tangent = np.zeros((n, 2, 21))
    gain = 0.01 * rng.normal(size=(n, 10))
    gain[:, [2, 5]] += 1.0
    gain[:, 7] += 0.5
    tangent[:, 1, 2::2] = np.cumsum(gain, 1)
    tangent[:, 1, 3::2] = tangent[:, 1, 2:-1:2]
    zero = ("prompt", "base", "stage"), np.zeros_like(tangent)
    coords = {
        "base": ["real", "random"], "document": ("prompt", [f"d{i}" for i in range(n)]),
        "block": ("stage", np.concatenate([[0], np.repeat(blocks, 2)])),
        "part": ("stage", ["start", *["attention", "MLP"] * 10]),
    }  # fmt: skip
    steps = xr.Dataset({"tangent": (zero[0], tangent), "stream": zero, "read": zero}, coords)
    found = findings.carried_by_few(steps)
    assert found.attrs["blocks"] == "3, 6, 8"
    assert float(found.value) == pytest.approx(1, abs=0.05)


def test_contracting_parts_are_those_whose_intervals_lie_below_zero():
    rows = [[(-0.3, -0.1), (-0.2, 0.1)], [(0.1, 0.2), (-0.5, -0.4)]]
    parts = [
        estimates.together({block: single(*ends) for block, ends in zip((1, 2), row, strict=True)}, "block")
        for row in rows
    ]
    found = estimates.together(dict(zip(("attention", "MLP"), parts, strict=True)), "part")
    assert findings.contracting(found) == "1 of 2 attention parts (1) and 1 of 2 MLP parts (2)"


# Frozen pairs ---------------------------------------------------------------------------------------------------------


def test_nothing_frozen_is_the_path_of_chapter_two(setting):
    expected = plateaus.pair_paths(setting, "pairs", interpolations=("slerp",)).isel(interpolation=0)
    found = damping.frozen_pairs(setting).sel(frozen="nothing")
    for end in ("from_start", "from_end"):
        np.testing.assert_allclose(found[end], expected[end].sel(read="resid_post"), rtol=1e-3, atol=1e-3)


def test_frozen_where_only_mlps_write_is_the_path_itself(planted):
    # Without attention and with the MLPs still, the last block's output moves as the point does.
    found = damping.frozen_pairs(planted).sel(frozen="MLPs")
    end = planted.draws(1, "pairs").real[:, 0]
    points = paths.slerp_pair(planted.base_activations, end, torch.linspace(0, 1, 50))
    centred = points - points.mean(-1, keepdim=True)
    expected = (centred - centred[:, :1]).norm(dim=-1)
    np.testing.assert_allclose(found.from_start, expected, rtol=1e-3, atol=1e-3)


def test_what_decides_is_the_difference_of_both_changes(setting):
    widths = primaries.widths(setting)
    sample = primaries.PRIMARIES["C21"](setting)
    np.testing.assert_allclose(sample, widths.sel(frozen="MLPs") - widths.sel(frozen="attention"), atol=1e-6)
    assert sample.sizes["prompt"] == len(np.unique(sample.document))
