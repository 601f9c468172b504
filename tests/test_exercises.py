"""The exercises: wrong answers are caught and explained, solutions pass, also in the notebooks."""

import ast
import contextlib
import inspect
import io
import json
import os
import re
import symtable
import textwrap
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ltm_edu import equations
from ltm_edu.exercises import EXERCISES, CheckFailed
from ltm_edu.exercises.engine import Course, Exercise, examine
from ltm_edu.store.pictures import VOID

ROOT = Path(__file__).resolve().parent.parent
DATA = os.environ.get("LTM_EDU_DATA")  # read before a fixture changes it for each test
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHECK = re.compile(r'^check\("(\d+\.\d+)", *(\w+)\)', flags=re.MULTILINE)

each = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


def stub(*args):
    raise NotImplementedError


def throws(*args):
    raise RuntimeError("no\nidea at 0x7f0012")


# Wrong answers that are not slips: (exercise, answer, part of the line that `check` must print).
# A slip may explain them nevertheless; otherwise the line describes the first difference.


def relation_with_a_loop_over_the_diagonal(E_q, E_s):
    R = torch.zeros(len(E_q), E_q[0, 0].numel(), E_s[0, 0].numel(), dtype=E_q.dtype)
    for i in range(min(R.shape[1:])):
        R[:, i, i] = 1
    return R


def relation_unsafe_gradient(E_q, E_s):
    q, s = E_q.flatten(2), E_s.flatten(2)
    q = q / (q * q).sum(1, keepdim=True).sqrt().clamp_min(1e-5)
    return q.mT @ (s / (s * s).sum(1, keepdim=True).sqrt().clamp_min(1e-5))


def relation_in_place(E_q, E_s):
    R = equations.relationship_matrix(E_q.clone(), E_s)
    E_q *= 0
    return R


def iou_in_place(predicted, truth):
    truth[truth == VOID] = 0
    predicted &= truth < 2
    return 0.5


def iou_of_nothing(value):
    def iou(predicted, truth):
        union = ((predicted | (truth == 1)) & (truth != VOID)).sum()
        return EXERCISES["0.1"].reference(predicted, truth) if union > 0 else value

    return iou


MUTANTS = [
    (
        "0.1",
        lambda p, t: ((p & (t == 1)).sum() / (p | (t == 1)).sum()).item(),
        "255 is counted as background",
    ),
    (
        "0.1",
        lambda p, t: (p & (t == 1) & (t != VOID)).sum() / (t == 1).sum(),
        "This is the recall",
    ),
    ("0.1", lambda p, t: float((p == (t == 1)).double().mean()), "0.25, expected 0.333"),
    ("0.1", lambda p, t: np.float32(1), "expected 0.3333"),
    ("0.1", iou_in_place, "expected 0.333"),
    ("0.1", iou_of_nothing(0.0), "Two empty masks agree, so their IoU is 1"),
    ("0.1", iou_of_nothing(float("nan")), "Two empty masks agree, so their IoU is 1"),
    (
        "0.2",
        lambda A, s, t: to_numpy(A, s, t),
        "The corners are not aligned",
    ),
    ("0.2", lambda A, s, t: F.interpolate(A, s)[:, 0] > t, "nearest"),
    ("0.2", lambda A, s, t: F.interpolate(A, s, mode="bicubic")[:, 0] > t, "other values"),
    ("0.2", lambda A, s, t: F.interpolate(A, s, mode="bilinear") > t, "shape (1, 1, 1, 5), expec"),
    ("3.1", lambda a, b: torch.dot(a, b), "Did you normalise"),
    ("3.1", lambda a, b: (a @ b / (a.norm() * b.norm())).item(), "a float, expected a torch.Tenso"),
    (
        "3.1",
        lambda a, b: torch.tensor((a @ b / (a.norm() * b.norm() + 1e-5)).item()),
        "is added to the product of the lengths",
    ),
    (
        "3.1",
        lambda a, b: (a @ b / (a.norm() * b.norm() + 1e-5)).detach(),
        "is added to the product of the lengths",
    ),
    ("3.1", lambda a, b: (a @ b / (a.norm() * b.norm() + 1e-5))[None], "shape (1,), expected ()"),
    ("3.1", lambda a, b: a @ b / (a.norm() * b.norm() + 0.1), "expected 0.96"),
    (
        "3.1",
        lambda a, b: a @ b / ((a @ a).sqrt() * (b @ b).sqrt()).clamp_min(1e-5),
        "bounds the product of the lengths",
    ),
    ("3.1", lambda a, b: a.softmax(0) @ b.softmax(0), "expected 0.96"),
    ("3.2", lambda q, s: torch.einsum("bdi,bdj->bij", q.flatten(2), s.flatten(2)), "normalise?"),
    ("3.2", lambda q, s: equations.relationship_matrix(s, q), "transposed?"),
    ("3.2", lambda q, s: equations.relationship_matrix(q, s).half(), "dtype float16, expected flo"),
    (
        "3.2",
        lambda q, s: equations.relationship_matrix(q, s).numpy(),
        "a NumPy array, expected",
    ),
    (
        "3.2",
        lambda q, s: equations.relationship_matrix(q, s).abs(),
        "other values than expected",
    ),
    (
        "3.2",
        lambda q, s: equations.relationship_matrix(q, s).flatten(1),
        "shape (1, 6), expected (",
    ),
    ("3.2", relation_with_a_loop_over_the_diagonal, "expected [[["),
    ("3.2", relation_unsafe_gradient, "The slope of a square root"),
    ("3.2", relation_in_place, "in place"),
    (
        "3.2",
        lambda q, s: F.cosine_similarity(q.flatten(2), s.flatten(2)),
        "The transpose is missing",
    ),
    ("3.3", lambda R, y, x, q, s: R[y, x], "shape (), expected (1, 2)"),
    ("3.3", lambda R, y, x, q, s: R[y * q[1] + x + 1].view(s), "expected [[6, 7]]"),
    ("3.3", lambda R, y, x, q, s: R.T[y * q[1] + x].view(s), "column of R"),
    ("3.3", lambda R, y, x, q, s: R[y * q[1] + x].view(s).flip(0), "other values"),
    ("3.3", lambda R, y, x, q, s: R[y * q[1] + x].detach().view(s), "No gradient reaches R"),
    ("3.4", lambda q, s: q.flatten(2) @ s.flatten(2).mT, "a dot product, one number"),
    ("3.4", lambda q, s: equations.relationship_truth(s, q), "transposed?"),
    ("3.4", lambda q, s: equations.relationship_truth(q, s).round(), "other values"),
    ("3.4", lambda q, s: (equations.relationship_truth(q, s) > 0).to(q.dtype), "other values"),
    ("3.4", lambda q, s: equations.relationship_truth(q, s) > 0, "dtype bool, expected float32"),
]


# The wrong answers to the other notebooks are in one file per notebook, and in one for the costs.
for path in sorted(Path(__file__).parent.glob("wrong_answers_*.py")):
    MUTANTS += import_module(path.stem).MUTANTS


def to_numpy(A_hat, size, threshold):
    return (F.interpolate(A_hat, size, mode="bilinear")[:, 0] > threshold).numpy()


def mutants(exercise: Exercise) -> list[tuple[str, object, str]]:
    """Wrong answers: the name of each, the function, and a part of the line it must get."""
    slips = [(f"slip {i}", s.wrong, s.says) for i, s in enumerate(exercise.slips) if s.wrong]
    return slips + [
        (f"extra {i}", fn, says) for i, (id, fn, says) in enumerate(MUTANTS) if id == exercise.id
    ]


# Examining --------------------------------------------------------------------------------------


@each
def test_the_reference_passes(exercise):
    assert examine(exercise, exercise.reference).state == "ok"


@each
def test_the_reference_is_the_plain_loop(exercise):
    for args in exercise.random():
        right, loop = exercise.reference(*args), exercise.spec(*args)
        torch.testing.assert_close(torch.as_tensor(right), torch.as_tensor(loop), atol=1e-9, rtol=0)


@each
def test_wrong_answers_are_caught_and_named(exercise, capsys):
    verdicts = [(name, says, examine(exercise, fn)) for name, fn, says in mutants(exercise)]
    with capsys.disabled():
        print(f"\n{exercise.id} {exercise.title}: {len(verdicts)} wrong answers")
        for name, says, verdict in verdicts:
            killed = verdict.state == "wrong" and says in verdict.says
            print(f"  {'killed' if killed else 'ALIVE '} {name:9} {verdict.says}")
    assert len(verdicts) >= 3
    assert [(name, v.says) for name, says, v in verdicts if v.state != "wrong"] == []
    assert [(name, says, v.says) for name, says, v in verdicts if says not in v.says] == []


@each
def test_every_slip_has_one_test_and_no_slip_passes(exercise):
    assert all((s.wrong is None) != (s.when is None) for s in exercise.slips)
    for slip in exercise.slips:
        assert slip.wrong is None or examine(exercise, slip.wrong).state == "wrong"


def test_the_package_itself_passes():
    assert examine(EXERCISES["3.2"], equations.relationship_matrix).state == "ok"
    assert examine(EXERCISES["3.4"], equations.relationship_truth).state == "ok"


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("3.1", lambda a, b: F.cosine_similarity(a, b, dim=0)),
        ("3.1", lambda a, b: a @ b / (torch.linalg.norm(a) * torch.linalg.norm(b) + 1e-5)),
        ("3.1", lambda a, b: F.normalize(a, dim=0) @ F.normalize(b, dim=0)),
        (
            "3.2",
            lambda q, s: torch.einsum(
                "bdi,bdj->bij", F.normalize(q.flatten(2), dim=1), F.normalize(s.flatten(2), dim=1)
            ),
        ),
        (
            "3.2",
            lambda q, s: F.cosine_similarity(
                q.flatten(2)[..., None], s.flatten(2)[:, :, None], dim=1
            ),
        ),
        ("3.3", lambda R, y, x, q, s: R.view(*q, *s)[y, x]),
        ("3.4", lambda q, s: torch.einsum("bci,bcj->bij", q.flatten(2), s.flatten(2))),
        ("3.4", lambda q, s: q.flatten(2).mT * s.flatten(2)),
        ("0.1", lambda p, t: 1.0 if not ((p | (t == 1)) & (t < 2)).any() else float(
            (p & (t == 1)).sum() / ((p | (t == 1)) & (t < 2)).sum())),
    ],
)  # fmt: skip
def test_other_right_ways_pass(id, answer):
    assert examine(EXERCISES[id], answer).says == EXERCISES[id].title


# The line that a student sees -------------------------------------------------------------------


@each
def test_a_stub_is_not_attempted(exercise, capsys):
    Course(EXERCISES).check(exercise.id, stub)
    assert capsys.readouterr().out.startswith(f"{exercise.id} not attempted: ")


@each
@pytest.mark.parametrize(
    "answer",
    [
        stub,
        throws,
        lambda *args: None,
        lambda: 1,
        lambda *args: torch.zeros(7, 7),
        lambda *args: np.zeros(3),
        lambda *args: "R",
        lambda *args: object(),
        lambda *args: (torch.ones(1), None),
        lambda *args: torch.tensor(float("nan")),
        lambda *args: args[0],
        None,
        3,
    ],
    ids=[f"answer {i}" for i in range(13)],
)  # fmt: skip
def test_check_prints_one_line_twice_the_same_and_never_raises(exercise, answer, capsys):
    for _ in range(2):
        Course(EXERCISES).check(exercise.id, answer)
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    assert len(first) < 220
    assert " ok" not in first
    assert "0x7f" not in first


@each
@pytest.mark.parametrize("answer", [stub, throws, None])
def test_strict_mode_raises(exercise, answer, monkeypatch):
    monkeypatch.setenv("LTM_EDU_STRICT", "1")
    with pytest.raises(CheckFailed, match=exercise.id):
        Course(EXERCISES).check(exercise.id, answer)


@each
def test_strict_mode_lets_the_reference_pass(exercise, monkeypatch, capsys):
    monkeypatch.setenv("LTM_EDU_STRICT", "1")
    Course(EXERCISES).check(exercise.id, exercise.reference)
    assert capsys.readouterr().out == f"{exercise.id} ok: {exercise.title}\n"


def test_an_unknown_exercise_is_reported(capsys):
    course = Course(EXERCISES)
    course.check("9.9", stub)
    course.hint("9.9")
    course.solution("9.9")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert set(lines) == {f"There is no exercise '9.9'. Choose one of {', '.join(EXERCISES)}."}


def test_checking_leaves_the_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    for exercise in EXERCISES.values():
        examine(exercise, exercise.reference)
    assert torch.equal(torch.rand(2), expected)


@each
def test_the_second_hint_says_more(exercise, capsys):
    course = Course(EXERCISES)
    course.hint(exercise.id)
    course.hint(exercise.id, 2)
    course.hint(exercise.id, 9)
    first, second, out_of_range = capsys.readouterr().out.splitlines()
    assert f'hint("{exercise.id}", 2)' in first
    assert len(second) > 60
    assert "2 hints" in out_of_range


@each
def test_a_solution_needs_torch_alone(exercise, capsys):
    Course(EXERCISES).solution(exercise.id)
    source = capsys.readouterr().out
    names: dict = {"torch": torch}
    exec(source, names)
    answer = names[exercise.reference.__name__]
    assert examine(exercise, answer).state == "ok"
    assert len(source.splitlines()) <= 20


def test_progress_remembers_this_session(capsys):
    course = Course(EXERCISES)
    with contextlib.redirect_stdout(None):
        course.check("3.1", EXERCISES["3.1"].reference)
        course.check("3.2", lambda q, s: equations.relationship_matrix(s, q))
        course.check("3.3", stub)
    course.progress()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "solved 1 of 4"
    assert [line[:7] for line in lines[1:]] == ["[x] 3.1", "[!] 3.2", "[ ] 3.3", "[ ] 3.4"]
    assert "transposed?" in lines[2]
    Course(EXERCISES).progress()
    assert capsys.readouterr().out.startswith(f"solved 0 of {len(EXERCISES)}\n")


# The notebooks, with solutions in place of the stubs --------------------------------------------


def exercise_cells(nb: dict) -> list[tuple[dict, str, str]]:
    """The cells that check an answer: (cell, id, name of the function)."""
    code = [c for c in nb["cells"] if c["cell_type"] == "code"]
    return [(c, *m.groups()) for c in code for m in CHECK.finditer("".join(c["source"]))]


def replace_stub(source: str, id: str) -> str:
    """The source of a cell, with the solution in place of the function that it checks."""
    (_, name) = next(m.groups() for m in CHECK.finditer(source) if m[1] == id)
    (node,) = (n for n in ast.parse(source).body if getattr(n, "name", "") == name)
    lines = source.splitlines()
    lines[node.lineno - 1 : node.end_lineno] = EXERCISES[id].source().splitlines()
    return "\n".join(lines)


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def names_in(source: str) -> tuple[set[str], set[str]]:
    """The global names that a cell binds, and those that it uses; not a function's own names."""
    plain = "\n".join(line for line in source.splitlines() if not line.startswith("%"))
    module = symtable.symtable(plain, "cell", "exec")
    bound, used = set(), set()
    tables = [module]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        names = [s for s in table.get_symbols() if table is module or s.is_global()]
        bound |= {s.get_name() for s in names if s.is_assigned() or s.is_imported()}
        used |= {s.get_name() for s in names if s.is_referenced()}
    return bound, used


def test_local_names_of_a_function_are_no_dependencies():
    source = "%xmode Minimal\ndef f(x):\n    y = [z * a for z in x]\n    return y\n\nc = f(d)"
    assert names_in(source) == ({"f", "c"}, {"f", "a", "d"})


def cells_of_exercises(nb: dict) -> list[dict]:
    """The code cells that use an answer to an exercise, and all cells that these depend on."""
    cells = [c for c in nb["cells"] if c["cell_type"] == "code"]
    exercises = exercise_cells(nb)
    answers = {name for _, _, name in exercises}
    bound, used = zip(*(names_in("".join(c["source"])) for c in cells), strict=True)
    checking = [cell for cell, _, _ in exercises]
    selected = {i for i, c in enumerate(cells) if c in checking or used[i] & answers}
    while True:
        more = {j for i in selected for j in range(i) if bound[j] & used[i]} - selected
        if not more:
            return [cells[i] for i in sorted(selected)]
        selected |= more


def with_exercises() -> list[Path]:
    return [path for path in NOTEBOOKS if exercise_cells(load(path))]


def test_every_exercise_is_in_its_notebook():
    for path in NOTEBOOKS:
        declared = [id for id in EXERCISES if int(id.split(".")[0]) == int(path.name[:2])]
        assert [id for _, id, _ in exercise_cells(load(path))] == declared, path.name


@pytest.mark.parametrize("path", with_exercises(), ids=lambda path: path.stem)
def test_stubs_are_tagged_and_unsolved_and_have_the_contract_of_the_solution(path):
    for cell, id, name in exercise_cells(load(path)):
        source = "".join(cell["source"])
        assert "exercise" in cell["metadata"].get("tags", ())
        assert "raise NotImplementedError" in source
        assert "".join(cell["outputs"][0]["text"]).startswith(f"{id} not attempted: ")
        (node,) = (n for n in ast.parse(source).body if getattr(n, "name", "") == name)
        arguments = [a.arg for a in node.args.args]
        assert arguments == list(inspect.signature(EXERCISES[id].reference).parameters), id
        if id not in ("0.1", "0.2"):  # the text above these says more than their first line
            assert ast.get_docstring(node) == inspect.getdoc(EXERCISES[id].reference), id


@pytest.mark.parametrize("path", with_exercises(), ids=lambda path: path.stem)
def test_solutions_pass_in_the_notebook_in_strict_mode(path, monkeypatch):
    """Only cells that use an answer run here, without a kernel; nbval runs all cells with one.

    LTM_EDU_WHOLE=1 runs all cells here too.
    """
    plt = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setenv("LTM_EDU_STRICT", "1")
    # The usual data folder: in an empty one each notebook would draw the miniature dataset again.
    monkeypatch.delenv("LTM_EDU_DATA", raising=False)
    if DATA:
        monkeypatch.setenv("LTM_EDU_DATA", DATA)
    nb = load(path)
    exercises = exercise_cells(nb)
    for cell, id, _ in exercises:
        cell["source"] = replace_stub("".join(cell["source"]), id)
    cells = cells_of_exercises(nb)
    if os.environ.get("LTM_EDU_WHOLE"):
        cells = [c for c in nb["cells"] if c["cell_type"] == "code"]
    names: dict = {"__name__": "__main__"}
    printed = {}
    for i, cell in enumerate(cells):
        plain = re.sub(r"^%.*", "", "".join(cell["source"]), flags=re.MULTILINE)
        may_fail = "raises-exception" in cell["metadata"].get("tags", ())
        errors = contextlib.suppress(Exception) if may_fail else contextlib.nullcontext()
        with contextlib.redirect_stdout(io.StringIO()) as out, errors:
            exec(compile(plain, f"{path.name}, cell {i}", "exec"), names)
        printed[cell["id"]] = out.getvalue()
        plt.close("all")
    for cell, id, _ in exercises:
        text = printed[cell["id"]]
        assert f"{id} ok: " in text, textwrap.shorten(text, 200)
