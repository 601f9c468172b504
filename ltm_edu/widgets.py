"""Every interactive figure of the course; ipywidgets is imported only when one is called.

GitHub and HTML show no widget: in the notebooks a static figure follows each.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import figures
from .features import image_tensor, resize_mask
from .figures import Picture
from .geometry import mask_to_grid, resize_logits

if TYPE_CHECKING:
    import ipywidgets

    from .model import LTM, TrainingFreeMap


def pick_pixel(
    query: Tensor,
    support: Tensor,
    R: Tensor,
    mask: Tensor | None = None,
    start: tuple[int, int] | None = None,
) -> ipywidgets.VBox:
    """Pick a query pixel with sliders or arrows; see its row of R over the support.

    Args:
        query: (3, H, W) in [0, 1].
        support: (3, H, W) in [0, 1].
        R: (N_q, N_s) on square grids.
        mask: the support's object, (H, W), 1 inside.
        start: (y, x) to begin with; the middle without it.
    """
    import ipywidgets as ipw

    (h, w), grid_s = figures.square_grid(R.shape[0]), figures.square_grid(R.shape[1])
    y, x = start or (h // 2, w // 2)
    row = ipw.IntSlider(value=y, max=h - 1, description="row y")
    column = ipw.IntSlider(value=x, max=w - 1, description="column x")
    left, right = (ipw.Image(format="png", width=300) for _ in range(2))
    said = ipw.Label()

    def draw(_: object = None) -> None:
        y, x = row.value, column.value
        i = y * w + x
        values = R[i].reshape(grid_s)
        left.value = to_png(figures.marked(query, (y, x), (h, w)))
        right.value = to_png(figures.relation_overlay(support, values, mask))
        said.value = f"query pixel ({y}, {x}) is row {i} of R; its largest entry {values.max():.2f}"

    def arrow(text: str, slider: ipw.IntSlider, step: int) -> ipw.Button:
        button = ipw.Button(description=text, layout=ipw.Layout(width="42px"))
        # A slider keeps itself within its ends.
        button.on_click(lambda _: setattr(slider, "value", slider.value + step))
        return button

    row.observe(draw, "value")
    column.observe(draw, "value")
    draw()
    arrows = [arrow("←", column, -1), arrow("→", column, 1), arrow("↑", row, -1)]
    controls = ipw.HBox([row, column, *arrows, arrow("↓", row, 1)])
    return ipw.VBox([controls, ipw.HBox([left, right]), said])


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
    labelled = [ipw.VBox([ipw.Label(c), p]) for c, p in zip(captions, panels, strict=True)]
    return ipw.VBox([menu, ipw.HBox(labelled)])


def to_png(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as PNG: a few milliseconds, where a Figure takes a hundred."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
