"""Activations against the plain Hugging Face network, the Gaussian model of them, and isotropic vectors."""

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.covariance import LedoitWolf
from transformers import AutoModelForCausalLM

from plateaus_utils.activations import Gaussian, collect, collect_hooks, generator, isotropic
from plateaus_utils.errors import ActivationError, ModelError
from plateaus_utils.models import load_model


def hidden_states(folder, tokens):
    """What the blocks of the plain network read at the last position, without any of this package."""
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        return [state[:, -1] for state in network(tokens, output_hidden_states=True).hidden_states]


@pytest.mark.parametrize("name", ["gpt2", "neox", "opt", "llama", "gemma2", "qwen3"])
def test_hook_value_is_the_hidden_state_of_the_plain_network_centred_by_hand(name, load_family, family_folder, tokens):
    # Invariant: the Hugging Face weights, centred by hand where a LayerNorm reads them, give the value at the hook.
    states = hidden_states(family_folder(name), tokens)
    for layer in range(4):
        expected = states[layer]
        if name in ("gpt2", "neox", "opt"):
            expected = expected - expected.mean(-1, keepdim=True)
        found = collect(load_family(name), tokens, f"blocks.{layer}.hook_resid_pre")
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_hook_value_of_the_embedded_model_is_the_hidden_state_of_the_plain_network(smollm):
    tokens = smollm.tokenizer("the cat sat on the mat", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        states = smollm.core(tokens, output_hidden_states=True).hidden_states
    for layer in (0, 1, 29):
        found = collect(smollm, tokens, f"blocks.{layer}.hook_resid_pre")
        assert (found - states[layer][:, -1]).abs().max() <= 1e-4 * states[layer].std()


def test_output_of_a_block_is_the_input_of_the_next(family, tokens):
    for layer in (0, 2):
        after = collect(family, tokens, f"blocks.{layer}.hook_resid_post")
        torch.testing.assert_close(after, collect(family, tokens, f"blocks.{layer + 1}.hook_resid_pre"))


def test_several_hooks_in_one_pass_are_the_hooks_one_by_one(gpt2, tokens):
    names = ["blocks.0.hook_resid_pre", "blocks.2.hook_resid_pre", "blocks.3.hook_resid_post"]
    together = collect_hooks(gpt2, tokens, names)
    assert list(together) == names
    for name in names:
        torch.testing.assert_close(together[name], collect(gpt2, tokens, name))


def test_output_of_the_last_block_is_before_the_final_norm(gpt2, llama, tokens):
    for model in (gpt2, llama):
        last = collect(model, tokens, "blocks.3.hook_resid_post")
        _, cache = model.bridge.run_with_cache(tokens)
        torch.testing.assert_close(last, cache["blocks.3.hook_resid_post"][:, -1])
        assert (last - cache["ln_final.hook_normalized"][:, -1]).abs().max() > 0.1


def test_batch_size_of_a_collection_does_not_matter(gpt2, tokens):
    whole = collect(gpt2, tokens, "blocks.2.hook_resid_pre")
    for batch_size in (1, 2):
        torch.testing.assert_close(collect(gpt2, tokens, "blocks.2.hook_resid_pre", batch_size), whole)


def test_hook_that_does_not_exist_is_refused(gpt2, tokens, refused):
    with refused(ModelError, "blocks.4.hook_resid_pre", "layers 0 to 3"):
        collect(gpt2, tokens, "blocks.4.hook_resid_pre")


def test_activation_that_is_not_a_number_is_refused(family_folder, tokens, refused):
    damaged = load_model(family_folder("llama"), device="cpu")
    damaged.core.model.embed_tokens.weight[tokens[0, 0]] = torch.nan
    with refused(ActivationError, "NaN or infinite", "blocks.1.hook_resid_pre"):
        collect(damaged, tokens, "blocks.1.hook_resid_pre")


# The Gaussian model ---------------------------------------------------------------------------------------------------


def correlated(n, d, centred=True):
    """Samples with very unequal variances; centred ones sum to zero, like those of a LayerNorm model."""
    rng = generator(0, "test samples")
    x = torch.randn(n, d, generator=rng) * torch.logspace(1, -1, d) @ torch.randn(d, d, generator=rng) + 3
    return x - x.mean(-1, keepdim=True) if centred else x


@pytest.mark.parametrize("centred", [True, False])
def test_samples_have_the_mean_and_covariance_of_the_activations(centred):
    # Invariant: mean and covariance of 100,000 draws match within sampling error, and draws of centred activations
    # sum to zero. The bound is that of a Wishart matrix with participation ratio PR.
    x, n = correlated(5000, 32, centred), 100_000
    gaussian = Gaussian.fit(x)
    drawn = gaussian.sample(n, generator(1, "draws")).double().numpy()
    covariance = np.cov(x.double().numpy(), rowvar=False)
    pr = np.trace(covariance) ** 2 / np.trace(covariance @ covariance)
    error = np.linalg.norm(np.cov(drawn, rowvar=False) - covariance) / np.linalg.norm(covariance)
    assert error <= 2 * np.sqrt((pr + 1) / n)
    assert gaussian.participation_ratio == pytest.approx(pr, rel=1e-6)
    standard_errors = np.sqrt(covariance.trace() / n)
    assert np.linalg.norm(drawn.mean(0) - x.double().mean(0).numpy()) < 4 * standard_errors
    if centred:
        assert np.abs(drawn.sum(1)).max() / np.linalg.norm(drawn, axis=1).mean() < 1e-4


def test_samples_of_a_real_centred_model_sum_to_zero(gpt2):
    tokens = torch.randint(0, 256, (200, 8))
    x = collect(gpt2, tokens, "blocks.1.hook_resid_pre")
    drawn = Gaussian.fit(x).sample(1000, generator(0, "x"))
    assert x.sum(-1).abs().max() < 1e-4 and drawn.sum(-1).abs().max() < 1e-4


def test_eigenvalues_descend_and_belong_to_their_vectors():
    x = correlated(500, 16)
    gaussian = Gaussian.fit(x)
    assert (gaussian.eigenvalues.diff() <= 0).all() and (gaussian.eigenvalues >= 0).all()
    covariance = torch.from_numpy(np.cov(x.double().numpy(), rowvar=False))
    torch.testing.assert_close(covariance @ gaussian.eigenvectors, gaussian.eigenvectors * gaussian.eigenvalues)


def test_shrinkage_is_that_of_ledoit_and_wolf():
    x = correlated(40, 32, centred=False)
    gaussian = Gaussian.fit(x, shrinkage=True)
    rebuilt = gaussian.eigenvectors @ torch.diag(gaussian.eigenvalues) @ gaussian.eigenvectors.T
    np.testing.assert_allclose(rebuilt.numpy(), LedoitWolf().fit(x.double().numpy()).covariance_, atol=1e-8)


def test_shrinkage_of_centred_activations_leaves_the_constant_direction_empty():
    # Invariant: draws sum to zero over the hidden dimensions where the model is centred; also from few activations.
    x = correlated(40, 32)
    gaussian = Gaussian.fit(x, shrinkage=True)
    drawn = gaussian.sample(1000, generator(0, "draws"))
    assert drawn.sum(-1).abs().max() <= 1e-4 * drawn.norm(dim=-1).max()
    # In any orthonormal coordinates of the hyperplane (here: Helmert's) it is Ledoit and Wolf's covariance.
    helmert = torch.from_numpy(scipy.linalg.helmert(32).T)
    expected = LedoitWolf().fit((x.double() @ helmert).numpy()).covariance_
    rebuilt = gaussian.eigenvectors @ torch.diag(gaussian.eigenvalues) @ gaussian.eigenvectors.T
    np.testing.assert_allclose((helmert.T @ rebuilt @ helmert).numpy(), expected, atol=1e-8)
    assert gaussian.eigenvalues[-2] > 0 and gaussian.eigenvalues[-1] < 1e-9


def test_too_few_samples_for_a_covariance_are_refused_unless_it_is_shrunk(refused):
    with refused(ActivationError, "63 activations are too few", "at least 64"):
        Gaussian.fit(correlated(63, 32))
    assert Gaussian.fit(correlated(64, 32)).n_samples == 64
    assert Gaussian.fit(correlated(10, 32), shrinkage=True).n_samples == 10


# Random numbers -------------------------------------------------------------------------------------------------------


def test_each_seed_and_purpose_has_its_own_stream():
    draws = {(seed, purpose): torch.randn(5, generator=generator(seed, purpose)) for seed in (0, 1) for purpose in "ab"}
    assert len({tuple(x.tolist()) for x in draws.values()}) == 4
    torch.testing.assert_close(torch.randn(5, generator=generator(1, "b")), draws[1, "b"], rtol=0, atol=0)


def test_isotropic_vectors_have_the_norms_they_are_like_and_no_preferred_direction():
    like = correlated(4000, 16)
    z = isotropic(like, generator(0, "z"))
    torch.testing.assert_close(z.norm(dim=-1), like.norm(dim=-1))
    units = z / z.norm(dim=-1, keepdim=True)
    assert units.mean(0).norm() < 4 / np.sqrt(4000)
    assert (units.T @ units / 4000 - torch.eye(16) / 16).norm() < 4 / np.sqrt(4000)
