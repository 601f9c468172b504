import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOML = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = TOML["project"]
EXTRAS = PROJECT["optional-dependencies"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def name(requirement: str) -> str:
    """'resvg_py>=0.5' -> 'resvg-py'."""
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


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


def test_make_asks_for_the_same_python():
    major, minor = re.search(r"sys\.version_info < \((\d+), (\d+)\)", MAKEFILE).groups()
    assert PROJECT["requires-python"] == f">={major}.{minor}"


def test_conda_takes_packages_from_conda_forge_alone():
    assert environment()["channels"] == ["conda-forge", "nodefaults"]


def test_conda_installs_the_rest_from_pyproject():
    (editable,) = environment()["pip"]
    named = re.fullmatch(r"-e \.\[([\w,]+)\]", editable)[1].split(",")
    assert set(named) <= set(EXTRAS)


def test_an_extra_that_names_extras_names_existing_ones():
    lists = [r for rs in EXTRAS.values() for r in rs if name(r) == PROJECT["name"]]
    for requirement in lists:
        assert set(re.search(r"\[([\w,]+)\]", requirement)[1].split(",")) <= set(EXTRAS)


def test_nothing_is_listed_twice():
    ours = [r for rs in [PROJECT["dependencies"], *EXTRAS.values()] for r in rs]
    conda = [r for r in environment()["dependencies"] if name(r) != "pip"]
    names = [name(r) for r in ours + conda if name(r) != PROJECT["name"]]
    assert sorted(names) == sorted(set(names))


def test_every_dependency_has_a_lower_bound():
    for requirements in [PROJECT["dependencies"], *EXTRAS.values()]:
        for requirement in requirements:
            assert ">=" in requirement or name(requirement) == PROJECT["name"]


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


def test_readme_names_only_make_targets_that_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", readme, flags=re.DOTALL))
    named = set(re.findall(r"\bmake ([a-z-]+)", code))
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
    assert {"lab", "test", "test-browser", "book"} <= named <= targets


def test_make_help_lists_every_target():
    targets = re.findall(r"^([a-z-]+):(.*)$", MAKEFILE, flags=re.MULTILINE)
    assert [target for target, rest in targets if "  ## " not in rest] == []


def test_browser_tests_run_only_when_asked_for():
    options = TOML["tool"]["pytest"]["ini_options"]
    assert options["addopts"][-2:] == ["-m", "not browser"]
    assert any(marker.startswith("browser:") for marker in options["markers"])


def test_readme_names_only_commands_that_exist():
    from ltm_edu import cli

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    source = Path(cli.__file__).read_text(encoding="utf-8")
    named = set(re.findall(r"\bltm-edu ([a-z]+)", readme))
    assert {command for command in named if f'"{command}"' not in source} == set()


def test_shipped_checkpoints_are_small():
    large = [p.name for p in ROOT.glob("data/checkpoints/*") if p.stat().st_size >= 5_000_000]
    assert large == []
