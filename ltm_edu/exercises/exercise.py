"""What an exercise consists of: its solution, its inputs, its rules and the known slips."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Args = tuple[Any, ...]


@dataclass(frozen=True)
class Slip:
    """A misconception: its message, and how to recognise it by one of `wrong` and `when`.

    An answer gets the message of `wrong` only if it returns what `wrong` returns on every input.

    Attributes:
        says: the message after "wrong: ".
        wrong: the function that a student with this misconception writes.
        when: a predicate `(result of the answer, right result, *arguments) -> bool`. Its message
            says no more than what the predicate has found.
    """

    says: str
    wrong: Callable[..., Any] | None = None
    when: Callable[..., bool] | None = None


@dataclass(frozen=True)
class Edge:
    """An input at the edge of the domain or at an extreme scale.

    Attributes:
        args: the input.
        says: what must hold there. It is printed whatever the wrong answer returns, so it
            describes the right result and not the answer's.
        double: whether the answer gets float64, because float32 cannot hold the result.
    """

    args: Args
    says: str
    double: bool = False

    def input(self) -> Args:
        """The input as the answer gets it."""
        return copied(self.args) if self.double else narrowed(self.args)


@dataclass(frozen=True)
class Invariance:
    """A rule that a correct function satisfies on random inputs: `holds(fn, *arguments)`."""

    says: str
    holds: Callable[..., bool]


@dataclass(frozen=True)
class Cost:
    """How much an answer may compute on one input. A limit of None is not checked.

    Attributes:
        args: the input, large enough that a costly answer is far above the limit.
        says: the advice that follows the measured number.
        numbers: the largest tensor that may be computed, in numbers.
        operations: multiplications of matrix products and element-wise operations together.
        lines: lines of Python that may run.
    """

    args: Args
    says: str
    numbers: int | None = None
    operations: int | None = None
    lines: int | None = None


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        id: number of the notebook and of the exercise: "3.2" is the second of notebook 03.
        title: what the exercise is about, printed by `check`.
        reference: the solution. Students see its source, so it needs only `torch`.
        spec: the same function as a plain loop, computed in float64.
        tiny: known inputs, small enough to print.
        draw: returns random inputs.
        slips: known misconceptions, the most specific first.
        hints: the second one says more than the first.
        edges: inputs at the edge of the domain, and at other scales.
        extremes: further inputs, on which only the solution is held to the loop.
        invariances: rules that a correct function satisfies.
        costs: what an answer may compute, where the exercise asks for a cost.
        differentiable: positions of the arguments that a gradient must reach.
        grid: the (height, width) of a flat result, from the arguments; a wrong result is then
            drawn as a map.
        any_number: whether a floating-point result may stand for an integer one.
    """

    id: str
    title: str
    reference: Callable[..., Any]
    spec: Callable[..., Any]
    tiny: Sequence[Args]
    draw: Callable[[torch.Generator], Args]
    slips: Sequence[Slip]
    hints: Sequence[str]
    edges: Sequence[Edge] = ()
    extremes: Sequence[Args] = ()
    invariances: Sequence[Invariance] = ()
    costs: Sequence[Cost] = ()
    differentiable: Sequence[int] = ()
    grid: Callable[..., Sequence[int]] | None = None
    any_number: bool = False

    def random(self, seed: int = 0) -> list[Args]:
        """Draw three random inputs, the same for a seed, in float32 as in the notebooks.

        Args:
            seed: from 0 to 2**60; each seed has inputs of its own.
        """
        seeds = range(3 * seed, 3 * seed + 3)
        drawn = (self.draw(torch.Generator().manual_seed(s)) for s in seeds)
        return [narrowed(args) for args in drawn]

    def right(self, args: Args) -> Any:
        """The right result, computed by the loop in float64 and in the kind of the solution's."""
        kind = self.reference(*copied(args))
        value = self.spec(*widened(args))
        if not isinstance(kind, Tensor):
            return value
        return value.double() if kind.is_floating_point() or self.any_number else value.to(kind)

    def names(self) -> list[str]:
        """The names of the arguments."""
        return list(inspect.signature(self.reference).parameters)

    def source(self) -> str:
        """The source code of the solution."""
        return textwrap.dedent(inspect.getsource(self.reference)).strip()


def copied(args: Args) -> Args:
    """Copies of all tensors, so that a function that changes its arguments changes the copies."""
    return tuple(a.detach().clone() if isinstance(a, Tensor) else a for a in args)


def narrowed(args: Args) -> Args:
    """The arguments with float32 in place of float64."""
    return tuple(a.float() if _is_floating(a) else a for a in args)


def widened(args: Args) -> Args:
    """Copies of the arguments with float64 in place of float32."""
    return tuple(a.double() if _is_floating(a) else a for a in copied(args))


def _is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
