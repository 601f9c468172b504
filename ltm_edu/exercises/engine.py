"""How an exercise is declared, and how an answer is examined.

An answer is compared with a plain loop: type, dtype, shape (without broadcasting) and values, first
on tiny known inputs, then on random ones in float64. Then come invariances, edge cases and
gradients. Where an answer fails, every known slip runs on the same inputs. A slip that returns what
the answer returns names the misconception.
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
"""Large enough for an eps of 1e-5 at another place in the formula, too small to hide a slip."""


class CheckFailed(AssertionError):
    """Raised for an answer that does not pass, if LTM_EDU_STRICT=1."""


@dataclass(frozen=True)
class Slip:
    """A misconception: its message, and how to recognise it by one of `wrong` and `when`.

    Attributes:
        says: the message after "wrong: ".
        wrong: the function that a student with this misconception writes.
        when: a predicate (result of the answer, expected result, *arguments) -> bool.
    """

    says: str
    wrong: Callable[..., Any] | None = None
    when: Callable[..., bool] | None = None


@dataclass(frozen=True)
class Edge:
    """An input at the edge of the domain, and the message where the answer fails on it."""

    args: Args
    says: str


@dataclass(frozen=True)
class Invariance:
    """A rule that a correct function satisfies on random inputs: `holds(fn, *arguments)`."""

    says: str
    holds: Callable[..., bool]


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        id: number of the notebook and of the exercise: "3.2" is the second of notebook 03.
        title: what the exercise is about, printed by `check` and `progress`.
        reference: the solution. Students see its source, so it needs only `torch`.
        spec: the same function as a plain loop.
        tiny: known inputs, small enough to print.
        draw: returns random inputs; floating-point ones are in float64.
        slips: known misconceptions, the most specific first.
        hints: the second one says more than the first.
        edges: inputs at the edge of the domain.
        invariances: rules that a correct function satisfies.
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
        """Draw three random inputs, the same in every session."""
        return [self.draw(torch.Generator().manual_seed(seed)) for seed in range(3)]

    def source(self) -> str:
        """The source code of the solution."""
        return textwrap.dedent(inspect.getsource(self.reference)).strip()


@dataclass(frozen=True)
class Verdict:
    """The result of examining an answer, printed as one line."""

    id: str
    state: Literal["ok", "wrong", "not attempted"]
    says: str

    def __str__(self) -> str:
        return f"{self.id} {self.state}: {self.says}"


class Course:
    """The functions that notebooks call, and the verdicts of this session.

    Args:
        exercises: id to exercise.
    """

    def __init__(self, exercises: Mapping[str, Exercise]) -> None:
        self.exercises = exercises
        self._verdicts: dict[str, Verdict] = {}

    def check(self, id: str, fn: Callable[..., Any]) -> None:
        """Print one line about an answer: not attempted, wrong with the reason, or ok.

        Args:
            id: the exercise, such as "3.2".
            fn: your function.

        Raises:
            CheckFailed: the answer is not ok, and the environment variable LTM_EDU_STRICT is 1.
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
            n: the number of the hint; a higher number says more.
        """
        exercise = self._find(id)
        if exercise is None:
            return
        count = len(exercise.hints)
        if n not in range(1, count + 1):
            print(f'{id} has {count} hints. Call hint("{id}", 1) to hint("{id}", {count}).')
            return
        more = f' [hint("{id}", {n + 1}) says more]' if n < count else ""
        print(f"{id} hint {n} of {count}: {exercise.hints[n - 1]}{more}")

    def solution(self, id: str) -> None:
        """Print one solution."""
        exercise = self._find(id)
        if exercise is not None:
            print(exercise.source())

    def progress(self) -> None:
        """Print what is solved and what to revisit, for the notebooks attempted in this session."""
        notebooks = {id.split(".")[0] for id in self._verdicts}
        listed = [
            e for e in self.exercises.values() if not notebooks or e.id.split(".")[0] in notebooks
        ]
        solved = sum(self._state(e) == "ok" for e in listed)
        print(f"solved {solved} of {len(listed)}")
        marks = {"ok": "[x]", "wrong": "[!]", "not attempted": "[ ]"}
        for e in listed:
            state = self._state(e)
            reason = f" <- revisit: {self._verdicts[e.id].says}" if state == "wrong" else ""
            print(f"{marks[state]} {e.id} {e.title}{reason}")

    def _state(self, exercise: Exercise) -> str:
        verdict = self._verdicts.get(exercise.id)
        return verdict.state if verdict else "not attempted"

    def _find(self, id: str) -> Exercise | None:
        exercise = self.exercises.get(id) if isinstance(id, str) else None
        if exercise is None:
            line = f"There is no exercise {id!r}. Choose one of {', '.join(self.exercises)}."
            print(line)
            if _strict():
                raise CheckFailed(line)
        return exercise


def examine(exercise: Exercise, fn: Callable[..., Any]) -> Verdict:
    """Examine an answer. This never raises."""
    if not callable(fn):
        says = (
            f"The second argument is {_with_article(fn)}. Pass your function, without calling it."
        )
        return Verdict(exercise.id, "wrong", says)
    try:
        problem = next(_problems(exercise, fn), None)
    except _NotAttempted:
        says = f'write it in place of `raise NotImplementedError`; hint("{exercise.id}") helps'
        return Verdict(exercise.id, "not attempted", says)
    except Exception as error:  # raised by a rule, or by a result that cannot be compared
        problem = _describe_error(_Raised.by(error)) + "."
    if problem is None:
        return Verdict(exercise.id, "ok", exercise.title)
    return Verdict(exercise.id, "wrong", problem)


class _NotAttempted(Exception):
    pass


@dataclass(frozen=True)
class _Raised:
    """The error that an answer raised in place of a result."""

    kind: str
    text: str

    @classmethod
    def by(cls, error: Exception) -> _Raised:
        first_line = (str(error).splitlines() or [""])[0]
        return cls(type(error).__name__, re.sub(r"0x[0-9a-fA-F]+", "0x...", first_line)[:100])


def _problems(exercise: Exercise, fn: Callable[..., Any]) -> Iterator[str]:
    """Messages about all that is wrong, in the order of examination; the caller takes the first."""
    cases = [(args, "on the tiny example", "") for args in exercise.tiny]
    cases += [(args, "on random input", "") for args in exercise.random()]
    edges = [(edge.args, "at the edge", edge.says) for edge in exercise.edges]
    for args, where, says in cases:
        yield from _check_case(exercise, fn, args, where, says)
    for rule in exercise.invariances:
        for args in exercise.random():
            if not rule.holds(fn, *args):
                yield rule.says
    for args, where, says in edges:
        yield from _check_case(exercise, fn, args, where, says)
    if exercise.differentiable:
        yield from _check_gradients(exercise, fn, exercise.random()[0])
        for edge in exercise.edges:
            yield from _check_finite_gradients(exercise, fn, edge.args)


def _check_case(
    exercise: Exercise, fn: Callable[..., Any], args: Args, where: str, says: str
) -> Iterator[str]:
    passed = _copy(args)
    out = _run(fn, passed)
    expected = _like(exercise.reference(*_copy(args)), exercise.spec(*_copy(args)))
    problem = _difference(out, expected)
    if problem is None:
        if not all(_same(a, b) for a, b in zip(args, passed, strict=True)):
            yield "Your function changes its arguments in place. Work on new tensors."
        return
    slip = _find_slip(exercise, fn, args, out, expected)
    yield slip or says or f"{problem} ({where})."


def _difference(out: Any, expected: Any) -> str | None:
    """Describe how a result differs from the expected one: type, dtype, shape, then values."""
    if isinstance(out, _Raised):
        return _describe_error(out)
    if out is None:
        return "The result is None; the `return` statement may be missing"
    if isinstance(expected, float):
        if isinstance(out, Tensor):
            return f"The result is {_with_article(out)}, expected a float: end with .item()"
        if isinstance(out, bool) or not isinstance(out, float | int):
            return f"The result is {_with_article(out)}, expected a float"
        return None if _same(float(out), expected) else _difference_of_values(out, expected)
    if not isinstance(out, Tensor):
        return f"The result is {_with_article(out)}, expected a torch.Tensor"
    if out.dtype != expected.dtype:
        return f"The result has dtype {_dtype(out)}, expected {_dtype(expected)}"
    if out.shape != expected.shape:
        return f"The result has shape {tuple(out.shape)}, expected {tuple(expected.shape)}"
    if _same(out, expected):
        return None
    if not torch.isfinite(out).all() and torch.isfinite(expected).all():
        return "The result has NaN or infinite values"
    if expected.numel() <= 6:
        return _difference_of_values(out, expected)
    return "The result has the expected shape, but other values than expected"


def _difference_of_values(out: Any, expected: Any) -> str:
    return f"The result is {_show(out)}, expected {_show(expected)}"


def _find_slip(
    exercise: Exercise, fn: Callable[..., Any], args: Args, out: Any, expected: Any
) -> str | None:
    results = [(args, out)] + [(r, _run(fn, _copy(r))) for r in exercise.random()]
    for slip in exercise.slips:
        if slip.wrong is not None:
            if all(_same(_run(slip.wrong, _copy(a)), o) for a, o in results):
                return slip.says
        elif slip.when is not None:
            try:
                if slip.when(out, expected, *_copy(args)):
                    return slip.says
            except Exception:  # the predicate expects a tensor
                continue
    return None


def _check_gradients(exercise: Exercise, fn: Callable[..., Any], args: Args) -> Iterator[str]:
    names = list(inspect.signature(exercise.reference).parameters)
    expected = _gradients(exercise, exercise.reference, args)
    gradients = _gradients(exercise, fn, args)
    for i, right, gradient in zip(exercise.differentiable, expected, gradients, strict=True):
        if gradient is None:
            yield f"No gradient reaches {names[i]}. Do not use .item(), .detach() or NumPy."
        elif not _same(gradient, right):
            yield f"The values are right, but the gradient with respect to {names[i]} is not."


def _check_finite_gradients(
    exercise: Exercise, fn: Callable[..., Any], args: Args
) -> Iterator[str]:
    for gradient in _gradients(exercise, fn, args):
        if gradient is not None and not torch.isfinite(gradient).all():
            yield (
                "The values are right, but the gradient is NaN at a zero vector. "
                "torch.linalg.vector_norm is safe there; the square root of a sum is not."
            )


def _gradients(exercise: Exercise, fn: Callable[..., Any], args: Args) -> list[Tensor | None]:
    copies = list(_copy(args))
    inputs = [copies[i].requires_grad_() for i in exercise.differentiable]
    with torch.enable_grad():
        out = fn(*copies)
    if not out.requires_grad:
        return [None] * len(inputs)
    # The weights are unequal, so that no symmetry hides a wrong gradient.
    weights = torch.arange(1, out.numel() + 1, dtype=out.dtype).reshape(out.shape)
    return list(torch.autograd.grad((out * weights).sum(), inputs, allow_unused=True))


# Helpers ------------------------------------------------------------------------------------------


def _run(fn: Callable[..., Any], args: Args) -> Any:
    try:
        out = fn(*args)
    except NotImplementedError as error:
        if not error.args:  # raised by the stub: PyTorch's own errors have a text
            raise _NotAttempted from None
        return _Raised.by(error)
    except Exception as error:
        return _Raised.by(error)
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
    """Convert the value of the loop to the dtype that the solution returns."""
    return value.to(reference.dtype) if isinstance(reference, Tensor) else value


def _copy(args: Args) -> Args:
    return tuple(a.clone() if isinstance(a, Tensor) else a for a in args)


def _describe_error(error: _Raised) -> str:
    return f"Your function raised {error.kind}" + (f": {error.text}" if error.text else "")


def _with_article(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    name = type(value).__name__
    if name == "ndarray":
        return "a NumPy array"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _show(value: Any) -> str:
    if isinstance(value, Tensor):
        value = (value.double().round(decimals=3) if value.is_floating_point() else value).tolist()
    return f"{round(value, 3):g}" if isinstance(value, float) else str(value)


def _strict() -> bool:
    return os.environ.get("LTM_EDU_STRICT") == "1"
