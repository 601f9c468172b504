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
from .features import (
    cosine_maps,
    depth_panels,
    depth_scores,
    depths,
    mask_on_grid,
    principal_colours,
    sight,
)
from .folds import (
    class_crops,
    class_strip,
    fold_board,
    fold_boards,
    grid_points,
    mask_values,
    questions,
    seen_bars,
)
from .inverse import (
    answer_of_mask,
    attention_maps,
    explained,
    iou,
    least_squares,
    painted,
    painted_masks,
)
from .loss_terms import (
    LOSS_COLOURS,
    attention_loss_forms,
    loss_curves,
    loss_maps,
    loss_shares,
    shares,
)
from .relation import best_matches, index_order, relation_blocks, relation_overlay, relation_rows
from .results import Page, border_readings, class_bars, judged, results_pages
from .scores import (
    Answered,
    answered_panels,
    best_and_worst,
    episode_ious,
    flattery,
    named_bars,
    per_class_bars,
    seed_dots,
    three_scores,
)
from .speed import cancellation, crossing, leads, speed_report, standings, two_orders
from .thresholds import cut, raw_and_normalised, threshold_masks
from .training import (
    Frame,
    answer_on,
    learning_curves,
    run_curves,
    scored_runs,
    smoothed,
    training_frames,
)
