"""Every static figure of the course: one function each, arrays or tensors in, a Figure out.

One module a topic, one look everywhere (`base`). In a notebook, end the cell with `plt.show()`.
"""

from .base import (
    A_MAP,
    MARKS,
    OKABE_ITO,
    R_MAP,
    Picture,
    as_array,
    as_uint8,
    bare,
    cell_of_pixel,
    faded,
    marked,
    outline,
    square_grid,
    style,
    tint,
    tinted,
)
from .diagram import pipeline
from .episodes import answers, contact_sheet, episode, side_by_side, steps
from .relation import best_matches, index_order, relation_blocks, relation_overlay, relation_rows
from .scores import per_class_bars
