"""The registry of `python -m recipes`."""

import sys

from benchmarks._runner import run

GROUPS = {
    "networks": ("train_gpu", "train_prior", "fit_classifier", "fit_second_look", "fit_doubt", "fit_naturalness"),
    "the shelf": ("shelve", "shelve_prior"),
}
PLAIN = ("train_gpu", "train_prior", "fit_naturalness", "shelve", "shelve_prior")
"""What takes neither --json, --quick nor --threads."""

if __name__ == "__main__":
    sys.exit(run("recipes", GROUPS, PLAIN))
