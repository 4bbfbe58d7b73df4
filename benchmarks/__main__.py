"""The registry of `python -m benchmarks`."""

import sys

from benchmarks._runner import run

GROUPS = {
    "quality": (
        "quality",
        "zeroshot_quality",
        "calibration",
        "denoisers",
        "blind",
        "wild_model",
        "finetune",
    ),
    "speed and memory": (
        "gpu",
        "load",
        "soak",
        "reach",
    ),
    "documentation": ("render", "plots", "gallery", "gallery_methods", "floors", "api"),
}
PLAIN = ("soak", "render", "plots", "floors", "api")
"""What takes neither --json, --quick nor --threads."""

if __name__ == "__main__":
    sys.exit(run("benchmarks", GROUPS, PLAIN))
