"""Rows 6: all of it on a GPU, in two precisions, compiled and not."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch

from ..datasets.voc import VocFolder
from ..model import LTM
from .measuring import seconds_of
from .rows import How, Row
from .steps import epoch_row, paper_model, training_row
from .tensors import attention_row, loss_row


def gpu_rows(
    sizes: Sequence[tuple[int, int]],
    dataset: VocFolder,
    how: How,
    repeats: int = 7,
    model: Callable[[], LTM] = paper_model,
    compiled: Sequence[bool] = (False, True),
    side: int = 8192,
) -> Iterator[Row]:
    """Attention, L_r and a training step on a GPU, in float32 and bfloat16, plain and compiled.

    A step is ours against the plain one in float32, on the same card in the same run. Beside it
    stands its share of what a product of two square matrices, `side` x `side`,
    reaches on the same card in the same arithmetic.
    """
    for dtype, through_compile in itertools.product((torch.float32, torch.bfloat16), compiled):
        now = replace(how, dtype=dtype, compiled=through_compile)
        for N, D in sizes:
            yield replace(attention_row(N, D, repeats, now), part="gpu")
            for backward in (False, True):
                yield replace(loss_row(N, D, backward, repeats, now), part="gpu")
        row = epoch_row(training_row(model(), dataset, "paper", repeats, now))
        rate = row.sizes["operations_a_second"]
        share = rate / _matmul_rate(now, side)
        yield replace(
            row,
            part="gpu",
            sizes={**row.sizes, "share_of_matmul": share},
            note=f"{row.note}; {rate / 1e12:.3g} TFLOP/s, {share:.0%} of a {side:,} matmul's",
        )


def _matmul_rate(how: How, side: int) -> float:
    """Floating-point operations a second of one large matrix product."""
    a = torch.randn(side, side, device=how.device, dtype=how.dtype)
    times = [seconds_of(lambda: a @ a, how.device) for _ in range(6)]
    return 2 * side**3 / statistics.median(times[1:])
