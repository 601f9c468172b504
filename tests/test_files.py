"""What is written is whole, or is not there."""

import pytest
from helpers import left_in

from ltm_edu.store.errors import InputError
from ltm_edu.store.files import made_whole, written_whole


def test_a_file_is_in_place_only_after_the_block(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with written_whole(path) as part:
        part.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert left_in(path.parent) == ["a.txt"]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with written_whole(path) as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert left_in(tmp_path) == ["a.txt"]


def test_a_folder_is_in_place_only_after_the_block(tmp_path):
    folder = tmp_path / "deep" / "a"
    with made_whole(folder) as part:
        (part / "file").write_text("new")
        assert not folder.exists()
    assert left_in(folder) == ["file"]
    assert left_in(folder.parent) == ["a"]


def test_a_block_that_fails_leaves_no_folder(tmp_path):
    def fail():
        with made_whole(tmp_path / "a") as part:
            (part / "file").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert left_in(tmp_path) == []


def test_of_two_processes_that_make_a_folder_the_first_wins(tmp_path):
    folder = tmp_path / "a"
    with made_whole(folder) as slow:
        with made_whole(folder) as fast:
            (fast / "file").write_text("first")
        (slow / "file").write_text("second")
    assert (folder / "file").read_text() == "first"
    assert left_in(tmp_path) == ["a"]


def test_a_folder_that_cannot_be_put_in_place_is_one_line(tmp_path):
    (tmp_path / "a").write_text("a file is in the way")
    with pytest.raises(InputError, match=r"cannot write .*a: "), made_whole(tmp_path / "a"):
        pass
    assert left_in(tmp_path) == ["a"]
