"""The most similar pixel of the object, in place of the mean over all of them."""

from __future__ import annotations

from torch import Tensor

from ..equations import relationship_matrix
from .base import Transformation, register_transformation


class MaximumTransformation(Transformation):
    """A_i is the largest cosine R_ij with a pixel j of the object, weighted by its mask.

    One wrong pixel pair is enough for a large value: the map is sharp and noisy.

    Source: the prior mask of PFENet, Tian et al., TPAMI 2020, arXiv:2008.01449.
    """

    def relate(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        """The maximum over each row of R; see `Transformation.relate`."""
        R = relationship_matrix(E_q, E_s)
        return (R * G_s.flatten(1)[:, None]).amax(dim=2)


register_transformation("maximum", lambda config: MaximumTransformation(config.shots))
