"""The frozen-feature cache: each picture goes through the backbone once.

Exact, not approximate: the backbone is frozen with BatchNorm in eval mode, so the features of a
picture depend on nothing but the picture. A mirrored picture is a second copy, because the features
of the mirror image are not the mirrored features.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from .datasets.voc_layout import VocFolder
from .errors import InputError
from .geometry import mask_to_grid
from .model import LTM, features_at_scales
from .paths import made_whole


class FeatureCache:
    """Features and masks of some pictures, at the size that a model sees.

    Args:
        model: whose backbone, picture size and query scales to use.
        dataset: where pictures and masks come from.
        names: which pictures; each is read and checked before anything is kept.
        flips: also keep each picture's mirror image.
        folder: keep the features in a memory-mapped file in this folder, and find them there
            next time; None keeps them in memory.
        progress: show a bar with the features' size and the time left.
        half: keep the features in float16, half the room; no longer exact to the last digit.
        query_scales: sizes of the query to keep, 1.0 among them; the model's by default.

    Raises:
        InputError: a picture or mask is missing, unreadable, of another size, or has an id over
            the list; or the features do not fit on the disk.
    """

    def __init__(
        self,
        model: LTM,
        dataset: VocFolder,
        names: Sequence[str],
        flips: bool = False,
        folder: Path | None = None,
        progress: bool = True,
        half: bool = False,
        query_scales: Sequence[float] | None = None,
    ) -> None:
        self.dataset = dataset
        self.names = tuple(dict.fromkeys(names))
        self.size = model.config.image_size
        self.stride = model.backbone.stride
        self._at = {name: i for i, name in enumerate(self.names)}
        self._copies = 2 if flips else 1
        self._dtype = np.dtype(np.float16 if half else np.float32)
        self.query_scales = tuple(query_scales or model.config.query_scales)
        if 1.0 not in self.query_scales:
            raise InputError("query_scales must hold 1.0: supports are seen at that scale")
        self._native = self.query_scales.index(1.0)
        if folder is None:
            self._maps, self._masks = self._compute(model, None, progress)
            return
        key = json.dumps(
            [
                dataset.fingerprint(self.names),
                self._copies,
                model.backbone.name,
                list(model.config.stages),
                self.size,
                list(self.query_scales),
                *(["float16"] if half else []),
            ]
        )
        place = folder / f"features-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        if not place.is_dir():
            with made_whole(place) as part:
                self._compute(model, part, progress)
        self._maps = [
            torch.from_numpy(np.load(place / f"scale{i}.npy", mmap_mode="c"))
            for i in range(len(self.query_scales))
        ]
        self._masks = torch.from_numpy(np.load(place / "masks.npy", mmap_mode="c"))

    def __contains__(self, name: str) -> bool:
        return name in self._at

    @property
    def nbytes(self) -> int:
        """Bytes that the features take."""
        return sum(m.numel() * m.element_size() for m in self._maps)

    def to(self, device: torch.device) -> FeatureCache:
        """Hold everything on a device from here on."""
        self._maps = [m.to(device) for m in self._maps]
        self._masks = self._masks.to(device)
        return self

    def mean(self, names: Sequence[str]) -> Tensor:
        """The mean feature vector of some pictures at scale 1, (C,)."""
        maps, rows = self._maps[self._native], self._rows(names, None)
        return torch.stack([maps[i].float().mean(dim=(1, 2)) for i in rows]).mean(dim=0)

    def features(
        self,
        names: Sequence[str],
        flips: Sequence[bool] | None = None,
        query_scales: Sequence[float] | None = None,
    ) -> list[Tensor]:
        """Features of pictures, a (n, C, h, w) tensor for each query scale.

        Args:
            names: n picture names.
            flips: for each, whether the mirror image is meant.
            query_scales: some of the scales that are kept; all of them by default.
        """
        rows = torch.tensor(self._rows(names, flips))
        wanted = map(self.query_scales.index, query_scales or self.query_scales)
        return [self._maps[i][rows] for i in wanted]

    def support_features(self, names: Sequence[str], flips: Sequence[bool] | None = None) -> Tensor:
        """Features of pictures at scale 1, (n, C, h, w)."""
        return self._maps[self._native][torch.tensor(self._rows(names, flips))]

    def masks(
        self, names: Sequence[str], class_ids: Sequence[int], flips: Sequence[bool] | None = None
    ) -> Tensor:
        """Binary truth at the model's size, (n, H, W) of 0, 1 and 255 (void)."""
        flips = flips or [False] * len(names)
        out = torch.stack([self._masks[self._at[n]] for n in names])
        out = torch.stack([m.flip(-1) if f else m for m, f in zip(out, flips, strict=True)])
        wanted = torch.tensor(class_ids, dtype=torch.uint8, device=out.device)[:, None, None]
        return torch.where(out == 255, 255, (out == wanted).to(torch.uint8))

    def grid_masks(self, masks: Tensor) -> Tensor:
        """Binary truth (n, H, W) on the feature grid, (n, 1, h, w); void counts as background."""
        grid = self._maps[self._native].shape[-2:]
        return mask_to_grid((masks == 1).float()[:, None], grid, self.stride)

    def _rows(self, names: Sequence[str], flips: Sequence[bool] | None) -> list[int]:
        flips = flips or [False] * len(names)
        return [
            self._at[n] * self._copies + (1 if f else 0) for n, f in zip(names, flips, strict=True)
        ]

    def _compute(
        self, model: LTM, part: Path | None, progress: bool
    ) -> tuple[list[Tensor], Tensor]:
        device = next(model.parameters()).device
        maps: list = []
        masks = np.zeros((len(self.names), self.size, self.size), np.uint8)
        bar = tqdm(self.names, "features", unit="image", disable=not progress, leave=False)
        for i, name in enumerate(bar):
            image, mask = self.dataset.pair(name)
            masks[i] = resize_mask(mask, self.size)
            pixels = image_tensor(image, self.size)
            copies = torch.stack([pixels, pixels.flip(-1)][: self._copies])
            with torch.inference_mode():
                found = features_at_scales(model.backbone, copies.to(device), self.query_scales)
            if not maps:
                size = self._foresee(sum(f[0].numel() for f in found), part)
                bar.set_description(f"features, {size / 1e9:.2f} GB")
                maps = [self._room(f.shape[1:], j, part) for j, f in enumerate(found)]
            for room, f in zip(maps, found, strict=True):
                room[i * self._copies : (i + 1) * self._copies] = f.cpu().numpy()
        if part is not None:
            for room in maps:
                room.flush()
            np.save(part / "masks.npy", masks)
        return [torch.from_numpy(m) for m in maps], torch.from_numpy(masks)

    def _foresee(self, numbers: int, part: Path | None) -> int:
        """Bytes of features and masks, before they are there; refuse what the disk cannot take."""
        rows = len(self.names) * self._copies
        size = rows * numbers * self._dtype.itemsize + len(self.names) * self.size**2
        if part is not None and (free := shutil.disk_usage(part).free) < size:
            raise InputError(
                f"features take {size / 1e9:.2f} GB and {part.parent} has {free / 1e9:.2f} GB "
                "free: name another folder, or keep them in memory"
            )
        return size

    def _room(self, shape: torch.Size, scale: int, part: Path | None) -> np.ndarray:
        full = (len(self.names) * self._copies, *shape)
        if part is None:
            return np.empty(full, self._dtype)
        return np.lib.format.open_memmap(part / f"scale{scale}.npy", "w+", self._dtype, full)


def image_tensor(image: Image.Image, size: int) -> Tensor:
    """A picture resized to a square, as (3, size, size) in [0, 1]."""
    resized = image.resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized, dtype=np.float32) / 255).permute(2, 0, 1)


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Class ids resized to a square by the nearest pixel, (size, size) uint8."""
    picture = Image.fromarray(mask)
    return np.array(picture.resize((size, size), Image.Resampling.NEAREST), dtype=np.uint8)
