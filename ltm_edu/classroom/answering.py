"""What the locked-up process does: run a student's cells, and answer questions about one answer.

Nothing here decides a verdict. A student's code can change everything in this process, so what it
says about itself (what it computed, what it called) counts only against the answer. A known
function, the canary, is asked about in the same way, and shows whether these parts still work.
"""

from __future__ import annotations

import ast
import io
import linecache
import random
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import exercises
from ..exercises.answers import Function
from ..exercises.comparing import same
from ..exercises.costs import Limits
from ..exercises.exercise import copied
from ..exercises.running import NotAttempted, Raised
from .cells import Cell, Step, needed_steps, parsed
from .wire import QUESTION, Ended, WireError, receive, send

FOR_EVER = 1e18
"""A moment that never comes: the grading process ends this one."""

_CANARY = """
def canary(a):
    b = a[:, None] * a
    for i in range(20):
        b = b + i * a.square()
    return doubled(b)
"""


def doubled(x: Tensor) -> Tensor:
    """A function of the package that the canary calls."""
    return 2 * x


def canary() -> Callable[[Tensor], Tensor]:
    """A function of which everything is known: its results, its costs and what it calls."""
    namespace: dict[str, Any] = {"doubled": doubled}
    exec(compile(_CANARY, "<canary>", "exec"), namespace)
    return namespace["canary"]


def warm_up() -> None:
    """Let PyTorch import what counting needs, once for all processes that are forked."""
    function = Function(canary())
    function.counts((torch.ones(3),), Limits(None, None, 1000))
    function.package_results((torch.ones(3),))
    parsed("%time")  # imports IPython


class _Silent(io.TextIOBase):
    """Takes what an answer prints, and keeps none of it."""

    def write(self, text: str) -> int:
        return len(text)


def answer_questions(read: int, write: int) -> None:
    """Answer one question after another, until there is none."""
    sys.stdout = sys.stderr = _Silent()
    tempfile.tempdir = "/"  # libraries ask for one, although none can be written to
    desk = _Desk()
    while True:
        try:
            question = receive(read, FOR_EVER, QUESTION)
        except (Ended, WireError):
            return
        try:
            reply = desk.reply(question)
        except NotAttempted:
            reply = {"stub": True}
        except BaseException as error:  # SystemExit and KeyboardInterrupt are the student's, too
            reply = {"failed": Raised.by(error)}
        try:
            send(write, reply, FOR_EVER)
        except Exception as error:  # a result may be of any kind
            send(write, {"failed": Raised("Result", f"it cannot be sent: {error}")}, FOR_EVER)


class _Notebook:
    """Stands for what `get_ipython()` returns: every method does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return _do_nothing


def _do_nothing(*_: object, **__: object) -> None:
    return None


class _Desk:
    """A student's cells, and the function that is examined."""

    def __init__(self) -> None:
        self.checked: dict[str, Any] = {}
        self.functions: dict[str, Function] = {"canary": Function(canary())}
        self.module = ModuleType("__main__")

    def reply(self, question: Mapping[str, Any]) -> dict[str, Any]:
        what = question["what"]
        if what == "prepare":
            return self._prepare(**question["with"])
        function = self.functions[question["of"]]
        if what == "call":
            args = question["args"]
            before = copied(args)
            out = function.call(args)
            pairs = enumerate(zip(before, args, strict=True))
            return {"out": out, "changed": [[i, b] for i, (a, b) in pairs if not same(a, b)]}
        if what == "gradients":
            return {"out": function.gradients(question["args"], question["positions"])}
        if what == "counts":
            return {"out": tuple(function.counts(question["args"], Limits(*question["limits"])))}
        if what == "package":
            return {"out": function.package_results(question["args"])}
        return {"out": sorted(function.names())[:2000]}

    def _prepare(
        self,
        exercise: str,
        name: str,
        imports: Sequence[str],
        cells: Sequence[Sequence[Any]],
    ) -> dict[str, Any]:
        """Run what the answer to an exercise needs."""
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        sys.modules["__main__"] = self.module
        self._record_checks()
        for source in imports:
            for statement in parsed(source).body:
                self._run(statement, "<imports>")
        errors = []
        for step in needed_steps([Cell(*c) for c in cells], exercise):
            error = self._run_step(step)
            if error is not None:
                errors.append([step.cell.number, error])
        found = self.checked.get(exercise, self.module.__dict__.get(name))
        if callable(found):
            self.functions["answer"] = Function(found)
        return {"callable": callable(found), "errors": errors[-50:]}

    def _record_checks(self) -> None:
        """Let `check` note the function that it gets: it is examined later, and from outside."""

        def check(id: Any = "", fn: Any = None, *_: object, **__: object) -> None:
            if isinstance(id, str) and callable(fn):
                self.checked[id] = fn

        exercises.check = check
        exercises.hint = exercises.solution = exercises.progress = _do_nothing
        exercises.in_class = lambda seed: (check, _do_nothing, _do_nothing, _do_nothing)
        self.module.__dict__.update(display=_do_nothing, get_ipython=_Notebook)

    def _run_step(self, step: Step) -> Raised | None:
        """Run a cell, statement by statement; the first error does not keep the rest from running.

        A statement may show what a cell computed that is not run here.
        """
        name = f"<cell {step.cell.number}>"
        lines = step.cell.source.splitlines(keepends=True)
        linecache.cache[name] = (len(step.cell.source), None, lines, name)
        if step.tree is None:
            line = (step.error.text or "").strip() if step.error else ""
            where = f" (line {step.error.lineno})" if step.error and step.error.lineno else ""
            return Raised("SyntaxError", f"{step.error.msg if step.error else ''}{where}", line)
        errors = [self._run(statement, name) for statement in step.tree.body]
        return next((e for e in errors if e is not None), None)

    def _run(self, statement: ast.stmt, name: str) -> Raised | None:
        try:
            exec(compile(ast.Module([statement], []), name, "exec"), self.module.__dict__)
        except BaseException as error:
            return Raised.by(error)
        return None
