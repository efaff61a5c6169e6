"""The chapters as texts: what every notebook must look like, and that plain papermill runs one."""

import ast
import inspect
import re
import statistics
import subprocess
import sys

import jupytext
import nbformat
import pytest

from plateaus_utils import claims
from plateaus_utils.book import accounts, answers, prose
from plateaus_utils.book.parameters import chapters, declared_parameters
from plateaus_utils.files import PROJECT

NAMES = chapters()
NOTEBOOKS = {name: jupytext.read(PROJECT / "notebooks" / f"{name}.py") for name in NAMES}

DEFINITIONS = {
    # thresholds, steps, references and tolerances that are fixed by definition, not measured
    "01_methodology": {"0.5", "0.8"},
    "02_activation_plateaus": {"0.5", "0.01", "0.8", "0.19"},
    "03_sensitive_directions": {"0.5", "0.01"},
    "04_local_optima": {"0.5"},
    "05_sae_features": {"0.5"},
    "06_trivial_explanations": set(),
    "07_toy_networks": set(),
    "claims": set(),
    "explorer": set(),
    "explorer_live": set(),
    "rerun": set(),
    "status": set(),
}
"""Every decimal that a chapter's Markdown may spell out; all results are glued."""


def code_cells(name: str) -> list:
    return [cell for cell in NOTEBOOKS[name].cells if cell.cell_type == "code"]


def markdown(name: str) -> str:
    return "\n".join(cell.source for cell in NOTEBOOKS[name].cells if cell.cell_type == "markdown")


def captions(name: str) -> str:
    return "\n".join(cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "") for cell in code_cells(name))


@pytest.mark.parametrize("name", NAMES)
def test_decimals_in_prose_are_definitions(name):
    typed = set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.]*`)", markdown(name) + captions(name)))
    assert typed <= DEFINITIONS[name], f"typed in {name}, but neither glued nor a reviewed definition: {typed}"


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_short_and_define_nothing(name):
    visible = [c for c in code_cells(name) if not {"parameters", "remove-cell"} & set(c.metadata.get("tags", []))]
    lengths = [len(cell.source.splitlines()) for cell in visible]
    assert statistics.median(lengths) <= 6
    assert max(lengths) <= 25
    defined = [node for cell in code_cells(name) for node in ast.walk(ast.parse(cell.source))
               if isinstance(node, ast.FunctionDef | ast.ClassDef)]  # fmt: skip
    assert not defined


@pytest.mark.parametrize("name", NAMES)
def test_lines_of_code_have_at_most_120_characters(name):
    lines = [line for cell in code_cells(name) for line in cell.source.splitlines()]
    assert not [line for line in lines if len(line) > 120]


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_explained_and_read(name):
    declared = declared_parameters(PROJECT / "notebooks" / f"{name}.py")
    after = [c for c in code_cells(name) if "parameters" not in c.metadata.get("tags", [])]
    read = {node.id for cell in after for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)}
    read |= {"profile"}  # set by the driver, and shown with the parameters of the run
    assert all(parameter.help for parameter in declared.values())
    assert set(declared) <= read


@pytest.mark.parametrize("name", NAMES)
def test_shared_parameters_have_one_default_and_one_meaning(name):
    first = declared_parameters(PROJECT / "notebooks" / f"{NAMES[0]}.py")
    for parameter in declared_parameters(PROJECT / "notebooks" / f"{name}.py").values():
        assert first.get(parameter.name, parameter) == parameter


def glued_at_once(code: str) -> set[str]:
    """Names that calls of `prose.glue` make: keywords, and what functions of `prose` that they unpack return."""
    names = set()
    for call in (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)):
        if ast.unparse(call.func) != "prose.glue":
            continue
        for keyword in call.keywords:
            if keyword.arg is not None:
                names.add(keyword.arg)
            else:
                module = {"prose": prose, "answers": answers, "accounts": accounts}[
                    ast.unparse(keyword.value.func.value)
                ]
                source = inspect.getsource(getattr(module, keyword.value.func.attr))
                names |= set(re.findall(r'"(\w+)"', source))
    return names


@pytest.mark.parametrize("name", NAMES)
def test_every_glued_key_is_made_by_the_page_that_shows_it(name):
    used = set(re.findall(r"\{glue:text\}`(\w+)`", markdown(name)))
    made = "\n".join(cell.source for cell in code_cells(name))
    patterns = [re.sub(r"\\\{[^}]*\\\}", r"\\w+", re.escape(key)) for key in re.findall(r'glue\(\s*f?"([^"]+)"', made)]
    # An estimate over one dimension gets a name for each member, after an underscore.
    patterns += [f"{key}(_\\w+)?" for cell in code_cells(name) for key in glued_at_once(cell.source)]
    by_variable = set(re.findall(r'\("[^"]+", "(\w+)"\)', made))  # glue(key, ...) in a loop over (what, key)
    missing = {key for key in used - by_variable if not any(re.fullmatch(pattern, key) for pattern in patterns)}
    assert not missing


def figures(name: str) -> list[dict]:
    return [c.metadata["mystnb"]["figure"] for c in code_cells(name) if "mystnb" in c.metadata]


@pytest.mark.parametrize("name", NAMES)
def test_figures_have_a_unique_name_and_a_caption(name):
    everywhere = [figure["name"] for other in NAMES for figure in figures(other)]
    for figure in figures(name):
        assert figure["name"].startswith("fig-") and everywhere.count(figure["name"]) == 1
        assert len(figure["caption"]) > 40


def decided() -> dict[str, dict]:
    """The entries of the statements that the book decides."""
    return {name: claims.registry()[name] for name in claims.decided()}


def judged(name: str) -> dict[str, set[str]]:
    """Statement that a notebook judges -> the secondary numbers that it delivers."""
    found = {}
    for cell in code_cells(name):
        for call in [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]:
            if ast.unparse(call.func) == "judge":
                found[call.args[0].value] = {keyword.arg for keyword in call.keywords} - {"withheld"}
    return found


def test_claims_point_at_figures_that_exist():
    labels = {f"{name}#{figure['name']}" for name in NAMES for figure in figures(name)}
    assert {entry["figure"] for entry in decided().values()} <= labels


def test_chapters_deliver_exactly_the_numbers_that_the_registry_names():
    delivered = [pair for name in NAMES for pair in judged(name).items()]
    wanted = {name: set(entry.get("secondary", {})) for name, entry in decided().items()}
    assert len(delivered) == len(wanted) and dict(delivered) == wanted


@pytest.mark.parametrize("name", NAMES)
def test_claims_are_judged_on_the_page_of_their_figure(name):
    assert all(decided()[claim]["figure"].startswith(name) for claim in judged(name))


def test_plain_papermill_runs_a_converted_notebook(tmp_path):
    """The commands of the README, without the book's own driver."""
    source, output = tmp_path / "chapter.ipynb", tmp_path / "out.ipynb"
    script = PROJECT / "notebooks" / "01_methodology.py"
    subprocess.run(
        [sys.executable, "-m", "jupytext", "--to", "ipynb", "-o", source, script], check=True, capture_output=True
    )
    subprocess.run(
        [sys.executable, "-m", "papermill", source, output, "-f", PROJECT / "profiles" / "smoke.yaml", "-p", "n_prompts", "8",
         "-p", "results_dir", tmp_path / "results", "--no-progress-bar"],
        check=True, capture_output=True, cwd=PROJECT,
    )  # fmt: skip
    executed = nbformat.read(output, as_version=4)
    text = "\n".join(o.get("text", "") for c in executed.cells if c.cell_type == "code" for o in c.outputs)
    assert "a tiny GPT-2 with random weights" in text
    assert (tmp_path / "results" / "activations_8_400_1.nc").is_file()
