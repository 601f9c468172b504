"""What the book and the slides need of Sphinx: pages without a network, and plain warnings."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from ltm_edu.store.errors import InputError


def mathjax() -> Path:
    """MathJax as one file, which typesets formulas without a network.

    Raises:
        InputError: its package is not installed.
    """
    package = find_spec("sphinx-mathjax-offline")
    if package is None or package.origin is None:
        raise InputError('formulas need MathJax\'s file: pip install -e ".[slides]"')
    return Path(package.origin).parent / "static" / "mathjax" / "tex-svg-full.js"


def lines_of(warnings: str) -> list[str]:
    r"""The lines that Sphinx has written, without a terminal's colours.

    >>> lines_of("\x1b[31ma.md: WARNING: no title\x1b[39;49;00m\n")
    ['a.md: WARNING: no title']
    """
    return re.sub(r"\x1b\[[\d;]*m", "", warnings).splitlines()
