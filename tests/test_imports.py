"""Which module may import which: the contracts of pyproject.toml, and no private names."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(p for package in ("ltm_edu", "tools") for p in (ROOT / package).rglob("*.py"))
NAMED_TUPLE = ("_fields", "_replace", "_asdict", "_make")  # public in spite of the underscore


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in NAMED_TUPLE


def is_ours(node: ast.ImportFrom | str) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or is_ours(node.module)
    return node.split(".")[0] in ("ltm_edu", "tools")


def private_names(source: str) -> Iterator[str]:
    """Find the private names that a module takes from other modules of ours, with their lines."""
    tree = ast.parse(source)
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and is_ours(node):
            parts = [part for alias in node.names for part in alias.name.split(".")]
            for part in (node.module or "").split(".") + parts:
                if is_private(part):
                    yield f"{node.lineno}: {part}"
            imported |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            ours = [alias for alias in node.names if is_ours(alias.name)]
            imported |= {alias.asname or alias.name.split(".")[0] for alias in ours}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = node.value
            while isinstance(owner, ast.Attribute):  # ltm_edu.store.files._name
                owner = owner.value
            if isinstance(owner, ast.Name) and owner.id in imported:
                yield f"{node.lineno}: {ast.unparse(node)}"


def lint_imports(folder: Path) -> subprocess.CompletedProcess:
    run = "from importlinter.cli import lint_imports_command as run; run()"
    command = [sys.executable, "-c", run, "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_imports_keep_the_contracts():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "says"),
    [
        ("equations", "from . import model", "ltm_edu.equations -> ltm_edu.model"),  # upwards
        ("upsam", "from . import backbones", "ltm_edu.upsam -> ltm_edu.backbones"),  # sideways
        ("store/errors", "from . import files", "No cycles are allowed in ltm_edu.store"),
        ("model", "import tools.course", "ltm_edu.model -> tools.course"),  # out of the library
        ("misplaced", "", "ltm_edu.misplaced"),  # a module that no layer names
    ],
)
def test_a_wrong_import_breaks_a_contract(tmp_path, module, line, says):
    for path in [*MODULES, ROOT / "pyproject.toml"]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    with (tmp_path / "ltm_edu" / f"{module}.py").open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1
    assert says in result.stdout


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_uses_a_private_name_of_another(path):
    assert list(private_names(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "from .files import _lock",
        "from ltm_edu._hidden import lock",
        "from ltm_edu.store import files\nfiles._lock()",
        "import ltm_edu.store.files\nltm_edu.store.files._lock()",
        "import tools.book as pages\npages._write()",
        "from .model import LTM\nLTM._build()",
    ],
)
def test_a_private_name_of_another_module_is_found(source):
    assert list(private_names(source))


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos._exit(0)",
        "from collections import namedtuple as pair\npair('a', 'b')._fields",
        "from .model import LTM\nLTM.__doc__",
        "from .scores import Counts\nCounts._fields",
        "class A:\n    def f(self):\n        return self._x",
    ],
)
def test_private_names_of_ones_own_and_of_other_libraries_are_left_alone(source):
    assert list(private_names(source)) == []
