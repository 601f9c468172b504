"""The course as a book of HTML pages that needs neither Python nor a network to read.

Sphinx with MyST-NB renders the notebooks as they are saved, and no cell is run. `building` checks
the notebooks, builds the book in a scratch folder and puts it in place when it is whole; `pages`
writes the pages that no file of the project holds; `conf` is Sphinx's configuration, with the
checks of links and formulas.
"""

from .building import build as build
from .building import main as main
