"""Files are either whole or absent."""

import errno
import os

import pytest

from plateaus_utils.errors import ResultError
from plateaus_utils.files import PROJECT, file_name, replacing


def test_project_is_the_checkout():
    assert (PROJECT / "pyproject.toml").is_file() and (PROJECT / "plateaus_utils" / "files.py").is_file()


def test_file_appears_when_the_block_ends_and_not_before(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    with replacing(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == ["a.txt"]


def test_existing_file_is_replaced_and_kept_if_the_block_fails(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(target) as temporary:
        temporary.write_text("half")
        1 / 0  # noqa: B018
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]
    with replacing(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"


def test_folder_appears_whole_and_an_existing_one_is_kept(tmp_path):
    target = tmp_path / "folder"
    for content in ("first", "second"):
        with replacing(target) as temporary:
            temporary.mkdir()
            (temporary / "a.txt").write_text(content)
    assert (target / "a.txt").read_text() == "first"
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize("text", ["../../etc/passwd", "/root/x", "a/b", "release:id", "", "x" * 300, "a|b*c", ".."])
def test_any_text_is_the_name_of_one_file_of_this_folder(tmp_path, text):
    path = tmp_path / f"latents_{file_name(text)}.nc"
    assert path.resolve().parent == tmp_path and len(path.name) < 120
    path.touch()


def test_file_names_tell_texts_apart_and_leave_plain_ones_alone():
    assert file_name("jumprelu-32_sphere") == "jumprelu-32_sphere"
    assert len({file_name(text) for text in ("a/b", "a_b", "a:b", "x" * 200, "x" * 201)}) == 5


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space is left"),
        (errno.EDQUOT, "No space is left"),
        (errno.EACCES, "cannot be written"),
        (errno.EROFS, "cannot be written"),
    ],
)
def test_full_or_closed_disk_is_said_in_one_sentence_and_leaves_nothing(tmp_path, refused, number, words):
    with refused(ResultError, words, str(tmp_path)), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise OSError(number, os.strerror(number))
    assert os.listdir(tmp_path) == []


def test_other_system_errors_stay_what_they_are(tmp_path):
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "a.txt"):
        raise IsADirectoryError(errno.EISDIR, "is a directory")
    assert os.listdir(tmp_path) == []


def test_folder_that_is_a_file_is_an_error_not_a_loss(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OSError), replacing(tmp_path / "file" / "a.txt"):
        pytest.fail("there is no folder to write in")
    assert (tmp_path / "file").read_text() == "kept"
