"""What the checkers of several notebooks share: inputs, comparisons, laws."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .engine import Invariance


def normal(g: torch.Generator, *size: int) -> Tensor:
    """Normal numbers in float64."""
    return torch.randn(size, generator=g, dtype=torch.float64)


def uniform(g: torch.Generator, *size: int) -> Tensor:
    """Numbers in [0, 1) in float64: soft masks."""
    return torch.rand(size, generator=g, dtype=torch.float64)


def close(a: Tensor, b: Tensor) -> bool:
    """One shape, and values that differ by a thousandth at most."""
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-3)


def safe_gradient(says: str, at: int, args: tuple[Tensor, ...]) -> Invariance:
    """The law that the gradient, too, is finite at an edge: it may be NaN where values are not.

    Args:
        says: what to say where it is not.
        at: which argument the gradient is taken of.
        args: the edge.
    """

    def holds(fn: Callable[..., Tensor], *_: Tensor) -> bool:
        given = [a.clone() for a in args]
        leaf = given[at].requires_grad_()
        with torch.enable_grad():
            out = fn(*given)
        if not isinstance(out, Tensor) or not out.requires_grad or not torch.isfinite(out).all():
            return True  # another rule's case
        (gradient,) = torch.autograd.grad(out.sum(), leaf, allow_unused=True)
        return gradient is None or bool(torch.isfinite(gradient).all())

    return Invariance(says, holds)


class _LargestTensor(TorchFunctionMode):
    """Notes the size of the largest tensor that any torch function returns."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.size = max(self.size, out.numel())
        return out


def largest_tensor(fn: Callable[..., Tensor], *args: Tensor) -> int:
    """The numbers in the largest tensor that a function makes on its way."""
    with _LargestTensor() as largest:
        fn(*args)
    return largest.size
