"""The classroom: copies without answers, and a grading that no submission can spoil or fool."""

import csv
import inspect
import json
import os
import re
import socket
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from helpers import contents, refused
from right_answers import RIGHT

from ltm_edu.classroom.assigning import assign, student_copy
from ltm_edu.classroom.cells import Cell, needed_steps
from ltm_edu.classroom.submissions import Submission, code_cells, found_in
from ltm_edu.classroom.teaching import Class
from ltm_edu.cli import main
from ltm_edu.exercises import EXERCISES, in_class, watching
from ltm_edu.exercises.examining import examine

if sys.platform == "win32":
    pytest.skip("grade runs in WSL there", allow_module_level=True)

from ltm_edu.classroom import grading, pages, sandbox, wire
from ltm_edu.classroom.asking import Server
from ltm_edu.classroom.grading import PROTECTIONS, Result, grade, graded, protections
from ltm_edu.classroom.pages import page_names
from ltm_edu.commands import grade as command

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
NB03 = "03_the_relationship_matrix"
SHORT = sandbox.Limits(seconds=1.5, memory=512 << 20)
ROOMY = sandbox.Limits(seconds=60, memory=512 << 20)
LONG = sandbox.Limits(seconds=60, memory=1 << 30)


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
        started.load(group.assignments[NB03].imports)
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


def test_in_a_copy_solution_prints_none_and_check_uses_the_seed_of_the_class(capsys):
    check, _, show, _ = in_class(seed=5)
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
    assert not any(torch.equal(a, EXERCISES["3.1"].random(6)[0][0]) for a in seen)
    assert any(torch.equal(a, EXERCISES["3.1"].random()[0][0]) for a in seen)  # no class has less


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
    refused(lambda: assign(["03"], out), "handed out already", "overwrite=True")
    refused(lambda: assign(["05"], out, seed=8), "seed 8", "has the seed 7")
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
        cell["source"] = EXERCISES["3.1"].source() + '\n\n\ncheck("3.1", cosine)'

    changed(answer)
    refused(attempt, "holds an answer to 3.1", "raise NotImplementedError")
    changed(lambda notebook: notebook.update(cells=notebook["cells"][:4]))
    refused(attempt, "has no exercise")
    path.write_text("[]", encoding="utf-8")
    refused(attempt, str(path), "no notebook")
    refused(lambda: assign(["77"], tmp_path / "class"), "no notebook 77", "03")
    refused(lambda: assign(["03"], tmp_path / "class", seed=0), "seed 0")
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


def one(
    server: Server, group: Class, id: str, source: str, limits: sandbox.Limits = LONG
) -> Result:
    """Grade one answer, whose cell is the only one of the notebook."""
    pairs = [(a, t) for a in group.assignments.values() for t in a.tasks if t.exercise == id]
    ((assignment, task),) = pairs
    start = Result("anna", assignment.name, id, "", "")
    return graded(start, task, [Cell(1, source, (id,))], assignment.imports, group, server, limits)


def source_of(fn: Callable, name: str) -> str | None:
    """A function of the tests as a cell, if it needs nothing else of its file."""
    source = textwrap.dedent(inspect.getsource(fn))
    needs = set(fn.__code__.co_names) & set(fn.__globals__) - {"torch", "F", "equations"}
    if not source.startswith("def ") or needs or fn.__closure__:
        return None
    return f"{source}\n{name} = {fn.__name__}\n"


@pytest.mark.parametrize("id", ["3.1", "3.2", "3.3", "3.4"])
def test_right_answers_are_ok_from_outside_as_from_inside(server, group, id):
    name = EXERCISES[id].reference.__name__
    sources = [s for fn in RIGHT[id] if (s := source_of(fn, name))]
    assert sources
    for source in [*sources, EXERCISES[id].source()]:
        result = one(server, group, id, source)
        assert (result.verdict, result.misconception) == ("ok", ""), (source, result)


@pytest.mark.parametrize("id", ["3.1", "3.2", "3.3", "3.4"])
def test_wrong_answers_get_the_line_and_the_misconception_that_check_gives(server, group, id):
    """Every fourth slip: examined here as a function, and in a process that is only asked."""
    name = EXERCISES[id].reference.__name__
    named = 0
    for i, slip in list(enumerate(EXERCISES[id].slips))[::4]:
        if slip.wrong is None:
            continue
        source = (
            f'from ltm_edu import exercises\n{name} = exercises.EXERCISES["{id}"].slips[{i}].wrong'
        )
        expected = examine(EXERCISES[id], slip.wrong, group.hidden_seed(id))
        result = one(server, group, id, source)
        assert (result.verdict, result.says) == ("wrong", expected.says)
        assert result.misconception == expected.misconception
        assert list(result.details) == str(expected).splitlines()[1:]
        named += bool(result.misconception)
    assert named >= 2


def test_costs_gradients_changes_and_calls_of_the_package_are_seen_in_the_process(server):
    assignment, _ = student_copy(NOTEBOOKS / "04_a_mask_that_has_no_inverse.ipynb", Class.new(1))
    four = Class(1, "cd" * 16, {assignment.name: assignment})
    answers = {
        "def attention_without_R(E_q, E_s, G_s):\n    return equations.attention("
        "equations.relationship_matrix(E_q, E_s), G_s)": "The value is right, but a tensor of",
        "def attention_without_R(E_q, E_s, G_s):\n    return equations.attention_from_embeddings("
        "E_q, E_s.detach(), G_s)": "No gradient reaches E_s. It does not pass detach",
        "def attention_without_R(E_q, E_s, G_s):\n    A = equations.attention_from_embeddings("
        "E_q.clone(), E_s, G_s)\n    E_q.mul_(0)\n    return A": "changes its arguments in place",
        "import threading\ndef attention_without_R(*given):\n    found = []\n    def work():\n"
        "        found.append(equations.attention_from_embeddings(*given))\n"
        "    t = threading.Thread(target=work)\n    t.start()\n    t.join()\n"
        "    return found[0]": "but ltm_edu.equations.attention_from_embeddings computes it",
        "from ltm_edu.equations import attention_from_embeddings as attention_without_R": (
            "but ltm_edu.equations.attention_from_embeddings computes it"
        ),
    }
    for source, says in answers.items():
        result = one(server, four, "4.2", source)
        assert result.verdict == "wrong"
        assert says in result.says, result


# Cells --------------------------------------------------------------------------------------------


def test_a_helper_in_a_cell_of_ones_own_and_one_of_another_exercise_are_found(marked):
    helper = "import math\n\ndef unit(E):\n    n = torch.linalg.vector_norm(E, dim=0)\n    return E"
    helper += " / torch.where(n > 0, n, math.copysign(1, 1))"
    relation = (
        "def relation(E_q, E_s):\n    pairs = zip(E_q, E_s)\n    return torch.stack(\n"
        "        [unit(q.flatten(1)).T @ unit(s.flatten(1)) for q, s in pairs])"
    )
    first = "def cosine(a, b):\n    return unit(a) @ unit(b)\n\nmap_of = torch.reshape"
    third = "def row_as_map(R, y, x, q, s):\n    return map_of(R[y * q[1] + x], s)"
    results = marked({"3.1": first, "3.2": relation, "3.3": third}, {"3.1": helper})
    assert [results[id].verdict for id in ("3.1", "3.2", "3.3")] == ["ok", "ok", "ok"]
    assert results["3.4"].verdict == "not attempted"


def test_a_mistake_in_one_cell_costs_its_exercise_only(marked):
    results = marked(
        {
            "3.1": "def cosine(a, b)\n    return a",
            "3.2": EXERCISES["3.2"].source() + "\nboom",
            "3.3": "rows = 1 / 0\n" + EXERCISES["3.3"].source().replace("row_as_map", "other"),
            "3.4": "%time\n" + EXERCISES["3.4"].source() + "\n!ls",
        },
        {"3.1": "while True: pass"},  # no answer needs this cell
    )
    assert (
        results["3.1"].says == "The cell of the exercise raised SyntaxError: expected ':' (line 1)."
    )
    assert results["3.2"].verdict == "ok"
    assert any("NameError" in note for note in results["3.2"].notes)
    assert "ZeroDivisionError" in results["3.3"].says
    assert results["3.4"].verdict == "ok"


def test_cells_that_are_renamed_moved_doubled_or_without_marks_are_found(group, copy_of_03):
    (assignment,) = group.assignments.values()
    notebook = answered(copy_of_03, {"3.1": "old = 1", "3.2": "b = 2"})
    for cell in notebook["cells"]:
        cell.pop("id")
    cells = notebook["cells"]
    marked = {c["metadata"]["ltm_edu"]["exercise"]: c for c in cells if "ltm_edu" in c["metadata"]}
    cells.append({**marked["3.1"], "source": "new = 1"})  # a copy keeps its metadata
    cells.remove(marked["3.2"])
    cells.insert(1, marked["3.2"])  # above the imports
    marked["3.3"]["metadata"] = {}
    marked["3.3"]["source"] = "def f(*a): pass\n\ncheck('3.3', f)"
    cells.remove(marked["3.4"])
    found = [(e, c.source) for c in code_cells(notebook, assignment) for e in c.exercises]
    assert [id for id, _ in found] == ["3.2", "3.1", "3.3", "3.1"]
    assert found[-1] == ("3.1", "new = 1")
    own = [c for c in code_cells(notebook, assignment) if c.own and not c.exercises]
    assert own == []


def test_only_needed_cells_run_and_of_the_courses_cells_only_definitions():
    cells = [
        Cell(1, "side = 3\nmodel = train()\n\ndef area():\n    return side * side", own=False),
        Cell(2, "scale = area()"),
        Cell(3, "unused = explode()"),
        Cell(4, "def other():\n    pass", ("1.1",)),
        Cell(5, "def answer(x):\n    unused = x.other\n    return scale * unused", ("1.2",)),
        Cell(6, "from somewhere import *"),
        Cell(7, "broken ("),
    ]
    steps = needed_steps(cells, "1.2")
    assert [s.cell.number for s in steps] == [1, 1, 2, 5, 6]
    assert [s.binds for s in steps[:2]] == [{"side"}, {"area"}]


def test_what_stands_beside_a_right_function_does_not_spoil_it(marked):
    """A notebook shows values, and asks IPython."""
    text = 'text = """a\n% is no command here\n""".splitlines()[1]\nassert text[0] == \'%\''
    beside = "display(E_q)\nprint(R.shape)\nget_ipython().run_line_magic('matplotlib', 'inline')\n"
    results = marked(
        {
            "3.1": f"{beside}check()\nawait nothing()\n{RIGHT_COSINE}\ntorch.dot?",
            "3.2": f"files = !ls\nt = %timeit -o 1+1\n{text}\n{EXERCISES['3.2'].source()}\ntext[2]",
            "3.3": "%%time\n" + EXERCISES["3.3"].source(),
            "3.4": "%%writefile answer.py\n" + EXERCISES["3.4"].source(),
        },
        {"3.2": "%%html\n<b>relation</b>", "3.3": "relation?"},
    )
    assert [results[id].verdict for id in ("3.1", "3.2", "3.3")] == ["ok"] * 3, results
    assert "There is no function truth" in results["3.4"].says
    assert results["3.2"].notes == ()
    assert results["3.1"].notes[0].startswith("Cell ")
    assert "NameError" in results["3.1"].notes[0]


def test_names_come_from_the_cells_before_and_their_changes_with_them():
    cells = [
        Cell(1, "side = {}"),
        Cell(2, "side['a'] = 1"),
        Cell(3, "torch.anything = train()"),
        Cell(4, "def answer(x):\n    return side['a'] + late + torch.e", ("1.2",)),
        Cell(5, "side = train()"),
        Cell(6, "side['a'] = train()"),
        Cell(7, "late = 2"),
    ]
    assert [s.cell.number for s in needed_steps(cells, "1.2")] == [1, 2, 4, 7]


def test_exercises_in_one_cell_and_without_any_mark_are_found(group, copy_of_03):
    (assignment,) = group.assignments.values()
    both = 'def cosine(a, b): pass\ncheck("3.1", cosine)\ndef row_as_map(R): pass\n'
    both += 'check("3.3", row_as_map)'
    for source in (both, both.replace("check", "# check")):
        cells = [code_cell("cosine(1, 2) == cosine"), code_cell(source)]
        (first, second) = code_cells({"cells": cells}, assignment)
        assert (first.exercises, second.exercises) == ((), ("3.1", "3.3"))


def test_tabs_and_letters_that_join_are_shown_as_they_are():
    assert pages._lines("\treturn a\nb\tc\x00") == "    return a\nb   c\ufffd"
    assert pages.plain("\u0646\u200c\u0645\u202e") == "\u0646\u200c\u0645\ufffd"


def test_names_in_the_table_differ_as_the_folders_do_and_are_no_formulas():
    folders = ["a\nb", "a\tb", "a\\nb", "a\udcffb", "a\udcfeb", "a\u202eb", "Zo\u00eb"]
    assert [pages._name(f) for f in folders] == [
        r"a\nb", r"a\tb", r"a\\nb", r"a\xffb", r"a\xfeb", r"a\u202eb", "Zo\u00eb",
    ]  # fmt: skip
    for formula in ("=cmd", " =cmd", "\uff1dcmd", "\u3000+1", "@x", "-1"):
        assert pages._cell(formula) == f"'{formula}"
    assert pages._cell("anna = 1") == "anna = 1"


# Hostile answers ----------------------------------------------------------------------------------

RIGHT_COSINE = EXERCISES["3.1"].source()
WRONG_COSINE = "def cosine(a, b):\n    return a @ b"


def test_what_runs_too_long_or_ends_itself_is_stopped(server, group):
    sleeps = "import time\ndef cosine(a, b):\n    time.sleep(60)"
    spins = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass"
    quits = "import os\ndef cosine(a, b):\n    os._exit(0)"
    raises = "def cosine(a, b):\n    raise SystemExit('done')"
    at_exit = f"import atexit\natexit.register(print)\n{RIGHT_COSINE}\nimport os, sys\nos.abort()"
    said = {s: one(server, group, "3.1", s, SHORT) for s in (sleeps, spins)}
    said |= {s: one(server, group, "3.1", s) for s in (quits, at_exit, raises)}
    assert [r.verdict for r in said.values()] == ["stopped"] * 4 + ["wrong"]
    assert said[sleeps].says == said[spins].says == "It did not end within 1.5 seconds."
    assert said[quits].says.startswith("It ended its own process")
    assert said[raises].says == "Your function raised SystemExit: done (on the tiny example)."


def test_memory_and_results_are_bounded(server, group):
    takes = "def cosine(a, b):\n    return torch.zeros(1 << 30)"
    lists = "def cosine(a, b):\n    return [0] * (1 << 30)"
    large = "def cosine(a, b):\n    return torch.zeros(5 << 20)"
    small = "def cosine(a, b):\n    return torch.ones(15 << 20, dtype=torch.int8)"
    deep = "def cosine(a, b):\n    x = []\n    for _ in range(50):\n        x = [x]\n    return x"
    says = [one(server, group, "3.1", s, ROOMY).says for s in (takes, lists, large, deep, small)]
    assert "can't allocate memory" in says[0]
    assert "MemoryError" in says[1]
    assert "it cannot be sent: it is too large" in says[2]
    assert "it cannot be sent: it is nested too deeply" in says[3]
    assert "it has 15,728,640 numbers, more than 1,048,576" in says[4]


def test_what_a_process_says_about_arguments_and_calls_takes_no_memory_of_the_grading(
    server, group, monkeypatch
):
    """A changed argument may not grow: the canary would square it in the grading process."""
    seen = []
    monkeypatch.setattr(grading, "canary", lambda: lambda a: seen.append(a.numel()) or a)
    lies = """
import ltm_edu.classroom.answering as A
real = A._Desk.reply
def reply(self, question):
    x = real(self, question)
    if question["what"] == "call" and question["of"] == "canary":
        x["changed"] = [[0, torch.ones(8000)]]
    return x
A._Desk.reply = reply
"""
    result = one(server, group, "3.1", f"{RIGHT_COSINE}\n{lies}")
    assert result.verdict == "checker changed"
    assert max(seen) < 100
    sorts = []
    monkeypatch.setattr(watching, "_sorted_numbers", lambda r: sorts.append(r) or [1.0])
    assert watching.package_function([1.0], [{"f": [torch.ones(1 << 20)]}]) is None
    assert sorts == [1.0]


def test_an_argument_whose_shape_is_changed_in_place_is_seen(server, group):
    grows = RIGHT_COSINE.replace("return ", "r = ") + "\n    a.unsqueeze_(0)\n    return r"
    assert "changes its arguments in place" in one(server, group, "3.1", grows).says


def test_what_an_answer_prints_costs_nothing(server, group):
    prints = RIGHT_COSINE.replace('"""\n', '"""\n    print("x" * 10**7)\n', 1)
    prints += "\nimport os\nfor _ in range(64): os.write(1, bytes(1 << 24))"
    assert prints.count("print") == 1
    assert one(server, group, "3.1", prints).verdict == "ok"


ATTEMPTS = {
    "fork": "os.fork()",
    "another program": "subprocess.run(['true'])",
    "a connection": "socket.create_connection(('127.0.0.1', {port}))",
    "a name": "socket.getaddrinfo('localhost', 80)",
    "kill": "os.kill({parent}, 9)",
    "kill the group": "os.killpg(0, 9)",
    "write": "open('{folder}/written', 'w')",
    "append": "open('{folder}/other.ipynb', 'a')",
    "truncate": "os.truncate('{folder}/other.ipynb', 0)",
    "delete": "os.unlink('{folder}/other.ipynb')",
    "rename": "os.rename('{folder}/other.ipynb', '{folder}/gone')",
    "folder": "os.mkdir('{folder}/new')",
    "rights": "os.chmod('{folder}/other.ipynb', 0)",
    "link": "os.symlink('/', '{folder}/link')",
    "read": "open('{folder}/other.ipynb').read()",
    "list": "os.listdir('{folder}')",
    "memory": "open('/proc/{parent}/mem', 'rb')",
    "environment": "open('/proc/{parent}/environ', 'rb').read()",
    "descriptors": "os.listdir('/proc/self/fd')",
    "limits": "resource.prlimit({parent}, resource.RLIMIT_CPU, (1, 1))",
    "priority": "os.setpriority(os.PRIO_PROCESS, {parent}, 19)",
    "signals by descriptors": "fcntl.fcntl(100, fcntl.F_SETOWN, {parent})",
    "trace": "ctypes.CDLL(None).ptrace(16, {parent}, 0, 0) and fail()",
    "foreign memory": "ctypes.CDLL(None).process_vm_readv({parent}, 0, 0, 0, 0, 0) and fail()",
    "namespaces": "ctypes.CDLL(None).unshare(0x20000) and fail()",
    "shared memory": "multiprocessing.shared_memory.SharedMemory(create=True, size=9)",
}


def test_no_attempt_to_leave_the_process_succeeds(server, group, tmp_path):
    """Each is tried, and its error is counted; the number is what the answer returns."""
    other = tmp_path / "other.ipynb"
    other.write_text("the work of another student")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        values = {"port": listener.getsockname()[1], "parent": os.getpid(), "folder": tmp_path}
        lines = ["import ctypes, fcntl, multiprocessing.shared_memory, os, resource, socket"]
        lines += ["import subprocess", "done = []", "def fail(): raise OSError"]
        for name, attempt in ATTEMPTS.items():
            lines += ["try:", f"    {attempt.format(**values)}", f"    done.append({name!r})"]
            lines += ["except OSError:", "    pass"]
        lines += ["def cosine(a, b):", "    raise ValueError(f'done: {done}')"]
        result = one(server, group, "3.1", "\n".join(lines))
        listener.settimeout(0.01)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert "ValueError: done: [] (on" in result.says, result
    assert other.read_text() == "the work of another student"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.ipynb"]


def test_threads_may_be_used_and_end_with_the_process(server, group):
    threads = (
        "import threading, time\nfor _ in range(20):\n    threading.Thread(target=time.sleep, "
    )
    threads += f"args=(99,)).start()\ntorch.set_num_threads(2)\n{RIGHT_COSINE}"
    assert one(server, group, "3.1", threads).verdict == "ok"


def test_a_flood_of_threads_is_stopped(server, group):
    flood = "import threading, time\nthreading.stack_size(32768)\ndef cosine(a, b):\n"
    flood += "    while True:\n        threading.Thread(target=time.sleep, args=(99,)).start()"
    result = one(server, group, "3.1", flood, ROOMY)
    assert result.verdict == "stopped"
    assert "used more than it may" in result.says


FORGERIES = {
    "comparisons": "torch.allclose = torch.isclose = torch.equal = lambda *a, **k: torch.ones(())",
    "the checker": "import ltm_edu.exercises.examining as e, ltm_edu.exercises.comparing as c\n"
    "c.same = e.same = lambda *a: True\nc.difference = e.difference = lambda *a: None\n"
    "e.examine = e.examine_answer = lambda x, *a: e.Verdict(x.id, 'ok', 'ok')",
    "check": "def check(*a, **k):\n    print('3.1 ok')",
    "modules": "import sys\nfor name in list(sys.modules):\n    if 'ltm_edu' in name:\n"
    "        sys.modules[name] = None",
    "builtins": "import builtins\nbuiltins.all = builtins.any = builtins.bool = lambda *a: True\n"
    "builtins.isinstance = lambda *a: True",
    "a verdict in the pipe": "import os\nos.write(101, b'3.1 ok\\n' * 99)",
    "a reply in the pipe": "import os\nfrom ltm_edu.classroom.wire import packed\n"
    "os.write(101, packed({'out': torch.tensor(0.96), 'verdict': 'ok', 'callable': True}) * 9)",
    "the desk": "import gc\nfor o in gc.get_objects():\n    if type(o).__name__ == '_Desk':\n"
    "        type(o).reply = lambda self, q: {'out': 'ok', 'callable': True}",
    "a class that equals all": "class T(torch.Tensor):\n    def __eq__(self, o): return True\n"
    "real = cosine\ndef cosine(a, b):\n    return torch.ones(()).as_subclass(T)",
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_does_not_make_a_wrong_answer_ok(server, group, forgery):
    result = one(server, group, "3.1", f"{WRONG_COSINE}\n{forgery}\ncheck('3.1', cosine)", SHORT)
    assert result.verdict in ("wrong", "stopped"), result
    assert result.misconception in (
        "",
        "This is the dot product. Did you normalise? Divide by both lengths.",
    )


BLINDNESS = {
    "calls": "import ltm_edu.exercises.answers as s\ns.results_from_the_package = lambda *a: {}",
    "profile": "import sys\nsys.setprofile = lambda f: None",
    "counts": "import ltm_edu.exercises.answers as s\nfrom ltm_edu.exercises.costs import Counts\n"
    "s.counted = lambda *a: Counts(0, 0, 0)",
    "gradients": "torch.autograd.grad = lambda y, x, **k: [torch.ones_like(i) for i in x]",
}


@pytest.mark.parametrize("blind", BLINDNESS.values(), ids=BLINDNESS)
def test_a_process_whose_checker_is_blind_is_found_out(server, group, blind):
    answer = "from ltm_edu.equations import relationship_truth as truth"
    if "autograd" in blind or "counted" in blind:
        answer = EXERCISES["3.4"].source()  # right, and the canary is still not as known
    result = one(server, group, "3.4", f"{blind}\n{answer}")
    assert result.verdict == "checker changed", result


def test_a_students_process_holds_nothing_of_the_class_and_of_other_students(server, group):
    one(server, group, "3.1", "note = 'the work of ' + 'another'\n" + WRONG_COSINE)
    right = EXERCISES["3.1"].right(EXERCISES["3.1"].random(group.hidden_seed("3.1"))[0])
    lines = [
        "import gc",
        "gc.unfreeze()",
        "texts = [o for o in gc.get_objects() if isinstance(o, (dict, list, tuple))]",
        "texts = [v for o in texts for v in (o.values() if isinstance(o, dict) else o)]",
        f"secret = {group.secret[:9]!r} + {group.secret[9:]!r}",
        f"right = {right.item()!r}",
        "found = [type(v).__name__ for v in texts if isinstance(v, str) and v is not secret",
        "         and (secret in v or ('note = ' + repr('the work of ')) in v)]",
        "import os",
        "found += [] if os.environ['PATH'] == '/usr/bin' else ['PATH']",
        "found += [v for v in texts if isinstance(v, float) and v is not right and v == right]",
        "def cosine(a, b):",
        "    raise ValueError(f'{len(texts) > 10000} {[f for f in found if f != right]}')",
    ]
    assert "ValueError: True [] (on" in one(server, group, "3.1", "\n".join(lines)).says


def test_what_the_grading_does_not_expect_costs_one_answer_and_no_other(server, group, monkeypatch):
    says_stub = "import os\nfrom ltm_edu.classroom.wire import packed\n"
    says_stub += "os.write(101, packed({'stub': True}))"
    result = one(server, group, "3.1", f"{says_stub}\n{RIGHT_COSINE}")
    assert result.verdict in ("wrong", "stopped")

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(grading, "examine_answer", fails)
    result = one(server, group, "3.1", RIGHT_COSINE)
    assert (result.verdict, "ZeroDivisionError" in result.says) == ("stopped", True)
    monkeypatch.setattr(grading, "code_cells", fails)
    submission = Submission("anna", group.assignments[NB03], NOTEBOOKS / f"{NB03}.ipynb")
    results = list(grade([submission], group, server, SHORT))
    assert [r.verdict for r in results] == ["unreadable"] * 4


# What comes over the wire -------------------------------------------------------------------------


def through(message: object) -> object:
    """A message, sent into a pipe and received from it."""
    to_read, to_write = os.pipe()
    try:
        wire.send(to_write, message, time.monotonic() + 9)
        return wire.receive(to_read, time.monotonic() + 9)
    finally:
        os.close(to_read)
        os.close(to_write)


def test_values_arrive_as_they_were_sent():
    views = torch.arange(24.0).reshape(2, 3, 4).transpose(0, 2)
    repeated = torch.tensor([2.5]).expand(1)[:1].as_strided((1,), (0,))
    for tensor in (
        views,
        repeated,
        torch.zeros(()).expand(2, 3),
        torch.tensor(3),
        torch.zeros(0, 2),
        torch.tensor([True, False]),
    ):
        again = through(tensor)
        assert torch.equal(again, tensor)
        assert again.dtype == tensor.dtype
    assert through(views).stride() == views.stride()
    plain = [None, True, 7, -(10**30), 1.5, float("inf"), "text", (1, [2.0]), {"a": (3,)}]
    assert through(plain) == plain
    assert type(through(object())).__name__ == "object"
    assert type(through({1}.__iter__())).__name__ == "set_iterator"


def test_a_reply_is_bounded_before_it_is_read():
    for message in ([None] * 20_000, [object()] * 200, ["x" * 90_000] * 3, torch.zeros(5 << 20)):
        with pytest.raises(wire.WireError, match="too large"):
            wire.packed(message)
    wire.packed([None] * 20_000, wire.QUESTION)
    to_read, to_write = os.pipe()
    try:
        os.write(to_write, wire._SIZES.pack(257 << 10, 0))
        with pytest.raises(wire.WireError, match="too large"):
            wire.receive(to_read, time.monotonic() + 9)
    finally:
        os.close(to_read)
        os.close(to_write)


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"", b""),
        (b"[[[", b""),
        (b"[" * 100_000, b""),
        (b'["tensor", "float32", [2], [0]]', b"1234"),
        (b'["tensor", "float32", [1], [0]]', b"12345678"),
        (b'["tensor", "float32", [-1], [0]]', b""),
        (b'["tensor", "float32", [99999999999], [0]]', b""),
        (b'["tensor", "float32", [1], [5]]', b"1234"),
        (b'["tensor", "object", [1], [0]]', b"1234"),
        (b'["array", "O", [1]]', b"12345678"),
        (b'["pickle", "gASVJAAAAAAAAA=="]', b""),
        (b'["int", "' + b"9" * 200_000 + b'"]', b""),
        (b'["list", [' + b",".join([b"null"] * 20_000) + b"]]", b""),
        (b'["list", [' + b",".join([b'["other", "A1"]'] * 200) + b"]]", b""),
        (b'{"is": "dict"}', b""),
        (b"7", b""),
    ],
)
def test_what_is_no_message_is_refused(header, body):
    with pytest.raises(wire.WireError):
        wire.unpacked(header, body)


def test_system_calls_have_the_numbers_of_the_kernels_headers():
    tables = [Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")]
    tables.append(Path("/usr/include/asm-generic/unistd.h"))
    if not all(t.is_file() for t in tables):
        pytest.skip("the kernel's headers are not installed")
    for column, table in enumerate(tables):
        text = table.read_text(encoding="utf-8")
        numbers = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text))
        numbers.setdefault("newfstatat", numbers.get("fstatat"))
        for name, call in sandbox.CALLS.items():
            known = numbers.get(name)
            assert call[column] == (int(known) if known else None), (name, column)


# Submissions --------------------------------------------------------------------------------------


def test_a_folder_of_strange_submissions_costs_each_its_own_line(
    tmp_path, group, copy_of_03, server, capsys
):
    folder = tmp_path / "submitted"
    right = {"3.1": EXERCISES["3.1"].source()}
    good = hand_in(folder, "anna", answered(copy_of_03, right))
    (folder / "anna" / NB03 / ".ipynb_checkpoints").mkdir()
    (folder / "anna" / "notes.txt").write_text("x")
    (folder / "bela").mkdir()
    (folder / "rosa" / NB03).mkdir(parents=True)
    for archive in ("rosa/" + NB03 + "/work.zip", "anna/old.zip", "sami.zip", "readme.txt"):
        (folder / archive).write_bytes(b"PK")
    hand_in(folder, "chen", copy_of_03).write_text("no notebook")
    (folder / "dora").mkdir()
    (folder / "dora" / f"{NB03}.ipynb").symlink_to(good)
    (folder / "emil").symlink_to(folder / "anna")
    os.mkfifo(folder / f"fifo-{NB03}.ipynb")
    with hand_in(folder, "gigi", copy_of_03).open("wb") as file:
        file.truncate(64 << 20)
    hand_in(folder, "hans", copy_of_03 | {"metadata": {"ltm_edu": {"assignment": "04_other"}}})
    hand_in(folder, "ines", copy_of_03 | {"cells": [code_cell("1 + 1")]})
    hand_in(folder, "jana", copy_of_03).write_text('{"cells": ' + "[" * 10**6)
    hand_in(folder, "kemal", copy_of_03 | {"cells": [7, None, {"cell_type": "code"}]})
    hand_in(folder, "lena", copy_of_03, name="draft")
    hand_in(folder, "mona", copy_of_03, name="one")
    hand_in(folder, "mona", copy_of_03, name="two")
    (folder / "nils.ipynb").write_text(json.dumps(answered(copy_of_03, right)))
    hand_in(folder, "otto", copy_of_03 | {"cells": [code_cell("x" * 200_000)]})
    hand_in(folder, "quy", copy_of_03 | {"cells": [code_cell("a = 1")] * 2001})
    strange = [code_cell("a = 1") | {"id": id} for id in ([1], {}, 7)]
    hand_in(folder, "pina", copy_of_03 | {"cells": strange + answered(copy_of_03, right)["cells"]})
    results = list(grade(found_in(folder, group), group, server, LONG))
    verdicts = {r.student: (r.verdict, r.says) for r in results if r.exercise == "3.1"}
    assert len(results) == 4 * len(verdicts)
    expected = {
        "anna": ("ok", ""), "bela": ("not handed in", ""), "chen": ("unreadable", "no notebook"),
        "dora": ("unreadable", "It is a link"), "gigi": ("unreadable", "64 MiB, more than 32"),
        "hans": ("unreadable", "a copy of 04_other, not of 03"), "ines": ("unreadable", "no exer"),
        "jana": ("unreadable", "no notebook"), "kemal": ("unreadable", "no exercise cell"),
        "lena": ("not attempted", ""), "mona": ("unreadable", "2 notebooks: keep one"),
        "nils": ("ok", ""), "pina": ("ok", ""),
        "rosa": ("unreadable", "archive: unpack"), "sami.zip": ("unreadable", "archive: unpack"),
        "quy": ("unreadable", "2,001 cells, more than 2,000"),
        "otto": ("unreadable", "Cell 1 has 200,000 characters"),
        f"fifo-{NB03}": ("unreadable", "It is no file"), "emil": ("unreadable", "It is a link"),
    }  # fmt: skip
    assert {s: v for s, (v, _) in verdicts.items()} == {s: v for s, (v, _) in expected.items()}
    assert all(says in verdicts[s][1] for s, (_, says) in expected.items()), verdicts


# The command --------------------------------------------------------------------------------------

NASTY = "=cmd|' C calc'!A0 <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory, copy_of_03, group) -> Path:
    """A class with three students, two of whom are up to something."""
    folder = tmp_path_factory.mktemp("class")
    group.save(folder / "teacher.json")
    dots = "def relation(E_q, E_s):\n    return E_q.flatten(2).transpose(1, 2) @ E_s.flatten(2)"
    says = "def row_as_map(*a):\n    raise ValueError('</pre><script>alert(1)</script>\\u202e')"
    answers = {"3.2": dots, "3.3": says}
    hand_in(folder / "submitted", NASTY, answered(copy_of_03, answers))
    hand_in(folder / "submitted", "Zoë", answered(copy_of_03, {"3.2": dots}))
    hand_in(folder / "submitted", "zoe", copy_of_03).write_text("[]")
    return folder


def test_grade_writes_a_table_and_pages_that_no_student_can_write_into(
    handed_in, server, monkeypatch, capsys
):
    given = ["grade", str(handed_in / "submitted"), "--out", str(handed_in / "out")]
    assert main([*given, "--seconds", "60"]) == 1
    out, err = capsys.readouterr()
    assert str(handed_in / "out" / "results.csv") in out
    assert err.splitlines()[-1] == "ltm-edu: zoe: It is no notebook."
    with (handed_in / "out" / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["student", "exercise", "verdict", "misconception", "seconds"]
    assert [(r["exercise"], r["verdict"]) for r in rows[:4]] == [
        ("3.1", "not attempted"), ("3.2", "wrong"), ("3.3", "wrong"), ("3.4", "not attempted"),
    ]  # fmt: skip
    assert rows[0]["student"] == f"'{NASTY}"  # no formula for a spreadsheet
    assert rows[1]["misconception"].startswith("These are dot products.")
    assert {r["verdict"] for r in rows if r["student"] == "zoe"} == {"unreadable"}
    about = json.loads((handed_in / "out" / "grading.json").read_text(encoding="utf-8"))
    assert "no network" in about["in force"]
    assert about["missing"] == []
    pages = contents(handed_in / "out")
    assert sum(name.startswith("students/") for name in pages) == 3
    for name, page in pages.items():
        if not name.endswith(".html"):
            continue
        text = page.decode()
        assert "no network" in text
        assert "default-src 'none'" in text
        assert not re.search(r"<(script|img|a href=\"http)|\u202e", text, flags=re.IGNORECASE)
    overview = pages["index.html"].decode()
    assert "&lt;img src=x onerror=alert(1)&gt;" in overview
    assert "<strong>3.2</strong>, 2 answers: These are dot products" in overview
    for link in re.findall(r'href="(students/[^"]+)"', overview):
        assert link in pages

    monkeypatch.setattr(command, "Server", lambda: nullcontext(server))  # is started already
    assert main(given) == 2  # results that are there are kept
    assert "--overwrite" in capsys.readouterr().err
    assert contents(handed_in / "out") == pages
    first = [{**r, "seconds": ""} for r in rows]
    assert main([*given, "--seconds", "60", "--overwrite"]) == 1
    with (handed_in / "out" / "results.csv").open(encoding="utf-8", newline="") as file:
        assert [{**r, "seconds": ""} for r in csv.DictReader(file)] == first


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("submitted", "--out", "submitted/out"), "contain one another"),
        (("submitted", "--out", "taken"), "taken exists"),
        (("submitted", "--out", "taken", "--overwrite"), "was not written by grade"),
        (("submitted", "--out", "new", "--seconds", "0"), "--seconds 0"),
        (("submitted", "--out", "new", "--memory", "1"), "--memory 1"),
        (("submitted", "--out", "new", "--class", "taken/x"), "is not a teacher's file"),
        (("submitted", "--out", "new", "--class", "gone"), "gone"),
        (("gone", "--out", "new"), "gone cannot be read"),
        (("empty", "--out", "new"), "holds no student's folder"),
        (("elsewhere/submitted", "--out", "new"), "there is no teacher.json beside"),
    ],
)
def test_grade_refuses_in_one_line_and_starts_nothing(
    tmp_path, group, copy_of_03, monkeypatch, capsys, arguments, says
):
    monkeypatch.chdir(tmp_path)
    group.save(Path("teacher.json"))
    hand_in(Path("submitted"), "anna", copy_of_03)
    for folder in ("taken", "empty", "elsewhere/submitted"):
        Path(folder).mkdir(parents=True)
    Path("taken/x").write_text("{}")
    before = contents(tmp_path)
    assert main(["grade", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert contents(tmp_path) == before


def test_a_system_without_protections_is_refused_unless_trusted(
    handed_in, server, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(command, "Server", lambda: nullcontext(server))
    holds = dict.fromkeys(PROTECTIONS, True) | {"network": False}
    monkeypatch.setattr(command, "protections", lambda *_: holds)
    out = tmp_path / "out"
    given = ["grade", str(handed_in / "submitted"), "--out", str(out), "--seconds", "60"]
    assert main(given) == 2
    assert "does not offer: no network." in capsys.readouterr().err
    assert not out.exists()
    assert main([*given, "--trust"]) == 1
    assert "Not in force here: no network." in (out / "index.html").read_text(encoding="utf-8")


def test_every_student_has_a_page_of_its_own_whatever_the_name():
    names = ["a/../b", "..", "Ω", "con", "A", "a", "x" * 300, "index"]
    pages = page_names(names)
    assert len({p.lower() for p in pages.values()}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,60}\.html", p) for p in pages.values())


@pytest.mark.parametrize("damage", ["{}", "[", '{"format": 1, "seed": 1, "secret": "zz"}', "7"])
def test_a_damaged_teachers_file_is_refused(tmp_path, damage):
    path = tmp_path / "teacher.json"
    path.write_text(damage)
    refused(lambda: Class.load(path), str(path), "not a teacher's file")


@pytest.mark.soak
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda p: p.stem[:2])
def test_every_solution_of_the_course_is_ok_and_slips_get_their_lines(server, path):
    new = Class.new(3)
    assignment, _ = student_copy(path, new)
    whole = Class(3, new.secret, {assignment.name: assignment})
    server.load(assignment.imports)
    for task in assignment.tasks:
        exercise, seed = EXERCISES[task.exercise], whole.hidden_seed(task.exercise)
        assert one(server, whole, exercise.id, exercise.source()).verdict == "ok", exercise.id
        for i, slip in list(enumerate(exercise.slips))[::3]:
            if slip.wrong is not None:
                source = "from ltm_edu import exercises\n"
                source += f'{task.name} = exercises.EXERCISES["{exercise.id}"].slips[{i}].wrong'
                result = one(server, whole, exercise.id, source)
                assert result.verdict == "wrong", (exercise.id, i, result)
                assert result.says == examine(exercise, slip.wrong, seed).says, (exercise.id, i)
