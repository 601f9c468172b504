"""One wrong sign in equations.py turns a notebook red."""

import ast
import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "ltm_edu" / "equations.py"
DATA = os.environ.get("LTM_EDU_DATA")  # read before a fixture gives each test a folder of its own

# What stands there, what it becomes, the notebook that notices. The signs of eps are left out: it
# is there so that nothing is divided by zero, and a hundred-thousandth either way shows nowhere.
SIGNS = {
    "equation 6, the map": ("(A - low)", "(A + low)", "05"),
    "equation 6, the range": ("(high - low + eps)", "(high + low + eps)", "05"),
    "equation 9, released": ("1 - resized", "1 + resized", "06"),
    "equation 10": ("(R - R_truth)", "(R + R_truth)", "06"),
    "equation 10, Gram, cross term": ("relation - 2 *", "relation + 2 *", "06"),
    "equation 10, Gram, truth": ("on_truth + truth", "on_truth - truth", "06"),
    "equation 11, L_a": ("* L_m + lambda_a * L_a", "* L_m - lambda_a * L_a", "06"),
    "equation 11, L_r": ("* L_a + lambda_r * L_r", "* L_a - lambda_r * L_r", "06"),
}
TRIED_HERE = ("equation 6, the map", "equation 9, released", "equation 10")


def signs(source: str) -> set[str]:
    """Each sum and difference in the source, as text."""
    return {
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)
    }


def test_every_sign_but_those_of_eps_is_in_the_list():
    known = [now.strip("()") for now, _, _ in SIGNS.values()]
    left = {
        text
        for text in signs(SOURCE.read_text(encoding="utf-8"))
        if "eps" not in text and "1e-06" not in text and "0.0001" not in text
    }
    assert {text for text in left if not any(k in text for k in known)} <= {"high - low"}
    for now, _, _ in SIGNS.values():
        assert SOURCE.read_text(encoding="utf-8").count(now) == 1, now


def with_sign(folder: Path, now: str, then: str) -> Path:
    """A copy of the package with one sign changed, and the course's data beside it."""
    shutil.copytree(ROOT / "ltm_edu", folder / "ltm_edu", ignore=shutil.ignore_patterns("__pyc*"))
    (folder / "data").mkdir()
    shutil.copytree(ROOT / "data" / "checkpoints", folder / "data" / "checkpoints")
    path = folder / "ltm_edu" / "equations.py"
    path.write_text(path.read_text(encoding="utf-8").replace(now, then), encoding="utf-8")
    return folder


def run_notebook(number: str, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a notebook of the course with the package of a folder."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(package))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setenv("LTM_EDU_DATA", DATA or str(ROOT / "data"))
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    nb = nbformat.read(path, as_version=4)
    where = nbformat.v4.new_code_cell("import ltm_edu; print(ltm_edu.__file__)")
    nb.cells.insert(0, where)
    resources = {"metadata": {"path": str(package)}}
    try:
        nbclient.NotebookClient(nb, timeout=300, resources=resources).execute()
    finally:
        assert str(package) in where.outputs[0]["text"]


@pytest.mark.parametrize("name", list(SIGNS) if os.environ.get("LTM_EDU_ALL_SIGNS") else TRIED_HERE)
def test_a_wrong_sign_turns_a_notebook_red(name, tmp_path, monkeypatch):
    from nbclient.exceptions import CellExecutionError

    now, then, number = SIGNS[name]
    with pytest.raises(CellExecutionError):
        run_notebook(number, with_sign(tmp_path, now, then), monkeypatch)
