"""Print a page of `teaching/` without what is for the teacher alone.

`python -m tools.handout teaching/exam.md --out exam_paper.md` leaves out everything between the
lines `<!-- for the teacher -->` and `<!-- end of for the teacher -->`: model answers, marking notes
and model solutions.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ltm_edu.store.errors import InputError
from ltm_edu.store.files import read_text, written_whole

from . import tool

BEGIN, END = "<!-- for the teacher -->", "<!-- end of for the teacher -->"


def for_students(text: str, name: str = "the page") -> str:
    r"""Return a page without the teacher's parts; `name` stands in the error's message.

    >>> for_students(f"Why?\n\n{BEGIN}\nBecause.\n{END}\n")
    'Why?\n'

    Raises:
        InputError: there is no such part, or one does not begin and end in turn: the answers could
            remain in the page.
    """
    lines = text.splitlines()
    marks = [line.strip() for line in lines if line.strip() in (BEGIN, END)]
    if not marks or marks != [BEGIN, END] * (len(marks) // 2):
        raise InputError(f"{name} needs the lines {BEGIN} and {END} in turn")
    left, kept = [], True
    for line in lines:
        if line.strip() in (BEGIN, END):
            kept = line.strip() == END
        elif kept:
            left.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(left)).strip() + "\n"


@tool("handout")
def main(arguments: Sequence[str] | None = None) -> None:
    """Print a page for students, or write it. An error prints one line and gives exit status 2."""
    parser = argparse.ArgumentParser("python -m tools.handout", description=main.__doc__)
    parser.add_argument("page", type=Path, help="such as teaching/exam.md")
    parser.add_argument("--out", type=Path, help="a file to write (default: print)")
    options = parser.parse_args(arguments)
    text = for_students(read_text(options.page), options.page.name)
    if options.out is None:
        print(text, end="")
        return
    if options.out.exists():
        raise InputError(f"{options.out} exists: name another file with --out")
    with written_whole(options.out) as part:
        part.write_text(text, encoding="utf-8")
    print(f"{options.out}: for students")


if __name__ == "__main__":
    sys.exit(main())
