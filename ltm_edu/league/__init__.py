"""A league of transformations: all on the same episodes, each beside the paper's."""

from .difference import Difference, paired_difference
from .scoring import LEAGUE, Entry, League, Method, all_methods, score_league

__all__ = [
    "LEAGUE",
    "Difference",
    "Entry",
    "League",
    "Method",
    "all_methods",
    "paired_difference",
    "score_league",
]
