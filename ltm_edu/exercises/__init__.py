"""The exercises of the course. The notebook holds a stub; its checks, hints and solution are here.

In a notebook, `check("3.2", relation)` prints one line about an answer, and below a wrong one the
input on which it fails; `hint("3.2")` and `hint("3.2", 2)` help, `solution("3.2")` prints one
solution. `progress()` lists what is solved in the whole course, also in earlier sessions;
`progress(reset=True)` forgets it. Each notebook has one module here; `exercise` defines what an
exercise consists of.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules

from .engine import CheckFailed, Course, Exercise

_NOTEBOOKS = sorted(m.name for m in iter_modules(__path__) if m.name.startswith("nb"))

EXERCISES: dict[str, Exercise] = {
    e.id: e for name in _NOTEBOOKS for e in import_module(f"{__name__}.{name}").EXERCISES
}
"""Every exercise by its id."""

_course = Course(EXERCISES)
check = _course.check
hint = _course.hint
solution = _course.solution
progress = _course.progress


def in_class(seed: int) -> tuple[Callable[..., None], ...]:
    """The four functions for a class's copy of a notebook, in which `solution` prints none.

    Args:
        seed: of the class: it has random inputs of its own, beside those of the course.

    Returns:
        `check`, `hint`, `solution` and `progress`.
    """
    course = Course(EXERCISES, seed, solutions=False)
    return course.check, course.hint, course.solution, course.progress


__all__ = ["check", "hint", "solution", "progress", "in_class", "CheckFailed", "EXERCISES"]
