r"""A dress rehearsal: PASCAL-5i's size and masks, without its photographs.

Under every mask of a folder a picture is drawn, each class a texture of its own, and the commands
that a user would type run on all of them: index, feature cache, four folds of training (the first
is killed halfway and goes on), evaluation with one shot and with five. What it measures is time,
memory and whether it all holds at that size. Its scores say how well textures are told apart, and
nothing about PASCAL-5i.

    python -m tools.rehearsal --masks SegmentationClassAug --train trainaug.txt --val val.txt \
        --out rehearsal.json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from ltm_edu.bench import machine
from ltm_edu.datasets.name_lists import read_list
from ltm_edu.store.errors import InputError
from ltm_edu.store.files import data_dir, made_whole, written_whole
from ltm_edu.store.pictures import VOID, read_mask

_CLI = (sys.executable, "-m", "ltm_edu")


def texture(mask: np.ndarray, seed: int) -> np.ndarray:
    """A picture under a mask: stripes whose colour, width and angle belong to the class.

    Args:
        mask: (H, W) uint8, 0 background, 255 void.
        seed: of the background and of what varies from picture to picture.

    Returns:
        (H, W, 3) uint8.
    """
    rng = np.random.default_rng(seed)
    height, width = mask.shape
    small = Image.fromarray(rng.integers(60, 200, (6, 8, 3), dtype=np.uint8))
    picture = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for c in np.unique(mask[(mask > 0) & (mask != VOID)]):
        of_class = np.random.default_rng(int(c))
        colours = of_class.integers(0, 256, (2, 3))
        angle = of_class.uniform(0, np.pi) + rng.normal(0, 0.1)
        period = of_class.uniform(8, 40) * rng.uniform(0.8, 1.25)
        wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period) > 0
        inside = mask == c
        picture[inside] = colours[wave[inside].astype(int)] * rng.uniform(0.7, 1.1)
    noisy = picture + rng.normal(0, 12, picture.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def draw(root: Path, masks: Path, lists: dict[str, Path], progress: bool = True) -> int:
    """Fill a folder in VOC's layout with masks, their lists, and pictures under the masks.

    Args:
        root: the folder to make; left alone if it is there.
        masks: folder of the masks.
        lists: list name ("train", "val") to a file of names.

    Returns:
        How many pictures there are.

    Raises:
        InputError: a list is missing, or names a mask that is.
    """
    if root.is_dir():
        return len(list((root / "JPEGImages").iterdir()))
    names = {}
    for split, path in lists.items():
        if not path.is_file():
            raise InputError(f"{path} is not there: give the list of {split} pictures")
        names[split] = read_list(path).names
    every = sorted(set().union(*names.values()))
    with made_whole(root) as part:
        for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
            (part / folder).mkdir(parents=True)
        for split, listed in names.items():
            listing = "".join(f"{n}\n" for n in listed)
            target = part / "ImageSets/Segmentation" / f"{split}.txt"
            target.write_text(listing, encoding="utf-8")

        def one(i: int) -> None:
            source = masks / f"{every[i]}.png"
            picture = Image.fromarray(texture(read_mask(source), i))
            picture.save(part / "JPEGImages" / f"{every[i]}.jpg", quality=85)
            shutil.copyfile(source, part / "SegmentationClass" / f"{every[i]}.png")

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            todo = pool.map(one, range(len(every)))
            for _ in tqdm(todo, "pictures", len(every), unit="image", disable=not progress):
                pass
    return len(every)


def measured(*arguments: object, kill_at: tuple[Path, int] | None = None) -> dict:
    """Run a command of `ltm-edu` as a process of its own.

    Args:
        arguments: after `ltm-edu`.
        kill_at: a log and a number of lines after which the process is killed.

    Returns:
        The command, seconds, peak memory in GB where the system tells, whether it was killed.

    Raises:
        InputError: the command failed.
    """
    given = [str(a) for a in arguments]
    start = time.perf_counter()
    process = subprocess.Popen([*_CLI, *given])
    killed = False
    while kill_at and process.poll() is None and not killed:
        time.sleep(0.2)
        log, lines = kill_at
        if log.is_file() and len(log.read_text(encoding="utf-8").splitlines()) >= lines:
            process.kill()
            killed = True
    peak = None
    if process.returncode is None and hasattr(os, "wait4"):  # Windows has none
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = round(usage.ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6), 2)
    process.wait()
    if process.returncode and not killed:
        raise InputError(f"ltm-edu {' '.join(given)} ended with status {process.returncode}")
    return {
        "command": "ltm-edu " + " ".join(given).replace(str(data_dir()), "$LTM_EDU_DATA"),
        "seconds": round(time.perf_counter() - start, 1),
        "peak_gb": peak,
        "killed": killed,
    }


def rehearse(
    root: Path, runs: Path, steps: int, episodes: int, seeds: Sequence[int], options: Sequence[str]
) -> dict:
    """All four folds from index to scores.

    Args:
        root: a folder in VOC's layout.
        runs: where checkpoints, logs and results go.
        steps: updates a fold.
        episodes: test episodes a fold and a seed.
        seeds: of the episodes.
        options: further options of `ltm-edu train`.

    Returns:
        Stages with seconds and memory, and the results of the evaluations.
    """
    runs.mkdir(parents=True, exist_ok=True)
    stages = {}
    for fold in range(4):
        path = runs / f"fold{fold}.pt"
        log = path.with_suffix(".jsonl")
        train = ("train", "--data", root, "--fold", fold, "--checkpoint", path, "--steps", steps)
        train += ("--resume", "--save-every", max(1, steps // 10), *options)
        if fold == 0:
            log.unlink(missing_ok=True)
            stages["train fold 0, killed"] = measured(*train, kill_at=(log, steps // 2))
        stages[f"train fold {fold}"] = measured(*train)
        rows = [json.loads(line)["step"] for line in log.read_text(encoding="utf-8").splitlines()]
        if rows != list(range(1, steps + 1)):
            raise InputError(f"{log} has {len(rows)} rows where {steps} steps were asked for")
    results = {}
    for shots in (1, 5):
        kept = runs / f"results_{shots}shot.json"
        score = ("evaluate", "--data", root, "--fold", "all", "--shots", shots, "--json", kept)
        score += ("--checkpoint", runs / "fold{fold}.pt", "--episodes", episodes)
        score += tuple(part for seed in seeds for part in ("--seed", seed))
        stages[f"evaluate, {shots}-shot"] = measured(*score)
        if shots == 1:
            stages["the same again, features kept"] = measured(*score)
        results[f"{shots}-shot"] = json.loads(kept.read_text(encoding="utf-8"))
    return {"steps": steps, "episodes": episodes, "stages": stages, "results": results}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rehearsal; a user's mistake prints one line and gives exit status 2."""
    parser = argparse.ArgumentParser("python -m tools.rehearsal", description=rehearse.__doc__)
    parser.add_argument("--masks", type=Path, required=True, help="folder of mask PNGs")
    parser.add_argument("--train", type=Path, required=True, help="list of training names")
    parser.add_argument("--val", type=Path, required=True, help="list of test names")
    parser.add_argument("--out", type=Path, default=Path("rehearsal.json"))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--seed", type=int, action="append", help="of the episodes")
    parser.epilog = "Further options go to `ltm-edu train`, as in --recipe paper --features device."
    options, further = parser.parse_known_args(arguments)
    root = data_dir() / "rehearsal"
    try:
        start = time.perf_counter()
        count = draw(root, options.masks, {"train": options.train, "val": options.val})
        drawn = time.perf_counter() - start
        found = rehearse(
            root,
            data_dir() / "rehearsal_runs",
            options.steps,
            options.episodes,
            options.seed or [0],
            further,
        )
        about = {
            "what": "textures drawn under real masks; the scores say nothing about PASCAL-5i",
            "pictures": count,
            "seconds to draw them": round(drawn, 1),
            "machine": machine(),
        }
        with written_whole(options.out) as part:
            part.write_text(json.dumps({**about, **found}, indent=1) + "\n", encoding="utf-8")
    except InputError as error:
        print(f"ltm-edu: {error}", file=sys.stderr)
        return 2
    print(options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
