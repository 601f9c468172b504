"""DenseCRF and a median filter after the network, as LTM's released code scores its masks.

The mask's edge is pulled to the picture's edges by a fully connected conditional random field
(Krähenbühl and Koltun, NIPS 2011), then smoothed. It is no part of LTM, costs far more than the
network does, and its scores stand in a row of their own.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from ..store.errors import InputError

# The released code's numbers: standard deviations in pixels and in grey levels, and weights.
SMOOTHNESS = {"sxy": 3, "compat": 3}
APPEARANCE = {"sxy": 40, "srgb": 7, "compat": 10}
ITERATIONS = 5
MEDIAN = 5  # pixels


def need_crf() -> None:
    """Refuse at once what would fail after the network has run.

    Raises:
        InputError: pydensecrf is not installed.
    """
    try:
        import pydensecrf.densecrf  # noqa: F401
    except ImportError:
        raise InputError(
            "the CRF needs pip install 'ltm-edu[crf]', which builds it with a C++ compiler"
        ) from None


def dense_crf(picture: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The object's probability after mean-field inference in a fully connected CRF.

    Args:
        picture: (H, W, 3) uint8, RGB.
        probability: (H, W), of the object, in [0, 1].

    Returns:
        (H, W) float32 in [0, 1].

    Raises:
        InputError: pydensecrf is not installed.
    """
    need_crf()
    from pydensecrf.densecrf import DenseCRF2D
    from pydensecrf.utils import unary_from_softmax

    height, width = probability.shape
    field = DenseCRF2D(width, height, 2)
    both = np.stack([1 - probability, probability]).astype(np.float32)
    field.setUnaryEnergy(unary_from_softmax(both))
    field.addPairwiseGaussian(**SMOOTHNESS)
    field.addPairwiseBilateral(rgbim=np.array(picture, order="C"), **APPEARANCE)
    found = np.array(field.inference(ITERATIONS), np.float32)
    return found[1].reshape(height, width)


def median_filter(mask: np.ndarray, size: int = MEDIAN) -> np.ndarray:
    """Each pixel becomes what most of its size x size neighbours are; edges are repeated.

    Args:
        mask: (H, W) bool.
        size: odd, in pixels.

    Returns:
        (H, W) bool.
    """
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(grey.filter(ImageFilter.MedianFilter(size))) > 0


def refine(picture: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The object's mask after both; for two classes the order of median and argmax is one.

    Args:
        picture: (H, W, 3) uint8, RGB.
        probability: (H, W), of the object, in [0, 1].

    Returns:
        (H, W) bool.
    """
    return median_filter(dense_crf(picture, probability) > 0.5)
