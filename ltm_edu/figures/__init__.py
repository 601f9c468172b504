"""All static figures of the course: each function takes arrays or tensors and returns a Figure.

There is one module for each topic, and `base` sets the look of all. In a notebook, end the cell
with `plt.show()`.
"""

from .base import (
    A_MAP,
    MARKS,
    OKABE_ITO,
    R_MAP,
    Picture,
    answer_on,
    as_array,
    as_uint8,
    attention_pixels,
    bare,
    cell_of_pixel,
    enlarged,
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
    Depth,
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
    least_squares,
    painted,
    painted_masks,
)
from .journey import STAGES, journey, object_first
from .league import league_chart
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
    iou,
    named_bars,
    per_class_bars,
    seed_dots,
    three_scores,
)
from .speed import cancellation, crossing, leads, speed_report, standings, two_orders
from .thresholds import cut, raw_and_normalised, threshold_masks
from .training import (
    Frame,
    learning_curves,
    run_curves,
    scored_runs,
    smoothed,
    training_frames,
)
