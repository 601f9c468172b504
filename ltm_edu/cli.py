"""The command line: the options of `ltm-edu`; what a command does is a module of `commands`.

That module is imported when its command is chosen: asking for help loads no torch.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from .store.errors import InputError

_BENCH_PARTS = ("attention", "loss", "features", "evaluation", "training", "data", "gpu")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a user's mistake prints one line and gives exit status 2."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    options.command_line = "ltm-edu " + shlex.join(given)
    try:
        import_module(f".commands.{options.command}", __package__).run(options)
    except InputError as error:
        print(f"ltm-edu: {error}", file=sys.stderr)
        return 2
    except FloatingPointError as error:
        print(f"ltm-edu: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ltm-edu: stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "ltm-edu", description="Few-shot segmentation with the Local Transformation Module."
    )
    tasks = parser.add_subparsers(
        required=True, metavar="fetch | verify | train | evaluate | results | predict | bench"
    )

    get = tasks.add_parser("fetch", help="download a dataset, or put it together from files")
    get.add_argument("dataset", help="pascal5i")
    get.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="DIR",
        help="holds the archives, or a VOCdevkit with SegmentationClassAug",
    )
    get.add_argument(
        "--mirror",
        action="append",
        default=[],
        metavar="URL",
        help="a folder with the archives, asked first; repeat for more",
    )
    get.set_defaults(command="fetch")

    look = tasks.add_parser("verify", help="say what is missing or broken in a dataset")
    look.add_argument("dataset", nargs="?", default="pascal5i", help="or a folder in VOC's layout")
    look.set_defaults(command="verify")

    train = tasks.add_parser("train", help="train a fold on its base classes")
    _add_data(train)
    train.add_argument("--fold", default="0", help="0, 1, 2, 3, or all four in turn: all")
    train.add_argument("--all-classes", action="store_true", help="no fold: train on every class")
    train.add_argument("--split", default="train", help="the list to train on, or all")
    train.add_argument("--checkpoint", type=Path, help="where to write; {fold} is filled in")
    train.add_argument("--transformation", choices=("local", "global"))
    train.add_argument("--rows", choices=("fg", "fg_bg"), help="mask rows of the transformation")
    train.add_argument("--size", type=int, help="pictures are resized to this square")
    train.add_argument("--steps", type=int)
    train.add_argument("--seed", type=int)
    train.add_argument("--shots", type=int, default=1)
    train.add_argument("--novel-images", choices=("keep", "drop"))
    train.add_argument(
        "--recipe",
        help="emoji5i, photos, paper or tuned (default: emoji5i for it, photos for the rest)",
    )
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="any other field of the recipe: batch=24, precision=bfloat16, lambda_r=0...",
    )
    train.add_argument("--device", help="default: the GPU, or the CPU where there is none")
    train.add_argument(
        "--features",
        choices=("file", "memory", "device"),
        default="file",
        help="where features are kept: a memory-mapped file, memory, or the GPU's memory",
    )
    train.add_argument("--workers", type=int, default=0, help="processes that gather batches")
    train.add_argument("--compile", action="store_true", help="let torch.compile make the update")
    train.add_argument(
        "--resume",
        action="store_true",
        help="keep the run's state beside the checkpoint, and go on from it if it is there",
    )
    train.add_argument(
        "--save-every", type=int, help="updates between two states (default: five minutes)"
    )
    train.add_argument("--tensorboard", type=Path, help="also write learning curves to this folder")
    train.set_defaults(command="train")

    score = tasks.add_parser("evaluate", help="score checkpoints on novel classes")
    _add_data(score)
    score.add_argument("--fold", default="0", help="0, 1, 2, 3, or the mean of the four: all")
    score.add_argument("--split", default="val", help="the list to score on, or all")
    score.add_argument(
        "--checkpoint", action="append", default=[], help="repeat for more; {fold} is filled in"
    )
    score.add_argument("--shots", type=int, default=1)
    score.add_argument("--episodes", type=int, default=1000)
    score.add_argument("--seed", type=int, action="append", help="of the episodes; repeat for more")
    score.add_argument(
        "--query-scales",
        metavar="0.7,1,1.3",
        help="also score checkpoints with the query at these sizes, in rows of their own",
    )
    score.add_argument(
        "--crf",
        action="store_true",
        help="also score checkpoints after DenseCRF and a median filter, in rows of their own",
    )
    score.add_argument(
        "--episode-lists",
        metavar="FILES",
        help="read the episodes from these files, with {fold} and {seed} filled in; a file that is "
        "not there is drawn and written",
    )
    score.add_argument("--json", type=Path, help="write the results here")
    score.add_argument("--device", help="default: the GPU, or the CPU where there is none")
    score.set_defaults(command="evaluate")

    table = tasks.add_parser("results", help="our scores beside the paper's, fold by fold")
    table.add_argument("files", type=Path, nargs="+", help="what evaluate --json wrote")
    table.add_argument("--png", type=Path, help="draw the IoU of each class into this file")
    table.set_defaults(command="results")

    segment = tasks.add_parser("predict", help="segment your own pictures")
    segment.add_argument("--checkpoint", type=Path, required=True)
    segment.add_argument("--query", type=Path, nargs="+", required=True, help="pictures to search")
    segment.add_argument(
        "--support", type=Path, nargs=2, action="append", required=True, metavar=("PICTURE", "MASK")
    )
    segment.add_argument("--class-id", type=int, help="the value in the masks that is the object")
    segment.add_argument("--out", type=Path, default=Path("predictions"), help="folder to write to")
    segment.set_defaults(command="predict")

    speed = tasks.add_parser("bench", help="measure how much faster the fast paths are here")
    speed.add_argument("--quick", action="store_true", help="small sizes, a minute or two")
    speed.add_argument("--only", action="append", choices=_BENCH_PARTS, help="repeat for more")
    speed.add_argument("--data", default="emoji5i", help="emoji5i, or a folder in VOC's layout")
    speed.add_argument("--masks", type=Path, help="a folder of mask PNGs; else data's")
    speed.add_argument(
        "--out", type=Path, help="folder for bench.json and bench.png (default: bench/ in data)"
    )
    speed.set_defaults(command="bench")
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", default="emoji5i", help="emoji5i, pascal5i, or a folder in VOC's layout"
    )
    parser.add_argument("--rule", choices=("grid", "area", "any"), default="grid")
    parser.add_argument(
        "--cache",
        type=Path,
        help="keep features between runs in this folder (default: cache/ in the data folder)",
    )
