r"""A rehearsal of the PASCAL-5i experiment: its size and its masks, without its photographs.

For every mask of a folder, a picture is drawn in which each class has its own texture. Then the
commands that a user types run on these pictures: they index the masks, cache the features, train
four folds (the first run is killed halfway and resumes) and evaluate with one shot and with five.
The rehearsal measures time and memory, and it shows that every command works at that size. Its
scores tell how well the model separates textures. They say nothing about PASCAL-5i.

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
from ltm_edu.datasets.voc import (
    MASKS,
    PICTURES,
    VOC_CLASSES,
    make_folders,
    write_picture,
    write_texts,
)
from ltm_edu.store.errors import InputError
from ltm_edu.store.files import data_dir, made_whole, written_whole
from ltm_edu.store.pictures import VOID, read_mask

from . import tool

CLI = (sys.executable, "-m", "ltm_edu")


def texture(mask: np.ndarray, seed: int) -> np.ndarray:
    """Draw a picture for a mask: stripes whose colours, width and angle depend on the class.

    Args:
        mask: (H, W) uint8, 0 for background and 255 for void.
        seed: seed of the background, the noise and the small differences between pictures.

    Returns:
        The picture, (H, W, 3) uint8.
    """
    rng = np.random.default_rng(seed)
    height, width = mask.shape
    small = Image.fromarray(rng.integers(60, 200, (6, 8, 3), dtype=np.uint8))
    picture = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for c in np.unique(mask[(mask > 0) & (mask != VOID)]):
        class_rng = np.random.default_rng(int(c))
        colours = class_rng.integers(0, 256, (2, 3))
        angle = class_rng.uniform(0, np.pi) + rng.normal(0, 0.1)
        period = class_rng.uniform(8, 40) * rng.uniform(0.8, 1.25)
        wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period) > 0
        inside = mask == c
        picture[inside] = colours[wave[inside].astype(int)] * rng.uniform(0.7, 1.1)
    noisy = picture + rng.normal(0, 12, picture.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def draw(root: Path, masks: Path, lists: dict[str, Path], progress: bool = True) -> int:
    """Write a folder in VOC's layout: the masks, the lists, and a drawn picture for each mask.

    Args:
        root: the folder to write; an existing folder is not changed.
        masks: the folder of the masks.
        lists: for each split ("train", "val"), a text file of mask names.
        progress: show a progress bar.

    Returns:
        The number of pictures in the folder.

    Raises:
        InputError: a list is missing, or a list names a missing mask.
    """
    if root.is_dir():
        return len(list((root / PICTURES).iterdir()))
    names = {}
    for split, path in lists.items():
        if not path.is_file():
            raise InputError(f"{path} does not exist: give the list of {split} pictures")
        names[split] = read_list(path).names
    all_names = sorted(set().union(*names.values()))
    with made_whole(root) as part:
        make_folders(part)
        write_texts(part, VOC_CLASSES, names, {})

        def draw_one(i: int) -> None:
            source = masks / f"{all_names[i]}.png"
            picture = Image.fromarray(texture(read_mask(source), i))
            write_picture(part, all_names[i], picture, quality=85)
            shutil.copyfile(source, part / MASKS / f"{all_names[i]}.png")

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            drawing = pool.map(draw_one, range(len(all_names)))
            for _ in tqdm(drawing, "pictures", len(all_names), unit="image", disable=not progress):
                pass
    return len(all_names)


def measure(*arguments: object, kill_at: tuple[Path, int] | None = None) -> dict:
    """Run a command of `ltm-edu` in a new process, and measure it.

    Args:
        arguments: the command's arguments, after `ltm-edu`.
        kill_at: a log file and a number of lines; the process is killed when the log has so many.

    Returns:
        "command", "seconds", "peak_gb" (peak memory in GB, None where the system does not tell
        it) and "killed" (whether the process was killed).

    Raises:
        InputError: the command failed.
    """
    words = [str(a) for a in arguments]
    start = time.perf_counter()
    process = subprocess.Popen([*CLI, *words])
    killed = False
    while kill_at and process.poll() is None and not killed:
        time.sleep(0.05)
        log, lines = kill_at
        if log.is_file() and len(log.read_text(encoding="utf-8").splitlines()) >= lines:
            process.kill()
            killed = True
    peak = None
    if process.returncode is None and hasattr(os, "wait4"):  # Windows has no wait4
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = round(usage.ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6), 2)
    process.wait()
    if process.returncode and not killed:
        command, status = f"ltm-edu {' '.join(words)}", process.returncode
        raise InputError(f"{command} failed with status {status}: its own message is above")
    return {
        "command": "ltm-edu " + " ".join(words).replace(str(data_dir()), "$LTM_EDU_DATA"),
        "seconds": round(time.perf_counter() - start, 1),
        "peak_gb": peak,
        "killed": killed,
    }


def rehearse(
    root: Path, runs: Path, steps: int, episodes: int, seeds: Sequence[int], options: Sequence[str]
) -> dict:
    """Train and evaluate all four folds, and measure each command.

    Args:
        root: a folder in VOC's layout.
        runs: the folder for checkpoints, logs and results.
        steps: updates of each fold.
        episodes: test episodes of each fold and seed.
        seeds: seeds of the lists of episodes.
        options: more options for `ltm-edu train`.

    Returns:
        "stages" (what `measure` returned for each), "results" of the evaluations, "steps" and
        "episodes".

    Raises:
        InputError: a command failed, or a training log does not hold every step once.
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
            stages["train fold 0, killed"] = measure(*train, kill_at=(log, steps // 2))
        stages[f"train fold {fold}"] = measure(*train)
        lines = log.read_text(encoding="utf-8").splitlines()
        if [json.loads(line)["step"] for line in lines] != list(range(1, steps + 1)):
            raise InputError(
                f"{log} does not hold the steps 1 to {steps} once each: delete the folder {runs} "
                "and run the rehearsal again"
            )
    results = {}
    for shots in (1, 5):
        scores = runs / f"results_{shots}shot.json"
        evaluate = ("evaluate", "--data", root, "--fold", "all", "--shots", shots, "--json", scores)
        evaluate += ("--checkpoint", runs / "fold{fold}.pt", "--episodes", episodes)
        evaluate += tuple(part for seed in seeds for part in ("--seed", seed))
        stages[f"evaluate, {shots}-shot"] = measure(*evaluate)
        if shots == 1:
            stages["the same again, features kept"] = measure(*evaluate)
        results[f"{shots}-shot"] = json.loads(scores.read_text(encoding="utf-8"))
    return {"steps": steps, "episodes": episodes, "stages": stages, "results": results}


@tool("tools.rehearsal")
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the rehearsal. An error prints one line and gives exit status 2."""
    parser = argparse.ArgumentParser("python -m tools.rehearsal", description=rehearse.__doc__)
    parser.add_argument("--masks", type=Path, required=True, help="the folder of the mask PNGs")
    parser.add_argument("--train", type=Path, required=True, help="the list of training names")
    parser.add_argument("--val", type=Path, required=True, help="the list of test names")
    parser.add_argument("--out", type=Path, default=Path("rehearsal.json"), help="write here")
    parser.add_argument("--steps", type=int, default=100, help="updates of each fold")
    parser.add_argument("--episodes", type=int, default=1000, help="of each fold and seed")
    parser.add_argument(
        "--seed", type=int, action="append", help="of the episodes; may be repeated"
    )
    parser.epilog = "Other options go to `ltm-edu train`, as in --recipe paper --features device."
    options, train_options = parser.parse_known_args(arguments)
    root = data_dir() / "rehearsal"
    start = time.perf_counter()
    count = draw(root, options.masks, {"train": options.train, "val": options.val})
    drawing_seconds = time.perf_counter() - start
    record = rehearse(
        root,
        data_dir() / "rehearsal_runs",
        options.steps,
        options.episodes,
        options.seed or [0],
        train_options,
    )
    about = {
        "what": "textures drawn under real masks; the scores say nothing about PASCAL-5i",
        "pictures": count,
        "seconds to draw them": round(drawing_seconds, 1),
        "machine": machine(),
    }
    with written_whole(options.out) as part:
        part.write_text(json.dumps({**about, **record}, indent=1) + "\n", encoding="utf-8")
    print(options.out)


if __name__ == "__main__":
    sys.exit(main())
