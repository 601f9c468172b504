"""How an answer runs: on copies, with every error kept together with the student's line."""

from __future__ import annotations

import linecache
import re
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from types import CodeType, TracebackType
from typing import Any

from .exercise import Args, copied

PACKAGE = str(Path(__file__).resolve().parents[1])
"""The folder of ltm_edu."""

_LIBRARIES = tuple(sysconfig.get_paths()[key] for key in ("stdlib", "platlib", "purelib"))


class NotAttempted(Exception):
    """Raised where the answer is still the stub of the notebook."""


@dataclass(frozen=True)
class Raised:
    """The error that an answer raised in place of a result.

    Attributes:
        kind: the type of the error.
        text: the first line of its message.
        line: the student's own line that was running, without its indentation; "" if it has none.
    """

    kind: str
    text: str
    line: str = ""

    @classmethod
    def by(cls, error: BaseException) -> Raised:
        """Describe an error that was caught."""
        first_line = (str(error).splitlines() or [""])[0].rstrip(".")
        text = shorten(re.sub(r"0x[0-9a-fA-F]+", "0x...", first_line), 120, placeholder=" [...]")
        return cls(type(error).__name__, text, _own_line(error.__traceback__))

    def __str__(self) -> str:
        return f"Your function raised {self.kind}" + (f": {self.text}" if self.text else "")


def run(fn: Callable[..., Any], args: Args) -> Any:
    """Call a function on copies of the arguments, and return its result or its error.

    Raises:
        NotAttempted: the function is the stub.
    """
    return call(fn, copied(args))


def call(fn: Callable[..., Any], args: Args) -> Any:
    """Call a function on the arguments themselves, and return its result or its error.

    Raises:
        NotAttempted: the function is the stub.
    """
    try:
        return fn(*args)
    except NotImplementedError as error:
        if not error.args:  # raised by the stub: PyTorch's own errors have a text
            raise NotAttempted from None
        return Raised.by(error)
    except Exception as error:
        return Raised.by(error)


def is_own(filename: str) -> bool:
    """Whether code of this file is a student's: not the package's, Python's or a library's."""
    return not filename.startswith((PACKAGE, *_LIBRARIES, "<frozen", "<__array_function__"))


def names_in(fn: Callable[..., Any]) -> set[str]:
    """The functions, methods and attributes that a student's function uses, also through helpers.

    Helpers are the student's own functions that it calls by a global name. `**0.5` stands for a
    power of one half.
    """
    found: set[str] = set()
    waiting = [fn]
    seen: set[CodeType] = set()
    while waiting:
        function = waiting.pop()
        code = getattr(function, "__code__", None)
        if code is None or code in seen or not is_own(code.co_filename):
            continue
        seen.add(code)
        names = _names_of(code)
        found |= names
        scope = getattr(function, "__globals__", {})
        waiting += [scope[name] for name in names if callable(scope.get(name))]
    return found


def _names_of(code: CodeType) -> set[str]:
    inner = (c for c in code.co_consts if isinstance(c, CodeType))
    root = {"**0.5"} if 0.5 in code.co_consts else set()
    return root.union(code.co_names, *(_names_of(c) for c in inner))


def _own_line(traceback: TracebackType | None) -> str:
    """The innermost line of a traceback that is the student's own."""
    line = ""
    while traceback is not None:
        filename = traceback.tb_frame.f_code.co_filename
        if is_own(filename):
            line = linecache.getline(filename, traceback.tb_lineno).strip() or line
        traceback = traceback.tb_next
    return line
