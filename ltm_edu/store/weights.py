"""Files of tensors, read without running anything in them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .errors import InputError


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors without running anything in it (`weights_only=True`)."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path} is not there") from None
    except Exception as error:  # a damaged file fails in as many ways as it can be damaged
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read as a file of weights ({first})") from None
