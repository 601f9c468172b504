"""The frozen-feature cache: each picture goes through the backbone once.

Exact, not approximate: the backbone is frozen with BatchNorm in eval mode, so the features of a
picture depend on nothing but the picture. A mirrored picture is a second copy, because the features
of the mirror image are not the mirrored features.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..datasets.voc import VocFolder
from ..geometry import image_tensor, mask_to_grid, resize_mask
from ..model import FewShotModel, features_at_scales
from ..runs.processes import own_part, share_arrays
from ..runs.threads import in_parallel
from ..store.errors import InputError
from ..store.pictures import READING, VOID
from .files import FileOfRows, Kind, in_files

BATCH = 2
"""Pictures that go through the backbone together, in each thread; on a GPU eight times as many."""


class FeatureCache:
    """Features and masks of some pictures, at the size that a model sees.

    Args:
        model: whose backbone, picture size and query scales to use.
        dataset: where pictures and masks come from.
        names: which pictures; each is read and checked before anything is kept.
        flips: also keep each picture's mirror image.
        folder: keep features and masks in memory-mapped files in this folder, and find them there
            next time, also those that a stopped run has left; None keeps them in memory.
        progress: show a bar with the features' size and the time left.
        half: keep the features in float16, half the room; no longer exact to the last digit.
        query_scales: sizes of the query to keep, 1.0 among them; the model's by default.
        void_ids: ids of classes whose objects count as void in `masks` and in scores.

    Raises:
        InputError: a picture or mask is missing, unreadable, of another size, or has an id over
            the list; or the features do not fit on the disk, or the folder cannot be written to.
    """

    def __init__(
        self,
        model: FewShotModel,
        dataset: VocFolder,
        names: Sequence[str],
        flips: bool = False,
        folder: Path | None = None,
        progress: bool = True,
        half: bool = False,
        query_scales: Sequence[float] | None = None,
        void_ids: Sequence[int] = (),
    ) -> None:
        self.dataset = dataset
        self.void_ids = tuple(void_ids)
        self.names = tuple(dict.fromkeys(names))
        self.fingerprint = dataset.fingerprint(self.names) if folder is not None else None
        self.size = model.config.image_size
        self.stride = model.backbone.stride
        self._at = {name: i for i, name in enumerate(self.names)}
        self._copies = 2 if flips else 1
        self._dtype = np.dtype(np.float16 if half else np.float32)
        self.query_scales = tuple(query_scales or model.config.query_scales)
        if 1.0 not in self.query_scales:
            raise InputError("query_scales must hold 1.0: supports are seen at that scale")
        self._maps: list[FileOfRows | Tensor]
        self._masks: FileOfRows | Tensor
        if folder is None:
            *self._maps, self._masks = self._in_memory(model, progress)
        else:
            *self._maps, self._masks = self._in_files(model, folder.absolute(), progress)

    def __contains__(self, name: str) -> bool:
        return name in self._at

    @property
    def nbytes(self) -> int:
        """Bytes that the features take."""
        return sum(m.nbytes for m in self._maps)

    def to(self, device: torch.device) -> FeatureCache:
        """Hold everything on a device from here on.

        Raises:
            InputError: it does not fit there; the cache stays as it was.
        """
        try:
            moved = [m.to(device) for m in (*self._maps, self._masks)]
        except torch.OutOfMemoryError:
            moved = []
        if not moved:  # out of the except block, whose error would hold on to what was moved
            size = self.nbytes + self._masks.nbytes
            raise InputError(
                f"features take {size / 1e9:.2f} GB and {device} does not have them free: "
                "keep them in files or in the host's memory"
            )
        *self._maps, self._masks = moved
        return self

    def mean(self, names: Sequence[str]) -> Tensor:
        """The mean feature vector of some pictures at scale 1, (C,)."""
        each = [self._at_scale(1.0, [n], None)[0].float().mean(dim=(1, 2)) for n in names]
        return torch.stack(each).mean(dim=0)

    def features(
        self,
        names: Sequence[str],
        flips: Sequence[bool] | None = None,
        query_scales: Sequence[float] | None = None,
    ) -> list[Tensor]:
        """Features of n pictures, a (n, C, h, w) tensor for each query scale, or some of them.

        `flips` says for each picture whether its mirror image is meant.
        """
        return [self._at_scale(s, names, flips) for s in query_scales or self.query_scales]

    def support_features(self, names: Sequence[str], flips: Sequence[bool] | None = None) -> Tensor:
        """Features of pictures at scale 1, (n, C, h, w)."""
        return self._at_scale(1.0, names, flips)

    def _at_scale(self, scale: float, names: Sequence[str], flips: Sequence[bool] | None) -> Tensor:
        pairs = zip(names, flips or [False] * len(names), strict=True)
        rows = torch.tensor([self._at[n] * self._copies + bool(f) for n, f in pairs])
        return self._maps[self.query_scales.index(scale)][rows]

    def masks(
        self, names: Sequence[str], class_ids: Sequence[int], flips: Sequence[bool] | None = None
    ) -> Tensor:
        """Binary truth at the model's size, (n, H, W) of 0, 1 and 255 (void)."""
        flips = flips or [False] * len(names)
        out = self._masks[torch.tensor([self._at[n] for n in names])]
        out = torch.stack([m.flip(-1) if f else m for m, f in zip(out, flips, strict=True)])
        wanted = torch.tensor(class_ids, dtype=torch.uint8, device=out.device)[:, None, None]
        void = out == VOID
        for c in self.void_ids:
            void |= out == c
        return torch.where(void, VOID, (out == wanted).to(torch.uint8))

    def grid_masks(self, masks: Tensor) -> Tensor:
        """Binary truth (n, H, W) on the feature grid, (n, 1, h, w); void counts as background."""
        grid = self._maps[self.query_scales.index(1.0)].shape[-2:]
        return mask_to_grid((masks == 1).float()[:, None], grid, self.stride)

    def _in_memory(self, model: FewShotModel, progress: bool) -> list[Tensor]:
        """Features of each scale, then the masks; several processes share the work."""
        own = own_part(range(len(self.names)))
        arrays: list[np.ndarray] = []
        pictures = self._pictures(model, [self.names[i] for i in own], progress)
        for i, parts in zip(own, pictures, strict=True):
            if not arrays:
                n = len(self.names)
                arrays = [np.zeros((n * len(a), *a.shape[1:]), a.dtype) for a in parts]
            for whole, a in zip(arrays, parts, strict=True):
                whole[i * len(a) : (i + 1) * len(a)] = a
        return share_arrays([torch.from_numpy(a) for a in arrays])

    def _in_files(self, model: FewShotModel, folder: Path, progress: bool) -> list[FileOfRows]:
        """The same from files in the folder, which are written if they are missing."""
        key = [model.backbone.key, self.fingerprint, READING, self._copies, self.size]
        key += [self.query_scales, self._dtype.name]
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
        n = len(self.names)
        maps = (n * self._copies, model.backbone.channels, None, None)
        kinds = [Kind(f"scale{i}.npy", self._dtype, maps) for i in range(len(self.query_scales))]
        return in_files(
            folder / f"features-{digest}",
            [*kinds, Kind("masks.npy", np.dtype(np.uint8), (n, self.size, self.size))],
            n,
            lambda done: self._pictures(model, self.names[done:], progress),
            progress,
        )

    def _pictures(
        self, model: FewShotModel, names: Sequence[str], progress: bool
    ) -> Iterator[list[np.ndarray]]:
        """What each picture adds to the features of each scale and to the masks."""
        device = next(model.parameters()).device

        def extract(group: Sequence[str]) -> list[list[np.ndarray]]:
            images, masks = zip(*map(self._read, group), strict=True)
            pixels = torch.stack(images)
            copies = torch.stack([pixels, pixels.flip(-1)][: self._copies], dim=1)
            with torch.inference_mode():
                maps = features_at_scales(
                    model.backbone, copies.flatten(0, 1).to(device), self.query_scales
                )
            arrays = [
                np.ascontiguousarray(F.unflatten(0, copies.shape[:2]).cpu().numpy(), self._dtype)
                for F in maps
            ]
            return [[*(a[i] for a in arrays), mask[None]] for i, mask in enumerate(masks)]

        bar = tqdm(
            total=len(self.names),
            desc="features",
            initial=len(self.names) - len(names),
            unit="image",
            disable=not progress,
            leave=False,
        )
        together = BATCH if device.type == "cpu" else 8 * BATCH
        groups = [names[i : i + together] for i in range(0, len(names), together)]
        with bar:
            for described, group in enumerate(in_parallel(extract, groups)):
                if not described:
                    size = len(self.names) * sum(a.nbytes for a in group[0])
                    bar.set_description(f"features, {size / 1e9:.2f} GB")
                for parts in group:
                    bar.update()
                    yield parts

    def _read(self, name: str) -> tuple[Tensor, np.ndarray]:
        image, mask = self.dataset.pair(name)
        return image_tensor(image, self.size), resize_mask(mask, self.size)
