"""What a user sees of a widget: tests find its parts by the words on the screen."""

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

ipw = pytest.importorskip("ipywidgets")

KINDS = {
    "slider": (ipw.IntSlider, ipw.FloatSlider, ipw.SelectionSlider),
    "menu": (ipw.Dropdown,),
    "choice": (ipw.ToggleButtons,),
}


class Screen:
    """A widget as its user sees it."""

    def __init__(self, widget: ipw.Widget):
        self.widget = widget

    def __iter__(self) -> Iterator[ipw.Widget]:
        """Go through all visible parts, from top left to bottom right."""
        parts = [self.widget]
        while parts:
            part = parts.pop(0)
            if part.layout.display != "none" and part.layout.visibility != "hidden":
                yield part
                parts = [*getattr(part, "children", ()), *parts]

    # Controls

    def slider(self, description: str) -> ipw.Widget:
        return self._control("slider", description)

    def menu(self, description: str) -> ipw.Dropdown:
        return self._control("menu", description)

    def choice(self, description: str) -> ipw.ToggleButtons:
        return self._control("choice", description)

    def _control(self, kind: str, description: str) -> Any:
        controls = [part for part in self if isinstance(part, KINDS[kind])]
        k = the_only_index(description, [c.description for c in controls], kind)
        assert not controls[k].disabled
        return controls[k]

    # Words and pictures

    @property
    def texts(self) -> list[str]:
        """Every line of text that is not on a control."""
        texts = []
        for part in self:
            if isinstance(part, ipw.HTML):
                words = html.unescape(re.sub(r"<[^>]*>", " ", part.value))
                texts.append(" ".join(words.split()))
            elif isinstance(part, ipw.Label):
                texts.append(part.value)
        return texts

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    @property
    def html(self) -> str:
        """The code of what is drawn as HTML, for its colours and widths."""
        return "".join(part.value for part in self if isinstance(part, ipw.HTML))

    @property
    def pictures(self) -> dict[str, bytes]:
        """Name to PNG of each picture; the name is what a screen reader says."""
        pictures = {p.tooltip: p.value for p in self if isinstance(p, ipw.Image)}
        assert all(pictures), "a picture has no name"
        return pictures

    def pixels(self, name: str) -> np.ndarray:
        """The pixels of one picture, (H, W, 3) uint8."""
        pictures = self.pictures
        assert name in pictures, f"no picture {name!r} among {list(pictures)}"
        return decoded(pictures[name])

    def seen(self) -> tuple[dict[str, bytes], list[str]]:
        """Everything but the controls, for a comparison of two moments."""
        return self.pictures, self.texts


def the_only_index(title: str, titles: list[str], kind: str) -> int:
    assert titles.count(title) == 1, f"not one {kind} {title!r} among {titles}"
    return titles.index(title)


def decoded(png: bytes) -> np.ndarray:
    """The pixels of a PNG, (H, W, 3) uint8."""
    return np.asarray(Image.open(io.BytesIO(png)))


@contextmanager
def one_drawing(screen: Screen) -> Iterator[None]:
    """Check that a move is cheap: it draws each picture at most once, and opens no Figure.

    A Figure takes about 100 ms and a PNG a few; a user calls 200 ms immediate.
    """
    encoded = []
    save = Image.Image.save

    def count_and_save(image: Image.Image, *args: Any, **options: Any) -> None:
        encoded.append(image)
        save(image, *args, **options)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a move opens a matplotlib Figure")

    with (
        patch.object(Image.Image, "save", count_and_save),
        patch.object(Figure, "__init__", refuse),
    ):
        yield
    assert len(encoded) <= len(screen.pictures)
