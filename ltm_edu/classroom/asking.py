"""The grading process's side: it starts students' processes, asks them, and trusts none."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..exercises.costs import Counts
from ..exercises.costs import Limits as CostLimits
from ..exercises.exercise import Args
from ..exercises.running import NotAttempted, Raised
from ..store.errors import InputError
from .sandbox import Limits
from .wire import QUESTION, Ended, TooLate, WireError, receive, send

_KEPT = ("PATH", "LANG", "LC_ALL", "HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR", "SYSTEMROOT", "TMPDIR")


_THREADS = 100
"""So many threads a student's process may have."""

_NUMBERS = 1 << 20
"""So many numbers a result may have; those of right answers have less than half as many."""


class Lost(BaseException):
    """A student's process gives no answers any more; the text says why, in a whole sentence.

    It is no `Exception`, so that an examination does not take it for a result.
    """


class Server:
    """The process that forks students' processes; use it in a `with` block."""

    def __init__(self) -> None:
        mine, theirs = socket.socketpair()
        places = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
        environment = {k: v for k, v in os.environ.items() if k in _KEPT} | {
            "PYTHONPATH": os.pathsep.join(filter(None, places)),
            "PYTHONHASHSEED": "0",
            "MPLBACKEND": "Agg",
            "LTM_EDU_STRICT": "1",
            "MALLOC_ARENA_MAX": "2",  # each thread would reserve memory, which is bounded
            **{f"{n}_NUM_THREADS": "1" for n in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")},
        }
        command = [sys.executable, "-P", "-m", f"{__package__}.server", str(theirs.fileno())]
        self._line = mine
        self._process = subprocess.Popen(
            command,
            env=environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the grading process
        )
        theirs.close()
        self._replies = mine.makefile("rb")

    def __enter__(self) -> Server:
        if self._replies.readline() != b"ready\n":
            self.close()
            raise InputError("the process for students' code does not start; see the lines above")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server, and with it every process that it has started."""
        self._replies.close()
        self._line.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def load(self, sources: Sequence[str]) -> None:
        """Run the import cells of the course once, for all processes that follow."""
        self._order({"load": list(sources)})

    @contextmanager
    def started(self, limits: Limits) -> Iterator[Process]:
        """A new locked-up process, which is killed after the block."""
        to_read, to_write = os.pipe(), os.pipe()
        mine = (to_write[0], to_read[1])
        try:
            theirs = (to_read[0], to_write[1])
            try:
                started = self._order({"start": asdict(limits)}, theirs)
            finally:
                for pipe in theirs:
                    os.close(pipe)
            for pipe in mine:
                os.set_blocking(pipe, False)
            try:
                with _threads_watched(started["process"]):
                    yield Process(*mine, limits)
            finally:
                self._order({"end": started["process"]})
        finally:
            for pipe in mine:
                os.close(pipe)

    def _order(self, order: Mapping[str, Any], pipes: Sequence[int] = ()) -> dict[str, Any]:
        try:
            socket.send_fds(self._line, [json.dumps(order).encode()], list(pipes))
            return json.loads(self._replies.readline())
        except (OSError, ValueError):
            raise InputError(
                "the process for students' code has ended; grade again, with less memory"
            ) from None


@contextmanager
def _threads_watched(process: int) -> Iterator[None]:
    """Kill a process within the block when it has too many threads, which no limit binds for root.

    The process is not reaped before the end of the block, so that no other has its number.
    """
    ended = threading.Event()
    status = Path(f"/proc/{process}/status")

    def watch() -> None:
        while not ended.wait(0.05):
            with suppress(OSError):
                threads = status.read_text(encoding="utf-8").partition("Threads:")[2].split()
                if threads and int(threads[0]) > _THREADS:
                    os.kill(process, signal.SIGKILL)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


class Process:
    """A student's process: asks it, within its time."""

    def __init__(self, read: int, write: int, limits: Limits) -> None:
        self._read, self._write = read, write
        self._left = self._seconds = limits.seconds

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Ask a question, and return the reply.

        Raises:
            Lost: there is none in time, or what came is no reply.
        """

        def exchange(until: float) -> Any:
            send(self._write, question, until, QUESTION)
            return receive(self._read, until)

        reply = self._timed(exchange)
        if not isinstance(reply, dict):
            raise Lost("Its process sent something that is no reply.")
        return reply

    def _timed(self, action: Any) -> Any:
        started = time.monotonic()
        try:
            return action(started + self._left)
        except TooLate:
            raise Lost(f"It did not end within {self._seconds:g} seconds.") from None
        except Ended:
            raise Lost("It ended its own process, or used more than it may.") from None
        except WireError as error:
            raise Lost(f"Its process sent something that is no reply: {error}.") from None
        finally:
            self._left -= time.monotonic() - started


def _change(argument: Any, now: Tensor) -> None:
    """Give an argument other numbers; a change of its kind is only marked, by a further axis."""
    if not isinstance(argument, Tensor):
        return
    if now.shape == argument.shape and now.dtype == argument.dtype:
        argument.set_(now)
    else:
        argument.unsqueeze_(0)


class RemoteAnswer:
    """A student's function in a process of its own; see `Answer`."""

    def __init__(self, process: Process, of: str = "answer") -> None:
        self._process = process
        self._of = of

    def _ask(self, what: str, **more: Any) -> Any:
        reply = self._process.ask({"what": what, "of": self._of, **more})
        if reply.get("stub") is True:
            raise NotAttempted
        failed = reply.get("failed")
        if isinstance(failed, Raised):
            return failed, []
        if "out" not in reply:
            raise Lost("Its process sent something that is no reply.")
        return reply["out"], reply.get("changed", [])

    def call(self, args: Args) -> Any:
        """Call the function; what it changes in its arguments is changed here, too."""
        out, changed = self._ask("call", args=args)
        for place in changed if isinstance(changed, list) else []:
            match place:
                case [int(i), Tensor() as now] if 0 <= i < len(args):
                    _change(args[i], now)
        numbers = out.numel() if isinstance(out, Tensor) else getattr(out, "size", 0)
        if isinstance(out, Tensor | np.ndarray) and numbers > _NUMBERS:
            return Raised("Result", f"it has {numbers:,} numbers, more than {_NUMBERS:,}")
        return out

    def gradients(self, args: Args, positions: Sequence[int]) -> list[Tensor | None] | Raised:
        """Gradients by PyTorch; see `Answer`."""
        out, _ = self._ask("gradients", args=args, positions=list(positions))
        if isinstance(out, Raised):
            return out
        right_kind = isinstance(out, list) and all(
            g is None or (isinstance(g, Tensor) and g.dtype == torch.float64) for g in out
        )
        if not right_kind or len(out) != len(positions):
            raise Lost("Its process sent something that is no gradient.")
        return out

    def counts(self, args: Args, limits: CostLimits) -> Counts:
        """What it computes; an answer that fails here has no counts and is lost."""
        out, _ = self._ask("counts", args=args, limits=list(limits))
        match out:
            case (int(numbers), int(operations), int(lines)):
                return Counts(numbers, operations, lines)
        raise Lost("It could not be counted what this computes.")

    def package_results(self, args: Args) -> dict[str, list[Any]]:
        """What it called; see `Answer`."""
        out, _ = self._ask("package", args=args)
        if not isinstance(out, dict) or not all(isinstance(v, list) for v in out.values()):
            raise Lost("It could not be seen what this calls.")
        return out

    def names(self) -> set[str]:
        """What it uses; see `Answer`."""
        out, _ = self._ask("names")
        return {n for n in out if isinstance(n, str)} if isinstance(out, list) else set()
