"""The whole suite: which rows at which sizes, the machine they were measured on, two files."""

from __future__ import annotations

import itertools
import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..datasets import open_dataset
from ..model import LTM
from ..runs.recipes import recipe_for
from ..store.errors import InputError
from ..store.files import written_whole
from .files import data_rows, open_masks
from .gpu import gpu_rows
from .rows import TITLES, How, Row
from .scoring import evaluation_row, features_row
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
    files: int = 20_000  # read for the data rows, at most
    paper_batch: int = 2  # episodes of the paper-size step; 0 leaves it out


FULL = Sizes()

QUICK = Sizes((225, 1681), (256, 1000), 3, 16, 40, 8, 200, 0)


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
    if wanted - {
        "attention",
        "loss",
        "features",
    }:  # what the user got wrong shows before an hour of measuring
        dataset = open_dataset(data, progress=False)
        folder = dataset if masks is None else open_masks(masks)
    if "attention" in wanted:
        yield from (attention_row(N, D, sizes.repeats) for N, D in grid)
    if "loss" in wanted:
        for (N, D), backward in itertools.product(grid, (False, True)):
            yield loss_row(N, D, backward, sizes.repeats)
    if "features" in wanted:
        yield features_row(sizes.images, 321, min(3, sizes.repeats))
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
) -> list[Row]:
    """Measure (see `measure`), print each row as it comes, write bench.json."""
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
    return rows


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from None
