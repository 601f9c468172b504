"""Work that several threads share, while its results arrive in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


@lru_cache
def _load_solvers() -> None:
    """Let torch load its solvers for GPUs, which it does at their first use.

    Two threads must not be the first at the same time: "lazy wrapper should be called at most
    once" (https://github.com/pytorch/pytorch/issues/90613).
    """
    torch.linalg.solve(torch.eye(1, device="cuda"), torch.ones(1, 1, device="cuda"))


def in_parallel(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What `function` returns for each item, in order, computed a few items ahead of the reader.

    There are as many threads as torch would use, and torch uses one in each: on small networks two
    threads with an item each are faster than two threads that share the work on one item. Until
    the last result has been read, torch uses one thread in the caller's thread as well.

    Args:
        function: is called in another thread, where neither `torch.inference_mode` nor a context
            variable of the caller holds.
        items: are taken in the caller's thread, at most one for each thread ahead of the reader.

    Raises:
        Exception: whatever `function` raises, at its item's turn; later items are not started.
    """
    if torch.cuda.is_initialized():
        _load_solvers()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            torch.set_num_threads(threads)
