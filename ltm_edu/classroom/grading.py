"""The grading of submissions: each exercise of each student in a locked-up process of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ..exercises import EXERCISES
from ..exercises.answers import Function
from ..exercises.comparing import same
from ..exercises.costs import Limits as CostLimits
from ..exercises.examining import examine_answer
from ..exercises.exercise import Exercise
from ..exercises.running import Raised
from ..store.errors import InputError
from .answering import canary
from .asking import Lost, Process, RemoteAnswer, Server
from .cells import Cell
from .sandbox import Limits, readable_folders
from .submissions import Submission, Unreadable, code_cells, read_notebook
from .teaching import Class, Task

VERDICTS = ("ok", "wrong", "not attempted", "stopped", "checker changed", "unreadable")
VERDICTS += ("not handed in",)
"""All verdicts. "stopped": the process of the student's code gave no result within its limits."""

PROTECTIONS = {
    "network": "no network",
    "processes": "no other programs or processes",
    "signals": "no signals to other processes",
    "writing": "no file is written",
    "deleting": "no file is deleted or renamed",
    "reading": "no file is read but Python's own",
    "memory": "bounded memory",
}
"""What a student's process is kept from, and how this is said. Time is bounded on every system."""

_SHOWN = 4000
"""So many characters of a student's code are shown."""


@dataclass(frozen=True)
class Result:
    """The verdict on one exercise of one student.

    Attributes:
        student: who.
        assignment: the name of the notebook.
        exercise: its id.
        verdict: one of `VERDICTS`.
        misconception: the checker's message for a known slip, or "".
        says: the line that explains the verdict.
        details: the lines that show a failure.
        notes: which of the needed cells raised an error.
        code: the exercise's cell.
        seconds: how long the examination took.
    """

    student: str
    assignment: str
    exercise: str
    verdict: str
    says: str
    misconception: str = ""
    details: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    code: str = ""
    seconds: float = 0.0


def grade(
    submissions: Iterable[Submission], group: Class, server: Server, limits: Limits
) -> Iterator[Result]:
    """Examine submissions one after another.

    Args:
        submissions: what was handed in.
        group: the class, with the secret of the hidden inputs.
        server: forks the processes.
        limits: of each process.
    """
    loaded: set[str] = set()
    for submission in submissions:
        assignment = submission.assignment
        if assignment.name not in loaded:
            loaded.add(assignment.name)
            server.load(assignment.imports)
        cells, problem = _cells(submission)
        for task in assignment.tasks:
            start = Result(submission.student, assignment.name, task.exercise, "", "")
            if submission.path is None:
                yield replace(start, verdict="not handed in", says="Nothing was handed in.")
            elif problem:
                yield replace(start, verdict="unreadable", says=problem)
            else:
                began = time.monotonic()
                result = graded(start, task, cells, assignment.imports, group, server, limits)
                yield replace(result, seconds=time.monotonic() - began)


def _cells(submission: Submission) -> tuple[list[Cell], str]:
    """The cells of a submission, or why there are none."""
    if submission.path is None or submission.problem:
        return [], submission.problem
    try:
        return code_cells(read_notebook(submission.path), submission.assignment), ""
    except Unreadable as error:
        return [], str(error)
    except Exception as error:  # one submission costs no other student a line
        return [], f"Its cells cannot be read ({type(error).__name__})."


def graded(
    start: Result,
    task: Task,
    cells: Sequence[Cell],
    imports: Sequence[str],
    group: Class,
    server: Server,
    limits: Limits,
) -> Result:
    """Examine the answer to one exercise.

    Args:
        start: the result as far as it is known.
        task: the exercise.
        cells: of the student's notebook.
        imports: the course's import cells of this notebook.
        group: as in `grade`, like the rest.
        server: forks the process.
        limits: of the process.
    """
    mine = [c for c in cells if task.exercise in c.exercises]
    if not mine:
        says = "The notebook has no cell for this exercise."
        return replace(start, verdict="not attempted", says=says)
    start = replace(start, code="\n\n".join(c.source for c in mine)[:_SHOWN])
    question = {
        "exercise": task.exercise,
        "name": task.name,
        "imports": list(imports),
        "cells": [[c.number, c.source, c.exercises, c.own] for c in cells],
    }
    try:
        with server.started(limits) as process:
            return _examined(start, process, question, group.hidden_seed(task.exercise))
    except Lost as lost:
        return replace(start, verdict="stopped", says=str(lost))
    except InputError:
        raise
    except Exception as error:  # one submission costs no other student a line
        says = (
            f"Its process sent something that the grading did not expect: {type(error).__name__}."
        )
        return replace(start, verdict="stopped", says=says)


def _examined(start: Result, process: Process, question: Any, seed: int) -> Result:
    exercise = EXERCISES[start.exercise]
    prepared = process.ask({"what": "prepare", "with": question})
    errors = [e for e in _errors(prepared) if e[0] in {c[0] for c in question["cells"]}]
    notes = tuple(f"Cell {number} raised {_told(error)}" for number, error in errors)
    start = replace(start, notes=notes)
    if prepared.get("callable") is not True:
        mine = {c[0] for c in question["cells"] if exercise.id in c[2]}
        for number, error in errors:
            if number in mine:
                says = f"The cell of the exercise raised {_told(error)}"
                details = (f"your line: {error.line}",) if error.line else ()
                return replace(start, verdict="wrong", says=says, details=details, notes=())
        says = f"There is no function {question['name']} after the cell of the exercise."
        return replace(start, verdict="wrong", says=says)
    verdict = examine_answer(exercise, RemoteAnswer(process), seed)
    if verdict.state == "ok" and not _canary_is_as_known(process, exercise):
        says = "This code changed the checker's parts in its process, so the result does not count."
        return replace(start, verdict="checker changed", says=says)
    return replace(
        start,
        verdict=verdict.state,
        says=verdict.says,
        misconception=verdict.misconception,
        details=tuple(str(verdict).splitlines()[1:]),
    )


def _errors(prepared: Any) -> list[tuple[int, Raised]]:
    """The errors of cells that a process has told; what has another form is left out."""
    told = prepared.get("errors")
    pairs = (
        [e for e in told if isinstance(e, list) and len(e) == 2] if isinstance(told, list) else []
    )
    return [(n, e) for n, e in pairs if isinstance(n, int) and isinstance(e, Raised)]


def _told(error: Raised) -> str:
    return f"{error.kind}: {error.text}." if error.text else f"{error.kind}."


def _canary_is_as_known(process: Process, exercise: Exercise) -> bool:
    """Whether a process still sees what a known function computes, calls and lets pass.

    Its results are compared with those of the same function here.
    """
    known, told = Function(canary()), RemoteAnswer(process, "canary")
    a = torch.arange(1.0, 6.0 + len(exercise.id))
    limits = CostLimits(None, None, 10_000)
    try:
        right, given = known.call((a,)), a.clone()
        if not same(told.call((given,)), right) or not same(given, a):
            return False
        pairs = zip(told.gradients((a,), [0]), known.gradients((a,), [0]), strict=True)
        if not all(same(x, y) for x, y in pairs):
            return False
        if told.counts((a,), limits) != known.counts((a,), limits):
            return False
        seen, calls = told.package_results((a,)), known.package_results((a,))
        if set(seen) != set(calls) or told.names() != known.names():
            return False
        return all(same(x, y) for n in calls for x, y in zip(seen[n], calls[n], strict=True))
    except Exception:  # of any kind: a changed process sends what it wants
        return False


# Protections --------------------------------------------------------------------------------------

_PROBE = """
import os, socket, torch

def attempt(action):
    try:
        action()
    except Exception as error:
        return type(error).__name__
    return "done"

def fork():
    if os.fork() == 0:
        os._exit(0)

def network():
    a = socket.socket()
    a.settimeout(0.1)
    a.bind(("127.0.0.1", 0))

def probe():
    return {
        "network": attempt(network),
        "processes": attempt(fork),
        "signals": attempt(lambda: os.kill(SERVER, 0)),
        "writing": attempt(lambda: open(FOLDER + "/written", "w").close()),
        "deleting": attempt(lambda: os.unlink(FOLDER + "/deleted")),
        "reading": attempt(lambda: open(FOLDER + "/secret").close()),
        "memory": attempt(lambda: torch.empty(MEMORY, dtype=torch.uint8)),
    }
"""


def protections(server: Server, limits: Limits) -> dict[str, bool]:
    """Try out what a student's process can do here: for each of `PROTECTIONS`, whether it holds.

    Raises:
        InputError: the process that tries it out gave no result.
    """
    with TemporaryDirectory(prefix="ltm_edu-") as folder:
        for name in ("secret", "deleted"):
            Path(folder, name).write_text("a student's work", encoding="utf-8")
        values = {"SERVER": os.getpid(), "FOLDER": folder, "MEMORY": limits.memory + (64 << 20)}
        source = "\n".join(f"{k} = {v!r}" for k, v in values.items()) + _PROBE
        question = {
            "exercise": "probe",
            "name": "probe",
            "imports": [],
            "cells": [[1, source, ("probe",), True]],
        }
        try:
            with server.started(limits) as process:
                process.ask({"what": "prepare", "with": question})
                told = RemoteAnswer(process).call(())
        except Lost as lost:
            raise InputError(
                f"a first process without a student's code gave no result: {lost} Give it more "
                "seconds or memory"
            ) from None
    return {name: isinstance(told, dict) and told.get(name) != "done" for name in PROTECTIONS}


def check_apart(places: Sequence[Path]) -> None:
    """Check that none of these is in a folder that students' code may read.

    Raises:
        InputError: one is.
    """
    for place in places:
        for folder in readable_folders():
            if place.resolve().is_relative_to(folder):
                raise InputError(
                    f"{place} is in {folder}, which students' code may read, because Python is "
                    "there: move it to another folder"
                )
