"""What the book needs of Sphinx beyond its options: checks, alt texts, interactive figures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging

from .building import GENERATOR
from .figures import figure_texts

logger = logging.getLogger(__name__)

LONGEST_VALUE = 500
"""The API shows the value of a constant; so many characters are read by nobody."""


def formula_fault(formula: str, display: bool = False) -> str:
    r"""What is wrong with a formula in LaTeX; "" if nothing is.

    >>> formula_fault(r"\hat{A}_{ij}"), formula_fault(r"\frac{a}{b")
    ('', '10: Expected closing token "}", but reached end of input.')
    """
    if r"\tag" in formula:  # stands only in an environment with a number
        formula = rf"\begin{{equation}}{formula}\end{{equation}}"
    try:
        LatexToMathML(fancy_error=False).convert_with_local_state(formula, displaystyle=display)
    except LatexError as error:
        return str(error)
    return ""


def check(app: Sphinx, doctree: nodes.document) -> None:
    """Check the formulas of a page, hand them on as they are written, and describe its figures."""
    for node in doctree.findall(lambda n: isinstance(n, nodes.math | nodes.math_block)):
        formula, display = node.astext(), isinstance(node, nodes.math_block)
        if fault := formula_fault(formula, display):
            logger.warning("the formula %s is wrong: %s", formula.strip(), fault, location=node)
        if display:  # Sphinx would put an environment around it in which \tag is an error
            node["nowrap"] = node["no-wrap"] = True
            node.children = [nodes.Text(rf"\[{formula}\]")]
    for text in doctree.findall(nodes.Text):
        prose = isinstance(text.parent, nodes.paragraph | nodes.emphasis | nodes.strong)
        if prose and re.search(r"\$\$|\$\S*[\\^_{]", text):
            logger.warning("a formula does not end: %s", text[:60], location=text.parent)
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix == ".ipynb":
        texts = figure_texts(json.loads(path.read_text(encoding="utf-8")))
        for image in doctree.findall(nodes.image):
            if any("cell_output" in parent.get("classes", ()) for parent in _parents(image)):
                image["alt"] = next(texts)


def _parents(node: nodes.Node) -> Iterator[nodes.Element]:
    while node.parent is not None:
        node = node.parent
        yield node


def link_sources(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Let a link to a module of the package lead to its page of source."""
    for node in list(doctree.findall(addnodes.download_reference)):
        match = re.search(r"(ltm_edu/[\w/]+)\.py$", node["reftarget"])
        if match:
            uri = app.builder.get_relative_uri(docname, f"_modules/{match[1]}")
            node.replace_self(nodes.reference("", "", *node.children, internal=True, refuri=uri))


def skip_member(
    _: Sphinx, what: str, name: str, member: Any, skip: bool, options: object
) -> bool | None:
    """Leave out fields of a named tuple, which Python only numbers, and tables that fill a page."""
    numbered = str(member.__doc__).startswith("Alias for field number")
    long = isinstance(member, dict | list | tuple) and len(repr(member)) > LONGEST_VALUE
    return True if numbered or long else None


def copy_front(_: Sphinx, config: Config) -> None:
    """Make the style of the interactive figures a file of the book."""
    style = Path(config.front, "front.css")
    if style.is_file():
        config.html_static_path.append(str(style))


def finish_page(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Mark the page as the book's; where interactive figures stand, put what draws them there."""
    context["metatags"] = context.get("metatags", "") + GENERATOR
    if 'class="ltm-figure"' in context.get("body", ""):
        script = Path(app.config.front, "front.js").read_text(encoding="utf-8")
        script = script.replace("</script", "<\\/script")
        mount = (
            'for (const el of document.querySelectorAll(".ltm-figure"))\n'
            "  mount(el, JSON.parse(el.firstElementChild.textContent));"
        )
        app.add_js_file(None, body=f"{script}\n{mount}", type="module")
        app.add_css_file("front.css")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the checks to Sphinx's events; two processes may work at once."""
    app.add_config_value("front", "", "html")  # the folder of front.js and front.css
    app.connect("config-inited", copy_front)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("doctree-read", check)
    app.connect("doctree-resolved", link_sources)
    app.connect("html-page-context", finish_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
