"""What the exercises of several notebooks share: inputs, their scales, and a comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .exercise import Args

Draw = Callable[[torch.Generator], Args]

EXTREMES = (1e-6, 1e-3, 1e3, 1e6)
"""Scales at which every solution is held to its loop, where the loop has a meaning there."""

TINY = (1e-6, 1e-3)
"""The scales of masks, whose values are at most 1."""


def normal(g: torch.Generator, *size: int) -> Tensor:
    """Numbers from the standard normal distribution, in float64."""
    return torch.randn(size, generator=g, dtype=torch.float64)


def uniform(g: torch.Generator, *size: int) -> Tensor:
    """Soft masks: uniform numbers in [0, 1), in float64."""
    return torch.rand(size, generator=g, dtype=torch.float64)


def close(a: Tensor, b: Tensor) -> bool:
    """Whether shapes are equal and values agree, with tolerances of 1e-3."""
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-3, atol=1e-3)


def cosine_of(a: Sequence[float], b: Sequence[float]) -> float:
    """The cosine of two vectors by plain loops; 0 where one of them is zero."""
    lengths = math.hypot(*a) * math.hypot(*b)
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths > 0 else 0.0


def scaled(args: Args, **factors: float) -> Args:
    """The arguments with some of them multiplied: `scaled(args, at0=1e-3, at2=5)`."""
    return tuple(a * factors[f"at{i}"] if f"at{i}" in factors else a for i, a in enumerate(args))


def at_scales(draw: Draw, *positions: int, factors: Sequence[float] = EXTREMES) -> list[Args]:
    """Random inputs with the arguments at these positions multiplied by each factor, in float64."""
    args = draw(torch.Generator().manual_seed(11))
    return [scaled(args, **{f"at{i}": f for i in positions}) for f in factors]
