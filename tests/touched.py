"""What a figure that is touched sends to the page: tests read it as the page does."""

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

anywidget = pytest.importorskip("anywidget")

SIDE, CELLS = 225, 15


class Sent:
    """The state in a figure's output, after a way through JSON."""

    def __init__(self, widget: anywidget.AnyWidget):
        data, _ = widget._repr_mimebundle_()
        self.formats = data
        self.state = json.loads(json.dumps(data["application/vnd.ltm-edu.figure+json"]))

    def __getitem__(self, name: str) -> Any:
        return self.state[name]

    def bytes(self, name: str) -> bytes:
        return base64.b64decode(self.state[name], validate=True)

    def pixels(self, name: str) -> np.ndarray:
        """A picture, (H, W, 3) uint8."""
        return decoded(self.state[name])

    def relation(self) -> torch.Tensor:
        """R, (N_q, N_s)."""
        entries = np.frombuffer(self.bytes("R"), np.uint8).astype(np.float64)
        side = round(len(entries) ** 0.5)
        return torch.from_numpy(self["low"] + self["step"] * entries).float().reshape(side, side)


def decoded(text: str) -> np.ndarray:
    """A picture in base64, (H, W, 3) uint8."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text, validate=True))).convert("RGB"))


def question() -> dict[str, torch.Tensor]:
    """Two pictures, a relation that knows the object, its mask on both grids, and the truth."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(2, 3, CELLS, CELLS, generator=generator)
    query, support = torch.nn.functional.interpolate(picture, (SIDE, SIDE), mode="nearest")
    truth, mask, block = torch.zeros(SIDE, SIDE), torch.zeros(SIDE, SIDE), torch.zeros(CELLS, CELLS)
    truth[40:120, 40:120] = mask[40:120, 40:120] = 1
    truth[120:124, 40:120] = 255
    block[3:8, 3:8] = 1
    R = torch.rand(CELLS**2, CELLS**2, generator=generator) - 0.3
    R[block.flatten() == 1] += 0.3 * block.flatten()
    return {
        "query": query, "support": support, "R": R, "mask": mask, "block": block, "truth": truth,
    }  # fmt: skip
