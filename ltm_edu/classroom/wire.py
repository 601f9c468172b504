"""What two processes say to each other: plain data, of which every byte is checked.

A message is a JSON header and the raw numbers of its tensors. Nothing that is received can run
code: there is no pickle, and what is no number, text, list or tensor is only named.
"""

from __future__ import annotations

import json
import math
import os
import re
import select
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..exercises.running import Raised

_DEPTH, _TEXT = 8, 100_000

_OTHERS = 100
"""So many values of a message may be of a kind that is only named."""

_LINE = 500

_SIZES = struct.Struct(">II")
_DTYPES = {
    str(d).removeprefix("torch."): d
    for d in (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
        torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
    )
}  # fmt: skip
_ARRAYS = ("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
_ARRAYS += ("float16", "float32", "float64", "complex64", "complex128")
_SEQUENCES: dict[str, Callable[[list], Any]] = {"tuple": tuple, "list": list, "set": list}


@dataclass(frozen=True)
class Bounds:
    """How large a message may be.

    Attributes:
        header: its description, in bytes.
        body: the numbers of its tensors, in bytes.
        items: how many values it has.
    """

    header: int
    body: int
    items: int


QUESTION = Bounds(4 << 20, 64 << 20, 100_000)
REPLY = Bounds(256 << 10, 16 << 20, 10_000)
"""What a student's process says, and the grading process has to read."""


class WireError(Exception):
    """A message that is none, or that is too large."""


class Ended(Exception):
    """The other process has closed its end."""


class TooLate(Exception):
    """The other process has not answered, or not listened, in time."""


# Messages -----------------------------------------------------------------------------------------


def packed(message: Any, bounds: Bounds = REPLY) -> bytes:
    """A message as bytes.

    Args:
        message: None, truth values, numbers, text, tensors, arrays, `Raised`, and lists, tuples,
            sets and dicts of these; of anything else, the name of its type.
        bounds: of its size.

    Raises:
        WireError: it is too large.
    """
    writer = _Writer(bounds)
    header = json.dumps(writer.described(message, _DEPTH)).encode()
    size = sum(map(len, writer.body))
    if len(header) > bounds.header or size > bounds.body:
        raise WireError("it is too large")
    return b"".join([_SIZES.pack(len(header), size), header, *writer.body])


class _Writer:
    """Describes values, and collects the numbers of their tensors."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.body: list[bytes] = []
        self.items = self.others = 0

    def described(self, value: Any, depth: int) -> Any:
        self.items += 1
        if depth < 0:
            raise WireError("it is nested too deeply")
        if self.items > self.bounds.items:
            raise WireError("it is too large")
        if value is None:
            return None
        kind = type(value)
        if kind is bool:
            return ["bool", value]
        if kind is int and abs(value) < 10**1000:
            return ["int", str(value)]
        if kind is float:
            return ["float", value.hex()]
        if kind is str:
            return ["str", value[:_TEXT]]
        if isinstance(value, Raised):
            return ["raised", str(value.kind), str(value.text)[:_LINE], str(value.line)[:_LINE]]
        if kind in (tuple, list, set, frozenset, torch.Size):
            name = "list" if kind is list else "tuple" if isinstance(value, tuple) else "set"
            return [name, [self.described(v, depth - 1) for v in value]]
        if kind is dict:
            pairs = value.items()
            return ["dict", [[str(k)[:_TEXT], self.described(v, depth - 1)] for k, v in pairs]]
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, np.ndarray | np.generic) and value.dtype.name in _ARRAYS:
            return self._array(value)
        return self._named(value)

    def _tensor(self, value: Tensor) -> Any:
        """Describe a tensor with the order of its axes in memory, which a view may depend on."""
        name = str(value.dtype).removeprefix("torch.")
        if value.layout != torch.strided or name not in _DTYPES:
            return self._named(value)
        if value.numel() * value.element_size() > self.bounds.body:
            raise WireError("it is too large")
        plain = value.detach().resolve_conj().resolve_neg().cpu()
        order = sorted(range(plain.dim()), key=lambda axis: -plain.stride(axis))
        flat = torch.empty(plain.numel(), dtype=plain.dtype)  # of stride 1, even of one number
        flat.copy_(plain.permute(order).reshape(-1))
        self.body.append(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
        return ["tensor", name, list(plain.shape), order]

    def _array(self, value: np.ndarray | np.generic) -> Any:
        if value.nbytes > self.bounds.body:
            raise WireError("it is too large")
        plain = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("="))
        self.body.append(plain.tobytes())
        one = isinstance(value, np.generic)
        return ["scalar" if one else "array", value.dtype.name, list(value.shape)]

    def _named(self, value: Any) -> Any:
        self.others += 1
        if self.others > _OTHERS:
            raise WireError("it is too large")
        return ["other", type(value).__name__[:60]]


def unpacked(header: bytes, body: bytes, bounds: Bounds = REPLY) -> Any:
    """A message from its bytes.

    Raises:
        WireError: they are no message.
    """
    try:
        description = json.loads(header)
        reader = _Reader(body, bounds)
        message = reader.value(description, _DEPTH)
    except WireError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError) as error:
        raise WireError("it is no message") from error
    except (RuntimeError, MemoryError) as error:
        raise WireError("it holds no tensor") from error
    if reader.at != len(body):
        raise WireError("it is too long")
    return message


class _Reader:
    """Reads values in the order in which a `_Writer` wrote them."""

    def __init__(self, body: bytes, bounds: Bounds) -> None:
        self.body = body
        self.bounds = bounds
        self.at = self.items = self.others = 0

    def value(self, given: Any, depth: int) -> Any:
        self.items += 1
        if depth < 0 or self.items > self.bounds.items:
            raise WireError("it is too large")
        if given is None:
            return None
        kind, *rest = given
        if kind in _SEQUENCES:
            (values,) = rest
            return _SEQUENCES[kind]([self.value(v, depth - 1) for v in values])
        if kind == "dict":
            (pairs,) = rest
            return {_text(k): self.value(v, depth - 1) for k, v in pairs}
        if kind == "bool" and rest in ([True], [False]):
            return rest[0] is True
        if kind == "int":
            (digits,) = map(_text, rest)
            return int(digits)
        if kind == "float":
            (digits,) = map(_text, rest)
            return float.fromhex(digits)
        if kind == "str":
            return _text(*rest)
        if kind == "raised":
            name, text, line = map(_text, rest)
            return Raised(_identifier(name), text[:_LINE], line[:_LINE])
        if kind == "other":
            (name,) = rest
            self.others += 1
            if self.others > _OTHERS:
                raise WireError("it is too large")
            return type(_identifier(_text(name)), (), {})()
        if kind == "tensor":
            return self._tensor(*rest)
        if kind in ("array", "scalar"):
            return self._array(kind, *rest)
        raise WireError("it is no message")

    def _tensor(self, name: str, shape: list[int], order: list[int]) -> Tensor:
        dtype = _DTYPES[name]
        sizes = _shape(shape)
        if sorted(order) != list(range(len(sizes))):
            raise WireError("it holds no tensor")
        count = math.prod(sizes)
        chunk = self._take(count * torch.empty(0, dtype=dtype).element_size())
        if not count:
            return torch.empty(sizes, dtype=dtype)
        raw = torch.frombuffer(bytearray(chunk), dtype=torch.uint8)
        flat = raw != 0 if dtype == torch.bool else raw.view(dtype)
        inverse = [order.index(axis) for axis in range(len(sizes))]
        return flat.reshape([sizes[axis] for axis in order]).permute(inverse)

    def _array(self, kind: str, name: str, shape: list[int]) -> Any:
        if name not in _ARRAYS:
            raise WireError("it holds no array")
        dtype, sizes = np.dtype(name), _shape(shape)
        chunk = self._take(math.prod(sizes) * dtype.itemsize)
        if name == "bool":
            array = np.frombuffer(chunk, np.uint8).reshape(sizes) != 0
        else:
            array = np.frombuffer(chunk, dtype).reshape(sizes).copy()
        return array[()] if kind == "scalar" else array

    def _take(self, size: int) -> bytes:
        chunk = self.body[self.at : self.at + size]
        if len(chunk) != size:
            raise WireError("it is too short")
        self.at += size
        return chunk


def _shape(given: Any) -> list[int]:
    if len(given) > 16 or not all(type(n) is int and 0 <= n <= QUESTION.body for n in given):
        raise WireError("it holds no tensor")
    return list(given)


def _text(given: Any) -> str:
    if type(given) is not str or len(given) > _TEXT:
        raise WireError("it is no message")
    return given


def _identifier(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w{0,59}", name, flags=re.ASCII) else "object"


# Pipes --------------------------------------------------------------------------------------------


def send(handle: int, message: Any, until: float, bounds: Bounds = REPLY) -> None:
    """Write a message into a pipe that does not block.

    Args:
        handle: the pipe.
        message: as in `packed`.
        until: the latest moment, of `time.monotonic()`.
        bounds: of the size of the message.

    Raises:
        Ended: nobody reads it.
        TooLate: it was not read in time.
        WireError: it is too large.
    """
    remaining = memoryview(packed(message, bounds))
    while remaining:
        _wait(handle, select.POLLOUT, until)
        try:
            remaining = remaining[os.write(handle, remaining) :]
        except BlockingIOError:
            continue
        except BrokenPipeError:
            raise Ended from None


def receive(handle: int, until: float, bounds: Bounds = REPLY) -> Any:
    """Read one message from a pipe; arguments and errors as in `send`."""
    header, body = _SIZES.unpack(_read(handle, _SIZES.size, until))
    if header > bounds.header or body > bounds.body:
        raise WireError("it is too large")
    return unpacked(_read(handle, header, until), _read(handle, body, until), bounds)


def _read(handle: int, size: int, until: float) -> bytes:
    chunks: list[bytes] = []
    while size:
        _wait(handle, select.POLLIN, until)
        try:
            chunk = os.read(handle, min(size, 1 << 20))
        except BlockingIOError:
            continue
        if not chunk:
            raise Ended
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def _wait(handle: int, event: int, until: float) -> None:
    poll = select.poll()
    poll.register(handle, event)
    left = until - time.monotonic()
    if left <= 0 or not poll.poll(min(left, 3600) * 1000):
        raise TooLate
