"""A widget of whole episodes: another support, another answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from .. import figures
from ..geometry import image_tensor, mask_to_grid, resize_logits, resize_mask
from .base import draw_on_change, empty_pictures, largest_width, show, side_by_side

if TYPE_CHECKING:
    import ipywidgets

    from ..model import LTM, TrainingFreeMap

HEIGHT = 240
"""Height of the pictures, in CSS pixels."""


def support_picker(
    model: LTM | TrainingFreeMap,
    query: figures.Picture,
    supports: Mapping[str, tuple[figures.Picture, np.ndarray]],
) -> ipywidgets.VBox:
    """Choose the support of a query; see the attention map and the answer.

    The backbone runs once, when the widget is created; a choice needs only the layers after it.

    Args:
        model: is put in eval mode.
        query: a picture of any size.
        supports: title in the menu to (picture, mask); the mask is (H, W), 1 inside.
    """
    import ipywidgets as ipw

    side, titles = model.config.image_size, list(supports)
    pictures, masks = zip(*supports.values(), strict=True)
    query_image, *support_images = (
        Image.fromarray(figures.as_uint8(p)) for p in (query, *pictures)
    )
    size = (query_image.height, query_image.width)
    square_masks = [resize_mask((m == 1).astype(np.uint8), side) for m in masks]
    model.eval()
    with torch.inference_mode():
        F_q = model.query_features(image_tensor(query_image, side)[None])
        F_s = torch.cat([model.backbone(image_tensor(s, side)[None]) for s in support_images])
        Y_s = torch.from_numpy(np.stack(square_masks)).float()[:, None]
        G_s = mask_to_grid(Y_s, F_s.shape[-2:], model.backbone.stride)

    menu = ipw.Dropdown(options=titles, description="support")
    captions = ("support and its mask", "attention Â over the query", "answer")
    panels = empty_pictures(*captions, height=HEIGHT)

    def draw() -> None:
        k = menu.index
        with torch.inference_mode():
            chosen = F_s[None, k : k + 1], G_s[None, k : k + 1]
            output = model.forward_features(F_q, *chosen, (side, side))
            M = resize_logits(output.M, size)[0]
        contents = (
            figures.tinted(support_images[k], masks[k]),
            figures.attention_pixels(output.A_hat[0, 0], size),
            figures.tinted(query_image, M[1] > M[0]),
        )
        show(panels, contents)

    draw_on_change(draw, menu)
    widths = {captions[0]: largest_width(support_images, HEIGHT)}
    return ipw.VBox([menu, side_by_side(panels, widths)])
