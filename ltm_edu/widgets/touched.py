"""Figures that are touched: drawn by front.js, in JupyterLab and in the book alike.

The numbers of a figure are its state. They travel to the page once, R as one byte an entry, and the
page computes what follows from a touch by itself. `tests/test_browser_widgets.py` compares what
front.js computes with the equations of the package.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from PIL import Image
from torch import Tensor

from .. import figures
from ..equations import check_shape
from ..store.errors import InputError

if TYPE_CHECKING:
    import anywidget

MIME = "application/vnd.ltm-edu.figure+json"
"""The state of a figure in a notebook's output: whoever renders the notebook needs no Python."""

Answer = Callable[[Mapping[str, Any], Sequence[bytes]], tuple[Mapping[str, Any], list[bytes]]]
"""What the kernel answers: a message and its buffers in, a message and its buffers out."""


def touched(description: str, state: Mapping[str, Any], answer: Answer | None = None) -> Any:
    """Create a figure.

    Args:
        description: what a page without JavaScript shows in its place.
        state: `kind`, the figure that front.js draws, and its numbers; plain values and bytes.
        answer: answers the messages of the page; without it, no message is sent.

    Returns:
        The widget, an `anywidget.AnyWidget`.
    """
    return _touched_class()(description, state, answer)


def page_state(value: Any) -> Any:
    """The state as JSON allows it: bytes become base64.

    >>> page_state({"kind": "relation", "R": b"abc"})
    {'kind': 'relation', 'R': 'YWJj'}
    """
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {key: page_state(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [page_state(v) for v in value]
    return value


@cache
def _touched_class() -> type[anywidget.AnyWidget]:
    import anywidget
    from traitlets import Any as AnyTrait

    class Touched(anywidget.AnyWidget):
        _esm = Path(__file__).with_name("front.js")
        _css = Path(__file__).with_name("front.css")

        def __init__(
            self, description: str, state: Mapping[str, Any], answer: Answer | None
        ) -> None:
            self._description, self._page_state = description, page_state(state)
            kernel = {**state, "answers": answer is not None}
            self.add_traits(**{k: AnyTrait(v).tag(sync=True) for k, v in kernel.items()})
            super().__init__()
            if answer is not None:
                self.on_msg(lambda _, message, buffers: self.send(*answer(message, buffers)))

        def __repr__(self) -> str:
            return self._description

        def _repr_mimebundle_(self, **options: Any) -> Any:
            data, metadata = super()._repr_mimebundle_(**options)
            return {**data, MIME: self._page_state}, metadata

    return Touched


# Numbers and pictures as bytes --------------------------------------------------------------------


def relation_bytes(R: Tensor) -> dict[str, Any]:
    """R as one byte an entry: an entry is `low + step * byte`, and at most `step / 2` wrong.

    Measured on the episode of notebooks 03 and 04: with the masks that notebook 04 starts from,
    A_hat differs by at most 0.0025 from that of the float R, the two answers agree with an IoU of
    0.995 or more, and their IoU with the truth is the same to 0.002. The worst of all masks of a
    single cell differs by 0.010 (and agrees with an IoU of 0.94).

    Args:
        R: (N_q, N_s).
    """
    values = R.detach().cpu().numpy().astype(np.float64)
    low = float(values.min())
    step = (float(values.max()) - low) / 255
    steps = (values - low) / step if step else np.zeros_like(values)
    return {"R": steps.round().astype(np.uint8).tobytes(), "low": low, "step": step}


def float_bytes(values: Tensor) -> bytes:
    """Values of any shape as float32, lowest byte first."""
    return values.detach().cpu().numpy().astype("<f4").tobytes()


def share_bytes(values: Tensor) -> bytes:
    """Values in [0, 1] as two bytes each, lowest byte first: at most 1 / 131,070 wrong."""
    shares = values.detach().cpu().numpy().astype(np.float64)
    return (65535 * shares).round().astype("<u2").tobytes()


def to_webp(pixels: np.ndarray, quality: int | None = None) -> bytes:
    """Encode (H, W, 3) or (H, W) uint8 as WebP.

    Args:
        pixels: the picture.
        quality: from 0 to 100; without it, every pixel is kept as it is.
    """
    stream = io.BytesIO()
    options = {"lossless": True} if quality is None else {"quality": quality}
    Image.fromarray(pixels).convert("RGB").save(stream, "WEBP", method=6, **options)
    return stream.getvalue()


def picture_bytes(picture: Tensor) -> bytes:
    """A picture, (3, H, W) in [0, 1], as WebP that keeps every pixel."""
    return to_webp(figures.as_uint8(picture))


def mask_bytes(mask: Tensor) -> bytes:
    """A mask, (H, W) of 0, 1 and 255, as WebP that keeps every pixel."""
    return to_webp(figures.as_array(mask).astype(np.uint8))


def colour_table(name: str | matplotlib.colors.Colormap) -> bytes:
    """A colour map of `figures` as 256 times red, green and blue."""
    colours = matplotlib.colormaps[name] if isinstance(name, str) else name
    return colours(np.arange(256), bytes=True)[:, :3].tobytes()


# Checks ------------------------------------------------------------------------------------------


def check_picture(name: str, picture: Tensor) -> tuple[int, int]:
    """Check that a picture is (3, H, W) and return (H, W).

    Raises:
        ValueError: it has another shape.
    """
    check_shape(name, picture, 3, "H", "W", hint=": pass one picture, not a batch")
    return tuple(picture.shape[1:])


def check_grid(name: str, cells: int) -> tuple[int, int]:
    """Return the (height, width) of a square grid.

    Raises:
        InputError: the cells do not fill one.
    """
    try:
        return figures.square_grid(cells)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
