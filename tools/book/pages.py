"""The sources of the book: the project's pages, and those that are written from them."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ltm_edu.store.errors import InputError

from ..course import Notebook, missing_line, read_notebooks, source, spans
from .figures import plain

WIDGET = "application/vnd.jupyter.widget-view+json"
FIGURE = "application/vnd.ltm-edu.figure+json"
PNG = "iVBORw0KGgo"  # how each PNG file begins in a notebook, where it is written in base64
NO_WIDGET = (
    '<p class="widget">An interactive figure stands here in JupyterLab (<code>make lab</code>); '
    "{}.</p>"
)
IN_COLAB = (
    "then run this in a first cell:<br><code>FIRST</code><br>"
    "<code>%pip install -q ./ltm_edu_course anywidget</code><br>"
    "<code>%cd ltm_edu_course/notebooks</code><br><code>%env LTM_EDU_DATA=../data</code>"
)
# The notebook says this to readers of a page without Python; the book uses the second half.
EMPTY = re.compile(
    r"\s*\(On (?:a page that runs no Python|GitHub) the widget stays empty; ([^)]+?)\.?\)\s*"
)
LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)|\b(?:href|src)=\"([^\"]+)\"")

TEACHING = ("README", "guide", "one_week", "three_weeks", "exam", "coursework")
PAPER = ("equations", "geometry", "backbones", "transformations", "upsam", "losses", "model")
USE = ("episodes", "training", "scores", "evaluation", "segmenter", "cli")


@dataclass(frozen=True)
class Address:
    """Where the project stands on the web.

    Attributes:
        repository: "https://github.com/OWNER/NAME", or "" if that is not known.
        branch: the branch to read there.
    """

    repository: str = ""
    branch: str = "main"


def write_sources(root: Path, folder: Path, address: Address) -> None:
    """Write all that Sphinx reads to a folder, with the names that it has in the checkout.

    Raises:
        InputError: a notebook cannot be read, or a cell is broken.
    """
    notebooks = read_notebooks(root / "notebooks")
    for notebook in notebooks:
        _write(folder / "notebooks" / notebook.path.name, json.dumps(prepared(notebook, address)))
        copy = folder / "extra" / "notebooks" / notebook.path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(notebook.path, copy)
    texts = [root / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md")]
    texts += [root / "tests/README.md", *sorted((root / "teaching").glob("*.md"))]
    for path in [*texts, root / "notebooks" / "glossary.md"]:
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            if path.name == "glossary.md":
                text = glossary(text, notebooks)
            elif path == root / "README.md":
                text = re.sub(r"\A# .*", "# Use it: the README", text)
            _write(folder / path.relative_to(root), text)
    _copy_linked(root, folder)
    _write(folder / "references.md", references(notebooks))
    api = _write_api(root / "ltm_edu", folder)
    _write(folder / "index.md", _index(root, folder, notebooks, api))
    _copy_linked(root, folder)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _copy_linked(root: Path, folder: Path) -> None:
    """Copy the files of the checkout that a page links to; Sphinx puts them into the book."""
    for page in [*folder.rglob("*.md"), *folder.glob("notebooks/*.ipynb")]:
        for match in LINK.finditer(page.read_text(encoding="utf-8")):
            target = (page.parent / (match[1] or match[2]).partition("#")[0]).resolve()
            if target.is_relative_to(folder) and not target.exists():
                original = root / target.relative_to(folder)
                if original.is_file():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(original, target)


# A notebook --------------------------------------------------------------------------------------


def prepared(notebook: Notebook, address: Address) -> dict:
    """A notebook as the book shows it; each widget has become HTML, and its top says how to run it.

    Raises:
        InputError: a cell has failed without the tag raises-exception, has outputs without having
            run, or is not what a notebook holds.
    """
    content = json.loads(json.dumps(notebook.content))
    last_text: dict = {}
    try:
        for number, cell in enumerate(content["cells"], 1):
            if cell["cell_type"] == "markdown":
                cell["source"] = source(cell)
                last_text = cell
            elif cell["cell_type"] == "code":
                if fault := _fault(cell):
                    raise InputError(f"notebooks/{notebook.path.name}, cell {number}: {fault}")
                for output in cell["outputs"]:
                    _replace_widget(output.get("data", {}), last_text)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{notebook.path.name} cannot be rendered ({type(error).__name__}: {error}): "
            "save it again in JupyterLab"
        ) from None
    first = next(c for c in content["cells"] if c["cell_type"] == "markdown")
    title, _, rest = first["source"].lstrip().partition("\n")
    first["source"] = f"{title}\n\n{how_to_run(notebook, address)}\n{rest}"
    content["metadata"] = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
    }
    return content


def _fault(cell: dict) -> str:
    """What is wrong with a code cell as it is saved; "" if nothing is."""
    errors = [o for o in cell["outputs"] if o["output_type"] == "error"]
    if errors and "raises-exception" not in cell["metadata"].get("tags", ()):
        name = errors[0].get("ename", "an error")
        return f"it ends with {name}: mend it, or tag it raises-exception"
    if cell["outputs"] and cell.get("execution_count") is None:
        return "it has outputs but no number: restart the kernel and run all cells"
    for output in cell["outputs"]:
        picture = source({"source": output.get("data", {}).get("image/png", PNG)})
        if not picture.startswith(PNG):
            return "its picture is not a PNG file: run it again"
    return ""


def _replace_widget(data: dict, text: dict) -> None:
    """Put HTML in the place of a widget, and take the sentence about it out of the text above."""
    if WIDGET not in data:
        return
    match = EMPTY.search(text.get("source", ""))
    if match:
        text["source"] = EMPTY.sub("\n\n", text["source"]).strip()
    if FIGURE in data:
        state = json.dumps(data[FIGURE]).replace("</", "<\\/")
        page = f'<div class="ltm-figure"><script type="application/json">{state}</script></div>'
    else:
        page = NO_WIDGET.format(
            html.escape(match[1] if match else "the next figure shows the same")
        )
    data.clear()
    data["text/html"] = page


def how_to_run(notebook: Notebook, address: Address) -> str:
    """The lines at the top of a chapter, as HTML: its notebook, and where it can be run."""
    name = notebook.path.name
    lines = [
        "On your computer: <code>make lab</code> in the project's folder opens the whole course "
        "(Python 3.11 or newer, 7 GB of disk)."
    ]
    if address.repository:
        owner, repository = address.repository.removeprefix("https://github.com/").split("/")
        where = f"{owner}/{repository}/blob/{quote(address.branch)}/notebooks/{quote(name)}"
        colab = f"https://colab.research.google.com/github/{where}"
        binder = f"https://mybinder.org/v2/gh/{owner}/{repository}/{quote(address.branch, safe='')}"
        binder += f"?labpath={quote(f'notebooks/{name}', safe='')}"
        first = f"!git clone --depth 1 -b {address.branch} {address.repository} ltm_edu_course"
        lines += [
            f'On Google\'s computers: <a href="{colab}">open it in Colab</a>, {IN_COLAB}',
            f'Without an account: <a href="{binder}">open it on Binder</a>, which installs '
            "everything from environment.yml; the first start takes minutes.",
        ]
    else:
        first = "!unzip -q ltm_edu.zip -d ltm_edu_course"
        lines += [
            "On Google's computers: upload this notebook to <a href=\"https://colab.research.google"
            '.com">Colab</a>, and the files of the project as <code>ltm_edu.zip</code>; '
            + IN_COLAB,
            'On <a href="https://mybinder.org">Binder</a>: name the address of the repository that '
            "holds the project; its environment.yml says what Binder installs.",
        ]
    lines = [line.replace("FIRST", html.escape(first)) for line in lines]
    items = "".join(f"<li>{line}</li>" for line in lines)
    return (
        '<details class="run"><summary>Run this notebook</summary>\n'
        f'<ul><li><a href="{quote(name)}" download>Download {html.escape(name)}</a></li>{items}'
        "</ul>\n</details>\n"
    )


# Pages that are written from the notebooks -------------------------------------------------------


def numbers_as_links(text: str, notebooks: Sequence[Notebook], folder: str = "") -> str:
    """Make a link of every number of a notebook in a text."""
    names = {n.number: n.path.name for n in notebooks}
    return re.sub(
        r"\b\d\d\b", lambda m: f"[{m[0]}]({folder}{names[m[0]]})" if m[0] in names else m[0], text
    )


def glossary(text: str, notebooks: Sequence[Notebook]) -> str:
    """The glossary's table as a list, so that search and links find each term."""

    def entry(row: re.Match) -> str:
        meaning, bracket, where = row[2].rpartition("(")
        if re.match(r"(?:equation|notebook)s?\b", where):
            where = numbers_as_links(where, notebooks)
        return f"{row[1]}\n  {meaning}{bracket}{where}\n"

    head, header, rest = text.partition("| term | meaning |\n|---|---|\n")
    table, _, end = rest.partition("\n\n")
    body = re.sub(r"(?m)^\| (.+?) \| (.+) \|$", entry, table)
    return f"{head}:::{{glossary}}\n{body.rstrip()}\n:::\n\n{end}" if header else text


@dataclass
class Reference:
    """A publication, and the numbers of the notebooks that cite it."""

    citation: str
    notebooks: list[str]


def references(notebooks: Sequence[Notebook]) -> str:
    """The page of all references at the notebooks' ends, each once."""
    publications: dict[str, Reference] = {}
    others: dict[str, Reference] = {}
    for notebook in notebooks:
        for item in _cited(notebook):
            match = re.match(r"(?P<citation>[^*]+?: \*(?P<title>.+?)\*(?P<rest>.*))", item)
            if match:
                arxiv = re.search(r"arXiv:(\d{4}\.\d{4,5})", item)
                key = arxiv[1] if arxiv else match["title"].lower()
                end = (
                    r"\[?arXiv:[\d.]*\d(?:\]\([^)]*\))?"
                    if arxiv
                    else r".*?(?:19|20)\d\d(?:, pages [\d-]+)?"
                )
                rest = re.match(rf".*?{end}", match["rest"])
                citation = item[: match.start("rest")] + (rest[0] if rest else "") + "."
                kind = publications
            else:
                key, citation, kind = item, item, others
                if re.search(r"\babove\b", item):  # of the notebook, not of a page beside it
                    continue
            known = kind.setdefault(key, Reference(citation, []))
            known.citation = max(known.citation, citation, key=lambda c: len(plain(c)))
            if notebook.number not in known.notebooks:
                known.notebooks.append(notebook.number)

    def line(reference: Reference) -> str:
        arxiv = r"(?<!\[)arXiv:(\d{4}\.\d{4,5})"
        text = re.sub(arxiv, r"[arXiv:\1](https://arxiv.org/abs/\1)", reference.citation)
        word = "Notebook" if len(reference.notebooks) == 1 else "Notebooks"
        where = numbers_as_links(", ".join(reference.notebooks), notebooks, "notebooks/")
        return f"- {text} *{word} {where}.*"

    def surname(reference: Reference) -> str:
        first = re.split(r",|:| et al\.", reference.citation)[0]
        return first.split()[-1].lower()

    parts = ["# References", "What the notebooks cite, with the notebooks that cite it."]
    parts += ["\n".join(line(r) for r in sorted(publications.values(), key=surname))]
    if others:
        parts += ["## Pictures and other sources", "\n".join(line(r) for r in others.values())]
    return "\n\n".join(parts) + "\n"


def _cited(notebook: Notebook) -> Iterator[str]:
    for cell in notebook.content["cells"]:
        _, heading, text = source(cell).partition("## References\n")
        if heading and cell["cell_type"] == "markdown":
            for item in re.findall(r"(?m)^(?:- |\*(?=\w))(.+)$", text):
                # one item may name several publications
                yield from re.split(r"(?<=\)\. )(?=[A-Z]\.[^*]*?: \*)", item.strip("* "))


def _index(root: Path, folder: Path, notebooks: Sequence[Notebook], api: list[str]) -> str:
    """The first page: README's opening, the notebooks with their times, and all contents."""
    readme = root / "README.md"
    opening = readme.read_text(encoding="utf-8").split("\n## ")[0] if readme.is_file() else "# Book"
    entries = []
    for n in notebooks:
        facts = [n.time and f"{n.time}.", n.needs and f"Needs {n.needs}."]
        if n.equations:
            word = "Equation" if len(n.equations) == 1 else "Equations"
            facts.append(f"{word} {spans(n.equations)}.")
        facts = [numbers_as_links(f, notebooks, "notebooks/") if f[:1] == "N" else f for f in facts]
        entries.append(
            f"- [{n.number} {n.title}](notebooks/{n.path.name})\n\n  {n.moment}\n\n"
            f"  *{' '.join(filter(None, facts))}*"
        )
    entries += ["", missing_line(notebooks)]
    teaching = [f"teaching/{name}" for name in TEACHING]
    teaching += sorted(p.relative_to(folder).as_posix()[:-3] for p in folder.glob("teaching/*.md"))
    contents = {
        "The notebooks": [f"notebooks/{n.path.stem}" for n in notebooks],
        "Look it up": ["notebooks/glossary", "references", "README", "data/README"],
        "For teachers": list(dict.fromkeys(teaching)),
        "The library": ["CONTRIBUTING", "tests/README", *api],
    }
    trees = []
    for caption, names in contents.items():
        names = [n for n in names if any((folder / f"{n}{e}").is_file() for e in FORMATS)]
        if names:
            lines = "\n".join(names)
            trees.append(f"```{{toctree}}\n:caption: {caption}\n:hidden:\n\n{lines}\n```")
    listed = ":::{container} chapters\n\n" + "\n".join(entries) + "\n:::"
    return "\n\n".join([opening, "## The notebooks", listed, *trees]) + "\n"


FORMATS = (".md", ".ipynb", ".rst")


def _write_api(package: Path, folder: Path) -> list[str]:
    """A page for each module and each subpackage of the library, in the order of README."""
    modules = {
        ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in package.rglob("*.py")
    }
    # Left out: commands, what only the notebooks use, and the answers to the exercises.
    hidden = re.compile(
        r"\.__main__$|\.(?:commands|bench|widgets|figures)\b|\.exercises\.(?!exercise$)"
    )
    groups: dict[str, list[str]] = {}
    for module in sorted(m for m in modules if not hidden.search(m) and "." in m):
        groups.setdefault(module.split(".")[1], []).append(module)
    order = [*PAPER, *USE]
    names = sorted(groups, key=lambda g: (order.index(g) if g in order else len(order), g))
    for name in names:
        parts = [f"{name}\n{'=' * len(name)}"]
        for i, module in enumerate(groups[name]):
            title = module.removeprefix(f"{package.name}.")
            parts += [f"{title}\n{'-' * len(title)}"] if i else []
            parts += [f".. automodule:: {module}\n   :members:"]
        _write(folder / "api" / f"{name}.rst", "\n\n".join(parts) + "\n")
    if names:
        kinds = {"The paper": PAPER, "What one does with it": USE}
        kinds["Everything else"] = [n for n in names if n not in order]
        page = ["API", "===", "The library, from its docstrings.", ""]
        for kind, members in kinds.items():
            page += [f".. toctree::\n   :caption: {kind}\n   :maxdepth: 1\n"]
            page += [f"   {n}" for n in members if n in groups] + [""]
        _write(folder / "api" / "index.rst", "\n".join(page))
    return ["api/index"] if names else []
