"""How an answer is examined.

An answer is compared with a plain loop: kind, dtype, shape (without broadcasting) and values, first
on tiny known inputs, then on random ones. Then come invariances, edge cases, costs and gradients,
and whether the package's own function does the work. Inputs are float32, as in the notebooks; the
loop and the comparison use float64. Where an answer fails, every known slip runs on the same
inputs. A slip that returns what the answer returns names the misconception. The smallest input on
which the answer fails is shown in any case.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from .answers import Answer, Function
from .comparing import difference, is_finite, same, settled, with_article
from .costs import above_limit, limits_of
from .exercise import Args, Edge, Exercise, Invariance, Slip, copied, narrowed, widened
from .running import NotAttempted, Raised, run
from .showing import Case
from .watching import package_function


@dataclass(frozen=True)
class Verdict:
    """The result of examining an answer: one line, and the lines that show a failure.

    Attributes:
        id: the exercise.
        state: whether the answer is right.
        says: the text of the line.
        case: the input on which the answer fails, if there is one.
        requirement: what must hold for that input, if the line does not say it.
        misconception: the message of the known slip that behaves like the answer, or "".
    """

    id: str
    state: Literal["ok", "wrong", "not attempted"]
    says: str
    case: Case | None = None
    requirement: str = ""
    misconception: str = ""

    @property
    def line(self) -> str:
        """The verdict in one line."""
        return f"{self.id} {self.state}: {self.says}"

    def __str__(self) -> str:
        lines = [self.requirement] if self.requirement else []
        lines += self.case.lines() if self.case else []
        return "\n".join([self.line, *(f"    {line}" for line in lines)])


def examine(exercise: Exercise, fn: Callable[..., Any], seed: int = 0) -> Verdict:
    """Examine an answer. This never raises.

    Args:
        exercise: what was asked.
        fn: the student's function.
        seed: of random inputs beside those of the course; 0 for none.
    """
    if not callable(fn):
        says = f"The second argument is {with_article(fn)}. Pass your function, without calling it."
        return Verdict(exercise.id, "wrong", says)
    return examine_answer(exercise, Function(fn), seed)


def examine_answer(exercise: Exercise, answer: Answer, seed: int = 0) -> Verdict:
    """Examine an answer, wherever it runs; see `examine`."""
    try:
        failure = next(_Examination(exercise, answer, seed).failures(), None)
    except NotAttempted:
        says = f'write it in place of `raise NotImplementedError`; hint("{exercise.id}") helps'
        return Verdict(exercise.id, "not attempted", says)
    except Exception as error:  # raised by a result that nothing here expects
        says = f"The result could not be compared: {type(error).__name__}."
        return Verdict(exercise.id, "wrong", says)
    return failure or Verdict(exercise.id, "ok", exercise.title)


@dataclass(frozen=True, eq=False)
class _Trial:
    """What an answer returned for one input.

    Attributes:
        args: the input.
        out: the settled result, or the error.
        right: the right result.
        where: the kind of input, "" for an edge.
        says: what must hold at this edge.
        changed: whether the answer changed its arguments.
    """

    args: Args
    out: Any
    right: Any
    where: str
    says: str
    changed: bool

    @property
    def fails(self) -> bool:
        return difference(self.out, self.right) is not None

    @property
    def size(self) -> int:
        return sum(a.numel() for a in self.args if isinstance(a, Tensor))


class _Examination:
    """One answer to one exercise."""

    def __init__(self, exercise: Exercise, answer: Answer, seed: int) -> None:
        self.exercise = exercise
        self.answer = answer
        # Those of the course stay: some of them were chosen because they tell slips apart.
        self.random = exercise.random() + (exercise.random(seed) if seed else [])

    def failures(self) -> Iterator[Verdict]:
        """Everything that is wrong, in the order of examination; the caller takes the first."""
        exercise = self.exercise
        tiny = [self._trial(args, "on the tiny example") for args in exercise.tiny]
        ordinary = tiny + [self._trial(args, "on random input") for args in self.random]
        edges = [self._trial(e.input(), "", e) for e in exercise.edges]
        failing = [t for t in ordinary if t.fails]
        if failing:
            smallest = min(failing, key=lambda t: (t not in tiny, t.size))
            yield self._wrong_result(smallest, ordinary, edges)
        if any(t.changed for t in ordinary):
            yield self._wrong("Your function changes its arguments in place. Work on new tensors.")
        yield from (v for rule in exercise.invariances for v in self._check_rule(rule))
        yield from (self._wrong_result(t, ordinary, edges) for t in edges if t.fails)
        for cost in exercise.costs:
            if says := above_limit(self.answer.counts(cost.args, limits_of(cost)), cost):
                sizes = [
                    f"{n} {tuple(a.shape)}"
                    for n, a in zip(exercise.names(), cost.args, strict=True)
                    if isinstance(a, Tensor)
                ]
                counted = f"counted with {', '.join(sizes)}"
                yield replace(self._wrong(says), requirement=counted)
        if exercise.differentiable:
            for args in self.random[::3]:  # the first of the course, the first of the class
                yield from self._check_that_gradients_arrive(args)
        if name := self._package_function():
            yield self._wrong(
                f"The result is right, but {name} computes it. Write the function yourself."
            )
        if exercise.differentiable:
            for args in self.random[::3]:
                yield from self._check_gradients(args)
            for edge in exercise.edges:
                yield from self._check_finite_gradients(edge.input())

    def _package_function(self) -> str | None:
        right = [self.exercise.right(args) for args in self.random]
        return package_function(right, [self.answer.package_results(a) for a in self.random])

    def _wrong(self, says: str, case: Case | None = None) -> Verdict:
        return Verdict(self.exercise.id, "wrong", says, case)

    def _case(self, args: Args, out: Any, right: Any, what: str = "result") -> Case:
        grid = self.exercise.grid
        names = self.exercise.names()
        return Case(names, args, out, right, what, grid(*args) if grid else None)

    # Values -----------------------------------------------------------------------------------

    def _trial(self, args: Args, where: str, edge: Edge | None = None) -> _Trial:
        passed = copied(args)
        out = self.answer.call(passed)
        right = self.exercise.right(args)
        changed = not all(same(a, b) for a, b in zip(args, passed, strict=True))
        return _Trial(
            args, self._settled(out, right), right, where, edge.says if edge else "", changed
        )

    def _settled(self, out: Any, right: Any) -> Any:
        by_gradient = bool(self.exercise.differentiable)
        out = settled(out, right, by_gradient)
        return out.detach() if isinstance(out, Tensor) else out

    def _wrong_result(self, trial: _Trial, ordinary: list[_Trial], edges: list[_Trial]) -> Verdict:
        case = self._case(trial.args, trial.out, trial.right)
        slip = self._slip(trial, ordinary, edges)
        problem = difference(trial.out, trial.right) or ""
        if slip is not None:
            error = f"{trial.out}." if isinstance(trial.out, Raised) else ""
            return replace(self._wrong(slip, case), requirement=error, misconception=slip)
        if not trial.says:
            return self._wrong(f"{problem} ({trial.where}).", case)
        if _is_of_the_right_kind(trial.out, trial.right):
            return self._wrong(trial.says, case)
        return replace(self._wrong(f"{problem}.", case), requirement=trial.says)

    def _slip(self, trial: _Trial, ordinary: list[_Trial], edges: list[_Trial]) -> str | None:
        """The message of the slip that behaves like the answer.

        Where the answer fails on ordinary input, it may differ from the slip at an edge at which
        one of the two raises an error or is not finite: the answer may guard a division by 0.
        """
        for slip in self.exercise.slips:
            if slip.wrong is not None:
                if all(self._agrees(slip.wrong, t) for t in ordinary) and all(
                    self._agrees(slip.wrong, t, only_where_finite=trial in ordinary) for t in edges
                ):
                    return slip.says
            elif _found(slip, trial):
                return slip.says
        return None

    def _agrees(
        self, wrong: Callable[..., Any], trial: _Trial, only_where_finite: bool = False
    ) -> bool:
        with warnings.catch_warnings(action="ignore"):  # PyTorch's, about what a slip does
            out = self._settled(run(wrong, trial.args), trial.right)
        if only_where_finite and not (is_finite(out) and is_finite(trial.out)):
            return True
        return same(out, trial.out)

    # Rules ------------------------------------------------------------------------------------

    def _check_rule(self, rule: Invariance) -> Iterator[Verdict]:
        for args in self.random:
            calls: list[tuple[Args, Any]] = []
            if not self._holds(rule, args, calls):
                yield self._wrong(rule.says, self._failing_call(calls))

    def _holds(self, rule: Invariance, args: Args, calls: list[tuple[Args, Any]]) -> bool:
        """Whether a rule holds for an input; every call of the answer is appended to calls."""

        def answer(*given: Any) -> Any:
            kept = narrowed(copied(given))
            out = self._settled(self.answer.call(copied(kept)), self.exercise.right(kept))
            calls.append((kept, out))
            if isinstance(out, Raised):
                raise _AnswerRaised
            return out

        try:
            return bool(rule.holds(answer, *widened(args)))
        except _AnswerRaised:
            return False
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
            return False  # a call returned something else than a result of the right kind

    def _failing_call(self, calls: list[tuple[Args, Any]]) -> Case | None:
        """The smallest input for which the answer returned a wrong result."""
        cases = [self._case(args, out, self.exercise.right(args)) for args, out in calls]
        failing = [c for c in cases if difference(c.out, c.right) is not None]
        return min(failing, key=lambda c: _size(c.args), default=None)

    # Gradients --------------------------------------------------------------------------------

    def _check_that_gradients_arrive(self, args: Args) -> Iterator[Verdict]:
        names = self.exercise.names()
        gradients = self._gradients(self.answer, args)
        if isinstance(gradients, Raised):
            yield self._wrong(
                f"The values are right, but the gradient raised {gradients.kind}: {gradients.text}."
            )
            return
        for i, gradient in zip(self.exercise.differentiable, gradients, strict=True):
            if gradient is None:
                yield self._wrong(f"No gradient reaches {names[i]}. {self._what_stops_it()}")

    def _check_gradients(self, args: Args) -> Iterator[Verdict]:
        names = self.exercise.names()
        right = self._gradients(Function(self.exercise.reference), args)
        gradients = self._gradients(self.answer, args)
        for i, expected, gradient in zip(
            self.exercise.differentiable, right, gradients, strict=True
        ):
            if not same(gradient, expected):
                says = f"The values are right, but the gradient with respect to {names[i]} is not."
                what = f"gradient of {names[i]}"
                yield self._wrong(says, self._case(args, gradient, expected, what))

    def _check_finite_gradients(self, args: Args) -> Iterator[Verdict]:
        gradients = self._gradients(self.answer, args)
        if isinstance(gradients, Raised):
            return
        names = self.exercise.names()
        right = self._gradients(Function(self.exercise.reference), args)
        for i, expected, gradient in zip(
            self.exercise.differentiable, right, gradients, strict=True
        ):
            if gradient is not None and not torch.isfinite(gradient).all():
                says = (
                    "The values are right, but for the input below the gradient is "
                    f"{'NaN' if gradient.isnan().any() else 'infinite'}. {self._why_not_finite()}"
                )
                what = f"gradient of {names[i]}"
                yield self._wrong(says, self._case(args, gradient, expected, what))

    def _gradients(self, answer: Answer, args: Args) -> Any:
        return answer.gradients(args, self.exercise.differentiable)

    def _what_stops_it(self) -> str:
        """Which calls of the answer no gradient passes; only those that it makes are named."""
        stops = ("item", "tolist", "detach", "data", "numpy", "no_grad")
        used = [name for name in stops if name in self.answer.names()]
        if used:
            return f"It does not pass {' and '.join(used)}, which your function uses."
        return "Every step from there to the result must be differentiable and in PyTorch."

    def _why_not_finite(self) -> str:
        """What to change; a function of PyTorch is named only if the answer uses it."""
        used = self.answer.names()
        if used & {"sqrt", "rsqrt", "**0.5"}:
            return (
                "The slope of a square root is infinite at 0. "
                "torch.linalg.vector_norm has a finite gradient there."
            )
        for name in ("nan_to_num", "masked_fill", "where"):
            if name in used:
                return (
                    f"{name} after a division replaces the value of 0 / 0, but not its gradient. "
                    "Keep the divisor above 0 before you divide."
                )
        return "Keep the divisor above 0 before you divide."


class _AnswerRaised(Exception):
    """Ends a rule in which the answer raised an error."""


def _found(slip: Slip, trial: _Trial) -> bool:
    """Whether the predicate of a slip holds for a result of the right kind."""
    if slip.when is None or not _is_of_the_right_kind(trial.out, trial.right):
        return False
    return bool(slip.when(trial.out, trial.right, *copied(trial.args)))


def _is_of_the_right_kind(out: Any, right: Any) -> bool:
    if isinstance(out, Tensor) and isinstance(right, Tensor):
        return out.shape == right.shape and out.dtype == right.dtype
    return isinstance(out, float) and isinstance(right, float)


def _size(args: Args) -> int:
    return sum(a.numel() for a in args if isinstance(a, Tensor))
