"""The swappable part: from two embeddings and a mask to an attention map over the query.

`LocalTransformation` is the paper's module, `GlobalTransformation` what it is compared with. To
add one: a file with a subclass of `Transformation` and a call of `register_transformation`.
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
from .prototype import GlobalTransformation

__all__ = [
    "TRANSFORMATIONS",
    "GlobalTransformation",
    "LocalTransformation",
    "Rows",
    "Shots",
    "Transformation",
    "build_transformation",
    "register_transformation",
]
