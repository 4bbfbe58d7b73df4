"""Makes the modules that the tests of this room share importable: gaussian, laws."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
