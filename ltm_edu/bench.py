"""What the course's short cuts are worth on this machine: `ltm-edu bench`.

Each row sets a plain way against ours on the same work, compares the two results, and is the RATIO
of the medians of their times, the two taking turns in one run: whatever else the machine does meets
both. Seconds belong to one machine; ratios travel better.

Peak memory is what the results of operations take, all that live at one moment; inputs, and what a
library holds inside one operation, are not in it. On a GPU it is the allocator's own peak.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import statistics
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from . import equations
from .backbones import ResNet50
from .batches import Batch, BatchTensors, load_batches
from .datasets import open_dataset
from .datasets.emoji5i import PRESETS, draw_listed, generate
from .datasets.voc_layout import VOID, VocFolder, read_mask
from .episodes import Episode, draw_episodes, find_pairs
from .errors import InputError
from .evaluation import IoUCounter, evaluate
from .features import FeatureCache, image_tensor, resize_mask
from .geometry import mask_to_grid, resize_logits
from .model import LTM
from .paths import written_whole
from .protocol import Protocol, novel_classes
from .recipes import RELEASED, recipe_for
from .settings import TrainingConfig
from .update import Update

PARTS = ("attention", "loss", "evaluation", "training", "data", "gpu")
Way = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        part: one of `PARTS`.
        case: what was measured, and at which size.
        plain_seconds, our_seconds: medians.
        plain_bytes, our_bytes: peak memory, or None where it was not counted.
        difference: of the two results, relative to the largest value.
        sizes: the numbers behind `case`.
        note: how it was measured, or what else was.
    """

    part: str
    case: str
    plain_seconds: float
    our_seconds: float
    difference: float
    plain_bytes: int | None = None
    our_bytes: int | None = None
    sizes: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.plain_seconds / self.our_seconds

    def __str__(self) -> str:
        cells = [f"{self.case:44}", f"{self.ratio:7.2f}"]
        cells += [f"{_duration(s):>9}" for s in (self.plain_seconds, self.our_seconds)]
        peaks = (self.plain_bytes, self.our_bytes)
        cells += [f"{'' if b is None else f'{b / 1e6:.2f}':>9}" for b in peaks]
        return " ".join([*cells, f"{self.difference:7.0e}", self.note]).rstrip()


TITLES = f"{'case':44} {'times':>7} {'plain':>9} {'ours':>9} {'plain MB':>9} {'ours MB':>9}  differ"


@dataclass(frozen=True)
class How:
    """Where and in what arithmetic something runs.

    Attributes:
        device: "cpu" or "cuda".
        dtype: of embeddings; bfloat16 turns autocast on for a training step.
        compiled: through torch.compile.
        batch: episodes at once.
    """

    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    compiled: bool = False
    batch: int = 1

    def __str__(self) -> str:
        name = str(self.dtype).removeprefix("torch.")
        words = [name] if self.dtype != torch.float32 else []
        words += ["compiled"] if self.compiled else []
        words += [f"batch {self.batch}"] if self.batch > 1 else []
        return "".join(f", {word}" for word in words)


HERE = How()

# Measuring ----------------------------------------------------------------------------------------


def compare(plain: Way, ours: Way, repeats: int = 5, device: str = "cpu") -> tuple[float, float]:
    """Median seconds of two functions that take turns, after one call of each to warm up.

    `repeats` calls of each are measured; on a GPU its own clock is read, by events.
    """
    times = [(_seconds(plain, device), _seconds(ours, device)) for _ in range(repeats + 1)]
    first, second = zip(*times[1:], strict=True)
    return statistics.median(first), statistics.median(second)


def peak_bytes(way: Way, device: str = "cpu") -> int:
    """The most that the results of a function's operations take at one moment, in bytes."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        way()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with _LiveResults() as live:
        way()
    return live.peak


class _LiveResults(TorchDispatchMode):
    """Watches every operation: the bytes of the results that are alive, and the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, function: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        self._see((args, kwargs), counts=False)
        result = function(*args, **(kwargs or {}))
        self._see(result, counts=True)
        return result

    def _see(self, tensors: object, counts: bool) -> None:
        for tensor in tree_leaves(tensors):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            if storage._cdata in self._known:  # a view, or what an operation before this one made
                continue
            size = storage.nbytes() if counts else 0
            self._known.add(storage._cdata)
            self._now += size
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._forget, storage._cdata, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size


def _seconds(way: Way, device: str = "cpu") -> float:
    if device == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        way()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1e3
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


def _apart(plain: Tensor, ours: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    plain, ours = plain.detach().double(), ours.detach().double()
    return ((plain - ours).abs().max() / plain.abs().max().clamp_min(1e-12)).item()


# 1 and 2: attention, and the relationship loss ----------------------------------------------------


def attention_row(N: int, D: int, repeats: int = 5, how: How = HERE) -> Row:
    """Equation 5 as printed (build R, multiply by the inverse) against never building R.

    The embeddings are (B, D, N), random, the same each time.
    """
    E_q, E_s, G_s, _ = _embeddings(N, D, how)

    def by_R() -> Tensor:
        return equations.attention(equations.relationship_matrix(E_q, E_s), G_s)

    def without_R() -> Tensor:
        return equations.attention_from_embeddings(E_q, E_s, G_s)

    return _tensor_row("attention", "attention", (by_R, without_R), N, D, repeats, how)


def loss_row(N: int, D: int, backward: bool = False, repeats: int = 5, how: How = HERE) -> Row:
    """Equation 10 as printed (R and R_truth, N x N each) against two D x D Gram matrices.

    `backward` adds the gradients of both embeddings.
    """
    E_q, E_s, G_s, G_q = _embeddings(N, D, how)
    inputs = [E.requires_grad_() for E in (E_q, E_s)] if backward else []

    def by_R() -> Tensor:
        R, R_truth = equations.relationship_matrix(E_q, E_s), equations.relationship_truth(G_q, G_s)
        return equations.relationship_loss(R, R_truth)

    def without_R() -> Tensor:
        return equations.relationship_loss_from_embeddings(E_q, E_s, G_q, G_s)

    what = "L_r forward + backward" if backward else "L_r forward"
    return _tensor_row("loss", what, (by_R, without_R), N, D, repeats, how, inputs)


def _tensor_row(
    part: str,
    what: str,
    ways: Sequence[Callable[[], Tensor]],
    N: int,
    D: int,
    repeats: int,
    how: How,
    inputs: Sequence[Tensor] = (),
) -> Row:
    """Compare two ways to a tensor, or to its gradient with respect to `inputs`."""
    if how.compiled:
        torch.compiler.reset()  # or it would keep to the last size's graph, or give up
        ways = [torch.compile(way) for way in ways]
    if inputs:
        ways = [_gradients_of(way, inputs) for way in ways]
    apart = _apart(*(way() for way in ways))
    memory = [peak_bytes(way, how.device) for way in ways]
    seconds = compare(*ways, repeats, how.device)
    sizes = {"N": N, "D": D, "what": f"{what}{how}"}
    return Row(part, f"{what}, N {N:,}, D {D:,}{how}", *seconds, apart, *memory, sizes)


def _gradients_of(loss: Callable[[], Tensor], inputs: Sequence[Tensor]) -> Callable[[], Tensor]:
    return lambda: torch.cat([g.flatten() for g in torch.autograd.grad(loss(), inputs)])


def _embeddings(N: int, D: int, how: How) -> list[Tensor]:
    """E_q, E_s (B, D, N), G_s, G_q (B, 1, N)."""
    g = torch.Generator().manual_seed(0)
    drawn = [*torch.randn(2, how.batch, D, N, generator=g)]
    drawn += [*torch.rand(2, how.batch, 1, N, generator=g)]
    return [x.to(how.device, how.dtype) for x in drawn]


# 3: evaluation ------------------------------------------------------------------------------------


def evaluation_row(
    model: LTM, dataset: VocFolder, episodes: int, measured: int, split: str = "val"
) -> Row:
    """Score fold 0's episodes as public code does, each by itself, against `evaluate`.

    The public way opens, resizes and embeds every support and query of every episode. It is timed
    on `measured` episodes, half of them before ours and half after, and scaled up to all; ours runs
    whole, from reading the masks for the list of episodes to the table.
    """
    pairs = find_pairs(dataset.index(split), novel_classes(0, len(dataset.classes)))
    measured = min(measured, episodes)
    some = draw_episodes(pairs, 1, measured, 0).episodes
    one_by_one(model, dataset, some[:1])  # warm-up
    counter = IoUCounter()

    def ours(count: int) -> dict[str, float]:
        rules = Protocol(episodes=count, seeds=(0,))
        found = evaluate({"LTM": model}, dataset, 0, rules, split, progress=False)
        return found.scores[0].per_class

    times = one_by_one(model, dataset, some[: measured // 2], counter)
    seconds = _seconds(lambda: ours(episodes))
    times += one_by_one(model, dataset, some[measured // 2 :], counter)
    by_class = {dataset.classes[c - 1]: iou for c, iou in counter.per_class().items()}
    pictures = len(draw_episodes(pairs, 1, episodes, 0).names())
    return Row(
        "evaluation",
        f"{episodes:,} episodes, {pictures} pictures",
        statistics.median(times) * episodes,
        seconds,
        max(abs(by_class[name] - iou) for name, iou in ours(measured).items()),
        sizes={"episodes": episodes, "pictures": pictures, "measured": measured},
        note=f"plain: median of {measured} episodes x {episodes:,}; differ: a class's IoU",
    )


def one_by_one(
    model: LTM, dataset: VocFolder, episodes: Sequence[Episode], counter: IoUCounter | None = None
) -> list[float]:
    """Score episodes with nothing kept from one to the next; add to a counter.

    Returns:
        Seconds, one number an episode.
    """
    counter, times = IoUCounter() if counter is None else counter, []
    was_training = model.training
    model.eval()
    for e in episodes:
        started = time.perf_counter()
        pixels, labels, truth = _read_episode(dataset, e, model.config.image_size)
        with torch.inference_mode():
            M = model(pixels[None, :-1], (labels[None, :-1] == 1).float(), pixels[-1:]).M
            logits = resize_logits(M, truth.shape)[0]
        counter.add((logits[1] > logits[0]).numpy(), truth, e.class_id)
        times.append(time.perf_counter() - started)
    model.train(was_training)
    return times


def _read_episode(dataset: VocFolder, e: Episode, size: int) -> tuple[Tensor, Tensor, np.ndarray]:
    """Pixels (K + 1, 3, H, W) and truth (K + 1, H, W), the query last; its truth at full size."""
    pairs = [dataset.pair(name) for name in (*e.supports, e.query)]
    truths = [np.where(m == VOID, VOID, m == e.class_id).astype(np.uint8) for _, m in pairs]
    labels = np.stack([resize_mask(truth, size) for truth in truths])
    pixels = torch.stack([image_tensor(image, size) for image, _ in pairs])
    return pixels, torch.from_numpy(labels), truths[-1]


# 4: a training step -------------------------------------------------------------------------------


def training_row(
    model: LTM,
    dataset: VocFolder,
    name: str = "small",
    repeats: int = 3,
    how: How = HERE,
    split: str = "train",
) -> Row:
    """The plain update reads and embeds its pictures each time; ours has their features.

    The plain one sends every picture through the backbone, at each of the model's query scales, in
    float32; ours is what `fit` does, in the arithmetic asked for, its features on the device. The
    arithmetic says how far this can go, since the update's own work stays: that limit, counted in
    floating-point operations, stands beside the measured ratio. The learning rates are 0, so the
    weights stay; all else is done.
    """
    pairs = find_pairs(dataset.index(split), range(1, len(dataset.classes) + 1))
    episodes = draw_episodes(pairs, 1, how.batch, 0)
    model = model.to(how.device).train()
    queries, ids = [e.query for e in episodes], [e.class_id for e in episodes]
    supports = [list(e.supports) for e in episodes]
    still = [False] * how.batch
    batch = Batch(ids, queries, supports, still, [[False] for _ in still])
    half = how.dtype != torch.float32
    cache = FeatureCache(model, dataset, episodes.names(), progress=False, half=half)
    cache.to(torch.device(how.device))

    def update(dtype: torch.dtype, compiled: bool = False) -> Update:
        precision = str(dtype).removeprefix("torch.")
        rates = {"learning_rate": 0.0, "embedding_rate": 0.0, "weight_decay": 0.0}
        config = TrainingConfig(batch=how.batch, precision=precision, **rates)
        return Update(model, config, len(pairs), compiled)

    plain_update, our_update = update(torch.float32), update(how.dtype)

    def uncached() -> Tensor:
        side = model.config.image_size
        read = [_read_episode(dataset, e, side)[:2] for e in episodes]
        pixels, labels = (torch.stack(x).transpose(0, 1) for x in zip(*read, strict=True))
        with torch.no_grad():
            F_s = model.backbone(pixels[0].to(how.device))
            F_q = model.query_features(pixels[1].to(how.device))
        G_s, G_q = (
            mask_to_grid((Y == 1).float()[:, None], F_s.shape[-2:], model.backbone.stride)
            for Y in labels
        )
        read_now = BatchTensors(F_q, F_s[:, None], G_q, G_s[:, None], labels[1], queries, supports)
        return torch.tensor(plain_update(read_now)["L"])

    def cached() -> Tensor:
        return torch.tensor(our_update(next(load_batches(cache, iter([batch]), 1)))["L"])

    plain_work, our_work = (_operations(way) for way in (uncached, cached))
    if how.compiled:  # only now: a compiled graph's operations are not counted
        torch.compiler.reset()
        our_update = update(how.dtype, compiled=True)
    apart = _apart(uncached(), cached())
    seconds = compare(uncached, cached, repeats, how.device)
    steps = len(pairs) / how.batch
    sizes = {
        "batch": how.batch,
        "pairs": len(pairs),
        "query_scales": list(model.config.query_scales),
        "arithmetic_allows": plain_work / our_work,
        "epochs_a_minute": 60 / seconds[1] / max(1, steps),
        "operations": our_work,
        "operations_a_second": our_work / seconds[1],
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    note = f"arithmetic allows {plain_work / our_work:.2f}; "
    note += f"{sizes['epochs_a_minute']:.2g} epochs a minute cached"
    return Row("training", f"training step, {name}{how}", *seconds, apart, sizes=sizes, note=note)


PAIRS = 6273  # of fold 0 in the released code's list: an epoch
EPOCH_SECONDS = 6.0  # of it that the project wants on one large GPU
H100_TFLOPS = 989  # bfloat16 without sparsity, from its data sheet


def epoch_row(row: Row) -> Row:
    """A paper-size step's row with what it means for an epoch of 6,273 pairs, on a GPU as well.

    Elsewhere than on a GPU the second half is an estimate, and says so: the operations of an epoch
    are counted, the rate at which a GPU does them is only asked for.
    """
    steps = PAIRS / row.sizes["batch"]
    work, seconds = steps * row.sizes["operations"] / 1e12, steps * row.our_seconds
    rate = work / EPOCH_SECONDS
    sizes = {**row.sizes, "epoch_seconds": seconds, "epoch_teraflop": work}
    note = (
        f"{row.note}; an epoch of {PAIRS:,} pairs: {_duration(seconds)} here ({work:,.0f} TFLOP); "
        f"estimate: {EPOCH_SECONDS:.0f} s take {rate:.0f} TFLOP/s, {rate / H100_TFLOPS:.0%} of an "
        "H100's peak in bfloat16"
    )
    return replace(row, sizes=sizes, note=note)


def _operations(way: Way) -> int:
    """Floating-point operations of matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        way()
    return counter.get_total_flops()


def paper_model() -> LTM:
    """The paper's network, its query at three scales, with random weights: speed needs no other."""
    torch.manual_seed(0)
    return LTM.paper(RELEASED.model_config.query_scales, backbone=ResNet50())


# 5: data ------------------------------------------------------------------------------------------


def data_rows(
    masks: VocFolder, pictures: VocFolder, count: int, repeats: int = 3, size: int = 321
) -> Iterator[Row]:
    """Throughput of reading and drawing, each against the plain way to write it.

    At most `count` masks and pictures are read; a tenth of it is drawn, at most 120 scenes.
    """
    names = masks.names("all")[:count]
    some = replace(masks, splits={"some": names})

    def class_by_class() -> np.ndarray:
        pixels = np.zeros((len(names), len(some.classes)), np.int64)
        for row, name in zip(pixels, names, strict=True):
            mask = read_mask(some.mask_path(name))
            for c in np.unique(mask):
                if 0 < c < VOID:
                    row[c - 1] = (mask == c).sum()
        return pixels

    ways = class_by_class, lambda: some.index("some").pixels
    yield _throughput("index", "masks", len(names), ways, repeats, "plain: np.unique, then ==")

    shown = pictures.names("all")[:count]

    def at_full_size() -> np.ndarray:
        means = []
        for name in shown:
            pixels = torch.from_numpy(np.array(pictures.image(name), np.float32) / 255)[None]
            square = F.interpolate(
                pixels.permute(0, 3, 1, 2), (size, size), mode="bilinear", antialias=True
            )
            means.append(square.mean().item())
        return np.array(means)

    def as_bytes() -> np.ndarray:
        return np.array([image_tensor(pictures.image(n), size).mean().item() for n in shown])

    what, note = f"decode + resize to {size}", "plain: to floats at full size first"
    yield _throughput(what, "pictures", len(shown), (at_full_size, as_bytes), repeats, note)

    drawn = min(120, max(2, count // 10))
    with tempfile.TemporaryDirectory() as folder:
        turn = itertools.count()

        def in_turn() -> np.ndarray:
            found = []
            for i in range(drawn):
                image, mask = draw_listed(0, 0, i, PRESETS["standard"])
                image.save(Path(folder) / f"{i}.jpg", quality=90)
                Image.fromarray(mask).save(Path(folder) / f"{i}.png")
                found.append(int(mask.sum()))
            return np.array(found)

        def generated() -> np.ndarray:
            root = Path(folder) / str(next(turn))
            made = VocFolder.open(generate(root, train=drawn, val=1, progress=False))
            return np.array([int(made.mask(name).sum()) for name in made.names("train")])

        ways, note = (in_turn, generated), "plain: one scene after another, one thread"
        yield _throughput("emoji5i drawn", "scenes", drawn, ways, repeats, note)


def _throughput(
    what: str, unit: str, count: int, ways: Sequence[Way], repeats: int, note: str
) -> Row:
    """A row about `count` things; the ways return an array to compare."""
    apart = _apart(*(torch.from_numpy(way()) for way in ways))
    seconds = compare(*ways, repeats if count < 5000 else 1)
    rate = count / seconds[1]
    sizes = {"count": count, "a_second": rate}
    note = f"{rate:,.0f} {unit} a second; {note}"
    return Row("data", f"{what}, {count:,} {unit}", *seconds, apart, sizes=sizes, note=note)


class _MaskFolder(VocFolder):
    """Masks alone, in any folder."""

    def mask_path(self, name: str) -> Path:
        """The mask's file."""
        return self.root / f"{name}.png"


def open_masks(folder: Path) -> VocFolder:
    """A folder of mask PNGs, or one in VOC's layout whose pictures may be missing.

    Raises:
        InputError: there are none.
    """
    for place in (folder / "SegmentationClassAug", folder / "SegmentationClass", folder):
        names = tuple(sorted(p.stem for p in place.glob("*.png")))
        if names:
            return _MaskFolder(place, tuple(map(str, range(1, 255))), {"all": names})
    raise InputError(f"{folder} holds no masks: --masks takes a folder of PNGs")


# 6: a GPU -----------------------------------------------------------------------------------------


def gpu_rows(
    sizes: Sequence[tuple[int, int]],
    dataset: VocFolder,
    how: How,
    repeats: int = 7,
    model: Callable[[], LTM] = paper_model,
    compiled: Sequence[bool] = (False, True),
    side: int = 8192,
) -> Iterator[Row]:
    """Attention, L_r and a training step on a GPU, in float32 and bfloat16, plain and compiled.

    A step is ours against the plain one in float32, on the same card in the same run. Beside it
    stands its share of what a product of two square matrices, `side` x `side`,
    reaches on the same card in the same arithmetic.
    """
    for dtype, through_compile in itertools.product((torch.float32, torch.bfloat16), compiled):
        now = replace(how, dtype=dtype, compiled=through_compile)
        for N, D in sizes:
            yield replace(attention_row(N, D, repeats, now), part="gpu")
            for backward in (False, True):
                yield replace(loss_row(N, D, backward, repeats, now), part="gpu")
        row = epoch_row(training_row(model(), dataset, "paper", repeats, now))
        rate = row.sizes["operations_a_second"]
        share = rate / _matmul_rate(now, side)
        yield replace(
            row,
            part="gpu",
            sizes={**row.sizes, "share_of_matmul": share},
            note=f"{row.note}; {rate / 1e12:.3g} TFLOP/s, {share:.0%} of a {side:,} matmul's",
        )


def _matmul_rate(how: How, side: int) -> float:
    """Floating-point operations a second of one large matrix product."""
    a = torch.randn(side, side, device=how.device, dtype=how.dtype)
    times = [_seconds(lambda: a @ a, how.device) for _ in range(6)]
    return 2 * side**3 / statistics.median(times[1:])


# The whole suite ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    N: tuple[int, ...] = (100, 225, 400, 900, 1681, 3600)  # pixels of a grid
    D: tuple[int, ...] = (256, 1000)  # channels of an embedding
    repeats: int = 7  # measured calls of each way
    episodes: int = 1000  # of the evaluation
    measured: int = 100  # of them, timed the public way
    files: int = 20_000  # read for the data rows, at most
    paper_batch: int = 2  # episodes of the paper-size step; 0 leaves it out


FULL = Sizes()
QUICK = Sizes((225, 1681), (256, 1000), 3, 40, 8, 200, 0)


def measure(
    sizes: Sizes = FULL,
    only: Sequence[str] = (),
    data: str = "emoji5i",
    masks: Path | None = None,
) -> Iterator[Row]:
    """Every row of the suite, as each is measured.

    Args:
        sizes: how much to measure.
        only: some of `PARTS`; all of them by default. "gpu" does nothing without one.
        data: "emoji5i" or a folder in VOC's layout.
        masks: a folder of mask PNGs for the index; the data's own by default.
    """
    wanted, grid = set(only or PARTS), list(itertools.product(sizes.N, sizes.D))
    folder = dataset = None
    if wanted - {"attention", "loss"}:  # what the user got wrong shows before an hour of measuring
        dataset = open_dataset(data, progress=False)
        folder = dataset if masks is None else open_masks(masks)
    if "attention" in wanted:
        yield from (attention_row(N, D, sizes.repeats) for N, D in grid)
    if "loss" in wanted:
        for (N, D), backward in itertools.product(grid, (False, True)):
            yield loss_row(N, D, backward, sizes.repeats)
    if dataset is None or folder is None:
        return
    recipe, few = recipe_for(data), min(3, sizes.repeats)
    torch.manual_seed(0)
    model = LTM(recipe.model())
    if "evaluation" in wanted:
        split = "val" if len(dataset.splits.get("val", ())) >= 200 else "all"
        yield evaluation_row(model, dataset, sizes.episodes, sizes.measured, split=split)
    if "training" in wanted:
        batch = recipe.training().batch
        yield training_row(model, dataset, "small", sizes.repeats, How(batch=batch))
        if sizes.paper_batch:
            how = How(batch=sizes.paper_batch)
            yield epoch_row(training_row(paper_model(), dataset, "paper", few, how))
    if "data" in wanted:
        yield from data_rows(folder, dataset, sizes.files, few)
    if "gpu" in wanted and torch.cuda.is_available():
        how = How("cuda", batch=24)
        yield from gpu_rows([(400, 1000), (1681, 1000), (3600, 256)], dataset, how, sizes.repeats)


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, memory, threads, versions; no names, no paths."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    unix = hasattr(os, "sysconf")
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if unix else None
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_GB": pages and round(pages / 1e9),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "load": round(os.getloadavg()[0], 1) if unix else None,
    }


def head(about: dict[str, Any], sizes: Sizes) -> str:
    """The lines over the table."""
    text = (
        "{processor}, {cores} cores, {memory_GB} GB, {threads} threads; GPU: {gpu}; {system}, "
        "Python {python}, torch {torch}, numpy {numpy}\n"
    ).format_map(about)
    text += (
        f"medians of at most {sizes.repeats} calls each, the two ways taking turns; times: how "
        "many times faster ours is; differ: of the two results"
    )
    if (about["load"] or 0) > 1.5 * (about["cores"] or 1):
        text += f"\nthe machine is busy (load {about['load']}): repeat this when nothing else runs"
    return text


def run(
    folder: Path,
    sizes: Sizes = FULL,
    only: Sequence[str] = (),
    data: str = "emoji5i",
    masks: Path | None = None,
) -> None:
    """Measure (see `measure`), print each row as it comes, write bench.json and bench.png."""
    from . import figures

    about, rows = machine(), []
    for row in measure(sizes, only, data, masks):
        if not rows:
            _make(folder)  # one that cannot be written shows now, not after the last row
            print(head(about, sizes), "", TITLES, sep="\n")
        rows.append(row)
        print(row, flush=True)
    if not rows:
        raise InputError("nothing to measure: --only gpu needs a GPU that torch can use")
    kept = [{**asdict(row), "ratio": row.ratio} for row in rows]
    found = {"machine": about, "sizes": asdict(sizes), "rows": kept}
    with written_whole(folder / "bench.json") as part:
        part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    with written_whole(folder / "bench.png") as part:
        figures.speed_report(rows).savefig(part, format="png")
    print(folder / "bench.json", folder / "bench.png", sep="\n")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from None


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1e3 * seconds:.2f} ms" if seconds < 0.1 else f"{1e3 * seconds:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds:.0f} s"
