"""What the book and the slides need of Sphinx: pages without a network, and plain warnings."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
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


def run_sphinx(
    pages: Path,
    out: Path,
    doctrees: Path,
    builder: str,
    settings: Mapping[str, object],
    folder: Path | None = None,
    processes: int = 1,
) -> list[str]:
    """Let Sphinx write pages, in this process; one line for each of its warnings.

    Args:
        pages: the folder of the sources; a line names a page as seen from it.
        out: the folder to write.
        doctrees: a folder for what Sphinx keeps of the sources.
        builder: "html" or another of Sphinx's.
        settings: of Sphinx, as in a conf.py.
        folder: holds a conf.py with further settings.
        processes: that read and write pages.

    Raises:
        InputError: a package is not installed.
    """
    for package in ("sphinx", *settings.get("extensions", ())):
        if find_spec(package) is None:
            raise InputError(f'{package} is not installed: pip install -e ".[slides]"')
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    said = io.StringIO()
    try:
        with patch_docutils(folder), docutils_namespace():
            Sphinx(
                *(pages, folder, out, doctrees, builder),
                confoverrides=dict(settings),
                status=None,
                warning=said,
                parallel=processes,
            ).build(force_all=True)
    except Exception as error:  # a broken source may raise anything; the warnings say where it is
        if not said.getvalue():
            said.write((str(error).splitlines() or [type(error).__name__])[0])
    lines = re.sub(r"\x1b\[[\d;]*m", "", said.getvalue()).splitlines()  # without colours
    told = [line for line in lines if line.strip() and not line.startswith(" ")]
    return [line.replace(f"{pages}/", "") for line in told]
