"""Files of tensors, read without running anything in them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .errors import InputError
from .files import check_no_pointer


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a file of tensors, of torch or of safetensors. No code of the file is run.

    Raises:
        InputError: the file is missing, or damaged, or holds something else.
    """
    path = Path(path)
    try:
        check_no_pointer(path)
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except Exception as error:  # a damaged file fails in as many ways as it can be damaged
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} cannot be read as a file of weights ({reason})") from None
