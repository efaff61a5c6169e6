"""Input that cannot be meant: every row of one table is refused in a sentence, before anything is kept on the disk."""

import json
import shutil

import nltk
import pytest
import safetensors.torch
import torch

from plateaus_utils import embedded, files, models, prompts, results
from plateaus_utils.activations import Gaussian
from plateaus_utils.arguments import check, check_injected
from plateaus_utils.book import parameters, pdf
from plateaus_utils.effects import measure
from plateaus_utils.errors import (
    ActivationError,
    BookError,
    CorpusError,
    ModelError,
    ParameterError,
    PlateausError,
    ResultError,
    SAEError,
)
from plateaus_utils.experiments import prepare
from plateaus_utils.patching import Suffix
from plateaus_utils.paths import linear_pair, slerp_pair, sphere, straight
from plateaus_utils.saes import load_dictionary
from plateaus_utils.sensitivity import find_thresholds

HOOK = "blocks.1.hook_resid_pre"
NAN, INFINITY = torch.nan, torch.inf


class Given:
    """What a row may ask for: an empty folder, a tiny model and its tokens, copies of model folders, a small checkout."""

    def __init__(self, folder, gpt2, tokens, family_folder, monkeypatch):
        self.folder, self.gpt2, self.tokens = folder, gpt2, tokens
        self.family_folder, self.monkeypatch = family_folder, monkeypatch

    def file(self, name, content):
        (self.folder / name).write_bytes(content)
        return str(self.folder / name)

    def model(self, family):
        """A copy of the folder of a tiny random model."""
        return shutil.copytree(self.family_folder(family), self.folder / family)

    def suffix(self):
        return Suffix(self.gpt2, self.tokens, HOOK)

    def checkout(self, profile=b""):
        """One chapter and a profile `mine`."""
        for name, content in {
            "_toc.yml": b"root: book/index\nchapters:\n- file: executed/01_one\n",
            "notebooks/01_one.py": CHAPTER,
            "profiles/mine.yaml": profile,
        }.items():
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        return self.folder


CHAPTER = b"""# %% tags=["parameters"]
profile: str = "quick"  # profile
results_dir: str = "results/quick"  # folder
model: str = "tiny-random-gpt2"  # model
corpus: str = "lee"  # corpus
layer: int = 1  # layer
seq_len: int = 10  # tokens
n_others: int = 400  # targets
shrinkage: bool = False  # shrinkage
tolerance: float = 0.1  # relative
layers: list = [1, 2]  # layers
saes: list = []  # SAEs
"""


@pytest.fixture
def given(tmp_path, gpt2, tokens, family_folder, monkeypatch):
    return Given(tmp_path, gpt2, tokens, family_folder, monkeypatch)


# Each kind of row has its call; a row is (what, call, type of the error, a part of its sentence). ---------------------


def parameter(name, value, words):
    """By `prepare`, which loads no model before, if it takes that parameter, and by the check of all others."""

    def call(given):
        given.monkeypatch.setattr("plateaus_utils.experiments.setting.load_model", lambda *_: pytest.fail("loaded"))
        if name in prepare.__kwdefaults__ or name in ("model", "results_dir"):
            prepare(**{"model": embedded.TINY, "results_dir": str(given.folder / "results")} | {name: value})
        else:
            check(**{name: value})

    return f"{name}={value!r}", call, ParameterError, f"{name} {words}"


def setting(text, words):
    """Of the driver, as after `--set`."""
    return f"--set {text}", lambda given: planned(given, [text]), ParameterError, words


def profile(content, words):
    return f"profile {content}", lambda given: planned(given, [], content), ParameterError, words


def planned(given, settings, content=b"", only=(), name="mine"):
    root = given.checkout(content)
    before = sorted(root.rglob("*"))
    try:
        parameters.planned(name, parameters.parse_settings(settings), only, root)
    finally:
        assert sorted(root.rglob("*")) == before  # a refused run leaves no folder


def injected(line, words):
    """By papermill, into a notebook with three parameters."""
    declares = "layer: int = 1  # a layer\nshrinkage: bool = False\nsaes: list = []"
    return line, lambda _: check_injected([declares, f"# Parameters\n{line}\n"]), ParameterError, words


def corpus(name, content, words):
    """A file with this content."""

    def call(given):
        prompts.load_prompts(given.file(name, content), embedded.byte_tokenizer(), 1, 1, seq_len=30)

    return f"{name} {content[:40]}", call, CorpusError, words


def prompt(words, corpus="lee", bases=2, others=2, **options):
    """Of a packaged corpus, or one that does not exist."""

    def call(given):
        given.monkeypatch.setattr(nltk.data, "path", [])
        prompts.load_prompts(corpus, embedded.byte_tokenizer(), bases, others, **options)

    return f"{corpus} {bases} {others} {options}", call, CorpusError, words


def model(name, words, error=ModelError, **options):
    """A name, not a folder that exists."""
    return f"model {name!r} {options}", lambda _: models.load_model(name, **options), error, words


def folder(what, change, words, family="llama"):
    """A copy of a tiny model's folder after a change."""

    def call(given):
        path = given.model(family)
        change(path)
        models.load_model(str(path), device="cpu")

    return f"model with {what}", call, ModelError, words


def tensors(change):
    def on_disk(path):
        found = safetensors.torch.load_file(path / "model.safetensors")
        change(found)
        safetensors.torch.save_file(found, path / "model.safetensors", metadata={"format": "pt"})

    return on_disk


def configuration(**changes):
    def on_disk(path):
        config = json.loads((path / "config.json").read_text()) | changes
        (path / "config.json").write_text(json.dumps(config))

    return on_disk


def larger_tokenizer(path):
    tokenizer = embedded.byte_tokenizer()
    tokenizer.add_tokens(["<one>", "<two>"])
    tokenizer.save_pretrained(path)


def own_code(path):
    """A configuration that asks for code of its own, which would leave a trace."""
    (path / "theirs.py").write_text(f"open({str(path / 'ran')!r}, 'w')\n")
    configuration(model_type="theirs", auto_map={"AutoConfig": "theirs.Config"})(path)


def hook(name, words):
    return f"hook {name!r}", lambda given: Suffix(given.gpt2, given.tokens, name), ModelError, words


def places(positions):
    words = "not distinct places in a sequence of 12"
    return f"positions {positions}", lambda g: Suffix(g.gpt2, g.tokens, HOOK, positions), ActivationError, words


def points(what, make, words):
    """Made from the clean activations [n_prompts, d_model]."""

    def call(given):
        suffix = given.suffix()
        suffix(make(suffix.base[:, None].clone()))

    return f"points {what}", call, ActivationError, words


def path(walk, base, direction, words):
    """From a base along a direction, in two dimensions."""

    def call(_):
        walk(torch.tensor([base]), torch.tensor([direction]), torch.ones(1))

    return f"{walk.__name__} from {base} along {direction}", call, ActivationError, words


def search(what, words, effect=lambda points, _: points.norm(dim=-1), **options):
    """For thresholds along one direction."""

    def call(_):
        base, directions = torch.tensor([[1.0, 0.0]]), torch.tensor([[[0.0, 1.0]]])
        find_thresholds(
            effect, straight, base, directions, **{"level": 1.0, "grid": [1.0], "tolerance": 0.01} | options
        )

    return f"search {what}", call, ActivationError, words


def sae(name, words):
    return f"SAE {name!r}", lambda g: load_dictionary(name, g.gpt2, HOOK, torch.randn(9, 32)), SAEError, words


def stored(what, call, words):
    return f"results: {what}", call, ResultError, words


def cache(what, value):
    def call(given):
        given.monkeypatch.setenv("PLATEAUS_CACHE", value(given))
        files.cache_folder()

    return f"cache that is {what}", call, ModelError, "PLATEAUS_CACHE"


def result_file(content):
    """In the folder of a run, whose newest file a page names."""

    def call(given):
        given.file("curves.nc", content)
        results.newest(given.folder)

    return call


WHOLE = ("layer", "seq_len", "seed", "n_prompts", "n_others", "n_shown", "n_walks")
TEXTS = ("model", "results_dir", "corpus", "device", "dtype", "text")
TRUTHS = ("prepend_bos", "shrinkage")
AT_LEAST_TWO = ("seq_len", "n_prompts", "n_others", "n_shown")
IDS = "whole numbers from 0 up"
NO_CORPUS = "HF_HOME, HF_HUB_OFFLINE and HF_TOKEN"
LAST = "model.layers.3.mlp.up_proj.weight"

ROWS = [
    # Parameters
    *(parameter(name, value, "must be a whole number") for name in WHOLE for value in (True, "3", 2.5, None, [1])),
    *(parameter(name, value, "must be text") for name in TEXTS for value in (1, None, ["x"])),
    *(parameter(name, value, "must be true or false") for name in TRUTHS for value in ("false", 0, None)),
    *(parameter(name, value, "is empty") for name in TEXTS for value in ("", "  ")),
    *(parameter(name, value, "must be at least 2") for name in AT_LEAST_TWO for value in (-1, 0, 1)),
    *(parameter("n_walks", value, "must be at least 1") for value in (-1, 0)),
    parameter("layer", -1, "must be at least 0"),
    *(parameter("seed", value, f"must be from 0 to {2**63 - 1}") for value in (-5, 2**63, 99999999999999999999)),
    *(
        parameter("dtype", value, "must be one of float32, float64")
        for value in ("float31", "int8", "nn", "float8_e4m3fn")
    ),
    *(parameter("device", value, "must be one of auto, cpu") for value in ("abacus", "meta", "cuda:", "cuda:x")),
    # The driver's settings and profiles
    setting("layr=3", "did you mean 'layer'"),
    setting("layer=3.5", "layer must be a whole number"),
    setting("layer=true", "layer must be a whole number"),
    setting("layer=[1]", "layer must be a whole number"),
    setting("layer=", "layer must be a whole number"),
    setting("tolerance=small", "tolerance must be a finite number"),
    setting("tolerance=.nan", "tolerance must be a finite number"),
    setting("shrinkage=1", "shrinkage must be true or false"),
    setting("layers=3", "layers must be a list, each entry a whole number"),
    setting("layers=[1, 2.5]", "layers must be a list, each entry a whole number"),
    setting("saes=[1]", "saes must be a list, each entry text"),
    setting("profile=full", "profile cannot be set"),
    setting("results_dir=x", "results_dir cannot be set"),
    setting("layer", "not of the form name=value"),
    setting("=3", "not of the form name=value"),
    setting("layers=[1", "not valid YAML"),
    setting("layer=99", "layer is 99, but tiny-random-gpt2 has layers 0 to 3"),
    setting("layer=4", "layer is 4"),
    setting("seq_len=257", "a context of at most 256 tokens"),
    setting("n_others=63", "needs at least 64"),
    setting("model=./nowhere", "model names './nowhere', which does not exist"),
    setting("corpus=~/no/such.txt", "corpus names '~/no/such.txt'"),
    setting("corpus=lee+/no/such.txt", "corpus names '/no/such.txt'"),
    setting("corpus=lee+./no.txt", "corpus names './no.txt'"),
    setting("saes=[/no/sae]", "saes names '/no/sae'"),
    profile(b"layer: 010\n", "'010' is not"),
    profile(b"layer: 1:30\n", "'1:30' is not"),
    profile(b"layer: 0x10\n", "layer must be a whole number"),
    profile(b"layer: 2024-01-01\n", "layer must be a whole number"),
    profile(b"layer: 1_0\n", "layer must be a whole number"),
    profile(b"layer: 2\nlayer: 3\n", "'layer' is given twice"),
    profile(b"3: 2\n", "3 is no text"),
    profile(b"null: 2\n", "None is no text"),
    profile(b"layer: \xff\n", "is not UTF-8"),
    profile(b"- layer\n", "must map parameter names"),
    profile(b"layer: [\n", "not valid YAML"),
    profile(b"depth: 3\n", "No notebook declares the parameter 'depth'"),
    ("profile that does not exist", lambda g: planned(g, [], name="mien"), ParameterError, "did you mean 'mine'"),
    ("chapter that does not exist", lambda g: planned(g, [], only=["1"]), ParameterError, "There is no chapter '1'"),
    ("PDF without a site", lambda g: pdf.require_pages(g.folder, ["book/index"]), BookError, "`make book` builds it"),
    # What papermill injects
    injected("lyaer = 3", "did you mean 'layer'"),
    injected("zzz = 3", "known are layer, saes, shrinkage"),
    injected('shrinkage = "false"', "shrinkage must be true or false"),
    injected('layer = "3"', "layer must be a whole number"),
    injected("layer = 3.5", "layer must be a whole number"),
    injected("layer = True", "layer must be a whole number"),
    injected("layer = -1", "layer must be at least 0"),
    injected("saes = [1]", "saes must be a list, each entry text"),
    injected('saes = "x"', "saes must be a list"),
    # Corpora
    corpus("a.txt", b"  \n\n ", "empty"),
    corpus("a.jsonl", b"", "empty"),
    corpus("a.txt", b"\x00\x01\x02 text", "binary"),
    corpus("a.txt", b"\xff\xfe\x00", "not UTF-8 text (byte 0)"),
    corpus("a.txt", b"one short document", "gives 0 sequences of 30 tokens"),
    corpus("a.txt", b"a single document, long enough for some sequences of " * 9, "holds 1 document"),
    corpus("a.jsonl", b'{"text": "cut of', "cannot be read as .jsonl"),
    corpus("a.jsonl", b'{"body": "x"}\n', "no 'text' and no 'input_ids' column, only body"),
    corpus("a.jsonl", b'{"text": 5}\n', "holds int values"),
    corpus("a.JSONL", b'{"text": 5}\n', "holds int values"),
    corpus("a.jsonl", b'{"text": null}\n{"text": "few"}\n', "gives 0 sequences"),
    corpus("a.jsonl", b'{"input_ids": [1, 2, 50000]}\n', "holds the id 50000"),
    corpus("a.jsonl", b'{"input_ids": [1, -2]}\n', IDS),
    corpus("a.jsonl", b'{"input_ids": [1, null]}\n', IDS),
    corpus("a.jsonl", b'{"input_ids": null}\n{"input_ids": [1]}\n', IDS),
    corpus("a.jsonl", b'{"input_ids": [[1, 2]]}\n', IDS),
    corpus("a.jsonl", b'{"input_ids": "text"}\n', IDS),
    corpus("a.jsonl", b'{"input_ids": 7}\n', IDS),
    corpus("a.jsonl", b'{"input_ids": [1.5, 2.0]}\n', IDS),
    corpus("a.jsonl", b'{"input_ids": [true, false]}\n', IDS),
    corpus("a.tsv", b"a\tb\n", "(.tsv) that is not read as prose"),
    corpus("a.csv", b"a,b\n", "(.csv)"),
    corpus("a.HTML", b"<html>", "(.html)"),
    corpus("a.pdf", b"%PDF", "(.pdf)"),
    corpus("a.parquet", b"", "cannot be read as .parquet"),
    corpus("a.parquet", b"PAR1 but cut off", "cannot be read as .parquet"),
    prompt(NO_CORPUS, "unheard-of"),
    prompt(NO_CORPUS, "no-one/unheard-of"),
    prompt(NO_CORPUS, "/no/such/file.txt"),
    (
        "folder without a corpus",
        lambda g: prompts.open_corpus(str(g.folder)),
        CorpusError,
        "no packaged corpus (wikipedia",
    ),
    prompt("nltk.downloader", "nltk/webtext"),
    prompt("nltk.downloader", "nltk/no_such_corpus"),
    prompt("50000 bases and 1 others were asked for", bases=50_000, others=1),
    prompt("1 bases and 100000 others were asked for", bases=1, others=100_000),
    prompt("seq_len is 1", seq_len=1),
    prompt("seq_len is -1", seq_len=-1),
    prompt("longer than the model's context of 64", seq_len=65, n_ctx=64),
    # Models
    model("./nowhere", "no folder './nowhere'"),
    model("/no/such/folder", "no folder '/no/such/folder'"),
    model("~/no-such-folder-here", "no folder '~/no-such-folder-here'"),
    model("no-one/no-such-model", NO_CORPUS),
    model("no-such-model", NO_CORPUS),
    model(embedded.TINY, "no device 'cuda:99' here", device="cuda:99"),
    model(embedded.TINY, "device must be one of", ParameterError, device="meta"),
    model(embedded.TINY, "dtype must be one of", ParameterError, dtype="int8"),
    model("", "model is empty", ParameterError),
    folder("no configuration", lambda p: (p / "config.json").unlink(), "holds no causal language model"),
    folder("no tokenizer", lambda p: [f.unlink() for f in p.glob("tokenizer*")], "holds no causal language model"),
    folder(
        "a cut file", lambda p: (p / "model.safetensors").write_bytes(b"\x10"), "save both there with save_pretrained"
    ),
    folder("no weights", lambda p: (p / "model.safetensors").unlink(), "save both there with save_pretrained"),
    folder("a missing tensor", tensors(lambda t: t.pop(LAST)), f"lack 1 tensors (first: {LAST})"),
    folder("no unembedding", tensors(lambda t: t.pop("lm_head.weight")), "lack 1 tensors (first: lm_head.weight)"),
    folder("a misnamed tensor", tensors(lambda t: t.update({"model.up": t.pop(LAST)})), "lack 1 tensors"),
    folder(
        "a tensor too many", tensors(lambda t: t.update(extra=t[LAST].clone())), "beside what the configuration names"
    ),
    folder("a tensor cut short", tensors(lambda t: t.update({LAST: t[LAST][:9].clone()})), "in another shape"),
    folder("more layers than weights", configuration(num_hidden_layers=5, layer_types=None), "lack 9 tensors"),
    folder("a larger tokenizer", larger_tokenizer, "has 259 tokens, but its embedding has 257 rows"),
    folder("code of its own", own_code, "holds no causal language model"),
    cache("empty", lambda _: ""),
    cache("a file", lambda given: given.file("cache", b"")),
    # The engine
    hook("blocks.4.hook_resid_pre", "layers 0 to 3"),
    hook("blocks.99.hook_resid_post", "layers 0 to 3"),
    *(
        hook(name, "is no place to perturb")
        for name in ("blocks.1.hook_resid_mid", "blocks.1.attn.hook_z", "blocks.-1.hook_resid_pre", "hook_embed", "")
    ),
    *(places(positions) for positions in ((12,), (-13,), (3, 3), (-1, 11), ())),
    points("with NaN", lambda base: base * NAN, "NaN or infinite"),
    points("that are infinite", lambda base: base + INFINITY, "NaN or infinite"),
    points("of norm 1e30", lambda base: base + 1e30, "too long for float32"),
    points("that are too narrow", lambda base: base[..., :31], "(3, 1, 32) was expected"),
    points("of too few prompts", lambda base: base[:2], "(3, 1, 32) was expected"),
    points("with a dimension too many", lambda base: base[:, :, None], "(3, 1, 32) was expected"),
    (
        "unknown effect",
        lambda g: measure(g.suffix(), g.suffix().base[:, None], names=("kl", "KL")),
        ParameterError,
        "no effect named KL",
    ),
    # Paths and thresholds
    *(path(walk, [1.0, 0.0], [0.0, 0.0], "zero length") for walk in (sphere, straight)),
    *(path(walk, [0.0, 0.0], [1.0, 0.0], "The base has zero length") for walk in (sphere, straight)),
    *(
        path(walk, [1.0, bad], [0.0, 1.0], "NaN or infinite")
        for walk in (sphere, straight, linear_pair, slerp_pair)
        for bad in (NAN, INFINITY)
    ),
    *(path(walk, [1.0, 0.0], [NAN, 1.0], "NaN or infinite") for walk in (sphere, straight, linear_pair, slerp_pair)),
    *(path(sphere, [1.0, 0.0], [sign * 2.0, 0.0], "parallel to the base") for sign in (1, -1)),
    path(slerp_pair, [1.0, 0.0], [-2.5, 0.0], "opposite ways"),
    path(slerp_pair, [1.0, 0.0], [0.0, 0.0], "zero length"),
    *(
        search(f"of a {bad} effect", "not finite", lambda points, _, bad=bad: points[..., 0] * 0 + bad)
        for bad in (NAN, INFINITY)
    ),
    *(search(f"for {o}", "level from 0 up", **o) for o in ({"level": -1.0}, {"level": NAN}, {"tolerance": 0.0})),
    # Activations and SAEs
    ("few activations", lambda _: Gaussian.fit(torch.randn(63, 32)), ActivationError, "at least 64"),
    ("infinite activations", lambda _: Gaussian.fit(torch.full((9, 2), INFINITY)), ActivationError, "NaN or infinite"),
    sae("unheard-of", "RELEASE:SAE_ID"),
    sae("gpt2-small-res-jb:no-such-id", "cannot be read"),
    sae("no-such-release:id", "cannot be read"),
    sae("../../nowhere", "'../../nowhere' cannot be read"),
    # Results
    *(stored(f"in {name!r}", lambda _, name=name: results.results_folder(name), "results_dir") for name in ("", "  ")),
    stored("in a file", lambda g: results.results_folder(g.file("results", b"")), "results_dir"),
    stored("a missing file", lambda g: results.load(g.folder / "a.nc"), "no result file a.nc"),
    stored("a file of text", result_file(b"threshold,kl\n1,2\n"), "curves.nc is damaged or no netCDF file"),
    stored("an empty file", result_file(b""), "curves.nc is damaged or no netCDF file"),
]


@pytest.mark.parametrize(("call", "error", "words"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_what_cannot_be_meant_is_refused_in_one_sentence(call, error, words, given):
    with pytest.raises(PlateausError) as caught:
        call(given)
    message = str(caught.value)
    assert caught.type is error and words in message, message
    assert message.endswith(".") and "\n" not in message and "Traceback" not in message


def test_the_table_has_each_row_once_and_is_as_long_as_promised():
    names = [name for name, *_ in ROWS]
    assert len(set(names)) == len(names) >= 120
