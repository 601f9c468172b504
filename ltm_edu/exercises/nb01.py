"""Exercises of notebook 01, episodes: the mask of a class, folds, the grid rule, supports."""

from __future__ import annotations

import torch

from ..store.pictures import VOID
from .exercise import Cost, Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor

# 1.1 ----------------------------------------------------------------------------------------------


def object_mask(mask: torch.Tensor, class_id: int) -> torch.Tensor:
    """The mask of one class: (H, W) uint8 of 0, class ids and 255 -> (H, W) uint8 of 0, 1, 255."""
    return torch.where(mask == 255, 255, (mask == class_id).to(torch.uint8))


def _object_loop(mask: Tensor, class_id: int) -> Tensor:
    out = torch.zeros(mask.shape, dtype=torch.uint8)
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if mask[y, x] == VOID:
                out[y, x] = VOID
            elif mask[y, x] == class_id:
                out[y, x] = 1
    return out


def _labels(g: torch.Generator) -> tuple[Tensor, int]:
    values = torch.tensor([0, 1, 2, 3, 7, VOID], dtype=torch.uint8)
    return values[torch.randint(6, (7, 9), generator=g)], 3


def _numbers(condition: Tensor) -> Tensor:
    return condition.to(torch.uint8)


def _large() -> tuple[Tensor, int]:
    values = torch.tensor([0, 1, 2, 3, VOID], dtype=torch.uint8)
    return values[torch.arange(40 * 50).reshape(40, 50) % 5], 3


_VOID_LOST = "255 became background. Void belongs to no class: keep it 255."
_ABSENT = "The mask does not show this class, so the result must not contain a 1."

OBJECT_MASK = Exercise(
    id="1.1",
    title="the mask of one class, void kept",
    reference=object_mask,
    spec=_object_loop,
    tiny=[
        (torch.tensor([[0, 3, 5, VOID]], dtype=torch.uint8), 3),
        (torch.tensor([[1, 0, 3, VOID]], dtype=torch.uint8), 3),
    ],
    draw=_labels,
    invariances=[
        Invariance(
            "The id of another class must not change the result: every other class is background.",
            lambda fn, m, c: torch.equal(fn(torch.where(m == 7, 9, m), c), fn(m, c)),
        )
    ],
    edges=[
        Edge((torch.tensor([[0, 2], [VOID, 2]], dtype=torch.uint8), 5), _ABSENT),
        Edge(
            (torch.full((2, 2), VOID, dtype=torch.uint8), 1),
            "Where all pixels are void, the result must be void everywhere.",
        ),
        Edge(
            (torch.ones(2, 2, dtype=torch.uint8), 1),
            "Where all pixels show the class, the result must be 1 everywhere.",
        ),
    ],
    costs=[
        Cost(
            _large(),
            "It loops over the pixels. Compare the whole mask with class_id at once.",
            operations=40 * 50 * 30,
            lines=300,
        )
    ],
    slips=[
        Slip(_VOID_LOST, lambda m, c: _numbers(m == c)),
        Slip(
            "Every class became 1. Only `class_id` is 1; the other classes are background, 0.",
            lambda m, c: torch.where(m == VOID, VOID, (m > 0).to(torch.uint8)),
        ),
        Slip(
            "255 is counted as object. Void is neither object nor background: keep it 255.",
            lambda m, c: _numbers((m == c) | (m == VOID)),
        ),
        Slip(
            "Every number above 0 became 1, and void as well. Compare with class_id, and keep 255.",
            lambda m, c: _numbers(m > 0),
        ),
        Slip(
            "Class 1 is still 1. It is background, too, if class_id is another number: set every "
            "other class to 0 before you write 1 on the object.",
            lambda m, c: torch.where(m == 1, 1, object_mask(m, c)),
        ),
        Slip(
            "The object still has its class id. Write 1 there.",
            lambda m, c: torch.where((m == VOID) | (m == c), m, 0),
        ),
        Slip(
            "The other classes became void. They are background here: write 0.",
            lambda m, c: torch.where((m == 0) | (m == c), (m == c).to(torch.uint8), VOID),
        ),
        Slip(
            "The mask is inverted. The object must be 1 and the background 0.",
            lambda m, c: torch.where(m == VOID, VOID, (m != c).to(torch.uint8)),
        ),
        Slip(
            "The wrong class is marked. Class ids start at 1, because 0 is the background: "
            "compare with class_id itself.",
            lambda m, c: object_mask(m, c - 1),
        ),
        Slip(
            "The wrong class is marked. Class ids start at 1, because 0 is the background: "
            "compare with class_id itself.",
            lambda m, c: object_mask(m, c + 1),
        ),
    ],
    hints=[
        "There are three cases. Start with void: 255 stays 255, the class becomes 1, everything "
        "else becomes 0.",
        "`(mask == class_id).to(torch.uint8)` is correct except for void. `torch.where(mask == "
        "255, 255, ...)` restores void.",
    ],
)


# 1.2 ----------------------------------------------------------------------------------------------


def novel(fold: int, n_classes: int) -> torch.Tensor:
    """The class ids that a fold tests, (k,) int64, ascending; ids start at 1, folds at 0."""
    if n_classes == 20:  # five consecutive classes
        return torch.arange(5 * fold + 1, 5 * fold + 6)
    return torch.arange(fold + 1, n_classes + 1, 4)  # every fourth


def _novel_loop(fold: int, n_classes: int) -> Tensor:
    ids = []
    for c in range(1, n_classes + 1):
        fold_of_c = (c - 1) // 5 if n_classes == 20 else (c - 1) % 4
        if fold_of_c == fold:
            ids.append(c)
    return torch.tensor(ids, dtype=torch.int64)


def _fold(g: torch.Generator) -> tuple[int, int]:
    fold, choice = (int(torch.randint(n, (), generator=g)) for n in (4, 3))
    return fold, (8, 24, 80)[choice]


def _consecutive(fold: int, n: int) -> Tensor:
    return torch.arange(n // 4 * fold + 1, n // 4 * (fold + 1) + 1)


def _all_but(ids: Tensor, n: int) -> Tensor:
    all_ids = torch.arange(1, n + 1)
    return all_ids[~torch.isin(all_ids, ids)]


def _form_a_partition(fn: object, fold: int, n: int) -> bool:
    ids = torch.cat([fn(f, n) for f in range(4)]).sort().values  # type: ignore[operator]
    return torch.equal(ids, torch.arange(1, n + 1))


NOVEL = Exercise(
    id="1.2",
    title="the novel classes of a fold",
    reference=novel,
    spec=_novel_loop,
    tiny=[(1, 20), (2, 8)],
    draw=_fold,
    invariances=[
        Invariance("Over the four folds, each class must be novel exactly once.", _form_a_partition)
    ],
    edges=[
        Edge((0, 20), "Fold 0 of 20 classes must be the classes 1 to 5."),
        Edge((3, 20), "Fold 3 of 20 classes must be the classes 16 to 20."),
        Edge((3, 80), "Fold 3 of 80 classes must end with class 80."),
        Edge((1, 10), "With 10 classes, two folds have three classes and two folds have two."),
        Edge((2, 1203), "A data set may have many classes. Fold 2 of 1203 must end with 1203."),
    ],
    slips=[
        Slip(
            "Every id is one too low. Class ids start at 1, because id 0 is the background.",
            lambda f, n: torch.arange(5 * f, 5 * f + 5) if n == 20 else torch.arange(f, n, 4),
        ),
        Slip(
            "These are the base classes. The novel classes are the ones that a fold does not "
            "train on.",
            lambda f, n: _all_but(novel(f, n), n),
        ),
        Slip(
            "The classes are interleaved. With 20 classes, a fold has five consecutive classes.",
            lambda f, n: torch.arange(f + 1, n + 1, 4),
        ),
        Slip(
            "The classes are consecutive. With any other number of classes than 20, a fold takes "
            "every fourth class.",
            _consecutive,
        ),
        Slip(
            "A fold has five classes here for any number of classes. Only 20 classes are split "
            "into groups of five.",
            lambda f, n: torch.arange(5 * f + 1, 5 * f + 6),
        ),
        Slip(
            "The two rules are swapped. 20 classes are split into consecutive groups; any other "
            "number is interleaved.",
            lambda f, n: torch.arange(f + 1, n + 1, 4) if n == 20 else _consecutive(f, n),
        ),
        Slip("This is the previous fold. Folds are counted from 0.", lambda f, n: novel(f - 1, n)),
        Slip(
            "Class c is novel in fold (c - 1) % 4, not in fold c % 4.",
            lambda f, n: novel(f, n) if n == 20 else torch.arange(f or 4, n + 1, 4),
        ),
        Slip(
            "One of the five classes is missing. torch.arange stops before its end.",
            lambda f, n: torch.arange(5 * f + 1, 5 * f + 5) if n == 20 else novel(f, n),
        ),
    ],
    hints=[
        "There are two rules. With 20 classes a fold has five consecutive classes; otherwise it "
        "has every fourth class.",
        "`torch.arange(first, stop, step)` does not include `stop`. With 20 classes, fold 0 "
        "starts at 1 and fold 1 at 6. Otherwise fold f starts at f + 1, with step 4.",
    ],
)


# 1.3 ----------------------------------------------------------------------------------------------


def by_grid(mask: torch.Tensor, n_classes: int) -> torch.Tensor:
    """Which classes of a mask satisfy the grid rule, (H, W) of class ids -> (n_classes,) bool.

    A class satisfies it when more than 2 of the pixels mask[1::32, 1::32] show it; entry c - 1 of
    the result is class c.
    """
    grid_pixels = mask[1::32, 1::32].flatten().long()
    counts = torch.bincount(grid_pixels, minlength=256)[1 : n_classes + 1]
    return counts > 2


def _grid_loop(mask: Tensor, n_classes: int) -> Tensor:
    counts = [0] * 256
    for y in range(1, mask.shape[0], 32):
        for x in range(1, mask.shape[1], 32):
            counts[int(mask[y, x])] += 1
    return torch.tensor([counts[c] > 2 for c in range(1, n_classes + 1)])


def _noise(g: torch.Generator) -> tuple[Tensor, int]:
    values = torch.tensor([0, 1, 2, 3, 4, 5, 6, VOID], dtype=torch.uint8)
    mask = values[torch.randint(8, (160, 130), generator=g)]
    # Each wrong way to count must give another result: class 4 is rare, class 5 is not on the
    # grid's rows, class 6 is not on its columns.
    mask[:, 65:][mask[:, 65:] == 4] = 0
    mask[1::32][mask[1::32] == 5] = 0
    mask[:, 1::32][mask[:, 1::32] == 6] = 0
    return mask, 6


def _class_counts(pixels: Tensor, n: int) -> Tensor:
    return torch.bincount(pixels.flatten().long(), minlength=256)[1 : n + 1]


def _dots(*counts: int, size: int = 160) -> Tensor:
    """A mask in which `counts[c - 1]` grid pixels show class c."""
    mask = torch.zeros(size, size, dtype=torch.uint8)
    positions = [(y, x) for y in range(1, size, 32) for x in range(1, size, 32)]
    for c, count in enumerate(counts, start=1):
        for y, x in positions[:count]:
            mask[y, x] = c
        positions = positions[count:]
    return mask


def _between() -> Tensor:
    mask = torch.zeros(160, 160, dtype=torch.uint8)
    mask[34:65, :] = 1  # fills the gap between two rows of grid pixels
    return mask


_EXACTLY = "More than 2 means 3 or more."

BY_GRID = Exercise(
    id="1.3",
    title="the grid rule",
    reference=by_grid,
    spec=_grid_loop,
    tiny=[(_dots(3, 2), 2), (_dots(0, 4, 1), 3)],
    draw=_noise,
    edges=[
        Edge((_dots(2, 3), 2), _EXACTLY),
        Edge(
            (_between(), 1),
            "A wide object between two lines of the grid covers no grid pixel, so it must not "
            "count.",
        ),
        Edge((torch.ones(20, 20, dtype=torch.uint8), 2), "One grid pixel is not more than 2."),
        Edge(
            (_dots(257, size=600), 1),
            "In a large picture more than 256 grid pixels may show one class. Count all of them.",
        ),
        Edge((torch.full((160, 160), VOID, dtype=torch.uint8), 2), "Void belongs to no class."),
    ],
    slips=[
        Slip(
            "The grid starts at pixel 1, not at pixel 0. Use mask[1::32, 1::32].",
            lambda m, n: _class_counts(m[::32, ::32], n) > 2,
        ),
        Slip(
            _EXACTLY + " Two pixels are not enough.",
            lambda m, n: _class_counts(m[1::32, 1::32], n) >= 2,
        ),
        Slip(
            _EXACTLY + " Three pixels are enough.",
            lambda m, n: _class_counts(m[1::32, 1::32], n) > 3,
        ),
        Slip(
            "One grid pixel is not enough. A class needs more than 2.",
            lambda m, n: _class_counts(m[1::32, 1::32], n) > 0,
        ),
        Slip(
            "All pixels are counted. Count only those of the grid, mask[1::32, 1::32].",
            lambda m, n: _class_counts(m, n) > 2,
        ),
        Slip(
            "This is the area rule, which asks for at least 2,048 pixels. Count grid pixels, and "
            "compare with 2.",
            lambda m, n: _class_counts(m, n) >= 2048,
        ),
        Slip(
            "Entry 0 is the background here. Entry c - 1 must be class c.",
            lambda m, n: torch.bincount(m[1::32, 1::32].flatten().long(), minlength=256)[:n] > 2,
        ),
        Slip(
            "Only the rows are subsampled. Take every 32nd column as well: mask[1::32, 1::32].",
            lambda m, n: _class_counts(m[1::32], n) > 2,
        ),
        Slip(
            "These are the counts. Compare them with 2.",
            lambda m, n: _class_counts(m[1::32, 1::32], n),
        ),
        Slip(
            "The result is too short, because torch.bincount stops at the highest number that "
            "occurs. Use minlength=256.",
            lambda m, n: torch.bincount(m[1::32, 1::32].flatten().long())[1 : n + 1] > 2,
        ),
        Slip(
            "The background is included. Classes start at 1.",
            lambda m, n: (
                torch.bincount(m[1::32, 1::32].flatten().long(), minlength=256)[: n + 1] > 2
            ),
        ),
    ],
    hints=[
        "First subsample the mask with a slice. Then count how often each number occurs.",
        "`torch.bincount(values, minlength=256)` counts each number of a flat integer tensor. "
        "Number 0 is the background; classes 1 to n_classes are `[1 : n_classes + 1]`.",
    ],
)


# 1.4 ----------------------------------------------------------------------------------------------


def pick_supports(order: torch.Tensor, shows: torch.Tensor, query: int, shots: int) -> torch.Tensor:
    """The supports of a query: the first `shots` images in `order` that show the class.

    order is (n,) int64, all image numbers in a random order; shows is (n,) bool, entry i for
    image i; query is an image number, and never its own support. Returns (shots,) int64.
    """
    candidates = order[shows[order] & (order != query)]
    return candidates[:shots]


def _pick_loop(order: Tensor, shows: Tensor, query: int, shots: int) -> Tensor:
    supports: list[int] = []
    for image in order.tolist():
        if shows[image] and image != query and len(supports) < shots:
            supports.append(image)
    return torch.tensor(supports, dtype=torch.int64)


def _shuffled(g: torch.Generator) -> tuple[Tensor, Tensor, int, int]:
    n = 24
    order = torch.randperm(n, generator=g)
    shows = torch.rand(n, generator=g) < 0.6
    query = int(order[shows[order]][1])  # the second candidate: a wrong answer takes it
    return order, shows, query, 4


_SELF = (
    "The query is one of its own supports, so the support shows the answer. Leave the query out."
)
_TINY_ORDER = torch.tensor([4, 1, 3, 0, 2])
_TINY_SHOWS = torch.tensor([True, True, False, True, True])

PICK_SUPPORTS = Exercise(
    id="1.4",
    title="supports, none of them the query",
    reference=pick_supports,
    spec=_pick_loop,
    tiny=[(_TINY_ORDER, _TINY_SHOWS, 1, 2)],
    draw=_shuffled,
    invariances=[
        Invariance(
            "With one more shot, the first supports must stay the same.",
            lambda fn, o, s, q, k: torch.equal(fn(o, s, q, k + 1)[:k], fn(o, s, q, k)),
        )
    ],
    edges=[
        Edge(
            (_TINY_ORDER, _TINY_SHOWS, 4, 1),
            "The query is the first image in `order`. Skip it and take the next images.",
        ),
        Edge(
            (_TINY_ORDER, _TINY_SHOWS, 2, 3),
            "The query is the last image in `order`. The result must be the first images that show "
            "the class.",
        ),
        Edge(
            (_TINY_ORDER, torch.ones(5, dtype=torch.bool), 0, 4),
            "With this many shots, every image except the query must be a support.",
        ),
        Edge(
            (torch.arange(299, -1, -1), torch.arange(300) % 2 == 0, 298, 2),
            "A data set may have many images. Return the whole image numbers.",
        ),
    ],
    slips=[
        Slip(_SELF, lambda o, s, q, k: o[s[o]][:k]),
        Slip(
            "Some supports do not show the class. Take only images where `shows` is True.",
            lambda o, s, q, k: o[o != q][:k],
        ),
        Slip(
            "Neither the class nor the query is checked. Leave out the query and the images "
            "without the class.",
            lambda o, s, q, k: o[:k],
        ),
        Slip(
            "`shows` is indexed by image number, but `order` is shuffled. Use shows[order].",
            lambda o, s, q, k: o[s & (o != q)][:k],
        ),
        Slip(
            "Python computes & before !=, so `shows[order] & order != query` means `(shows[order] "
            "& order) != query`. Write `shows[order] & (order != query)`.",
            lambda o, s, q, k: o[s[o] & o != q][:k],
        ),
        Slip(
            "The first candidate is left out, whichever image it is. Leave out the query, wherever "
            "it is in `order`.",
            lambda o, s, q, k: o[s[o]][1 : k + 1],
        ),
        Slip(
            "`query` is an image number, not a position in `order`. Leave out the position where "
            "order == query.",
            lambda o, s, q, k: o[s[o] & (torch.arange(len(o)) != q)][:k],
        ),
        Slip(
            "The supports are sorted by image number, so the same images are always taken. Keep "
            "the order of `order`.",
            lambda o, s, q, k: pick_supports(o, s, q, len(o)).sort().values[:k],
        ),
        Slip(
            "These are positions in `order`. Return the image numbers at these positions.",
            lambda o, s, q, k: (s[o] & (o != q)).nonzero()[:, 0][:k],
        ),
        Slip(
            "These are the last candidates. Return the first ones.",
            lambda o, s, q, k: pick_supports(o, s, q, 99)[-k:],
        ),
        Slip(
            "The query is removed after the first `shots` images are taken, so one support is "
            "missing. Remove it before.",
            lambda o, s, q, k: o[s[o]][:k][o[s[o]][:k] != q],
        ),
        Slip(
            "These are all candidates. Return only the first `shots` of them.",
            lambda o, s, q, k: o[s[o] & (o != q)],
        ),
    ],
    hints=[
        "Remove from `order` every image that must not be a support. Then take the first `shots` "
        "images.",
        "`shows[order]` says, for each position in `order`, whether that image shows the class; "
        "`order != query` says whether it is another image. Index `order` with both.",
    ],
)


EXERCISES = (OBJECT_MASK, NOVEL, BY_GRID, PICK_SUPPORTS)
