"""What each command of `ltm-edu` does with its options, one module for each command."""

from __future__ import annotations

from ..episodes import FOLDS
from ..store.errors import InputError


def chosen_folds(text: str) -> list[int]:
    """The folds that --fold names.

    Raises:
        InputError: it is neither a fold nor "all".
    """
    folds = {str(fold): [fold] for fold in range(FOLDS)} | {"all": list(range(FOLDS))}
    if text not in folds:
        raise InputError(f"--fold {text}: there are folds 0, 1, 2 and 3, or all")
    return folds[text]
