"""A process locks itself up before it runs a student's code. Nothing has to be installed for it.

Linux has two means that need no rights: a seccomp filter lets only those system calls pass that
computing needs (none starts a process, opens a network connection, sends a signal to another
process, or opens a file to write), and Landlock lets it read Python's own folders only. Resource
limits bound memory and processor time. No code can undo any of them.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# The numbers of the system calls that computing needs, on x86-64 and on 64-bit ARM; None where the
# system has no such call. Everything that is not listed is refused.
_ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "close": (3, 57), "close_range": (436, 436), "lseek": (8, 62), "fstat": (5, 80),
    "stat": (4, None), "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439),
    "readlink": (89, None), "readlinkat": (267, 78), "getcwd": (79, 17), "getdents64": (217, 61),
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "mremap": (25, 216),
    "madvise": (28, 233), "brk": (12, 214), "futex": (202, 98), "membarrier": (324, 283),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "getcpu": (309, 168),
    "get_mempolicy": (239, 236), "set_robust_list": (273, 99), "rseq": (334, 293),
    "set_tid_address": (218, 96), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139), "sigaltstack": (131, 132), "restart_syscall": (219, 128),
    "exit": (60, 93), "exit_group": (231, 94), "getpid": (39, 172), "gettid": (186, 178),
    "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115), "nanosleep": (35, 101), "gettimeofday": (96, 169),
    "time": (201, None), "times": (100, 153), "getrusage": (98, 165), "uname": (63, 160),
    "sysinfo": (99, 179), "getrandom": (318, 278), "arch_prctl": (158, None), "dup": (32, 23),
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
}  # fmt: skip
_OPENAT, _OPEN, _CLONE, _CLONE3 = (257, 56), (2, None), (56, 220), (435, 435)
_FCNTL, _PRLIMIT, _TGKILL, _IOCTL = (72, 25), (302, 261), (234, 131), (16, 29)
CALLS = {
    **_ALLOWED, "openat": _OPENAT, "open": _OPEN, "clone": _CLONE, "clone3": _CLONE3,
    "fcntl": _FCNTL, "prlimit64": _PRLIMIT, "tgkill": _TGKILL, "ioctl": _IOCTL,
}  # fmt: skip
"""Every system call that the filter knows, with its numbers on x86-64 and 64-bit ARM."""
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_THREAD, _NEW_NAMESPACES = 0x10000, 0x7E020000
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030)  # duplicate a descriptor, get and set its flags
_EPERM, _EACCES, _ENOSYS, _ENOTTY = 1, 13, 38, 25

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x45, 0x54, 0x06

_NO_NEW_PRIVILEGES, _SECCOMP, _DUMPABLE = 38, 22, 4
_CREATE_RULESET, _ADD_RULE, _RESTRICT = 444, 445, 446  # Landlock's, on every architecture
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}


@dataclass(frozen=True)
class Limits:
    """What a student's process may use.

    Attributes:
        seconds: in which it must have answered everything about one exercise.
        memory: in bytes, beyond what the libraries take.
    """

    seconds: float = 20.0
    memory: int = 2 << 30


def lock_up(limits: Limits, folders: Iterable[str]) -> None:
    """Lock up this process as far as the system can; `grading.protections` tries out how far.

    Args:
        limits: of processor time and memory.
        folders: what may be read.
    """
    _limit_resources(limits)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_DUMPABLE, 0, 0, 0, 0)
        if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0:
            _restrict_files(libc, folders)
            _filter_calls(libc)


def readable_folders() -> list[str]:
    """The folders that Python and its libraries need, with this package's; no folder of a user."""
    package = Path(__file__).resolve().parents[1]
    places = [sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/opt", str(package)]
    places += [p for p in sys.path if p.endswith(("-packages", ".zip")) or "lib-dynload" in p]
    places += ["/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/urandom"]
    return sorted({os.path.realpath(p) for p in places if os.path.exists(p)} - {"/"})


def _limit_resources(limits: Limits) -> None:
    """Bound memory and processor time; no file grows and no core is dumped."""
    seconds = int(limits.seconds) + 2
    bounds = {"RLIMIT_CPU": seconds, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0, "RLIMIT_NOFILE": 256}
    with suppress(OSError):  # other systems than Linux do not say what a process has
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        bounds["RLIMIT_AS"] = pages * os.sysconf("SC_PAGE_SIZE") + limits.memory
    for name, bound in bounds.items():
        with suppress(OSError, ValueError, AttributeError):
            resource.setrlimit(getattr(resource, name), (bound, bound))


def _restrict_files(libc: ctypes.CDLL, folders: Iterable[str]) -> None:
    """Allow reading below these folders, and nothing else in the file system."""
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return
    handled = max(mask for since, mask in _HANDLED.items() if since <= version)
    tcp, scopes = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    attributes = struct.pack("=QQQ", handled, tcp, scopes)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    if rules < 0:
        return
    for folder in folders:
        handle = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        access = _READ_FILE | (_READ_DIR | _EXECUTE if os.path.isdir(folder) else 0)
        rule = struct.pack("=Qi", access, handle)
        libc.syscall(_ADD_RULE, rules, 1, rule, 0)
        os.close(handle)
    libc.syscall(_RESTRICT, rules, 0)
    os.close(rules)


def _filter_calls(libc: ctypes.CDLL) -> None:
    """Let only the listed system calls pass; the others fail, as if the user had no right."""
    known = _ARCHITECTURES.get(platform.machine())
    if known is None or sys.byteorder != "little":
        return
    program = _filter(*known, process=os.getpid())
    code = ctypes.create_string_buffer(b"".join(program), 8 * len(program))
    pointer = struct.pack("@HxxxxxxP", len(program), ctypes.addressof(code))
    libc.prctl(_SECCOMP, 2, pointer, 0, 0)


def _filter(column: int, architecture: int, process: int) -> list[bytes]:
    """The filter as a program of the kernel's packet filter, one instruction an item."""

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("=HBBI", code, yes, no, value)

    def answer(errno: int) -> bytes:
        return step(_RETURN, _ERRNO | errno)

    def when(call: tuple[int | None, int | None], *then: bytes) -> list[bytes]:
        """For this call, the steps `then`, which end with an answer; else what follows."""
        number = call[column]
        return [] if number is None else [step(_EQUAL, number, 0, len(then)), *then]

    def argument(n: int, high: bool = False) -> bytes:
        return step(_LOAD, 16 + 8 * n + 4 * high)

    allow = step(_RETURN, _ALLOW)

    def read_only(flags: int) -> tuple[bytes, ...]:
        return argument(flags), step(_ANY_BIT, _WRITING, 0, 1), answer(_EACCES), allow

    commands = [step(_EQUAL, c, len(_FCNTL_COMMANDS) - i) for i, c in enumerate(_FCNTL_COMMANDS)]
    return [
        step(_LOAD, 4),
        step(_EQUAL, architecture, 1),
        step(_RETURN, _KILL),
        step(_LOAD, 0),
        *when(_OPENAT, *read_only(2)),
        *when(_OPEN, *read_only(1)),
        *when(  # a thread of this process, and no process
            _CLONE,
            argument(0),
            step(_AND, _NEW_NAMESPACES | _THREAD),
            step(_EQUAL, _THREAD, 1),
            answer(_EPERM),
            allow,
        ),
        *when(_CLONE3, answer(_ENOSYS)),  # its flags are out of sight; the C library falls back
        *when(_FCNTL, argument(1), *commands, answer(_EPERM), allow),
        *when(  # read a limit, and set none
            _PRLIMIT,
            argument(2),
            step(_EQUAL, 0, 0, 2),
            argument(2, high=True),
            step(_EQUAL, 0, 1),
            answer(_EPERM),
            allow,
        ),
        *when(_TGKILL, argument(0), step(_EQUAL, process, 1), answer(_EPERM), allow),
        *when(_IOCTL, answer(_ENOTTY)),
        *(s for call in _ALLOWED.values() for s in when(call, allow)),
        answer(_EPERM),
    ]
