"""predict(): anybody's pictures of any size, one or more supports with masks, a mask out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .geometry import image_tensor, resize_logits, resize_mask
from .model import FewShotModel
from .store.errors import InputError
from .store.files import written_whole
from .store.marks import object_mask
from .store.pictures import Picture, as_picture, check_same_size

Support = tuple[Picture, Picture]

OVERLAY_COLOUR = (230, 159, 0)
"""Orange of the Okabe-Ito palette, which colour-blind readers can tell from the rest."""


@dataclass(frozen=True)
class Prediction:
    """What the model sees in a query.

    Attributes:
        query: the picture, RGB.
        mask: (H, W) bool at the query's size, True on the object.
        probability: (H, W) float32 in [0, 1], of the object.
        attention: (h, w) float32 in [0, 1], A_hat on the feature grid.
    """

    query: Image.Image
    mask: np.ndarray
    probability: np.ndarray
    attention: np.ndarray

    def overlay(self) -> Image.Image:
        """The query with the object tinted and outlined."""
        return draw_overlay(self.query, self.mask)

    def save(self, folder: str | Path, stem: str) -> tuple[Path, Path]:
        """Write `<stem>_mask.png` (0 and 255) and `<stem>_overlay.png`, each whole or not at all.

        Returns:
            The two paths.
        """
        paths = Path(folder) / f"{stem}_mask.png", Path(folder) / f"{stem}_overlay.png"
        pictures = Image.fromarray(self.mask.astype(np.uint8) * 255), self.overlay()
        for path, picture in zip(paths, pictures, strict=True):
            with written_whole(path) as part:
                picture.save(part, format="PNG")
        return paths


def predict(
    model: FewShotModel,
    query: Picture,
    supports: Sequence[Support] | Support,
    class_id: int | None = None,
) -> Prediction:
    """Find the object of the supports in a query.

    Args:
        model: from `load_checkpoint`, or a `TrainingFreeMap`.
        query: a path, a PIL picture or an array ((H, W, 3) uint8), of any size.
        supports: (picture, mask) pairs. A mask has its picture's size; its object is every value
            but 0, where 255 counts as object in a mask of 0 and 255 only and as void otherwise.
        class_id: take this value of the supports' masks for the object, and no other.

    Returns:
        The mask at the query's size, with probability and attention.

    Raises:
        InputError: a file cannot be read, a mask has another size than its picture, or shows
            nothing of the object.
    """
    # One (picture, mask) may come without a list around it.
    single = isinstance(supports, tuple) and not all(isinstance(s, tuple) for s in supports)
    pairs = [supports] if single else supports
    if not pairs:
        raise InputError("no support: give at least one picture with its mask")
    size = model.config.image_size
    device = next(model.backbone.parameters()).device
    image = as_picture(query, "the query")
    pixels, masks = [], []
    for i, (picture, mask) in enumerate(pairs):
        support = as_picture(picture, _name(picture, i, "picture"))
        labels = object_mask(mask, class_id, _name(mask, i, "mask"))
        check_same_size(support, _name(picture, i, "picture"), labels, _name(mask, i, "mask"))
        if not labels.any():
            what = "no foreground" if class_id is None else f"no pixel of class {class_id}"
            raise InputError(f"{_name(mask, i, 'mask')} shows {what}: mark the object in it")
        pixels.append(image_tensor(support, size))
        masks.append(torch.from_numpy(resize_mask(labels, size)))
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        episode = torch.stack(pixels), torch.stack(masks), image_tensor(image, size)
        output = model(*(x[None].to(device) for x in episode))
        logits = resize_logits(output.M.float().cpu(), (image.height, image.width))[0]
    model.train(was_training)
    mask, probability = (logits[1] > logits[0]).numpy(), logits.softmax(dim=0)[1].numpy()
    return Prediction(image, mask, probability, output.A_hat[0, 0].cpu().numpy())


def draw_overlay(
    image: Image.Image, mask: np.ndarray, colour: tuple[int, int, int] = OVERLAY_COLOUR
) -> Image.Image:
    """Tint the masked pixels of a picture and draw the mask's outline.

    Args:
        image: RGB picture.
        mask: (H, W) bool or 0 / 1, at the picture's size.
        colour: RGB, 0 to 255.
    """
    pixels = np.array(image.convert("RGB"), dtype=np.float32)
    on = np.asarray(mask, dtype=bool)
    pixels[on] = 0.5 * pixels[on] + 0.5 * np.array(colour, np.float32)
    pixels[inner_border(on, max(1, round(min(on.shape) / 150)))] = colour
    return Image.fromarray(pixels.round().astype(np.uint8))


def inner_border(mask: np.ndarray, width: int) -> np.ndarray:
    """The pixels of a mask, (H, W) bool, within `width` steps of its edge; the frame is no edge."""
    inner = mask
    for _ in range(width):
        wide = np.pad(inner, 1, constant_values=True)
        inner = inner & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return mask & ~inner


def _name(given: Picture, i: int, kind: str) -> str:
    return str(given) if isinstance(given, str | Path) else f"support {i + 1}'s {kind}"
