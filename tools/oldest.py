"""The oldest versions that pyproject.toml allows, as constraints for pip.

    python -m tools.oldest > oldest.txt
    pip install -c oldest.txt -e ".[test]"

`make test-oldest` does this, and runs the tests.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from ltm_edu.store.errors import InputError
from ltm_edu.store.files import read_text

from . import tool

ROOT = Path(__file__).resolve().parent.parent


def constraints(pyproject: str) -> list[str]:
    """Return a line "name==version" for each package that is needed, in any extra.

    Args:
        pyproject: the text of a pyproject.toml whose requirements begin with `name>=version`.

    Raises:
        InputError: a requirement names no oldest version.

    >>> constraints('project = {name = "x", dependencies = ["torch>=2.6", "tqdm>=4.66,<5"]}')
    ['torch==2.6', 'tqdm==4.66']
    """
    project = tomllib.loads(pyproject)["project"]
    needed = list(project["dependencies"])
    for extra in project.get("optional-dependencies", {}).values():
        needed += [one for one in extra if not one.startswith(project["name"] + "[")]
    lines = []
    for one in needed:
        found = re.match(r"([\w.-]+)>=([\w.]+)", one)
        if found is None:
            raise InputError(f"pyproject.toml: {one!r} names no oldest version (name>=version)")
        lines.append(f"{found[1]}=={found[2]}")
    return sorted(lines)


@tool("tools.oldest")
def main(arguments: Sequence[str] | None = None) -> None:
    """Print the constraints. An error prints one line and gives exit status 2."""
    argparse.ArgumentParser("python -m tools.oldest", description=main.__doc__).parse_args(
        arguments
    )
    print("\n".join(constraints(read_text(ROOT / "pyproject.toml"))))


if __name__ == "__main__":
    sys.exit(main())
