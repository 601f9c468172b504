"""The pages of teaching/: what they quote exists, minutes and points add up, the code runs."""

import doctest
import re
import shlex
import shutil
from pathlib import Path

import pytest
from helpers import write_voc
from small_notebooks import ROOT, code, png, text, write

from ltm_edu import cli, widgets
from ltm_edu.exercises import EXERCISES
from ltm_edu.scores import METRICS
from ltm_edu.store.errors import InputError
from ltm_edu.transformations import TRANSFORMATIONS
from tools import handout, slides
from tools.course import read_notebooks

pytestmark = pytest.mark.filterwarnings("ignore:.*Check CHANGES for Sphinx API:Warning")

TEACHING = ROOT / "teaching"
GUIDE, EXAM, COURSEWORK = (
    (TEACHING / f"{name}.md").read_text(encoding="utf-8")
    for name in ("guide", "exam", "coursework")
)
SYLLABI = {
    name: (TEACHING / f"{name}.md").read_text(encoding="utf-8")
    for name in ("one_week", "three_weeks")
}
NOTEBOOKS = {n.number: n for n in read_notebooks()}
PLAN = {
    number: (int(in_class), int(at_home), int(exercises))
    for number, in_class, at_home, exercises in re.findall(
        r"^\| (\d\d) \| (\d+) \| (\d+) \| [^|]+ \| (\d+) \|$", GUIDE, flags=re.M
    )
}
SECTIONS = dict(re.findall(r"^## (\d\d) [^\n]+\n(.*?)(?=^## |\Z)", GUIDE, flags=re.DOTALL | re.M))


# The guide -----------------------------------------------------------------------------------


def test_the_guide_has_a_section_and_minutes_for_every_notebook():
    assert list(SECTIONS) == list(PLAN) == list(NOTEBOOKS)
    for number, title in re.findall(r"^## (\d\d) (.+)$", GUIDE, flags=re.M):
        assert title == NOTEBOOKS[number].title


@pytest.mark.parametrize("number", PLAN)
def test_the_steps_of_a_lesson_take_its_minutes(number):
    steps = re.findall(r"^\| (\d+) \| [^|]+ \| [^|]+ \|$", SECTIONS[number], flags=re.M)
    assert sum(map(int, steps)) == PLAN[number][0]


@pytest.mark.parametrize("number", PLAN)
def test_the_guide_counts_the_exercises(number):
    assert PLAN[number][2] == sum(id.split(".")[0] == str(int(number)) for id in EXERCISES)


def test_every_quoted_misconception_is_one_that_the_checker_names():
    quoted = re.findall(r'^\| (\d+\.\d+) \| [^|]+ \| "([^|]+)" \|$', GUIDE, flags=re.M)
    assert len(quoted) == len(re.findall(r"^\| \d+\.\d+ ", GUIDE, flags=re.M)) > 50
    for id, says in quoted:
        assert says in {slip.says for slip in EXERCISES[id].slips}, f"{id}: {says}"


@pytest.mark.parametrize("number", PLAN)
def test_a_section_quotes_its_own_exercises_and_asks_three_to_five_questions(number):
    section = SECTIONS[number]
    ids = re.findall(r"^\| (\d+\.\d+) ", section, flags=re.M)
    assert {id.split(".")[0] for id in ids} == {str(int(number))}
    discussion = section.partition("**Discussion**")[2].partition("**Where")[0]
    assert 3 <= len(re.findall(r"^\d\. \*", discussion, flags=re.M)) <= 5


@pytest.mark.parametrize("number", PLAN)
def test_every_figure_and_widget_of_the_guide_exists(number):
    for count, function in re.findall(r"figure (\d+) \(`(\w+)`\)", SECTIONS[number]):
        slides.figure(NOTEBOOKS[number], int(count), function)
    shown = re.findall(r"^\| \d+ \| [^|]+ \| ([^|]+) \|$", SECTIONS[number], flags=re.M)
    source = "".join("".join(c["source"]) for c in NOTEBOOKS[number].content["cells"])
    for widget in re.findall(r"(?<!\()`(\w+)`", "\n".join(shown)):
        assert callable(getattr(widgets, widget))
        assert f"widgets.{widget}(" in source


@pytest.mark.parametrize("number", PLAN)
def test_every_decimal_of_the_guide_stands_in_its_notebook(number):
    """Numbers of three and more characters; the guide's own sums are the exceptions."""
    cells = NOTEBOOKS[number].content["cells"]
    seen = "".join("".join(c["source"]) for c in cells)
    for output in (o for c in cells for o in c.get("outputs", ())):
        seen += "".join(output.get("text", ""))
    section = re.sub(r"^\| \d+\.\d+ \|.*$", "", SECTIONS[number], flags=re.M)
    section = re.sub(r"(?:exercises? |of )\d+\.\d\b", "", section)
    own = {"00": {"0.87", "0.18"}, "08": {"0.60"}}.get(number, set())
    for decimal in set(re.findall(r"\d+\.\d+(?:e-\d+)?", section)) - own:
        assert decimal in seen, f"notebook {number} has no {decimal}"


# The syllabi ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SYLLABI)
def test_a_syllabus_adds_up_and_has_the_minutes_of_the_guide(name):
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (class|home) \|$", SYLLABI[name], flags=re.M)
    total = {kind: sum(int(m) for m, _, k in rows if k == kind) for kind in ("class", "home")}
    says = f"**In all:** {total['class']} minutes in class, {total['home']} minutes at home."
    assert says in SYLLABI[name]
    for minutes, what, kind in rows:
        if found := re.fullmatch(r"notebook (\d\d)", what):
            assert int(minutes) == PLAN[found[1]][("class", "home").index(kind)], what
    taught = [what for _, what, kind in rows if kind == "class" and what.startswith("notebook")]
    assert taught == [f"notebook {n}" for n in PLAN if name == "three_weeks" or n != "09"]


@pytest.mark.parametrize(
    ("name", "heading", "minutes"),
    [("one_week", "## Day", 150), ("three_weeks", "### Session", 90)],
)
def test_every_day_or_session_has_its_length(name, heading, minutes):
    parts = re.split(f"(?m)^{heading} ", SYLLABI[name])[1:]
    assert len(parts) == {"one_week": 5, "three_weeks": 12}[name]
    for part in parts:
        in_class = re.findall(r"^\| (\d+) \| .+? \| class \|$", part, flags=re.M)
        assert sum(map(int, in_class)) == minutes, part


@pytest.mark.parametrize("name", SYLLABI)
def test_a_syllabus_hands_out_the_notebooks_that_are_for_home(name):
    handed = re.findall(r"^ltm-edu assign ([\d ]+) --out class$", SYLLABI[name], flags=re.M)
    at_home = re.findall(r"^\| \d+ \| notebook (\d\d) \| home \|$", SYLLABI[name], flags=re.M)
    assert " ".join(handed).split() == at_home


# The examination -----------------------------------------------------------------------------

QUESTIONS = re.findall(
    r"^### (\d+)\. [^\n]+ \((\w+), (\d+) points\)\n(.*?)(?=^##|\Z)", EXAM, flags=re.DOTALL | re.M
)
KINDS = {"understand": 8, "compute": 7, "criticise": 5}


def test_the_examination_has_twenty_questions_and_ninety_points():
    assert [int(number) for number, *_ in QUESTIONS] == list(range(1, 21))
    assert sum(int(points) for _, _, points, _ in QUESTIONS) == 90
    for kind, count in KINDS.items():
        assert sum(k == kind for _, k, _, _ in QUESTIONS) == count


@pytest.mark.parametrize(("number", "kind", "points", "body"), QUESTIONS, ids=lambda x: str(x)[:10])
def test_a_question_has_an_answer_and_a_marking_note_for_the_teacher_alone(
    number, kind, points, body
):
    for part in ("**Answer.**", "**Marking.**"):
        assert body.count(part) == 1
        assert part not in handout.for_students(body)
    assert ("```python" in body) or kind != "compute"


def test_the_numbers_of_the_examination_are_computed_by_the_package():
    run = doctest.DocTestRunner()
    example = doctest.DocTestParser().get_doctest(EXAM, {}, "exam.md", "exam.md", 0)
    assert run.run(example).failed == 0
    assert len(example.examples) > 40


@pytest.mark.parametrize(
    ("number", "body"), [(n, b) for n, _, _, b in QUESTIONS if "```python" in b]
)
def test_every_bold_number_of_an_answer_is_printed_by_its_code(number, body):
    question, _, answer = body.partition("**Answer.**")
    program = answer.partition("```python")[2].partition("```")[0]
    printed = "\n".join(
        line for line in program.splitlines() if not line.startswith((">>>", "..."))
    )
    given = "\n".join(re.findall(r"^(?:>>>|\.\.\.).*$", program, flags=re.M))
    if number == "10":  # continues with the matrix of the question before it
        given += QUESTIONS[8][3]
    bold = re.findall(r"\*\*(-?[\d.]+)\*\*", answer.partition("```python")[0])
    assert bold
    for value in bold:
        assert float(value) in [float(v) for v in re.findall(r"-?\d+(?:\.\d+)?", printed)], value
    for formula in re.findall(r"\$\$(.*?)\$\$", question, flags=re.DOTALL):
        for value in re.findall(r"-?\d+(?:\.\d+)?", formula):
            numbers = [float(v) for v in re.findall(r"\d+(?:\.\d+)?", given)]
            assert float(value) in numbers or float(value) in (0, 1), value


def test_a_paper_for_students_holds_no_answer(tmp_path, capsys):
    out = tmp_path / "paper.md"
    assert handout.main([str(TEACHING / "exam.md"), "--out", str(out)]) == 0
    paper = out.read_text(encoding="utf-8")
    assert "Answer" not in paper
    assert "Marking" not in paper
    assert "doctest" not in paper
    assert len(re.findall(r"^### ", paper, flags=re.M)) == 20
    assert handout.main([str(TEACHING / "exam.md"), "--out", str(out)]) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize(("before", "after"), [("", "\r"), ("", " "), ("  ", ""), ("\t", "\t\r")])
def test_an_answer_is_left_out_whatever_spaces_and_line_ends_are_around_its_marks(before, after):
    page = ["Why?", f"{before}{handout.BEGIN}{after}", "Because.", f"{before}{handout.END}{after}"]
    assert handout.for_students("\n".join([*page, "How?"])) == "Why?\nHow?\n"


@pytest.mark.parametrize(
    "page",
    ["no marks", f"{handout.BEGIN}\nno end", f"{handout.END}\n{handout.BEGIN}"],
)
def test_a_page_whose_marks_are_wrong_is_refused(page, tmp_path, capsys):
    path = tmp_path / "page.md"
    path.write_text(page, encoding="utf-8")
    assert handout.main([str(path)]) == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err.count("\n") == 1
    assert "page.md" in said.err


# The coursework ------------------------------------------------------------------------------

TASKS = dict(
    re.findall(r"^## (Task \w)[^\n]*\n(.*?)(?=^## |\Z)", COURSEWORK, flags=re.DOTALL | re.M)
)
BLOCKS = {
    task: re.findall(r"```(python|sh)\n(.*?)```", body, flags=re.DOTALL)
    for task, body in TASKS.items()
}
SMALL = {  # a drawn folder in the place of the miniature, small pictures, few questions
    r"^DATA, FOLDS, EPISODES = .*$": 'DATA, FOLDS, EPISODES = "shapes", (0,), 4',
    r"^DATA, FOLD, EPISODES = .*$": 'DATA, FOLD, EPISODES = "shapes", 0, 4',
    r"recipe_for\(DATA\)": 'recipe_for(DATA).changed(["image_size=97"])',
}
QUICK = "--set steps=2 --set batch=2 --set image_size=97 --set features=8 --set held_out=0"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a small data set; what a program registers is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    write_voc(tmp_path / "shapes", train=3, val=3)
    tables = (TRANSFORMATIONS, METRICS)
    before = [dict(table) for table in tables]
    yield tmp_path
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)


def test_there_are_three_tasks_with_a_start_and_a_solution():
    assert list(TASKS) == ["Task A", "Task B", "Task C"]
    assert [[kind for kind, _ in blocks] for blocks in BLOCKS.values()] == [
        ["python", "python"],
        ["python", "python"],
        ["sh", "python", "sh", "python"],
    ]
    for body in TASKS.values():
        points = re.findall(r"^\| [^|]+ \| (\d+) \| [^|]+ \|$", body, flags=re.M)
        assert sum(map(int, points)) == 20
        for_students = handout.for_students(body)
        assert "Model solution" not in for_students
        assert "Expected numbers" not in for_students
        assert "| criterion | points |" in for_students
        assert "**Where to begin.**" in for_students


@pytest.mark.parametrize(
    ("task", "number", "prints"),
    [
        ("Task A", 0, r"mine +0\.\d+  \+0\.000 "),
        ("Task A", 1, r"median +0\.\d+  [+-]0\.\d+ "),
        ("Task B", 0, r"all foreground .* 1\.000$"),
        ("Task B", 1, r"uneven: mIoU 0\.525, mean Dice 0\.548"),
    ],
)
def test_a_program_of_the_coursework_runs_as_it_stands(task, number, prints, here, capsys):
    kind, program = BLOCKS[task][number]
    assert kind == "python"
    for pattern, small in SMALL.items():
        program = re.sub(pattern, small, program, flags=re.M)
    assert '"shapes"' in program
    exec(compile(program, f"{task}, program {number}", "exec"), {"__name__": task})
    assert re.search(prints, capsys.readouterr().out, flags=re.M)


def test_a_transformation_that_breaks_a_rule_fails_the_checks_of_its_task(here):
    program = BLOCKS["Task A"][0][1].partition("recipe = ")[0]
    right = "return (R * g).sum(dim=2) / g.sum(dim=2).clamp_min(1e-5)"
    assert right in program
    for wrong, check in {
        "return (R * g).sum(dim=2) / g.sum(dim=2)": "infinite|^4:",
        "return (R * g)[..., :9].sum(dim=2)": "^3:",
        "return E_q.flatten(2).norm(dim=1) * (R * g).sum(dim=2)": "^2:",
    }.items():
        with pytest.raises((AssertionError, ValueError), match=check):
            exec(program.replace(right, wrong), {"__name__": "wrong"})


@pytest.mark.soak
@pytest.mark.parametrize("task", ["Task A", "Task B"])
def test_the_expected_numbers_of_the_coursework_come_out(task, here, capsys):
    (expected,) = re.findall(r"```text\n(.*?)```", TASKS[task], flags=re.DOTALL)
    exec(BLOCKS[task][1][1], {"__name__": task})
    printed = capsys.readouterr().out
    for line in expected.splitlines():
        name, numbers = re.fullmatch(r"([a-z LTM]+?) +(\d.*)", line).groups()
        (found,) = re.findall(rf"^{name} +(\d[^a-z]*)$", printed, flags=re.M)
        for ours, theirs in zip(decimals(numbers), decimals(found), strict=False):
            assert ours == pytest.approx(theirs, abs=0.005), line


def decimals(text: str) -> list[float]:
    return [float(value) for value in re.findall(r"-?\d+\.\d{3}", text)]


def run(block: str, shorter: str = "") -> None:
    """Run commands on the small data set, in a few seconds each."""
    for line in block.strip().splitlines():
        line = line.replace("emoji5i --fold", "shapes --fold").replace("1000", "4")
        program, *arguments = shlex.split(line.replace("--fold all", shorter or "--fold all"))
        assert program == "ltm-edu"
        quick = shlex.split(QUICK) if arguments[0] == "train" else []
        assert cli.main([*arguments, *quick]) == 0


def options(block: str) -> set[str]:
    return set(re.findall(r"ltm-edu \w+|--\w+", block))


@pytest.fixture
def checkpoints(here) -> Path:
    """The working folder as the top of the checkout, with the shipped checkpoints."""
    (here / "data").mkdir()
    (here / "data" / "checkpoints").symlink_to(ROOT / "data" / "checkpoints")
    return here


def test_the_commands_of_the_third_task_run_and_its_programs_read_their_results(
    checkpoints, capsys
):
    (_, commands), (_, program), (_, more), (_, table) = BLOCKS["Task C"]
    run(commands, shorter="--fold 0")
    exec(program, {"__name__": "Task C"})
    printed = capsys.readouterr().out
    assert re.search(r"^global_seed0.json  fold 1: 0\.\d{3}$", printed, flags=re.M)
    assert options(more) == options(commands) | {"--set"}
    for written in re.findall(r"--json (\S+)", more):
        shutil.copy("global_seed0.json", written)
    exec(table, {"__name__": "Task C"})
    printed = capsys.readouterr().out
    assert re.search(r"^global +0\.\d{3}  0\.\d{3}$", printed, flags=re.M)


@pytest.mark.soak
def test_all_commands_of_the_third_task_run_as_they_stand(checkpoints, capsys):
    for kind, block in BLOCKS["Task C"]:
        if kind == "python":
            exec(block, {"__name__": "Task C"})
        else:
            run(block)
    assert re.search(r"^local +0\.\d{3}  0\.\d{3}$", capsys.readouterr().out, flags=re.M)


# The slides ----------------------------------------------------------------------------------

DECKS = sorted((TEACHING / "slides").glob("*.md"))


@pytest.fixture
def checkout(tmp_path) -> Path:
    """One notebook with two figures, and a deck that shows both and has a formula and a note."""
    write(
        tmp_path,
        "03_a.ipynb",
        text("# 03 · One"),
        code("figures.relation()", png=png()),
        code("figures.blocks()", png=png(50, 20)),
    )
    (tmp_path / "decks").mkdir()
    (tmp_path / "decks" / "03_one.md").write_text(
        "# 03 · One\n\n## Question\n\n$$a^2$$\n\nand $b$\n\n% Wait for answers.\n\n## Figure\n\n"
        "![Two blocks](figure:03/2/blocks)\n",
        encoding="utf-8",
    )
    return tmp_path


def build(checkout: Path) -> list[Path]:
    return slides.build(checkout / "decks", checkout / "notebooks", checkout / "out")


def test_every_notebook_has_a_deck_that_begins_with_the_question():
    assert [deck.name[:2] for deck in DECKS] == list(NOTEBOOKS)
    for deck in DECKS:
        pages = re.split(r"(?m)^##? ", deck.read_text(encoding="utf-8"))[1:]
        assert 8 <= len(pages) <= 15, deck.name
        assert pages[0].startswith(f"{deck.name[:2]} · {NOTEBOOKS[deck.name[:2]].title}")
        assert pages[1].startswith("Predict first")
        assert sum("\n> " in page for page in pages) >= 3, f"{deck.name}: questions"
        assert sum("\n% " in page for page in pages) >= 5, f"{deck.name}: speaker's notes"


def test_every_figure_of_every_deck_exists(tmp_path):
    for deck in DECKS:
        page = slides.with_figures(deck, NOTEBOOKS, tmp_path)
        assert "figure:" not in page
        assert page.count("](figures/") >= 3, deck.name


def test_a_deck_has_its_figure_its_formula_and_its_note_and_needs_no_network(checkout):
    (deck,) = build(checkout)
    page = deck.read_text(encoding="utf-8")
    assert page.count("<section") >= 3
    assert '<aside class="notes">' in page
    assert "Wait for answers." in page
    (name,) = re.findall(r'alt="Two blocks" src="([^"]+)"', page)
    assert (deck.parent / name).read_bytes().startswith(b"\x89PNG")
    assert "\\[a^2\\]" in re.sub(r"\s", "", page)
    sources = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert not [s for s in sources if re.match(r"[a-z]+:|//", s)]
    for source in sources:
        assert (deck.parent / source.partition("?")[0]).is_file(), source
    for sheet in (
        deck.parent / "_static/revealjs/dist/theme/white.css",
        deck.parent / "_static/slides.css",
    ):
        assert not re.search(r"@import[^;]*https?:", sheet.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("![x](figure:03/3/blocks)", "line 3: notebook 03 has 2 figures, not 3"),
        ("![x](figure:04/1/blocks)", "line 3: there is no notebook 04"),
        ("![x](figure:03/1/blocks)", "figure 1 of notebook 03 is not drawn by blocks"),
        ("![](figure:03/2/blocks)", "line 3: say between the brackets"),
        ("![x](figure:03/2)", "line 3: write"),
        ("![x](nowhere.png)", "nowhere.png"),
    ],
)
def test_a_wrong_figure_is_one_line_and_leaves_the_slides_as_they_were(
    checkout, reference, says, capsys
):
    (checkout / "out").mkdir()
    for name in (slides.MARK, "old.html"):
        (checkout / "out" / name).write_text("earlier slides", encoding="utf-8")
    (checkout / "decks" / "03_one.md").write_text(f"# T\n\n{reference}\n", encoding="utf-8")
    options = [
        f"--{n}={checkout / d}"
        for n, d in (("sources", "decks"), ("notebooks", "notebooks"), ("out", "out"))
    ]
    assert slides.main(options) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert says in said
    assert "03_one.md" in said
    assert sorted(p.name for p in (checkout / "out").iterdir()) == ["old.html", slides.MARK]
    assert not [p for p in checkout.iterdir() if p.name.startswith(".")]


def test_a_folder_with_other_files_is_not_replaced(checkout):
    (checkout / "out").mkdir()
    (checkout / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not slides"):
        build(checkout)


# All pages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", sorted(TEACHING.glob("*.md")), ids=lambda p: p.name)
def test_every_link_of_a_page_has_its_target(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (TEACHING / target).exists(), target
