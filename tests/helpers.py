"""Small things that several test files need."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ltm_edu.backbones import Backbone
from ltm_edu.model import LTM
from ltm_edu.store.errors import InputError

CLASSES = ("disc", "square", "tower", "wall", "coin", "tile", "mast", "beam")
"""Eight names: two novel ones a fold. Odd ones are ellipses, even ones rectangles."""

COLOURS = (
    (220, 40, 40), (40, 200, 60), (50, 80, 230), (230, 210, 40),
    (200, 60, 210), (50, 210, 210), (245, 245, 245), (15, 15, 15),
)  # fmt: skip

CENTRED = 97
"""A picture side of 16 k + 1 pixels, the smallest that the tests train at."""


def write_voc(
    root: Path, train: int = 6, val: int = 4, classes: tuple[str, ...] = CLASSES, seed: int = 0
) -> Path:
    """Write a folder in VOC's layout: `train` and `val` pictures a class, one coloured shape each.

    Pictures differ in size; a border of 255 surrounds every shape.
    """
    rng = np.random.default_rng(seed)
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / part).mkdir(parents=True)
    for split, count in (("train", train), ("val", val)):
        names = []
        for c in range(1, len(classes) + 1):
            for i in range(count):
                names.append(f"{split}_{classes[c - 1]}_{i}")
                image, mask = _scene(c, rng)
                Image.fromarray(image).save(root / "JPEGImages" / f"{names[-1]}.jpg", quality=95)
                Image.fromarray(mask).save(root / "SegmentationClass" / f"{names[-1]}.png")
        (root / "ImageSets/Segmentation" / f"{split}.txt").write_text("\n".join(names) + "\n")
    (root / "classes.txt").write_text("\n".join(classes) + "\n")
    return root


def _scene(c: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    height, width = rng.integers(100, 150, 2)
    tall, wide = rng.integers(66, 80, 2)  # at least 2 x 2 of the pixels that the grid rule looks at
    top, left = rng.integers(2, height - tall - 2), rng.integers(2, width - wide - 2)
    y, x = np.mgrid[:height, :width]
    inside = (y - top) // tall + abs((x - left) // wide) == 0
    around = (abs(y - top - tall / 2) < tall / 2 + 2) & (abs(x - left - wide / 2) < wide / 2 + 2)
    image = rng.integers(90, 150, (height, width, 3)).astype(np.uint8)
    image[inside] = COLOURS[c - 1]
    mask = np.where(inside, c, np.where(around, 255, 0)).astype(np.uint8)
    return image, mask


class TinyBackbone(Backbone):
    """A frozen extractor with a BatchNorm in it that costs nothing to run, at stride 16."""

    name = "tiny"
    channels = 8

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.conv = nn.Conv2d(3, self.channels, 17, stride=16, padding=8)
        self.bn = nn.BatchNorm2d(self.channels)
        for p in self.conv.parameters():
            nn.init.normal_(p, std=0.1, generator=generator)
        nn.init.uniform_(self.bn.running_mean, -1, 1, generator=generator)
        nn.init.uniform_(self.bn.running_var, 0.5, 2, generator=generator)
        self.seen: list[tuple[int, ...]] = []
        self.freeze()

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(tuple(images.shape))
        return self.bn(self.conv(images))


def tiny_model(**options: object) -> LTM:
    """Build an LTM on the tiny backbone, every width small."""
    sizes = {"image_size": CENTRED, "embedding": 8, "features": 8, "widths": (8, 4, 4)}
    return LTM.small(TinyBackbone(), **{**sizes, **options})


def badly_scaled(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw embeddings (B, D, ...) whose columns have norms from about 1e-3 to 1e3."""
    scale = 10 ** torch.empty(shape[0], 1, *shape[2:], dtype=dtype).uniform_(-3, 3)
    return torch.randn(shape, dtype=dtype) * scale


def refused(call, *parts: str) -> None:
    """Check that a call is refused in one line which holds all these parts."""
    with pytest.raises(InputError) as raised:
        call()
    message = str(raised.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """A disk on which no file can grow over so many bytes: the system refuses the write."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder, to see that nothing has changed."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def left_in(folder: Path) -> list[str]:
    """The names in a folder, hidden ones too; none where there is no folder."""
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []
