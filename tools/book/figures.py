"""The text that stands for a figure where nobody sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..course import source


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
