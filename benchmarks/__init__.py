"""Measurements: `python -m benchmarks NAME ...`. Files whose names begin with an underscore are shared by them."""

import os

# Threads that spin while they wait slow two busy processes down six-fold; must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
