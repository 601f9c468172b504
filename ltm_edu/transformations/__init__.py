"""The swappable part: from two embeddings and a mask to an attention map over the query.

`LocalTransformation` is the paper's module, `GlobalTransformation` what the paper compares it
with; `ltm-edu compare` scores all of them. To add one: a file with a subclass of `Transformation`
and a call of `register_transformation`.
"""

from .base import (
    TRANSFORMATIONS,
    Rows,
    Shots,
    Transformation,
    build_transformation,
    register_transformation,
)
from .local import LocalTransformation
from .maximum import MaximumTransformation
from .parts import PartsTransformation
from .prototype import GlobalTransformation
from .reverse import ReverseTransformation
from .ridge import RidgeTransformation
from .self_ridge import SelfRidgeTransformation
from .self_support import SelfSupportTransformation
from .softmax import SoftmaxTransformation
from .top_k import TopTransformation

__all__ = [
    "TRANSFORMATIONS",
    "GlobalTransformation",
    "LocalTransformation",
    "MaximumTransformation",
    "PartsTransformation",
    "ReverseTransformation",
    "RidgeTransformation",
    "Rows",
    "SelfRidgeTransformation",
    "SelfSupportTransformation",
    "Shots",
    "SoftmaxTransformation",
    "TopTransformation",
    "Transformation",
    "build_transformation",
    "register_transformation",
]
