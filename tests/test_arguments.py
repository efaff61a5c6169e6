"""Parameters: what is refused, in one sentence, before anything is loaded."""

import subprocess
import sys

import nbformat
import pytest

from plateaus_utils.arguments import check, check_injected
from plateaus_utils.errors import ParameterError
from plateaus_utils.experiments import prepare
from plateaus_utils.files import PROJECT

WHOLE = ("layer", "seq_len", "seed", "n_prompts", "n_others", "n_shown", "n_walks")
TEXT = ("model", "results_dir", "corpus", "device", "dtype", "text")
TRUTH = ("prepend_bos", "shrinkage")

WRONG_TYPES = [
    *((name, value) for name in WHOLE for value in (True, "3", 2.5, None, [1])),
    *((name, value) for name in TEXT for value in (1, None, True, ["x"])),
    *((name, value) for name in TRUTH for value in ("false", 0, None, "True")),
]
OUT_OF_RANGE = [
    *((name, -1) for name in WHOLE),
    *((name, 0) for name in WHOLE if name not in ("layer", "seed")),
    *((name, 1) for name in ("seq_len", "n_prompts", "n_others")),
    ("seed", 2**63),
    ("seed", 99999999999999999999),
]
EMPTY = [(name, value) for name in TEXT for value in ("", "  ")]


@pytest.mark.parametrize(("name", "value"), WRONG_TYPES + OUT_OF_RANGE + EMPTY)
def test_values_that_cannot_be_meant_are_refused(name, value, refused):
    with refused(ParameterError, name):
        check(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("layer", 0), ("seed", 2**63 - 1), ("n_prompts", 2), ("shrinkage", False)])
def test_values_at_the_edge_pass(name, value):
    check(**{name: value})


PREPARED = (*WHOLE[:5], *TRUTH, "model", "corpus", "device", "dtype")


@pytest.mark.parametrize(("name", "value"), [row for row in WRONG_TYPES + OUT_OF_RANGE + EMPTY if row[0] in PREPARED])
def test_prepare_refuses_them_before_the_model_is_loaded(name, value, tmp_path, monkeypatch, refused):
    monkeypatch.setattr("plateaus_utils.experiments.setting.load_model", lambda *_: pytest.fail("the model was loaded"))
    given = {"model": "tiny-random-gpt2", "results_dir": str(tmp_path)} | {name: value}
    with refused(ParameterError, name):
        prepare(**given)


CELLS = [
    "",
    "import os\nfrom x import y",
    "layer: int = 1  # a layer\nshrinkage: bool = False\nsaes: list = []",
    "%time 1",
]


@pytest.mark.parametrize(
    ("injected", "words"),
    [
        ("lyaer = 3", ("'lyaer'", "did you mean 'layer'")),
        ("zzz = 3", ("'zzz'", "known are layer, saes, shrinkage")),
        ('shrinkage = "false"', ("shrinkage must be true or false", "'false'")),
        ('layer = "3"', ("layer must be a whole number",)),
        ("layer = 3.5", ("layer must be a whole number",)),
        ("layer = True", ("layer must be a whole number",)),
        ("layer = -1", ("layer must be at least 0",)),
        ("saes = [1]", ("saes must be a list, each entry text",)),
        ('saes = "x"', ("saes must be a list",)),
    ],
)
def test_what_papermill_injects_must_be_declared_and_of_its_type(injected, words, refused):
    with refused(ParameterError, *words):
        check_injected([*CELLS, f"# Parameters\n{injected}\n"])


def test_what_is_declared_passes_and_other_assignments_do_not_count():
    check_injected([*CELLS, '# Parameters\nlayer = 3\nshrinkage = True\nsaes = ["x"]\n', "other = 3"])
    check_injected(CELLS)


def test_plain_papermill_refuses_a_misspelt_parameter_in_the_first_cell(tmp_path):
    source = tmp_path / "chapter.ipynb"
    script = PROJECT / "notebooks" / "02_activation_plateaus.py"
    subprocess.run([sys.executable, "-m", "jupytext", "--to", "ipynb", "-o", source, script], check=True)
    run = subprocess.run(
        [sys.executable, "-m", "papermill", source, tmp_path / "out.ipynb", "-p", "lyaer", "3", "--no-progress-bar"],
        capture_output=True, text=True, cwd=PROJECT, check=False,
    )  # fmt: skip
    assert run.returncode != 0 and "did you mean 'layer'" in run.stderr
    cells = [cell for cell in nbformat.read(tmp_path / "out.ipynb", as_version=4).cells if cell.cell_type == "code"]
    failed = [i for i, cell in enumerate(cells) if any(output.output_type == "error" for output in cell.outputs)]
    tags = [cell.metadata.get("tags", []) for cell in cells]
    assert "injected-parameters" in tags[max(failed) - 1]
