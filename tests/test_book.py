import base64
import json
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
from small_notebooks import ROOT, code, png, text, write

from ltm_edu.store.errors import InputError
from tools import book
from tools.course import read_notebooks

bs4 = pytest.importorskip("bs4")
pytest.importorskip("nbconvert")

README = (
    "# a_course\n\nWhat it is, with *emphasis*.\n\n![The net](data/net.png)\n\n## Start\n\nno\n"
)


def soup(page: Path):
    return bs4.BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def pngs(cells: list[dict]) -> list[str]:
    outputs = [o for c in cells for o in c.get("outputs", ())]
    return ["".join(o["data"]["image/png"]) for o in outputs if "image/png" in o.get("data", {})]


@pytest.fixture(scope="module")
def course_book(tmp_path_factory) -> Path:
    """The course itself as a book."""
    out = tmp_path_factory.mktemp("book") / "book"
    book.build(ROOT / "notebooks", ROOT / "README.md", out)
    return out


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A course of two notebooks."""
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "net.png").write_bytes(base64.b64decode(png()))
    write(
        tmp_path,
        "00_a.ipynb",
        text("# 00 · First <&> `last`\n\n[on](01_b.ipynb#next), [far](09_z.ipynb)"),
        text("Here.\n\n*Figure: a grey\nbox, $T_e$.*\n\n$$ a < b \\tag{2} $$"),
        code("x = 1", printed="hello"),
        code("explore()", widget={"model_id": "1"}),
        code("draw()", png=png()),
    )
    write(tmp_path, "01_b.ipynb", text("# 01 · Second"), text("## Odd"), code(png=png(50, 20)))
    return tmp_path


@pytest.fixture
def small(checkout) -> Path:
    out = checkout / "book"
    book.build(checkout / "notebooks", checkout / "README.md", out)
    return out


# The course's own book ---------------------------------------------------------------------------

course_page = cache(soup)  # these pages are large, and no test changes them


def test_every_link_picture_script_and_style_leads_to_a_file(course_book):
    for page in course_book.glob("*.html"):
        tags = course_page(page).select("[href], [src]")
        addresses = [tag.get("href") or tag.get("src") for tag in tags]
        assert addresses
        for address in addresses:
            if re.match(r"https?:", address):
                assert tags[addresses.index(address)].name == "a"  # to follow, never to load
                continue
            path, _, fragment = re.sub(r"\?.*", "", address).partition("#")
            target = page.parent / unquote(path) if path else page
            assert target.is_file(), f"{page.name}: {address}"
            if fragment:
                assert course_page(target).find(id=unquote(fragment)), f"{page.name}: {address}"


def test_every_figure_stands_in_its_order_and_has_an_alt_text(course_book):
    for notebook in read_notebooks():
        saved = [base64.b64decode(p) for p in pngs(notebook.content["cells"])]
        images = course_page(course_book / f"{notebook.path.stem}.html").select(".output_png img")
        assert [(course_book / image["src"]).read_bytes() for image in images] == saved
        assert all(len(image["alt"]) > 10 for image in images)


def test_no_alt_text_holds_markup(course_book):
    alts = [
        i["alt"] for page in course_book.glob("*.html") for i in course_page(page).select("img")
    ]
    assert not [alt for alt in alts if re.search(r"[$*`{}\\]|<|\bfigure below", alt)]


def test_every_cell_is_on_the_page_and_a_sentence_stands_for_every_widget(course_book):
    for notebook in read_notebooks():
        page = course_page(course_book / f"{notebook.path.stem}.html")
        kinds = [c["cell_type"] for c in notebook.content["cells"]]
        assert len(page.select(".code_cell")) == kinds.count("code")
        assert len(page.select(".text_cell")) == kinds.count("markdown")
        widgets = json.dumps(notebook.content["cells"]).count(f'"{book.WIDGET}"')
        assert len(page.select("p.widget")) == widgets
        assert "VBox(" not in page.get_text()
        assert "runs no Python" not in page.get_text()  # the sentence appears once
        assert not page.find(type=re.compile("widget"))


def test_formulas_reach_the_page_as_they_were_written(course_book):
    for notebook in read_notebooks():
        texts = [c["source"] for c in notebook.content["cells"] if c["cell_type"] == "markdown"]
        written = re.findall(r"\$\$.+?\$\$", "".join("".join(t) for t in texts), flags=re.DOTALL)
        shown = course_page(course_book / f"{notebook.path.stem}.html").get_text()
        assert [f for f in written if f.strip() not in shown] == []


def test_the_index_names_every_notebook(course_book):
    entries = course_page(course_book / "index.html").select(".notebooks a")
    notebooks = read_notebooks()
    assert [e["href"] for e in entries] == [f"{n.path.stem}.html" for n in notebooks]
    for entry, notebook in zip(entries, notebooks, strict=True):
        words = entry.get_text()
        assert notebook.number in words
        assert notebook.title in words
        assert notebook.moment in words


def test_pages_load_nothing_from_the_network(course_book):
    for path in [*course_book.glob("*.html"), course_book / "style.css"]:
        assert not re.search(r"(?:src=\"|url\(|@import\s)['\"]?https?:", path.read_text("utf-8"))
    assert (course_book / "mathjax" / "MathJax.js").is_file()
    assert (course_book / "mathjax" / "LICENSE").is_file()
    assert sum(len(content) for content in files(course_book / "mathjax").values()) < 4_000_000


# A small one -------------------------------------------------------------------------------------


def test_pages_are_chained(small):
    first, second = soup(small / "00_a.html"), soup(small / "01_b.html")
    for page, here in [(first, {"next": "01_b.html"}), (second, {"prev": "00_a.html"})]:
        assert len(page.select("nav")) == 2
        for nav in page.select("nav"):
            links = {a["class"][0]: a["href"] for a in nav.select("a")}
            assert links == {"index": "index.html", **here}


def test_links_between_notebooks_become_links_between_pages(checkout, small):
    page = soup(small / "00_a.html")
    assert page.find("a", string="on")["href"] == "01_b.html#next"
    assert page.find("a", string="far") is None
    assert "far" in page.get_text()
    notes = book.build(checkout / "notebooks", checkout / "README.md", small)
    assert notes == ["00_a.ipynb: 09_z.ipynb is not in the book, so its link is removed"]


def test_the_alt_text_is_the_caption_or_else_the_heading(small):
    assert soup(small / "00_a.html").img["alt"] == "a grey box, T_e."
    image = soup(small / "01_b.html").img
    assert image["alt"] == "Figure: Odd"
    assert (image["width"], image["height"]) == ("50", "20")


def test_the_sentence_for_a_widget_uses_the_notebooks_words(checkout):
    empty = "(On a page that runs no Python the widget stays empty; the figure after it shows {}.)"
    last = text(empty.format("nothing"))
    cells = [
        text("# 00 · T\n\nMove it.\n\n" + empty.format("two < three") + "\n\nGo on."),
        code("ready = True"),
        code("one()", widget={"model_id": "1"}),
        text("Another."),
        code("two()", widget={"model_id": "2"}),
        last,
    ]
    write(checkout, "00_a.ipynb", *cells)
    book.build(checkout / "notebooks", checkout / "README.md", checkout / "book")
    page = soup(checkout / "book" / "00_a.html")
    twins = [p.get_text().split("; ")[1] for p in page.select("p.widget")]
    assert twins == ["the figure after it shows two < three.", "the next figure shows the same."]
    first, *_, end = page.select(".text_cell_render")
    assert [p.get_text() for p in first.select("p")] == ["Move it.", "Go on."]
    assert last["source"] in end.get_text()  # no widget follows it


def test_captions_go_to_figures_in_order():
    cells = [
        text("# 00 · T"),
        text("*Figure: one.* Then *not this*, **nor this**.\n\n*The figure below: two.*"),
        code(printed="no figure"),
        {**code(png=png()), "outputs": code(png=png())["outputs"] * 2},
        text("## More\n\nWords."),
        code(png=png()),
    ]
    assert list(book.figure_texts({"cells": cells})) == ["one.", "two.", "Figure: More"]


def test_the_index_begins_with_readmes_first_words(small):
    index = soup(small / "index.html")
    assert index.h1.get_text() == "a_course"
    assert "What it is" in index.get_text()
    assert "Start" not in index.get_text()
    assert index.img["src"] == "figures/net.png"
    assert "Not written yet: 02 to 10." in index.get_text()


def test_titles_are_escaped(small):
    assert "First <&> last" in soup(small / "00_a.html").title.get_text()
    assert "<&>" not in (small / "index.html").read_text(encoding="utf-8")


def test_a_second_run_writes_the_same_book(checkout, small):
    first_files = files(small)
    book.build(checkout / "notebooks", checkout / "README.md", small)
    assert files(small) == first_files


def test_a_deleted_notebook_has_no_page(checkout, small):
    (checkout / "notebooks" / "01_b.ipynb").unlink()
    book.build(checkout / "notebooks", checkout / "README.md", small)
    assert sorted(p.name for p in small.glob("*.html")) == ["00_a.html", "index.html"]
    assert not list((small / "figures").glob("01*"))


@pytest.mark.parametrize(
    "content",
    [
        {"raw": "{"},
        {"raw": '{"cells": [{"cell_type": "markdown", "source": "# 01 · x"}], "metadata": 1}'},
        {"cells": [text("# 01 · x"), code(png="no picture")]},
    ],
)
def test_a_bad_notebook_leaves_the_old_book_and_nothing_else(checkout, small, content, capsys):
    first_files, before = files(small), sorted(checkout.iterdir())
    write(checkout, "01_b.ipynb", *content.get("cells", ()), raw=content.get("raw", ""))
    arguments = ["--notebooks", checkout / "notebooks", "--readme", checkout / "README.md"]
    assert book.main([str(a) for a in [*arguments, "--out", small]]) == 2
    message = capsys.readouterr().err
    assert message.startswith("make book: 01_b.ipynb")
    assert message.count("\n") == 1
    assert files(small) == first_files
    assert sorted(checkout.iterdir()) == before


def test_a_folder_that_is_not_a_book_is_not_replaced(checkout):
    with pytest.raises(InputError, match="holds files that are not a book"):
        book.build(checkout / "notebooks", checkout / "README.md", checkout / "data")
    assert (checkout / "data" / "net.png").is_file()


def test_the_command_prints_the_books_path(checkout, capsys):
    out = checkout / "elsewhere" / "book"
    arguments = ["--notebooks", checkout / "notebooks", "--readme", checkout / "README.md"]
    assert book.main([str(a) for a in [*arguments, "--out", out]]) == 0
    assert f"open {out / 'index.html'} in a browser" in capsys.readouterr().out
