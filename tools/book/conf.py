"""Sphinx's configuration of the book, and the checks that Sphinx does not make itself."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx import addnodes
from sphinx.util import logging

from tools.book.building import GENERATOR
from tools.book.figures import figure_texts

logger = logging.getLogger(__name__)
HERE = Path(__file__).parent
FRONT = HERE.parents[1] / "ltm_edu" / "widgets"  # front.js and front.css draw the figures
MATHJAX = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static/mathjax"

project = "ltm_edu"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx.ext.duration",
]
exclude_patterns = ["extra"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
default_role = "py:obj"  # docstrings write `name`

nb_execution_mode = "off"  # the notebooks stand as they are saved
nb_merge_streams = True
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
myst_dmath_allow_labels = False
myst_update_mathjax = False

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False
toc_object_entries = False

html_theme = "sphinx_book_theme"
html_title = "ltm_edu"
html_static_path = ["static", str(MATHJAX / "tex-svg-full.js")]
html_css_files = ["book.css"]
html_js_files = ["book.js"]
html_copy_source = False
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,
    "search_bar_text": "Search the course",
    "extra_footer": "Text and code: MIT licence. Drawings of the miniature, and figures that show "
    'them: <a href="https://openmoji.org">OpenMoji</a>, CC BY-SA 4.0.',
}
mathjax_path = "tex-svg-full.js"
mathjax3_config = {
    "tex": {"inlineMath": [["\\(", "\\)"]]},
    "options": {"ignoreHtmlClass": "tex2jax_ignore|document", "processHtmlClass": "math"},
    "svg": {"mtextInheritFont": False},
}


def check(app, doctree):
    """Check the formulas of a page, hand them on as they are written, and describe its figures."""
    converter = LatexToMathML(fancy_error=False)
    for node in doctree.findall(lambda n: isinstance(n, (nodes.math, nodes.math_block))):
        formula, display = node.astext(), isinstance(node, nodes.math_block)
        if display:  # Sphinx would put an environment around it in which \tag is an error
            node["nowrap"] = node["no-wrap"] = True
            node.children = [nodes.Text(rf"\[{formula}\]")]
        if r"\tag" in formula:
            formula = rf"\begin{{equation}}{formula}\end{{equation}}"
        try:
            converter.convert_with_local_state(formula, displaystyle=display)
        except LatexError as error:
            logger.warning("the formula %s is wrong: %s", node.astext(), error, location=node)
    for text in doctree.findall(nodes.Text):
        shown = not isinstance(text.parent, (nodes.literal, nodes.literal_block, nodes.raw, nodes.math, nodes.math_block))
        if shown and re.search(r"\$\$|\$\S*[\\^_{]", text):
            logger.warning("a formula does not end: %s", text[:60], location=text.parent)
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix == ".ipynb":
        texts = figure_texts(json.loads(path.read_text(encoding="utf-8")))
        for image in doctree.findall(nodes.image):
            if any("cell_output" in p.get("classes", ()) for p in _parents(image)):
                image["alt"] = next(texts)


def _parents(node):
    while node.parent is not None:
        node = node.parent
        yield node


def link_sources(app, doctree, docname):
    """A link to a module of the package leads to its page of source."""
    for node in list(doctree.findall(addnodes.download_reference)):
        match = re.search(r"(ltm_edu/[\w/]+)\.py$", node["reftarget"])
        if match:
            uri = app.builder.get_relative_uri(docname, f"_modules/{match[1]}")
            node.replace_self(nodes.reference("", "", *node.children, internal=True, refuri=uri))


def finish_page(app, pagename, template, context, doctree):
    """Mark the page as the book's; where interactive figures stand, put what draws them there."""
    context["metatags"] = context.get("metatags", "") + GENERATOR
    if 'class="ltm-figure"' in context.get("body", ""):
        mount = (
            'for (const el of document.querySelectorAll(".ltm-figure"))\n'
            "  mount(el, JSON.parse(el.firstElementChild.textContent));"
        )
        script = (FRONT / "front.js").read_text(encoding="utf-8").replace("</", "<\\/")
        app.add_js_file(None, body=f"{script}\n{mount}", type="module")
        app.add_css_file("front.css")


def setup(app):
    """Connect the checks to Sphinx's events; two processes may work at once."""
    app.connect("doctree-read", check)
    app.connect("doctree-resolved", link_sources)
    app.connect("html-page-context", finish_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
