"""Each recipe of CONTRIBUTING.md is a complete program that runs as it stands."""

import re
import subprocess
import sys
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


@pytest.mark.parametrize("title", EXPECTED)
def test_a_recipe_runs_as_it_stands(title, tmp_path):
    write_voc(tmp_path / "shapes", train=3, val=3)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:__main__", "-c", RECIPES[title][0]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert EXPECTED[title] in done.stdout


def test_the_slips_of_the_example_are_named(tmp_path):
    program = RECIPES["A notebook with an exercise"][0]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("11.1 ")]
    assert lines[0] == "11.1 ok: cut at the mean"
    assert lines[1:] == [
        "11.1 wrong: The threshold is 0.5. Compare with the mean of A.",
        "11.1 wrong: The sign is wrong: keep what is over the mean.",
        "11.1 wrong: This is the median. The mean is A.mean().",
    ]
