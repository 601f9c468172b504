"""Files appear complete or not at all, and processes take turns."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers import left_in, refused

from ltm_edu.store.errors import InputError
from ltm_edu.store.files import check_file, locked, made_whole, need_place, written_whole


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


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "a.txt", tmp_path / "a.txt"
    target.write_text("old")
    link.symlink_to(target)
    with written_whole(link) as part:
        part.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    link.unlink()
    link.symlink_to(link)
    refused(written_whole(link).__enter__, f"cannot write {link}", "circle")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_neither_replaced_nor_read(tmp_path, kind):
    path = tmp_path / "a"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path(os.devnull)
    else:
        path.mkdir()
    refused(written_whole(path).__enter__, f"cannot write {path}")
    refused(lambda: need_place(path), f"cannot write {path}")
    if kind != "folder":
        refused(lambda: check_file(path), f"{path} is a pipe, a socket or a device")


def test_the_rights_are_those_of_the_file_before_or_as_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        with written_whole(tmp_path / "new"), made_whole(tmp_path / "folder"):
            pass
        (tmp_path / "own").touch(0o600)
        with written_whole(tmp_path / "own"):
            pass
    finally:
        os.umask(before)
    rights = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert rights == {"new": 0o640, "folder": 0o750, "own": 0o600}


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, synced = tmp_path / "a.txt", []

    def fsync(handle: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(handle).st_mode), path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with written_whole(path, durable=True) as part:
        part.write_text("new")
    assert synced == [(False, False), (True, True)]  # the file without its name, then the folder


WRITES = """
import os, signal, sys
from pathlib import Path
from ltm_edu.store.files import made_whole, written_whole
with written_whole(Path(sys.argv[1], "a")), made_whole(Path(sys.argv[1], "b")) as part:
    (part / "file").touch()
    if sys.argv[2:]:
        os.kill(os.getpid(), signal.SIGKILL)
    print([p.name for p in Path(sys.argv[1]).iterdir()])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a signal that cannot be caught")
def test_what_a_killed_process_left_goes_away_with_the_next_and_what_a_live_one_writes_stays(
    tmp_path,
):
    killed = [sys.executable, "-c", WRITES, str(tmp_path), "killed"]
    assert subprocess.run(killed).returncode < 0
    assert len(left_in(tmp_path)) == 2
    with written_whole(tmp_path / "own") as own:
        assert left_in(tmp_path) == [own.name]
        out = subprocess.run(killed[:-1], check=True, capture_output=True, text=True).stdout
        assert own.name in out
        assert own.exists()
    assert left_in(tmp_path) == ["a", "b", "own"]


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
