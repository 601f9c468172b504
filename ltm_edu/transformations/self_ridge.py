"""Ridge regression on the support and on the query's own confident pixels."""

from __future__ import annotations

from torch import Tensor

from ..equations import normalize_attention
from .base import Shots, register_transformation
from .ridge import RidgeTransformation, normal_equations


class SelfRidgeTransformation(RidgeTransformation):
    """Ridge regression again, with the query's confident pixels beside those of the supports.

    The first map decides which pixels of the query are surely the object and which surely are not.
    They join the supports' pixels, all K supports together, in one regression that gives the next
    map; then the same once more.

    Source: the regression as in `RidgeTransformation`; the query as its own support from SSP, Fan
    et al., ECCV 2022, arXiv:2207.11549.

    Args:
        ridge: lambda, see `RidgeTransformation`.
        shots: how the K first maps are joined; see `Transformation`.
        surely: a map of at least this is the object, of at most one minus this the background.
        rounds: how often the query's pixels are chosen anew.
    """

    def __init__(
        self, ridge: float = 10.0, shots: Shots = "mean", surely: float = 0.7, rounds: int = 2
    ) -> None:
        super().__init__(ridge, shots)
        self.surely = surely
        self.rounds = rounds

    def forward(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        """Return the last normalised map; see `Transformation` for shapes."""
        A_hat = super().forward(E_q, E_s, G_s)
        gram, moment = normal_equations(*(x.transpose(1, 2).flatten(2) for x in (E_s, G_s)))
        for _ in range(self.rounds):
            found = A_hat.flatten(2)
            inside, outside = found >= self.surely, found <= 1 - self.surely
            sure = E_q.flatten(2) * (inside | outside)
            own_gram, own_moment = normal_equations(sure, inside.to(E_q))
            A = self.solve(E_q, gram + own_gram, moment + own_moment)
            A_hat = normalize_attention(A).reshape(A_hat.shape)
        return A_hat


register_transformation("self_ridge", lambda config: SelfRidgeTransformation(shots=config.shots))
