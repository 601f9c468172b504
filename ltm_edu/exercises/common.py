"""What the exercises of several notebooks share: inputs, comparisons, invariances."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .engine import Invariance


def normal(g: torch.Generator, *size: int) -> Tensor:
    """Numbers from the standard normal distribution, in float64."""
    return torch.randn(size, generator=g, dtype=torch.float64)


def uniform(g: torch.Generator, *size: int) -> Tensor:
    """Soft masks: uniform numbers in [0, 1), in float64."""
    return torch.rand(size, generator=g, dtype=torch.float64)


def close(a: Tensor, b: Tensor) -> bool:
    """Whether shapes are equal and values agree, with tolerances of 1e-3."""
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-3)


def safe_gradient(says: str, at: int, args: tuple[Tensor, ...]) -> Invariance:
    """The rule that the gradient is finite at an edge. It may be NaN where the values are finite.

    Args:
        says: the message where it is not.
        at: position of the argument of the gradient.
        args: the arguments at the edge.
    """

    def holds(fn: Callable[..., Tensor], *_: Tensor) -> bool:
        copies = [a.clone() for a in args]
        leaf = copies[at].requires_grad_()
        with torch.enable_grad():
            out = fn(*copies)
        if not isinstance(out, Tensor) or not out.requires_grad or not torch.isfinite(out).all():
            return True  # another rule checks this
        (gradient,) = torch.autograd.grad(out.sum(), leaf, allow_unused=True)
        return gradient is None or bool(torch.isfinite(gradient).all())

    return Invariance(says, holds)


class _LargestTensor(TorchFunctionMode):
    """Records the size of the largest tensor that any torch function returns."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.size = max(self.size, out.numel())
        return out


def largest_tensor(fn: Callable[..., Tensor], *args: Tensor) -> int:
    """Count the numbers in the largest tensor that a function computes."""
    with _LargestTensor() as largest:
        fn(*args)
    return largest.size
