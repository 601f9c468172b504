"""A row of the suite, and how its seconds, bytes, operations and differences are measured."""

from __future__ import annotations

import statistics
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

Way = Callable[[], Any]
TITLES = f"{'case':44} {'times':>7} {'plain':>9} {'ours':>9} {'plain MB':>9} {'ours MB':>9}  differ"


@dataclass(frozen=True)
class Row:
    """One comparison: medians of the seconds, and peak memory where it was counted."""

    part: str  # one of `suite.PARTS`
    case: str  # what was measured, and at which size
    plain_seconds: float
    our_seconds: float
    difference: float  # of the two results, relative to the largest value
    plain_bytes: int | None = None
    our_bytes: int | None = None
    sizes: dict[str, Any] = field(default_factory=dict)  # the numbers behind `case`
    note: str = ""  # how it was measured, or what else was

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.plain_seconds / self.our_seconds

    def __str__(self) -> str:
        cells = [f"{self.case:44}", f"{self.ratio:7.2f}"]
        cells += [f"{duration(s):>9}" for s in (self.plain_seconds, self.our_seconds)]
        peaks = (self.plain_bytes, self.our_bytes)
        cells += [f"{'' if b is None else f'{b / 1e6:.2f}':>9}" for b in peaks]
        return " ".join([*cells, f"{self.difference:7.0e}", self.note]).rstrip()


@dataclass(frozen=True)
class How:
    """Where and in what arithmetic something runs."""

    device: str = "cpu"  # or "cuda"
    dtype: torch.dtype = torch.float32  # bfloat16 turns autocast on for a training step
    compiled: bool = False  # through torch.compile
    batch: int = 1  # episodes at once

    def __str__(self) -> str:
        words = {
            str(self.dtype).removeprefix("torch."): self.dtype != torch.float32,
            "compiled": self.compiled,
            f"batch {self.batch}": self.batch > 1,
        }
        return "".join(f", {word}" for word, said in words.items() if said)


HERE = How()


def duration(seconds: float) -> str:
    """Seconds as text with their unit: milliseconds below one second."""
    if seconds < 1:
        return f"{1e3 * seconds:.2f} ms" if seconds < 0.1 else f"{1e3 * seconds:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds:.0f} s"


def compare(
    part: str, case: str, ways: Sequence[Way], repeats: int, device: str = "cpu", **more: Any
) -> Row:
    """A row of two functions, the plain one first, whose results are tensors or lists.

    They take turns, after two calls of each to warm up, of which the first gives its result.
    """
    apart = relative_difference(*(torch.as_tensor(way()) for way in ways))
    times = [[seconds_of(way, device) for way in ways] for _ in range(repeats + 1)]
    medians = map(statistics.median, zip(*times[1:], strict=True))
    return Row(part, case, *medians, apart, **more)


def seconds_of(way: Way, device: str = "cpu") -> float:
    """Seconds of one call; on a GPU its own clock is read, by events."""
    if device != "cuda":
        started = time.perf_counter()
        way()
        return time.perf_counter() - started
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    way()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3


def peak_bytes(way: Way, device: str = "cpu") -> int:
    """The most that the results of a function's operations take at one moment, in bytes."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        way()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with _LiveResults() as live:
        way()
    return live.peak


class _LiveResults(TorchDispatchMode):
    """Watches every operation: the bytes of the results that are alive, and the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, function: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        self._see((args, kwargs), counts=False)
        result = function(*args, **(kwargs or {}))
        self._see(result, counts=True)
        return result

    def _see(self, tensors: object, counts: bool) -> None:
        for tensor in tree_leaves(tensors):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            if storage._cdata in self._known:  # a view, or what an operation before this one made
                continue
            size = storage.nbytes() if counts else 0
            self._known.add(storage._cdata)
            self._now += size
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._forget, storage._cdata, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size


def relative_difference(plain: Tensor, ours: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    plain, ours = plain.detach().double(), ours.detach().double()
    return ((plain - ours).abs().max() / plain.abs().max().clamp_min(1e-12)).item()


def operations(way: Way) -> int:
    """Floating-point operations of matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        way()
    return counter.get_total_flops()
