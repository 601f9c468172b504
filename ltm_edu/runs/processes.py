"""Several processes that train one model: what a run under `torchrun` needs.

Every process draws the whole batch and takes its own part of it. The statistics of BatchNorm and
the counts of pixels are summed over all processes, so that the result is that of one process with
the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..store.errors import InputError

T = TypeVar("T")


@contextmanager
def processes(device: str | torch.device | None = None) -> Iterator[torch.device]:
    """Join the processes that `torchrun` started, for the length of a `with` block.

    Without torchrun, or inside another such block, this only chooses the device: by default this
    process's GPU, or the CPU where there is none; "cuda" is this process's GPU, too.

    Raises:
        InputError: the device is unknown or missing.
    """
    local = int(os.environ.get("LOCAL_RANK", 0))
    if device is None:
        device = f"cuda:{local}" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        if chosen.type == "cuda" and chosen.index is None:
            chosen = torch.device("cuda", local)
        if chosen.type == "meta":
            raise RuntimeError("it holds no numbers")
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {device} cannot be used here: {reason}") from None
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        yield chosen
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield chosen
    finally:
        dist.destroy_process_group()


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is; 0 writes the files."""
    return dist.get_rank() if world() > 1 else 0


def own_part(batch: Sequence[T]) -> Sequence[T]:
    """This process's part of a batch that all have drawn."""
    return batch[rank() :: world()]


def summed(x: Tensor) -> Tensor:
    """The sum of a tensor over all processes; gradients flow through it."""
    return _Sum.apply(x) if world() > 1 else x


class _Sum(torch.autograd.Function):
    """Each process's part enters every process's sum, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return _Sum.apply(gradient)


def share_arrays(arrays: Sequence[Tensor]) -> list[Tensor]:
    """The sums of arrays over all processes: each has filled its own part, and zeros elsewhere.

    An hour of work may come before, longer than GPUs wait for each other: the CPUs do the sums.
    """
    if world() == 1:
        return list(arrays)
    group = dist.new_group(backend="gloo", timeout=timedelta(days=7))
    shapes: list = [None] * world()
    dist.all_gather_object(shapes, [(tuple(a.shape), a.dtype) for a in arrays], group)
    known = next(s for s in shapes if s)  # a process without a part has no arrays
    whole = list(arrays) or [torch.zeros(shape, dtype=dtype) for shape, dtype in known]
    for array in whole:
        dist.all_reduce(array, group=group)
    dist.destroy_process_group(group)
    return whole


def share_batch_statistics(model: nn.Module) -> None:
    """Make the trainable BatchNorms of a model use the batches of all processes together."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d and module.weight.requires_grad:
            module.__class__ = SharedBatchNorm2d


class SharedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm over the batches of all processes: (B, C, h, w) -> (B, C, h, w).

    torch.nn.SyncBatchNorm does the same, on GPUs only; this one can be tested on a CPU. With one
    process, or in eval mode, it is nn.BatchNorm2d.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, and update the running statistics."""
        if not self.training or world() == 1:
            return super().forward(x)
        wide = x.float()
        n = summed(wide.new_tensor(wide.numel() / wide.shape[1])).detach()
        mean = summed(wide.sum(dim=(0, 2, 3))) / n
        centred = wide - mean[:, None, None]
        var = summed(centred.square().sum(dim=(0, 2, 3))) / n
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * n / (n - 1), self.momentum)
        scale = self.weight * torch.rsqrt(var + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)
