"""The book: Sphinx builds it from two small notebooks once, and what is broken in a second one."""

import base64
import doctest
import hashlib
import json
import re
from pathlib import Path
from urllib.parse import unquote

import bs4
import pytest
from small_notebooks import code, png, text, write

from ltm_edu.store.errors import InputError
from tools.book import building, checks, figures, pages
from tools.book.building import build, dead_links, github_address, main
from tools.book.checks import formula_fault
from tools.book.figures import figure_texts
from tools.book.pages import Address
from tools.course import read_notebook, read_notebooks, source

README = (
    "# a_course\n\nWhat it is, with *emphasis*.\n\n![The net](data/net.png)\n\n## Start\n\n"
    "See [one](notebooks/00_a.ipynb), [the licence](LICENSE).\n"
)
GLOSSARY = (
    "# Glossary\n\nTerms.\n\n| term | meaning |\n|---|---|\n"
    "| IoU | Overlap of (two) masks. (notebooks 00 and 01) |\n"
    "| $R$, relation | All cosines. (equation 2; notebook 01) |\n\nThe end.\n"
)
CITED = (
    "## References\n\n- A. Abel, B. Buh: *On masks* (OM). ICCV 2019. arXiv:1901.00001. Its map.\n"
)
CITED_AGAIN = (
    "## References\n\n- A. Abel et al.: *On masks*. ICCV 2019, "
    "[arXiv:1901.00001](https://arxiv.org/abs/1901.00001): equation 3.\n- Emoji: free.\n"
)
GITHUB = "https://github.com/someone/course"
FRONT = "const mount = (el, state) => { el.dataset.kind = state.kind; };\nexport { mount };\n"


def soup(page: Path):
    return bs4.BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def write_course(root: Path) -> None:
    """A course of two notebooks, with a teacher's page and a module of the library."""
    texts = {
        "README.md": README,
        "LICENSE": "free",
        "notebooks/glossary.md": GLOSSARY,
        "teaching/guide.md": "# Guide\n\nSee [two](../notebooks/01_b.ipynb).\n",
        "teaching/extra.md": "# Extra\n",
        "ltm_edu/geometry.py": "",  # the page shows the docstrings of the installed module
        "tests/test_a.py": "x = 1",
        "ltm_edu/widgets/front.js": FRONT,
        "ltm_edu/widgets/front.css": ".ltm-figure { color: red }",
    }
    for name, content in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    (root / "data").mkdir()
    (root / "data" / "net.png").write_bytes(base64.b64decode(png()))
    empty = "(On {} the widget stays empty; the figure after it shows two < three.)"
    write(
        root,
        "00_a.ipynb",
        text("# 00 · First <&> `last`\n\n*About 20 minutes with it. Needs nothing.*\n\nOpening."),
        text(
            "[on](01_b.ipynb#odd-and-even), [code](../ltm_edu/geometry.py), [t](../tests/test_a.py)"
        ),
        text(
            "Here.\n\n*Figure: a grey\nbox, $T_e$.*\n\n"
            "$$ a < \\begin{pmatrix} b \\\\ c \\end{pmatrix} \\tag{2} $$"
        ),
        code("x = 1  # one", printed="hello"),
        text("Move it.\n\n" + empty.format("a page that runs no Python") + "\n\nGo on."),
        code("explore()", widget={"model_id": "1"}),
        code("draw()", png=png()),
        text(CITED),
    )
    write(
        root,
        "01_b.ipynb",
        text("# 01 · Second\n\n*About 40 minutes. Needs notebook [00](00_a.ipynb) (masks).*"),
        text("## Odd and even\n\n" + empty.format("GitHub")),
        code("touch()", figure={"kind": "relation", "note": "</script>"}),
        code(png=png(50, 20)),
        text(CITED_AGAIN),
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("course")
    write_course(root)
    build(root, root / "book", GITHUB)
    return root / "book"


@pytest.fixture
def checkout(tmp_path) -> Path:
    write_course(tmp_path)
    return tmp_path


# What is on the pages ----------------------------------------------------------------------------


def test_pages_lead_to_the_next_and_the_previous_one(small):
    first, second = soup(small / "notebooks/00_a.html"), soup(small / "notebooks/01_b.html")
    assert first.select_one("a.right-next")["href"] == "01_b.html"
    assert second.select_one("a.left-prev")["href"] == "00_a.html"


def test_links_lead_to_pages_headings_sources_and_copied_files(small):
    page = soup(small / "notebooks/00_a.html")
    href = {a.get_text(): a["href"] for a in page.select("article a[href]")}
    assert href["on"] == "01_b.html#odd-and-even"
    assert soup(small / "notebooks/01_b.html").find(id="odd-and-even")
    assert href["code"] == "../_modules/ltm_edu/geometry.html"
    assert (small / "notebooks" / href["t"]).read_text() == "x = 1"
    readme = {a.get_text(): a["href"] for a in soup(small / "README.html").select("article a")}
    assert readme["one"] == "notebooks/00_a.html"
    assert (small / readme["the licence"]).read_text() == "free"
    assert dead_links(small) == []


def test_the_alt_text_is_the_caption_or_else_the_heading(small):
    assert (
        soup(small / "notebooks/00_a.html").select_one("article img")["alt"] == "a grey box, T_e."
    )
    image = soup(small / "notebooks/01_b.html").select_one("article img")
    assert image["alt"] == "Figure: Odd and even"


def test_captions_go_to_figures_in_order():
    cells = [
        text("# 00 · T"),
        text("*Figure: one.* Then *not this*, **nor this**.\n\n*The figure below: two.*"),
        code(printed="no figure"),
        {**code(png=png()), "outputs": code(png=png())["outputs"] * 2},
        text("## More\n\nWords."),
        code(png=png()),
    ]
    assert list(figure_texts({"cells": cells})) == ["one.", "two.", "Figure: More"]


def test_no_alt_text_of_the_course_holds_markup():
    for notebook in read_notebooks():
        alts = list(figure_texts(notebook.content))
        assert all(len(alt) > 10 for alt in alts)
        assert not [alt for alt in alts if re.search(r"[$*`{}\\]|<|\bfigure below", alt)]


def test_a_line_stands_for_a_widget_in_the_notebooks_words(small):
    page = soup(small / "notebooks/00_a.html")
    (line,) = page.select("p.widget")
    assert line.get_text().split("; ")[1] == "the figure after it shows two < three."
    assert "stays empty" not in page.get_text()
    assert "VBox(" not in page.get_text()
    assert not page.find("script", type="module")  # nothing here is drawn by front.js


def test_an_interactive_figure_travels_with_its_numbers_and_with_what_draws_it(small):
    page = soup(small / "notebooks/01_b.html")
    (figure,) = page.select(".ltm-figure")
    assert json.loads(figure.script.string) == {"kind": "relation", "note": "</script>"}
    (module,) = page.select('script[type="module"]:not([src])')
    assert FRONT.strip() in module.string
    assert module.string.index("mount(el, JSON.parse") > module.string.index("export")
    assert "stays empty" not in page.get_text()
    assert not page.select("p.widget")
    style = next(tag["href"] for tag in page.select("link") if "front.css" in tag.get("href", ""))
    assert (small / "notebooks" / style.partition("?")[0]).is_file()


def test_a_formula_reaches_the_page_as_it_was_written(small):
    shown = soup(small / "notebooks/00_a.html").select_one("div.math").get_text().strip()
    assert shown == "\\[ a < \\begin{pmatrix} b \\\\ c \\end{pmatrix} \\tag{2} \\]"


def test_the_index_names_every_notebook_with_time_and_needs(small):
    index = soup(small / "index.html")
    assert index.h1.get_text().startswith("a_course")
    first, second = index.select(".chapters > ul > li")
    assert "00 First <&> last" in first.get_text()
    assert read_notebook(small.parent / "notebooks/00_a.ipynb").moment in first.get_text()
    assert "About 20 minutes. Needs nothing. Equation 2." in first.get_text()
    assert "About 40 minutes. Needs notebook 00 (masks)." in second.get_text()
    assert [a["href"] for a in second.select("a")] == ["notebooks/01_b.html", "notebooks/00_a.html"]
    assert "Not written yet: 02 to 10." in index.get_text()
    assert index.select_one("article img")["alt"] == "The net"


def test_every_notebook_of_the_course_says_how_long_it_takes_and_what_it_needs():
    for notebook in read_notebooks():
        assert notebook.time.endswith("minutes"), notebook.path.name
        assert notebook.needs or notebook.number == "00", notebook.path.name
        assert "](" not in notebook.needs


def test_teachers_pages_follow_one_another_as_far_as_they_exist(small):
    captions = [p.get_text() for p in soup(small / "index.html").select("p.caption")]
    assert "For teachers" in captions
    assert soup(small / "teaching/guide.html").select_one("a.right-next")["href"] == "extra.html"


def test_the_glossary_is_a_list_whose_terms_can_be_linked_to(small):
    page = soup(small / "notebooks/glossary.html")
    assert [t["id"] for t in page.select("dt")] == ["term-IoU", "term-R-relation"]
    entry = page.select("dd")[0]
    assert entry.get_text().startswith("Overlap of (two) masks.")
    assert [a["href"] for a in entry.select("a")] == ["00_a.html", "01_b.html"]
    assert "The end." in page.get_text()


def test_a_publication_is_listed_once_with_all_notebooks_that_cite_it(small):
    publication, other = soup(small / "references.html").select("article li")
    assert publication.get_text() == (
        "A. Abel, B. Buh: On masks (OM). ICCV 2019. arXiv:1901.00001. Notebooks 00, 01."
    )
    addresses = [a["href"] for a in publication.select("a")]
    assert addresses == [
        "https://arxiv.org/abs/1901.00001",
        *(f"notebooks/0{n}.html" for n in ("0_a", "1_b")),
    ]
    assert other.get_text() == "Emoji: free. Notebook 01."


def test_all_references_of_the_course_are_on_its_page():
    notebooks = read_notebooks()
    page = pages.references(notebooks)
    for notebook in notebooks:
        _, _, end = "\n".join(map(source, notebook.content["cells"])).partition("## References\n")
        assert end
        for number in re.findall(r"arXiv:(\d{4}\.\d+)", end):
            (line,) = [line for line in page.splitlines() if f"arXiv:{number}]" in line]
            assert f"[{notebook.number}](" in line
        for title in re.findall(r"(?m)^- [^*\n]+: \*(.+?)\*", end):
            assert title in page


def test_the_api_page_has_the_docstrings_and_leads_to_the_source(small):
    page = soup(small / "api/geometry.html")
    names = [dt["id"] for dt in page.select("dt[id]")]
    assert names
    assert all(name.startswith("ltm_edu.geometry.") for name in names)
    source_page = page.select_one("a[href*=_modules]")["href"].partition("#")[0]
    assert (small / "api" / source_page).is_file()


def test_pages_load_nothing_from_the_network(small):
    for page in small.rglob("*.html"):
        for tag in soup(page).select("script[src], img[src], link[href], iframe, source, video"):
            assert not re.match(r"(?:https?:)?//", tag.get("src") or tag.get("href")), (page, tag)
    for style in small.rglob("*.css"):
        loaded = re.findall(
            r"(?:url\(|@import\s)\s*['\"]?((?:https?:)?//[^)'\"]+)", style.read_text()
        )
        assert not loaded, style


def test_the_copy_of_mathjax_is_the_one_that_mathjax_published(small):
    published = "a4354ff94fd868aea0cc6eaaa79a57fda0588646fc46ee3700a349ee0a11cbe6"  # 3.2.2 on npm
    copy = small / "_static" / "tex-svg-full.js"
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == published


def luminance(colour: str) -> float:
    colour = "".join(2 * c for c in colour) if len(colour) == 3 else colour
    parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("theme", "background"), [("light", "f3f4f5"), ("dark", "29313d")])
def test_code_is_legible_on_its_background(small, theme, background):
    css = (small / "_static" / "pygments.css").read_text()
    theme_css = (small / "_static" / "styles" / "pydata-sphinx-theme.css").read_text()
    assert f"--pst-color-surface:#{background}" in theme_css  # what cells are drawn on
    rule = rf'data-theme="{theme}"\] \.highlight \.\w+ {{[^}}]*?(?<!-)color: ?#([0-9a-fA-F]+)'
    colours = set(re.findall(rule, css))
    assert len(colours) > 5
    for colour in colours:
        bright, dark = sorted([luminance(colour), luminance(background)], reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, colour


# How to run a notebook ---------------------------------------------------------------------------


def test_a_chapter_links_to_its_notebook_as_it_is_saved(small):
    link = soup(small / "notebooks/00_a.html").select_one("details.run a[download]")
    saved = (small.parent / "notebooks/00_a.ipynb").read_bytes()
    assert (small / "notebooks" / unquote(link["href"])).read_bytes() == saved


def test_with_an_address_a_chapter_opens_on_colab_and_binder(small):
    run = soup(small / "notebooks/01_b.html").select_one("details.run")
    addresses = [a["href"] for a in run.select("a")]
    assert (
        "https://colab.research.google.com/github/someone/course/blob/main/notebooks/01_b.ipynb"
        in addresses
    )
    assert (
        "https://mybinder.org/v2/gh/someone/course/main?labpath=notebooks%2F01_b.ipynb" in addresses
    )
    assert f"git clone --depth 1 -b main {GITHUB}" in run.get_text()


def test_without_an_address_a_chapter_says_how(checkout):
    notebook = read_notebook(checkout / "notebooks/01_b.ipynb")
    run = bs4.BeautifulSoup(pages.how_to_run(notebook, Address()), "html.parser")
    assert "upload" in run.get_text()
    assert "%pip install" in run.get_text()
    assert "github" not in str(run)


@pytest.mark.parametrize(
    ("origin", "address"),
    [
        ("https://github.com/someone/course.git\n", GITHUB),
        ("https://github.com/someone/course/", GITHUB),
        ("git@github.com:someone/course.git", GITHUB),
        ("ssh://git@github.com/someone/course", GITHUB),
        ("https://name:secret@github.com/someone/course", ""),
        ("https://example.org/someone/course", ""),
        ("/srv/git/course", ""),
        ("", ""),
    ],
)
def test_only_an_open_address_on_github_is_used(origin, address):
    assert github_address(origin) == address


def test_an_address_that_is_none_is_one_line(checkout, capsys):
    assert main(["--root", str(checkout), "--repository", "example.org"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("make book: example.org is not https://github.com/OWNER/NAME")
    assert message.count("\n") == 1


# What is broken ----------------------------------------------------------------------------------

BROKEN = [
    r"\hat{A}_{ij",
    r"\frac{a}",
    r"\frac{a}{b",
    r"\begin{pmatrix} a & b \end{matrix}",
    r"\begin{pmatrx} a \end{pmatrx}",
    r"\lamda_m L_m",
    r"\left( a + b",
    r"\right) a",
    r"a_1_2",
    r"R^{\top}}",
    r"x^",
    r"\text{mean",
    r"x & y",
    r"a \tag",
]


@pytest.mark.parametrize("formula", BROKEN)
def test_a_broken_formula_is_noticed(formula):
    assert formula_fault(formula, display=True)


def test_no_formula_of_the_course_is_broken():
    count = 0
    for notebook in read_notebooks():
        for cell in notebook.content["cells"]:
            if cell["cell_type"] == "markdown":
                text = re.sub(r"`[^`]*`", "", source(cell))
                for display, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$]+)\$", text, re.DOTALL):
                    assert formula_fault(display or inline, bool(display)) == ""
                    count += 1
    assert count > 600


def test_whatever_is_broken_fails_the_build_with_a_line_each_and_the_old_book_stays(checkout):
    write(
        checkout,
        "01_b.ipynb",
        text("# 01 · Second"),
        text("[no page](09_z.ipynb)"),
        text("[no heading](00_a.ipynb#nowhere)"),
        text("![no picture](none.png)"),
        text("A fine $a$ and a broken $\\frac{a}{b$."),
        text('<a href="gone.html">raw</a>'),
        text("$$ never closed \\hat A"),
    )
    (checkout / "README.md").write_text(README + "\n[no file](ltm_edu/none.py)\n")
    out = checkout / "book"
    out.mkdir()
    (out / "index.html").write_text(building.GENERATOR)
    with pytest.raises(InputError) as raised:
        build(checkout, out)
    lines = str(raised.value).splitlines()
    for place, word in {
        "notebooks/00_a.ipynb, cell 2: ": "odd-and-even",
        "notebooks/01_b.ipynb, cell 2: ": "09_z.ipynb",
        "notebooks/01_b.ipynb, cell 3: ": "nowhere",
        "notebooks/01_b.ipynb, cell 4: ": "none.png",
        "notebooks/01_b.ipynb, cell 5: ": "frac",
        "notebooks/01_b.ipynb, cell 7: ": "never closed",
        "README.md:": "ltm_edu/none.py",
    }.items():
        assert [x for x in lines if x.startswith(place) and word in x], (place, lines)
    assert len(lines) == 7, lines
    assert files(out) == {"index.html": building.GENERATOR.encode()}
    assert not list(checkout.glob(".*"))


def test_a_link_in_html_that_leads_nowhere_is_noticed(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="x"><a href="b.html#y">b</a><a href="#x">a</a><a href="c.png">'
    )
    (tmp_path / "b.html").write_text('<img src="a.html"><a href="a.html#x">')
    assert dead_links(tmp_path) == ["a.html: b.html#y leads nowhere", "a.html: c.png leads nowhere"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"raw": "{"}, "01_b.ipynb is not a notebook"),
        (
            {
                "raw": '{"cells": [{"cell_type": "markdown", "source": "# 01 · x"},'
                '{"cell_type": "code"}]}'
            },
            "01_b.ipynb",
        ),
        (
            {"cells": [text("# 01 · x"), {**code(printed="1"), "execution_count": None}]},
            "notebooks/01_b.ipynb, cell 2: it has outputs but no number",
        ),
        (
            {
                "cells": [
                    text("# 01 · x"),
                    {
                        **code("1 / 0"),
                        "outputs": [{"output_type": "error", "ename": "ZeroDivisionError"}],
                    },
                ]
            },
            "notebooks/01_b.ipynb, cell 2: it ends with ZeroDivisionError",
        ),
        (
            {"cells": [text("# 01 · x"), code(png="no picture")]},
            "notebooks/01_b.ipynb, cell 2: its picture",
        ),
    ],
)
def test_a_broken_cell_is_one_line_and_leaves_the_old_book_and_nothing_else(
    checkout, content, says, capsys
):
    out = checkout / "book"
    out.mkdir()
    (out / "index.html").write_text(building.GENERATOR)
    write(checkout, "01_b.ipynb", *content.get("cells", ()), raw=content.get("raw", ""))
    before = sorted(checkout.iterdir())
    assert main(["--root", str(checkout), "--out", str(out), "--repository", ""]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"make book: {says}")
    assert message.count("\n") == 1
    assert files(out) == {"index.html": building.GENERATOR.encode()}
    assert sorted(checkout.iterdir()) == before


def test_an_error_that_is_tagged_is_no_fault(checkout):
    cell = {**code("1 / 0"), "outputs": [{"output_type": "error", "ename": "ZeroDivisionError"}]}
    cell["metadata"] = {"tags": ["raises-exception"]}
    path = write(checkout, "01_b.ipynb", text("# 01 · x"), cell)
    assert len(pages.prepared(read_notebook(path), Address())["cells"]) == 2


def test_a_folder_that_is_not_a_book_is_not_replaced(checkout):
    with pytest.raises(InputError, match="holds files that are not a book"):
        build(checkout, checkout / "data")
    assert (checkout / "data" / "net.png").is_file()


@pytest.mark.parametrize("module", [building, checks, figures])
def test_the_examples_of_the_docstrings_run(module):
    result = doctest.testmod(module)
    assert (result.failed, result.attempted > 0) == (0, True)
