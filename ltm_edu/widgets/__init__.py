"""Every interactive figure of the course; ipywidgets is imported only when one is called.

GitHub and HTML show no widget: in the notebooks a static figure follows each.
"""

from .base import to_png
from .episodes import episode_browser
from .folds import fold_browser
from .frames import training_frames
from .inverse import paint_mask
from .loss_terms import lambda_sliders
from .relation import pick_pixel
from .results import results_browser
from .stages import stage_slider
from .support import support_picker
from .thresholds import threshold_slider
