"""Results: computed once, resumed after an interruption, never trusted when damaged, never half written."""

import errno
import functools
import importlib.util
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from plateaus_utils import results
from plateaus_utils.errors import ResultError
from plateaus_utils.files import PROJECT
from plateaus_utils.results import code_hash, load, results_folder, resumed, save, versions

N_PROMPTS, STEP = 10, 3


class Computation:
    """Numbers that depend on the prompt alone; it notes the chunks it is asked for and may fail before one of them."""

    def __init__(self, fails_before=None, error=KeyboardInterrupt):
        self.asked, self.fails_before, self.error = [], fails_before, error

    def compute(self, chunk):
        if self.fails_before == chunk.start:
            raise self.error
        self.asked.append(chunk.start)
        index = np.arange(chunk.start, chunk.stop)
        values = np.sqrt(index[:, None] + np.linspace(0, 1, 5)).astype(np.float32)
        return xr.Dataset({"kl": (("prompt", "size"), values), "label": ("prompt", [f"é{i}" for i in index])})

    def __call__(self, folder, settings=None):
        return resumed(folder, "curves", settings or {"model": "x"}, N_PROMPTS, STEP, self.compute)


@pytest.fixture
def expected():
    return np.sqrt(np.arange(N_PROMPTS)[:, None] + np.linspace(0, 1, 5)).astype(np.float32)


@pytest.fixture
def dataset():
    return xr.Dataset(
        {"x": (("prompt", "size"), np.random.default_rng(0).normal(size=(50, 20))), "name": ("prompt", ["ä"] * 50)},
        coords={"size": np.linspace(0, 180, 20)},
        attrs={"made": "here"},
    )


def names_in(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


# Computed once --------------------------------------------------------------------------------------------------------


def test_result_is_computed_in_chunks_stored_and_read_back(tmp_path, expected):
    first, second = Computation(), Computation()
    fresh, stored = first(tmp_path), second(tmp_path)
    assert first.asked == [0, 3, 6, 9] and second.asked == []
    np.testing.assert_array_equal(fresh.kl.values, expected)
    assert fresh.label.values.tolist() == [f"é{i}" for i in range(10)]
    assert stored.identical(fresh)
    assert names_in(tmp_path) == ["curves.nc"]


def test_result_says_what_made_it(tmp_path):
    attrs = Computation()(tmp_path, {"model": "x", "seed": 3}).attrs
    assert json.loads(attrs["settings"]) == {"model": "x", "seed": 3}
    assert json.loads(attrs["versions"]) == versions()
    assert attrs["name"] == "curves" and attrs["created"] and attrs["code_sha256"]


@pytest.mark.parametrize("k", [0, 1, 2, 3])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_run_continues_after_its_last_whole_chunk_with_the_same_numbers(tmp_path, expected, k, error):
    interrupted, again = Computation(fails_before=k * STEP, error=error), Computation()
    with pytest.raises(error):
        interrupted(tmp_path)
    assert not (tmp_path / "curves.nc").exists()
    found = again(tmp_path)
    assert interrupted.asked == [0, 3, 6, 9][:k] and again.asked == [0, 3, 6, 9][k:]
    np.testing.assert_array_equal(found.kl.values, expected)
    assert names_in(tmp_path) == ["curves.nc"]


def test_damaged_chunk_of_an_interrupted_run_is_computed_again(tmp_path, expected, capsys):
    with pytest.raises(KeyboardInterrupt):
        Computation(fails_before=9)(tmp_path)
    part = next(tmp_path.rglob("000003.nc"))
    part.write_bytes(part.read_bytes()[:1000])
    again = Computation()
    np.testing.assert_array_equal(again(tmp_path).kl.values, expected)
    assert again.asked == [3, 9] and "000003.nc is damaged" in capsys.readouterr().err


# Stale ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"model": "y"}, {"model": "x", "seed": 1}, {}])
def test_other_settings_make_another_result(tmp_path, settings):
    Computation()(tmp_path)
    other = Computation()
    resumed(tmp_path, "curves", settings, N_PROMPTS, STEP, other.compute)
    assert other.asked == [0, 3, 6, 9]


def test_order_of_the_settings_does_not_matter(tmp_path):
    Computation()(tmp_path, {"a": 1, "b": 2})
    second = Computation()
    second(tmp_path, {"b": 2, "a": 1})
    assert second.asked == []


@pytest.mark.parametrize("changed", ["code_hash", "versions"])
def test_other_code_or_library_versions_make_a_stored_result_stale(tmp_path, monkeypatch, changed):
    Computation()(tmp_path)
    monkeypatch.setattr(results, changed, lambda *_: "other")
    second = Computation()
    second(tmp_path)
    assert second.asked == [0, 3, 6, 9]


def test_chunks_under_other_settings_are_not_taken_up(tmp_path, expected):
    with pytest.raises(KeyboardInterrupt):
        Computation(fails_before=6)(tmp_path, {"model": "y"})
    other = Computation()
    other(tmp_path)
    assert other.asked == [0, 3, 6, 9]


def module_from(path, source):
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_code_hash_covers_the_module_that_defines_the_computation_even_when_it_is_wrapped(tmp_path):
    one = module_from(tmp_path / "one.py", "def compute(chunk):\n    return 1\n").compute
    two = module_from(tmp_path / "two.py", "def compute(chunk):\n    return 2\n").compute

    def wrapped(compute):
        @functools.wraps(compute)
        def inner(chunk):
            return compute(chunk)

        return inner

    assert len({code_hash(), code_hash(one), code_hash(two)}) == 3
    assert code_hash(wrapped(one)) == code_hash(one) and code_hash(wrapped(two)) == code_hash(two)


def package(tmp_path, monkeypatch, **sources):
    """A package of these modules in place of the real one, as `results` sees it."""
    found = {tmp_path / f"{name}.py": text.encode() for name, text in sources.items()}
    monkeypatch.setattr(results, "PACKAGE", tmp_path)
    monkeypatch.setattr(results, "_SOURCES", found)
    results._needed.cache_clear()
    monkeypatch.setattr(results.inspect, "getfile", lambda _: str(tmp_path / "experiment.py"))
    return code_hash(lambda: None)


def test_code_hash_follows_the_imports_of_the_module_that_computes(tmp_path, monkeypatch):
    sources = {
        "experiment": "from .engine import run\nfrom . import kinds\n",
        "engine": "def f():\n    from .paths import sphere\n",
        "paths": "",
        "kinds": "",
        "plotting": "",
    }
    first = package(tmp_path, monkeypatch, **sources)
    assert package(tmp_path, monkeypatch, **sources | {"plotting": "changed = 1"}) == first
    for needed in ("experiment", "engine", "paths", "kinds"):
        changed = sources[needed] + "\nchanged = 1"
        assert package(tmp_path, monkeypatch, **sources | {needed: changed}) != first, needed
    results._needed.cache_clear()


def test_code_hash_of_an_experiment_covers_the_engine_and_no_figure():
    found = results._needed(results.PACKAGE / "experiments" / "plateaus.py")
    needed = {path.name for path in found}
    assert {"patching.py", "effects.py", "sensitivity.py", "prompts.py", "setting.py", "measuring.py"} <= needed
    assert not {"claims.py", "tables.py", "chapters.py"} & needed
    assert not {"plotting", "findings", "book"} & {path.parent.name for path in found}


def test_results_stay_in_their_folder_whatever_an_sae_is_called(tmp_path):
    settings = {"model": "x"}
    for name in ("latents_../../out", "latents_/tmp/out", "latents_a/b"):
        resumed(tmp_path / "deep" / "results", name, settings, N_PROMPTS, STEP, Computation().compute)
    found = names_in(tmp_path)
    assert len(found) == 3 and all(re.fullmatch(r"deep/results/latents_[^/]+\.nc", name) for name in found)


def test_results_folder_may_start_with_a_tilde():
    assert results_folder("~/r") == Path.home() / "r"


# Damaged and foreign files --------------------------------------------------------------------------------------------


def test_saved_dataset_is_read_back_as_it_was(tmp_path, dataset):
    save(dataset, tmp_path / "deep" / "a.nc")
    assert load(tmp_path / "deep" / "a.nc").identical(dataset)
    assert names_in(tmp_path) == ["deep/a.nc"]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_file_is_damaged(tmp_path, dataset, refused, share):
    path = tmp_path / "a.nc"
    save(dataset, path)
    content = path.read_bytes()
    used = content.rindex(dataset.x.values.tobytes()[-8:])  # the library pads the end of a small file
    path.write_bytes(content[: int(share * used)])
    with refused(ResultError, "a.nc"):
        load(path)


def test_number_changed_in_the_file_is_noticed(tmp_path, dataset, refused):
    path = tmp_path / "a.nc"
    save(dataset, path)
    content = bytearray(path.read_bytes())
    content[content.index(dataset.x.values.tobytes()) + 1234] ^= 1
    path.write_bytes(content)
    with refused(ResultError, "a.nc is damaged", "does not match its checksum"):
        load(path)


def test_flipped_byte_anywhere_is_noticed_or_harmless(tmp_path, dataset):
    path = tmp_path / "a.nc"
    save(dataset, path)
    content = path.read_bytes()
    noticed = 0
    for place in np.random.default_rng(0).integers(len(content), size=60):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            found = load(path)
        except ResultError:
            noticed += 1
        else:
            assert found.equals(dataset)
    assert noticed > 0


def test_damaged_result_is_reported_and_computed_again(tmp_path, expected, capsys):
    Computation()(tmp_path)
    path = tmp_path / "curves.nc"
    path.write_bytes(path.read_bytes()[:2000])
    again = Computation()
    np.testing.assert_array_equal(again(tmp_path).kl.values, expected)
    assert again.asked == [0, 3, 6, 9]
    message = capsys.readouterr().err
    assert "curves.nc is damaged" in message and "It is computed again." in message
    assert Computation()(tmp_path).kl.shape == (10, 5) and capsys.readouterr().err == ""


def test_foreign_netcdf_file_is_refused_and_replaced(tmp_path, dataset, refused, capsys):
    dataset.to_netcdf(tmp_path / "curves.nc")
    with refused(ResultError, "curves.nc was not written by this package"):
        load(tmp_path / "curves.nc")
    Computation()(tmp_path)
    assert "not written by this package" in capsys.readouterr().err
    assert load(tmp_path / "curves.nc").kl.shape == (10, 5)


# A full disk ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch):
    """Every file stops after its first hundred bytes."""
    write = Path.write_bytes

    def write_some(self, content):
        write(self, bytes(content)[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write_some)
    return monkeypatch


def test_full_disk_is_said_in_one_sentence_and_leaves_nothing_half_written(tmp_path, dataset, full_disk, refused):
    with refused(ResultError, "No space is left to write a.nc"):
        save(dataset, tmp_path / "a.nc")
    assert names_in(tmp_path) == []


def test_run_on_a_full_disk_keeps_its_finished_chunks_and_continues(tmp_path, expected, full_disk, refused):
    first, again = Computation(), Computation()
    full_disk.undo()
    with pytest.raises(KeyboardInterrupt):
        Computation(fails_before=6)(tmp_path)
    whole = names_in(tmp_path)
    full_disk.setattr(Path, "write_bytes", lambda self, _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with refused(ResultError, "No space is left"):
        first(tmp_path)
    assert first.asked == [6] and names_in(tmp_path) == whole
    full_disk.undo()
    np.testing.assert_array_equal(again(tmp_path).kl.values, expected)
    assert again.asked == [6, 9]


# The rest -------------------------------------------------------------------------------------------------------------


def test_results_folder_is_relative_to_the_checkout_or_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert results_folder("results/quick") == PROJECT / "results" / "quick"
    assert results_folder(str(tmp_path)) == tmp_path
