"""Frozen features, computed once a picture, and the batches that are drawn from them."""

from .cache import FeatureCache

__all__ = ["FeatureCache"]
