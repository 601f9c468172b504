"""How a failure is shown: the input, the answer's result and the right one, as text or as maps."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from .comparing import agreeing, brief, digits_for, with_article
from .exercise import Args
from .running import Raised

_SMALL = 16
"""An input of at most so many numbers is printed."""

_ROWS, _COLUMNS = 6, 6
"""A result with at most so many rows and columns is printed."""

_WIDTH = 100


@dataclass(frozen=True)
class Case:
    """One input on which an answer fails.

    Attributes:
        names: the names of the arguments.
        args: the input.
        out: what the answer returned or raised.
        right: the right result.
        what: what the two are: "result", or the gradient of an argument.
        grid: the (height, width) of a flat result, or None.
    """

    names: Sequence[str]
    args: Args
    out: Any
    right: Any
    what: str = "result"
    grid: Sequence[int] | None = None

    def lines(self) -> list[str]:
        """The case as lines of text."""
        shown = [_input(n, a) for n, a in zip(self.names, self.args, strict=False)]
        lines = _wrapped("input: ", shown)
        if isinstance(self.out, Raised):
            return ([f"your line: {self.out.line}"] if self.out.line else []) + lines
        return lines + _beside(self.what, self.out, self.right)

    def maps(self) -> tuple[Tensor, Tensor] | None:
        """The answer's result and the right one as two-dimensional maps, if they are maps."""
        if self.what != "result" or not _both_tensors(self.out, self.right):
            return None
        mine, right = self.out, self.right
        if mine.shape != right.shape:
            pair = _as_map(mine, None), _as_map(right, self.grid)
        else:
            wrong = _first_difference(mine, right)
            leading = wrong[: max(right.dim() - 2, 0)]
            if self.grid is not None:
                leading = wrong[:1]
                mine, right = (x[leading].reshape(tuple(self.grid)) for x in (mine, right))
                leading = ()
            pair = _as_map(mine[leading], None), _as_map(right[leading], None)
        return pair if pair[0] is not None and pair[1] is not None else None

    def about(self, out: Any, right: Any, what: str) -> Case:
        """The same input, with other things that differ."""
        return replace(self, out=out, right=right, what=what)


def _both_tensors(a: Any, b: Any) -> bool:
    return isinstance(a, Tensor) and isinstance(b, Tensor) and bool(a.numel() and b.numel())


def _as_map(x: Tensor, grid: Sequence[int] | None) -> Tensor | None:
    if grid is not None and x.numel() % (grid[0] * grid[1]) == 0:
        x = x.reshape(-1, *grid)
    while x.dim() > 2:
        x = x[0]
    return x.double() if x.dim() == 2 and min(x.shape) > 1 else None


def _input(name: str, value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"{name} = {value}"
    size = f"{name} {tuple(value.shape)}"
    return f"{size} = {brief(value)}" if value.numel() <= _SMALL else size


def _wrapped(label: str, parts: list[str]) -> list[str]:
    """The parts one after the other, in as few lines as fit."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 2 <= _WIDTH:
            lines[-1] += f", {part}"
        else:
            lines.append((label if not lines else " " * len(label)) + part)
    return lines


def _beside(what: str, out: Any, right: Any) -> list[str]:
    """The answer's result and the right one beside each other."""
    digits = digits_for(out, right) if _both_tensors(out, right) else 4
    mine, expected = _block(out, digits), _block(right, digits)
    heads = f"your {what}", f"right {what}"
    if mine is None or expected is None:
        if _both_tensors(out, right) and out.shape == right.shape:
            where = _first_difference(out, right)
            place = f"{what} at {list(where)}: "
            return [f"{place}yours {brief(out[where].item())}, right {brief(right[where].item())}"]
        return [f"{heads[0]}: {_described(out)}", f"{heads[1]}: {_described(right)}"]
    width = max(map(len, [heads[0], *mine]))
    pairs = zip_longest([heads[0], *mine], [heads[1], *expected], fillvalue="")
    return [f"{a:{width}}    {b}".rstrip() for a, b in pairs]


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        # The checker compares in float64, whatever the dtype of an answer is.
        kind = "float" if value.dtype == torch.float64 else str(value.dtype)
        return f"{with_article(value)}, {kind.removeprefix('torch.')}"
    return brief(value)[:_WIDTH] if isinstance(value, float | int) else with_article(value)


def _first_difference(out: Tensor, right: Tensor) -> tuple[int, ...]:
    """The first place at which two tensors of one shape differ."""
    if out.is_floating_point() and right.is_floating_point():
        unequal = ~agreeing(out.double(), right.double())
    else:
        unequal = out != right
    places = unequal.nonzero()
    return tuple(places[0].tolist()) if len(places) else (0,) * right.dim()


def _block(value: Any, digits: int) -> list[str] | None:
    """A small result as lines of equal columns, or None if it is too large."""
    if value is None or isinstance(value, str | float | int):
        return [brief(value, digits)[:_WIDTH]]
    if not isinstance(value, Tensor):
        return None
    if value.dim() == 0:
        return [brief(value, digits)]
    if not value.numel() or value.numel() > _ROWS * _COLUMNS or value.shape[-1] > _COLUMNS:
        return None
    rows = value.reshape(-1, value.shape[-1])
    if len(rows) > _ROWS:
        return None
    cells = [[brief(v, digits) for v in row] for row in rows.tolist()]
    wide = max(len(c) for row in cells for c in row)
    return ["[" + "  ".join(f"{c:>{wide}}" for c in row) + "]" for row in cells]


def in_a_notebook() -> bool:
    """Whether this Python is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def draw(maps: tuple[Tensor, Tensor]) -> None:
    """Draw the answer's map and the right one beside each other, below the cell."""
    import matplotlib.pyplot as plt
    from IPython.display import display

    both = torch.cat([m.flatten() for m in maps])
    both = both[both.isfinite()]
    low, high = (both.min().item(), both.max().item()) if both.numel() else (0.0, 1.0)
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 2.8), layout="constrained")
    for axis, title, values in zip(axes, ("your result", "right result"), maps, strict=True):
        image = axis.imshow(
            values.numpy(), cmap="cividis", vmin=low, vmax=high, interpolation="nearest"
        )
        axis.set(title=title, xticks=[], yticks=[])
    figure.colorbar(image, ax=axes)
    display(figure)
    plt.close(figure)
