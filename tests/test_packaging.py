"""What an installed package is: its wheel, what it declares, and what importing it does."""

import ast
import functools
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import plateaus_utils
from plateaus_utils.files import PROJECT

PACKAGE = PROJECT / "plateaus_utils"
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
TRAINING = {"saes.py": "saes", "sae_training.py": "saes", "sae_assessment.py": "saes", "prompts.py": "saes"}
"""Modules of the library that read or train SAEs, and so may import what the extra `saes` brings (NLTK's corpora too)."""


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


# The wheel ------------------------------------------------------------------------------------------------------------


def run(*command: object, cwd: Path, **environment: str) -> str:
    """Output of a command that knows nothing of the checkout."""
    shell = {
        "PATH": "/usr/bin:/bin",
        "HF_HUB_OFFLINE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=shell | {"HOME": str(cwd)} | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which the wheel of this checkout was installed, without its dependencies."""
    root = tmp_path_factory.mktemp("wheel")
    source, target = root / "source", root / "target"
    source.mkdir()
    for name in ("plateaus_utils", "book", "saes", "profiles"):  # a copy, because a build leaves folders in its source
        shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", root, source, cwd=root)
    (wheel,) = root.glob("*.whl")
    run(*pip, "install", "--no-deps", "--no-compile", "--target", target, wheel, cwd=root)
    return target


def files_under(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_wheel_carries_the_saes_and_the_profiles(installed):
    for name in ("saes", "profiles"):
        carried, kept = installed / "plateaus_utils" / "data" / name, PROJECT / name
        assert files_under(carried) == files_under(kept) != set()
        for file in files_under(kept):
            assert (carried / file).read_bytes() == (kept / file).read_bytes()


def readme_example() -> str:
    """The code of README's section on the library, with the tiny model."""
    (code,) = re.findall(r"```python\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)
    assert code.count('"smollm2-135m-instruct"') == 1
    return code.replace('"smollm2-135m-instruct"', '"tiny-random-gpt2"')


def test_readme_example_runs_from_the_wheel_in_a_working_folder_of_its_own(installed, tmp_path):
    before = files_under(installed)
    script = readme_example() + (
        "import json\n"
        "from plateaus_utils.book.parameters import load_profile\n"
        "from plateaus_utils.saes import shipped\n"
        'setting = pu.prepare("tiny-random-gpt2", "results/mine", corpus="lee", n_prompts=4, n_others=100)\n'
        'print(json.dumps([pu.__file__, shipped(), load_profile("smoke")["model"], str(setting.folder.resolve())]))\n'
    )
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "example.py").write_text(script)
    output = run(
        sys.executable, "example.py",
        cwd=tmp_path / "work", PYTHONPATH=str(installed), PLATEAUS_CACHE=str(tmp_path / "cache"),
    )  # fmt: skip
    file, saes, smoke_model, results = json.loads(output.splitlines()[-1])
    assert Path(file) == installed / "plateaus_utils" / "__init__.py"
    assert sorted(saes) == sorted(path.name for path in (PROJECT / "saes").iterdir())
    assert smoke_model == "tiny-random-gpt2"
    assert results == str(tmp_path / "work" / "results" / "mine")
    assert list((tmp_path / "work" / "results" / "mine").glob("activations*.nc"))
    assert files_under(installed) == before
    kl = [float(number) for number in re.findall(r"-?\d+\.\d+e?[-+]?\d*", output.partition("tensor(")[2].split(")")[0])]
    assert len(kl) == 19 and kl[0] == 0 and max(kl) > 0


# Importing ------------------------------------------------------------------------------------------------------------


def test_importing_the_package_imports_nothing_heavy_and_its_names_are_those_of_its_modules(tmp_path):
    script = (
        "import sys, plateaus_utils as pu\n"
        "assert set(pu.__all__) <= set(dir(pu)) and pu.__version__\n"
        "assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)\n"
        "try: pu.nonsense\n"
        "except AttributeError as error: assert 'nonsense' in str(error)\n"
        "else: raise SystemExit('no error')\n"
    )
    run(sys.executable, "-c", script, cwd=tmp_path, PYTHONPATH=str(PROJECT))
    from plateaus_utils import activations, effects, experiments, models, patching, paths, prompts, sensitivity

    homes = (activations, effects, experiments, models, patching, paths, prompts, sensitivity)
    assert len(plateaus_utils.__all__) == 10
    for name in plateaus_utils.__all__:
        assert any(getattr(plateaus_utils, name) is getattr(home, name, None) for home in homes), name


def modules(folder: Path = PACKAGE) -> list[str]:
    return [str(path.relative_to(PACKAGE)) for path in sorted(folder.rglob("*.py")) if path.name != "__main__.py"]


def test_importing_any_module_changes_no_option_of_pandas(tmp_path):
    dotted = ["plateaus_utils." + name[:-3].replace("/", ".").removesuffix(".__init__") for name in modules()]
    script = (
        "import importlib, pandas as pd\n"
        "before = pd.describe_option(_print_desc=False)\n"
        "assert 'display.max_colwidth' in before and 'currently' in before\n"
        f"for name in {[name for name in dotted if 'chapter_sources' not in name]!r}: importlib.import_module(name)\n"
        "assert pd.describe_option(_print_desc=False) == before\n"
    )
    run(sys.executable, "-c", script, cwd=tmp_path, PYTHONPATH=str(PROJECT))


# Declarations ---------------------------------------------------------------------------------------------------------


@functools.cache
def distributions() -> dict[str, list[str]]:
    return importlib.metadata.packages_distributions()


def imported(path: Path) -> tuple[set[str], bool]:
    """Distributions that a module imports anywhere in it, and whether it imports the book around the library."""
    roots, book = set(), False
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            roots.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            book |= "book" in [*(node.module or "").split("."), *(alias.name for alias in node.names)]
    third_party = roots - sys.stdlib_module_names
    unknown = third_party - set(distributions())
    assert not unknown, f"{path.name} imports {unknown}, which is not installed"
    return {canonicalize_name(distributions()[root][0]) for root in third_party}, book


@pytest.mark.parametrize("name", modules())
def test_every_import_is_declared_where_it_is_needed(name):
    extras = DECLARED["optional-dependencies"]
    allowed = names(DECLARED["dependencies"])
    in_book = name.startswith("book/")
    if in_book:
        allowed |= names(extras["book"])
    elif name in TRAINING:
        allowed |= names(extras[TRAINING[name]])
    found, imports_book = imported(PACKAGE / name)
    assert found <= allowed, f"{name} imports {found - allowed} without declaring them"
    assert in_book or not imports_book, f"{name} belongs to the library and imports the book around it"


def test_the_tested_environment_pins_what_is_declared_within_its_bounds():
    lines = (PROJECT / "requirements.txt").read_text().splitlines()
    pins = [Requirement(line.split("#")[0]) for line in lines if line.split("#")[0].strip()]
    pinned = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}
    declared = [*DECLARED["dependencies"], *sum(DECLARED["optional-dependencies"].values(), [])]
    for requirement in map(Requirement, declared):
        if requirement.name != DECLARED["name"]:
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_every_package_of_the_checkout_is_in_the_wheels_list():
    listed = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {".".join(path.parent.relative_to(PROJECT).parts) for path in PACKAGE.rglob("*.py")}
    assert found == {name for name in listed if ".data." not in name}
