"""The registry of `python -m benchmarks`."""

import sys

from benchmarks._runner import run

GROUPS = {
    "quality": (
        "quality",
        "choices",
        "calibration",
        "denoisers",
        "blind",
        "wild_model",
        "finetune",
        "guidance",
        "metrics_elsewhere",
    ),
    "speed and memory": ("gpu", "load", "soak", "reach", "training", "quality_per_second", "wild", "attention_memory"),
    "ablations": ("ablation_dpsc", "ablation_drm"),
    "zero-shot methods": ("zeroshot_quality", "zeroshot_cost", "zeroshot_memory", "peer_deepinv"),
    "documentation": ("render", "plots", "gallery", "gallery_methods", "floors", "api"),
}
PLAIN = ("metrics_elsewhere", "soak", "peer_deepinv", "render", "plots", "floors", "api")
"""What takes neither --json, --quick nor --threads."""

if __name__ == "__main__":
    sys.exit(run("benchmarks", GROUPS, PLAIN))
