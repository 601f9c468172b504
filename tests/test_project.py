import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
TOML = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = TOML["project"]
EXTRAS = PROJECT["optional-dependencies"]
needs_make = pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")


def name(requirement: str) -> str:
    """'resvg_py>=0.5' -> 'resvg-py'."""
    return Requirement(requirement).name.lower().replace("_", "-")


def make(*arguments: object) -> subprocess.CompletedProcess:
    """Run make, as if no other make had started these tests."""
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    command = ["make", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


def targets() -> list[str]:
    """The targets that `make help` lists."""
    lines = [line.split() for line in make("help").stdout.splitlines()]
    return [words[1] for words in lines if words[0] == "make"]


def environment() -> dict[str, list[str]]:
    """Read the lists of environment.yml: the key above each, and its items."""
    lists, key = {}, ""
    for line in (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines():
        line = line.split("#")[0].strip()
        if line.endswith(":"):
            key = line.removeprefix("- ").removesuffix(":")
            lists[key] = []
        elif line.startswith("- "):
            lists[key].append(line.removeprefix("- "))
    return lists


def test_conda_and_pip_ask_for_the_same_python():
    assert f"python{PROJECT['requires-python']}" in environment()["dependencies"]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("ablation", ["--data", "MISSING"]),
        ("book", ["--root", "MISSING", "--out", "MISSING", "--repository", ""]),
        ("course", ["--root", "MISSING"]),
        ("edges", ["--data", "MISSING"]),
        ("handout", ["MISSING"]),
        ("own_pictures", ["--data", "MISSING"]),
        ("presence", ["--data", "MISSING"]),
        ("rehearsal", ["--masks", "MISSING", "--train", "MISSING", "--val", "MISSING"]),
        ("slides", ["--sources", "MISSING", "--out", "MISSING"]),
    ],
)
def test_a_mistake_in_a_tools_arguments_is_one_line(name, given, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LTM_EDU_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert import_module(f"tools.{name}").main(given) == 2
    out, err = capsys.readouterr()
    assert "|" not in out
    assert err.count("\n") == 1
    assert "MISSING" in err


@needs_make
@pytest.mark.parametrize(("below", "says"), [(1, "No Python {} or newer"), (0, "Creating")])
def test_make_asks_for_the_same_python(tmp_path, below, says):
    version = PROJECT["requires-python"].removeprefix(">=")
    major, minor = map(int, version.split("."))
    claim = f"import sys; sys.version_info = ({major}, {minor - below}, 0);"
    python = tmp_path / "python"  # claims a version, and makes no environment
    python.write_text(f'#!/bin/sh\ntest "$1" = -c && exec "{sys.executable}" -c "{claim} $2"\n')
    python.chmod(0o755)
    venv = tmp_path / "venv"
    result = make(f"PYTHON={python}", f"VENV={venv}", venv / ".installed")
    assert result.returncode != 0
    assert says.format(version) in result.stdout + result.stderr
    assert not venv.exists()


def test_conda_takes_packages_from_conda_forge_alone():
    assert environment()["channels"] == ["conda-forge", "nodefaults"]


def test_conda_installs_the_rest_from_pyproject():
    (editable,) = environment()["pip"]
    option, checkout = editable.split()
    assert (option, checkout[0]) == ("-e", ".")
    named = Requirement(f"{PROJECT['name']}{checkout[1:]}").extras
    assert named
    assert named <= set(EXTRAS)


def test_an_extra_that_names_extras_names_existing_ones():
    lists = [r for rs in EXTRAS.values() for r in rs if name(r) == PROJECT["name"]]
    for requirement in lists:
        assert Requirement(requirement).extras <= set(EXTRAS)


def test_nothing_is_listed_twice():
    ours = [r for rs in [PROJECT["dependencies"], *EXTRAS.values()] for r in rs]
    conda = [r for r in environment()["dependencies"] if name(r) != "pip"]
    names = [name(r) for r in ours + conda if name(r) != PROJECT["name"]]
    assert sorted(names) == sorted(set(names))


def test_every_dependency_has_a_lower_bound():
    for requirements in [PROJECT["dependencies"], *EXTRAS.values()]:
        for requirement in requirements:
            bounds = [bound.operator for bound in Requirement(requirement).specifier]
            assert ">=" in bounds or name(requirement) == PROJECT["name"]


def test_the_version_has_one_source():
    assert "version" in PROJECT["dynamic"]
    assert "version" not in PROJECT
    assert TOML["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "ltm_edu.__version__"}
    tree = ast.parse((ROOT / "ltm_edu" / "__init__.py").read_text(encoding="utf-8"))
    (version,) = (
        node.value.value  # a plain string, which setuptools reads without importing torch
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__version__"
    )
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)


@needs_make
def test_readme_names_only_make_targets_that_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", readme, flags=re.DOTALL))
    named = set(re.findall(r"\bmake ([a-z-]+)", code))
    assert {"lab", "test", "test-browser", "book"} <= named <= set(targets())


@needs_make
def test_make_help_lists_every_target():
    database = make("-qp").stdout.splitlines()  # how make itself has read the Makefile
    (phony,) = (line for line in database if line.startswith(".PHONY:"))
    assert targets() == phony.split()[1:]


@needs_make
def test_make_test_runs_the_notebooks_in_two_processes_and_takes_further_options():
    plan = make("-n", "test", "PYTHON=python3", "ARGS=-n 4 -x").stdout  # -n prints, runs nothing
    (line,) = (text for text in plan.splitlines() if " pytest " in text)
    options = line.split("#")[0].split(" pytest ")[1]
    ours = "--nbval -n 2 --dist loadfile --no-loadscope-reorder -n 4 -x"
    assert options.split() == ours.split()


def test_browser_tests_run_only_when_asked_for():
    options = TOML["tool"]["pytest"]["ini_options"]
    assert options["addopts"][-2:] == ["-m", "not browser and not compiler and not soak"]
    assert any(marker.startswith("browser:") for marker in options["markers"])


def test_readme_names_only_commands_that_exist():
    from ltm_edu import cli

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bltm-edu ([a-z]+)", readme))
    assert {"train", "evaluate", "predict"} <= named
    for command in sorted(named):
        with pytest.raises(SystemExit) as ended:
            cli.main([command, "--help"])
        assert ended.value.code == 0, command


def test_the_tools_of_a_checkout_are_not_in_the_wheel():
    discovery = pytest.importorskip("setuptools").discovery.PEP420PackageFinder
    options = TOML["tool"]["setuptools"]["packages"]["find"]
    packages = discovery.find(str(ROOT), include=options["include"])
    assert "ltm_edu.store" in packages
    assert [package for package in packages if package.split(".")[0] != "ltm_edu"] == []


@pytest.mark.skipif(not shutil.which("git"), reason="no git on this machine")
def test_git_ignores_no_source_file():  # ruff would not check it either
    sources = [f"{folder}/*.py" for folder in ("ltm_edu", "tools", "tests")]
    command = ["git", "ls-files", "--cached", "--others", "--ignored", "--exclude-standard"]
    result = subprocess.run([*command, *sources], cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        pytest.skip(f"not a git checkout: {result.stderr}")
    assert result.stdout.splitlines() == []


def test_shipped_checkpoints_are_small():
    large = [p.name for p in ROOT.glob("data/checkpoints/*") if p.stat().st_size >= 5_000_000]
    assert large == []


def test_the_page_of_faults_names_only_tests_that_exist():
    page = (ROOT / "tests/README.md").read_text(encoding="utf-8")
    sources = {p.name: p.read_text(encoding="utf-8") for p in (ROOT / "tests").glob("test_*.py")}
    file = ""
    for named, test in re.findall(r"(test_\w+\.py)?(?:::(test_\w+))?", page):
        file = named or file
        assert not named or named in sources, named
        assert not test or f"def {test}(" in sources[file], f"{file}::{test}"
