"""Files appear complete or not at all, and processes take turns."""

import errno
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers import left_in, refused

from ltm_edu.store.errors import InputError
from ltm_edu.store.files import locked, made_whole, written_whole


def test_a_file_is_in_place_only_after_the_block(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with written_whole(path) as part:
        part.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert left_in(path.parent) == ["a.txt"]


def test_a_block_that_fails_leaves_the_old_file_and_no_other(tmp_path):
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


def test_of_two_processes_that_fill_a_folder_the_first_wins(tmp_path):
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


# Locks


def python(code: str, folder: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, str(folder)])


def never() -> None:
    pytest.fail("another process holds the lock")


COUNTS = """
import sys
from pathlib import Path
from ltm_edu.store.files import locked
number = Path(sys.argv[1], "number")
for _ in range(100):
    with locked(number.with_name("lock"), lambda: None):
        number.write_text(str(int(number.read_text()) + 1))
"""


def test_processes_enter_a_locked_block_one_at_a_time(tmp_path):
    (tmp_path / "number").write_text("0")
    processes = [python(COUNTS, tmp_path) for _ in range(3)]
    assert [process.wait(300) for process in processes] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "300"
    assert left_in(tmp_path) == ["number"]


KILLED = """
import os, signal, sys
from pathlib import Path
from ltm_edu.store.files import locked
with locked(Path(sys.argv[1], "lock"), lambda: None):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a signal that cannot be caught")
def test_a_killed_process_releases_its_lock(tmp_path):
    assert python(KILLED, tmp_path).wait(300) < 0
    assert left_in(tmp_path) == ["lock"]
    with locked(tmp_path / "lock", never):
        pass
    assert left_in(tmp_path) == []


def test_a_block_that_fails_releases_its_lock(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path / "deep" / "lock", never):
        raise RuntimeError
    with locked(tmp_path / "deep" / "lock", never):
        pass


def test_the_second_is_told_once_that_it_waits_and_enters_after_the_first(tmp_path):
    order, is_waiting = [], threading.Event()

    def tell() -> None:
        order.append("waits")
        is_waiting.set()

    def enter() -> None:
        with locked(tmp_path / "lock", tell):
            order.append("second")

    second = threading.Thread(target=enter)
    with locked(tmp_path / "lock", never):
        second.start()
        assert is_waiting.wait(60)
        order.append("first")
    second.join(60)
    assert order == ["waits", "first", "second"]


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EIO])
def test_a_disk_without_locks_is_one_line(tmp_path, monkeypatch, code):
    fcntl = pytest.importorskip("fcntl")

    def flock(*_args: object) -> None:
        raise OSError(code, "no locks here")

    monkeypatch.setattr(fcntl, "flock", flock)
    refused(
        lambda: locked(tmp_path / "lock", never).__enter__(),
        f"cannot lock {tmp_path / 'lock'}: no locks here",
        "choose a folder",
    )


def test_a_lock_file_that_cannot_be_created_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "lock", tmp_path / "folder"):
        refused(locked(path, never).__enter__, str(path))
