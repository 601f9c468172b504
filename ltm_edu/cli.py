"""The command line: the options of `ltm-edu`; what a command does is a module of `commands`.

That module is imported when its command is chosen: asking for help loads no torch.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

from .runs.stopping import Stopped, signals_stop
from .store.errors import InputError

_NOVEL_IMAGES = ("keep", "drop", "void")
_BENCH_PARTS = ("attention", "loss", "features", "evaluation", "training", "data", "gpu")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; whatever happens, one line says what.

    Returns:
        0; 1 if something failed that the user did not cause; 2 for a user's mistake; 128 and its
        number for a signal.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal may lack letters of a name
            stream.reconfigure(errors="backslashreplace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            options = _parser().parse_args(given)
        finally:
            sys.stdout.flush()  # of --help, while a closed pipe is still noticed
        options.command_line = "ltm-edu " + shlex.join(given)
        with signals_stop():
            status = import_module(f".commands.{options.command}", __package__).run(options) or 0
            sys.stdout.flush()
        return status
    except InputError as error:
        return _said(_in_options(error), 2)
    except FloatingPointError as error:
        return _said(str(error), 1)
    except Stopped as stop:
        return _said(_in_options(stop), 128 + stop.number)
    except KeyboardInterrupt:
        return _said("stopped", 130)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _said(f"{where}{error.strerror or error}", 2)
    except Exception as error:
        return _said(_reported(error, given), 1)


def _in_options(error: Exception) -> str:
    from .commands import in_options  # here: --help is faster without it

    return in_options(str(error))


def _said(line: str, status: int) -> int:
    """Print one line, whatever lines the text has, and return the exit status."""
    print(f"ltm-edu: {line.replace(chr(10), ' ')}", file=sys.stderr)
    return status


def _reported(error: Exception, given: Sequence[str]) -> str:
    """Write all that is known about an error that nobody foresaw to a file; a line about it."""
    handle, name = tempfile.mkstemp(prefix="ltm-edu-report-", suffix=".txt")
    with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"ltm-edu {shlex.join(given)}\nPython {sys.version}\n\n")
        file.writelines(traceback.format_exception(error))
    reason = (str(error).splitlines() or [""])[0][:200]
    return (
        f"{type(error).__name__}: {reason}. This is a fault of ltm-edu or of this machine, not of "
        f"your input; the full report is in {name}"
    )


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others are."""

    def error(self, message: str) -> NoReturn:
        """Raise what `main` prints."""
        raise InputError(f"{message} ({self.prog} --help lists what there is)")


def _path(text: str) -> Path:
    """A file or folder as an option names it; nothing would mean the folder that one is in."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} names no file or folder")
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "ltm-edu", description="Few-shot segmentation with the Local Transformation Module."
    )
    commands = parser.add_subparsers(
        dest="command",
        required=True,
        metavar="fetch | import | inspect | verify | train | evaluate | compare | results | "
        "predict | bench | assign | grade",
    )
    shared = argparse.ArgumentParser(add_help=False)
    add = shared.add_argument
    add("--data", default="emoji5i", help="emoji5i, pascal5i, or a folder in VOC's layout")
    text = "go on without the pictures that the lists name and that are missing; the scores say so"
    add("--available", action="store_true", help=text)
    text = "how much of a class a picture must show to be asked about: over 2 pixels of every 32nd "
    text += "in each direction (grid, the default), 2,048 pixels (area), or one (any)"
    add("--rule", choices=("grid", "area", "any"), default="grid", help=text)
    add("--cache", type=_path, help="folder for features (default: cache/ in the data folder)")
    add("--shots", type=int, default=1, help="supports in an episode (default: 1)")
    add("--device", help="default: the GPU, or the CPU where there is none")

    fetch = commands.add_parser("fetch", help="download a dataset, or put it together from files")
    add = fetch.add_argument
    add("dataset", help="pascal5i")
    text = "holds the archives, or a VOCdevkit with SegmentationClassAug"
    add("--from", dest="source", type=_path, metavar="DIR", help=text)
    text = "with --from: take a VOCdevkit that lacks some of the listed pictures"
    add("--available", action="store_true", help=text)
    text = "a folder with the archives, asked first; repeat for more"
    add("--mirror", action="append", default=[], metavar="URL", help=text)

    verify = commands.add_parser("verify", help="say what is missing or damaged in a dataset")
    add = verify.add_argument
    text = "pascal5i, emoji5i, or a folder in VOC's layout (default: pascal5i)"
    add("dataset", nargs="?", default="pascal5i", help=text)

    bring = commands.add_parser("import", help="make a dataset of annotated pictures of your own")
    kinds = bring.add_subparsers(dest="kind", required=True, metavar="coco | labelme | masks")
    into = argparse.ArgumentParser(add_help=False)
    add = into.add_argument
    add("--out", type=_path, required=True, metavar="SET", help="the new folder, in VOC's layout")
    text = "the part of the pictures for val (default: 0.2); each class is in both lists if it can"
    add("--val", type=float, default=0.2, metavar="PART", help=text)
    add("--seed", type=int, default=0, help="of the division into train and val")
    add("--overwrite", action="store_true", help="replace a folder that an import wrote")
    coco = kinds.add_parser("coco", parents=[into], help="COCO's instances: one JSON file")
    coco.add_argument("annotations", type=_path, metavar="ANN.json", help="COCO's file")
    coco.add_argument("--images", type=_path, required=True, metavar="DIR", help="the pictures")
    labelme = kinds.add_parser("labelme", parents=[into], help="labelme: a JSON file a picture")
    labelme.add_argument("folder", type=_path, metavar="DIR", help="JSON files and pictures")
    masks = kinds.add_parser("masks", parents=[into], help="pictures and masks of the same names")
    add = masks.add_argument
    add("images", type=_path, metavar="IMAGES", help="the folder of the pictures")
    add("masks", type=_path, metavar="MASKS", help="that of the masks: NAME.png or NAME_mask.png")
    text = "each mask marks one object: white, one colour, or what is not transparent"
    add("--binary", action="store_true", help=text)
    text = "the names of ids 1, 2, ...; or a file with a name a line"
    add("--classes", metavar="NAME,NAME", help=text)

    look = commands.add_parser(
        "inspect", help="show what a dataset holds, and what is wrong with it"
    )
    look.add_argument("dataset", help="emoji5i, pascal5i, or a folder in VOC's layout")
    look.add_argument("--sheet", type=_path, metavar="FILE", help="draw each class into this PNG")

    text = "Exit status 1: a fold had nothing to train on; the other folds are trained."
    train = commands.add_parser(
        "train", parents=[shared], help="train a fold on its base classes", epilog=text
    )
    add = train.add_mutually_exclusive_group().add_argument
    add("--fold", default="0", help="0, 1, 2, 3, several as in 1,2,3, or all four in turn: all")
    text = "instead of a fold: train on all classes but these"
    add("--novel", metavar="NAME,NAME", help=text)
    add("--all-classes", action="store_true", help="no fold: train on every class")
    add = train.add_argument
    text = "a further data set, its classes joined by name; a fold is then that of --data, and "
    text += "its novel classes are novel in all of them; repeat for more"
    add("--with", dest="also", action="append", default=[], metavar="DATA", help=text)
    add("--split", default="train", help="the list to train on, or all")
    add("--checkpoint", type=_path, help="where to write; {fold} is replaced by the fold")
    text = "a checkpoint whose weights the training starts from, and whose network it keeps unless "
    text += "--recipe names another; {fold} is replaced by the fold"
    add("--init", type=_path, metavar="CHECKPOINT", help=text)
    add("--transformation", metavar="NAME", help="local, the paper's, or another: global, ridge...")
    add("--rows", choices=("fg", "fg_bg"), help="mask rows of the transformation")
    add("--size", type=int, help="pictures are resized to this square")
    add("--steps", type=int, help="updates (default: the recipe's)")
    add("--seed", type=int, help="of the weights and of the episodes (default: the recipe's)")
    text = "training pictures that also show a novel class (default: the recipe's)"
    add("--novel-images", choices=_NOVEL_IMAGES, help=text)
    text = "emoji5i, photos, photographs, paper or tuned (default: emoji5i for it, else photos)"
    add("--recipe", help=text)
    text = "any other field of the recipe: batch=24, precision=bfloat16, lambda_r=0..."
    add("--set", action="append", default=[], metavar="FIELD=VALUE", help=text)
    text = "where features are kept: a memory-mapped file, memory, or the GPU's memory"
    add("--features", choices=("file", "memory", "device"), default="file", help=text)
    add("--workers", type=int, default=0, help="processes that gather batches")
    add("--compile", action="store_true", help="compile the update with torch.compile")
    exists = train.add_mutually_exclusive_group().add_argument
    text = "keep the run's state beside the checkpoint, and continue from it if it exists"
    exists("--resume", action="store_true", help=text)
    exists("--overwrite", action="store_true", help="replace a checkpoint that exists")
    add("--save-every", type=int, help="updates between two states (default: five minutes)")
    add("--tensorboard", type=_path, help="also write learning curves to this folder")

    text = "Exit status 1: a fold had no episodes; the other folds are scored and written."
    score = commands.add_parser(
        "evaluate", parents=[shared], help="score checkpoints on novel classes", epilog=text
    )
    add = score.add_mutually_exclusive_group().add_argument
    add(
        "--fold",
        default="0",
        help="0, 1, 2, 3, several as in 1,2,3, or all four and their mean: all",
    )
    add("--novel", metavar="NAME,NAME", help="instead of a fold: ask about these classes")
    text = "no fold: ask about every class, trained on or not; that is no few-shot score"
    add("--all-classes", action="store_true", help=text)
    add = score.add_argument
    add("--split", default="val", help="the list to score on, or all")
    text = "repeat for more; {fold} is replaced by the fold"
    add("--checkpoint", action="append", default=[], help=text)
    add("--episodes", type=int, default=1000, help="of each fold and seed (default: 1000)")
    text = "of the episodes; repeat for more (default: 0, 1, 2, 3 and 4)"
    add("--seed", type=int, action="append", help=text)
    text = "also score checkpoints with the query at these sizes, in rows of their own"
    add("--query-scales", metavar="0.7,1,1.3", help=text)
    text = "also score checkpoints after DenseCRF and a median filter, in rows of their own"
    add("--crf", action="store_true", help=text)
    add(
        "--episode-lists",
        metavar="FILES",
        help="read the episodes from these files, {fold} and {seed} replaced by their numbers; "
        "missing files are drawn and written",
    )
    add("--json", type=_path, help="write the results here")

    text = "Exit status 1: a fold had no episodes, or nothing to train on; the other folds are "
    text += "compared and written."
    league = commands.add_parser(
        "compare",
        parents=[shared],
        help="score all transformations on the same episodes",
        epilog=text,
    )
    add = league.add_mutually_exclusive_group().add_argument
    add("--fold", default="0", help="0, 1, 2, 3, several as in 1,2,3, or all")
    add("--novel", metavar="NAME,NAME", help="instead of a fold: ask about these classes")
    add = league.add_argument
    add("--split", default="val", help="the list to score on, or all")
    text = "a transformation, or one with two mask rows as in local:fg_bg; repeat for more; the "
    text += "others are compared with the first (default: all)"
    add("--method", action="append", default=[], metavar="NAME[:ROWS]", help=text)
    add("--episodes", type=int, default=1000, help="of each fold and seed (default: 1000)")
    add("--seed", type=int, action="append", help="of the episodes; repeat for more (default: 0)")
    text = "also train each of them in the recipe's network; N times, from N seeds"
    add("--train", type=int, nargs="?", const=1, default=0, metavar="N", help=text)
    add("--recipe", help="the network and its training (default: the one of the data)")
    text = "with --train: what to do with pictures that also show a novel class"
    add("--novel-images", choices=_NOVEL_IMAGES, help=f"{text} (default: the recipe's)")
    text = "any field of the recipe: steps=400, features=64..."
    add("--set", action="append", default=[], metavar="FIELD=VALUE", help=text)
    add("--json", type=_path, help="write the league here")
    add("--png", type=_path, help="draw the differences into this file")

    table = commands.add_parser("results", help="our scores beside the paper's, fold by fold")
    table.add_argument("files", type=_path, nargs="+", help="what evaluate --json wrote")
    table.add_argument("--png", type=_path, help="draw the IoU of each class into this file")

    segment = commands.add_parser("predict", help="segment your own pictures")
    add = segment.add_argument
    text = "a checkpoint's file, or the name of one that comes with the course"
    add("--checkpoint", default="photographs", help=f"{text} (default: photographs)")
    text = "pictures to search, or folders of pictures"
    add("--query", type=_path, nargs="+", required=True, help=text)
    text = "a picture and its mask, or NAME=PICTURE,MASK of several classes; repeat for more"
    metavar = ("PICTURE", "MASK")
    add("--support", nargs="+", action="append", metavar=metavar, help=text)
    text = "a folder of pictures with masks: that of a.jpg is a_mask.png or masks/a.png, and a "
    text += "subfolder is a class of that name; pictures without a mask are left out"
    add("--support-dir", type=_path, metavar="DIR", help=text)
    add("--class-id", type=int, help="the value in the masks that is the object")
    add("--out", type=_path, default=Path("predictions"), help="folder to write to")
    text = "several as in png,labelme,coco (default: png, a mask and an overlay)"
    add("--format", default="png", help=text)
    text = "a pixel of a higher probability is in the mask (default: 0.5)"
    add("--threshold", type=float, default=0.5, help=text)
    text = "a picture with less presence gets an empty mask (default: %(default)s)"
    add("--min-presence", type=float, default=0.5, help=text)
    text = "leave out connected pieces of fewer pixels"
    add("--min-area", type=int, default=0, metavar="PIXELS", help=text)
    text = "remove the dotted fringe of masks (default: yes)"
    add("--smooth", action=argparse.BooleanOptionalAction, default=True, help=text)
    text = "also look at overlapping parts of each query, for small objects; takes far longer"
    add("--tile", action="store_true", help=text)
    add("--device", help="default: the GPU, or the CPU where there is none")
    add("--overwrite", action="store_true", help="replace results that are there")

    speed = commands.add_parser("bench", help="measure how much faster the fast paths are here")
    add = speed.add_argument
    add("--quick", action="store_true", help="small sizes, a minute or two")
    add("--only", action="append", choices=_BENCH_PARTS, help="one part; repeat for more")
    add("--data", default="emoji5i", help="emoji5i, pascal5i, or a folder in VOC's layout")
    add("--masks", type=_path, help="a folder of mask PNGs (default: those of --data)")
    add("--out", type=_path, help="folder for bench.json and bench.png (default: bench/ in data)")

    text = "Hand out what is in DIR/release, keep DIR/teacher.json, and collect in DIR/submitted."
    hand_out = commands.add_parser(
        "assign", help="write student copies of notebooks, without outputs", epilog=text
    )
    add = hand_out.add_argument
    add("numbers", nargs="+", metavar="NOTEBOOK", help="its number, as in 03")
    text = "the class's folder; a class that is there gets further notebooks"
    add("--out", type=_path, required=True, metavar="DIR", help=text)
    text = "of the random inputs that the class sees, 1 to 1,000,000,000 (default: drawn)"
    add("--seed", type=int, help=text)
    text = "the course's notebooks (default: those of the checkout)"
    add("--notebooks", type=_path, metavar="FOLDER", help=text)
    add("--overwrite", action="store_true", help="replace copies that are there")

    text = "SUBMISSIONS holds STUDENT/NOTEBOOK/NOTEBOOK.ipynb, STUDENT/NOTEBOOK.ipynb or "
    text += "STUDENT.ipynb. Exit status 1: some of them could not be read; the others are graded."
    mark = commands.add_parser("grade", help="examine what students have handed in", epilog=text)
    add = mark.add_argument
    add("submissions", type=_path, metavar="SUBMISSIONS", help="a folder with one entry a student")
    text = "the new folder: results.csv, index.html, and a page for each student"
    add("--out", type=_path, required=True, metavar="DIR", help=text)
    text = "the teacher's file (default: teacher.json beside SUBMISSIONS)"
    add("--class", dest="group", type=_path, metavar="FILE", help=text)
    add("--seconds", type=float, default=20.0, help="for each exercise (default: 20)")
    text = "for each exercise, beside the libraries (default: 2048)"
    add("--memory", type=int, default=2048, metavar="MIB", help=text)
    text = "go on where the system does not offer every protection; the pages say which are missing"
    add("--trust", action="store_true", help=text)
    add("--overwrite", action="store_true", help="replace results that are there")
    return parser
