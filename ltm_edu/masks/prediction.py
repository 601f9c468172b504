"""What a segmenter gives for one query."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from ..geometry import stretched_rows
from ..store.errors import InputError
from ..store.files import written_whole
from .drawing import draw_labels, label_palette
from .folders import MASK_ENDING
from .shapes import Polygon, pieces, polygons, without_small_pieces

SHOWN = 2048
"""The longest side, in pixels, of an overlay that is saved or shown."""


@dataclass(frozen=True, eq=False)
class FoundObject:
    """A connected piece of a mask.

    Attributes:
        name: its class.
        box: left, top, right and bottom, in pixels; right and bottom are not part of it.
        area: in pixels.
        probability: the mean over its pixels, in [0, 1].
        part: (h, w) bool, its pixels within the box.
        size: (H, W) of the query.
    """

    name: str
    box: tuple[int, int, int, int]
    area: int
    probability: float
    part: np.ndarray = field(repr=False)
    size: tuple[int, int] = field(repr=False)

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool at the query's size, True on this piece."""
        left, top, right, bottom = self.box
        whole = np.zeros(self.size, bool)
        whole[top:bottom, left:right] = self.part
        return whole


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """What the model sees in a query. Arrays at the query's size are computed when asked for.

    Two predictions are equal if they find the same in queries of the same size.

    Attributes:
        query: the picture, RGB.
        name: its file, or "query 1" and so on.
        classes: names; class c of `labels` is `classes[c - 1]`.
        presences: how sure it is that the query shows each class at all, in [0, 1].
        logits: (C, h, w) float32, of each class against the rest, over the whole query.
        attention: (h, w) float32 in [0, 1], A_hat on the feature grid, of the likeliest class.
        threshold: a pixel over this probability belongs to a class.
        min_presence: a class whose presence is less has no pixel.
        min_area: connected pieces of fewer pixels are left out.
        seconds: that reading and segmenting the query took.
    """

    query: Image.Image
    name: str
    classes: tuple[str, ...]
    presences: tuple[float, ...]
    logits: np.ndarray
    attention: np.ndarray
    threshold: float = 0.5
    min_presence: float = 0.0
    min_area: int = 0
    seconds: float = 0.0

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the query."""
        return self.query.size[::-1]

    @property
    def presence(self) -> float:
        """How sure it is that the query shows the object at all, or the surest of the classes."""
        return max(self.presences)

    @cached_property
    def labels(self) -> np.ndarray:
        """(H, W) uint8: 0 is background, c the class `classes[c - 1]`; no pixel has two."""
        labels = self._likeliest()
        for c in range(1, len(self.classes) + 1) if self.min_area > 1 else ():
            of_class = labels == c
            labels[of_class & ~without_small_pieces(of_class, self.min_area)] = 0
        return labels

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, True on the object, of whatever class."""
        return self.labels > 0

    @property
    def probability(self) -> np.ndarray:
        """(H, W) float32 in [0, 1], of the object; of several classes, the likeliest's."""
        rows = (_logistic(band.max(axis=0)) for band in stretched_rows(self.logits, self.size))
        return _stacked(rows, self.size, np.float32)

    def probability_of(self, name: str) -> np.ndarray:
        """(H, W) float32 in [0, 1], of one class.

        Raises:
            InputError: there is no such class.
        """
        if name not in self.classes:
            raise InputError(f"no class {name!r}: there are {', '.join(self.classes)}")
        logits = self.logits[self.classes.index(name)][None]
        rows = (_logistic(band[0]) for band in stretched_rows(logits, self.size))
        return _stacked(rows, self.size, np.float32)

    def objects(self) -> list[FoundObject]:
        """The connected pieces of the mask, the largest first; a piece has one class."""
        found = []
        for c, name in enumerate(self.classes, start=1):
            parts = pieces(self.labels == c)
            probability = self.probability_of(name) if parts else None
            for (rows, columns), part in parts:
                box = columns.start, rows.start, columns.stop, rows.stop
                mean = float(probability[rows, columns][part].mean(dtype=np.float64))
                found.append(FoundObject(name, box, int(part.sum()), mean, part, self.size))
        return sorted(found, key=lambda o: -o.area)

    def polygons(self) -> list[tuple[str, Polygon]]:
        """The outline of each piece with its class; see `shapes.polygons` for the coordinates."""
        numbered = enumerate(self.classes, start=1)
        return [(name, p) for c, name in numbered for p in polygons(self.labels == c)]

    def overlay(self, longest: int | None = None) -> Image.Image:
        """The query with the object tinted and outlined, and a legend of several classes.

        With `longest`, the picture is made smaller so that no side has more pixels than that.
        """
        picture, labels = self.query, self.labels
        if longest is not None and max(picture.size) > longest:
            shape = [max(1, round(n * longest / max(picture.size))) for n in picture.size]
            picture = picture.resize(shape, Image.Resampling.BILINEAR, reducing_gap=1.0)
            small = Image.fromarray(labels).resize(picture.size, Image.Resampling.NEAREST)
            labels = np.asarray(small)
        return draw_labels(picture, labels, self.classes)

    def picture(self) -> Image.Image:
        """The mask as a picture: 0 and 255, or with several classes the label map in colours."""
        if len(self.classes) == 1:
            return Image.fromarray(self.labels).point([0] + [255] * 255)
        picture = Image.fromarray(self.labels)
        picture.putpalette(label_palette())
        return picture

    def save(self, folder: str | Path, stem: str) -> tuple[Path, Path]:
        """Write `<stem>_mask.png` and `<stem>_overlay.png`, each whole or not at all.

        The mask has the query's size; a large overlay is made smaller, to SHOWN pixels a side.

        Returns:
            The two paths.

        Raises:
            InputError: the folder cannot be written to.
        """
        paths = picture_paths(Path(folder), stem)
        for path, picture in zip(paths, (self.picture(), self.overlay(SHOWN)), strict=True):
            with written_whole(path) as part:
                picture.save(part, format="PNG", compress_level=1)  # a third of the time
        return paths

    def _likeliest(self) -> np.ndarray:
        """The label map before small pieces are left out."""
        numbers = [c for c, p in enumerate(self.presences, 1) if p >= self.min_presence]
        if not numbers:
            return np.zeros(self.size, np.uint8)
        least = math.log(self.threshold / (1 - self.threshold))
        shown = np.array(numbers, np.uint8)
        bands = stretched_rows(self.logits[[c - 1 for c in numbers]], self.size)
        rows = (np.where(b.max(axis=0) > least, shown[b.argmax(axis=0)], 0) for b in bands)
        return _stacked(rows, self.size, np.uint8)

    def _compared(self) -> tuple:
        options = self.threshold, self.min_presence, self.min_area
        return (self.size, self.classes, self.presences, *options, self.logits.tobytes())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Prediction):
            return NotImplemented
        return self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def __repr__(self) -> str:
        shown = (f"{n} {p:.2f}" for n, p in zip(self.classes, self.presences, strict=True))
        height, width = self.size
        area = self.mask.mean()
        return f"Prediction({self.name}, {width}x{height}: {', '.join(shown)}; {area:.1%} covered)"

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.overlay(SHOWN // 2).save(file, "PNG")
        return file.getvalue()


def picture_paths(folder: Path, stem: str) -> tuple[Path, Path]:
    """The files that `Prediction.save` writes: the mask and the overlay."""
    return folder / f"{stem}{MASK_ENDING}.png", folder / f"{stem}_overlay.png"


def _logistic(logits: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * logits)  # does not overflow


def _stacked(bands: Iterator[np.ndarray], size: tuple[int, int], dtype: type) -> np.ndarray:
    """Put bands of rows under each other."""
    whole, top = np.empty(size, dtype), 0
    for band in bands:
        whole[top : top + len(band)] = band
        top += len(band)
    return whole
