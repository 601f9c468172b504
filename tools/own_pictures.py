"""Score FewShotSegmenter as people use it: one support, one query, whole files.

`python -m tools.own_pictures --data voc_photos` prints, for each choice of its options, the mean
IoU of its masks, and how many pieces and holes a mask has. `--classes` scores pictures that show
two or more classes instead: the largest logit wins each pixel, or a generalized inverse with a row
for each class is computed first.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
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
from ltm_edu.episodes import find_pairs, images_by_class
from ltm_edu.equations import attention_from_embeddings
from ltm_edu.evaluation import draw_lists
from ltm_edu.geometry import image_tensor, mask_to_grid, resize_logits, resize_mask
from ltm_edu.masks.shapes import pieces
from ltm_edu.model import LTM
from ltm_edu.scores import counts_of, iou
from ltm_edu.segmenter import without_fringe
from ltm_edu.store.pictures import VOID
from ltm_edu.transformations import SelfSupportTransformation

from . import tool

CHOICES = {
    "as it is": {},
    "--no-smooth": {"smooth": False},
    "supports not cropped": {"crop": False},
    "--tile": {"tile": True},
}


def extent(mask: np.ndarray) -> float:
    """The longer side of the box around an object, as a part of the picture's longer side."""
    return max(np.ptp(np.flatnonzero(mask.any(axis=axis))) + 1 for axis in (0, 1)) / max(mask.shape)


def score_options(
    model: LTM, dataset: VocFolder, count: int, small: tuple[float, float], choices: list[str]
) -> None:
    """Print a row for each choice; `small` limits the extent of supports' and queries' objects."""
    protocol = Protocol(list_rule="any", episodes=20 * count, seeds=(0,))
    rows = defaultdict(list)
    bar = tqdm(total=count, leave=False, disable=None)
    for e in draw_lists(dataset, None, protocol, "val")[0]:
        truth, support = dataset.mask(e.query), dataset.mask(e.supports[0])
        sizes = extent(support == e.class_id), extent(truth == e.class_id)
        if any(size > limit for size, limit in zip(sizes, small, strict=True)):
            continue
        image, query = dataset.image(e.supports[0]), dataset.image(e.query)
        try:
            segmenters = {
                label: FewShotSegmenter(model, min_presence=0, **CHOICES[label]).fit(
                    [image], [support == e.class_id]
                )
                for label in choices
            }
        except InputError:  # an object that is too small
            continue
        for label, segmenter in segmenters.items():
            mask = next(segmenter.predict([query])).mask
            holes = ndimage.label(~mask)[1]
            pixels = counts_of(mask, truth == e.class_id, truth != VOID)
            rows[label].append((iou(pixels.both, pixels.either), len(pieces(mask)), holes))
        bar.update()
        if len(rows[choices[0]]) == count:
            break
    bar.close()
    print("| segmenter | pictures | mean IoU | pieces, median | regions around them, median |")
    print("|---|---|---|---|---|")
    for label, values in rows.items():
        score, parts, holes = np.array(values, float).T
        numbers = f"{score.mean():.3f} | {np.median(parts):.0f} | {np.median(holes):.0f}"
        print(f"| {label} | {len(values)} | {numbers} |")


@torch.inference_mode()
def joint_logits(
    model: LTM, query: torch.Tensor, images: torch.Tensor, masks: torch.Tensor
) -> torch.Tensor:
    """Logits of C classes from one generalized inverse with a row a class and one background row.

    query (1, 3, s, s), images (C, 3, s, s), masks (C, 1, s, s) -> (1, C, s, s). A class's map is
    its column minus the best other column.
    """
    F_q, F_s = model.backbone(query), model.backbone(images)
    G_s = mask_to_grid(masks, F_s.shape[-2:], model.backbone.stride).flatten(1)
    rows = torch.cat([torch.block_diag(*G_s), (1 - G_s).flatten()[None]])[None]
    embedded, support = model.embed([F_q], F_q), model.embed([F_s], F_s)
    E_q = embedded.E_s + model.embedding_bias()
    E_s = (support.E_s + model.embedding_bias()).flatten(2).transpose(0, 1).flatten(1)[None]
    A = attention_from_embeddings(E_q, E_s, rows)[0].T.unflatten(1, F_q.shape[-2:])
    logits = []
    for c in range(len(images)):
        others = torch.cat([A[:c], A[c + 1 :]]).amax(dim=0)
        by_itself = SelfSupport((A[c] - others).flatten()[None])
        A_hat = by_itself(E_q, E_q[:, None], G_s.new_ones(1, 1, 1, *F_q.shape[-2:]))
        M = model.decode(embedded.F_hat, A_hat, query.shape[-2:])
        logits.append(M[:, 1:] - M[:, :1])
    return without_fringe(torch.cat(logits, dim=1))


class SelfSupport(SelfSupportTransformation):
    """Self-support that starts from a map (1, N) which is known already."""

    def __init__(self, A: torch.Tensor) -> None:
        super().__init__()
        self.A = A

    def relate(self, E_q: torch.Tensor, E_s: torch.Tensor, G_s: torch.Tensor) -> torch.Tensor:
        """The map that is known."""
        return self.A


def score_classes(model: LTM, dataset: VocFolder, count: int) -> None:
    """Print the IoU of the classes in pictures that show several, one support a class."""
    pairs = find_pairs(dataset.index("all"), range(1, len(dataset.classes) + 1), "grid")
    names = {c: n for c, n in images_by_class(pairs).items() if len(n) > 1}
    shown = defaultdict(list)
    for name, c in pairs:
        if c in names:
            shown[name].append(c)
    rng, size = np.random.default_rng(0), model.config.image_size
    several = [n for n in dataset.names("val") if len(shown[n]) > 1]
    counts = defaultdict(lambda: np.zeros((len(dataset.classes) + 1, 2)))
    fast = model.for_inference()
    for query in tqdm(rng.permutation(several)[:count], leave=False, disable=None):
        image, truth = dataset.image(query), dataset.mask(query)
        supports = [rng.choice([n for n in names[c] if n != query]) for c in shown[query]]
        images = [dataset.image(n) for n in supports]
        masks = [dataset.mask(n) == c for n, c in zip(supports, shown[query], strict=True)]
        options = {"min_presence": 0, "crop": False}
        segmenter = FewShotSegmenter(model, **options).fit(images, masks, map(str, shown[query]))
        labels = {"largest logit": next(segmenter.predict([image])).labels}
        tensors = [image_tensor(i, size) for i in (image, *images)]
        resized = [resize_mask(m.astype(np.uint8), size) for m in masks]
        grid_masks = torch.from_numpy(np.stack(resized)).float()[:, None]
        logits = joint_logits(fast, tensors[0][None], torch.stack(tensors[1:]), grid_masks)
        best = resize_logits(logits, truth.shape)[0].max(dim=0)
        labels["generalized inverse"] = torch.where(best.values > 0, best.indices + 1, 0).numpy()
        for way, found in labels.items():
            for number, c in enumerate(shown[query], start=1):
                pixels = counts_of(found == number, truth == c, truth != VOID)
                counts[way][c] += pixels.both, pixels.either
    print("| each pixel's class by | pictures | IoU, mean of classes |")
    print("|---|---|---|")
    for way, table in counts.items():
        both, either = table[table[:, 1] > 0].T
        print(f"| {way} | {len(several[:count])} | {(both / either).mean():.3f} |")


@tool("tools.own_pictures")
def main(arguments: Sequence[str] | None = None) -> None:
    """Score FewShotSegmenter as people use it. An error prints a line and gives status 2."""
    parser = argparse.ArgumentParser("python -m tools.own_pictures", description=main.__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--checkpoint", type=Path, help="default: photographs, which is shipped")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--classes", action="store_true", help="pictures of two or more classes")
    text = "only objects of at most this part of their picture's longer side"
    parser.add_argument("--small-supports", type=float, default=1.0, help=text)
    parser.add_argument("--small-queries", type=float, default=1.0, help=text)
    text = f"of {', '.join(CHOICES)}; repeat for more (default: all but the last)"
    parser.add_argument("--choice", action="append", choices=CHOICES, help=text)
    options = parser.parse_args(arguments)
    dataset = open_dataset(options.data)
    model, _ = load_checkpoint(options.checkpoint or shipped_checkpoint("photographs"))
    if options.classes:
        score_classes(model, dataset, options.pictures)
    else:
        small = options.small_supports, options.small_queries
        choices = options.choice or list(CHOICES)[:-1]
        score_options(model, dataset, options.pictures, small, choices)


if __name__ == "__main__":
    sys.exit(main())
