"""`python -m unveil.cli`: the command, where its script is not on the path."""

import sys

from unveil.cli import main

sys.exit(main())
