"""The engine against whole forward passes: on every architecture, hook and set of positions, and under differentiation."""

import pytest
import torch
import transformers
from conftest import GATED, SHAPE

from plateaus_utils import embedded, models, patching
from plateaus_utils.activations import collect
from plateaus_utils.effects import kl_divergence
from plateaus_utils.errors import ActivationError, ModelError
from plateaus_utils.models import load_model
from plateaus_utils.patching import Suffix, full_forward

FIRST, MIDDLE, LAST, AFTER = (
    "blocks.0.hook_resid_pre",
    "blocks.2.hook_resid_pre",
    "blocks.3.hook_resid_pre",
    "blocks.3.hook_resid_post",
)
PLACES = {"last": (-1,), "inner": (5,), "two": (3, -1), "all": tuple(range(12))}


def whole_pass(model, tokens, hook_name, positions, points):
    """Logits, last block's output and normalized stream of an ordinary forward pass of the bridge, for each point.

    Points are [n_prompts, n_points, (n_positions,) d_model]; every one is a row of its own, as long as its prompt.
    """
    n_points = points.shape[1]
    rows = tokens.repeat_interleave(n_points, 0)
    places = [p % tokens.shape[1] for p in positions]
    seen = {}

    def patch(stream, hook):
        stream = stream.clone()
        stream[:, sorted(places)] = points.reshape(len(rows), len(places), -1).to(stream)
        return stream

    def keep(name):
        return lambda stream, hook: seen.__setitem__(name, stream[:, -1].clone())

    reads = [(model.read_offs[name], keep(name)) for name in ("resid_post", "normalized")]
    with torch.no_grad():
        logits = model.bridge.run_with_hooks(rows, fwd_hooks=[(hook_name, patch), *reads])[:, -1]
    shape = (len(tokens), n_points, -1)
    return logits.view(shape), seen["resid_post"].view(shape), seen["normalized"].view(shape)


def points_around(suffix, n_points, size=0.5):
    """Random points, half of them with zero mean over the hidden dimensions like a LayerNorm model's own activations."""
    noise = size * torch.randn(len(suffix.tokens), n_points, *suffix.base.shape[1:])
    noise[:, ::2] -= noise[:, ::2].mean(-1, keepdim=True)
    return suffix.base.unsqueeze(1) + noise


def assert_same(found, expected, name=""):
    """Logits up to the constant that a softmax cannot see, and both late streams."""
    logits, resid_post, normalized = expected
    assert (found.logits.log_softmax(-1) - logits.log_softmax(-1)).abs().max() <= 1e-3, name
    assert (found.resid_post - resid_post).abs().max() <= 1e-3, name
    assert (found.normalized - normalized).abs().max() <= 1e-3, name


# The engine is the whole forward pass ---------------------------------------------------------------------------------


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("hook_name", [FIRST, MIDDLE, LAST, AFTER])
def test_continuation_from_patched_activations_is_the_whole_forward_pass(family, tokens, hook_name, places):
    # Invariant: the engine, which keeps what the patch cannot change, equals an ordinary forward pass with the patch.
    suffix = Suffix(family, tokens, hook_name, PLACES[places])
    points = points_around(suffix, 6)
    with torch.no_grad():
        found = suffix(points)
    assert_same(found, whole_pass(family, tokens, hook_name, PLACES[places], points))


@pytest.mark.parametrize("hook_name", [FIRST, MIDDLE, LAST])
def test_small_divergences_agree_with_the_whole_forward_pass(family, tokens, hook_name):
    # Invariant: at KL of order 1e-3 the engine's KL and an ordinary forward pass's differ by at most 1e-6 (in float64).
    suffix = Suffix(family, tokens, hook_name)
    noise = torch.randn(3, 4, 32)
    with torch.no_grad():
        for _ in range(30):  # shrink the patch until its effect is that small
            points = torch.cat([suffix.base[:, None], suffix.base[:, None] + noise], 1)
            ours = suffix(points).logits
            kl = kl_divergence(ours[:, :1], ours[:, 1:])
            noise = noise * (1e-3 / kl.clamp_min(1e-12)).sqrt().clamp(0.1, 10)[..., None]
            if (kl - 1e-3).abs().max() < 2e-4:
                break
    assert kl.min() > 5e-4 and kl.max() < 2e-3
    theirs = whole_pass(family, tokens, hook_name, (-1,), points)[0].double().log_softmax(-1)
    reference = (theirs[:, :1].exp() * (theirs[:, :1] - theirs[:, 1:])).sum(-1)
    assert (kl - reference).abs().max() <= 1e-6


def test_same_network_in_the_bridge_and_in_the_plain_library(family, tokens):
    # Invariant: an activation patched with itself changes nothing, in this engine and in the plain network.
    with torch.no_grad():
        plain = family.core(tokens).logits[:, -1].log_softmax(-1)
        for hook_name in (FIRST, MIDDLE, AFTER):
            suffix = Suffix(family, tokens, hook_name)
            logits = suffix(suffix.base.unsqueeze(1)).logits[:, 0]
            assert (logits.log_softmax(-1) - plain).abs().max() <= 1e-4


@pytest.mark.parametrize("places", ["inner", "two", "all"])
def test_several_places_patched_with_themselves_change_nothing(family, tokens, places):
    suffix = Suffix(family, tokens, MIDDLE, PLACES[places])
    with torch.no_grad():
        found = suffix(suffix.base.unsqueeze(1)).logits[:, 0].log_softmax(-1)
        assert (found - family.core(tokens).logits[:, -1].log_softmax(-1)).abs().max() <= 1e-4


def test_base_is_the_value_at_the_hook(family, tokens):
    for hook_name in (FIRST, MIDDLE, LAST):
        _, cache = family.bridge.run_with_cache(tokens)
        expected = cache[hook_name]
        torch.testing.assert_close(Suffix(family, tokens, hook_name).base, expected[:, -1], rtol=1e-4, atol=1e-4)
        two = Suffix(family, tokens, hook_name, (3, -1)).base
        torch.testing.assert_close(two, expected[:, [3, 11]], rtol=1e-4, atol=1e-4)


def test_order_in_which_places_are_named_does_not_matter(gpt2, tokens):
    first, second = (Suffix(gpt2, tokens, MIDDLE, places) for places in ((3, -1), (11, 3)))
    points = points_around(first, 2)
    with torch.no_grad():
        torch.testing.assert_close(first.base, second.base, rtol=0, atol=0)
        torch.testing.assert_close(first(points).logits, second(points).logits, rtol=0, atol=0)


@pytest.mark.parametrize("length", [2, 4, 5, 6, 7, 40])
@pytest.mark.parametrize("name", ["gemma2", "mistral"])
def test_windows_of_attention_end_where_they_should(load_family, name, length):
    # Sequences shorter than, as long as, and longer than the sliding windows of 6 and 5.
    tokens = torch.randint(0, 256, (2, length))
    for positions in ((-1,), (0, -1)):
        suffix = Suffix(load_family(name), tokens, "blocks.1.hook_resid_pre", positions)
        points = points_around(suffix, 4)
        with torch.no_grad():
            found = suffix(points)
        assert_same(found, whole_pass(load_family(name), tokens, "blocks.1.hook_resid_pre", positions, points))


def test_prefix_is_shared_where_the_architecture_allows_and_not_elsewhere(load_family, tokens):
    shared = Suffix(load_family("llama"), tokens, MIDDLE)
    assert shared.shares_prefix and shared.n_recomputed == 1
    assert Suffix(load_family("llama"), tokens, MIDDLE, (5,)).n_recomputed == 7
    whole = Suffix(load_family("mamba"), tokens, MIDDLE)
    assert not whole.shares_prefix and whole.n_recomputed == 12


def test_reference_for_benchmarks_is_the_whole_forward_pass(gpt2, tokens):
    points = torch.randn(5, 32)
    with torch.no_grad():
        found = full_forward(gpt2, tokens[0], MIDDLE, points, batch_size=2)
        expected = whole_pass(gpt2, tokens[:1], MIDDLE, (-1,), points[None])[0][0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_constant_over_the_hidden_dimensions_is_invisible_to_layernorm_and_visible_to_rmsnorm(family, tokens):
    # Invariant: adding a constant to all hidden dimensions changes nothing in a LayerNorm model, but does under RMSNorm.
    suffix = Suffix(family, tokens, MIDDLE)
    with torch.no_grad():
        out = suffix(torch.stack([suffix.base, suffix.base + 3.0], 1))
    change = (out.logits[:, 1].log_softmax(-1) - out.logits[:, 0].log_softmax(-1)).abs().max()
    if family.normalization == "LayerNorm":
        assert change <= 1e-4
        # The constant stays in the stream, where the bridge shows it as well, and the final norm takes it out.
        torch.testing.assert_close(out.resid_post[:, 1] - out.resid_post[:, 0], torch.full((3, 32), 3.0))
        torch.testing.assert_close(out.normalized[:, 1], out.normalized[:, 0], rtol=0, atol=1e-4)
    else:
        assert change > 1e-2


# Batches --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook_name", [FIRST, MIDDLE, LAST, AFTER])
def test_result_depends_neither_on_batch_size_nor_on_place_in_the_batch(family, tokens, hook_name):
    # Invariant: a point gives the same effect alone, in a full batch, and anywhere in the batch.
    suffix = Suffix(family, tokens, hook_name)
    points = points_around(suffix, 40)
    order = torch.randperm(40)
    alone = [Suffix(family, tokens[i : i + 1], hook_name) for i in range(3)]
    with torch.no_grad():
        whole, shuffled = suffix(points), suffix(points[:, order])
        others = {
            "shuffled": (shuffled.logits[:, order.argsort()], shuffled.resid_post[:, order.argsort()]),
            "in pieces": (
                torch.cat([suffix(part).logits for part in points.split(3, 1)], 1),
                torch.cat([suffix(part).resid_post for part in points.split(3, 1)], 1),
            ),
            "prompt by prompt": (
                torch.cat([one(points[i : i + 1]).logits for i, one in enumerate(alone)]),
                torch.cat([one(points[i : i + 1]).resid_post for i, one in enumerate(alone)]),
            ),
        }
    kl = kl_divergence(whole.logits[:, :1], whole.logits)
    for name, (logits, resid_post) in others.items():
        distance = (resid_post - whole.resid_post).norm(dim=-1)
        assert (distance <= 1e-5 * whole.resid_post.norm(dim=-1)).all(), name
        assert ((kl_divergence(logits[:, :1], logits) - kl).abs() <= 1e-6 + 1e-4 * kl).all(), name


def test_slices_of_the_points_cover_them_once_in_batches_of_bounded_size(gpt2, load_family, tokens):
    for model, positions in ((gpt2, (-1,)), (gpt2, (2,)), (load_family("mamba"), (-1,))):
        suffix = Suffix(model, tokens, MIDDLE, positions)
        for n_points in (0, 1, 170, 1000):
            slices = list(suffix.batches(n_points))
            assert [i for part in slices for i in range(n_points)[part]] == list(range(n_points))
            rows = [3 * suffix.n_recomputed * len(range(n_points)[part]) for part in slices]
            assert all(r <= patching.ROWS for r in rows)
            assert max(rows, default=0) - min(rows, default=0) <= 3 * suffix.n_recomputed
            assert len(slices) <= 1 + n_points * 3 * suffix.n_recomputed / (patching.ROWS - 3 * suffix.n_recomputed)


def test_network_is_left_as_it_was(gpt2, tokens):
    with torch.no_grad():
        before = gpt2.core(tokens).logits
        suffix = Suffix(gpt2, tokens, MIDDLE, (3, -1))
        suffix(points_around(suffix, 3))
        with pytest.raises(ActivationError):
            suffix(torch.zeros(1, 1, 1))
        torch.testing.assert_close(gpt2.core(tokens).logits, before, rtol=0, atol=0)
    assert gpt2.core.config._attn_implementation == "eager"
    assert not any("forward" in vars(block) for block in gpt2.core.transformer.h)


# Derivatives ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["gpt2", "llama", "gemma2"])
def in_float64(request, family_folder):
    """A model whose finite differences can be taken: its softmax stays in float32, everything else is exact enough."""
    return load_model(family_folder(request.param), device="cpu", dtype="float64")


def test_forward_mode_derivative_is_the_finite_difference(in_float64, tokens):
    suffix = Suffix(in_float64, tokens, "blocks.1.hook_resid_pre")
    points, tangents = points_around(suffix, 3).double(), torch.randn(3, 3, 32, dtype=torch.float64)
    logits, slopes = suffix.derivative(points, tangents)
    step = 3e-3
    with torch.no_grad():
        ahead, behind = suffix(points + step * tangents).logits, suffix(points - step * tangents).logits
        torch.testing.assert_close(logits, suffix(points).logits)
    difference = (ahead - behind) / (2 * step)
    assert (slopes - difference).abs().max() <= 1e-3 * difference.abs().max()


def test_backward_gradient_is_the_forward_derivative(in_float64, tokens):
    suffix = Suffix(in_float64, tokens, "blocks.1.hook_resid_pre", (5, -1))
    points = points_around(suffix, 2).double().requires_grad_()
    tangents = torch.randn_like(points)
    weights = torch.randn(3, 2, 257, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((weights * suffix(points).logits).sum(), points)
    _, slopes = suffix.derivative(points.detach(), tangents)
    torch.testing.assert_close((gradient * tangents).sum(), (weights * slopes).sum(), rtol=1e-5, atol=1e-6)


def test_backward_gradient_of_a_divergence_is_the_finite_difference(gpt2, llama, tokens):
    for model in (gpt2, llama):
        suffix = Suffix(model, tokens, MIDDLE)
        points = points_around(suffix, 1).requires_grad_()
        with torch.no_grad():
            clean = suffix(suffix.base[:, None]).logits
        (gradient,) = torch.autograd.grad(kl_divergence(clean, suffix(points).logits).sum(), points)
        step = 1e-2 * gradient / gradient.norm(dim=-1, keepdim=True)
        with torch.no_grad():
            ahead = kl_divergence(clean, suffix(points + step).logits)
            behind = kl_divergence(clean, suffix(points - step).logits)
        expected = (ahead - behind) / 2e-2
        torch.testing.assert_close(gradient.norm(dim=-1), expected, rtol=5e-3, atol=1e-4)


# What is refused ------------------------------------------------------------------------------------------------------


def test_network_that_is_not_the_bridges_is_refused_before_it_is_used(family_folder, tokens, refused):
    model = load_model(family_folder("gpt2"), device="cpu")
    model.core.transformer.h[3].mlp.c_proj.weight.mul_(1.05)
    with refused(ModelError, "TransformerLens' bridge of", "differs"):
        Suffix(model, tokens, MIDDLE)


# The embedded model ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sentences(smollm):
    texts = ["The cat sat on the mat because it", "In 1789 the people of Paris went out", "def add(a, b): return a +"]
    ids = [smollm.tokenizer(text)["input_ids"][:7] for text in texts]
    return torch.tensor(ids)


@pytest.mark.slow
@pytest.mark.parametrize(
    "hook_name", ["blocks.0.hook_resid_pre", "blocks.15.hook_resid_pre", "blocks.29.hook_resid_pre"]
)
def test_embedded_model_continues_as_the_whole_forward_pass_does(smollm, sentences, hook_name):
    # Invariants: engine = whole forward pass; independence of the batch; a patch with itself changes nothing.
    suffix = Suffix(smollm, sentences, hook_name)
    size = 0.3 * suffix.base.norm(dim=-1).mean() / 576**0.5
    points = torch.cat([suffix.base[:, None], points_around(suffix, 4, size)], 1)
    expected = whole_pass(smollm, sentences, hook_name, (-1,), points)
    with torch.no_grad():
        found = suffix(points)
        alone = torch.cat([suffix(part).resid_post for part in points.split(1, 1)], 1)
        clean = smollm.core(sentences).logits[:, -1].log_softmax(-1)
    assert (found.logits.log_softmax(-1) - expected[0].log_softmax(-1)).abs().max() <= 1e-3
    for ours, theirs in ((found.resid_post, expected[1]), (found.normalized, expected[2]), (found.resid_post, alone)):
        assert ((ours - theirs).norm(dim=-1) <= 1e-5 * theirs.norm(dim=-1)).all()
    assert (found.logits[:, 0].log_softmax(-1) - clean).abs().max() <= 1e-4


@pytest.mark.slow
def test_embedded_model_continues_with_several_places_patched(smollm, sentences):
    for positions in ((2,), (2, -1), tuple(range(7))):
        suffix = Suffix(smollm, sentences, smollm.default_hook, positions)
        points = points_around(suffix, 2, 0.1)
        with torch.no_grad():
            logits = suffix(points).logits.log_softmax(-1)
        expected = whole_pass(smollm, sentences, smollm.default_hook, positions, points)[0].log_softmax(-1)
        assert (logits - expected).abs().max() <= 1e-3


# Further architectures, each once: the engine against transformers' own forward pass -----------------------------------

EXPERTS = {"num_local_experts": 4}
LATENT = {"kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8}
ROUTED = {"moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1}
OLD = {"vocab_size": 257, "initializer_range": 0.2}
FURTHER = {
    "mixtral": transformers.MixtralConfig(**GATED, **EXPERTS),
    "qwen2-moe": transformers.Qwen2MoeConfig(
        **GATED, moe_intermediate_size=16, shared_expert_intermediate_size=32, num_experts=4
    ),
    "deepseek-v3": transformers.DeepseekV3Config(
        **SHAPE, **LATENT, **ROUTED, intermediate_size=64, num_key_value_heads=4, first_k_dense_replace=1
    ),
    "gpt-j": transformers.GPTJConfig(**OLD, n_positions=128, n_embd=32, n_layer=4, n_head=4, rotary_dim=4),
    "gpt-neo": transformers.GPTNeoConfig(
        **OLD, hidden_size=32, num_layers=4, num_heads=4, window_size=6, attention_types=[[["global", "local"], 2]]
    ),
    "mpt": transformers.MptConfig(**OLD, d_model=32, n_layers=4, n_heads=4, max_seq_len=128),
    "falcon": transformers.FalconConfig(**OLD, hidden_size=32, num_hidden_layers=4, num_attention_heads=4),
    "phi": transformers.PhiConfig(**SHAPE, intermediate_size=64),
    "phi3": transformers.Phi3Config(**GATED, pad_token_id=0),
    "stablelm": transformers.StableLmConfig(**GATED),
    "starcoder2": transformers.Starcoder2Config(**GATED),
    "olmo": transformers.OlmoConfig(**GATED),
    "olmo2": transformers.Olmo2Config(**GATED),
    "gemma": transformers.GemmaConfig(**GATED, head_dim=8),
    "granite": transformers.GraniteConfig(**GATED),
    "bloom": transformers.BloomConfig(**OLD, hidden_size=32, n_layer=4, n_head=4),
    "nemotron": transformers.NemotronConfig(**GATED),
    "xglm": transformers.XGLMConfig(
        vocab_size=257,
        d_model=32,
        ffn_dim=64,
        num_layers=4,
        attention_heads=4,
        max_position_embeddings=128,
        init_std=0.2,
    ),
    "codegen": transformers.CodeGenConfig(**OLD, n_positions=128, n_embd=32, n_layer=4, n_head=4, rotary_dim=4),
    "gpt-bigcode": transformers.GPTBigCodeConfig(**OLD, n_positions=128, n_embd=32, n_layer=4, n_head=4),
    "olmoe": transformers.OlmoeConfig(**GATED, num_experts=4, num_experts_per_tok=2),
    "glm4": transformers.Glm4Config(**GATED, head_dim=8, pad_token_id=0),
    "exaone4": transformers.Exaone4Config(**GATED, sliding_window=6, sliding_window_pattern=2),
    "smollm3": transformers.SmolLM3Config(**GATED, pad_token_id=0),
}


def tiny_folder(config, folder):
    config.bos_token_id = config.eos_token_id = 256
    network = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    network.save_pretrained(folder)
    embedded.byte_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("name", FURTHER)
def test_engine_continues_further_architectures_as_transformers_does(name, tmp_path, tokens):
    folder = tiny_folder(FURTHER[name], tmp_path)
    model = models.load_model(folder, device="cpu")
    suffix = Suffix(model, tokens, model.default_hook)  # which compares patched points with the bridge
    with torch.no_grad():
        plain = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()(tokens).logits[:, -1]
        ours = suffix(suffix.base.unsqueeze(1)).logits[:, 0]
    torch.testing.assert_close(ours.log_softmax(-1), plain.log_softmax(-1), rtol=0, atol=5e-5)
    # Where the library collects activations they are the engine's, also where the bridge keeps some of their mean.
    torch.testing.assert_close(collect(model, tokens, model.default_hook), suffix.base, rtol=0, atol=5e-5)


UNFIT = {
    "cohere": (transformers.CohereConfig(**GATED), "TransformerLens' bridge of"),
    "hunyuan": (transformers.HunYuanDenseV1Config(**GATED, head_dim=8), "TransformerLens' bridge of"),
    "gpt-oss": (transformers.GptOssConfig(**GATED, head_dim=8, num_local_experts=4), "The engine cannot continue"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_architectures_that_cannot_be_continued_are_refused_with_the_reason(name, tmp_path, tokens, refused):
    config, reason = UNFIT[name]
    model = models.load_model(tiny_folder(config, tmp_path), device="cpu")
    with refused(ModelError, reason, type(model.core).__name__, "at 12 tokens"):
        Suffix(model, tokens, model.default_hook)


def test_architecture_without_a_final_norm_is_refused_when_it_is_loaded(tmp_path, refused):
    config = transformers.OpenAIGPTConfig(**OLD, n_positions=128, n_embd=32, n_layer=4, n_head=4)
    with refused(ModelError, "has no ln_final"):
        models.load_model(tiny_folder(config, tmp_path), device="cpu")


def test_attention_in_chunks_is_refused_at_the_length_where_it_differs(tmp_path, refused):
    config = transformers.Llama4TextConfig(
        **GATED, head_dim=8, intermediate_size_mlp=64, num_local_experts=2, attention_chunk_size=16, pad_token_id=0
    )
    model = models.load_model(tiny_folder(config, tmp_path), device="cpu")
    short, long = (torch.randint(0, 256, (2, length)) for length in (12, 100))
    Suffix(model, short, model.default_hook)
    with refused(ModelError, "at 100 tokens"):
        Suffix(model, long, model.default_hook)
