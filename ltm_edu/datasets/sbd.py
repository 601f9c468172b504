"""SBD's masks: from .mat files to the palette PNGs that VOC has."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from ..store.errors import InputError
from ..store.pictures import voc_palette
from .voc import VOC_CLASSES


def need_scipy() -> None:
    """Raise InputError, with the command that helps, where SciPy is not installed."""
    try:
        import scipy.io  # noqa: F401
    except ImportError:
        raise InputError(
            'SBD\'s masks are .mat files, which SciPy reads: pip install "ltm-edu[pascal]"'
        ) from None


def mask_of_mat(content: bytes, name: str) -> np.ndarray:
    """The class ids in one of SBD's .mat files; reading it runs no code.

    Args:
        content: the file.
        name: what an error calls it.

    Returns:
        (H, W) uint8: 0 background, 1 to 20 classes.

    Raises:
        InputError: it is no .mat file, or not laid out as SBD's are.
    """
    from scipy.io import loadmat

    try:
        mask = loadmat(io.BytesIO(content), variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
    except Exception as error:  # a damaged file comes out of SciPy's reader as many kinds of error
        kind = type(error).__name__
        raise InputError(f"{name} cannot be read as one of SBD's masks ({kind})") from None
    if not isinstance(mask, np.ndarray) or mask.dtype != np.uint8 or mask.ndim != 2:
        raise InputError(f"{name} is not one of SBD's masks: Segmentation is no table of 8-bit ids")
    if mask.size == 0 or mask.max() > len(VOC_CLASSES):
        raise InputError(
            f"{name} is not one of SBD's masks: its ids go up to {mask.max(initial=0)}, theirs to "
            f"{len(VOC_CLASSES)}"
        )
    return mask


def palette_png(mask: np.ndarray) -> bytes:
    """A mask as VOC writes it: a PNG of ids, (H, W) uint8, in VOC's colours."""
    picture = Image.fromarray(mask)
    picture.putpalette(list(voc_palette()))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
