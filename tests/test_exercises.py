"""The exercises: wrong answers are caught and explained, solutions pass, also in the notebooks."""

import ast
import contextlib
import inspect
import io
import json
import os
import re
import symtable
import sys
import textwrap
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import wrong_answers_in_cost_or_scale
from right_answers import RIGHT

from ltm_edu import equations
from ltm_edu.exercises import EXERCISES, CheckFailed, record
from ltm_edu.exercises.comparing import difference, settled
from ltm_edu.exercises.engine import Course, Exercise, Verdict, examine
from ltm_edu.exercises.exercise import widened
from ltm_edu.exercises.running import Raised, run
from ltm_edu.exercises.running import names_in as names_used_by
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
        "limit the product of the lengths",
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
COSTLY = wrong_answers_in_cost_or_scale.MUTANTS
for path in sorted(Path(__file__).parent.glob("wrong_answers_*.py")):
    MUTANTS += import_module(path.stem).MUTANTS


def to_numpy(A_hat, size, threshold):
    return (F.interpolate(A_hat, size, mode="bilinear")[:, 0] > threshold).numpy()


def solution_of(exercise: Exercise) -> Callable:
    """The solution as a student writes it down: compiled from its source, outside the package."""
    names: dict = {"torch": torch}
    exec(exercise.source(), names)
    return names[exercise.reference.__name__]


def mutants(exercise: Exercise) -> list[tuple[str, object, str]]:
    """Wrong answers: the name of each, the function, and a part of the line it must get."""
    slips = [(f"slip {i}", s.wrong, s.says) for i, s in enumerate(exercise.slips) if s.wrong]
    return slips + [
        (f"extra {i}", fn, says) for i, (id, fn, says) in enumerate(MUTANTS) if id == exercise.id
    ]


@cache
def examined(id: str) -> list[tuple[str, Callable, str, Verdict]]:
    """The wrong answers to an exercise, each with its verdict."""
    exercise = EXERCISES[id]
    return [(name, fn, says, examine(exercise, fn)) for name, fn, says in mutants(exercise)]


# Examining --------------------------------------------------------------------------------------


def is_right_on_ordinary_input(exercise: Exercise, fn: Callable) -> bool:
    """Whether the values are right on the tiny and on the random inputs."""
    for args in [*exercise.tiny, *exercise.random()]:
        right = exercise.right(args)
        out = settled(run(fn, args), right, bool(exercise.differentiable))
        if difference(out, right) is not None:
            return False
    return True


@each
def test_the_solution_passes(exercise):
    assert str(examine(exercise, solution_of(exercise))) == f"{exercise.id} ok: {exercise.title}"


@each
def test_the_solution_is_the_plain_loop_at_every_scale(exercise):
    inputs = [*exercise.tiny, *exercise.random(), *(e.args for e in exercise.edges)]
    for args in map(widened, [*inputs, *exercise.extremes]):
        right, loop = exercise.reference(*args), exercise.spec(*args)
        right, loop = (torch.as_tensor(x).double() for x in (right, loop))
        finite = loop[loop.isfinite()].abs()
        largest = finite.max().item() if finite.numel() else 0.0
        torch.testing.assert_close(right, loop, rtol=1e-9, atol=1e-9 * min(1, largest or 1))


def test_every_exercise_with_numbers_has_extremes():
    whole = {"0.1", "1.1", "1.2", "1.3", "1.4", "6.3", "9.1", "10.2", "7.3"}  # other kinds of scale
    assert [e.id for e in EXERCISES.values() if not e.extremes and e.id not in whole] == []


@each
def test_wrong_answers_are_caught_and_named(exercise, capsys):
    verdicts = [(name, says, verdict) for name, _, says, verdict in examined(exercise.id)]
    with capsys.disabled():
        right = len(RIGHT[exercise.id]) + 1
        print(
            f"\n{exercise.id} {exercise.title}: {len(verdicts)} wrong answers, {right} right ones"
        )
        for name, says, verdict in verdicts:
            killed = verdict.state == "wrong" and says in str(verdict)
            print(f"  {'killed' if killed else 'ALIVE '} {name:9} {verdict.says}")
    assert len(verdicts) >= 3
    assert [(name, v.says) for name, says, v in verdicts if v.state != "wrong"] == []
    assert [(name, says, str(v)) for name, says, v in verdicts if says not in str(v)] == []
    assert [v.says for _, _, v in verdicts if "could not be compared" in v.says] == []


def test_the_kill_table_says_how_many_were_tried(capsys):
    wrong = sum(len(mutants(e)) for e in EXERCISES.values())
    right = sum(len(RIGHT[id]) + 1 for id in EXERCISES)
    with capsys.disabled():
        print(
            f"\nkill table: {wrong} wrong and {right} right answers to {len(EXERCISES)} exercises"
        )
    assert wrong > 10 * len(EXERCISES)
    assert right >= 2 * len(EXERCISES)


@each
def test_a_wrong_answer_with_right_values_on_ordinary_input_is_caught(exercise):
    careful = [
        fn for id, fn, _ in COSTLY if id == exercise.id and is_right_on_ordinary_input(exercise, fn)
    ]
    assert careful
    assert {examine(exercise, fn).state for fn in careful} == {"wrong"}


@each
def test_right_answers_of_many_styles_pass(exercise):
    for fn in RIGHT[exercise.id]:
        assert str(examine(exercise, fn)) == f"{exercise.id} ok: {exercise.title}", fn


@each
def test_every_slip_has_one_test_and_no_slip_passes(exercise):
    assert all((s.wrong is None) != (s.when is None) for s in exercise.slips)
    slips = [slip.wrong for slip in exercise.slips if slip.wrong]
    assert {v.state for _, fn, _, v in examined(exercise.id) if fn in slips} <= {"wrong"}


# Messages ---------------------------------------------------------------------------------------


def guarded(exercise: Exercise, wrong: Callable) -> Callable:
    """A wrong function with the right result where it would return NaN or raise an error."""

    def answer(*args):
        out = run(wrong, args)
        guarded = isinstance(out, Raised) or not torch.as_tensor(out).isfinite().all()
        return exercise.reference(*args) if guarded else out

    return answer


@each
def test_a_slip_is_named_also_if_the_answer_guards_the_edges(exercise):
    for slip in exercise.slips:
        ordinary = [*exercise.tiny, *exercise.random()]
        if slip.when or any(isinstance(run(slip.wrong, args), Raised) for args in ordinary):
            continue
        if not is_right_on_ordinary_input(exercise, slip.wrong):
            says = examine(exercise, guarded(exercise, slip.wrong)).says
            assert says in [s.says for s in exercise.slips], slip.says


@each
def test_a_message_names_no_function_that_the_answer_does_not_use(exercise):
    """It says "where after a division" or "does not pass item" only of an answer that uses them."""
    for _, fn, _, verdict in examined(exercise.id):
        says = verdict.says
        for name in ("nan_to_num", "masked_fill", "where"):
            assert f"{name} after a division" not in says or name in names_used_by(fn)
        if "square root is infinite" in says:
            assert names_used_by(fn) & {"sqrt", "rsqrt", "**0.5"}
        if stopped := re.search(r"does not pass (.*), which your function uses", says):
            assert set(stopped[1].split(" and ")) <= names_used_by(fn)


@each
def test_a_slip_is_named_only_if_the_answer_returns_what_it_returns(exercise):
    by_gradient = bool(exercise.differentiable)
    for _, fn, _, verdict in examined(exercise.id):
        says = verdict.says
        named = [slip.wrong for slip in exercise.slips if slip.says == says and slip.wrong]
        if not named or any(slip.says == says and slip.when for slip in exercise.slips):
            continue
        for args in [*exercise.tiny, *exercise.random()]:
            right = exercise.right(args)
            mine = settled(run(fn, args), right, by_gradient)
            theirs = [settled(run(wrong, args), right, by_gradient) for wrong in named]
            shown = [str(x) for x in theirs]
            assert any(agree(mine, x) for x in theirs), (says, str(mine), shown)


def agree(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.shape == b.shape and torch.allclose(
            a.detach().double(), b.detach().double(), rtol=1e-3, atol=1e-3, equal_nan=True
        )
    return type(a) is type(b)


@pytest.mark.parametrize(
    ("id", "answer", "says", "never"),
    [
        ("3.1", lambda a, b: (a @ b / (a.norm() * b.norm())).nan_to_num(), "nan_to_num", "root"),
        ("3.3", lambda R, y, x, q, s: R[y * 3 + x].reshape(s), "You count y * 3", "height"),
        (
            "2.3",
            lambda f, g: (f * g).sum((2, 3)) / g.sum((2, 3)).clamp_min(1),
            "below 1",
            "strength",
        ),
        (
            "0.2",
            lambda A, size, t: (
                F.interpolate(A, size, mode="bilinear", align_corners=True)[:, 0] >= t
            ),
            "You compare with >=",
            "No value",
        ),
        ("3.2", lambda q, s: q.flatten(2) @ s.flatten(2), "The transpose is missing", "Expected"),
        (
            "3.2",
            lambda q, s: (
                (q.flatten(2) / q.flatten(2).square().sum(1, keepdim=True).add(1e-30).sqrt()).mT
                @ s.flatten(2).where(s.flatten(2) != 0, 0)
            ),
            "Only the query has unit length",
            "where",
        ),
        ("3.1", lambda a, b: 1.5 * F.cosine_similarity(a, b, dim=0), "not between -1 and 1", "dot"),
        (
            "2.4",
            lambda E, p: -F.cosine_similarity(E, p[:, :, None, None])[:, None],
            "expected",
            "NaN",
        ),
    ],
)
def test_messages_that_were_once_misleading(id, answer, says, never):
    line = examine(EXERCISES[id], answer).line
    assert says in line
    assert never not in line


def test_a_root_and_a_guard_with_where_are_told_apart():
    def guarded(a, b):
        x, y = (a * a).sum().sqrt(), (b * b).sum().sqrt()
        return (a / torch.where(x > 0, x, 1)) @ (b / torch.where(y > 0, y, 1))

    says = examine(EXERCISES["3.1"], guarded).says
    assert "slope of a square root" in says
    assert "where after" not in says


# The failure is shown ---------------------------------------------------------------------------


def test_an_error_is_shown_with_the_students_line_and_the_input():
    def relation(E_q, E_s):
        q = E_q.flatten(2)
        return q.reshape(5, 5, 5)

    lines = str(examine(EXERCISES["3.2"], relation)).splitlines()
    assert lines[0].startswith("3.2 wrong: Your function raised RuntimeError: shape '[5, 5, 5]'")
    assert lines[1] == "    your line: return q.reshape(5, 5, 5)"
    assert lines[2].startswith("    input: E_q (1, 2, 1, 3) = [[[[1, 0, 3]], [[0, 2, 4]]]]")
    assert not any(".py" in line for line in lines)


def test_a_wrong_result_is_shown_beside_the_right_one():
    answer = partial(torch.mul, other=2)
    verdict = examine(EXERCISES["5.1"], answer)
    assert str(verdict).splitlines()[1:] == [
        "    input: A (2, 3) = [[1, 2, 5], [-1, -3, -3]]",
        "    your result     right result",
        "    [ 2   4  10]    [   0  0.25     1]",
        "    [-2  -6  -6]    [   1     0     0]",
    ]


def test_the_place_that_is_shown_is_one_that_differs_too_much():
    def clamped(R, G_s):
        return (R @ torch.linalg.pinv(G_s.flatten(2))).clamp(0, 1)

    case = examine(EXERCISES["4.3"], clamped).case
    (line,) = (line for line in case.lines() if line.startswith("result at "))
    mine, right = map(float, re.search(r"yours (\S+), right (\S+)", line).groups())
    assert abs(mine - right) > 1e-3


def test_a_numpy_number_is_called_so_and_no_float64_is_asked_for():
    text = str(examine(EXERCISES["3.1"], lambda a, b: np.dot(a.numpy(), b.numpy())))
    assert "The result is a NumPy number, expected a torch.Tensor" in text
    assert "float64" not in text


def test_a_long_error_is_cut_between_two_words():
    def answer(a, b):
        raise ValueError("word " * 60)

    assert examine(EXERCISES["3.1"], answer).says.endswith("word [...] (on the tiny example).")


def test_a_recognised_slip_is_named_and_shown():
    verdict = examine(EXERCISES["3.2"], lambda q, s: q.flatten(2).mT @ s.flatten(2))
    assert "Did you normalise?" in verdict.line
    assert "right result" in str(verdict)


@each
def test_every_failure_is_short_and_names_no_file(exercise):
    for *_, verdict in examined(exercise.id):
        text = str(verdict)
        assert len(text.splitlines()) <= 12
        assert max(map(len, text.splitlines()[1:]), default=0) <= 240
        assert "/ltm_edu/" not in text
        assert "site-packages" not in text


def test_maps_are_drawn_in_a_notebook_only(monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    drawn = []
    monkeypatch.setattr("ltm_edu.exercises.engine.draw", drawn.append)
    wrong = EXERCISES["3.2"].slips[2].wrong
    Course(EXERCISES).check("3.2", wrong)
    assert drawn == []
    monkeypatch.setattr("ltm_edu.exercises.engine.in_a_notebook", lambda: True)
    Course(EXERCISES).check("3.2", wrong)
    Course(EXERCISES).check("3.2", solution_of(EXERCISES["3.2"]))
    ((mine, right),) = drawn
    assert mine.shape == right.shape == (3, 2)


def test_the_maps_of_a_failure_are_drawn(monkeypatch):
    pytest.importorskip("matplotlib")
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    from ltm_edu.exercises.showing import draw

    draw((torch.eye(3), torch.full((3, 3), float("nan"))))
    assert len(shown[0].axes) == 3


@pytest.mark.filterwarnings("error")
def test_drawing_a_failure_warns_of_nothing(monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("IPython.display.display", lambda figure: figure.canvas.draw())
    from ltm_edu.exercises.showing import draw

    draw((torch.eye(3), torch.zeros(3, 4)))


def test_a_flat_map_is_drawn_on_its_grid():
    verdict = examine(
        EXERCISES["4.2"], lambda q, s, g: 2 * equations.attention_from_embeddings(q, s, g)
    )
    assert verdict.case.maps() is None  # the tiny grid has one row
    slow = next(fn for id, fn, _ in COSTLY if id == "4.2")
    random = EXERCISES["4.2"].random()[0]
    wrong = examine(EXERCISES["4.2"], lambda q, s, g: slow(q, s, g) + (q.shape[2] > 1))
    assert wrong.case.maps()[0].shape == random[0].shape[2:]


# Costs, and the package's own functions ---------------------------------------------------------


def hidden(q, s):
    from ltm_edu.equations import relationship_matrix as product

    return product(q, s)


@pytest.mark.parametrize(
    "answer",
    [
        equations.relationship_matrix,
        lambda q, s: equations.relationship_matrix(q, s),
        partial(equations.relationship_matrix, eps=1e-5),
        lambda q, s: equations.relationship_matrix(s, q).mT,
        lambda q, s: 2 * (equations.relationship_matrix(q, s) / 2),
        hidden,
        EXERCISES["3.2"].reference,
    ],
    ids=["itself", "lambda", "partial", "swapped", "scaled", "import", "solution"],
)
def test_the_packages_own_function_is_named(answer):
    says = examine(EXERCISES["3.2"], answer).says
    assert re.search(
        r"ltm_edu\.(equations\.relationship_matrix|exercises\.nb03\.relation) compu", says
    )


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("2.2", equations.masked_features),
        ("3.4", equations.relationship_truth),
        ("6.1", equations.mask_loss),
        ("6.2", equations.attention_loss),
        (
            "6.3",
            lambda u_q, u_s, g_q, g_s: (
                equations.relationship_loss_from_embeddings(
                    u_q, u_s, g_q[:, None], g_s[:, None], reduction="sum"
                )
                / (g_q.numel() * g_s.shape[1])
            ),
        ),
        ("4.2", equations.attention_from_embeddings),
        ("4.3", equations.attention),
        ("5.1", equations.normalize_attention),
    ],
)
def test_the_packages_own_functions_pass_nowhere(id, answer):
    assert "ltm_edu.equations." in examine(EXERCISES[id], answer).says


def test_watching_leaves_the_profiler_and_the_tracer_as_they_were():
    before = sys.getprofile(), sys.gettrace()
    examine(EXERCISES["1.1"], solution_of(EXERCISES["1.1"]))
    assert (sys.getprofile(), sys.gettrace()) == before


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
def test_check_prints_the_same_twice_and_never_raises(exercise, answer, capsys):
    printed = []
    for _ in range(2):
        Course(EXERCISES).check(exercise.id, answer)
        printed.append(capsys.readouterr())
    assert printed[0] == printed[1]
    assert printed[0].err == ""
    first = printed[0].out.splitlines()[0]
    assert len(first) < 240
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
    Course(EXERCISES).check(exercise.id, solution_of(exercise))
    assert capsys.readouterr().out == f"{exercise.id} ok: {exercise.title}\n"


def test_only_the_first_lines_that_an_answer_prints_are_shown(capsys):
    def cosine(a, b):
        print("lengths", len(a), len(b))
        return F.cosine_similarity(a, b, dim=0)

    Course(EXERCISES).check("3.1", cosine)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == ["lengths 2 2"] + 3 * ["lengths 6 6"] + ["lengths 3 3"]
    assert re.fullmatch(r"\[your function printed \d+ more lines, because .*\]", lines[5])
    assert lines[6:] == ["3.1 ok: one pair's cosine, safe at zero"]


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
    assert source == exercise.source() + "\n"  # compiled with torch alone in the tests above
    assert len(source.splitlines()) <= 20


# Progress ---------------------------------------------------------------------------------------


def attempt(**answers: Callable) -> None:
    with contextlib.redirect_stdout(None):
        for id, answer in answers.items():
            Course(EXERCISES).check(id.strip("_").replace("_", "."), answer)


def lines_of_progress(capsys, **options) -> list[str]:
    Course(EXERCISES).progress(**options)
    return capsys.readouterr().out.splitlines()


def test_progress_is_kept_between_kernels_and_can_be_reset(capsys):
    solved, wrong = solution_of(EXERCISES["3.1"]), EXERCISES["3.2"].slips[2].wrong
    attempt(_3_1=solved, _3_2=wrong, _3_3=stub)
    lines = lines_of_progress(capsys)  # another Course, as in another kernel
    assert lines[0] == f"solved 1 of {len(EXERCISES)}"
    assert lines[4] == "03  [x] 3.1  [!] 3.2  [ ] 3.3  [ ] 3.4"
    assert len(lines) == 1 + 11 + 1
    assert lines[-1].startswith("revisit 3.2 the whole R, for a batch: These are dot products")
    assert lines_of_progress(capsys, reset=True)[0] == f"solved 0 of {len(EXERCISES)}"
    assert lines_of_progress(capsys)[0] == f"solved 0 of {len(EXERCISES)}"
    assert not record.place().exists()


def test_what_is_solved_stays_solved(capsys):
    attempt(_3_1=solution_of(EXERCISES["3.1"]))
    attempt(_3_1=stub)
    attempt(_3_1=throws)
    assert "[x] 3.1" in lines_of_progress(capsys)[4]


def test_stubs_write_nothing():
    attempt(_3_1=stub)
    assert not record.place().exists()


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"3.1": 3}', b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_record_counts_as_empty(damage, capsys):
    record.place().parent.mkdir(parents=True)
    record.place().write_bytes(damage)
    assert lines_of_progress(capsys)[0] == f"solved 0 of {len(EXERCISES)}"
    attempt(_3_1=solution_of(EXERCISES["3.1"]))
    assert lines_of_progress(capsys)[0] == f"solved 1 of {len(EXERCISES)}"


def test_a_record_that_cannot_be_written_is_no_error(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("LTM_EDU_DATA", str(tmp_path / "file"))
    course = Course(EXERCISES)
    course.check("3.1", solution_of(EXERCISES["3.1"]))
    course.progress()
    printed = capsys.readouterr()
    assert f"solved 1 of {len(EXERCISES)}" in printed.out  # this session remembers
    assert printed.err == ""
    course.progress(reset=True)
    assert f"solved 0 of {len(EXERCISES)}" in capsys.readouterr().out


def test_strict_runs_leave_no_trace(monkeypatch):
    monkeypatch.setenv("LTM_EDU_STRICT", "1")
    attempt(_3_1=solution_of(EXERCISES["3.1"]))
    assert not record.place().exists()


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
