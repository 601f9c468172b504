"""The common part of all imports: pictures with outlines or masks become a folder in VOC's layout.

What cannot be used is left out, a line each in `Imported.problems` and in the folder's IMPORT.txt.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..store.errors import InputError
from ..store.files import at_home, made_whole, read_bytes, writing
from ..store.pictures import VOID, checked_size, open_picture, plain_kind, read_image, turn_of
from .voc import PICTURES, lines_of, make_folders, write_mask, write_picture, write_texts

_ABOUT = "IMPORT.txt"
BACKGROUND = "_background_"
"""The label of what is cut out of the objects below it, in labelme's words."""
_ENOUGH = 2  # pictures of a class in a list: a query and its support


@dataclass(frozen=True)
class Scene:
    """A picture to import.

    Attributes:
        name: what it is called in the new folder.
        picture: its file, or the content of one.
        place: where it is described, for an error.
        label: given the width and height of the picture as a viewer shows it, the class ids of its
            pixels, (H, W) uint8; raises InputError if they cannot be drawn.
    """

    name: str
    picture: Path | bytes
    place: str
    label: Callable[[tuple[int, int]], np.ndarray]


@dataclass(frozen=True)
class Thing:
    """An object in an annotation file.

    Attributes:
        place: the file and the annotation, for an error.
        label: the name of its class; `BACKGROUND`, or None for void.
        draw: given the (H, W) of the picture, its pixels, (H, W) bool; raises ValueError.
        area: in pixels, about.
    """

    place: str
    label: str | None
    draw: Callable[[tuple[int, int]], np.ndarray]
    area: float = 0


@dataclass(frozen=True)
class Imported:
    """A finished import.

    Attributes:
        root: the new folder.
        problems: what was left out, a line each.
    """

    root: Path
    problems: list[str]


@dataclass(frozen=True)
class Target:
    """Where an import goes, and how.

    Attributes:
        root: the new folder.
        share: the part of the pictures that goes to val, 0 to 1; the others go to train. A class of
            two or more pictures is in both lists if both exist, one of four or more twice in each.
        seed: of the random choice.
        overwrite: replace a folder that an earlier import wrote.
        progress: show a bar.
        finish: called with the complete folder before it gets its name, to add to it.
    """

    root: Path
    share: float = 0.2
    seed: int = 0
    overwrite: bool = False
    progress: bool = True
    finish: Callable[[Path], None] | None = None

    @property
    def folder(self) -> Path:
        """The new folder, without links."""
        return at_home(self.root).resolve()

    def check(self, *sources: Path) -> None:
        """Check that the folder can be written, before anything is read.

        Raises:
            InputError: it exists and must not be replaced, or a source is in it; or the share or
                the seed is out of range.
        """
        if not 0 <= self.share <= 1:
            raise InputError(f"share={self.share}: choose a part of the pictures, 0 to 1")
        if self.seed < 0:
            raise InputError(f"seed {self.seed}: choose a whole number, 0 or more")
        root = self.folder
        if any(source.resolve().is_relative_to(root) for source in sources):
            raise InputError(f"{self.root} holds what is to be imported: name another folder")
        if root.is_dir() and any(root.iterdir()):
            if not self.overwrite:
                raise InputError(f"{self.root} exists: name another folder, or overwrite=True")
            if not (root / _ABOUT).is_file():
                raise InputError(
                    f"{self.root} was not written by an import: remove it, or name another folder"
                )
        elif root.exists() and not root.is_dir():
            raise InputError(f"{self.root} is a file: name a folder that does not exist")


def write_import(
    target: Target,
    source: Path,
    classes: Sequence[str],
    scenes: Sequence[Scene],
    problems: list[str],
) -> Imported:
    """Write pictures and masks; the folder appears when it is complete.

    Pictures that every program reads alike are copied; all others are written as JPEG, upright and
    in 8 bits.

    Args:
        target: as `Target.check` has approved.
        source: what is imported.
        classes: names; class id c is `classes[c - 1]`.
        scenes: the pictures.
        problems: lines about what was left out so far; more are added.

    Raises:
        InputError: nothing can be used, there are over 254 classes, or the folder cannot be
            written.
    """
    root = target.folder
    if len(classes) >= VOID:
        raise InputError(f"{source} has objects of {len(classes)} classes: masks have ids for 254")
    shown: dict[str, set[int]] = {}
    empty = 0
    with made_whole(root, replace=target.overwrite) as part, writing(root):
        make_folders(part)
        bar = tqdm(scenes, "importing", unit="image", disable=not target.progress, leave=False)
        for scene in bar:
            try:
                with _file_of(scene, part) as path:
                    mask = scene.label(checked_size(path))
                    ids = set(np.unique(mask).tolist()) - {0, VOID}
                    if ids:
                        _write_picture(part, scene.name, path)
                        write_mask(part, scene.name, mask)
                        shown[scene.name] = ids
                    else:
                        empty += 1
            except InputError as error:
                problems.append(str(error))
        if empty:
            problems.append(f"{source}: {empty:,} pictures without an object are left out")
        if not shown:
            more = f" (and {len(problems) - 1:,} more)" if problems[1:] else ""
            reason = f": {problems[0]}{more}" if problems else ""
            raise InputError(f"{source} has nothing that can be imported{reason}")
        about = [f"Written by ltm-edu import, from {source}.", *problems]
        lists = split_lists(shown, target.share, target.seed)
        write_texts(part, classes, lists, {_ABOUT: lines_of(about)})
        if target.finish is not None:
            target.finish(part)
    return Imported(root, problems)


def split_lists(
    shown: Mapping[str, Collection[int]], share: float, seed: int
) -> dict[str, list[str]]:
    """Divide pictures between train and val, so that both have each class where that is possible.

    Args:
        shown: name to the class ids that the picture shows.
        share: the part of val, 0 to 1. An empty list is left out.
        seed: of the random choice.

    >>> split_lists({"a": [1], "b": [1], "c": [2], "d": [2]}, 0.5, 0)
    {'train': ['a', 'c'], 'val': ['b', 'd']}
    """
    names = sorted(shown)
    if share in (0, 1):
        return {"train" if share == 0 else "val": names}
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    place: dict[str, str] = {}
    classes = sorted({c for ids in shown.values() for c in ids})
    own = {c: [n for n in order if c in shown[n]] for c in classes}
    for c in sorted(classes, key=lambda c: len(own[c])):  # the rarest has the least choice
        count = len(own[c])
        for split, wanted in (("train", (count + 1) // 2), ("val", count // 2)):
            missing = min(_ENOUGH, wanted) - sum(place.get(n) == split for n in own[c])
            free = [n for n in own[c] if n not in place]
            place |= dict.fromkeys(free[: max(0, missing)], split)
    rest = [n for n in order if n not in place]
    missing = round(share * len(names)) - list(place.values()).count("val")
    place |= dict.fromkeys(rest[: max(0, missing)], "val")
    lists = {s: [n for n in names if place.get(n, "train") == s] for s in ("train", "val")}
    return {split: part for split, part in lists.items() if part}


def read_json(path: Path, kind: str, *keys: str) -> dict:
    """The content of a JSON file that is an object with these lists.

    Raises:
        InputError: it cannot be read, or is something else; says what kind was expected.
    """
    stored = read_bytes(path)
    try:
        content = json.loads(stored)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error})") from None
    lacking = [k for k in keys if not isinstance(content, dict) or type(content.get(k)) is not list]
    if lacking:
        raise InputError(f"{path} is no {kind}: it has no list of {lacking[0]}")
    return content


def class_name(text: str, what: str) -> str:
    """The name of a class as an annotation has it, with single spaces, in NFC.

    Raises:
        ValueError: it is empty; `what` says what the annotation calls it.
    """
    name = " ".join(normalize("NFC", text).split())
    if not name:
        raise ValueError(f"its {what} is empty")
    return name


def reason(error: Exception, program: str) -> str:
    """Why an entry of a program's annotations cannot be used, to follow the entry in a line."""
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]}"
    if type(error) is ValueError:
        return str(error).splitlines()[0]
    return f"it is not as {program} has it"


def inside(folder: Path, name: str) -> Path | None:
    """The file in a folder that an annotation names, by its path there or by its name alone.

    None if there is none; a name that leads out of the folder names no file.
    """
    parts = [p for p in name.replace("\\", "/").split("/") if p not in ("", ".")]
    whole = [] if Path(name).is_absolute() else parts
    for some in (whole, parts[-1:]):
        leads_out = any(p == ".." or Path(p).drive for p in some)  # "C:" on Windows alone
        if some and not leads_out and (path := folder.joinpath(*some)).is_file():
            return path
    return None


def label_of(
    file: Path | None,
    declared: tuple[object, object],
    things: Sequence[Thing],
    classes: Sequence[str],
    problems: list[str],
) -> Callable[[tuple[int, int]], np.ndarray]:
    """How the mask of a picture is drawn, for `Scene.label`.

    Args:
        file: the picture, if it is a file.
        declared: the width and height that the objects were drawn at, or None for each.
        things: the objects, from the back to the front.
        classes: names; class id c is `classes[c - 1]`.
        problems: gets a line for each object that cannot be drawn.
    """
    values = {BACKGROUND: 0, None: VOID, **{name: c for c, name in enumerate(classes, start=1)}}

    def label(shown: tuple[int, int]) -> np.ndarray:
        (width, height), turn = drawn_size(file, declared, shown)
        mask = np.zeros((height, width), np.uint8)
        for thing in things:
            try:
                pixels = thing.draw(mask.shape)
                if not pixels.any():
                    raise ValueError("it covers no pixel")
            except ValueError as error:
                problems.append(f"{thing.place}: {error}")
            else:
                mask[pixels] = values[thing.label]
        return turned(mask, turn)

    return label


def drawn_size(
    file: Path | None, declared: tuple[object, object], shown: tuple[int, int]
) -> tuple[tuple[int, int], Image.Transpose | None]:
    """The size that objects were drawn at, and how the drawing is turned to be upright.

    Args:
        file: the picture, if it is a file.
        declared: the width and height of the drawing, or None for each.
        shown: the picture's width and height as a viewer shows it.

    Raises:
        InputError: the picture has another size, also before it is turned.
    """
    if declared in (shown, (None, None)):
        return shown, None
    if file is not None:
        with open_picture(file) as picture:
            stored, turn = picture.size, turn_of(picture)
        if turn is not None and declared == stored:
            return stored, turn
    raise InputError(
        f"{file or 'its picture'} is {shown[0]}x{shown[1]}, but its annotations are for "
        f"{declared[0]}x{declared[1]}"
    )


def turned(mask: np.ndarray, turn: Image.Transpose | None) -> np.ndarray:
    """A mask, (H, W) uint8, turned as its picture is."""
    return mask if turn is None else np.array(Image.fromarray(mask).transpose(turn))


@contextmanager
def _file_of(scene: Scene, folder: Path) -> Iterator[Path]:
    """The file of a picture; for one that was in another file, a file in a folder for a while."""
    if isinstance(scene.picture, Path):
        yield scene.picture
        return
    path = folder / "embedded"
    path.write_bytes(scene.picture)
    try:
        yield path
    except InputError as error:
        reason = str(error).replace(str(path), "its picture")
        raise InputError(f"{scene.place}: {reason}") from None
    finally:
        path.unlink()


def _write_picture(root: Path, name: str, path: Path) -> None:
    if kind := plain_kind(path):
        shutil.copyfile(path, root / PICTURES / f"{name}.{kind}")
    else:
        write_picture(root, name, read_image(path))
