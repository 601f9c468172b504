"""What students have handed in: which files there are, and what their cells hold.

Everything here was written by somebody else: nothing is run, no link is followed, and a file that
is too large or no notebook is one student's matter.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..store.errors import InputError
from .cells import Cell
from .teaching import Assignment, Class, Task, digest

LARGEST_FILE = 32 << 20
"""Of a notebook, in bytes; its outputs are in it."""

_LARGEST_CELL = 100_000
_LARGEST_CODE = 500_000  # characters of all cells together
_CELLS = 2000
_ENTRIES = 2000
_DEPTH = 3
_ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".xz")
_HANDED_IN = (".ipynb", *_ARCHIVES)


class Unreadable(Exception):
    """A submission that cannot be graded; the text says why, in a whole sentence."""


@dataclass(frozen=True)
class Submission:
    """What a student has handed in for an assignment.

    Attributes:
        student: the name of the student's folder, or of the file without its ending.
        assignment: which one.
        path: the notebook, or None if nothing was handed in.
        problem: why it cannot be graded, or "".
    """

    student: str
    assignment: Assignment
    path: Path | None = None
    problem: str = ""


def found_in(folder: Path, group: Class) -> list[Submission]:
    """The submissions of a folder, one for each student and each assignment that anybody handed in.

    A student is a folder, `STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb` as nbgrader has it or with the
    notebook directly in it, or a single file `STUDENT.ipynb`.

    Raises:
        InputError: the folder cannot be read, or holds no student.
    """
    try:
        names = sorted(e.name for e in os.scandir(folder) if not e.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror or error})") from None
    files = {}
    for name in names:
        paths = _notebooks(folder / name)
        if paths or os.path.isdir(folder / name):
            student = name.removesuffix(".ipynb")
            files[name if student in names else student] = paths
    if not files:
        raise InputError(f"{folder} holds no student's folder and no notebook")
    rows = {name: dict(_by_assignment(paths, group)) for name, paths in files.items()}
    if len(group.assignments) == 1:  # then even what is no notebook can only be this one
        known = list(group.assignments)
    else:
        known = sorted({a for row in rows.values() for a in row if a})
    if not known:
        raise InputError(
            f"{folder} holds no notebook of this class, which has {', '.join(group.assignments)}"
        )
    return [
        _submission(name, group.assignments[a], row.get(a, []), row.get("", []))
        for name, row in rows.items()
        for a in known
    ]


def _notebooks(place: Path) -> list[Path]:
    """The notebooks and archives of a student; a link is not followed, and stands for itself."""
    if place.is_symlink() or (place.suffix in _HANDED_IN and not os.path.isdir(place)):
        return [place]
    if not os.path.isdir(place):
        return []
    return sorted(_below(place, _DEPTH, iter(range(_ENTRIES))))


def _below(folder: Path, depth: int, budget: Iterator[int]) -> Iterator[Path]:
    """Notebooks and archives below a folder, among so many entries as the budget has numbers."""
    try:
        with os.scandir(folder) as scan:
            for entry, _ in zip(scan, budget, strict=False):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if depth > 1:
                        yield from _below(Path(entry.path), depth - 1, budget)
                elif entry.name.endswith(_HANDED_IN):
                    yield Path(entry.path)
    except OSError:
        return


def _by_assignment(paths: Sequence[Path], group: Class) -> Mapping[str, list[Path]]:
    """The files of a student by assignment, by their names or what they say; "" for the rest."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        named = [n for n in (path.stem, path.parent.name) if n in group.assignments]
        name = "" if path.suffix in _ARCHIVES else named[0] if named else _says(path)
        found.setdefault(name if name in group.assignments else "", []).append(path)
    return found


def _says(path: Path) -> str:
    """The assignment that a notebook names itself, or ""."""
    try:
        return _named(read_notebook(path))
    except Unreadable:
        return ""


def _named(content: Mapping[str, Any]) -> str:
    about = content.get("metadata")
    about = about.get("ltm_edu") if isinstance(about, dict) else None
    name = about.get("assignment") if isinstance(about, dict) else None
    return name if isinstance(name, str) else ""


def _submission(
    student: str, assignment: Assignment, paths: Sequence[Path], others: Sequence[Path]
) -> Submission:
    exact = [p for p in paths if p.stem == assignment.name]
    if len(exact) == 1 or len(paths) == 1:
        return Submission(student, assignment, (exact or list(paths))[0])
    if paths:
        problem = f"There are {len(paths)} notebooks: keep one, named {assignment.name}.ipynb."
        return Submission(student, assignment, paths[0], problem)
    if others:
        problem = "The notebook does not belong to an assignment of this class, by name or content."
        try:
            read_notebook(others[0])
        except Unreadable as error:
            problem = str(error)
        return Submission(student, assignment, others[0], problem)
    return Submission(student, assignment)


def read_notebook(path: Path) -> dict[str, Any]:
    """The content of a notebook.

    Raises:
        Unreadable: it is a link, an archive, no file, too large, or no notebook.
    """
    if path.suffix in _ARCHIVES:
        raise Unreadable("It is an archive: unpack it, and run grade again.")
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        raise Unreadable(
            "It is a link." if path.is_symlink() else "The file cannot be read."
        ) from None
    with open(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable("It is no file.")
        if about.st_size > LARGEST_FILE:
            size = about.st_size / 2**20
            raise Unreadable(f"The file has {size:,.0f} MiB, more than {LARGEST_FILE >> 20} MiB.")
        try:
            content = json.loads(file.read(LARGEST_FILE + 1).decode("utf-8-sig"))
            if isinstance(content["cells"], list) and content.get("nbformat") == 4:
                return content
        except Exception:  # of any kind: somebody else has written the file
            pass
    raise Unreadable("It is no notebook.")


def code_cells(content: Mapping[str, Any], assignment: Assignment) -> list[Cell]:
    """The code cells of a submission, with the exercise that each of them answers.

    An exercise's cell is recognised by its calls of `check`, its metadata, its id, or else by the
    function that it defines; a cell of the course by its id or its text. A changed import cell is
    the student's own.

    Raises:
        Unreadable: a cell is too long, there are too many, the notebook is another assignment's, or
            it has no exercise of this one.
    """
    named = _named(content)
    if named and named != assignment.name:
        raise Unreadable(f"It is a copy of {named[:80]}, not of {assignment.name}.")
    if len(content["cells"]) > _CELLS:
        raise Unreadable(f"It has {len(content['cells']):,} cells, more than {_CELLS:,}.")
    exercises = {t.exercise for t in assignment.tasks}
    by_id = {t.cell: t.exercise for t in assignment.tasks}
    handed_out = set(assignment.cells.values())
    unchanged_imports = {digest(source) for source in assignment.imports}
    cells = []
    for number, cell in enumerate(content["cells"], 1):
        source = _source(cell)
        if source is None or not source.strip():
            continue
        if len(source) > _LARGEST_CELL:
            raise Unreadable(f"Cell {number} has {len(source):,} characters, which is too much.")
        answers = _exercises(cell, source, exercises, by_id)
        is_courses = _identity(cell) in assignment.cells or digest(source) in handed_out
        if answers or digest(source) not in unchanged_imports:
            cells.append(Cell(number, source, answers, own=not is_courses))
    if sum(len(c.source) for c in cells) > _LARGEST_CODE:
        raise Unreadable(f"Its cells have more than {_LARGEST_CODE:,} characters.")
    for task in assignment.tasks:
        if not any(task.exercise in c.exercises for c in cells):
            cells = [_with_exercise_if_it_defines(cell, task) for cell in cells]
    if not any(c.exercises for c in cells):
        raise Unreadable("It has no exercise cell of this assignment.")
    return cells


def _source(cell: Any) -> str | None:
    """The text of a code cell; None of another cell."""
    if not isinstance(cell, dict) or cell.get("cell_type") != "code":
        return None
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        return None
    return source.encode("utf-8", "replace").decode()  # no half characters


def _identity(cell: Mapping[str, Any]) -> str:
    """The id of a cell, or ""."""
    identity = cell.get("id")
    return identity if isinstance(identity, str) else ""


def _with_exercise_if_it_defines(cell: Cell, task: Task) -> Cell:
    """A cell that also answers this exercise if it defines the exercise's function."""
    defines = rf"^(?:def[ \t]+{re.escape(task.name)}\b|{re.escape(task.name)}[ \t]*=(?!=))"
    if not cell.own or not re.search(defines, cell.source, flags=re.MULTILINE):
        return cell
    return replace(cell, exercises=(*cell.exercises, task.exercise))


def _exercises(
    cell: Mapping[str, Any], source: str, exercises: set[str], by_id: Mapping[str, str]
) -> tuple[str, ...]:
    about = cell.get("metadata")
    about = about.get("ltm_edu") if isinstance(about, dict) else None
    marked = about.get("exercise") if isinstance(about, dict) else None
    called = re.findall(r"""^check\(\s*["'](\d{1,3}\.\d{1,3})["']""", source, flags=re.MULTILINE)
    for found in (called, [marked], [by_id.get(_identity(cell))]):
        known = [e for e in dict.fromkeys(map(str, found)) if e in exercises]
        if known:
            return tuple(known)
    return ()
