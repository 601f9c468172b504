"""How a result is compared with the right one: kind, dtype, shape without broadcasting, values."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .running import Raised

TOLERANCE = 1e-4
"""Large enough for float32 and for an eps of 1e-5, too small to hide a slip."""


def settled(value: Any, right: Any, by_gradient: bool = False) -> Any:
    """A result in the kind of the right one, where nothing is lost by that; else as it is.

    Floating-point results become float64. A Python number, a NumPy scalar and a tensor without
    dimensions stand for each other; so do a NumPy array and a tensor. Results in half precision
    and masks in place of numbers stay as they are.

    Args:
        value: what the answer returned.
        right: the right result.
        by_gradient: whether a gradient must pass through the result, which only a tensor allows.
    """
    if isinstance(right, float):
        return _settled_number(value)
    if not isinstance(right, Tensor):
        return value
    if not by_gradient and not isinstance(value, Tensor):
        value = _as_tensor(value, right)
    if not isinstance(value, Tensor):
        return value
    if right.is_floating_point() and value.dtype in _NUMBERS:
        return value.double()
    if right.dtype == torch.int64 and value.dtype in _INTEGERS:
        return value.long()
    return value


_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_NUMBERS = (torch.float32, torch.float64, *_INTEGERS)


def _settled_number(value: Any) -> Any:
    if isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0:
        value = value.item()
    is_number = isinstance(value, float | int) and not isinstance(value, bool)
    return float(value) if is_number else value


def _as_tensor(value: Any, right: Tensor) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        try:
            return torch.tensor(value)
        except TypeError:  # an array of objects or of text
            return value
    if isinstance(value, float | int) and not isinstance(value, bool) and right.dim() == 0:
        return torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else torch.int64)
    return value


def same(a: Any, b: Any) -> bool:
    """Whether two settled results agree, up to a tolerance that is right for float32."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if not a.is_floating_point():
            return torch.equal(a, b)
        return bool(agreeing(a, b).all())
    if isinstance(a, float) and isinstance(b, float):
        return same(torch.tensor(a).double(), torch.tensor(b).double())
    if isinstance(a, Raised) and isinstance(b, Raised):
        return (a.kind, a.text) == (b.kind, b.text)
    if isinstance(a, Tensor | np.ndarray) or isinstance(b, Tensor | np.ndarray):
        return False
    try:
        return type(a) is type(b) and bool(a == b)
    except (RuntimeError, ValueError):  # containers of tensors or arrays have no single answer
        return False


def agreeing(a: Tensor, b: Tensor) -> Tensor:
    """At which places two tensors of one shape agree, up to a tolerance that is right for float32.

    The tolerance of a small number is that of the largest one.
    """
    finite = b[b.isfinite()].abs()
    largest = finite.max().item() if finite.numel() else 0.0
    return torch.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * (largest or 1.0), equal_nan=True)


def is_finite(value: Any) -> bool:
    """Whether a result is a number or a tensor without NaN and infinity."""
    if isinstance(value, float):
        return bool(np.isfinite(value))
    return isinstance(value, Tensor) and bool(torch.isfinite(value).all())


def difference(out: Any, right: Any) -> str | None:
    """Say how a settled result differs from the right one: kind, dtype, shape, then values."""
    if isinstance(out, Raised):
        return str(out)
    if out is None:
        return "The result is None; the `return` statement may be missing"
    if isinstance(right, float):
        if not isinstance(out, float):
            return f"The result is {with_article(out)}, expected one number"
        return None if same(out, right) else _beside(out, right)
    if not isinstance(out, Tensor):
        return f"The result is {with_article(out)}, expected a torch.Tensor"
    if out.dtype != right.dtype:
        expected = "float32" if right.is_floating_point() else _dtype(right)
        return f"The result has dtype {_dtype(out)}, expected {expected}"
    if out.shape != right.shape:
        return f"The result has shape {tuple(out.shape)}, expected {tuple(right.shape)}"
    if same(out, right):
        return None
    if not is_finite(out) and is_finite(right):
        return "The result has NaN or infinite values"
    if right.numel() <= 6:
        return _beside(out, right)
    return "The result has the expected shape, but other values than expected"


def with_article(value: Any) -> str:
    """What a value is, in words: "a list", "a tensor of shape (2, 3)"."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray | np.generic):
        return "a NumPy array" if isinstance(value, np.ndarray) else "a NumPy number"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def brief(value: Any, digits: int = 4) -> str:
    """A number or the numbers of a tensor, with so many significant digits."""
    if isinstance(value, Tensor):
        return brief(value.tolist(), digits)
    if isinstance(value, list):
        return "[" + ", ".join(brief(v, digits) for v in value) + "]"
    if isinstance(value, float):
        return f"{value:.{digits}g}" if value else "0"
    return str(value)


def digits_for(a: Any, b: Any) -> int:
    """How many significant digits show that two results differ."""
    return 4 if brief(a) != brief(b) else 8


def _beside(out: Any, right: Any) -> str:
    digits = digits_for(out, right)
    return f"The result is {brief(out, digits)}, expected {brief(right, digits)}"


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")
