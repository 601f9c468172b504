"""The swappable part: from two embeddings and a mask to an attention map over the query."""

from .base import GlobalTransformation, LocalTransformation, Rows, Shots

__all__ = ["GlobalTransformation", "LocalTransformation", "Rows", "Shots"]
