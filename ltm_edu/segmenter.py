"""Anybody's pictures of any size: fit a segmenter to a few masks, then find the same elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .equations import without_value_checks
from .geometry import image_tensor, mask_to_grid, resize_logits, resize_mask
from .masks.folders import pictures_in
from .masks.prediction import Prediction
from .masks.presence import MIN_PRESENCE, most_similar_cells, presence_of, prototype
from .model import Embedded, FewShotModel
from .runs.checkpoint import load_checkpoint
from .runs.processes import processes
from .runs.threads import in_parallel
from .store.errors import InputError
from .store.files import shipped_checkpoint
from .store.marks import object_mask
from .store.pictures import as_picture, check_same_size

Picture = str | Path | Image.Image | np.ndarray | Tensor
Support = tuple[Picture, Picture]

CROP_BELOW, CROP_TO, CROP_LEAST = 0.35, 2.0, 100
"""A support whose object is less than this part of its longer side is cropped to a square, this
many times as large as the object, and with at least this many pixels a side."""

LEAST = 32
"""An object must have this many pixels, in its picture and where the network sees it: an eighth of
a cell of 16 x 16."""

ZOOMS = (1, 2, 4)
"""Tiles are this many times smaller than the query, and overlap by half."""

NEAR = 0.15
"""A tile has a say if its presence is at most this much less than that of the best tile."""

_EMPTY = -20.0  # the logit of a pixel that no tile with the object covers


class _Class(NamedTuple):
    """All that is kept of the supports of one class."""

    name: str
    embedded: Embedded  # of K supports
    G_s: Tensor  # (1, K, 1, h, w)
    prototype: Tensor  # (C,)


@dataclass(frozen=True)
class _Found:
    """What the network says of one picture or tile, before it is put in place."""

    logits: Tensor  # (C, s, s)
    presences: Tensor  # (C,)
    attention: Tensor  # (C, h, w)


class FewShotSegmenter:
    """Find in pictures what a few masks show. Supports go through the backbone once, in `fit`.

    >>> from ltm_edu.model import LTMConfig, TrainingFreeMap
    >>> square = np.zeros((97, 97, 3), np.uint8); square[30:60, 30:60] = 200
    >>> model = TrainingFreeMap(LTMConfig(image_size=97))
    >>> seg = FewShotSegmenter(model, min_presence=0).fit([square], [square[..., 0] > 0])
    >>> [found.mask.shape for found in seg.predict([square, square[:50]])]
    [(97, 97), (50, 97)]

    Args:
        model: the name of a checkpoint that comes with the course, the path of one, or a model.
        threshold: a pixel whose probability is over it belongs to the object, over 0 and under 1.
        min_presence: a query whose presence is less gets an empty mask; 0 gives every query one.
        smooth: remove the dotted fringe that the decoder's last transposed convolution leaves.
        min_area: leave out connected pieces of fewer pixels.
        crop: look at a support with a small object in a square around the object.
        tile: look at each query whole and in overlapping parts, for objects that are small in
            it. Takes as much longer as there are parts.
        device: of torch; the GPU by default, or the CPU where there is none. A model that is
            given stays where it is.

    Raises:
        InputError: the checkpoint cannot be read, or an option is out of its range.
    """

    def __init__(
        self,
        model: str | Path | FewShotModel = "photographs",
        *,
        threshold: float = 0.5,
        min_presence: float = MIN_PRESENCE,
        smooth: bool = True,
        min_area: int = 0,
        crop: bool = True,
        tile: bool = False,
        device: str | None = None,
    ) -> None:
        if not 0 < threshold < 1:
            raise InputError(f"threshold {threshold}: a probability over 0 and under 1")
        if not 0 <= min_presence <= 1:
            raise InputError(f"min_presence {min_presence}: it is between 0 and 1")
        if min_area < 0:
            raise InputError(f"min_area {min_area}: a number of pixels, 0 or more")
        self.threshold, self.min_presence, self.min_area = threshold, min_presence, min_area
        self.smooth, self.crop, self.tile = smooth, crop, tile
        if not isinstance(model, FewShotModel):
            path = Path(model)
            if not path.suffix and (path.is_dir() or not path.exists()):
                path = shipped_checkpoint(str(model))
            model = load_checkpoint(path)[0]
            with processes(device) as chosen:
                model = model.to(chosen)
        elif device is not None:
            model = model.to(device)
        self.model = model
        self._classes: list[_Class] = []

    def fit(
        self,
        images: Picture | Sequence[Picture],
        masks: Picture | Sequence[Picture],
        names: str | Sequence[str] = "object",
        class_id: int | None = None,
    ) -> FewShotSegmenter:
        """Look at the supports, and replace those of an earlier `fit`.

        Args:
            images: K pictures, or one: paths, PIL pictures, uint8 arrays (H, W, 3) or (H, W), or
                tensors (3, H, W), of uint8 or of floats in [0, 1].
            masks: their masks, each of its picture's size: paths, or arrays or tensors (H, W).
                The object is every value but 0, where 255 counts as object in a mask of 0 and 255
                only and as void otherwise.
            names: the class of each support; with several classes, a pixel of a query belongs to
                one of them at most.
            class_id: take this value of the masks for the object, and no other.

        Returns:
            The segmenter itself.

        Raises:
            InputError: a file cannot be read, a mask has another size than its picture, shows
                nothing of the object, or shows it too small.
        """
        pictures, labels = _several(images), _several(masks, mask=True)
        if not pictures:
            raise InputError("no support: give at least one picture with its mask")
        named = [names] * len(pictures) if isinstance(names, str) else list(names)
        if not len(pictures) == len(labels) == len(named):
            raise InputError(
                f"{len(pictures)} pictures, {len(labels)} masks and {len(named)} names: each "
                "picture needs its mask and its name"
            )
        supports: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for i, (picture, mask, name) in enumerate(zip(pictures, labels, named, strict=True)):
            supports.setdefault(str(name), []).append(self._support(picture, mask, class_id, i))
        was_training = self.model.training
        self._fast = self.model.for_inference()
        # Equation 6 stretches every map to [0, 1]. It decides neither between classes nor whether a
        # tile shows the object: there the untrained map has no vote.
        self._unweighted = self._fast.at_map_weight(0)
        self._classes = [self._class(name, pairs) for name, pairs in supports.items()]
        self.model.train(was_training)
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order in which `fit` met them."""
        return tuple(c.name for c in self._classes)

    def predict(
        self,
        queries: Picture | Iterable[Picture],
        on_error: Callable[[Picture, InputError], None] | None = None,
    ) -> Iterator[Prediction]:
        """Segment queries, one after another, in their order; few are in memory at a time.

        Args:
            queries: pictures as in `fit`, one or several, or a folder: all pictures in it, in the
                order of their names.
            on_error: is called with a query that cannot be read and with the error; the others
                go on. By default the error is raised.

        Yields:
            What was found in each query.

        Raises:
            InputError: `fit` has not been called, the folder has no picture, or a query cannot be
                read.
        """
        if not self._classes:
            raise InputError("the segmenter has seen no support: call fit with pictures and masks")
        one = isinstance(queries, str | Path) and not Path(queries).is_dir()
        if isinstance(queries, str | Path) and not one:
            queries = pictures_in(queries)
        elif one or isinstance(queries, Image.Image | np.ndarray | Tensor):
            queries = _several(queries)
        return self._predict(queries, on_error)

    def _predict(
        self, queries: Iterable[Picture], on_error: Callable[[Picture, InputError], None] | None
    ) -> Iterator[Prediction]:
        def attempt(numbered: tuple[int, Picture]) -> tuple[Picture, Prediction | InputError]:
            number, query = numbered
            try:
                return query, self._segment(query, number)
            except InputError as error:
                return query, error

        # For one query, torch's own threads are faster than one thread a query.
        alone = isinstance(queries, Sized) and len(queries) == 1
        run = map if alone else in_parallel
        for query, found in run(attempt, zip(count(1), queries)):
            if isinstance(found, Prediction):
                yield found
            elif on_error is None:
                raise found
            else:
                on_error(query, found)

    def _support(
        self, picture: Picture, mask: Picture, class_id: int | None, i: int
    ) -> tuple[Tensor, Tensor]:
        """A support as the network sees it: pixels (3, s, s), and the object (s, s)."""
        size = self.model.config.image_size
        name, of_picture = _name(mask, i, "mask"), _name(picture, i, "picture")
        labels = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else mask
        image, labels = _picture(picture, of_picture), object_mask(labels, class_id, name)
        check_same_size(image, of_picture, labels, name)
        if not labels.any():
            what = "no foreground" if class_id is None else f"no pixel of class {class_id}"
            raise InputError(f"{name} shows {what}: mark the object in it")
        if self.crop and (box := _around(labels)):
            image, labels = image.crop(box), labels[box[1] : box[3], box[0] : box[2]]
        resized = resize_mask(labels, size)
        if min(labels.sum(), resized.sum()) < LEAST:
            raise InputError(
                f"{name}: the object has {labels.sum()} pixels, and {resized.sum()} where the "
                f"network sees the picture, at {size}x{size}; {LEAST} are needed: take a picture "
                "that shows it larger"
            )
        return image_tensor(image, size), torch.from_numpy(resized)

    @torch.inference_mode()
    def _class(self, name: str, supports: list[tuple[Tensor, Tensor]]) -> _Class:
        device = next(self.model.backbone.parameters()).device
        pixels, masks = (torch.stack(x).to(device) for x in zip(*supports, strict=True))
        F_s = torch.cat([self._fast.backbone(part) for part in pixels.split(4)])
        G_s = mask_to_grid(masks[:, None].float(), F_s.shape[-2:], self.model.backbone.stride)
        mean = self._mean_feature()
        return _Class(name, self._fast.embed([F_s], F_s), G_s[None], prototype(F_s, G_s, mean))

    def _mean_feature(self) -> Tensor | float:
        return getattr(self.model, "feature_mean", 0.0)

    @torch.inference_mode()
    def _segment(self, query: Picture, number: int) -> Prediction:
        started = time.perf_counter()
        image = _picture(query, f"query {number}")
        found = self._look(image, self._fast if len(self._classes) == 1 else self._unweighted)
        if self.tile:
            found = self._look_closer(image, found)
        return Prediction(
            image,
            str(query) if isinstance(query, str | Path) else f"query {number}",
            self.classes,
            tuple(found.presences.tolist()),
            found.logits.numpy(),
            found.attention[found.presences.argmax()].numpy(),
            self.threshold,
            self.min_presence,
            self.min_area,
            time.perf_counter() - started,
        )

    def _look(self, image: Image.Image, model: FewShotModel) -> _Found:
        """What a network says of a picture."""
        size = model.config.image_size
        device = next(model.backbone.parameters()).device
        pixels = image_tensor(image, size)[None].to(device)
        maps = model.query_features(pixels)
        F_q = maps[0] if model.config.query_scales == (1.0,) else model.backbone(pixels)
        embedded = model.embed(maps, F_q)
        logits, attention = [], []
        for c in self._classes:
            with without_value_checks():
                out = model.forward_embedded(embedded, c.embedded, c.G_s, (size, size))
            logits.append((out.M[:, 1:] - out.M[:, :1]).float())
            attention.append(out.A_hat[0, 0].float().cpu())
        joined = torch.cat(logits, dim=1)
        if self.smooth:
            joined = without_fringe(joined)
        mean = self._mean_feature()
        prototypes = torch.stack([c.prototype for c in self._classes])
        cosines = most_similar_cells(F_q.float(), prototypes, mean)
        calibrated = model.backbone.name == "efficientnet_lite0" and isinstance(mean, Tensor)
        shots = [c.G_s.shape[1] for c in self._classes]
        presences = presence_of(cosines, shots, calibrated)
        return _Found(joined[0].cpu(), presences[0].cpu(), torch.stack(attention))

    def _look_closer(self, image: Image.Image, whole: _Found) -> _Found:
        """The same from the whole picture and from tiles of it.

        Equation 6 finds the most similar place of every tile, whether it shows the object or not.
        So only tiles whose presence comes near the highest one have a say.
        """
        size, zooms = whole.logits.shape[-1], _zooms(image, self.model.config.image_size)
        finest, looks = max(zooms), [(whole, 0, 0, 1)]
        for zoom in zooms[1:]:
            for row, column in product(range(2 * zoom - 1), repeat=2):
                at = column, row
                ends = [n * place / (2 * zoom) for place in (0, 2) for n in image.size]
                offsets = [n * place / (2 * zoom) for n, place in zip(image.size, at, strict=True)]
                box = [round(end + offset) for end, offset in zip(ends, offsets * 2, strict=True)]
                looks.append((self._look(image.crop(box), self._unweighted), row, column, zoom))
        presences = torch.stack([found.presences for found, *_ in looks])
        highest = presences.amax(dim=0)
        total = torch.zeros(len(highest), finest * size, finest * size)
        weights = torch.zeros_like(total)
        for found, row, column, zoom in looks:
            weight = (found.presences >= highest - NEAR).float()[:, None, None]
            weight = weight * found.presences[:, None, None] ** 2
            n = finest * size // zoom
            across, down = (slice(place * n // 2, place * n // 2 + n) for place in (column, row))
            total[:, down, across] += weight * resize_logits(found.logits[None], (n, n))[0]
            weights[:, down, across] += weight
        logits = torch.where(weights > 0, total / weights.clamp_min(1e-6), _EMPTY)
        return _Found(logits, highest, whole.attention)


def without_fringe(M: Tensor) -> Tensor:
    """Remove what changes from each pixel to the next: the traces of a transposed convolution.

    A transposed convolution with stride 2 computes even and odd pixels with different weights.
    This mean over 3 x 3 neighbours, with weights 1, 2, 1 in each direction, weighs even and odd
    pixels alike. (B, C, H, W) -> the same shape.
    """
    taps = M.new_tensor([1.0, 2.0, 1.0]) / 4
    kernel = (taps[:, None] * taps).expand(M.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(M, (1, 1, 1, 1), mode="replicate"), kernel, groups=M.shape[1])


def predict(
    model: FewShotModel,
    query: Picture,
    supports: Sequence[Support] | Support,
    class_id: int | None = None,
    **options: float | bool,
) -> Prediction:
    """Find the object of the supports in a query: `FewShotSegmenter` in one call.

    It is taken to be there: the mask is not emptied where presence is low, unless a `min_presence`
    is given.

    Args:
        model: from `load_checkpoint`, or a `TrainingFreeMap`.
        query: a picture as in `FewShotSegmenter.fit`, of any size.
        supports: (picture, mask) pairs; see `FewShotSegmenter.fit`.
        class_id: take this value of the supports' masks for the object, and no other.
        options: of `FewShotSegmenter`.

    Returns:
        The mask at the query's size, with probability, presence and attention.

    Raises:
        InputError: as `FewShotSegmenter.fit` does, or the query cannot be read.
    """
    # One (picture, mask) may come without a list around it.
    single = isinstance(supports, tuple) and not all(isinstance(s, tuple) for s in supports)
    pairs = [supports] if single else supports
    images, masks = zip(*pairs, strict=True) if pairs else ((), ())
    seg = FewShotSegmenter(model, **{"min_presence": 0.0, **options}).fit(
        images, masks, class_id=class_id
    )
    return next(seg.predict([query]))


def _zooms(image: Image.Image, size: int) -> list[int]:
    """The zooms at which a tile has at least half the pixels a side that the network looks at."""
    return [z for z in ZOOMS if z == 1 or max(image.size) / z >= size / 2]


def _around(labels: np.ndarray) -> tuple[int, int, int, int] | None:
    """The square around a small object, or None: left, top, right, bottom within the picture."""
    rows, columns = (np.flatnonzero(labels.any(axis=axis)) for axis in (1, 0))
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    if extent >= CROP_BELOW * max(labels.shape):
        return None
    spans = []
    for places, length in ((columns, labels.shape[1]), (rows, labels.shape[0])):
        side = min(length, max(round(CROP_TO * extent), CROP_LEAST))
        middle = (places[0] + places[-1] + 1) / 2
        start = min(max(0, round(middle - side / 2)), length - side)
        spans.append((start, start + side))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def _several(given: Picture | Iterable[Picture], mask: bool = False) -> list[Picture]:
    """One picture or mask, a stack of them, or a sequence, as a list."""
    if isinstance(given, np.ndarray | Tensor):
        return list(given) if given.ndim == (3 if mask else 4) else [given]
    return [given] if isinstance(given, str | Path | Image.Image) else list(given)


def _picture(given: Picture, name: str) -> Image.Image:
    return as_picture(_array_of(given) if isinstance(given, Tensor) else given, name)


def _array_of(given: Tensor) -> np.ndarray:
    """A picture (3, H, W) of uint8, or of floats in [0, 1], as uint8 (H, W, 3)."""
    pixels = given.detach().cpu()
    if pixels.ndim != 3 or pixels.shape[0] != 3:
        raise InputError(f"a picture came as a tensor {tuple(pixels.shape)}: expected (3, H, W)")
    if pixels.is_floating_point():
        if not ((pixels >= 0) & (pixels <= 1)).all():
            raise InputError("a picture came as a tensor of floats outside [0, 1]: divide by 255")
        pixels = (pixels * 255).round().to(torch.uint8)
    return pixels.permute(1, 2, 0).contiguous().numpy()


def _name(given: Picture, i: int, kind: str) -> str:
    return str(given) if isinstance(given, str | Path) else f"support {i + 1}'s {kind}"
