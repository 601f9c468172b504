"""The course's exercises: a stub in the notebook, its checker, hints and a solution here.

In a notebook: `check("3.2", relation)` prints one line, `hint("3.2")` and `hint("3.2", 2)` help,
`solution("3.2")` shows one way, `progress()` says what is solved. One module a notebook; see
`engine` for how an exercise is declared.
"""

from __future__ import annotations

from . import nb00, nb03
from .engine import CheckFailed, Course, Exercise

EXERCISES: dict[str, Exercise] = {e.id: e for e in (*nb00.EXERCISES, *nb03.EXERCISES)}
"""Every exercise by its id."""

_course = Course(EXERCISES)
check = _course.check
hint = _course.hint
solution = _course.solution
progress = _course.progress

__all__ = ["check", "hint", "solution", "progress", "CheckFailed", "EXERCISES"]
