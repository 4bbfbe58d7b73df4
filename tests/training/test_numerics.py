"""The recipe of the shipped model, frozen: losses and weights of a tiny run, recorded before the loop was taken apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from unveil.training import config as configuration
from unveil.training.loop import train

STAGES = [
    {"kind": "predictor", "steps": 3, "lr": 8e-4, "batch": 4, "crop": 32, "low": 0.5, "switch": 0.5, "warmup": 2},
    {"kind": "regression", "steps": 3, "lr": 4e-4, "batch": 4, "crop": 32, "warmup": 2},
    {"kind": "correction", "steps": 3, "lr": 6e-4, "batch": 3, "crop": 32, "low": 0.4, "warmup": 2},
    {"kind": "correction", "steps": 2, "lr": 6e-4, "batch": 3, "crop": 32, "target": "posterior", "warmup": 2},
]
# Per stage: running loss and norm of the last gradient; then the sums of the averaged weights' absolute values.
RECORDED = {
    "fp32": [
        *(0.7453850978612899, 1.515482783317566, 0.23379474418163299, 0.8735253810882568),
        *(0.599231190175563, 0.1473124921321869, 0.2961073762178421, 1.0333963632583618),
        *(1603.826877456533, 2796.7703523098953),
    ],
    "bf16": [
        *(0.7453820195674896, 1.5171281099319458, 0.23374815460443496, 0.8747076988220215),
        *(0.5991329700857402, 0.14727148413658142, 0.2960565882921219, 1.0345675945281982),
        *(1603.826624494414, 2796.779995044615),
    ],
}


def tree(root: Path, precision: str) -> dict[str, object]:
    return {
        "seed": 3,
        "precision": precision,
        "save_every": 100,
        "data": {
            "root": str(root),
            "pairs": [{"degraded": "degraded", "clean": "clean", "weight": 1.0}],
            "held_out": 0.2,
        },
        "network": {"base": 8, "mults": [1, 1, 2], "blocks": 1, "head": 8},
        "stages": STAGES,
    }


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_recipe_gives_the_recorded_numbers(pairs: Path, tmp_path: Path, precision: str) -> None:
    learner = train(configuration.parse(tree(pairs, precision)), tmp_path / "run", report=lambda line: None)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    found = [value for line in lines for value in (line["loss"], line["norm"])]
    found += [
        sum(float(p.detach().double().abs().sum()) for p in m.parameters()) for m in (learner.predictor, learner.head)
    ]
    # Sums of floats differ in the last bits between machines; bf16 rounds at 2^-8, so a different order shows sooner.
    tolerance = 1e-5 if precision == "fp32" else 5e-3
    assert found == pytest.approx(RECORDED[precision], rel=tolerance)
    assert torch.isfinite(torch.tensor(found)).all()
