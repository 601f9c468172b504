"""One drawing of the whole LTM, with the paper's symbols and the numbers of its equations.

The function to call is `ltm_edu.figures.pipeline()`. Coordinates are tenths of an inch from the
lower left corner of the figure.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse, FancyBboxPatch, Polygon, Rectangle

from .base import A_MAP, OKABE_ITO, R_MAP, style

_WIDTH, _HEIGHT = 132, 66
_SUPPORT, _QUERY, _FEATURES = 46.0, 32.0, 11.0  # y of the three lanes
_INK, _FROZEN, _LEARNED, _LOSS = "#222222", "#E4E6EA", "#CFE6F5", "#F9DCC8"

Point = tuple[float, float]


def pipeline() -> Figure:
    """Draw LTM: from two pictures and a mask to the answer and the three losses."""
    with style():
        figure = plt.figure(
            figsize=(_WIDTH / 10, _HEIGHT / 10), layout="none", label="the pipeline of LTM"
        )
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, _WIDTH), ylim=(0, _HEIGHT))
        axes.axis("off")
        axes.set_title("Local Transformation Module", y=0.925, fontsize=19, weight="bold")
        _pictures(axes)
        _embeddings(axes)
        _relation(axes)
        _decoder(axes)
        _losses(axes)
        _legend(axes)
    return figure


def _pictures(axes: Axes) -> None:
    _scene(axes, (2, 51.4), support=True, mask_only=True)
    _scene(axes, (2, 37.6), support=True)
    _scene(axes, (2, 23.8), support=False)
    for y, text in ((62.8, "mask"), (49.2, "support"), (35.4, "query")):
        _text(axes, (8, y), text, size=12)
    _box(axes, (25, 37.5), 10, 26, "frozen\nback-\nbone", _FROZEN)
    _arrow(axes, (14.5, 42.6), (19.6, 42.6))
    _arrow(axes, (14.5, 28.8), (19.6, 28.8))


def _embeddings(axes: Axes) -> None:
    mask = 57.0
    _line(axes, (14.5, mask), (38, mask), (86.4, mask), arrow=True)
    _text(axes, (24, mask + 2), "$G_s$")
    _line(axes, (38, mask), (38, _SUPPORT + 2), arrow=True)
    _arrow(axes, (30.4, _SUPPORT), (35.8, _SUPPORT))
    _text(axes, (32.8, _SUPPORT + 2.1), "$F_s$")
    _times(axes, (38, _SUPPORT), 1, (-2.9, 4.5))
    _arrow(axes, (40.2, _SUPPORT), (48.6, _SUPPORT))
    _text(axes, (44.2, _SUPPORT + 2.3), "$F'_s$")
    _arrow(axes, (30.4, _QUERY), (48.6, _QUERY))
    _text(axes, (33.6, _QUERY + 2.1), "$F_q$")
    _line(axes, (38, _QUERY), (38, _FEATURES), (48.6, _FEATURES), arrow=True)
    _box(axes, (53, 39), 8, 22, "$T_e$\nshared", _LEARNED)
    _box(axes, (53, _FEATURES), 8, 8, "$T_f$", _LEARNED)
    for y, text in ((_SUPPORT, "$E_s$"), (_QUERY, "$E_q$")):
        _arrow(axes, (57.4, y), (64.6, y))
        _text(axes, (60.8, y + 2.1), text)


def _relation(axes: Axes) -> None:
    noise = np.random.default_rng(3).normal(0, 0.12, (12, 12))
    on_query, on_support = np.zeros(12), np.zeros(12)
    on_query[3:6], on_support[5:10] = 1, 1
    R = 0.75 * np.outer(on_query, on_support) + noise
    _image(axes, R, (65, 30), 18, R_MAP, -1)
    _text(axes, (72.6, 50.8), "$R$: each query pixel\nwith each support pixel", size=12)
    _badge(axes, (83.6, 48.4), 2)
    _box(axes, (93, mask := 57), 13, 6, "inverse $G_s^+$", "white")
    _arrow(axes, (83.4, 39), (90.8, 39))
    _line(axes, (93, mask - 3.2), (93, 41.2), arrow=True)
    _times(axes, (93, 39), 5, (-3.2, 2.6), matrices=True)
    _text(axes, (93, 33.6), "solves\n$R = A\\,G_s$", size=12)
    _badge(axes, (98.6, 32.3), 4)
    _arrow(axes, (95.2, 39), (101.6, 39))
    _text(axes, (98, 41.1), "$A$")
    y, x = np.mgrid[0:10, 0:10]
    A_hat = np.exp(-(((x - 6) / 2.2) ** 2 + ((y - 5.5) / 1.7) ** 2))
    _image(axes, A_hat, (102, 33.5), 11, A_MAP, 0)
    _text(axes, (106.6, 47.2), r"min–max: $\hat{A}$", size=12)
    _badge(axes, (113.4, 44.9), 6)


def _decoder(axes: Axes) -> None:
    product_x = 87.0
    _arrow(axes, (57.4, _FEATURES), (product_x - 2.4, _FEATURES))
    _text(axes, (66, _FEATURES + 2.4), r"$\hat{F}_q$")
    _line(axes, (107.5, 33), (107.5, 24), (product_x, 24), (product_x, _FEATURES + 2.2), arrow=True)
    _times(axes, (product_x, _FEATURES), 7, (-2.9, 3.8))
    _arrow(axes, (product_x + 2.2, _FEATURES), (94.6, _FEATURES))
    _text(axes, (91.8, _FEATURES + 2.4), r"$\hat{F}'_q$")
    _box(axes, (101, _FEATURES), 12, 10, "Upsam", _LEARNED)
    _arrow(axes, (107.4, _FEATURES), (113, _FEATURES))
    _text(axes, (110, _FEATURES + 2.1), "$M$")
    _scene(axes, (113.5, _FEATURES - 5.5), support=False, mask_only=True)
    _text(axes, (119.5, 3.6), "answer", size=12)


def _losses(axes: Axes) -> None:
    _loss(axes, (72, 20.4), 17, "$L_r(R,\\ G_q^T G_s)$", 10)
    _line(axes, (74, 29.8), (74, 23.2), dashed=True)
    _badge(axes, (80.5, 17.7), 3)
    _loss(axes, (123.4, 39), 12.4, r"$L_a(\hat{A},\ Y)$", 9)
    _line(axes, (113.3, 39), (117, 39), dashed=True)
    _loss(axes, (119.5, 25.4), 13, "$L_m(M,\\ Y)$", 8)
    _line(axes, (119.5, 16.5), (119.5, 22.7), dashed=True)
    _text(axes, (121, 32.2), "$Y$: the query's truth", size=12)
    _box(
        axes,
        (119, 57),
        22,
        8.4,
        "$L = \\lambda_m L_m$\n$+\\,\\lambda_a L_a + \\lambda_r L_r$",
        _LOSS,
    )
    _badge(axes, (130, 61.2), 11)


def _legend(axes: Axes) -> None:
    for x, colour, text in ((3, _FROZEN, "frozen"), (16, _LEARNED, "learned"), (30, _LOSS, "loss")):
        axes.add_patch(Rectangle((x, 3), 3, 2.6, facecolor=colour, edgecolor=_INK, linewidth=1))
        _text(axes, (x + 4, 4.2), text, size=12, ha="left")
    _badge(axes, (41.5, 4.2), "n")
    _text(axes, (44, 4.2), "equation $n$", size=12, ha="left")
    for x, matrices, text in ((60, False, "pixel by pixel"), (80, True, "matrix product")):
        _times(axes, (x, 4.2), matrices=matrices)
        _text(axes, (x + 2.8, 4.2), text, size=12, ha="left")


# Parts --------------------------------------------------------------------------------------------


def _scene(axes: Axes, at: Point, support: bool, mask_only: bool = False) -> None:
    """Draw a small picture of a boat, or its mask; the query shows another boat and a tree."""
    x, y = at
    frame = Rectangle((x, y), 12, 10, facecolor="black" if mask_only else "#BFE3F7", linewidth=0)
    axes.add_patch(frame)
    centre, scale = ((x + 6, y + 2.6), 1.0) if support else ((x + 7.6, y + 3.1), 0.72)
    sail, hull = OKABE_ITO["orange"], OKABE_ITO["vermillion"]
    if mask_only:
        sail = hull = "white"
    else:
        axes.add_patch(Rectangle((x, y), 12, 3.4, facecolor="#5AA9D6", linewidth=0))
        if support:
            axes.add_patch(Circle((x + 2, y + 8.2), 1.0, color=OKABE_ITO["yellow"]))
        else:
            sail, hull = OKABE_ITO["purple"], OKABE_ITO["blue"]
            axes.add_patch(Rectangle((x, y), 4, 3.8, facecolor="#8FBF7F", linewidth=0))
            axes.add_patch(Rectangle((x + 1.6, y + 3), 0.7, 2.6, facecolor="#7A5230", linewidth=0))
            axes.add_patch(Ellipse((x + 2, y + 6.6), 3, 3.6, color=OKABE_ITO["green"]))
    cx, cy = centre
    shapes = {
        "hull": ((-4, 0), (4, 0), (2.7, -1.7), (-2.7, -1.7)),
        "sail": ((-0.2, 0.3), (-0.2, 6.2), (3.5, 0.3)),
        "jib": ((-0.7, 0.3), (-0.7, 5.0), (-3.0, 0.3)),
    }
    for name, points in shapes.items():
        corners = [(cx + scale * px, cy + scale * py) for px, py in points]
        colour = hull if name == "hull" else sail
        axes.add_patch(Polygon(corners, facecolor=colour, edgecolor="none"))
    axes.add_patch(Rectangle((x, y), 12, 10, fill=False, edgecolor=_INK, linewidth=1.2))


def _image(axes: Axes, values: np.ndarray, at: Point, side: float, cmap: str, low: float) -> None:
    x, y = at
    extent = (x, x + side, y, y + side)
    axes.imshow(values, cmap=cmap, vmin=low, vmax=1, extent=extent, aspect="auto", zorder=2)
    axes.add_patch(Rectangle(at, side, side, fill=False, edgecolor=_INK, linewidth=1.2, zorder=3))


def _box(axes: Axes, centre: Point, width: float, height: float, text: str, colour: str) -> None:
    corner = (centre[0] - width / 2, centre[1] - height / 2)
    shape = "round,pad=0,rounding_size=1"
    axes.add_patch(
        FancyBboxPatch(
            corner, width, height, shape, facecolor=colour, edgecolor=_INK, linewidth=1.3
        )
    )
    _text(axes, centre, text, size=14)


def _times(
    axes: Axes,
    centre: Point,
    equation: int | None = None,
    badge: Point = (0, 0),
    matrices: bool = False,
) -> None:
    """Draw the sign of a product: @ for matrices, a cross for a product pixel by pixel."""
    axes.add_patch(Circle(centre, 1.9, facecolor="white", edgecolor=_INK, linewidth=1.3))
    if matrices:
        axes.text(*centre, "@", fontsize=13, ha="center", va="center_baseline", color=_INK)
    else:
        axes.plot(*centre, marker="x", color=_INK, markersize=9, markeredgewidth=1.8)
    if equation is not None:
        _badge(axes, (centre[0] + badge[0], centre[1] + badge[1]), equation)


def _loss(axes: Axes, centre: Point, width: float, text: str, equation: int) -> None:
    _box(axes, centre, width, 5.2, text, _LOSS)
    _badge(axes, (centre[0] + width / 2, centre[1] + 2.7), equation)


def _badge(axes: Axes, centre: Point, equation: int | str) -> None:
    axes.add_patch(Circle(centre, 1.65, facecolor=_INK, edgecolor="white", linewidth=1, zorder=5))
    axes.text(
        *centre, str(equation), color="white", fontsize=12.5, weight="bold", ha="center",
        va="center_baseline", zorder=6,
    )  # fmt: skip


def _text(axes: Axes, at: Point, text: str, size: float = 15, ha: str = "center") -> None:
    axes.text(*at, text, fontsize=size, ha=ha, va="center", color=_INK, linespacing=1.25, zorder=4)


def _arrow(axes: Axes, start: Point, end: Point) -> None:
    _line(axes, start, end, arrow=True)


def _line(axes: Axes, *points: Point, arrow: bool = False, dashed: bool = False) -> None:
    """Draw straight lines through the points, with an arrow head at the last one."""
    colour = OKABE_ITO["vermillion"] if dashed else _INK
    x, y = zip(*points, strict=True)
    look = {"color": colour, "linewidth": 1.6, "linestyle": "--" if dashed else "-", "zorder": 1}
    axes.plot(x, y, solid_joinstyle="miter", **look)
    if arrow:
        head = {"arrowstyle": "-|>,head_width=0.32,head_length=0.6", "color": colour, "lw": 1.6}
        axes.annotate("", points[-1], points[-2], arrowprops={**head, "shrinkA": 0, "shrinkB": 0})
