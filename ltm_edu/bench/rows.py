"""A row of the suite: what was compared, where and in what arithmetic, and what came out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        part: one of `suite.PARTS`.
        case: what was measured, and at which size.
        plain_seconds, our_seconds: medians.
        plain_bytes, our_bytes: peak memory, or None where it was not counted.
        difference: of the two results, relative to the largest value.
        sizes: the numbers behind `case`.
        note: how it was measured, or what else was.
    """

    part: str
    case: str
    plain_seconds: float
    our_seconds: float
    difference: float
    plain_bytes: int | None = None
    our_bytes: int | None = None
    sizes: dict[str, Any] = field(default_factory=dict)
    note: str = ""

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


TITLES = f"{'case':44} {'times':>7} {'plain':>9} {'ours':>9} {'plain MB':>9} {'ours MB':>9}  differ"


@dataclass(frozen=True)
class How:
    """Where and in what arithmetic something runs.

    Attributes:
        device: "cpu" or "cuda".
        dtype: of embeddings; bfloat16 turns autocast on for a training step.
        compiled: through torch.compile.
        batch: episodes at once.
    """

    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    compiled: bool = False
    batch: int = 1

    def __str__(self) -> str:
        name = str(self.dtype).removeprefix("torch.")
        words = [name] if self.dtype != torch.float32 else []
        words += ["compiled"] if self.compiled else []
        words += [f"batch {self.batch}"] if self.batch > 1 else []
        return "".join(f", {word}" for word in words)


HERE = How()


def duration(seconds: float) -> str:
    """Seconds in three digits, with their unit."""
    if seconds < 1:
        return f"{1e3 * seconds:.2f} ms" if seconds < 0.1 else f"{1e3 * seconds:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds:.0f} s"
