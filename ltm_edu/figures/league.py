"""The figure of a league: how far each transformation is from the paper's."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ..league import League
from .base import OKABE_ITO, style


def league_chart(league: League) -> Figure:
    """Draw each method's difference to the first one, with its 95 % interval.

    A filled dot is a difference whose interval leaves out zero. Methods that were scored both ways
    get a panel each: training-free, and in the same trained network.

    Args:
        league: from `score_league` or `League.load`.
    """
    kinds = {"training-free": False, "trained in the same network": True}
    panels = {
        title: [e for e in league.entries if e.trained == trained]
        for title, trained in kinds.items()
    }
    panels = {title: entries for title, entries in panels.items() if entries}
    longest = max(map(len, panels.values()))
    with style():
        figure, row = plt.subplots(
            1, len(panels), figsize=(4.6 * len(panels) + 1, 0.34 * longest + 1.5), squeeze=False
        )
        for axes, (title, entries) in zip(row[0], panels.items(), strict=True):
            first, *others = entries
            axes.axvline(0, color="0.5", linewidth=1)
            for y, e in enumerate(others):
                d = e.difference
                colour = OKABE_ITO["blue" if d.value >= 0 else "vermillion"]
                axes.hlines(y, d.low, d.high, color=colour, linewidth=2)
                fill = colour if d.is_clear else "white"
                axes.plot(d.value, y, "o", color=colour, markerfacecolor=fill, markersize=7)
            labels = [f"{e.method}  {e.miou:.3f}" for e in others]
            axes.set_yticks(range(len(others)), labels)
            axes.invert_yaxis()
            axes.set(xlabel=f"mIoU minus that of {first.method} ({first.miou:.3f})", title=title)
    return figure
