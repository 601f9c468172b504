"""What an examination asks of an answer: results, gradients, what it computes, and what it calls.

`Function` answers for a function of this process. The classroom has another one, which asks a
process that may do nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from .costs import Counts, Limits, counted
from .exercise import Args, copied
from .running import Raised, call, names_in
from .watching import results_from_the_package


class Answer(Protocol):
    """A student's function, as an examination sees it."""

    def call(self, args: Args) -> Any:
        """Call it on the arguments themselves; its result, or its error as `Raised`.

        Raises:
            NotAttempted: the function is the stub.
        """

    def gradients(self, args: Args, positions: Sequence[int]) -> list[Tensor | None] | Raised:
        """The gradient of each of these arguments, None where none arrives; or the error."""

    def counts(self, args: Args, limits: Limits) -> Counts:
        """How much it computes for one input, counted to just above a limit."""

    def package_results(self, args: Args) -> dict[str, list[Any]]:
        """What each function of ltm_edu returned that it called, by name."""

    def names(self) -> set[str]:
        """The functions, methods and attributes that it uses, also through helpers."""


class Function:
    """An answer that is a function of this process."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn

    def call(self, args: Args) -> Any:
        """Call the function; see `Answer`."""
        return call(self.fn, args)

    def gradients(self, args: Args, positions: Sequence[int]) -> list[Tensor | None] | Raised:
        """Gradients by PyTorch; see `Answer`."""
        given = list(copied(args))
        inputs = [given[i].requires_grad_() for i in positions]
        with torch.enable_grad():
            out = call(self.fn, tuple(given))
            if isinstance(out, Raised):
                return out
            if not isinstance(out, Tensor) or not out.requires_grad:
                return [None] * len(inputs)
            # The weights are unequal, so that no symmetry hides a wrong gradient.
            weights = torch.arange(1, out.numel() + 1, dtype=out.dtype).reshape(out.shape)
            try:
                found = torch.autograd.grad((out * weights).sum(), inputs, allow_unused=True)
            except RuntimeError as error:
                return Raised.by(error)
        return [None if g is None else g.double() for g in found]

    def counts(self, args: Args, limits: Limits) -> Counts:
        """What PyTorch and Python compute; see `Answer`."""
        return counted(self.fn, args, limits)

    def package_results(self, args: Args) -> dict[str, list[Any]]:
        """What a profile function sees; see `Answer`."""
        return results_from_the_package(self.fn, args)

    def names(self) -> set[str]:
        """What the compiled code names; see `Answer`."""
        return names_in(self.fn)
