"""Effects against computations in float64 from the read-outs themselves, and the divergence down to where it vanishes."""

import pytest
import torch
from scipy import special

from plateaus_utils import network, patching
from plateaus_utils.effects import EFFECTS, kl_divergence, measure, top_tokens
from plateaus_utils.patching import Suffix

HOOK = "blocks.1.hook_resid_pre"


def kl_by_definition(logits_p, logits_q):
    log_p, log_q = logits_p.double().log_softmax(-1), logits_q.double().log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


# The divergence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.5, 4.0, 12.0])
@pytest.mark.parametrize("size", [3.0, 1.0, 0.1, 1e-2])
def test_divergence_is_that_of_float64_and_never_negative(scale, size):
    # Invariant: KL is at least 0, and agrees with a computation from the logarithms of a softmax in float64.
    p = scale * torch.randn(200, 3000)
    q = p + size * torch.randn(200, 3000)
    found, expected = kl_divergence(p, q), kl_by_definition(p, q)
    assert (found >= 0).all()
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-6)


def test_divergence_far_below_the_resolution_of_the_logits_remains():
    p = 4 * torch.randn(100, 5000)
    q = p + 5e-5 * torch.randn(100, 5000)
    expected = kl_by_definition(p, q)
    assert expected.min() > 1e-11 and expected.median() < 2e-9
    torch.testing.assert_close(kl_divergence(p, q).double(), expected, rtol=1e-2, atol=0)


@pytest.mark.parametrize("size", [1e-3, 1e-5, 1e-7])
@pytest.mark.parametrize("vocabulary", [2, 257])
def test_divergence_of_next_to_nothing_is_not_negative(size, vocabulary):
    p = 5 * torch.randn(20_000, vocabulary)
    assert (kl_divergence(p, p + size * torch.randn_like(p)) >= 0).all()


def test_divergence_from_itself_is_exactly_zero_and_a_constant_changes_nothing():
    p, q = 5 * torch.randn(50, 300), 5 * torch.randn(50, 300)
    assert (kl_divergence(p, p) == 0).all()
    torch.testing.assert_close(kl_divergence(p, q + 7), kl_divergence(p, q), rtol=1e-4, atol=1e-6)


def test_divergence_of_two_coins_is_the_textbook_value():
    p, q = torch.tensor([0.5, 0.5]), torch.tensor([0.9, 0.1])
    torch.testing.assert_close(kl_divergence(p.log(), q.log()), torch.tensor(0.5108256), rtol=1e-6, atol=0)
    torch.testing.assert_close(kl_divergence(q.log(), p.log()), torch.tensor(0.3680642), rtol=1e-6, atol=0)


@pytest.mark.parametrize("jump", [61.0, 100.0, 1e3, 1e4])
def test_huge_logit_differences_do_not_overflow(jump):
    p = torch.randn(20, 300)
    q = p.clone()
    q[torch.arange(20), torch.arange(20)] += jump
    resolution = 1e-6 + 1e-7 * jump  # of float32 at such a difference
    torch.testing.assert_close(kl_divergence(p, q).double(), kl_by_definition(p, q), rtol=1e-5, atol=resolution)
    torch.testing.assert_close(kl_divergence(q, p).double(), kl_by_definition(q, p), rtol=1e-5, atol=resolution)


def test_huge_difference_in_one_row_leaves_tiny_divergences_in_the_others():
    p = torch.randn(3, 1000)
    q = p + 1e-4 * torch.randn(3, 1000)
    alone = kl_divergence(p[1:], q[1:])
    q[0, 5] += 200
    torch.testing.assert_close(kl_divergence(p, q)[1:], alone, rtol=1e-6, atol=0)


def test_improbable_token_that_jumps_but_stays_improbable_does_not_make_the_divergence_negative():
    p = torch.randn(1000, 50)
    p[:, 0] = -100
    q = p.clone()
    q[:, 0] += 70
    found = kl_divergence(p, q)
    assert (found >= 0).all()
    torch.testing.assert_close(found.double(), kl_by_definition(p, q), rtol=0, atol=1e-6)


# Measured on a model --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def suffix(gpt2, tokens):
    return Suffix(gpt2, tokens, HOOK)


@pytest.fixture
def points(suffix):
    return suffix.base[:, None] + torch.randn(3, 7, 32)


def by_hand(base, perturbed):
    """Every effect in float64, from the read-outs of one prompt: base [1, ...] and perturbed [n, ...]."""
    p = perturbed.logits.double().softmax(-1)
    late = {"": (base.resid_post, perturbed.resid_post), "_normalized": (base.normalized, perturbed.normalized)}
    found = {
        "kl": kl_by_definition(base.logits, perturbed.logits),
        "kl_reverse": kl_by_definition(perturbed.logits, base.logits),
        "entropy": -(p * p.log()).sum(-1),
        "top_changed": (perturbed.logits.argmax(-1) != base.logits.argmax(-1)).double(),
    }
    for suffix_, (a, b) in late.items():
        a, b = a.double(), b.double()
        found[f"l2{suffix_}"] = (b - a).square().sum(-1).sqrt()
        found[f"cosine{suffix_}"] = (a * b).sum(-1) / (a.square().sum(-1) * b.square().sum(-1)).sqrt()
    return found


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_every_effect_is_its_definition(name, load_family, tokens):
    suffix = Suffix(load_family(name), tokens, HOOK)
    points = suffix.base[:, None] + torch.randn(3, 7, 32)
    with torch.no_grad():
        base, perturbed = suffix(suffix.base[:, None]), suffix(points)
    expected = by_hand(base, perturbed)
    found = measure(suffix, points, names=tuple(EFFECTS))
    assert set(found) == set(EFFECTS) == set(expected)
    for effect, values in found.items():
        assert values.shape == (3, 7) and values.dtype == torch.float32
        torch.testing.assert_close(values.double(), expected[effect], rtol=1e-4, atol=1e-5, msg=effect)
    assert 0 < found["top_changed"].mean() < 1


def test_zero_perturbation_has_zero_effect(family, tokens):
    # Invariant: patching the base leaves KL at most 1e-6 and L2 at most 1e-5 of the vector's norm.
    for hook_name in ("blocks.0.hook_resid_pre", "blocks.3.hook_resid_pre", "blocks.3.hook_resid_post"):
        suffix = Suffix(family, tokens, hook_name)
        with torch.no_grad():
            late = suffix(suffix.base[:, None])
        found = measure(suffix, suffix.base[:, None].expand(-1, 5, -1), names=tuple(EFFECTS))
        assert found["kl"].abs().max() <= 1e-6 and found["kl_reverse"].abs().max() <= 1e-6
        assert (found["l2"] <= 1e-5 * late.resid_post.norm(dim=-1)).all()
        assert (found["l2_normalized"] <= 1e-5 * late.normalized.norm(dim=-1)).all()
        assert (found["cosine"] - 1).abs().max() <= 1e-5 and (found["top_changed"] == 0).all()


@pytest.mark.slow
def test_zero_perturbation_of_the_embedded_model_has_zero_effect(smollm):
    tokens = smollm.tokenizer("the cat sat on the mat", return_tensors="pt")["input_ids"]
    suffix = Suffix(smollm, tokens, smollm.default_hook)
    with torch.no_grad():
        late = suffix(suffix.base[:, None])
    found = measure(suffix, suffix.base[:, None].expand(-1, 5, -1), names=("kl", "l2", "l2_normalized"))
    assert found["kl"].abs().max() <= 1e-6
    assert (found["l2"] <= 1e-5 * late.resid_post.norm(dim=-1)).all()
    assert (found["l2_normalized"] <= 1e-5 * late.normalized.norm(dim=-1)).all()


def test_effects_are_relative_to_each_reference_in_turn(suffix, points):
    references = suffix.base[:, None] + torch.randn(3, 2, 32)
    with torch.no_grad():
        compared, perturbed = suffix(references), suffix(points)
    found = measure(suffix, points, references, ("kl", "l2", "cosine_normalized"))
    for i in range(2):
        base = patching.Readout(*(x[:, i : i + 1] for x in (compared.logits, compared.resid_post, compared.normalized)))
        expected = by_hand(base, perturbed)
        for effect, values in found.items():
            assert values.shape == (3, 2, 7)
            torch.testing.assert_close(values[:, i].double(), expected[effect], rtol=1e-4, atol=1e-5, msg=effect)


def test_effects_of_several_patched_places(gpt2, tokens):
    suffix = Suffix(gpt2, tokens, HOOK, (3, -1))
    points = suffix.base[:, None] + torch.randn(3, 4, 2, 32)
    with torch.no_grad():
        expected = by_hand(suffix(suffix.base[:, None]), suffix(points))
    found = measure(suffix, points, names=("kl", "l2"))
    for effect, values in found.items():
        torch.testing.assert_close(values.double(), expected[effect], rtol=1e-4, atol=1e-5)


def test_divergences_do_not_depend_on_how_points_are_batched(suffix, monkeypatch):
    # Invariant: results are independent of the size of the batches.
    points = suffix.base[:, None] + 0.3 * torch.randn(3, 100, 32)
    names = ("kl", "l2")
    whole = measure(suffix, points, names=names)
    for rows in (3, 30, 10_000):
        monkeypatch.setattr(patching, "ROWS", rows)
        found = measure(suffix, points, names=names)
        assert ((found["kl"] - whole["kl"]).abs() <= 1e-6 + 1e-4 * whole["kl"]).all()
        torch.testing.assert_close(found["l2"], whole["l2"], rtol=1e-5, atol=1e-5)


def test_batches_stay_bounded_however_many_points_there_are(gpt2, load_family, tokens, monkeypatch):
    # Memory grows with the rows of one batch, so their number must not grow with that of the points.
    rows = []
    run = network.Network.run
    monkeypatch.setattr(
        network.Network,
        "run",
        lambda self, stream, *rest: rows.append(stream[..., 0].numel()) or run(self, stream, *rest),
    )
    for model, positions in ((gpt2, (-1,)), (gpt2, (4,)), (load_family("mamba"), (-1,))):
        suffix = Suffix(model, tokens, HOOK, positions)
        for n_points in (1, 200, 1500):
            rows.clear()
            found = measure(suffix, suffix.base[:, None].expand(-1, n_points, -1), suffix.base[:, None])
            assert found["kl"].shape == (3, 1, n_points)
            assert max(rows) <= patching.ROWS + 3 * suffix.n_recomputed
            if n_points == 1500:
                assert max(rows) > patching.ROWS / 2  # and large enough to be fast


@pytest.mark.parametrize("p", [[0.0, 1.0, 2.0], [0.0, 1.0, -torch.inf], [0.0, -torch.inf, -torch.inf]])
@pytest.mark.parametrize("q", [[0.0, 1.0, 2.0], [0.5, 1.0, -torch.inf], [0.0, 3.0, 90.0]])
def test_divergence_of_distributions_that_rule_tokens_out(p, q):
    # Of softmax probabilities by SciPy: infinite where q rules out what p does not.
    expected = special.rel_entr(special.softmax(p), special.softmax(q)).sum()
    found = kl_divergence(torch.tensor([p]), torch.tensor([q]))
    assert float(found) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_top_tokens_are_the_most_probable_in_order(gpt2):
    logits = torch.full((2, 257), -5.0)
    logits[0, 72], logits[0, 73] = 3.0, 2.0
    logits[1, 65] = 10.0
    first, second = top_tokens(logits, gpt2.tokenizer, 2)
    assert [token for token, _ in first] == [gpt2.tokenizer.decode([72]), gpt2.tokenizer.decode([73])]
    assert [p for _, p in first] == pytest.approx(logits[0].softmax(-1)[[72, 73]].tolist())
    assert second[0][1] == pytest.approx(logits[1].softmax(-1)[65].item())
