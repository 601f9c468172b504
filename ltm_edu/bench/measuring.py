"""Seconds, bytes, operations and the difference of two results."""

from __future__ import annotations

import statistics
import time
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

Way = Callable[[], Any]


def compare(plain: Way, ours: Way, repeats: int = 5, device: str = "cpu") -> tuple[float, float]:
    """Median seconds of two functions that take turns, after one call of each to warm up.

    `repeats` calls of each are measured; on a GPU its own clock is read, by events.
    """
    times = [(seconds_of(plain, device), seconds_of(ours, device)) for _ in range(repeats + 1)]
    first, second = zip(*times[1:], strict=True)
    return statistics.median(first), statistics.median(second)


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


def seconds_of(way: Way, device: str = "cpu") -> float:
    """Seconds of one call."""
    if device == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        way()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1e3
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


def relative_difference(plain: Tensor, ours: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    plain, ours = plain.detach().double(), ours.detach().double()
    return ((plain - ours).abs().max() / plain.abs().max().clamp_min(1e-12)).item()


def operations(way: Way) -> int:
    """Floating-point operations of matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        way()
    return counter.get_total_flops()
