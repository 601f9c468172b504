"""Every interactive figure of the course; ipywidgets is imported only when one is called.

GitHub and HTML show no widget: in the notebooks a static figure follows each.
"""

from .base import to_png
from .relation import pick_pixel
from .support import support_picker
