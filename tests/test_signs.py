"""One wrong sign in equations.py turns a notebook red."""

import ast
import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "ltm_edu" / "equations.py"
DATA = os.environ.get("LTM_EDU_DATA")  # read before a fixture sets it for each test

# The term, the same term with a wrong sign, and the notebook that must fail. The signs of eps are
# left out: eps only prevents a division by zero, and so small a number changes no saved output.
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
TESTED = ("equation 6, the map", "equation 9, released", "equation 10")


def signs(source: str) -> set[str]:
    """Return each sum and difference in the source, as text."""
    return {
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)
    }


def test_every_sign_but_those_of_eps_is_in_the_list():
    known = [right.strip("()") for right, _, _ in SIGNS.values()]
    terms = {
        text
        for text in signs(SOURCE.read_text(encoding="utf-8"))
        if "eps" not in text and "1e-06" not in text and "0.0001" not in text
    }
    assert {text for text in terms if not any(k in text for k in known)} <= {"high - low"}
    for right, _, _ in SIGNS.values():
        assert SOURCE.read_text(encoding="utf-8").count(right) == 1, right


def change_sign(folder: Path, right: str, wrong: str) -> Path:
    """Copy the package and the course's data into a folder, and change one sign there."""
    shutil.copytree(ROOT / "ltm_edu", folder / "ltm_edu", ignore=shutil.ignore_patterns("__pyc*"))
    (folder / "data").mkdir()
    shutil.copytree(ROOT / "data" / "checkpoints", folder / "data" / "checkpoints")
    path = folder / "ltm_edu" / "equations.py"
    path.write_text(path.read_text(encoding="utf-8").replace(right, wrong), encoding="utf-8")
    return folder


def run_notebook(number: str, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a notebook of the course with the package in a folder."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(package))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setenv("LTM_EDU_DATA", DATA or str(ROOT / "data"))
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    nb = nbformat.read(path, as_version=4)
    cell = nbformat.v4.new_code_cell("import ltm_edu; print(ltm_edu.__file__)")
    nb.cells.insert(0, cell)
    resources = {"metadata": {"path": str(package)}}
    try:
        nbclient.NotebookClient(nb, timeout=300, resources=resources).execute()
    finally:
        assert str(package) in cell.outputs[0]["text"]


@pytest.mark.parametrize("name", list(SIGNS) if os.environ.get("LTM_EDU_ALL_SIGNS") else TESTED)
def test_a_wrong_sign_turns_a_notebook_red(name, tmp_path, monkeypatch):
    from nbclient.exceptions import CellExecutionError

    right, wrong, number = SIGNS[name]
    with pytest.raises(CellExecutionError):
        run_notebook(number, change_sign(tmp_path, right, wrong), monkeypatch)
