"""``python -m overwinter``: the command line."""

import sys

from overwinter.edge.cli import main

sys.exit(main())
