"""Each recipe of CONTRIBUTING.md is a complete program that runs as it stands."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from helpers import write_voc

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = {
    title: re.findall(r"```python\n(.*?)```", body, flags=re.DOTALL)
    for title, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, flags=re.DOTALL | re.M)
}
EXPECTED = {
    "A backbone": "patches ",
    "A transformation with a parameter of its own": "soft ",
    "A data set format": "squares (val), fold 0",
    "A metric": "precision",
    "A notebook with an exercise": "solved 1 of 1",
}


def test_there_are_five_recipes_with_one_program_each():
    assert {title: len(blocks) for title, blocks in RECIPES.items()} == dict.fromkeys(EXPECTED, 1)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What a recipe prints when it runs as it stands; each runs once."""

    @cache
    def of(title: str) -> str:
        folder = tmp_path_factory.mktemp("recipe")
        write_voc(folder / "shapes", train=3, val=3)
        program = [sys.executable, "-W", "error::UserWarning:__main__", "-c", RECIPES[title][0]]
        done = subprocess.run(program, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return of


@pytest.mark.parametrize("title", EXPECTED)
def test_a_recipe_runs_as_it_stands(title, printed):
    assert EXPECTED[title] in printed(title)


def test_the_slips_of_the_example_are_named(printed):
    lines = printed("A notebook with an exercise").splitlines()
    lines = [line for line in lines if line.startswith("11.1 ")]
    assert lines[0] == "11.1 ok: cut at the mean"
    assert lines[1:] == [
        "11.1 wrong: The threshold is 0.5. Compare with the mean of A.",
        "11.1 wrong: The sign is wrong: keep what is over the mean.",
        "11.1 wrong: This is the median. The mean is A.mean().",
    ]
