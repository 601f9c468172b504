"""The teacher's file: which notebooks a class has got, and the secret of its hidden inputs."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..store.errors import InputError
from ..store.files import read_text, written_whole

FILE = "teacher.json"
_FORMAT = 1
LARGEST_SEED = 10**9


@dataclass(frozen=True)
class Task:
    """An exercise of a handed-out notebook.

    Attributes:
        exercise: its id, such as "3.1".
        name: the function that the cell asks for.
        cell: the id of the cell.
    """

    exercise: str
    name: str
    cell: str


@dataclass(frozen=True)
class Assignment:
    """A handed-out notebook.

    Attributes:
        name: of the notebook's file, without its ending.
        tasks: its exercises, in the order of the notebook.
        imports: the sources of the cells that only import.
        cells: cell id to the SHA-256 of its source, of the other code cells as handed out.
    """

    name: str
    tasks: tuple[Task, ...]
    imports: tuple[str, ...]
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Class:
    """A class of students.

    Attributes:
        seed: of the random inputs that students see.
        secret: of the inputs that they do not see.
        assignments: name to assignment.
    """

    seed: int
    secret: str
    assignments: Mapping[str, Assignment] = field(default_factory=dict)

    @classmethod
    def new(cls, seed: int | None = None) -> Class:
        """A class without assignments.

        Args:
            seed: from 1 to 10**9; None draws one.

        Raises:
            InputError: the seed is out of range.
        """
        if seed is None:
            seed = 1 + secrets.randbelow(LARGEST_SEED)
        if not 1 <= seed <= LARGEST_SEED:
            raise InputError(f"seed {seed}: choose a seed from 1 to {LARGEST_SEED:,}")
        return cls(seed, secrets.token_hex(16))

    @classmethod
    def load(cls, path: Path) -> Class:
        """Read a teacher's file.

        Raises:
            InputError: it is missing or damaged.
        """
        text = read_text(path)
        try:
            stored = json.loads(text)
            if stored["format"] != _FORMAT:
                raise InputError(f"{path} has a format of another version of ltm-edu: update it")
            assignments = [_assignment(a) for a in stored["assignments"]]
            known = {a.name: a for a in assignments}
            return cls(int(stored["seed"]), bytes.fromhex(stored["secret"]).hex(), known)
        except InputError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise InputError(
                f"{path} is not a teacher's file: name the one that `ltm-edu assign` wrote"
            ) from None

    def save(self, path: Path) -> None:
        """Write the teacher's file, whole or not at all."""
        assignments = [asdict(self.assignments[name]) for name in sorted(self.assignments)]
        stored: dict[str, Any] = {
            "about": "Keep this file. Do not hand it out: hidden inputs are drawn from the secret.",
            "format": _FORMAT,
            "seed": self.seed,
            "secret": self.secret,
            "assignments": assignments,
        }
        with written_whole(path) as part:
            part.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")

    def hidden_seed(self, exercise: str) -> int:
        """The seed of the inputs with which an exercise is graded, below 2**56."""
        digest = hashlib.sha256(f"{self.secret} {exercise}".encode()).digest()
        return int.from_bytes(digest[:7])


def digest(source: str) -> str:
    """The SHA-256 of a cell's source, without spaces at its ends."""
    return hashlib.sha256(source.strip().encode("utf-8", "surrogatepass")).hexdigest()


def _assignment(stored: Mapping[str, Any]) -> Assignment:
    tasks = tuple(Task(str(t["exercise"]), str(t["name"]), str(t["cell"])) for t in stored["tasks"])
    imports = tuple(str(s) for s in stored["imports"])
    cells = {str(k): str(v) for k, v in stored["cells"].items()}
    return Assignment(str(stored["name"]), tasks, imports, cells)
