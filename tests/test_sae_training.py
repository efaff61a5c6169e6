"""Training: planted features are found again, a stopped run ends as an undisturbed one, cards tell what was measured."""

import csv

import numpy as np
import pytest
import torch

from plateaus_utils import sae_assessment, sae_training
from plateaus_utils.activations import collect_hooks
from plateaus_utils.sae_training import Recipe, train
from plateaus_utils.saes import density, reconstruction

D, FEATURES = 32, 48


@pytest.fixture(scope="module")
def planted():
    """Sums of two out of 48 known directions in 32 dimensions, and the directions."""
    rng = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(FEATURES, D, generator=rng), dim=-1)
    chosen = torch.rand(40_000, FEATURES, generator=rng).topk(2).indices
    codes = torch.zeros(40_000, FEATURES).scatter(1, chosen, 1 + torch.rand(chosen.shape, generator=rng))
    return rows, (codes @ rows).numpy().astype(np.float16)


@pytest.fixture
def options(planted):
    return {"held_out": torch.from_numpy(planted[1][:500]).float(), "d_sae": 64, "batch_size": 128, "lr": 3e-3}


@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
def test_planted_features_are_found(planted, options, tmp_path, architecture):
    rows, x = planted
    sae = train(Recipe(architecture, 2), x, folder=tmp_path, n_tokens=300_000, **options)
    found = torch.nn.functional.normalize(sae.W_dec.detach(), dim=-1)
    assert ((rows @ found.T).amax(1) > 0.95).float().mean() >= 0.7
    chance = torch.nn.functional.normalize(torch.randn(found.shape), dim=-1)
    assert ((rows @ chance.T).amax(1) > 0.95).sum() == 0
    assert reconstruction(sae, options["held_out"])["explained_variance"] > 0.9
    log = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert len(log) > 10 and float(log[-1]["explained_variance"]) > float(log[0]["explained_variance"])
    assert [int(line["tokens"]) for line in log] == sorted({int(line["tokens"]) for line in log})


def test_stopped_run_ends_as_an_undisturbed_one(planted, options, tmp_path, monkeypatch):
    _, x = planted
    whole = train(Recipe("topk", 2), x, folder=tmp_path / "whole", n_tokens=40_000, **options)

    noted, calls = sae_training._note_checkpoint, []

    def stop(*arguments):
        noted(*arguments)
        calls.append(arguments)
        if len(calls) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(sae_training, "_note_checkpoint", stop)
    with pytest.raises(KeyboardInterrupt):
        train(Recipe("topk", 2), x, folder=tmp_path / "stopped", n_tokens=40_000, **options)
    monkeypatch.setattr(sae_training, "_note_checkpoint", noted)
    resumed = train(Recipe("topk", 2), x, folder=tmp_path / "stopped", n_tokens=40_000, **options)
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[key], value)
    assert (tmp_path / "stopped" / "log.csv").read_text() == (tmp_path / "whole" / "log.csv").read_text()


def test_batches_visit_everything_once_in_a_pass_and_start_anywhere():
    x = np.arange(103, dtype=np.float16)[:, None]
    stream = sae_training.batches(x, 10, seed=1)
    first = [next(stream) for _ in range(25)]
    seen = torch.cat(first[:10]).flatten().tolist()
    assert len(set(seen)) == 100 and first[0].dtype == torch.float32
    assert torch.cat(first[10:20]).flatten().tolist() != seen
    for start in (0, 7, 10, 13):
        torch.testing.assert_close(next(sae_training.batches(x, 10, seed=1, start=start)), first[start])


def test_stored_activations_are_those_of_all_positions_but_the_first(gpt2, tokens, tmp_path):
    path = tmp_path / "x.npy"
    stored = sae_training.stored_activations(gpt2, tokens, "blocks.1.hook_resid_pre", path)
    for position in (1, 5, 11):
        expected = collect_hooks(gpt2, tokens, ["blocks.1.hook_resid_pre"], position=position)[
            "blocks.1.hook_resid_pre"
        ]
        np.testing.assert_allclose(stored.reshape(3, 11, -1)[:, position - 1], expected, rtol=1e-3, atol=1e-3)
    again = sae_training.stored_activations(None, None, "", path)  # nothing is asked of the model
    np.testing.assert_array_equal(again, stored)


def test_replacing_nothing_costs_nothing_and_the_first_position_is_left_alone(gpt2, tokens):
    hook = "blocks.1.hook_resid_pre"
    losses = sae_assessment.cross_entropies(
        gpt2, hook, tokens, {"clean": lambda x: x, "noise": lambda x: x + 10 * torch.randn_like(x)}
    )
    assert losses["clean"] == pytest.approx(float(gpt2.bridge(tokens, return_type="loss")), abs=1e-5)
    assert abs(losses["noise"] - losses["clean"]) > 1e-3
    two = sae_assessment.cross_entropies(gpt2, hook, tokens[:, :2], {"clean": lambda x: x, "zero": torch.zeros_like})
    assert two["zero"] == pytest.approx(two["clean"], abs=1e-6)  # only the second position was replaced


def test_card_tells_what_was_measured(gpt2, tokens, tmp_path, planted):
    hook = "blocks.1.hook_resid_pre"
    stored = sae_training.stored_activations(gpt2, tokens, hook, tmp_path / "x.npy")
    x = torch.from_numpy(np.array(stored)).float()
    sae = train(Recipe("topk", 8), stored, x, tmp_path / "run", d_sae=64, n_tokens=20_000, batch_size=33, lr=1e-2)
    facts = sae_assessment.assess(sae, gpt2, hook, stored, tokens)
    assert facts["explained_variance"] == pytest.approx(reconstruction(sae, x)["explained_variance"], abs=1e-3)
    assert facts["dead_share"] == float((density(sae, x) == 0).float().mean())
    assert sum(facts["density_histogram"].values()) == int((density(sae, x) > 0).sum())
    losses = facts["cross_entropy"]
    assert facts["recovered_against_mean"] == (losses["mean"] - losses["sae"]) / (losses["mean"] - losses["clean"])
    described = facts | {
        "architecture": "topk", "d_sae": 64, "model_name": "m", "weights": "w", "hook_name": hook, "weight_processing": "p",
        "corpora": ["lee"], "context_size": 12, "tokens": 20_000, "steps": 606, "batch_size": 33, "seed": 0,
    }  # fmt: skip
    text = sae_assessment.card("name", described)
    assert f"{facts['explained_variance']:.4f}" in text and f"{losses['zero']:.3f}" in text and "20,000 in 606" in text


def test_command_refuses_an_unknown_recipe(capsys):
    with pytest.raises(SystemExit):
        sae_training.main(["topk-9000"])
    assert "topk-9000" in capsys.readouterr().err
