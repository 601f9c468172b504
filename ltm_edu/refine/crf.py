"""DenseCRF and a median filter after the network, as LTM's released code scores its masks.

A fully connected conditional random field (Krähenbühl and Koltun, NIPS 2011) moves the mask's edge
to the picture's edges; the filter makes it smooth. They are not part of LTM, take far longer than
the network, and their scores have a row of their own.
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
    """Check, before the network runs, that the CRF can run after it.

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
    """The object's probability (H, W) in [0, 1] after mean-field inference, float32.

    The picture is (H, W, 3) uint8, RGB.

    Raises:
        InputError: pydensecrf is not installed.
    """
    need_crf()
    from pydensecrf.densecrf import DenseCRF2D
    from pydensecrf.utils import unary_from_softmax

    field = DenseCRF2D(*probability.shape[::-1], 2)
    both = np.stack([1 - probability, probability]).astype(np.float32)
    field.setUnaryEnergy(unary_from_softmax(both))
    field.addPairwiseGaussian(**SMOOTHNESS)
    field.addPairwiseBilateral(rgbim=np.array(picture, order="C"), **APPEARANCE)
    return np.array(field.inference(ITERATIONS), np.float32)[1].reshape(probability.shape)


def median_filter(mask: np.ndarray, size: int = MEDIAN) -> np.ndarray:
    """Each pixel takes the value of most of its size x size neighbours; edges are repeated.

    The mask is (H, W) bool, as is the result; the size is odd, in pixels.
    """
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(grey.filter(ImageFilter.MedianFilter(size))) > 0


def refine(picture: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The object's mask after both, (H, W) bool; arguments and errors as in `dense_crf`.

    With two classes, a median before the argmax and one after it give the same mask.
    """
    return median_filter(dense_crf(picture, probability) > 0.5)
