"""Widgets of whole episodes, from the support to the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import torch
from PIL import Image

from .. import figures
from ..figures import Picture
from ..geometry import image_tensor, mask_to_grid, resize_logits, resize_mask
from .base import side_by_side, to_png

if TYPE_CHECKING:
    import ipywidgets

    from ..model import LTM, TrainingFreeMap


def support_picker(
    model: LTM | TrainingFreeMap,
    query: Picture,
    supports: Mapping[str, tuple[Picture, np.ndarray]],
) -> ipywidgets.VBox:
    """Choose which support goes with a query; see the attention map and the answer change.

    Features are computed once, here; a choice costs what comes after the backbone.

    Args:
        model: put in eval mode.
        query: a picture of any size, (3, H, W) in [0, 1] or uint8.
        supports: what the menu calls it, to (picture, mask); the mask is (H, W), 1 inside.
    """
    import ipywidgets as ipw

    size, names = model.config.image_size, list(supports)
    asked, *shown = (
        Image.fromarray(figures.as_uint8(p)) for p in (query, *(s[0] for s in supports.values()))
    )
    masks = np.stack([resize_mask((m == 1).astype(np.uint8), size) for _, m in supports.values()])
    model.eval()
    with torch.inference_mode():
        F_q = model.query_features(image_tensor(asked, size)[None])
        F_s = torch.cat([model.backbone(image_tensor(s, size)[None]) for s in shown])
        on_image = torch.from_numpy(masks).float()[:, None]
        G_s = mask_to_grid(on_image, F_s.shape[-2:], model.backbone.stride)

    menu = ipw.Dropdown(options=names, description="support")
    captions = ("support and its mask", "attention Â over the query", "answer")
    panels = [ipw.Image(format="png", height=240, layout={"height": "240px"}) for _ in captions]

    def draw(_: object = None) -> None:
        k = menu.index
        with torch.inference_mode():
            output = model.forward_features(
                F_q, F_s[None, k : k + 1], G_s[None, k : k + 1], [size] * 2
            )
            on_query = resize_logits(output.M, (asked.height, asked.width))[0]
        rows, columns = (
            figures.cell_of_pixel(n, m)
            for n, m in zip((asked.height, asked.width), output.A_hat.shape[2:], strict=True)
        )
        colours = matplotlib.colormaps[figures.A_MAP](output.A_hat[0, 0].numpy(), bytes=True)
        panels[0].value = to_png(figures.tinted(shown[k], supports[names[k]][1]))
        panels[1].value = to_png(colours[rows][:, columns, :3])
        panels[2].value = to_png(figures.tinted(asked, on_query[1] > on_query[0]))

    menu.observe(draw, "index")
    draw()
    widest = max(240 * s.width // s.height for s in shown)
    return ipw.VBox([menu, side_by_side(captions, panels, widest)])
