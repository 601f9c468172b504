"""Stopping a run: a signal ends it between two updates, where its state is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
"""Ctrl-C, the polite end that `kill` and batch systems send, and a terminal that was closed."""


class Stopped(KeyboardInterrupt):
    """A signal ended the run; `number` is the signal's, and the text says what was saved."""

    def __init__(self, number: int, text: str = "stopped") -> None:
        super().__init__(text)
        self.number = number


@contextmanager
def signals_stop() -> Iterator[None]:
    """Let every signal of `SIGNALS` raise `Stopped` within the block, and not end the process."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Stopped(number)

    with _handled_by(stop):
        yield


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], int | None]]:
    """Within the block a first signal is only noted; a second one raises `Stopped` at once.

    Yields:
        A function that returns the number of the signal that has arrived, or None.
    """
    arrived: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if arrived:
            raise Stopped(number)
        arrived.append(number)

    with _handled_by(note):
        yield lambda: arrived[0] if arrived else None


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Replace the handlers of the signals; Python allows that in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.getsignal(s) for s in SIGNALS}
    for s, old in before.items():
        if old is not signal.SIG_IGN:  # nohup has asked for that
            signal.signal(s, handler)
    try:
        yield
    finally:
        for s, old in before.items():
            signal.signal(s, signal.SIG_DFL if old is None else old)
