"""Batches for training: which episodes, drawn from one generator, and their tensors."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..runs.processes import own_part
from ..store.errors import InputError
from ..store.pictures import VOID
from .cache import FeatureCache


@dataclass(frozen=True)
class Batch:
    """B training episodes by picture names: a query and K supports, none of them the query.

    `query_flips` and `support_flips` say which pictures are mirrored.
    """

    class_ids: list[int]
    queries: list[str]
    supports: list[list[str]]
    query_flips: list[bool]
    support_flips: list[list[bool]]

    def own_part(self) -> Batch:
        """The episodes of this process."""
        return Batch(*(own_part(v) for v in vars(self).values()))


class BatchTensors(NamedTuple):
    """The same episodes as tensors: features, masks on the grid, truth; names are for messages."""

    F_q: list[Tensor]  # (B, C, h, w) for each query scale
    F_s: Tensor  # (B, K, C, h, w)
    G_q: Tensor  # (B, 1, h, w)
    G_s: Tensor  # (B, K, 1, h, w)
    Y: Tensor  # (B, H, W) of 0, 1 and 255
    queries: list[str]
    supports: list[list[str]]

    def check_values(self) -> None:
        """Check features, masks and truth, with one look at the device.

        Raises:
            ValueError: features are not finite, masks leave [0, 1], or the truth has other labels.
        """
        features = torch.stack([x for F in (*self.F_q, self.F_s) for x in torch.aminmax(F)])
        masks = torch.stack([x for G in (self.G_q, self.G_s) for x in torch.aminmax(G)])
        labels = (self.Y == 0) | (self.Y == 1) | (self.Y == VOID)
        faults = {
            "the features hold NaN or infinite values": ~features.isfinite().all(),
            "a mask has values outside [0, 1]": ~((masks >= -1e-4) & (masks <= 1 + 1e-4)).all(),
            "the truth holds labels other than 0, 1 and 255": ~labels.all(),
        }
        for fault, present in zip(faults, torch.stack([*faults.values()]).tolist(), strict=True):
            if present:
                raise ValueError(fault)


def draw_batches(
    pools: Mapping[int, Sequence[str]],
    shots: int,
    size: int,
    balance: float,
    flips: bool,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """Draw batches without end.

    Args:
        pools: class id to the names of its pictures, more than `shots` of them.
        shots: K, supports an episode.
        size: B, episodes a batch.
        balance: classes are drawn with their number of pictures to this power.
        flips: mirror each picture with probability one half.
        rng: every draw comes from it, whatever processes and workers there are.
    """
    classes = sorted(pools)
    named = {c: np.array(pools[c]) for c in classes}
    weights = np.array([len(pools[c]) for c in classes], float) ** balance
    weights /= weights.sum()
    while True:
        ids = rng.choice(classes, size, p=weights)
        names = [rng.choice(named[c], shots + 1, replace=False).tolist() for c in ids]
        mirrored = [[False] * (shots + 1)] * size
        if flips:
            mirrored = rng.integers(0, 2, (size, shots + 1)).astype(bool).tolist()
        queries, supports = [n[0] for n in names], [n[1:] for n in names]
        yield Batch(
            ids.tolist(), queries, supports, [f[0] for f in mirrored], [f[1:] for f in mirrored]
        )


class _FromCache(Dataset):
    """The tensors of a batch; the batch itself is the index."""

    def __init__(self, cache: FeatureCache) -> None:
        self.cache = cache

    def __getitem__(self, batch: Batch) -> BatchTensors:
        B, K = len(batch.queries), len(batch.supports[0])
        supports = [n for names in batch.supports for n in names]
        flips = [f for row in batch.support_flips for f in row]
        ids = [c for c in batch.class_ids for _ in range(K)]
        cache = self.cache
        Y = cache.masks(batch.queries, batch.class_ids, batch.query_flips)
        G_s = cache.grid_masks(cache.masks(supports, ids, flips))
        return BatchTensors(
            cache.features(batch.queries, batch.query_flips),
            cache.support_features(supports, flips).unflatten(0, (B, K)),
            cache.grid_masks(Y),
            G_s.unflatten(0, (B, K)),
            Y,
            batch.queries,
            batch.supports,
        )


def load_batches(
    cache: FeatureCache,
    drawn: Iterator[Batch],
    steps: int,
    done: int = 0,
    workers: int = 0,
    pinned: bool = False,
) -> Iterator[BatchTensors]:
    """This process's part of the tensors of each batch, in order.

    Args:
        cache: contains every picture.
        drawn: the batches, from the first on.
        steps: how many to take in all.
        done: how many of them to draw and leave out: a run that continues starts after them.
        workers: processes that gather tensors ahead of time; 0 gathers in this one.
        pinned: gather into pinned memory, from which a GPU copies while it computes.

    Raises:
        InputError: while iterating, one of the workers was killed.
    """
    own = (b.own_part() for b in islice(drawn, done, steps))
    loader = DataLoader(
        _FromCache(cache),
        None,
        sampler=own,
        num_workers=workers,
        pin_memory=pinned,
        worker_init_fn=_leave_signals,
    )
    return _named_faults(loader)


def _leave_signals(_worker: int) -> None:
    """Ctrl-C reaches every process of a terminal: the one that trains ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _named_faults(loader: DataLoader) -> Iterator[BatchTensors]:
    try:
        yield from loader
    except (RuntimeError, OSError, EOFError) as error:
        if not loader.num_workers:
            raise
        # What this process notices first depends on what the other one was doing.
        raise _failed_worker(error) from None


@contextmanager
def killed_workers_named() -> Iterator[None]:
    """Name a killed worker while batches are used: PyTorch notices it by a signal, at any time.

    Raises:
        InputError: one was killed.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise _failed_worker(error) from None


def _failed_worker(error: Exception) -> InputError:
    """The line that says that a process which gathers batches was ended.

    PyTorch's handler, which raises an error when such a process ends, is put aside: the others
    will end as well.
    """
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return InputError(
        f"a process that gathers batches failed ({reason}); it may have been ended for want of "
        "memory: use fewer workers, or none"
    )


def to_device(batch: BatchTensors, device: torch.device) -> BatchTensors:
    """The batch on a device; copies from pinned memory do not wait."""
    tensors = (*batch.F_q, batch.F_s, batch.G_q, batch.G_s, batch.Y)
    *F_q, F_s, G_q, G_s, Y = (x.to(device, non_blocking=True) for x in tensors)
    return BatchTensors(F_q, F_s, G_q, G_s, Y, batch.queries, batch.supports)
