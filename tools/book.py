"""Write the course as a folder of HTML pages that needs neither Python nor a network to read.

`make book` (or `python -m tools.book`) renders the notebooks as they are saved. It runs no cell,
and it replaces `book/` only after every page is written. Figures are PNG files beside the pages.
In the place of a widget, a line names the figure that shows the same. The book contains a copy of
MathJax, which draws the formulas in the reader's browser.
"""

from __future__ import annotations

import argparse
import base64
import html
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from PIL import Image

from ltm_edu.store.errors import InputError

from .course import ROOT, Notebook, missing_line, read_notebooks, source, spans

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from nbconvert import HTMLExporter

GENERATOR = '<meta name="generator" content="tools.book">'
WIDGET = "application/vnd.jupyter.widget-view+json"
NO_WIDGET = (
    '<p class="widget">An interactive figure stands here in JupyterLab (<code>make lab</code>); '
    "{}.</p>"
)
# The notebook says this to readers of a page without Python; the book uses the second half.
EMPTY = re.compile(r"\s*\(On a page that runs no Python the widget stays empty; ([^)]+?)\.?\)\s*")
MATHJAX = ("MathJax.js", "LICENSE", "config", "extensions", "fonts", "jax")
UNUSED = ("a11y", "SVG", "*_IE.js")  # 7 MB that a page with web fonts does not load

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{generator}
<title>{title}</title>
<link rel="stylesheet" href="style.css">
<script>
window.MathJax = {{
  tex2jax: {{inlineMath: [["$", "$"]], processEscapes: true}},
  "HTML-CSS": {{availableFonts: [], webFont: "STIX-Web", imageFont: null, scale: 92,
    linebreaks: {{automatic: true}}}},
  extensions: ["AssistiveMML.js"],
  messageStyle: "none",
  showMathMenu: false
}};
</script>
<script async src="mathjax/MathJax.js?config=TeX-AMS-MML_HTMLorMML-full"></script>
</head>
<body>
{body}
</body>
</html>
"""


def build(notebooks: Path, readme: Path, out: Path) -> list[str]:
    """Write the book. On any error `out` stays as it was.

    Args:
        notebooks: the folder of the .ipynb files.
        readme: the README whose first paragraphs begin the index.
        out: the folder to write; an older book in it is replaced.

    Returns:
        One line for each link that has no target in the book.

    Raises:
        InputError: a notebook cannot be rendered, or `out` holds files that are not a book.
    """
    index = out / "index.html"
    is_book = index.is_file() and GENERATOR in index.read_text(encoding="utf-8")
    if out.exists() and any(out.iterdir()) and not is_book:
        raise InputError(f"{out} holds files that are not a book: name another folder with --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}") from None
    try:
        new, old = scratch / "new", scratch / "old"
        new.mkdir()
        notes = _write(read_notebooks(notebooks), readme, new)
        if out.exists():
            out.rename(old)
        new.rename(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return notes


def _write(notebooks: Sequence[Notebook], readme: Path, folder: Path) -> list[str]:
    exporter, notes = _exporter(), []
    (folder / "figures").mkdir()
    for i, notebook in enumerate(notebooks):
        before = notebooks[i - 1] if i else None
        after = notebooks[i + 1] if i + 1 < len(notebooks) else None
        try:
            body = _render(notebook, exporter, folder)
        except Exception as error:  # nbconvert raises many kinds; the line names the notebook
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(f"{notebook.path.name} cannot be rendered: {reason}") from error
        notes += _fix_links(body, notebook, notebooks, folder)
        links = _links(before, after)
        text = f"{links}\n<main>\n{body.decode(formatter='minimal')}\n</main>\n{links}"
        _page(folder / f"{notebook.path.stem}.html", f"{notebook.number} {notebook.title}", text)
    notes += _write_index(notebooks, readme, folder)
    css = Path(__file__).with_name("book.css").read_text(encoding="utf-8")
    (folder / "style.css").write_text(css + _code_colours(), encoding="utf-8")
    _copy_mathjax(folder / "mathjax")
    return notes


def _page(path: Path, title: str, body: str) -> None:
    title = html.escape(title.replace("`", ""))
    path.write_text(PAGE.format(generator=GENERATOR, title=title, body=body), encoding="utf-8")


# A notebook --------------------------------------------------------------------------------------


def _exporter() -> HTMLExporter:
    try:
        from nbconvert import HTMLExporter
    except ImportError:
        raise InputError('the book needs nbconvert: pip install -e ".[course,book]"') from None
    return HTMLExporter(
        template_name="basic",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        embed_images=False,
    )


def _render(notebook: Notebook, exporter: HTMLExporter, folder: Path) -> BeautifulSoup:
    """Render a notebook's cells as HTML, and write its figures to figures/."""
    import nbformat
    from bs4 import BeautifulSoup

    node = nbformat.reads(notebook.path.read_text(encoding="utf-8"), as_version=4)
    node.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    alts = figure_texts(node)
    count = 0
    last_text = None
    for cell in node.cells:
        if cell.cell_type == "markdown":
            last_text = cell
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if WIDGET in data:
                match = EMPTY.search(last_text.source) if last_text else None
                if match:
                    last_text.source = EMPTY.sub("\n\n", last_text.source).strip()
                twin = match[1] if match else "the next figure shows the same"
                output["data"] = {"text/html": NO_WIDGET.format(html.escape(twin))}
            elif "image/png" in data:
                count += 1
                png = base64.b64decode(data["image/png"])
                width, height = Image.open(io.BytesIO(png)).size
                name = f"figures/{notebook.path.stem}_{count}.png"
                (folder / name).write_bytes(png)
                attributes = {"alt": next(alts), "width": width, "height": height}
                output["metadata"] = {"image/png": attributes, "filenames": {"image/png": name}}
    body, _ = exporter.from_notebook_node(node)
    soup = BeautifulSoup(body, "html.parser")
    for image in soup.find_all("img"):
        image["loading"] = "lazy"
    for table in soup.find_all("table"):
        frame = soup.new_tag("div", attrs={"class": "table"})  # a wide table scrolls in it
        table.wrap(frame)
    return soup


def figure_texts(notebook: dict) -> Iterator[str]:
    """Describe each figure, in order, by the italic "Figure: ..." in the text cells above it.

    A figure without such a caption gets the heading of its section.
    """
    unused_captions: list[str] = []
    heading = ""
    for cell in notebook["cells"]:
        text = source(cell)
        if cell["cell_type"] == "markdown":
            unused_captions += captions(text)
            heading = (re.findall(r"(?m)^#+\s+(.+)$", text) or [heading])[-1]
            continue
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                yield unused_captions.pop(0) if unused_captions else plain(f"Figure: {heading}")


def captions(text: str) -> list[str]:
    """Return the captions in a text cell as plain text.

    >>> captions("See below. *The figure below: $R$, its rows sorted.* Then we go on.")
    ['R, its rows sorted.']
    """
    texts = re.findall(r"(?<!\*)\*((?:The )?[Ff]igures?\b[^*]*?)\*(?!\*)", text)
    return [plain(re.sub(r"^(?:The )?[Ff]igures?(?: below)?\s*[:,]\s*", "", t)) for t in texts]


def plain(text: str) -> str:
    r"""Turn Markdown and formulas into plain text.

    >>> plain("the map `A` and\n$\\hat{A}_{ij}$, see [03](03.ipynb)")
    'the map A and A_hat_ij, see 03'
    """
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\\hat\{?(\w)\}?", r"\1_hat", text)
    text = re.sub(r"\\(?:text|mathrm|mathbf)\b|[${}`*]|\\[,;!]", "", text)
    text = re.sub(r"\\([a-zA-Z]+)\s*", r"\1 ", text)
    return re.sub(r"\s+", " ", text).strip()


# Around the notebooks ----------------------------------------------------------------------------


def _links(before: Notebook | None, after: Notebook | None) -> str:
    def link(notebook: Notebook | None, text: str, rel: str) -> str:
        if notebook is None:
            return f'<span class="{rel}"></span>'
        page, title = f"{notebook.path.stem}.html", html.escape(notebook.title.replace("`", ""))
        text = f'{text}<span class="title"> {notebook.number} {title}</span>'
        return f'<a class="{rel}" rel="{rel}" href="{page}">{text}</a>'

    return (
        f'<nav aria-label="Notebooks">{link(before, "← Previous:", "prev")}'
        f'<a class="index" href="index.html">Index</a>{link(after, "Next →", "next")}</nav>'
    )


def _write_index(notebooks: Sequence[Notebook], readme: Path, folder: Path) -> list[str]:
    from bs4 import BeautifulSoup
    from nbconvert.filters import markdown2html

    text = readme.read_text(encoding="utf-8").split("\n## ")[0]
    opening = BeautifulSoup(markdown2html(text), "html.parser")
    heading = opening.find("h1")
    title = heading.get_text().removesuffix("¶") if heading else "The course"
    for anchor in opening.select("a.anchor-link"):
        anchor.decompose()
    notes = _fix_links(opening, None, notebooks, folder, base=readme.parent)
    cards = []
    for n in notebooks:
        numbers = spans(n.equations)
        word = "equation" if len(n.equations) == 1 else "equations"
        cards.append(
            f'<li><a href="{n.path.stem}.html"><span class="number">{n.number}</span>'
            f"<span><strong>{html.escape(n.title)}</strong>"
            f"<span class=moment>{html.escape(n.moment)}</span>"
            + (f"<span class=equations>{word} {numbers}</span>" if numbers else "")
            + "</span></a></li>"
        )
    line = missing_line(notebooks)
    more = f"<p>{line}</p>" if line else ""
    _page(
        folder / "index.html",
        title,
        f"<main class=front>\n{opening.decode(formatter='minimal')}\n<h2>The notebooks</h2>\n"
        f"<ol class=notebooks>\n{chr(10).join(cards)}\n</ol>\n{more}\n"
        "<footer>Text and code: MIT licence. Drawings of the miniature, and figures that show "
        'them: <a href="https://openmoji.org">OpenMoji</a>, CC BY-SA 4.0. These pages need no '
        "network; the notebooks behind them run with <code>make lab</code>.</footer>\n</main>",
    )
    return notes


def _fix_links(
    body: BeautifulSoup,
    notebook: Notebook | None,
    notebooks: Sequence[Notebook],
    folder: Path,
    base: Path | None = None,
) -> list[str]:
    """Point links at the book's pages, copy pictures, and remove links without a target.

    Returns:
        One line for each link removed.
    """
    base = base or notebook.path.parent
    pages, notes = {n.path.resolve(): f"{n.path.stem}.html" for n in notebooks}, []
    for tag, attribute in [(t, "href") for t in body.select("a[href]")] + [
        (t, "src") for t in body.select("img[src]")
    ]:
        address = tag[attribute]
        if re.match(r"[a-z]+:|#", address) or (folder / address).is_file():
            continue
        path, _, fragment = address.partition("#")
        target = (base / unquote(path)).resolve()
        if target in pages:
            tag[attribute] = pages[target] + (f"#{fragment}" if fragment else "")
        elif attribute == "src" and target.is_file():
            shutil.copyfile(target, folder / "figures" / target.name)
            tag["src"] = f"figures/{target.name}"
        else:
            name = notebook.path.name if notebook else "README.md"
            notes.append(f"{name}: {address} is not in the book, so its link is removed")
            tag.name, tag.attrs = "span", {}
    return notes


def _code_colours() -> str:
    from pygments.formatters import HtmlFormatter

    return "\n" + HtmlFormatter(style="friendly").get_style_defs(".highlight") + "\n"


def _copy_mathjax(folder: Path) -> None:
    package = find_spec("jupyter_server_mathjax")
    if package is None:
        raise InputError('the book needs MathJax\'s files: pip install -e ".[book]"')
    static = Path(package.origin).parent / "static"
    folder.mkdir()
    for name in MATHJAX:
        if (static / name).is_dir():
            ignore = shutil.ignore_patterns(*UNUSED)
            shutil.copytree(static / name, folder / name, ignore=ignore)
        else:
            shutil.copyfile(static / name, folder / name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Render the notebooks to HTML. An error prints one line and gives exit status 2."""
    parser = argparse.ArgumentParser("python -m tools.book", description=main.__doc__)
    parser.add_argument("--notebooks", type=Path, default=ROOT / "notebooks")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--out", type=Path, default=ROOT / "book")
    options = parser.parse_args(arguments)
    try:
        notes = build(options.notebooks, options.readme, options.out.absolute())
    except InputError as error:
        print(f"make book: {error}", file=sys.stderr)
        return 2
    for note in notes:
        print(f"make book: {note}")
    print(f"make book: open {options.out / 'index.html'} in a browser; no network is needed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
