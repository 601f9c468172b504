"""What every transformation has in common: its contract, and how K shots are joined."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

from torch import Tensor, nn

from ..equations import check_shape, normalize_attention
from ..store.errors import InputError

if TYPE_CHECKING:
    from ..model import LTMConfig

Rows = Literal["fg", "fg_bg"]
Shots = Literal["mean", "renormalized", "stack"]


class Transformation(nn.Module):
    """From two embeddings and a mask to an attention map over the query: base class.

    A subclass writes `relate`, the map of one support, before it is normalised. Everything else
    has a default. Parameters of a transformation train with T_f and Upsam, and are saved in
    checkpoints. Every embedding comes from one T_e, which is linear at every pixel: the model may
    therefore embed first and mask afterwards, T_e(G F) = G T_e(F) without its bias.

    Args:
        shots: "mean" takes the mean of the normalised maps of the K supports (the released
            code's way); "renormalized" applies equation 6 to that mean once more, because a mean
            of maps that do not agree stays away from 0 and 1, and a decoder that was trained with
            one shot takes that for doubt; "stack" puts the pixels of all supports into one
            support. With one shot all are the same.

    Attributes:
        masks_support: whether the support is masked (equation 1) before it is embedded. False
            where `relate` needs features of the background.

    Shape:
        E_q (B, D, h, w), E_s (B, K, D, h, w), G_s (B, K, 1, h, w) in [0, 1]
        -> A_hat (B, 1, h, w) in [0, 1].
    """

    masks_support: bool = True

    def __init__(self, shots: Shots = "mean") -> None:
        super().__init__()
        if shots not in (known := get_args(Shots)):
            raise ValueError(f"shots is {shots!r}, expected one of {', '.join(known)}")
        self.shots: Shots = shots

    def relate(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        """The attention over the query's pixels, for one support.

        Args:
            E_q: query embedding, (B, D, h, w).
            E_s: support embedding, (B, D, h, w), or (B, D, N_s) where supports are stacked.
            G_s: support mask, (B, 1, h, w) or (B, 1, N_s), values in [0, 1]; it may be empty.

        Returns:
            A, (B, N_q): larger where the query shows the object; constant for an empty mask.
        """
        raise NotImplementedError

    def mask_rows(self, G: Tensor) -> Tensor:
        """The mask rows of G_s in R_truth: (B, 1, h, w) -> (B, m, h, w); one row by default."""
        return G

    def forward(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        """Return the normalised attention map, K shots joined; see the class for shapes."""
        check_shape("E_q", E_q, "B", "D", "h", "w")
        B, D = E_q.shape[:2]
        hint = ": the shots are the second dimension"
        check_shape("E_s", E_s, B, "K", D, "h", "w", hint=hint)
        K = E_s.shape[1]
        check_shape("G_s", G_s, B, K, 1, *E_s.shape[3:])
        if self.shots == "stack":
            E_s, G_s = (x.transpose(1, 2).flatten(2) for x in (E_s, G_s))
            A_hat = normalize_attention(self.relate(E_q, E_s, G_s))
        else:
            E_each = E_q.repeat_interleave(K, dim=0)
            A = self.relate(E_each, E_s.flatten(0, 1), G_s.flatten(0, 1))
            A_hat = normalize_attention(A).unflatten(0, (-1, K)).mean(dim=1)
            if self.shots == "renormalized" and K > 1:
                A_hat = normalize_attention(A_hat)
        return A_hat.unflatten(1, (1, *E_q.shape[-2:]))

    def extra_repr(self) -> str:
        """Show the options in the module's printout."""
        return f"shots={self.shots!r}"


TRANSFORMATIONS: dict[str, Callable[[LTMConfig], Transformation]] = {}
"""Name to a function of the network's configuration that builds the transformation."""


def register_transformation(name: str, build: Callable[[LTMConfig], Transformation]) -> None:
    """Make a transformation known by name, for `LTMConfig.transformation` and checkpoints.

    Args:
        name: what it is called.
        build: a function of the configuration that returns the module.
    """
    TRANSFORMATIONS[name] = build


def build_transformation(config: LTMConfig) -> Transformation:
    """The transformation that a configuration names.

    Raises:
        InputError: none of this name is registered; the message lists the known ones.
    """
    if config.transformation not in TRANSFORMATIONS:
        raise InputError(
            f"transformation {config.transformation!r} is unknown: "
            f"choose {', '.join(TRANSFORMATIONS)}"
        )
    return TRANSFORMATIONS[config.transformation](config)
