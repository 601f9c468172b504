import ast
import json
import re
import shutil

import pytest
from small_notebooks import ROOT, notebook, text, write

from ltm_edu import equations
from ltm_edu.store.errors import InputError
from tools import course
from tools.course import EQUATIONS, MOMENTS, read_notebooks


@pytest.fixture
def checkout(tmp_path):
    """A README and two notebooks, the first with equations 2 and 5."""
    shutil.copy(ROOT / "README.md", tmp_path)
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "data" / "rehearsal.json", tmp_path / "data")
    write(tmp_path, "02_a.ipynb", text("# 02 · One"), text("$$R \\tag{2}$$ and $$A \\tag{5}$$"))
    write(tmp_path, "03_b.ipynb", text("# 03 · Two"), text("$$B \\tag*{IoU} \\notag$$"))
    return tmp_path


# README --------------------------------------------------------------------------------------


def test_readme_holds_the_tables_that_the_notebooks_give():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == course.with_tables(readme, read_notebooks()), "run `make readme`"


def test_every_equation_is_listed_in_the_papers_order():
    assert [n for e in EQUATIONS for n in e.numbers] == list(range(1, 12))


@pytest.mark.parametrize("equation", EQUATIONS, ids=lambda e: e.name)
def test_every_function_states_its_equation(equation):
    for name in equation.functions:
        summary = getattr(equations, name).__doc__.split("\n\n")[0]
        numbers = {int(n) for n in re.findall(r"\d+", summary.split(":")[0])}
        assert numbers & set(equation.numbers), f"{name}: {summary}"


def test_every_test_in_the_table_exists():
    names = set()
    for path in (ROOT / "tests").glob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {e.test for e in EQUATIONS} <= names


def test_every_notebook_of_the_course_has_its_moment_and_cites_the_papers_numbers():
    for n in read_notebooks():
        assert n.moment, f"{n.path.name}: add its line to tools.course.MOMENTS"
        assert set(n.equations) <= set(range(1, 12)), n.path.name


def test_the_notebooks_column_comes_from_the_tags(checkout):
    rows = course.equation_table(read_notebooks(checkout / "notebooks")).splitlines()
    column = {row.split("|")[1].strip(): row.split("|")[3].strip() for row in rows[2:]}
    assert column["2 relationship matrix"] == column["4, 5 attention"] == "02"
    assert {v for k, v in column.items() if k[0] not in "24"} == {"-"}


def test_a_new_notebook_enters_both_tables(checkout):
    before = read_notebooks(checkout / "notebooks")
    write(checkout, "04_c.ipynb", text("# 04 · Three\n\nwords"), text("$$A \\tag{4}$$"))
    after = read_notebooks(checkout / "notebooks")
    assert "04" not in course.notebook_table(before).split("Not written yet")[0]
    assert f"[04 Three](notebooks/04_c.ipynb) | {MOMENTS['04']} | 4 |" in course.notebook_table(
        after
    )
    assert "Not written yet: 00, 01, 05 to 10." in course.notebook_table(after)
    assert "| 02, 04 |" in course.equation_table(after)


def test_the_command_rewrites_readme_once(checkout, capsys):
    readme = checkout / "README.md"
    prose = re.sub(r"(?s)<!-- (\w+): .*?<!-- end of \1 -->", "", readme.read_text(encoding="utf-8"))
    assert course.main(["--root", str(checkout)]) == 0
    written = readme.read_text(encoding="utf-8")
    assert "[02 One](notebooks/02_a.ipynb)" in written
    assert re.sub(r"(?s)<!-- (\w+): .*?<!-- end of \1 -->", "", written) == prose
    assert course.main(["--root", str(checkout)]) == 0
    assert readme.read_text(encoding="utf-8") == written
    assert capsys.readouterr().out.splitlines() == [
        "README's tables rewritten",
        "README's tables are up to date",
    ]


def test_the_rehearsals_times_come_from_its_file(checkout, capsys):
    file = checkout / "data" / "rehearsal.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    record["stages"]["train fold 2"]["seconds"] = 754.4
    file.write_text(json.dumps(record), encoding="utf-8")
    assert course.main(["--root", str(checkout)]) == 0
    assert "| train fold 2 | 12:34 |" in (checkout / "README.md").read_text(encoding="utf-8")
    file.write_text("{}", encoding="utf-8")
    assert course.main(["--root", str(checkout)]) == 2
    assert "rehearsal.json is not a rehearsal" in capsys.readouterr().err


def test_a_readme_without_markers_is_not_changed(checkout, capsys):
    readme = checkout / "README.md"
    readme.write_text("# bare\n", encoding="utf-8")
    assert course.main(["--root", str(checkout)]) == 2
    message = capsys.readouterr().err
    assert "README.md needs the lines <!-- notebooks:" in message
    assert message.count("\n") == 1
    assert readme.read_text(encoding="utf-8") == "# bare\n"


# Reading a notebook ----------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["·", ".", ":", "-", "–", ""])
def test_a_number_and_a_title_may_be_separated_in_several_ways(tmp_path, mark):
    path = write(tmp_path, "07_x.ipynb", text(f"# 07 {mark} Train: it\n\nwords"))
    read = course.read_notebook(path)
    assert (read.number, read.title) == ("07", "Train: it")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a notebook"),
        ("{}", "is not a notebook"),
        ("[]", "is not a notebook"),
        (notebook(), 'must begin with "# NN · Title"'),
        (notebook(text("## no title")), 'must begin with "# NN · Title"'),
    ],
)
def test_a_file_that_is_no_notebook_of_the_course_is_named(tmp_path, content, message):
    path = write(tmp_path, "07_x.ipynb", raw=content)
    with pytest.raises(InputError, match=rf"^07_x\.ipynb.*{message}"):
        course.read_notebook(path)


def test_two_notebooks_with_one_number_are_named(checkout):
    write(checkout, "02_z.ipynb", text("# 02 · Again"))
    with pytest.raises(InputError, match=r"02_a\.ipynb and 02_z\.ipynb share the number 02"):
        read_notebooks(checkout / "notebooks")


def test_a_folder_without_notebooks_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no notebook"):
        read_notebooks(tmp_path)


def league(methods: dict[str, float]) -> dict:
    """What compare --json writes, as far as README's table needs it."""
    entries = [
        {
            "method": name,
            "trained": trained,
            "miou": value,
            "difference": {"value": value - 0.3, "low": value - 0.35, "high": value - 0.25},
            "seconds": 0.0123,
        }
        for trained in (False, True)
        for name, value in methods.items()
    ]
    return {
        "dataset": "photos",
        "split": "all",
        "folds": [0, 1],
        "protocol": {"shots": 1, "episodes": 300},
        "training": "100 updates of 8 episodes",
        "command": "ltm-edu compare --data photos",
        "entries": entries,
    }


def test_every_league_in_the_data_folder_becomes_a_table(tmp_path):
    assert course.league_tables(tmp_path) == ""
    (tmp_path / "league_photos.json").write_text(json.dumps(league({"local": 0.3, "ridge": 0.36})))
    table = course.league_tables(tmp_path)
    assert "| `local` | none | 0.300 | - | 12.3 |" in table
    assert "| `ridge` | trained | 0.360 | +0.060 (+0.010 to +0.110) | 12.3 |" in table
    assert "*photos*: folds 0, 1 of photos (all), 1-shot, 300 episodes a fold; trained:" in table
    assert "\nltm-edu compare --data photos\n" in table


def test_every_ablation_in_the_data_folder_becomes_a_table(tmp_path):
    assert course.ablation_tables(tmp_path) == ""
    row = {"name": "the recipe", "folds": {"2": 0.25, "3": 0.5}, "mean": 0.375}
    record = {"command": "python -m tools.ablation --fold 2,3", "dataset": "voc", "steps": 300}
    record = {**record, "episodes": 9, "trainings": 1, "rows": [{**row, "trainings": [0.375]}]}
    (tmp_path / "ablation_voc.json").write_text(json.dumps(record))
    table = course.ablation_tables(tmp_path)
    assert "| variant | fold 2 | fold 3 | mean |" in table
    assert "| the recipe | 0.250 | 0.500 | 0.375 |" in table
    assert (
        "*voc* (val): novel classes, 9 episodes a fold, 300 updates, one training of each." in table
    )
    record |= {"split": "all", "trainings": 2, "rows": [{**row, "trainings": [0.35, 0.4]}]}
    (tmp_path / "ablation_voc.json").write_text(json.dumps(record))
    table = course.ablation_tables(tmp_path)
    assert "| the recipe | 0.250 | 0.500 | 0.375 (0.350, 0.400) |" in table
    assert "*voc* (all): novel classes" in table
    assert "300 updates, 2 trainings of each." in table
    assert "\npython -m tools.ablation --fold 2,3\n" in table
    rows = [{**record["rows"][0], "difference": d} for d in ([0, 0, 0], [0.04, 0.01, 0.07])]
    (tmp_path / "ablation_voc.json").write_text(json.dumps({**record, "rows": rows}))
    table = course.ablation_tables(tmp_path)
    assert "| the recipe | 0.250 | 0.500 | 0.375 (0.350, 0.400) | - |" in table
    assert table.count("(+0.010 to +0.070) |") == 1


@pytest.mark.parametrize("kind", ["league", "ablation"])
def test_a_file_that_is_none_is_named(checkout, capsys, kind):
    (checkout / "data" / f"{kind}_bad.json").write_text("{}")
    assert course.main(["--root", str(checkout)]) == 2
    assert f"{kind}_bad.json is no" in capsys.readouterr().err
