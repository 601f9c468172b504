"""Exercises of notebook 01, episodes: a class's mask, folds, the grid rule, drawing supports."""

from __future__ import annotations

import torch

from .engine import Edge, Exercise, Invariance, Slip

Tensor = torch.Tensor

# 1.1 ----------------------------------------------------------------------------------------------


def object_mask(mask: torch.Tensor, class_id: int) -> torch.Tensor:
    """The mask of one class: (H, W) uint8 of 0, class ids and 255 -> (H, W) uint8 of 0, 1, 255."""
    return torch.where(mask == 255, 255, (mask == class_id).to(torch.uint8))


def _object_loop(mask: Tensor, class_id: int) -> Tensor:
    out = torch.zeros(mask.shape, dtype=torch.uint8)
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if mask[y, x] == 255:
                out[y, x] = 255
            elif mask[y, x] == class_id:
                out[y, x] = 1
    return out


def _labels(g: torch.Generator) -> tuple[Tensor, int]:
    values = torch.tensor([0, 1, 2, 3, 7, 255], dtype=torch.uint8)
    return values[torch.randint(6, (7, 9), generator=g)], 3


def _is(mask: Tensor, condition: Tensor) -> Tensor:
    return condition.to(torch.uint8)


_VOID_LOST = "255 became background: void is nobody's, keep it 255"
_ABSENT = "a class that the mask does not show leaves no 1"

OBJECT_MASK = Exercise(
    id="1.1",
    title="the mask of one class, void kept",
    reference=object_mask,
    spec=_object_loop,
    tiny=[(torch.tensor([[0, 3, 5, 255]], dtype=torch.uint8), 3)],
    draw=_labels,
    invariances=[
        Invariance(
            "the number that another class has must not matter: it is background either way",
            lambda fn, m, c: torch.equal(fn(torch.where(m == 7, 9, m), c), fn(m, c)),
        )
    ],
    edges=[
        Edge((torch.tensor([[0, 2], [255, 2]], dtype=torch.uint8), 5), _ABSENT),
        Edge((torch.full((2, 2), 255, dtype=torch.uint8), 1), "void everywhere stays void"),
        Edge((torch.ones(2, 2, dtype=torch.uint8), 1), "the class everywhere: all 1"),
    ],
    slips=[
        Slip(_VOID_LOST, lambda m, c: _is(m, m == c)),
        Slip(
            "every class is 1: only the class that is asked about",
            lambda m, c: torch.where(m == 255, 255, (m > 0).to(torch.uint8)),
        ),
        Slip(
            "255 counts as object: void is neither object nor background, keep it 255",
            lambda m, c: _is(m, (m == c) | (m == 255)),
        ),
        Slip(
            "every number above 0 is 1, void too: compare with class_id, keep 255",
            lambda m, c: _is(m, m > 0),
        ),
        Slip(
            "the object still has its class id: write 1",
            lambda m, c: torch.where((m == 255) | (m == c), m, 0),
        ),
        Slip(
            "other classes became void: for this question they are background, 0",
            lambda m, c: torch.where((m == 0) | (m == c), (m == c).to(torch.uint8), 255),
        ),
        Slip(
            "inside out: 1 belongs on the object",
            lambda m, c: torch.where(m == 255, 255, (m != c).to(torch.uint8)),
        ),
        Slip(
            "ids begin at 1, for 0 is background: compare with class_id itself",
            lambda m, c: object_mask(m, c - 1),
        ),
        Slip(
            "ids begin at 1, for 0 is background: compare with class_id itself",
            lambda m, c: object_mask(m, c + 1),
        ),
    ],
    hints=[
        "Three cases, and void comes first: 255 stays; the class becomes 1; all else is 0.",
        "`(mask == class_id).to(torch.uint8)` is right but for the void; "
        "`torch.where(mask == 255, 255, ...)` puts it back.",
    ],
)


# 1.2 ----------------------------------------------------------------------------------------------


def novel(fold: int, n_classes: int) -> torch.Tensor:
    """The class ids that a fold tests, (k,) int64, rising; ids begin at 1, folds at 0."""
    if n_classes == 20:  # five neighbours
        return torch.arange(5 * fold + 1, 5 * fold + 6)
    return torch.arange(fold + 1, n_classes + 1, 4)  # every fourth


def _novel_loop(fold: int, n_classes: int) -> Tensor:
    found = []
    for c in range(1, n_classes + 1):
        place = (c - 1) // 5 if n_classes == 20 else (c - 1) % 4
        if place == fold:
            found.append(c)
    return torch.tensor(found, dtype=torch.int64)


def _fold(g: torch.Generator) -> tuple[int, int]:
    fold, choice = (int(torch.randint(n, (), generator=g)) for n in (4, 3))
    return fold, (8, 24, 80)[choice]


def _neighbours(fold: int, n: int) -> Tensor:
    return torch.arange(n // 4 * fold + 1, n // 4 * (fold + 1) + 1)


def _all_but(ids: Tensor, n: int) -> Tensor:
    every = torch.arange(1, n + 1)
    return every[~torch.isin(every, ids)]


def _make_a_partition(fn: object, fold: int, n: int) -> bool:
    every = torch.cat([fn(f, n) for f in range(4)]).sort().values  # type: ignore[operator]
    return torch.equal(every, torch.arange(1, n + 1))


NOVEL = Exercise(
    id="1.2",
    title="the novel classes of a fold",
    reference=novel,
    spec=_novel_loop,
    tiny=[(1, 20), (2, 8)],
    draw=_fold,
    invariances=[
        Invariance("over the four folds each class must be novel exactly once", _make_a_partition)
    ],
    edges=[
        Edge((0, 20), "fold 0 of twenty is classes 1 to 5"),
        Edge((3, 20), "fold 3 of twenty is classes 16 to 20"),
        Edge((3, 80), "fold 3 of eighty ends with class 80"),
        Edge((1, 10), "ten classes make folds of three and two"),
    ],
    slips=[
        Slip(
            "ids begin at 1: id 0 is the background",
            lambda f, n: torch.arange(5 * f, 5 * f + 5) if n == 20 else torch.arange(f, n, 4),
        ),
        Slip(
            "those are the base classes: novel are the ones a fold never trains on",
            lambda f, n: _all_but(novel(f, n), n),
        ),
        Slip(
            "interleaved: with twenty classes a fold is five neighbours",
            lambda f, n: torch.arange(f + 1, n + 1, 4),
        ),
        Slip(
            "neighbours: with any other number of classes than twenty they are interleaved",
            _neighbours,
        ),
        Slip(
            "five classes whatever the number: only twenty are split into fives",
            lambda f, n: torch.arange(5 * f + 1, 5 * f + 6),
        ),
        Slip(
            "the other way round: twenty classes go as neighbours, others interleaved",
            lambda f, n: torch.arange(f + 1, n + 1, 4) if n == 20 else _neighbours(f, n),
        ),
        Slip("folds are counted from 0", lambda f, n: novel(f - 1, n)),
        Slip(
            "class c is novel in fold (c - 1) % 4, not c % 4",
            lambda f, n: novel(f, n) if n == 20 else torch.arange(f or 4, n + 1, 4),
        ),
        Slip(
            "four classes of five: arange stops before its end",
            lambda f, n: torch.arange(5 * f + 1, 5 * f + 5) if n == 20 else novel(f, n),
        ),
    ],
    hints=[
        "Two rules: five neighbours where there are twenty classes, every fourth class otherwise.",
        "`torch.arange(first, stop, step)` leaves out `stop`. Fold 0 of twenty begins at 1 and "
        "fold 1 at 6; interleaved, fold f begins at f + 1 with step 4.",
    ],
)


# 1.3 ----------------------------------------------------------------------------------------------


def by_grid(mask: torch.Tensor, n_classes: int) -> torch.Tensor:
    """Which classes of a mask the grid rule lets through, (n_classes,) bool.

    A class counts where more than 2 of the pixels mask[1::32, 1::32] show it; entry c - 1 of the
    result is class c.
    """
    seen = mask[1::32, 1::32].flatten().long()
    counts = torch.bincount(seen, minlength=256)[1 : n_classes + 1]
    return counts > 2


def _grid_loop(mask: Tensor, n_classes: int) -> Tensor:
    counts = [0] * 256
    for y in range(1, mask.shape[0], 32):
        for x in range(1, mask.shape[1], 32):
            counts[int(mask[y, x])] += 1
    return torch.tensor([counts[c] > 2 for c in range(1, n_classes + 1)])


def _noise(g: torch.Generator) -> tuple[Tensor, int]:
    values = torch.tensor([0, 1, 2, 3, 4, 5, 6, 255], dtype=torch.uint8)
    mask = values[torch.randint(8, (160, 130), generator=g)]
    # So that each careless way of counting gives another answer: class 4 is rare, 5 avoids the
    # grid's lines, 6 its columns.
    mask[:, 65:][mask[:, 65:] == 4] = 0
    mask[1::32][mask[1::32] == 5] = 0
    mask[:, 1::32][mask[:, 1::32] == 6] = 0
    return mask, 6


def _counted(part: Tensor, n: int) -> Tensor:
    return torch.bincount(part.flatten().long(), minlength=256)[1 : n + 1]


def _dots(*counts: int, size: int = 160) -> Tensor:
    """A mask whose grid pixels show class 1 so many times, class 2 so many times, ..."""
    mask = torch.zeros(size, size, dtype=torch.uint8)
    places = [(y, x) for y in range(1, size, 32) for x in range(1, size, 32)]
    for c, count in enumerate(counts, start=1):
        for y, x in places[:count]:
            mask[y, x] = c
        places = places[count:]
    return mask


def _between() -> Tensor:
    mask = torch.zeros(160, 160, dtype=torch.uint8)
    mask[34:65, :] = 1  # tall as the gap between two lines of grid pixels
    return mask


_EXACTLY = "more than 2 means 3 or more"

BY_GRID = Exercise(
    id="1.3",
    title="the grid rule",
    reference=by_grid,
    spec=_grid_loop,
    tiny=[(_dots(3, 2), 2), (_dots(0, 4, 1), 3)],
    draw=_noise,
    edges=[
        Edge((_dots(2, 3), 2), _EXACTLY),
        Edge((_between(), 1), "a wide object between two lines of the grid is not seen"),
        Edge((torch.ones(20, 20, dtype=torch.uint8), 2), "one grid pixel is not more than 2"),
        Edge((torch.full((160, 160), 255, dtype=torch.uint8), 2), "void belongs to no class"),
    ],
    slips=[
        Slip(
            "the grid begins at pixel 1: mask[1::32, 1::32]",
            lambda m, n: _counted(m[::32, ::32], n) > 2,
        ),
        Slip(_EXACTLY + ": 2 is not enough", lambda m, n: _counted(m[1::32, 1::32], n) >= 2),
        Slip(_EXACTLY + ": 3 is enough", lambda m, n: _counted(m[1::32, 1::32], n) > 3),
        Slip(
            "one grid pixel is not enough: more than 2",
            lambda m, n: _counted(m[1::32, 1::32], n) > 0,
        ),
        Slip("all pixels were counted: only those of the grid", lambda m, n: _counted(m, n) > 2),
        Slip(
            "that is the area rule: at least 2,048 pixels",
            lambda m, n: _counted(m, n) >= 2048,
        ),
        Slip(
            "entry 0 is the background: entry c - 1 is class c",
            lambda m, n: torch.bincount(m[1::32, 1::32].flatten().long(), minlength=256)[:n] > 2,
        ),
        Slip(
            "lines 1, 33, ... but every column: thin out both directions",
            lambda m, n: _counted(m[1::32], n) > 2,
        ),
        Slip(
            "the counts themselves: compare them with 2",
            lambda m, n: _counted(m[1::32, 1::32], n),
        ),
        Slip(
            "the background came along: classes begin at 1",
            lambda m, n: (
                torch.bincount(m[1::32, 1::32].flatten().long(), minlength=256)[: n + 1] > 2
            ),
        ),
    ],
    hints=[
        "A slice thins the mask out, then it is a matter of counting each number.",
        "`torch.bincount(values, minlength=256)` counts each number of a flat integer tensor. "
        "Number 0 is background: classes 1 to n_classes are `[1 : n_classes + 1]`.",
    ],
)


# 1.4 ----------------------------------------------------------------------------------------------


def pick_supports(order: torch.Tensor, shows: torch.Tensor, query: int, shots: int) -> torch.Tensor:
    """The supports of a query: the first `shots` images in `order` that show the class.

    order is (n,) int64, all image numbers shuffled; shows is (n,) bool, entry i for image i;
    query is an image number, and never its own support. Returns (shots,) int64.
    """
    candidates = order[shows[order] & (order != query)]
    return candidates[:shots]


def _pick_loop(order: Tensor, shows: Tensor, query: int, shots: int) -> Tensor:
    found: list[int] = []
    for image in order.tolist():
        if shows[image] and image != query and len(found) < shots:
            found.append(image)
    return torch.tensor(found, dtype=torch.int64)


def _shuffled(g: torch.Generator) -> tuple[Tensor, Tensor, int, int]:
    n = 24
    order = torch.randperm(n, generator=g)
    shows = torch.rand(n, generator=g) < 0.6
    query = int(order[shows[order]][1])  # second in line: a careless answer takes it
    return order, shows, query, 4


_SELF = "the query is among its own supports: that question answers itself"
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
            "with one more shot the others must stay the same",
            lambda fn, o, s, q, k: torch.equal(fn(o, s, q, k + 1)[:k], fn(o, s, q, k)),
        )
    ],
    edges=[
        Edge((_TINY_ORDER, _TINY_SHOWS, 4, 1), "the query stands first in line: take the next"),
        Edge((_TINY_ORDER, _TINY_SHOWS, 2, 3), "the query is last in line: nothing changes"),
        Edge((_TINY_ORDER, torch.ones(5, dtype=torch.bool), 0, 4), "every image but the query"),
    ],
    slips=[
        Slip(_SELF, lambda o, s, q, k: o[s[o]][:k]),
        Slip(
            "supports that do not show the class: nothing in them to find",
            lambda o, s, q, k: o[o != q][:k],
        ),
        Slip(
            "neither the class nor the query was looked at",
            lambda o, s, q, k: o[:k],
        ),
        Slip(
            "`shows` is by image number, `order` is shuffled: ask shows[order]",
            lambda o, s, q, k: o[s & (o != q)][:k],
        ),
        Slip(
            "in the images' order, the same ones again and again: keep the shuffled order",
            lambda o, s, q, k: pick_supports(o, s, q, len(o)).sort().values[:k],
        ),
        Slip(
            "places in the list, expected the image numbers that stand there",
            lambda o, s, q, k: (s[o] & (o != q)).nonzero()[:, 0][:k],
        ),
        Slip(
            "the last ones, expected the first", lambda o, s, q, k: pick_supports(o, s, q, 99)[-k:]
        ),
        Slip(
            "the query was taken out after counting: one support too few",
            lambda o, s, q, k: o[s[o]][:k][o[s[o]][:k] != q],
        ),
        Slip("all that qualify, expected `shots` of them", lambda o, s, q, k: o[s[o] & (o != q)]),
    ],
    hints=[
        "Go along `order` and strike out whatever may not be a support; then take the first ones.",
        "`shows[order]` says, for each place in line, whether that image shows the class; "
        "`order != query` whether it is another image. Index `order` with both.",
    ],
)


EXERCISES = (OBJECT_MASK, NOVEL, BY_GRID, PICK_SUPPORTS)
