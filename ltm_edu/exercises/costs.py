"""How much an answer computes: the largest tensor, the operations, the lines of Python.

Matrix products are counted as multiplications, by PyTorch's own formulas; every other operation
counts the numbers that it reads or writes. A view of a tensor costs nothing. What is counted does
not depend on how the answer is written: one einsum costs what its products cost, and a loop over
rows costs the sum of its rows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from .exercise import Args, Cost, copied
from .running import is_own


class Counts(NamedTuple):
    """What an answer computed: the largest tensor in numbers, operations, lines of Python."""

    numbers: int
    operations: int
    lines: int


class Limits(NamedTuple):
    """The same three as limits; None is no limit."""

    numbers: int | None
    operations: int | None
    lines: int | None


class _AboveLimit(BaseException):
    """Ends an answer as soon as it is above a limit; no `except Exception` stops it."""


class _Counting(TorchDispatchMode):
    """Counts what PyTorch computes inside a `with` block."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self.numbers = self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        read = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        known = {x.untyped_storage().data_ptr() for x in read}
        written = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        new = [x for x in written if x.untyped_storage().data_ptr() not in known]
        for x in new:
            size = x.untyped_storage().nbytes() // x.element_size()
            self.numbers = max(self.numbers, size)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.operations += formula(*args, **kwargs, out_val=out) // 2
        elif new or func._schema.is_mutable:
            self.operations += max(x.numel() for x in [*read, *written])
        _stop_above(self.numbers, self.limits.numbers)
        _stop_above(self.operations, self.limits.operations)
        return out


def _stop_above(count: int, limit: int | None) -> None:
    if limit is not None and count > limit:
        raise _AboveLimit


def limits_of(cost: Cost) -> Limits:
    """The limits of an exercise's cost."""
    return Limits(cost.numbers, cost.operations, cost.lines)


def counted(fn: Callable[..., Any], args: Args, limits: Limits) -> Counts:
    """Count what a function computes for one input, and end it as soon as it is above a limit."""
    counting = _Counting(limits)
    with suppress(_AboveLimit), counting:
        fn(*copied(args))
    lines = [0]
    if limits.lines is not None:
        with suppress(_AboveLimit), _counted_lines(lines, limits.lines):
            fn(*copied(args))
    return Counts(counting.numbers, counting.operations, lines[0])


def above_limit(counts: Counts, cost: Cost) -> str | None:
    """Say by how much an answer is above a limit, or None if it is within all limits."""
    found = (
        (counts.numbers, cost.numbers, "a tensor of {} numbers was computed"),
        (counts.operations, cost.operations, "it takes more than {} operations"),
        (counts.lines, cost.lines, "it runs more than {} lines of Python"),
    )
    for count, limit, says in found:
        if limit is not None and count > limit:
            said = says.format(f"{count if 'tensor' in says else limit:,}")
            return f"The value is right, but {said}. {cost.says}"
    return None


@contextmanager
def _counted_lines(lines: list[int], limit: int) -> Iterator[None]:
    """Count the lines of the student's own code that run inside the block."""

    def note(frame: FrameType, event: str, _: Any) -> Any:
        if not is_own(frame.f_code.co_filename):
            return None
        if event == "line":
            lines[0] += 1
            _stop_above(lines[0], limit)
        return note

    before = sys.gettrace()
    sys.settrace(note)
    try:
        yield
    finally:
        sys.settrace(before)
