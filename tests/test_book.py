"""The driver: parameters, keys, what makes a notebook a page, failures. Its notebooks are throw-aways."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from plateaus_utils.book import __main__ as command
from plateaus_utils.book import chapters, site
from plateaus_utils.book import parameters as book_parameters
from plateaus_utils.errors import BookError, ParameterError, ResultError
from plateaus_utils.files import PROJECT

PARAMETERS = """# %% tags=["parameters"]
profile: str = "quick"
results_dir: str = "results/quick"
layer: int = 1  # which block is perturbed
tolerance: float = 0.1  # relative
layers: list = [1, 2]
fast: bool = True
"""
FIGURE = """
# %%
import matplotlib.pyplot as plt
fig, ax = plt.subplots()
plt.close(fig)
display(fig, metadata={"image/png": {"alt": f"empty axes, layer {layer}"}})
"""
READS = """
# %%
print(layer, profile, results_dir)
"""


@pytest.fixture
def root(tmp_path):
    """A checkout with two chapters, two profiles and an empty package."""
    toc = {"root": "book/index", "chapters": [{"file": "executed/01_one"}, {"file": "executed/claims"}]}
    files = {
        "_toc.yml": json.dumps(toc),
        "requirements.txt": "",
        "plateaus_utils/module.py": "",
        "profiles/quick.yaml": "layer: 2\ntolerance: 1e-3\n",
        "profiles/empty.yaml": "",
        "notebooks/01_one.py": PARAMETERS + READS,
        "notebooks/claims.py": PARAMETERS + READS,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def runs(monkeypatch):
    """Chapters 'executed' without a kernel: the list of what ran, in order."""
    ran = []

    def execute(source, parameters, run_dir, cwd):
        ran.append(source.stem)
        return chapters.source_notebook(source)

    monkeypatch.setattr(chapters, "execute", execute)
    return ran


def run(root, overrides=None, only=(), profile="quick"):
    """Run what is stale in this checkout; what remains stale."""
    return chapters.run_chapters(book_parameters.planned(profile, overrides or {}, only, root), only, root)


def executed(root, name="01_one"):
    return nbformat.read(root / "executed" / f"{name}.ipynb", as_version=4)


# Parameters


def test_chapters_follow_the_toc(root):
    assert book_parameters.chapters(root) == ["01_one", "claims"]
    (root / "notebooks" / "claims.py").unlink()
    with pytest.raises(ParameterError, match="no notebooks/claims.py"):
        book_parameters.chapters(root)


def test_declared_parameters_have_defaults_and_help(root):
    declared = book_parameters.declared_parameters(root / "notebooks" / "01_one.py")
    assert list(declared) == ["profile", "results_dir", "layer", "tolerance", "layers", "fast"]
    assert declared["layer"] == book_parameters.Parameter("layer", 1, "which block is perturbed")
    assert declared["layers"].default == [1, 2]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (READS, "exactly one cell tagged parameters"),
        (PARAMETERS.replace('profile: str = "quick"\n', ""), "does not declare the parameter profile"),
        (PARAMETERS + "size: float = 2 * 3\n", "papermill cannot read the parameter `size"),
        (PARAMETERS + "size: float = 2.0  # with size = 3 it is slow\n", "papermill cannot read the parameter `size"),
    ],
)
def test_unreadable_parameters_are_refused(root, source, message):
    path = root / "notebooks" / "01_one.py"
    path.write_text(source)
    with pytest.raises(ParameterError, match=message):
        book_parameters.declared_parameters(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [("layer=3", 3), ("tolerance=2", 2), ("tolerance=1e-3", 0.001), ("layers=[3, 4]", [3, 4]), ("fast=no", False)],
)
def test_settings_of_the_right_type_pass(root, text, value):
    settings = book_parameters.parse_settings([text])
    assert list(settings.values()) == [value]
    declared = book_parameters.declared_parameters(root / "notebooks" / "01_one.py")
    book_parameters.check_parameters(settings, {"01_one": declared})


def test_profiles(root, runs):
    assert book_parameters.load_profile("quick", root) == {"layer": 2, "tolerance": 0.001}
    assert book_parameters.load_profile("empty", root) == {}
    with pytest.raises(ParameterError, match="no profile 'quik', did you mean 'quick'\\?; known are empty, quick"):
        run(root, profile="quik")
    (root / "profiles" / "quick.yaml").write_text("depth: 3\n")
    with pytest.raises(ParameterError, match="No notebook declares the parameter 'depth'"):
        run(root)
    with pytest.raises(ParameterError, match="no chapter '02'"):
        run(root, only=["02"], profile="empty")
    assert runs == []


def test_results_folder_spells_out_overrides():
    assert book_parameters.results_dir("quick", {}) == "results/quick"
    assert book_parameters.results_dir("quick", {"n": 3, "layer": 5}) == "results/quick+layer=5,n=3"
    slash, underscore = (book_parameters.results_dir("quick", {"model": name}) for name in ("a/b", "a_b"))
    assert slash.count("/") == 1
    assert slash != underscore
    assert len(book_parameters.results_dir("quick", {"model": "x" * 300})) < 120


def test_command_line_prints_one_sentence(capsys):
    assert command.main(["--profile", "no-such-profile"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_command_line_refuses_before_it_imports_what_takes_seconds():
    script = (
        "import sys\nfrom plateaus_utils.book.__main__ import main\n"
        "code = main(['--profile', 'smoke', '--set', 'layer=99'])\n"
        "print(code, *sorted({'torch', 'pandas', 'papermill', 'nbformat', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n" and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", book_parameters.chapters())
def test_parameters_are_those_that_papermill_finds(name):
    path = PROJECT / "notebooks" / f"{name}.py"
    found = papermill.inspect_notebook(chapters.source_notebook(path))
    ours = book_parameters.declared_parameters(path).values()
    assert {p.name: (p.default, p.help) for p in ours} == {
        name: (ast.literal_eval(entry["default"]), entry["help"].strip()) for name, entry in found.items()
    }


# Keys


def test_unchanged_chapters_are_not_run_again(root, runs):
    assert run(root) == []
    before = (root / "executed" / "01_one.ipynb").read_bytes()
    run(root)
    assert runs == ["01_one", "claims"]
    assert (root / "executed" / "01_one.ipynb").read_bytes() == before


@pytest.mark.parametrize("changed", ["plateaus_utils/module.py", "requirements.txt", "notebooks/01_one.py"])
def test_changed_code_makes_chapters_stale(root, runs, changed):
    run(root)
    with (root / changed).open("a") as file:
        file.write("\n# changed\n")
    run(root)
    assert runs == ["01_one", "claims"] * 2  # claims reads the results of the other


def test_changed_parameters_and_lost_results_make_chapters_stale(root, runs):
    run(root)
    run(root, {"layer": 3})
    assert executed(root).metadata.plateaus.parameters.layer == 3
    (root / "results" / "quick+layer=3").rmdir()
    run(root, {"layer": 3})
    assert runs == ["01_one", "claims"] * 3


def test_damaged_notebook_is_stale(root, runs):
    run(root)
    path = root / "executed" / "01_one.ipynb"
    path.write_text(path.read_text()[:200])
    run(root)
    assert runs == ["01_one", "claims", "01_one"]


def test_only_leaves_the_others_and_says_what_is_stale(root, runs):
    assert run(root, only=["claims"]) == ["01_one"]
    assert runs == ["claims"]
    assert run(root) == []
    assert runs == ["claims", "01_one", "claims"]


# Pages


def messy_notebook(ids):
    outputs = [
        new_output("stream", name="stdout", text="one\n"),
        new_output("stream", name="stderr", text="100%|####|\n"),
        new_output("stream", name="stdout", text="two\n"),
        new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": ids}, "text/plain": ""}),
        new_output("display_data", {"image/png": "aGk="}, metadata={"image/png": {"alt": "a flat curve", "width": 5}}),
    ]
    cells = [
        new_code_cell("n = 1", id=f"{ids}a", metadata={"tags": ["injected-parameters"], "papermill": {"end": ids}}),
        new_code_cell("show()", id=f"{ids}b", outputs=outputs, metadata={"execution": {"iopub.status.busy": ids}}),
    ]
    return new_notebook(cells=cells, metadata={"papermill": {"start_time": ids}, "widgets": {"state": ids}})


def test_finalise_leaves_nothing_of_the_moment():
    first, second = (chapters.finalise(messy_notebook(ids), key="k") for ids in ("x", "y"))
    assert nbformat.writes(first) == nbformat.writes(second)
    assert first.metadata == {"plateaus": {"key": "k"}}
    assert first.cells[0].metadata.tags == ["injected-parameters", "hide-input"]
    assert set(first.cells[0].metadata) == {"tags", "mystnb"}
    assert [output.output_type for output in first.cells[1].outputs] == ["stream", "display_data"]
    assert first.cells[1].outputs[0].text == "one\ntwo\n"


def test_alternative_text_moves_to_the_cell():
    cell = chapters.finalise(messy_notebook("x")).cells[1]
    assert cell.metadata.mystnb == {"image": {"alt": "a flat curve"}}
    assert cell.outputs[-1].metadata == {"image/png": {"width": 5}}


def test_figures_must_be_described_and_alone():
    nb = messy_notebook("x")
    nb.cells[1].outputs[-1].metadata = {}
    with pytest.raises(BookError, match="cell-001 shows a figure without alternative text"):
        chapters.finalise(nb)
    nb = messy_notebook("x")
    nb.cells[1].outputs.append(nb.cells[1].outputs[-1])
    with pytest.raises(BookError, match="cell-001 shows 2 figures"):
        chapters.finalise(nb)


# Real kernels


def test_real_run_is_reproducible(root):
    (root / "notebooks" / "01_one.py").write_text(PARAMETERS + FIGURE + READS)
    path = root / "executed" / "01_one.ipynb"
    run(root, {"layer": 5}, only=["01_one"])
    first = path.read_bytes()
    nb = executed(root)
    assert nb.cells[-2].metadata.mystnb.image.alt == "empty axes, layer 5"
    assert nb.cells[-1].outputs[0].text == "5 quick results/quick+layer=5\n"
    path.unlink()
    run(root, {"layer": 5}, only=["01_one"])
    assert path.read_bytes() == first
    assert json.loads((root / "_build/run/status.json").read_text())["01_one"]["seconds"] > 0


def test_failed_chapter_cannot_be_published(root, runs, monkeypatch):
    run(root)
    monkeypatch.undo()
    (root / "_build" / "html").mkdir(parents=True)
    source = root / "notebooks" / "01_one.py"
    source.write_text(PARAMETERS + "# %%\n1 / 0\n")
    with pytest.raises(BookError, match="(?s)01_one: cell 2 raised.*ZeroDivisionError"):
        run(root)
    assert not (root / "executed" / "01_one.ipynb").exists()
    assert not (root / "_build" / "html").exists()
    assert (root / "_build" / "run" / "01_one.out.ipynb").exists()


def test_a_chapter_that_gives_up_says_its_sentence_only(root):
    source = root / "notebooks" / "01_one.py"
    source.write_text(PARAMETERS + "# %%\nfrom plateaus_utils import errors\nraise errors.ModelError('No model.')\n")
    with pytest.raises(BookError) as caught:
        run(root)
    assert str(caught.value) == "01_one: No model."


def test_full_disk_is_one_sentence(root, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(chapters, "execute", full)
    with pytest.raises(ResultError, match="No space is left"):
        run(root)


# The checks of the site


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "loads https://cdn.example/x.js"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "loads //cdn.example/x.css"),
        ('<img src="a.png">', "has no alternative text"),
        ('<img src="a.png" alt="../_images/0123.png">', "has no alternative text"),
        ('<a href="gone.html">x</a>', "the link gone.html leads nowhere"),
        ('<a href="#gone">x</a>', "the link #gone leads nowhere"),
        ("x" * (site.MAX_PAGE_BYTES + 1), "bytes are more than"),
    ],
)
def test_site_problems(tmp_path, html, problem):
    (tmp_path / "page.html").write_text(html)
    (found,) = site.site_problems(tmp_path)
    assert problem in found


def test_sound_site_has_no_problems(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="top">x</h1><a href="b.html#end">b</a> <a href="https://example.org">e</a>'
    )
    (tmp_path / "b.html").write_text('<img src="c.png" alt="a curve"><p id="end"></p><a href="a.html">a</a>')
    assert site.site_problems(tmp_path) == []
    assert site.site_problems(tmp_path / "empty") == ["there are no pages"]


def test_reference_pages_build_without_a_warning(tmp_path):
    # Whatever docstring, type or citation is wrong shows here, and not only after half an hour of chapters.
    shutil.copytree(PROJECT / "book", tmp_path / "book")
    shutil.copy(PROJECT / "_config.yml", tmp_path)
    toc = {"format": "jb-book", "root": "book/api", "chapters": [{"file": "book/bibliography"}]}
    (tmp_path / "_toc.yml").write_text(json.dumps(toc))
    pages = site.build_site(tmp_path)
    assert 'id="plateaus_utils.sensitivity.find_thresholds"' in (pages / "book" / "api.html").read_text()


# One run at a time, and nothing lost between runs


def test_second_run_in_one_checkout_is_refused(root, refused):
    holds = (
        "import sys, time; from pathlib import Path; from plateaus_utils.book.chapters import only_run\n"
        "with only_run(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(120)"
    )
    with subprocess.Popen([sys.executable, "-c", holds, root], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(ParameterError, match=rf"Another run \(pid {first.pid}\) uses this checkout"),
            chapters.only_run(root),
        ):
            pass
        first.kill()
        first.wait()
    with chapters.only_run(root):  # a killed run holds nothing
        pass


def test_what_a_killed_run_left_unfinished_is_cleared_away(root, monkeypatch):
    monkeypatch.setenv("PLATEAUS_CACHE", str(root / "cache"))
    left, parts = root / "executed" / ".01_one.ipynb.ab12cd34", root / "results" / "quick" / ".parts"
    young = root / "results" / "quick" / ".curves.nc.ab12cd34"
    old = root / "results" / "quick" / ".curves.nc.zz12cd34"
    cached, fetching = root / "cache" / ".tiny.zz12cd34", root / "cache" / ".tiny.ab12cd34"
    for folder in (left, parts, young, old, cached, fetching):
        folder.mkdir(parents=True)
    for folder in (old, cached):
        os.utime(folder, (0, 0))
    with chapters.only_run(root):
        assert not left.exists() and not old.exists() and not cached.exists()
        assert young.exists() and parts.exists() and fetching.exists()


WAITS = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests may ignore it
from pathlib import Path
from plateaus_utils.book import __main__ as command, site
def wait(*_):
    print("waiting", flush=True)
    time.sleep(120)
"""


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT"])
def test_polite_signal_is_answered_by_a_sentence(name):
    script = WAITS + "command.planned = wait\nsys.exit(command.main([]))"
    with subprocess.Popen([sys.executable, "-c", script], stdout=-1, stderr=-1, text=True) as driver:
        assert driver.stdout.readline() == "waiting\n"
        driver.send_signal(getattr(signal, name))
        assert driver.communicate()[1] == "Stopped; the same command goes on from here.\n"
    assert driver.returncode == 130


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_killed_site_build_leaves_no_writer_behind(name, tmp_path):
    writer = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(120)"
    script = WAITS + f"site._run([sys.executable, '-c', {writer!r}], Path({str(tmp_path)!r}))"
    with subprocess.Popen([sys.executable, "-c", script]) as builder:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        builder.send_signal(getattr(signal, name))
        builder.wait()
    wait_until(lambda: not is_running(int((tmp_path / "pid").read_text())))


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def is_running(pid):
    """Whether a process lives; one that ended and was not yet asked for its status (a zombie) does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def with_corpus(root):
    text = root / "corpus.txt"
    text.write_text("one")
    declared = f'corpus: str = "{text}"\n'
    for name in ("01_one", "claims"):
        (root / "notebooks" / f"{name}.py").write_text(PARAMETERS + declared + READS)
    return text


@pytest.mark.parametrize("others", ["", "+lee"])
def test_edited_corpus_makes_its_chapters_stale(root, runs, others):
    text = with_corpus(root)
    for content in ("one", "one", "two"):
        text.write_text(content)
        run(root, {"corpus": str(text) + others})
    assert runs == ["01_one", "claims"] * 2


def test_the_registry_of_statements_belongs_to_every_chapter(root, runs):
    for content in ("one", "one", "two"):
        (root / "book").mkdir(exist_ok=True)
        (root / "book" / "claims.yaml").write_text(content)
        run(root, {})
    assert runs == ["01_one", "claims"] * 2


def test_claims_of_another_run_make_the_collecting_chapter_stale(root, runs):
    other = root / "results" / "replicate-untrained" / "claims.json"
    other.parent.mkdir(parents=True)
    for content in ("[]", "[]", "[1]"):
        other.write_text(content)
        run(root, {})
    assert runs == ["01_one", "claims", "claims"]


def test_edited_file_of_a_folder_makes_its_chapters_stale(root, runs):
    with_corpus(root)
    folder = root / "model"
    (folder / "deep").mkdir(parents=True)
    for content in ("one", "one", "two"):
        (folder / "deep" / "weights").write_text(content)
        run(root, {"corpus": str(folder)})
    assert runs == ["01_one", "claims"] * 2


@pytest.mark.parametrize("damage", ["lost", "edited"])
@pytest.mark.parametrize("what", ["claim", "result"])
def test_chapter_whose_claim_or_result_is_gone_runs_again(root, runs, monkeypatch, damage, what):
    without, folder = chapters.execute, root / "results" / "quick"

    def execute(source, parameters, run_dir, cwd):
        (folder / "claims").mkdir(parents=True, exist_ok=True)
        (folder / "claims" / "C1.json").write_text("{}")
        (folder / "curves.nc").write_text("")
        used = Path(os.environ[chapters.USED])
        used.parent.mkdir(parents=True, exist_ok=True)
        used.write_text("results/quick/curves.nc\n")
        return without(source, parameters, run_dir, cwd)

    monkeypatch.setattr(chapters, "execute", execute)
    run(root, only=["01_one"])
    path = folder / ("claims/C1.json" if what == "claim" else "curves.nc")
    if damage == "lost":
        path.unlink()
    else:
        path.write_text('{"verdict": "holds"}')
    run(root, only=["01_one"])
    # An edited result has a checksum of its own, which the chapter checks when it reads it.
    assert runs == ["01_one"] * (1 if (what, damage) == ("result", "edited") else 2)


@pytest.mark.parametrize("content", ["{", "[]", '{"01_one": 3}', "\xff"])
def test_damaged_status_is_written_anew(root, runs, content):
    path = root / "_build" / "run" / "status.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    run(root)
    assert list(chapters.status_table(root).index) == ["01_one", "claims"]
