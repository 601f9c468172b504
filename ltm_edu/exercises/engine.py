"""The functions that notebooks call, and the names with which a notebook's exercises are declared.

`exercise` defines what an exercise consists of; `examining` examines an answer with the help of
`answers`, `running`, `comparing`, `costs`, `watching` and `showing`; `record` keeps what is solved.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from itertools import groupby
from typing import Any

from . import record
from .examining import Verdict, examine
from .exercise import Cost, Edge, Exercise, Invariance, Slip
from .showing import draw, in_a_notebook

__all__ = [
    "CheckFailed", "Cost", "Course", "Edge", "Exercise", "Invariance", "Slip", "Verdict", "examine",
]  # fmt: skip


_PRINTED = 5
"""So many lines that an answer prints are shown."""


class CheckFailed(AssertionError):
    """Raised for an answer that does not pass, if LTM_EDU_STRICT=1."""


class Course:
    """The functions that notebooks call.

    Args:
        exercises: id to exercise.
        seed: of random inputs beside those of the course; 0 for none.
        solutions: whether `solution` prints solutions.
    """

    def __init__(
        self, exercises: Mapping[str, Exercise], seed: int = 0, solutions: bool = True
    ) -> None:
        self.exercises = exercises
        self.seed = seed
        self.solutions = solutions
        self._states: record.States = {}

    def check(self, id: str, fn: Callable[..., Any]) -> None:
        """Print one line about an answer: not attempted, wrong with the reason, or ok.

        Below a wrong answer's line stands the smallest input on which it fails, with its result
        and the right one; in a notebook both are drawn where they are maps. What the answer itself
        prints stands above the line. The answer runs many times, so only the beginning is shown.

        Args:
            id: the exercise, such as "3.2".
            fn: your function.

        Raises:
            CheckFailed: the answer is not ok, and the environment variable LTM_EDU_STRICT is 1.
        """
        exercise = self._find(id)
        if exercise is None:
            return
        with redirect_stdout(io.StringIO()) as printed:
            verdict = examine(exercise, fn, self.seed)
        _show_the_beginning(printed.getvalue())
        print(verdict)
        maps = verdict.case.maps() if verdict.case and in_a_notebook() else None
        if maps is not None:
            draw(maps)
        self._note(verdict)
        if verdict.state != "ok" and _strict():
            raise CheckFailed(verdict.line)

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
        """Print one solution, or in a class's copy that there is none."""
        exercise = self._find(id)
        if exercise is not None and not self.solutions:
            print(f'{id}: solution() is off in the copy of a class. hint("{id}") helps.')
        elif exercise is not None:
            print(exercise.source())

    def progress(self, reset: bool = False) -> None:
        """Print what is solved in the whole course, and what to revisit.

        What you have solved is kept in the data folder and stays solved in later sessions.

        Args:
            reset: forget everything first.
        """
        if reset:
            record.clear()
            self._states = {}
        states = self._all_states()
        solved = sum(says == "" for says in states.values())
        print(f"solved {solved} of {len(self.exercises)}")
        for notebook, ids in groupby(self.exercises, key=lambda id: id.split(".")[0]):
            marks = "  ".join(f"{_mark(states.get(id))} {id}" for id in ids)
            print(f"{notebook.zfill(2)}  {marks}")
        for id, says in states.items():
            if says:
                print(f"revisit {id} {self.exercises[id].title}: {says}")

    def _note(self, verdict: Verdict) -> None:
        """Keep a verdict; what is solved stays solved, and a stub changes nothing."""
        if verdict.state == "not attempted" or self._all_states().get(verdict.id) == "":
            return
        self._states[verdict.id] = "" if verdict.state == "ok" else verdict.says
        record.save(record.load() | self._all_states())

    def _all_states(self) -> record.States:
        """The states of earlier sessions and of this one, in the order of the course."""
        states = record.load() if record.is_kept() else {}
        for id, says in self._states.items():
            if states.get(id) != "":  # solved in another session
                states[id] = says
        return {id: states[id] for id in self.exercises if id in states}

    def _find(self, id: str) -> Exercise | None:
        exercise = self.exercises.get(id) if isinstance(id, str) else None
        if exercise is None:
            line = f"There is no exercise {id!r}. Choose one of {', '.join(self.exercises)}."
            print(line)
            if _strict():
                raise CheckFailed(line)
        return exercise


def _show_the_beginning(printed: str) -> None:
    """Show the first lines of what an answer has printed, and how many follow."""
    lines = printed.splitlines()
    for line in lines[:_PRINTED]:
        print(line)
    if more := len(lines[_PRINTED:]):
        print(f"[your function printed {more} more lines, because `check` calls it many times]")


def _mark(says: str | None) -> str:
    if says is None:
        return "[ ]"
    return "[!]" if says else "[x]"


def _strict() -> bool:
    return os.environ.get("LTM_EDU_STRICT") == "1"
