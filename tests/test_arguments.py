"""Parameters: what passes, and what is refused where papermill injects it; all that is refused is in `test_refused`."""

import subprocess
import sys

import nbformat
import pytest

from plateaus_utils.arguments import check, check_injected
from plateaus_utils.files import PROJECT


@pytest.mark.parametrize(("name", "value"), [("layer", 0), ("seed", 2**63 - 1), ("n_prompts", 2), ("shrinkage", False)])
def test_values_at_the_edge_pass(name, value):
    check(**{name: value})


CELLS = [
    "",
    "import os\nfrom x import y",
    "layer: int = 1  # a layer\nshrinkage: bool = False\nsaes: list = []",
    "%time 1",
]


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
