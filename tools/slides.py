"""Build the course's slides: HTML decks that need neither Python nor a network to be shown.

`make slides` (or `python -m tools.slides`) turns each `teaching/slides/*.md` into one deck. A deck
is Markdown: one `#` heading for the title slide, one `##` heading for each further slide, and lines
that begin with `%` for the speaker's notes. `![what is seen](figure:03/4/relation_blocks)` stands
for figure 4 of notebook 03, counted from the top, whose cell calls `relation_blocks`: if a figure
is added above it, the build says so. The figures come from the saved notebooks when the slides
are built. Sphinx writes the pages with sphinx-revealjs; reveal.js and MathJax stand beside them.
"""

from __future__ import annotations

import argparse
import base64
import re
import shutil
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from ltm_edu.store.errors import InputError
from ltm_edu.store.files import made_whole

from . import tool
from .course import ROOT, Notebook, read_notebooks, source
from .offline import mathjax, run_sphinx

FIGURE = re.compile(r"!\[([^\]]*)\]\(figure:(\d\d)/(\d+)/(\w+)\)")
MARK = "slides.built"
SETTINGS = {
    "project": "ltm_edu: slides",
    "extensions": ["myst_parser", "sphinx_revealjs"],
    "myst_enable_extensions": ["dollarmath"],
    "myst_update_mathjax": False,
    "html_copy_source": False,
    "mathjax_path": "tex-svg-full.js",
    "mathjax3_config": {
        "tex": {"inlineMath": [["\\(", "\\)"]]},
        "options": {"processHtmlClass": "math"},
        "svg": {"scale": 0.95},
    },
    "revealjs_static_path": ["_static"],
    "revealjs_style_theme": "white",
    "revealjs_css_files": ["slides.css"],
    "revealjs_notes_from_comments": True,
    "revealjs_script_plugins": [{"src": "revealjs/plugin/notes/notes.js", "name": "RevealNotes"}],
    "revealjs_script_conf": {
        "width": 1366,
        "height": 768,
        "margin": 0.03,
        "display": "flex",  # the figure takes the height that the text leaves
        "center": False,
        "hash": True,
        "slideNumber": "c/t",
        "transition": "none",
    },
}
CREDIT = "*Drawings in the figures: OpenMoji, openmoji.org, CC BY-SA 4.0.*"
INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Slides of the course</title>
<style>
body {{ font: 1.15rem/1.5 sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }}
li {{ margin: 0.4rem 0; list-style: none; }}
ul {{ padding: 0; }}
</style>
</head>
<body>
<h1>Slides of the course</h1>
<ul>
{links}
</ul>
<p>In a deck: the arrow keys show the next and the previous slide, <kbd>S</kbd> opens the speaker's
notes, <kbd>Esc</kbd> the overview, <kbd>F</kbd> the full screen. To print a deck, add
<code>?print-pdf</code> to its address. No network is needed.</p>
<p>Drawings in the figures: OpenMoji, openmoji.org, CC BY-SA 4.0. Portraits: NASA and U.S. Navy,
public domain; other photographs: scikit-image's sample pictures.</p>
</body>
</html>
"""
CSS = """
.reveal { font-size: 30px; }
.reveal .slides { text-align: left; }
.reveal .slides > section, .reveal .slides > section > section {
  flex-direction: column; height: 100%; padding: 18px 40px 46px; box-sizing: border-box; }
.reveal .slides > section:has(> section) { padding: 0; }
.reveal h1, .reveal h2 { text-transform: none; letter-spacing: 0; margin: 0 0 0.45em;
  color: #1a3a5c; }
.reveal h1 { font-size: 2em; margin-top: 3em; }
.reveal h2 { font-size: 1.4em; }
.reveal .slides section:not(:has(img)) { font-size: 36px; }
.reveal .controls { font-size: 6px; right: 14px; bottom: 26px; }
.reveal p, .reveal ul, .reveal ol { margin: 0 0 0.5em; line-height: 1.35; }
.reveal ul, .reveal ol { margin-left: 1.2em; }
.reveal li { margin-bottom: 0.25em; }
.reveal li > p { display: inline; margin: 0; }
.reveal section > p:last-of-type:has(> em:only-child) { font-size: 0.6em; color: #555;
  margin-top: auto; }
.reveal p:has(> img) { flex: 1 1 0; min-height: 0; margin: 0 0 0.3em; }
.reveal p > img { width: 100%; height: 100%; max-width: 100%; max-height: 100%; margin: 0;
  object-fit: contain; }
.reveal table { font-size: 0.9em; margin: 0 0 0.6em; }
.reveal code { font-size: 0.9em; background: #eef1f5; color: #1b1b1b; padding: 0 0.15em; }
.reveal pre { width: 100%; margin: 0 0 0.5em; box-shadow: none; font-size: 0.75em; }
.reveal div.math { margin: 0.1em 0 0.5em; text-align: center; }
.reveal blockquote { width: 100%; box-sizing: border-box; margin: 0; font-style: normal;
  box-shadow: none; background: #eef4fb; border-left: 6px solid #1a6fb5; padding: 0.35em 0.8em; }
.reveal blockquote p { margin: 0; }
"""


def build(sources: Path, notebooks: Path, out: Path) -> list[Path]:
    """Write one HTML deck for each Markdown file. On any error `out` stays as it was.

    Args:
        sources: the folder of the .md files.
        notebooks: the folder of the .ipynb files, from which the figures are taken.
        out: the folder to write; older slides in it are replaced.

    Returns:
        The decks, in the order of their names.

    Raises:
        InputError: a figure does not exist, a deck cannot be built, or `out` holds other files.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not (out / MARK).is_file():
        raise InputError(f"{out} holds files that are not slides: name another folder with --out")
    decks = sorted(sources.glob("*.md"))
    if not decks:
        raise InputError(f"{sources} holds no deck: a deck is a Markdown file")
    numbered = {n.number: n for n in read_notebooks(notebooks)}
    with made_whole(out, replace=True) as part, TemporaryDirectory() as scratch:
        pages = Path(scratch).resolve() / "source"
        (pages / "figures").mkdir(parents=True)
        titles = {}
        for deck in decks:
            text = with_figures(deck, numbered, pages / "figures")
            titles[deck.stem] = re.search(r"(?m)^# (.+)$", text)[1]
            (pages / deck.name).write_text(f"{text}\n{CREDIT}\n", encoding="utf-8")
        (pages / "index.md").write_text("---\norphan: true\n---\n# Slides\n", encoding="utf-8")
        _copy_static(pages / "_static")
        doctrees = Path(scratch) / "doctrees"
        if problems := run_sphinx(pages, part, doctrees, "revealjs", SETTINGS):
            raise InputError(problems[0])
        (part / MARK).touch()
        links = [f'<li><a href="{stem}.html">{escape(t)}</a></li>' for stem, t in titles.items()]
        (part / "index.html").write_text(INDEX.format(links="\n".join(links)), encoding="utf-8")
    return [out / f"{deck.stem}.html" for deck in decks]


def with_figures(deck: Path, notebooks: dict[str, Notebook], folder: Path) -> str:
    """Return a deck's text with each `figure:` replaced by a file that is written to a folder.

    Raises:
        InputError: a figure does not exist or has no description, or the deck does not begin with
            its title.
    """
    text = deck.read_text(encoding="utf-8")
    if not text.startswith("# "):
        raise InputError(f'{deck.name}: its first line must be its title, "# ..."')
    lines = text.splitlines()
    for number, line in enumerate(lines):
        where = f"{deck.name}, line {number + 1}"
        if "](figure:" in line and not FIGURE.search(line):
            raise InputError(f"{where}: write ![what is seen](figure:03/4/name_of_its_function)")
        for says, name, count, function in FIGURE.findall(line):
            if not says:
                raise InputError(f"{where}: say between the brackets what the figure shows")
            if name not in notebooks:
                raise InputError(f"{where}: there is no notebook {name}")
            try:
                png = figure(notebooks[name], int(count), function)
            except InputError as error:
                raise InputError(f"{where}: {error}") from None
            (folder / f"{name}_{count}.png").write_bytes(png)
        lines[number] = FIGURE.sub(r"![\1](figures/\2_\3.png)", line)
    return "\n".join(["---", "orphan: true", "---", *lines, ""])


def figure(notebook: Notebook, number: int, function: str) -> bytes:
    """The PNG figure that a notebook has saved, counted from 1.

    Raises:
        InputError: there is no such figure, or its cell does not call the function.
    """
    drawn = [
        ("".join(png), source(cell))
        for cell in notebook.content["cells"]
        for output in cell.get("outputs", ())
        if (png := output.get("data", {}).get("image/png"))
    ]
    if not 1 <= number <= len(drawn):
        raise InputError(f"notebook {notebook.number} has {len(drawn)} figures, not {number}")
    png, code = drawn[number - 1]
    if f"{function}(" not in code:
        raise InputError(
            f"figure {number} of notebook {notebook.number} is not drawn by {function}: "
            "count its figures again"
        )
    return base64.b64decode(png)


def _copy_static(folder: Path) -> None:
    """Write the style, and copy MathJax."""
    folder.mkdir()
    shutil.copy(mathjax(), folder)
    (folder / "slides.css").write_text(CSS, encoding="utf-8")


@tool("make slides")
def main(arguments: Sequence[str] | None = None) -> None:
    """Build the slides. An error prints one line and gives exit status 2."""
    parser = argparse.ArgumentParser("python -m tools.slides", description=main.__doc__)
    parser.add_argument("--sources", type=Path, default=ROOT / "teaching" / "slides")
    parser.add_argument("--notebooks", type=Path, default=ROOT / "notebooks")
    parser.add_argument("--out", type=Path, default=ROOT / "slides")
    options = parser.parse_args(arguments)
    decks = build(options.sources, options.notebooks, options.out.absolute())
    index = options.out / "index.html"
    print(f"make slides: {len(decks)} decks; open {index} in a browser; no network is needed")


if __name__ == "__main__":
    sys.exit(main())
