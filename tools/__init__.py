"""Commands for a checkout only: README's tables, the book, the rehearsal at full size."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps

from ltm_edu.store.errors import InputError

Work = Callable[[Sequence[str] | None], None]
Main = Callable[..., int]


def tool(name: str) -> Callable[[Work], Main]:
    """Make a function of a command's arguments the command itself, which returns its exit status.

    An error that the user can mend is printed, each line with the tool's name, and gives status 2.
    """

    def decorated(work: Work) -> Main:
        @wraps(work)
        def main(arguments: Sequence[str] | None = None) -> int:
            try:
                work(arguments)
            except (InputError, FloatingPointError) as error:
                said = str(error)
            except OSError as error:
                said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            else:
                return 0
            for line in said.splitlines():
                print(f"{name}: {line}", file=sys.stderr)
            return 2

        return main

    return decorated
