"""The whole suite: which rows at which sizes, the machine they were measured on, two files."""

from __future__ import annotations

import itertools
import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..datasets import open_dataset
from ..datasets.voc import VocFolder
from ..model import LTM
from ..runs.recipes import recipe_for
from ..store.errors import InputError
from ..store.files import need_place, written_whole
from .files import data_rows, open_masks
from .measuring import TITLES, How, Row, seconds_of
from .scoring import evaluation_row, features_row, seeds_row
from .steps import epoch_row, paper_model, training_row
from .tensors import attention_row, loss_row

PARTS = ("attention", "loss", "features", "evaluation", "training", "data", "gpu")


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    N: tuple[int, ...] = (100, 225, 400, 900, 1681, 3600)  # pixels of a grid
    D: tuple[int, ...] = (256, 1000)  # channels of an embedding
    repeats: int = 7  # measured calls of each way
    images: int = 64  # of the frozen features
    episodes: int = 1000  # of the evaluation
    measured: int = 100  # of them, timed the public way
    files: int = 20_000  # masks of the index, at most
    paper_batch: int = 2  # episodes of the paper-size step; 0 leaves it out
    seed_episodes: int = 1000  # of each of five seeds
    seed_pictures: int = 100  # that these episodes are drawn from, at most


FULL = Sizes()
QUICK = Sizes((225, 1681), (256, 1000), 3, 16, 40, 8, 200, 0, 40, 20)


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
    reads = not wanted <= {"attention", "loss", "features"}
    if reads:  # a mistake of the user's shows before an hour of measuring
        dataset = open_dataset(data, progress=False)
        folder = dataset if masks is None else open_masks(masks)
    if "attention" in wanted:
        yield from (attention_row(N, D, sizes.repeats) for N, D in grid)
    if "loss" in wanted:
        for (N, D), backward in itertools.product(grid, (False, True)):
            yield loss_row(N, D, backward, sizes.repeats)
    few = min(3, sizes.repeats)
    if "features" in wanted:
        yield features_row(sizes.images, 321, few)
    if not reads:
        return
    recipe = recipe_for(data)
    torch.manual_seed(0)
    model = LTM(recipe.model_config)
    if "evaluation" in wanted:
        split = "val" if len(dataset.splits.get("val", ())) >= 200 else "all"
        yield evaluation_row(model, dataset, sizes.episodes, sizes.measured, split)
        yield seeds_row(model, dataset, sizes.seed_episodes, sizes.seed_pictures, split)
    if "training" in wanted:
        how = How(batch=recipe.training_config.batch)
        yield training_row(model, dataset, "small", sizes.repeats, how)
        if sizes.paper_batch:
            how = How(batch=sizes.paper_batch)
            yield epoch_row(training_row(paper_model(), dataset, "paper", few, how))
    if "data" in wanted:
        yield from data_rows(folder, sizes.files, few)
    if "gpu" in wanted and torch.cuda.is_available():
        how = How("cuda", batch=24)
        yield from gpu_rows([(400, 1000), (1681, 1000), (3600, 256)], dataset, how, sizes.repeats)


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

    A step is ours against the plain one in float32. Beside it stands its share of what a product
    of two square matrices, `side` x `side`, reaches on the same card in the same arithmetic; in
    float32 the product may use TF32, as torch's convolutions do.
    """
    for dtype, through_compile in itertools.product((torch.float32, torch.bfloat16), compiled):
        now = replace(how, dtype=dtype, compiled=through_compile)
        for N, D in sizes:
            yield replace(attention_row(N, D, repeats, now), part="gpu")
            for backward in (False, True):
                yield replace(loss_row(N, D, backward, repeats, now), part="gpu")
        row = epoch_row(training_row(model(), dataset, "paper", repeats, now), estimate=False)
        a = torch.randn(side, side, device=how.device, dtype=dtype)
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        times = [seconds_of(lambda a=a: a @ a, how.device) for _ in range(6)]
        torch.set_float32_matmul_precision(precision)
        rate = row.sizes["operations_a_second"]
        share = rate * float(np.median(times[1:])) / (2 * side**3)
        more = f"{rate / 1e12:.3g} TFLOP/s, {share:.0%} of a {side:,} matmul's"
        known = {**row.sizes, "share_of_matmul": share}
        yield replace(row, part="gpu", sizes=known, note=f"{row.note}; {more}")


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
        "medians of at most {repeats} calls each, the two ways taking turns; times: how many times "
        "faster ours is; differ: of the two results"
    ).format(**about, repeats=sizes.repeats)
    if (about["load"] or 0) > 1.5 * (about["cores"] or 1):
        text += f"\nthe machine is busy (load {about['load']}): repeat this when nothing else runs"
    return text


def run(
    folder: Path,
    sizes: Sizes = FULL,
    only: Sequence[str] = (),
    data: str = "emoji5i",
    masks: Path | None = None,
) -> list[Row]:
    """Measure (see `measure`), print each row as it comes, write bench.json."""
    need_place(folder / "bench.json")
    about, rows = machine(), []
    for row in measure(sizes, only, data, masks):
        if not rows:
            print(head(about, sizes), "", TITLES, sep="\n")
        rows.append(row)
        print(row, flush=True)
    if not rows:
        raise InputError("nothing to measure: the part gpu needs a GPU that torch can use")
    records = [{**asdict(row), "ratio": row.ratio} for row in rows]
    report = {"machine": about, "sizes": asdict(sizes), "rows": records}
    with written_whole(folder / "bench.json") as part:
        part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return rows
