"""Compare ways to bring a mask's edge to the picture's edges: two filters and the CRF.

`python -m tools.edges --data voc_photos` (pip install kornia, and the extra `crf`) prints, for each
way, the mean IoU of its masks, their mean boundary IoU, and what it costs in seconds a picture. All
ways start from the same probabilities, those of `FewShotSegmenter`.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from time import perf_counter
from types import ModuleType

import numpy as np
import torch
from tqdm import tqdm

from ltm_edu import (
    FewShotSegmenter,
    InputError,
    Protocol,
    load_checkpoint,
    open_dataset,
    shipped_checkpoint,
)
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.evaluation import draw_lists
from ltm_edu.masks.drawing import inner_border
from ltm_edu.model import FewShotModel
from ltm_edu.refine.crf import refine
from ltm_edu.scores import counts_of, iou
from ltm_edu.store.pictures import VOID

from . import tool

Way = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(H, W, 3) uint8 and probability (H, W) float32 -> mask (H, W) bool."""

# Chosen on 40 pictures of voc_photos' train list, of radii 8, 16, 32 and eps 1e-4, 1e-3, 1e-2, and
# of radii 4, 8 and colours 0.1, 0.2. The guided filter's means are taken on every fourth pixel.
GUIDED = (33, 1e-4, 4)  # window in pixels, eps, subsampling
BILATERAL = (17, 0.1, 4.0)  # window in pixels, standard deviations of colours in [0, 1] and pixels


def as_it_is(_: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The mask without any of these ways."""
    return probability > 0.5


def guided(picture: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The guided filter of He, Sun and Tang (ECCV 2010)."""
    guided_blur = _kornia().guided_blur
    guide, values = _tensors(picture, probability)
    size, eps, subsample = GUIDED
    return guided_blur(guide, values, size, eps, subsample=subsample)[0, 0].numpy() > 0.5


def joint_bilateral(picture: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The joint bilateral filter: a mean over near pixels of a similar colour."""
    joint_bilateral_blur = _kornia().joint_bilateral_blur
    guide, values = _tensors(picture, probability)
    size, colour, space = BILATERAL
    near = (space, space)
    return joint_bilateral_blur(values, guide, size, colour, near)[0, 0].numpy() > 0.5


def _kornia() -> ModuleType:
    try:
        return import_module("kornia.filters")
    except ImportError:
        raise InputError(
            "two of the filters need pip install kornia; --way leaves them out"
        ) from None


def _tensors(picture: np.ndarray, probability: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    guide = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
    return guide, torch.from_numpy(probability)[None, None]


WAYS: dict[str, Way] = {
    "as it is": as_it_is,
    "guided filter, radius 16": guided,
    "joint bilateral filter, radius 8": joint_bilateral,
    "DenseCRF, then a median filter": refine,
}


def boundary(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask within 2 % of the picture's diagonal of its edge, (H, W) bool.

    Source: Cheng et al., Boundary IoU, CVPR 2021.
    """
    distance = max(round(0.02 * float(np.hypot(*mask.shape))), 1)
    return inner_border(mask, distance)


def score(
    model: FewShotModel, dataset: VocFolder, split: str, count: int, ways: Sequence[str]
) -> None:
    """Print a row for each way."""
    protocol = Protocol(list_rule="any", episodes=2 * count, seeds=(0,))
    rows: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    with tqdm(total=count, leave=False, disable=None) as bar:
        for e in draw_lists(dataset, None, protocol, split)[0]:
            image, support = dataset.image(e.query), dataset.image(e.supports[0])
            truth, mask = dataset.mask(e.query), dataset.mask(e.supports[0]) == e.class_id
            try:
                segmenter = FewShotSegmenter(model, min_presence=0).fit([support], [mask])
            except InputError:  # an object that is too small
                continue
            probability = next(segmenter.predict([image])).probability.astype(np.float32)
            counted, right = truth != VOID, truth == e.class_id
            for name in ways:
                start = perf_counter()
                found = WAYS[name](np.asarray(image), probability)
                seconds = perf_counter() - start
                whole = counts_of(found, right, counted)
                edge = counts_of(boundary(found), boundary(right), counted)
                score = iou(whole.both, whole.either), iou(edge.both, edge.either)
                rows[name].append((*score, seconds))
            bar.update()
            if len(rows[ways[0]]) == count:
                break
    print("| way | pictures | IoU | boundary IoU | seconds a picture |")
    print("|---|---|---|---|---|")
    for name, values in rows.items():
        whole, edge, seconds = np.mean(values, axis=0)
        print(f"| {name} | {len(values)} | {whole:.3f} | {edge:.3f} | {seconds:.3f} |")


@tool("tools.edges")
def main(arguments: Sequence[str] | None = None) -> None:
    """Compare ways to refine a mask's edge. An error prints one line and gives exit status 2."""
    parser = argparse.ArgumentParser("python -m tools.edges", description=main.__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--checkpoint", type=Path, help="default: photographs, which is shipped")
    text = "weight of the untrained map in the answer (default: the checkpoint's)"
    parser.add_argument("--map-weight", type=float, metavar="W", help=text)
    parser.add_argument("--pictures", type=int, default=100)
    text = "a row of the table; repeat for more (default: all)"
    parser.add_argument("--way", action="append", choices=WAYS, metavar="NAME", help=text)
    options = parser.parse_args(arguments)
    dataset, ways = open_dataset(options.data), options.way or list(WAYS)
    model, _ = load_checkpoint(options.checkpoint or shipped_checkpoint("photographs"))
    if options.map_weight is not None:
        model = model.at_map_weight(options.map_weight)
    score(model, dataset, options.split, options.pictures, ways)


if __name__ == "__main__":
    sys.exit(main())
