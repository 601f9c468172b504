"""What a student has solved, kept in the data folder between kernels.

The record is one small JSON file. If it is damaged it counts as empty, and if it cannot be written
only this session remembers: neither is an error for a student.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..store.errors import InputError
from ..store.files import data_dir, read_text, written_whole

States = dict[str, str]
"""The id of each exercise that was attempted: "" if it is solved, else what was wrong."""


def place() -> Path:
    """The file of the record."""
    return data_dir() / "exercises.json"


def load() -> States:
    """Read the record; what is not a record counts as empty."""
    try:
        stored = json.loads(read_text(place()))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(stored, Mapping):
        return {}
    return {id: says for id, says in stored.items() if isinstance(says, str)}


def save(states: Mapping[str, str]) -> None:
    """Write the record, if the data folder can be written to."""
    if is_kept():
        with suppress(InputError, OSError), written_whole(place()) as part:
            part.write_text(json.dumps(dict(states), indent=0) + "\n", encoding="utf-8")


def clear() -> None:
    """Remove the record."""
    with suppress(OSError):
        place().unlink(missing_ok=True)


def is_kept() -> bool:
    """Whether this run is a student's. LTM_EDU_STRICT=1 is for tests, which leave no trace."""
    return os.environ.get("LTM_EDU_STRICT") != "1"
