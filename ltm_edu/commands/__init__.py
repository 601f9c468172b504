"""What each command of `ltm-edu` does with its options, one module a command."""

from __future__ import annotations

from ..episodes import FOLDS
from ..store.errors import InputError


def chosen_folds(given: str) -> list[int]:
    """The folds that --fold names.

    Raises:
        InputError: it is neither a fold nor "all".
    """
    if given == "all":
        return list(range(FOLDS))
    if given not in map(str, range(FOLDS)):
        raise InputError(f"--fold {given}: there are folds 0, 1, 2 and 3, or all")
    return [int(given)]
