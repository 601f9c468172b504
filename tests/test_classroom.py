"""The classroom: copies without answers, and a grading that no submission can spoil or fool."""

import csv
import inspect
import json
import os
import socket
import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import pytest
import torch
from helpers import contents, refused
from right_answers import RIGHT
from test_exercises import mutants, stub

from ltm_edu.classroom.assigning import assign, student_copy
from ltm_edu.classroom.cells import Cell, needed_steps
from ltm_edu.classroom.submissions import Unreadable, code_cells, found_in, read_notebook
from ltm_edu.classroom.teaching import Assignment, Class, Task
from ltm_edu.cli import main
from ltm_edu.exercises import EXERCISES, in_class
from ltm_edu.exercises.examining import examine

if sys.platform == "win32":
    pytest.skip("grade runs in WSL there", allow_module_level=True)

from ltm_edu.classroom import wire
from ltm_edu.classroom.asking import Server
from ltm_edu.classroom.grading import PROTECTIONS, Result, grade, protections
from ltm_edu.classroom.pages import page_names, write_results
from ltm_edu.classroom.sandbox import Limits

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
NB03 = "03_the_relationship_matrix"
SHORT = Limits(seconds=1.5, memory=512 << 20)
LONG = Limits(seconds=60, memory=1 << 30)


def solution(id: str, name: str = "") -> str:
    """The solution as a student writes it."""
    source = EXERCISES[id].source()
    return source.replace(f"def {EXERCISES[id].reference.__name__}(", f"def {name}(") if name else source


@pytest.fixture(scope="module")
def group() -> Class:
    """A class that has got notebook 03."""
    new = Class(seed=7, secret="ab" * 16)
    assignment, _ = student_copy(NOTEBOOKS / f"{NB03}.ipynb", new)
    return Class(7, new.secret, {NB03: assignment})


@pytest.fixture(scope="module")
def copy_of_03(group) -> dict:
    return student_copy(NOTEBOOKS / f"{NB03}.ipynb", group)[1]


@pytest.fixture(scope="module")
def server(group) -> Iterator[Server]:
    with Server() as started:
        holds = protections(started, SHORT)
        if not all(holds.values()):
            pytest.skip(f"this system lacks protections: {holds}")
        yield started


def answered(notebook: dict, answers: dict[str, str], extra: dict[str, str] | None = None) -> dict:
    """A copy of a handed-out notebook with answers; extra cells stand before those exercises."""
    made = json.loads(json.dumps(notebook))
    cells = []
    for cell in made["cells"]:
        exercise = cell["metadata"].get("ltm_edu", {}).get("exercise")
        if extra and exercise in extra:
            cells.append(code_cell(extra[exercise]))
        if exercise in answers:
            cell["source"] = answers[exercise]
        cells.append(cell)
    return made | {"cells": cells}


def code_cell(source: str) -> dict:
    return {
        "cell_type": "code",
        "execution_count": 1,
        "id": "own",
        "metadata": {},
        "outputs": [],
        "source": source,
    }


def hand_in(folder: Path, student: str, notebook: dict, name: str = NB03) -> Path:
    path = folder / student / NB03 / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


@pytest.fixture
def marked(tmp_path, group, copy_of_03, server) -> Callable[..., dict[str, Result]]:
    """Grade one student's answers to notebook 03; the results by exercise."""

    def run(answers, extra=None, limits=LONG) -> dict[str, Result]:
        folder = tmp_path / "submitted"
        hand_in(folder, "anna", answered(copy_of_03, answers, extra))
        results = list(grade(found_in(folder, group), group, server, limits))
        return {r.exercise: r for r in results}

    return run


# The copies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda p: p.stem[:2])
def test_a_copy_holds_no_output_no_solution_and_every_exercise(path, group):
    assignment, notebook = student_copy(path, group)
    code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    assert all(c["outputs"] == [] and c["execution_count"] is None for c in code)
    texts = [c["source"] for c in notebook["cells"] if c["cell_type"] == "markdown"]
    assert [t for t in texts if 'solution("' in t] == []
    ids = {id for id in EXERCISES if id.split(".")[0].zfill(2) == path.name[:2]}
    assert {t.exercise for t in assignment.tasks} == ids
    (offering,) = (c for c in code if "in_class" in c["source"])
    assert "in_class(seed=7)" in offering["source"]
    assert not any("import check" in c["source"] for c in code)
    cells = {c["id"]: c for c in code}
    assert all("raise NotImplementedError" in cells[t.cell]["source"] for t in assignment.tasks)


def test_a_copy_is_a_notebook_whose_exercise_cells_nbgrader_knows(copy_of_03):
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.from_dict(copy_of_03))
    marked = [c["metadata"]["nbgrader"] for c in copy_of_03["cells"] if "nbgrader" in c["metadata"]]
    assert [m["grade_id"] for m in marked] == [f"exercise-3-{n}" for n in (1, 2, 3, 4)]
    required = {"schema_version", "grade", "locked", "solution"}
    assert all(required <= m.keys() and m["schema_version"] == 3 for m in marked)


def test_in_a_copy_solution_prints_none_and_check_uses_the_seed_of_the_class(capsys, monkeypatch):
    check, hint, show, progress = in_class(seed=5)
    show("3.1")
    said = capsys.readouterr().out
    assert "solution() is off" in said
    assert "def " not in said
    seen = []

    def cosine(a, b):
        seen.append(a)
        return 0 * a.sum()

    check("3.1", cosine)
    drawn = EXERCISES["3.1"].random(5)[0][0]
    assert any(torch.equal(a, drawn) for a in seen)
    assert not any(torch.equal(a, EXERCISES["3.1"].random()[0][0]) for a in seen)


def test_the_inputs_of_seed_0_are_those_of_the_course_and_every_seed_has_its_own():
    exercise = EXERCISES["3.2"]
    for seed, drawn in zip(range(3), exercise.random(), strict=True):
        expected = exercise.draw(torch.Generator().manual_seed(seed))
        assert all(torch.equal(a, b.float()) for a, b in zip(drawn, expected, strict=True))
    assert not torch.equal(exercise.random(1)[0][0], exercise.random(0)[1][0])


def test_hidden_inputs_come_from_the_secret_and_not_from_the_seed():
    one, other = Class(7, "aa" * 16), Class(7, "bb" * 16)
    assert one.hidden_seed("3.1") != other.hidden_seed("3.1")
    assert one.hidden_seed("3.1") != one.hidden_seed("3.2")
    assert one.hidden_seed("3.1") == Class(8, "aa" * 16).hidden_seed("3.1") < 2**60


def test_a_class_gets_further_notebooks_and_keeps_its_secret(tmp_path):
    out = tmp_path / "class"
    assign(["03"], out, seed=7)
    before = Class.load(out / "teacher.json")
    assert main(["assign", "4", "--out", str(out)]) == 0
    after = Class.load(out / "teacher.json")
    assert (after.seed, after.secret) == (before.seed, before.secret)
    assert list(after.assignments) == [NB03, "04_a_mask_that_has_no_inverse"]
    secret = after.secret.encode()
    assert [p for p, text in contents(out / "release").items() if secret in text] == []
    assert sorted(p.name for p in out.iterdir()) == ["release", "submitted", "teacher.json"]
    kept = contents(out)
    refused(lambda: assign(["03"], out), "handed out already", "--overwrite")
    refused(lambda: assign(["05"], out, seed=8), "--seed 8", "has the seed 7")
    assert contents(out) == kept
    assign(["03"], out, overwrite=True)
    assert contents(out) == kept


def test_what_cannot_be_handed_out_is_refused_in_one_line_and_nothing_is_written(tmp_path):
    source = json.loads((NOTEBOOKS / f"{NB03}.ipynb").read_text(encoding="utf-8"))
    folder = tmp_path / "own"
    folder.mkdir()
    path = folder / f"{NB03}.ipynb"

    def changed(change: Callable[[dict], None]) -> None:
        notebook = json.loads(json.dumps(source))
        change(notebook)
        path.write_text(json.dumps(notebook), encoding="utf-8")

    def attempt() -> None:
        assign(["03"], tmp_path / "class", notebooks=folder)

    def answer(notebook: dict) -> None:
        cell = next(c for c in notebook["cells"] if "exercise" in c["metadata"].get("tags", ()))
        cell["source"] = solution("3.1") + '\n\n\ncheck("3.1", cosine)'

    changed(answer)
    refused(attempt, "holds an answer to 3.1", "raise NotImplementedError")
    changed(lambda notebook: notebook.update(cells=notebook["cells"][:4]))
    refused(attempt, "has no exercise")
    path.write_text("[]", encoding="utf-8")
    refused(attempt, str(path), "no notebook")
    refused(lambda: assign(["77"], tmp_path / "class"), "no notebook 77", "03")
    refused(lambda: assign(["03"], tmp_path / "class", seed=0), "--seed 0")
    refused(lambda: assign(["03"], folder), "holds no class")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["own"]


def test_marked_solutions_are_cut_out(tmp_path):
    source = json.loads((NOTEBOOKS / f"{NB03}.ipynb").read_text(encoding="utf-8"))
    cell = next(c for c in source["cells"] if "exercise" in c["metadata"].get("tags", ()))
    body = textwrap.indent("### BEGIN SOLUTION\nreturn secret_of(a)\n### END SOLUTION", "    ")
    cell["source"] = f'def cosine(a, b):\n{body}\n\n\ncheck("3.1", cosine)\n'
    path = tmp_path / f"{NB03}.ipynb"
    path.write_text(json.dumps(source), encoding="utf-8")
    _, notebook = student_copy(path, Class.new(1))
    assert "secret_of" not in json.dumps(notebook)
    assert "def cosine(a, b):\\n    raise NotImplementedError" in json.dumps(notebook)


# Verdicts -----------------------------------------------------------------------------------------


def source_of(fn: Callable, name: str) -> str | None:
    """A function of the tests as a cell, if it needs nothing else of its file."""
    try:
        source = textwrap.dedent(inspect.getsource(fn))
    except (OSError, TypeError):
        return None
    known = {"torch", "F", "equations"}
    needs = set(fn.__code__.co_names) & set(getattr(fn, "__globals__", {})) - known
    if not source.startswith("def ") or needs or fn.__closure__:
        return None
    return f"{source}\n{name} = {fn.__name__}\n"


def test_right_answers_are_ok_and_wrong_ones_get_the_misconception_that_check_names(
    group, server, copy_of_03
):
    """Each answer is graded twice: by `examine` here, and in a process that is only asked."""
    (assignment,) = group.assignments.values()
    names = {t.exercise: t.name for t in assignment.tasks}
    server.load(assignment.imports)
    compared = named = 0
    for id, name in names.items():
        answers = [(fn, source_of(fn, name)) for fn in RIGHT.get(id, ())]
        answers += [(fn, source_of(fn, name)) for _, fn, _ in mutants(EXERCISES[id])]
        answers += [(EXERCISES[id].reference, solution(id)), (stub, source_of(stub, name))]
        for fn, source in answers:
            if source is None:
                continue
            own = fn is EXERCISES[id].reference
            expected = None if own else examine(EXERCISES[id], fn, group.hidden_seed(id))
            notebook = answered(copy_of_03, {id: source})
            cells = code_cells(notebook, assignment)
            result = one(server, group, id, cells)
            state = "ok" if own else expected.state
            assert result.verdict == state, (fn, result)
            if not own:
                assert result.misconception == expected.misconception, fn
                assert result.says == expected.says, fn
            compared += 1
            named += bool(result.misconception)
    assert compared >= 20
    assert named >= 3


def one(server: Server, group: Class, id: str, cells: list[Cell], limits: Limits = LONG) -> Result:
    from ltm_edu.classroom.grading import graded

    (assignment,) = (a for a in group.assignments.values() for t in a.tasks if t.exercise == id)
    (task,) = (t for t in assignment.tasks if t.exercise == id)
    start = Result("anna", assignment.name, id, "", "")
    return graded(start, task, cells, assignment.imports, group, server, limits)
