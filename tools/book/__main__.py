"""`python -m tools.book` renders the notebooks as HTML."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
