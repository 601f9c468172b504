"""All interactive figures of the course.

A call imports ipywidgets or anywidget; the package does not. The figures of notebooks 01, 03, 04
and 05 are drawn in the page by front.js and work in the book too; the others need a kernel. GitHub
shows no widget, so a static figure follows each widget in the notebooks.
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
