"""Check the notebooks, build the book in a scratch folder, put it in place when it is whole."""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

from ltm_edu.store.errors import InputError
from ltm_edu.store.files import made_whole

from .. import tool
from ..course import ROOT
from ..offline import run_sphinx
from .pages import Address, write_sources

GENERATOR = '<meta name="generator" content="tools.book">'
HERE = Path(__file__).parent
CELL = 10_000  # MyST-NB counts a notebook's lines as 10,000 a cell, and the lines in it


def build(root: Path, out: Path, repository: str = "", branch: str = "main") -> None:
    """Write the book of a checkout. On any error `out` stays as it was.

    Args:
        root: the checkout: notebooks/, README.md, and what else of the project it has.
        out: the folder to write; an older book in it is replaced.
        repository: the checkout's address, "https://github.com/OWNER/NAME", for the links to Colab
            and Binder; "" if nobody knows it.
        branch: the branch that these links open.

    Raises:
        InputError: a cell, a link or a formula is broken, a line each, or `out` holds files that
            are not a book.
    """
    index = out / "index.html"
    is_book = index.is_file() and GENERATOR in index.read_text(encoding="utf-8")
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not is_book:
        raise InputError(f"{out} holds files that are not a book: name another folder with --out")
    address = Address(repository, branch)
    with made_whole(out, replace=True) as part, TemporaryDirectory() as scratch:
        sources, doctrees = (Path(scratch).resolve() / name for name in ("sources", "doctrees"))
        write_sources(root, sources, address)
        front = root / "ltm_edu" / "widgets"  # what draws the interactive figures
        settings = {"html_extra_path": [str(sources / "extra")], "front": str(front)}
        said = run_sphinx(sources, part, doctrees, "html", settings, HERE, processes=2)
        if problems := list(dict.fromkeys(map(readable, said))) or dead_links(part):
            raise InputError("\n".join(problems))


def readable(warning: str) -> str:
    """Turn a warning of Sphinx into a line that names the page and, in a notebook, the cell.

    >>> readable("notebooks/03.ipynb:50002: WARNING: 'a.md' not found [myst.x]")
    "notebooks/03.ipynb, cell 5: 'a.md' not found"
    """
    text = re.sub(r"\s*\[[\w.]+\]$", "", warning)
    place, _, message = text.partition(": WARNING: ")
    if not message:
        place, _, message = text.partition(": ERROR: ")
    name, _, line = place.rpartition(":")
    if name.endswith(".ipynb") and line.isdigit():
        place = f"{name}, cell {int(line) // CELL}"
    return f"{place}: {message}" if message else text


class _Page(HTMLParser):
    """The anchors of a page, and what it links to and loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors, self.addresses = {"", "top"}, set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value is not None:
                self.addresses.add(value)


def dead_links(book: Path) -> list[str]:
    """One line for each link, picture, script and style of a page that leads nowhere in the book.

    Sphinx checks what is written in Markdown; this also finds what is written as HTML.
    """
    paths = [p for p in sorted(book.rglob("*.html")) if not {"_static", "_modules"} & {*p.parts}]
    pages = {p: _Page(p.read_text(encoding="utf-8")) for p in paths}
    dead = []
    for path, page in pages.items():
        for address in sorted(page.addresses):
            if re.match(r"(?:https?|mailto|data|javascript):", address):
                continue
            file, _, anchor = address.partition("#")
            target = path
            if file:
                target = Path(*(path.parent / unquote(file.partition("?")[0])).parts).resolve()
            known = target not in pages or unquote(anchor) in pages[target].anchors
            if not (known and target.is_file()):
                dead.append(f"{path.relative_to(book).as_posix()}: {address} leads nowhere")
    return dead


def github_address(text: str) -> str:
    """The web address of a repository on GitHub, from what git calls it; "" if it is elsewhere.

    >>> github_address("git@github.com:someone/course.git")
    'https://github.com/someone/course'
    """
    pattern = r"(?:https://|ssh://git@|git@)github\.com[/:]([\w.-]+)/([\w.-]+?)(?:\.git)?/?"
    match = re.fullmatch(pattern, text.strip())
    return f"https://github.com/{match[1]}/{match[2]}" if match else ""


def _origin() -> str:
    """Where this checkout was cloned from, if that is on GitHub."""
    command = ["git", "-C", str(ROOT), "remote", "get-url", "origin"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return github_address(answer.stdout)


@tool("make book")
def main(arguments: Sequence[str] | None = None) -> None:
    """Render the notebooks to HTML. An error prints a line for each fault and gives status 2."""
    parser = argparse.ArgumentParser("python -m tools.book", description=main.__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    parser.add_argument("--out", type=Path, default=ROOT / "book", help="the folder to write")
    parser.add_argument(
        "--repository",
        default=None,
        metavar="https://github.com/OWNER/NAME",
        help="for links to Colab and Binder; by default git's origin, if that is on GitHub",
    )
    parser.add_argument("--branch", default="main", help="the branch that these links open")
    options = parser.parse_args(arguments)
    repository = _origin() if options.repository is None else options.repository
    if repository and not github_address(repository):
        raise InputError(f"{repository} is not https://github.com/OWNER/NAME (--repository)")
    out = options.out.absolute()
    print("make book: rendering takes about a minute", flush=True)
    build(options.root.absolute(), out, github_address(repository), options.branch)
    print(f"make book: open {options.out / 'index.html'} in a browser; no network is needed")
