"""The global baseline: one averaged vector and a cosine."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .base import Transformation, register_transformation


class GlobalTransformation(Transformation):
    """Masked average pooling, then a cosine at every query pixel.

    The object becomes ONE vector, the mask-weighted mean of its embedding.

    Source: Zhang et al., SG-One, IEEE Transactions on Cybernetics 2020, arXiv:1810.09091.
    """

    def relate(self, E_q: Tensor, E_s: Tensor, G_s: Tensor) -> Tensor:
        """The cosine with the prototype; see `Transformation.relate`."""
        E_s, G_s = E_s.flatten(2), G_s.flatten(2)
        weight = G_s / G_s.sum(dim=2, keepdim=True).clamp_min(1e-5)
        prototype = (E_s * weight).sum(dim=2, keepdim=True)
        return F.cosine_similarity(E_q.flatten(2), prototype, dim=1)


register_transformation("global", lambda config: GlobalTransformation(config.shots))
