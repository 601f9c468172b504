"""How an exercise is declared, and how an answer is examined.

An answer is held against a plain loop, in this order: type, dtype and shape (nothing is broadcast)
and values on tiny known cases, then on random ones in float64, then invariances, edge cases,
gradients. Where it fails, the same cases are put to every known slip; the one that gives what the
answer gives names the misconception.
"""

from __future__ import annotations

import inspect
import os
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Args = tuple[Any, ...]
TOLERANCE = 1e-4
"""Wide enough for an eps of 1e-5 in another place, far below what any slip changes."""


class CheckFailed(AssertionError):
    """An answer did not pass, and LTM_EDU_STRICT=1 asks for an error."""


@dataclass(frozen=True)
class Slip:
    """A misconception: what to say, and how to know it.

    Attributes:
        says: the line's text after "wrong: ".
        wrong: the function that someone with this misconception writes, or
        when: a predicate (answer's result, right result, *arguments) -> bool.
    """

    says: str
    wrong: Callable[..., Any] | None = None
    when: Callable[..., bool] | None = None


@dataclass(frozen=True)
class Edge:
    """An input at the border of what is defined, and what to say where the answer fails there."""

    args: Args
    says: str


@dataclass(frozen=True)
class Invariance:
    """A law that the right function keeps: `holds(fn, *arguments)`, on the random inputs."""

    says: str
    holds: Callable[..., bool]


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        id: "3.2": notebook 03, its second.
        title: what a solved one is called.
        reference: the solution; its source is shown, so it needs nothing but `torch`.
        spec: the same as a plain loop.
        tiny: known inputs, small enough to print.
        draw: random inputs, in float64 where they are floating.
        slips: the most specific first.
        hints: the second says more than the first.
        edges: see `Edge`.
        invariances: see `Invariance`.
        differentiable: positions of the arguments that a gradient must reach.
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
    invariances: Sequence[Invariance] = ()
    differentiable: Sequence[int] = ()

    def random(self) -> list[Args]:
        """Three random inputs, the same in every session."""
        return [self.draw(torch.Generator().manual_seed(seed)) for seed in range(3)]

    def source(self) -> str:
        """The solution's code."""
        return textwrap.dedent(inspect.getsource(self.reference)).strip()


@dataclass(frozen=True)
class Verdict:
    """What an answer came to: one line."""

    id: str
    state: Literal["ok", "wrong", "not attempted"]
    says: str

    def __str__(self) -> str:
        return f"{self.id} {self.state}: {self.says}"


class Course:
    """The functions that notebooks call, and what this kernel remembers of the answers.

    Args:
        exercises: id to exercise.
    """

    def __init__(self, exercises: Mapping[str, Exercise]) -> None:
        self.exercises = exercises
        self._verdicts: dict[str, Verdict] = {}

    def check(self, id: str, fn: Callable[..., Any]) -> None:
        """Print one line on an answer: not attempted, wrong and why, or ok.

        Args:
            id: the exercise, such as "3.2".
            fn: your function.

        Raises:
            CheckFailed: anything but ok, where the environment has LTM_EDU_STRICT=1.
        """
        exercise = self._find(id)
        if exercise is None:
            return
        self._verdicts[exercise.id] = verdict = examine(exercise, fn)
        print(verdict)
        if verdict.state != "ok" and _strict():
            raise CheckFailed(str(verdict))

    def hint(self, id: str, n: int = 1) -> None:
        """Print the n-th hint.

        Args:
            id: the exercise.
            n: 1 for the gentlest.
        """
        exercise = self._find(id)
        if exercise is None:
            return
        count = len(exercise.hints)
        if n not in range(1, count + 1):
            print(f'{id} has {count} hints: hint("{id}", 1) to hint("{id}", {count})')
            return
        more = f' [hint("{id}", {n + 1}) says more]' if n < count else ""
        print(f"{id} hint {n} of {count}: {exercise.hints[n - 1]}{more}")

    def solution(self, id: str) -> None:
        """Print one way to write it."""
        exercise = self._find(id)
        if exercise is not None:
            print(exercise.source())

    def progress(self) -> None:
        """Print what is solved and what to revisit, for the notebooks attempted in this session."""
        touched = {id.split(".")[0] for id in self._verdicts}
        rows = [e for e in self.exercises.values() if not touched or e.id.split(".")[0] in touched]
        solved = sum(self._state(e) == "ok" for e in rows)
        print(f"solved {solved} of {len(rows)}")
        marks = {"ok": "[x]", "wrong": "[!]", "not attempted": "[ ]"}
        for e in rows:
            state = self._state(e)
            why = f" <- revisit: {self._verdicts[e.id].says}" if state == "wrong" else ""
            print(f"{marks[state]} {e.id} {e.title}{why}")

    def _state(self, exercise: Exercise) -> str:
        verdict = self._verdicts.get(exercise.id)
        return verdict.state if verdict else "not attempted"

    def _find(self, id: str) -> Exercise | None:
        found = self.exercises.get(id) if isinstance(id, str) else None
        if found is None:
            line = f"no exercise {id!r}: there are {', '.join(self.exercises)}"
            print(line)
            if _strict():
                raise CheckFailed(line)
        return found


def examine(exercise: Exercise, fn: Callable[..., Any]) -> Verdict:
    """Judge an answer; never raises."""
    if not callable(fn):
        return Verdict(exercise.id, "wrong", f"{_a(fn)}, expected your function")
    try:
        problem = next(_problems(exercise, fn), None)
    except _NotAttempted:
        says = f'write it in place of `raise NotImplementedError`; hint("{exercise.id}") helps'
        return Verdict(exercise.id, "not attempted", says)
    except Exception as error:  # where no result was expected to fail, or one cannot be compared
        problem = _what_raised(_Raised(type(error).__name__, _first_line(error)))
    if problem is None:
        return Verdict(exercise.id, "ok", exercise.title)
    return Verdict(exercise.id, "wrong", problem)


class _NotAttempted(Exception):
    pass


@dataclass(frozen=True)
class _Raised:
    """A result that is an error."""

    kind: str
    text: str


def _problems(exercise: Exercise, fn: Callable[..., Any]) -> Iterator[str]:
    """What is wrong, in the order of examination; the caller stops at the first."""
    cases = [(args, "on the tiny example", "") for args in exercise.tiny]
    cases += [(args, "on random input", "") for args in exercise.random()]
    edges = [(edge.args, "at the edge", edge.says) for edge in exercise.edges]
    for args, where, says in cases:
        yield from _on_case(exercise, fn, args, where, says)
    for law in exercise.invariances:
        for args in exercise.random():
            if not law.holds(fn, *args):
                yield law.says
    for args, where, says in edges:
        yield from _on_case(exercise, fn, args, where, says)
    if exercise.differentiable:
        yield from _on_gradients(exercise, fn, exercise.random()[0])
        for edge in exercise.edges:
            yield from _on_finite_gradients(exercise, fn, edge.args)


def _on_case(
    exercise: Exercise, fn: Callable[..., Any], args: Args, where: str, says: str
) -> Iterator[str]:
    given = _copy(args)
    out = _run(fn, given)
    expected = _like(exercise.reference(*_copy(args)), exercise.spec(*_copy(args)))
    problem = _difference(out, expected)
    if problem is None:
        if not all(_same(a, b) for a, b in zip(args, given, strict=True)):
            yield "changes its arguments in place: work on new tensors"
        return
    slip = _name_the_slip(exercise, fn, args, out, expected)
    yield slip or says or f"{problem} ({where})"


def _difference(out: Any, expected: Any) -> str | None:
    """What distinguishes a result from the right one; type, dtype, shape, then values."""
    if isinstance(out, _Raised):
        return _what_raised(out)
    if out is None:
        return "returned None: is the `return` missing?"
    if isinstance(expected, float):
        if isinstance(out, Tensor):
            return f"{_a(out)}, expected a float: end with .item()"
        if isinstance(out, bool) or not isinstance(out, float | int):
            return f"{_a(out)}, expected a float"
        return None if _same(float(out), expected) else f"{_show(out)}, expected {_show(expected)}"
    if not isinstance(out, Tensor):
        return f"{_a(out)}, expected a torch.Tensor"
    if out.dtype != expected.dtype:
        return f"dtype {_dtype(out)}, expected {_dtype(expected)}"
    if out.shape != expected.shape:
        return f"shape {tuple(out.shape)}, expected {tuple(expected.shape)}"
    if _same(out, expected):
        return None
    if not torch.isfinite(out).all() and torch.isfinite(expected).all():
        return "NaN or infinite values"
    if expected.numel() <= 6:
        return f"{_show(out)}, expected {_show(expected)}"
    return "right shape, but other values than the plain loop"


def _name_the_slip(
    exercise: Exercise, fn: Callable[..., Any], args: Args, out: Any, expected: Any
) -> str | None:
    given = [(args, out)] + [(r, _run(fn, _copy(r))) for r in exercise.random()]
    for slip in exercise.slips:
        if slip.wrong is not None:
            if all(_same(_run(slip.wrong, _copy(a)), o) for a, o in given):
                return slip.says
        elif slip.when is not None:
            try:
                if slip.when(out, expected, *_copy(args)):
                    return slip.says
            except Exception:  # the predicate expects a tensor and got something else
                continue
    return None


def _on_gradients(exercise: Exercise, fn: Callable[..., Any], args: Args) -> Iterator[str]:
    names = list(inspect.signature(exercise.reference).parameters)
    wanted, got = _gradients(exercise, exercise.reference, args), _gradients(exercise, fn, args)
    for i, right, found in zip(exercise.differentiable, wanted, got, strict=True):
        if found is None:
            yield f"no gradient reaches {names[i]}: .item(), .detach() or NumPy on the way?"
        elif not _same(found, right):
            yield f"right values, but another gradient with respect to {names[i]}"


def _on_finite_gradients(exercise: Exercise, fn: Callable[..., Any], args: Args) -> Iterator[str]:
    for found in _gradients(exercise, fn, args):
        if found is not None and not torch.isfinite(found).all():
            yield (
                "right values, but the gradient is NaN at a zero vector: torch.linalg.vector_norm "
                "is safe there, sqrt of a sum is not"
            )


def _gradients(exercise: Exercise, fn: Callable[..., Any], args: Args) -> list[Tensor | None]:
    given = list(_copy(args))
    inputs = [given[i].requires_grad_() for i in exercise.differentiable]
    with torch.enable_grad():
        out = fn(*given)
    if not out.requires_grad:
        return [None] * len(inputs)
    # Unequal weights, so that no symmetry hides a wrong gradient.
    weights = torch.arange(1, out.numel() + 1, dtype=out.dtype).reshape(out.shape)
    return list(torch.autograd.grad((out * weights).sum(), inputs, allow_unused=True))


# Small things -------------------------------------------------------------------------------------


def _run(fn: Callable[..., Any], args: Args) -> Any:
    try:
        out = fn(*args)
    except NotImplementedError as error:
        if not error.args:  # the stub's; PyTorch's own say something
            raise _NotAttempted from None
        return _Raised("NotImplementedError", _first_line(error))
    except Exception as error:
        return _Raised(type(error).__name__, _first_line(error))
    return out.detach() if isinstance(out, Tensor) else out


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if not a.is_floating_point():
            return torch.equal(a, b)
        return torch.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    if isinstance(a, float | int) and isinstance(b, float | int):
        return _same(torch.tensor(float(a)), torch.tensor(float(b)))
    if isinstance(a, _Raised) and isinstance(b, _Raised):
        return a.kind == b.kind
    return type(a) is type(b) and not isinstance(a, Tensor) and bool(a == b)


def _like(reference: Any, value: Any) -> Any:
    """The loop's value in the type and dtype that the solution returns."""
    return value.to(reference.dtype) if isinstance(reference, Tensor) else value


def _copy(args: Args) -> Args:
    return tuple(a.clone() if isinstance(a, Tensor) else a for a in args)


def _what_raised(error: _Raised) -> str:
    return f"raised {error.kind}: {error.text}" if error.text else f"raised {error.kind}"


def _a(thing: Any) -> str:
    if isinstance(thing, Tensor):
        return f"a tensor of shape {tuple(thing.shape)}"
    name = type(thing).__name__
    if name == "ndarray":
        return "a NumPy array"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _show(value: Any) -> str:
    if isinstance(value, Tensor):
        value = (value.double().round(decimals=3) if value.is_floating_point() else value).tolist()
    return f"{round(value, 3):g}" if isinstance(value, float) else str(value)


def _first_line(error: BaseException) -> str:
    line = (str(error).splitlines() or [""])[0]
    return re.sub(r"0x[0-9a-fA-F]+", "0x...", line)[:100]


def _strict() -> bool:
    return os.environ.get("LTM_EDU_STRICT") == "1"
