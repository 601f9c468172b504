"""Interrupted downloads, servers that fail or send something else, full disks; hostile archives."""

import gzip
import hashlib
import io
import shutil
import tarfile
from collections import namedtuple
from pathlib import Path

import pytest
from helpers import left_in, refused
from web import serving

from ltm_edu.store import fetch as fetching
from ltm_edu.store.archives import members
from ltm_edu.store.fetch import Archive, alone, check, missing_bytes, need_room, obtain

CONTENT = bytes(range(256)) * 40
NAME = "data.tar"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def web():
    with serving() as server:
        server.files[NAME] = CONTENT
        yield server


@pytest.fixture
def other():
    """A second server, without faults."""
    with serving() as server:
        server.files[NAME] = CONTENT
        yield server


def archive(*servers) -> Archive:
    urls = tuple(f"{s.url}/{NAME}" for s in servers)
    return Archive(NAME, len(CONTENT), hashlib.md5(CONTENT).hexdigest(), urls)


# Downloads


def test_a_file_is_downloaded_and_no_other_file_remains(web, tmp_path):
    path = obtain(archive(web), tmp_path / "new", progress=False)
    assert path == tmp_path / "new" / NAME
    assert path.read_bytes() == CONTENT
    assert left_in(path.parent) == [NAME]


def test_a_download_resumes_where_the_connection_ended(web, tmp_path):
    web.cut = 4000
    assert obtain(archive(web), tmp_path, progress=False).read_bytes() == CONTENT
    assert [start for _, start in web.requests] == [0, 4000, 8000]


def test_a_later_run_resumes_after_the_bytes_of_an_earlier_one(web, tmp_path):
    part = tmp_path / f"{NAME}.part"
    part.write_bytes(CONTENT[:7000])
    assert missing_bytes(archive(web), tmp_path) == len(CONTENT) - 7000
    obtain(archive(web), tmp_path, progress=False)
    assert web.requests == [(NAME, 7000)]
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert left_in(tmp_path) == [NAME]


def test_bytes_are_kept_when_every_server_fails_and_the_message_says_so(web, tmp_path, monkeypatch):
    web.cut = 600
    monkeypatch.setattr(fetching, "ATTEMPTS", 3)
    target = archive(web)
    refused(
        lambda: obtain(target, tmp_path, progress=False),
        f"{web.url}/{NAME}: the connection ended after 1800 of 10240 bytes",
        "1.8 kB are kept",
        "another mirror",
        "fetch from the folder that holds it",
        target.md5,
    )
    assert left_in(tmp_path) == [f"{NAME}.part"]
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:1800]


def test_a_run_killed_before_the_file_is_renamed_downloads_nothing_more(web, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    assert obtain(archive(web), tmp_path, progress=False).read_bytes() == CONTENT
    assert web.requests == []


def test_a_server_without_ranges_sends_the_whole_file_again(web, tmp_path):
    web.ranges = False
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:7000])
    assert obtain(archive(web), tmp_path, progress=False).read_bytes() == CONTENT
    assert web.requests == [(NAME, 7000)]  # one answer is enough


def test_without_a_length_the_checksum_decides(web, tmp_path):
    web.lengths = False
    web.files[NAME] = CONTENT + b"and more"
    assert obtain(archive(web), tmp_path, progress=False).read_bytes() == CONTENT


@pytest.mark.parametrize("part", [CONTENT[:3000][::-1], CONTENT[::-1], CONTENT + b"too much"])
def test_a_damaged_part_is_deleted_and_downloaded_again_from_the_same_server(web, tmp_path, part):
    (tmp_path / f"{NAME}.part").write_bytes(part)
    assert obtain(archive(web), tmp_path, progress=False).read_bytes() == CONTENT
    assert web.requests[-1] == (NAME, 0)


# Servers that fail


def spoil(web, fault: str, monkeypatch) -> str:
    """Give a server a fault; return what the message must contain."""
    if fault == "another checksum":
        web.files[NAME] = CONTENT[::-1]
    elif fault == "cut short":
        web.files[NAME] = CONTENT[:-1000]
    elif fault == "an error page":
        web.files[NAME] = b"<html>We have moved</html>"
    elif fault == "not there":
        web.files.clear()
    elif fault == "unavailable":
        web.status = 503
    elif fault == "silent":
        web.cut, web.stall = 0, True
        monkeypatch.setattr(fetching, "TIMEOUT", 0.3)
    return {
        "another checksum": "another checksum",
        "cut short": "has 9240 bytes instead of 10240",
        "an error page": "has 26 bytes instead of 10240",
        "not there": "HTTP 404",
        "unavailable": "HTTP 503",
        "silent": "timed out",
    }[fault]


FAULTS = ["another checksum", "cut short", "an error page", "not there", "unavailable", "silent"]


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_server_that_fails_the_next_is_tried(web, other, tmp_path, monkeypatch, fault):
    spoil(web, fault, monkeypatch)
    assert obtain(archive(web, other), tmp_path, progress=False).read_bytes() == CONTENT
    assert len(web.requests) == 1
    assert left_in(tmp_path) == [NAME]


@pytest.mark.parametrize("fault", FAULTS)
def test_without_another_server_the_fault_is_named_and_no_file_remains(
    web, tmp_path, monkeypatch, fault
):
    message = spoil(web, fault, monkeypatch)
    refused(lambda: obtain(archive(web), tmp_path, progress=False), f"{web.url}/{NAME}: ", message)
    assert left_in(tmp_path) == []


def test_every_server_that_fails_is_named(web, other, tmp_path):
    web.status, other.status = 500, 404
    refused(
        lambda: obtain(archive(web, other), tmp_path, progress=False),
        f"{web.url}/{NAME}: HTTP 500",
        f"{other.url}/{NAME}: HTTP 404",
    )


def test_a_server_that_does_not_answer_is_named(tmp_path):
    with serving() as stopped:
        target = archive(stopped)
    refused(lambda: obtain(target, tmp_path, progress=False), stopped.url, "refused")


def test_a_mirror_is_tried_first_and_the_known_servers_after_it(web, other, tmp_path):
    obtain(archive(web), tmp_path / "a", [f"{other.url}/"], progress=False)
    assert (len(web.requests), len(other.requests)) == (0, 1)
    other.status = 503
    obtain(archive(web), tmp_path / "b", [other.url], progress=False)
    assert (len(web.requests), len(other.requests)) == (1, 2)


@pytest.mark.parametrize("mirror", ["ftp://host/voc", "/srv/voc", "file:///srv/voc", "http://"])
def test_a_mirror_that_is_not_a_web_address_is_refused(tmp_path, mirror):
    refused(lambda: obtain(archive(), tmp_path, [mirror]), f"mirror {mirror}", "http")
    assert left_in(tmp_path) == []


# Files that exist already


def test_a_complete_file_is_not_downloaded_again(web, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT)
    assert missing_bytes(archive(web), tmp_path) == 0
    assert obtain(archive(web), tmp_path, progress=False) == tmp_path / NAME
    assert web.requests == []


@pytest.mark.parametrize(
    ("content", "fault"), [(CONTENT[:-1], "has 10,239 bytes"), (CONTENT[::-1], "it is damaged")]
)
def test_a_wrong_file_of_that_name_is_named_and_not_changed(web, tmp_path, content, fault):
    (tmp_path / NAME).write_bytes(content)
    for call in (
        lambda: obtain(archive(web), tmp_path, progress=False),
        lambda: check(tmp_path / NAME, archive(web), progress=False),
    ):
        refused(call, str(tmp_path / NAME), fault, "get it again")
    assert (tmp_path / NAME).read_bytes() == content
    assert web.requests == []


# The disk


def test_too_little_room_is_refused_with_both_sizes(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(9_000_000_000, 8_000_000_000, 1_000_000_000)
    folders = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: folders.append(path) or usage)
    need_room(tmp_path / "not" / "yet", 1_000_000_000)
    refused(
        lambda: need_room(tmp_path / "not" / "yet", 3_400_000_000),
        "3.4 GB",
        "1.0 GB free",
        "LTM_EDU_DATA",
    )
    assert folders == [tmp_path] * 2
    assert left_in(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full")
def test_a_full_disk_is_not_reported_as_a_fault_of_the_server(web, other, tmp_path):
    (tmp_path / f"{NAME}.part").symlink_to("/dev/full")
    refused(
        lambda: obtain(archive(web, other), tmp_path, progress=False),
        "cannot write",
        "No space left",
        "it resumes",
    )
    assert other.requests == []
    assert not (tmp_path / NAME).exists()


def test_a_folder_that_cannot_be_created_is_one_line(web, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused(lambda: obtain(archive(web), tmp_path / "file" / "x", progress=False), "cannot write")


def test_a_second_process_is_refused_until_the_first_has_finished(tmp_path):
    with alone(tmp_path):
        refused(lambda: alone(tmp_path).__enter__(), str(tmp_path), "another process")
    with alone(tmp_path):
        pass
    assert left_in(tmp_path) == []


def test_a_bar_shows_size_and_speed(web, tmp_path, capsys):
    obtain(archive(web), tmp_path)
    err = capsys.readouterr().err
    assert f"{NAME}: " in err
    assert "/10.2k [" in err
    assert "B/s" in err


@pytest.mark.parametrize("lengths", [True, False])
def test_a_shorter_answer_never_replaces_what_is_there(web, tmp_path, lengths):
    part = tmp_path / f"{NAME}.part"
    part.write_bytes(CONTENT[:5000])
    web.ranges, web.lengths, web.cut = False, lengths, 300
    refused(lambda: obtain(archive(web), tmp_path, progress=False), "5.0 kB are kept")
    assert part.read_bytes() == CONTENT[:5000]
    assert left_in(tmp_path) == [part.name]
    web.cut = None
    assert obtain(archive(web), tmp_path, progress=False).read_bytes() == CONTENT


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/data.tar", "file:///etc/hostname"])
def test_a_server_that_leads_away_from_the_web_is_not_followed(web, tmp_path, target):
    web.leads_to = target
    refused(lambda: obtain(archive(web), tmp_path, progress=False), web.url, target)
    assert left_in(tmp_path) == []


def test_a_server_that_leads_to_another_is_followed(web, other, tmp_path):
    web.leads_to = f"{other.url}/{NAME}"
    assert obtain(archive(web), tmp_path, progress=False).read_bytes() == CONTENT


def test_a_server_that_is_too_slow_is_given_up(web, tmp_path, monkeypatch):
    clock = iter(range(0, 10**6, 40))
    monkeypatch.setattr(fetching.time, "monotonic", lambda: next(clock))
    web.cut = 2000
    monkeypatch.setattr(fetching, "_CHUNK", 500)
    refused(lambda: obtain(archive(web), tmp_path, progress=False), web.url, "too slowly")


# Archives


def tar_of(path: Path, *entries: tarfile.TarInfo | tuple[str, bytes], mode: str = "w") -> Path:
    """Write a tar; an entry is (name, content), or the TarInfo of a link, folder or device."""
    with tarfile.open(path, mode) as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                tar.addfile(info, io.BytesIO(entry[1]))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def read_all(path: Path) -> dict[str, bytes]:
    return {m[1]: read() for m, read in members(path, r"in/(\w+)\.txt", progress=False)}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_only_members_that_match_are_read(tmp_path, mode):
    path = tar_of(
        tmp_path / "a.tar",
        special("in", tarfile.DIRTYPE),
        ("in/a.txt", b"A"),
        ("in/a.txt.exe", b"B"),
        ("out/b.txt", b"C"),
        ("./in/c.txt", b"D"),
        ("in/deep/../e.txt", b"E"),
        mode=mode,
    )
    assert read_all(path) == {"a": b"A", "c": b"D"}
    assert left_in(tmp_path) == ["a.tar"]


@pytest.mark.parametrize(
    "name",
    ["../evil.txt", "/evil.txt", "in/../../evil.txt", "C:\\evil.txt", "..\\evil.txt", "in/../.."],
)
def test_an_archive_with_a_member_outside_its_folder_is_refused(tmp_path, name):
    path = tar_of(tmp_path / "a.tar", ("in/a.txt", b"A"), (name, b"evil"), ("in/b.txt", b"B"))
    refused(lambda: read_all(path), str(path), repr(name), "leave its folder", "another server")


@pytest.mark.parametrize(
    "entry",
    [
        special("in/a.txt", tarfile.SYMTYPE, "/etc/passwd"),
        special("in/a.txt", tarfile.LNKTYPE, "secret"),
        special("in/a.txt", tarfile.FIFOTYPE),
        special("in/a.txt", tarfile.CHRTYPE),
    ],
    ids=["symbolic link", "hard link", "fifo", "device"],
)
def test_a_matching_member_that_is_not_a_plain_file_is_refused(tmp_path, entry):
    path = tar_of(tmp_path / "a.tar", ("secret", b"S"), entry)
    refused(lambda: read_all(path), str(path), "in/a.txt", "link or device")


def huge(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The header of a member that has no such content."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("size", [10**8, 10**12, 2**62])
def test_a_member_larger_than_any_picture_is_refused_before_it_is_read(tmp_path, size):
    path = tmp_path / "a.tar"
    path.write_bytes(huge("in/a.txt", size) + bytes(2048))
    refused(lambda: read_all(path), str(path), f"in/a.txt has {size:,} bytes", "another server")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [10**9, 2**62])
def test_a_record_that_claims_the_memory_is_refused(tmp_path, kind, size):
    path = tmp_path / "a.tgz"
    path.write_bytes(gzip.compress(huge("in/a.txt", size, kind) + bytes(10**6)))
    refused(lambda: read_all(path), str(path), "cannot be read as an archive")


def test_a_sparse_terabyte_is_refused(tmp_path):
    header = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(10**12)}
    info = tarfile.TarInfo("in/a.txt")
    info.size, info.pax_headers = 512, {**header, "GNU.sparse.name": "in/a.txt"}
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.PAX_FORMAT) + b"1\n0\n1\n".ljust(512, b"\0") + bytes(1024))
    refused(lambda: read_all(path), str(path))


def test_links_to_the_outside_are_never_created(tmp_path):
    folder = special("in", tarfile.SYMTYPE, str(tmp_path / "outside"))
    (tmp_path / "outside").mkdir()
    path = tar_of(tmp_path / "a.tar", folder, ("in/a.txt", b"A"))
    assert read_all(path) == {"a": b"A"}
    assert left_in(tmp_path / "outside") == []


@pytest.mark.parametrize("fault", ["no archive", "cut short", "missing", "empty"])
def test_a_damaged_archive_is_named(tmp_path, fault):
    content = bytes(hashlib.sha256(bytes([i])).digest()[0] for i in range(256)) * 200
    path = tar_of(tmp_path / "a.tgz", ("in/a.txt", content), ("in/b.txt", content), mode="w:gz")
    complete = path.read_bytes()
    path.unlink()
    if fault != "missing":
        bad = {"no archive": b"no archive" * 200, "cut short": complete[: len(complete) // 2]}
        path.write_bytes(bad.get(fault, b""))
    refused(lambda: read_all(path), str(path), "cannot be read as an archive")
