"""`ltm-edu grade`: examine what students have handed in."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from ..store.errors import InputError
from ..store.files import entries, made_whole, writing

if sys.platform == "win32":
    raise InputError("grade needs Linux or macOS: on Windows, run it in WSL")

from ..classroom.asking import Server
from ..classroom.grading import PROTECTIONS, check_apart, grade, protections
from ..classroom.pages import ABOUT, OVERVIEW, TABLE, plain, write_results
from ..classroom.sandbox import Limits
from ..classroom.submissions import found_in
from ..classroom.teaching import FILE, Class


def run(options: argparse.Namespace) -> int:
    """Grade every submission, and write the table and the pages when all are graded.

    Returns:
        The exit status: 1 if some submissions could not be read.
    """
    limits = _limits(options.seconds, options.memory)
    place = _teachers_file(options.submissions, options.group)
    group = Class.load(place)
    _check_out(options.out, options.submissions, options.overwrite)
    check_apart([options.submissions, place, options.out])
    found = found_in(options.submissions, group)
    with Server() as server:
        holds = protections(server, limits)
        lacking = [PROTECTIONS[p] for p in PROTECTIONS if not holds[p]]
        if lacking and not options.trust:
            raise InputError(
                f"this system does not offer: {'; '.join(lacking)}. Run grade on Linux 5.13 or "
                "later, or let students' code run nevertheless with --trust"
            )
        results = []
        total = sum(len(s.assignment.tasks) for s in found)
        with tqdm(total=total, unit="exercise", leave=False, disable=None) as bar:
            for result in grade(found, group, server, limits):
                results.append(result)
                bar.update()
    with made_whole(options.out, replace=options.overwrite) as part, writing(options.out):
        write_results(part, results, holds, limits)
    counted = Counter(r.verdict for r in results)
    print(", ".join(f"{n} {verdict}" for verdict, n in counted.most_common()))
    print(options.out / TABLE)
    print(options.out / OVERVIEW)
    unreadable = {(r.student, r.says): None for r in results if r.verdict == "unreadable"}
    for student, says in unreadable:
        print(f"ltm-edu: {plain(student)}: {plain(says)}", file=sys.stderr)
    return 1 if unreadable else 0


def _limits(seconds: float, memory: int) -> Limits:
    if not 1 <= seconds <= 3600:
        raise InputError(f"--seconds {seconds:g}: choose 1 to 3600")
    if not 64 <= memory <= 1 << 20:
        raise InputError(f"--memory {memory}: choose 64 to {1 << 20} MiB")
    return Limits(seconds, memory << 20)


def _teachers_file(submissions: Path, named: Path | None) -> Path:
    if named is not None:
        return named
    for folder in (submissions.resolve().parent, submissions):
        if (folder / FILE).is_file():
            return folder / FILE
    raise InputError(
        f"there is no {FILE} beside {submissions}: name the one that `ltm-edu assign` wrote with "
        "--class"
    )


def _check_out(out: Path, submissions: Path, overwrite: bool) -> None:
    here, there = out.resolve(), submissions.resolve()
    if here.is_relative_to(there) or there.is_relative_to(here):
        raise InputError(f"{out} and {submissions} contain one another: name another --out")
    if here.is_dir() and entries(here):
        if not overwrite:
            raise InputError(f"{out} exists: name a new folder, or replace it with --overwrite")
        if not (here / ABOUT).is_file():
            raise InputError(f"{out} was not written by grade: remove it, or name a new folder")
    elif here.exists() and not here.is_dir():
        raise InputError(f"{out} is a file: name a new folder")
