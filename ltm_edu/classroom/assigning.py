"""Student copies of notebooks: without outputs, with the class's seed, and with `solution` off.

The folders and the metadata of the exercise cells are those of nbgrader, so that its tools for
collecting and for comments can be used on them.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..exercises import EXERCISES
from ..store.errors import InputError
from ..store.files import entries, made_whole, read_text
from .teaching import FILE, Assignment, Class, Task, digest

RELEASE, SUBMITTED = "release", "submitted"
_COURSE = Path(__file__).resolve().parents[2] / "notebooks"
_IMPORT = "from ltm_edu.exercises import check, hint, progress, solution"
_CHECK = re.compile(r'^check\("(\d+\.\d+)", *(\w+)\)', flags=re.MULTILINE)
_SOLUTION_BLOCK = re.compile(
    r"^([ \t]*)###? *BEGIN SOLUTION.*?###? *END SOLUTION[^\n]*$", flags=re.MULTILINE | re.DOTALL
)
_OFFER = re.compile(r',? *(?:then )?`solution\("[\d.]+"\)`(?: shows an? (?:answer|solution))?')
_STUB = "raise NotImplementedError"


def assign(
    numbers: Sequence[str],
    out: Path,
    seed: int | None = None,
    notebooks: Path | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write student copies of notebooks, and the teacher's file beside them.

    A folder that already holds a class gets further notebooks, with the class's seed and secret.

    Args:
        numbers: of the notebooks, as "03".
        out: the class's folder: `release/` is handed out, `teacher.json` is not.
        seed: of the class; None draws one, or takes that of the class.
        notebooks: the folder of the course's notebooks; None for that of this checkout.
        overwrite: replace copies that are there.

    Returns:
        The folders to hand out.

    Raises:
        InputError: a notebook is missing, has no exercise or shows a solution; a copy is there
            already; or the folder cannot be written.
    """
    paths = [_notebook(number, notebooks) for number in dict.fromkeys(numbers)]
    place = out / FILE
    group = Class.load(place) if place.exists() else Class.new(seed)
    if seed not in (None, group.seed):
        raise InputError(f"seed {seed}: the class in {out} has the seed {group.seed}")
    if not place.exists() and out.exists() and (not out.is_dir() or entries(out)):
        raise InputError(f"{out} exists and holds no class: name a new folder")
    copies = {path.stem: student_copy(path, group) for path in paths}
    folders = {name: out / RELEASE / name for name in copies}
    existing = [folder for folder in folders.values() if folder.exists()]
    if existing and not overwrite:
        raise InputError(f"{existing[0]} is handed out already: overwrite=True replaces it")
    described = {name: assignment for name, (assignment, _) in copies.items()}
    group = replace(group, assignments={**group.assignments, **described})
    if not place.exists():  # a new class appears as a whole
        with made_whole(out) as part:
            for name, copy in copies.items():
                _write_copy(part / RELEASE / name, *copy)
            (part / SUBMITTED).mkdir()
            group.save(part / FILE)
    else:
        group.save(place)
        for name, folder in folders.items():
            with made_whole(folder, replace=overwrite) as part:
                _write_copy(part, *copies[name])
    return list(folders.values())


def _notebook(number: str, folder: Path | None) -> Path:
    """The notebook with this number."""
    folder = folder or _COURSE
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give the folder of the course's notebooks")
    two_digits = number.zfill(2)
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    matching = [p for p in found if p.name.startswith(f"{two_digits}_")]
    if len(matching) != 1:
        there = ", ".join(p.name[:2] for p in found) or "none"
        raise InputError(f"{folder} has no notebook {number}: there are {there}")
    return matching[0]


def student_copy(path: Path, group: Class) -> tuple[Assignment, dict[str, Any]]:
    """A notebook as students get it, and its description for the grading.

    Raises:
        InputError: it is no notebook, has no exercise, or an exercise cell holds an answer.
    """
    content = _read(path)
    tasks, imports, others = [], [], {}
    offered = False
    for number, cell in enumerate(content["cells"], 1):
        source = "".join(cell["source"])
        cell["metadata"] = {k: v for k, v in cell.get("metadata", {}).items() if k != "widgets"}
        if cell["cell_type"] != "code":
            cell["source"] = _OFFER.sub("", source)
            continue
        cell["outputs"], cell["execution_count"] = [], None
        cell["metadata"].pop("execution", None)
        cell["source"] = source = _SOLUTION_BLOCK.sub(rf"\1{_STUB}", source)
        identity = str(cell.setdefault("id", f"cell-{number}"))
        if exercise := _CHECK.search(source):
            if exercise[1] not in EXERCISES:
                raise InputError(f"{path}: cell {number} asks for the unknown {exercise[1]}")
            if not re.search(rf"^[ \t]+{_STUB}$", source, flags=re.MULTILINE):
                raise InputError(
                    f"{path}: cell {number} holds an answer to {exercise[1]}: put {_STUB} in its "
                    "place"
                )
            tasks.append(Task(exercise[1], exercise[2], identity))
            cell["metadata"] |= _metadata(exercise[1])
        elif _IMPORT in source.splitlines():
            offered = True
            cell["source"] = source = _with_seed(source, group.seed)
            imports.append(source)
        elif _only_imports(source):
            imports.append(source)
        else:
            others[identity] = digest(source)
    if not tasks:
        raise InputError(f"{path} has no exercise, so there is nothing to hand in")
    if not offered:
        raise InputError(f"{path}: no cell has the line `{_IMPORT}`")
    content["cells"].insert(1, _notice(path.stem))
    content["nbformat_minor"] = max(5, content.get("nbformat_minor", 5))  # cells have ids
    content["metadata"].pop("widgets", None)
    content["metadata"]["ltm_edu"] = {"assignment": path.stem, "seed": group.seed}
    return Assignment(path.stem, tuple(tasks), tuple(imports), others), content


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path))
        if not all(isinstance("".join(c["source"]), str) for c in content["cells"]):
            raise ValueError
        return content | {"metadata": dict(content["metadata"])}
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InputError(f"{path} is no notebook: save it again in JupyterLab") from None


def _metadata(exercise: str) -> dict[str, Any]:
    """How the exercise's cell is recognised, also by nbgrader (its schema 3)."""
    grader = {
        "grade": True,
        "grade_id": f"exercise-{exercise.replace('.', '-')}",
        "locked": False,
        "points": 1,
        "schema_version": 3,
        "solution": True,
        "task": False,
    }
    return {"ltm_edu": {"exercise": exercise}, "nbgrader": grader}


def _with_seed(source: str, seed: int) -> str:
    """The import cell in which `check` has the class's seed and `solution` prints none."""
    imports = source.replace(_IMPORT, "from ltm_edu.exercises import in_class")
    call = f"check, hint, solution, progress = in_class(seed={seed})  # solution() is off"
    return f"{imports.rstrip()}\n\n{call}"


def _only_imports(source: str) -> bool:
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return False
    return bool(body) and all(isinstance(s, ast.Import | ast.ImportFrom) for s in body)


def _notice(name: str) -> dict[str, Any]:
    text = (
        "> This is the copy of your class. `check()` uses the class's own random inputs, and "
        f"`solution()` is off. README.md beside the notebook says how to hand in `{name}.ipynb`."
    )
    return {"cell_type": "markdown", "id": "class-notice", "metadata": {}, "source": text}


def _write_copy(folder: Path, assignment: Assignment, content: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (folder / f"{assignment.name}.ipynb").write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(_instructions(assignment), encoding="utf-8")


def _instructions(assignment: Assignment) -> str:
    """What students have to know, as the README of the folder that they get."""
    rows = [f"- {t.exercise}, {EXERCISES[t.exercise].title}: `{t.name}`" for t in assignment.tasks]
    return f"""# {assignment.name}

## What to do

1. Install the course as its README says, if you have not done so yet.
2. Put `{assignment.name}.ipynb` anywhere in the course's folder, and open it in JupyterLab
   (`make lab`).
3. Run the cells in order, and read. In each exercise, replace `raise NotImplementedError` by your
   code and run the cell. `check` says at once whether your function is right, and shows an input
   on which it is not. `hint` helps.
4. Save the notebook.

## What is graded

{chr(10).join(rows)}

- Your function is also called with inputs of the same kind that `check` does not use.
- It has to be your own: a function of ltm_edu that computes the result does not count.
- Keep the name of the function. `check("...", ...)` at the end of the cell says which function
  counts.
- A function may use other functions and constants of yours, in cells that you add. Add imports in
  a cell of your own, too. Only the cells that your function needs are run, and of the course's
  cells only imports, functions and constants. So use no results of other cells.
- Your code has 20 seconds for each exercise. It can read no files but Python's own, write none,
  start no programs and use no network.
- A mistake in one exercise does not change the result of another.

## How to hand in

Hand in the one file `{assignment.name}.ipynb`, under this name. Do not rename it, and do not
remove the exercise cells.
"""
