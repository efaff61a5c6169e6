"""Models: what is loaded, where from, and what happens when it cannot be had."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
import transformers

from plateaus_utils import arguments, embedded, files, models
from plateaus_utils.errors import ModelError
from plateaus_utils.models import describe, load_model, untrained

# Two networks over one function ---------------------------------------------------------------------------------------


def test_bridge_and_plain_network_give_the_same_next_token_distribution(family, tokens):
    with torch.no_grad():
        bridge, plain = family.bridge(tokens).log_softmax(-1), family.core(tokens).logits.log_softmax(-1)
    assert (bridge - plain).abs().max() <= 1e-3


def test_plain_network_holds_the_weights_of_the_folder(family, family_folder, tokens):
    network = transformers.AutoModelForCausalLM.from_pretrained(family.name).eval()
    for name, weight in network.state_dict().items():
        torch.testing.assert_close(family.core.state_dict()[name], weight, rtol=0, atol=0)


def test_layernorm_models_are_centred_and_rmsnorm_models_are_left_alone(family, tokens):
    layernorm = family.name.endswith(("gpt2", "neox", "opt"))
    assert family.normalization == ("LayerNorm" if layernorm else "RMSNorm")
    assert family.centred == layernorm and ("centred" in family.processing) == layernorm
    _, cache = family.bridge.run_with_cache(tokens)
    for layer in (1, 3):
        mean = cache[f"blocks.{layer}.hook_resid_pre"].mean(-1).abs().max()
        assert mean < 1e-5 if layernorm else mean > 1e-3


def test_model_knows_its_shape_and_is_ready_to_be_measured(family):
    assert (family.d_model, family.n_layers, family.dtype, family.device.type) == (32, 4, torch.float32, "cpu")
    assert family.n_ctx == 128 or family.name.endswith("mamba")
    assert not family.core.training and not any(p.requires_grad for p in family.core.parameters())
    assert not any(p.requires_grad for p in family.bridge.parameters())
    assert family.read_offs["resid_post"] == "blocks.3.hook_resid_post"
    assert family.layer_of(family.default_hook) == 1


def test_layer_of_a_hook_is_the_block_that_reads_it(gpt2):
    assert [gpt2.layer_of(f"blocks.{i}.hook_resid_pre") for i in range(4)] == [0, 1, 2, 3]
    assert [gpt2.layer_of(f"blocks.{i}.hook_resid_post") for i in range(4)] == [1, 2, 3, 4]


def test_revision_is_the_same_for_the_same_weights_and_another_for_others(gpt2, family_folder, tmp_path):
    assert gpt2.revision.startswith("sha256:")
    copy = shutil.copytree(family_folder("gpt2"), tmp_path / "copy")
    assert load_model(str(copy), device="cpu").revision == gpt2.revision
    network = transformers.AutoModelForCausalLM.from_pretrained(copy)
    network.transformer.wte.weight.data[0, 0] += 1e-3
    network.save_pretrained(copy)
    assert load_model(str(copy), device="cpu").revision != gpt2.revision


def test_description_names_everything_that_decides_the_numbers(gpt2):
    found = describe(gpt2)
    assert found["model"] == gpt2.name and found["model_revision"] == gpt2.revision
    assert (found["normalization"], found["dtype"], found["device"]) == ("LayerNorm", "float32", "cpu")
    assert found["architecture"] == '["GPT2LMHeadModel"]' and found["weight_processing"] == gpt2.processing
    assert all(isinstance(value, str) for value in found.values())


# Fresh weights --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("std", [0.02, 0.1])
def test_untrained_weights_are_fresh_and_have_the_standard_deviation_asked_for(name, std, load_family):
    model = load_family(name)
    fresh = untrained(model, std)
    weights = {n: p for n, p in fresh.core.named_parameters() if p.dim() == 2}
    for parameter, weight in weights.items():
        # GPT-2's own initialization divides the weights that write into the stream by sqrt(2 · layers).
        expected = std / 8**0.5 if name == "gpt2" and parameter.endswith("c_proj.weight") else std
        assert weight.std().item() == pytest.approx(expected, rel=0.12), parameter
        assert (weight - model.core.get_parameter(parameter)).abs().max() > std
    assert describe(fresh)["model_revision"] != describe(model)["model_revision"]
    assert "untrained" in fresh.name and fresh.n_layers == model.n_layers and fresh.centred == model.centred


def test_untrained_weights_depend_on_the_seed_alone(gpt2):
    torch.manual_seed(5)
    first = untrained(gpt2, 0.02, seed=1)
    torch.manual_seed(6)
    again, other = untrained(gpt2, 0.02, seed=1), untrained(gpt2, 0.02, seed=2)
    weight = "transformer.h.0.attn.c_attn.weight"
    assert torch.equal(first.core.get_parameter(weight), again.core.get_parameter(weight))
    assert not torch.equal(first.core.get_parameter(weight), other.core.get_parameter(weight))


def test_untrained_leaves_the_model_itself_alone(gpt2, tokens):
    with torch.no_grad():
        before = gpt2.core(tokens).logits
        untrained(gpt2, 0.5)
        assert torch.equal(gpt2.core(tokens).logits, before) and gpt2.core.config.initializer_range == 0.2


def test_initializer_range_is_the_stated_one_unless_another_is_published(gpt2, smollm):
    assert models.initializer_ranges(gpt2) == {"configured": 0.2, "published": 0.2}
    assert models.initializer_ranges(smollm) == {
        "configured": 0.02,
        "published": pytest.approx(0.041667, abs=1e-6),
    }


# What cannot be loaded ------------------------------------------------------------------------------------------------


def test_precision_is_the_one_asked_for(gpt2):
    assert load_model(gpt2.name, device="cpu", dtype="float64").core.lm_head.weight.dtype == torch.float64


# The cache and the tiny model -----------------------------------------------------------------------------------------


def test_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("PLATEAUS_CACHE", str(tmp_path / "a"))
    assert files.cache_folder() == tmp_path / "a"
    monkeypatch.delenv("PLATEAUS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert files.cache_folder() == tmp_path / "b" / "plateaus"


def test_tiny_model_is_made_once_in_the_cache_and_always_the_same(cache, tmp_path, monkeypatch):
    first = load_model(embedded.TINY, device="cpu")
    assert [path.name for path in cache.iterdir()] == [embedded.TINY]
    made = (cache / embedded.TINY / "model.safetensors").stat().st_mtime_ns
    load_model(embedded.TINY, device="cpu")
    assert (cache / embedded.TINY / "model.safetensors").stat().st_mtime_ns == made
    monkeypatch.setenv("PLATEAUS_CACHE", str(tmp_path / "another"))
    torch.manual_seed(99)
    assert load_model(embedded.TINY, device="cpu").revision == first.revision
    assert "not a finding" in first.description


def test_sizes_of_models_that_need_no_hub_are_known_before_they_are_there():
    assert set(arguments.MODELS) == {*embedded.EMBEDDED_MODELS, embedded.TINY}
    config = json.loads((embedded.tiny_folder() / "config.json").read_text())
    stated = {"num_hidden_layers": config["n_layer"], "max_position_embeddings": config["n_positions"]}
    assert arguments.MODELS[embedded.TINY] == stated | {"hidden_size": config["n_embd"]}


def test_byte_tokenizer_has_one_token_for_each_byte(tmp_path):
    tokenizer = embedded.byte_tokenizer()
    text = "Zwölf Boxkämpfer, 12 fish & <chips>\n"
    ids = tokenizer(text)["input_ids"]
    assert len(ids) == len(text.encode()) and tokenizer.decode(ids) == text
    assert len({i for i in ids}) == len(set(text.encode()))
    assert len(tokenizer) == 257 and tokenizer.bos_token_id == tokenizer.eos_token_id == 256
    tokenizer.save_pretrained(tmp_path)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"] == ids


# What is refused before weights are read ------------------------------------------------------------------------------

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 257,
}
TEXT = SMALL | {"num_key_value_heads": 2, "head_dim": 8}
VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
}
OTHER_KINDS = {
    "multi-modal": transformers.Gemma3Config(text_config=TEXT, vision_config=VISION),
    "encoder-only": transformers.BertConfig(**SMALL),
    "an encoder-decoder": transformers.T5Config(d_model=32, num_layers=1, num_heads=2, vocab_size=257),
    "quantized": transformers.LlamaConfig(**SMALL, quantization_config={"quant_method": "gptq", "bits": 4}),
    "of two widths": transformers.OPTConfig(**SMALL | {"word_embed_proj_dim": 16}),
    "no causal language model": transformers.ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2),
}


@pytest.fixture
def no_commands(monkeypatch):
    """Nothing can be started: no pip, no shell."""

    def forbidden(*command, **_):
        raise AssertionError(f"started {command}")

    for name in ("run", "Popen", "call", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, name, forbidden)
    monkeypatch.setattr(os, "system", forbidden)


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_other_kinds_of_model_are_refused_by_their_configuration_alone(
    kind, tmp_path, no_commands, monkeypatch, refused
):
    OTHER_KINDS[kind].save_pretrained(tmp_path)
    embedded.byte_tokenizer().save_pretrained(tmp_path)
    monkeypatch.setattr(models, "_read", lambda *_: pytest.fail("weights were read"))
    with refused(ModelError, f"is {kind}", "decoder-only"):
        load_model(str(tmp_path), device="cpu")


def test_loading_a_model_starts_nothing(family_folder, no_commands):
    assert load_model(family_folder("gpt2"), device="cpu").n_layers == 4


def test_cache_may_start_with_a_tilde(monkeypatch):
    monkeypatch.setenv("PLATEAUS_CACHE", "~/somewhere")
    assert files.cache_folder() == Path.home() / "somewhere"


# The embedded model ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_embedded_model_is_the_published_one_and_knows_english(smollm):
    assert (smollm.d_model, smollm.n_layers, smollm.normalization) == (576, 30, "RMSNorm")
    assert "four-bit" in smollm.description
    ids = smollm.tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert smollm.tokenizer.decode(smollm.core(ids).logits[0, -1].argmax()) == " Paris"
