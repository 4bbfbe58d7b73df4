"""docs/metrics.md prints what was measured, which is in benchmarks/results/metrics_elsewhere.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
RESULT = json.loads((ROOT / "benchmarks/results/metrics_elsewhere.json").read_text(encoding="utf-8"))


def cells(name: str) -> list[str]:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


@pytest.mark.parametrize("name", RESULT["metrics"])
def test_metrics_are_those_measured(name: str) -> None:
    row = RESULT["metrics"][name]
    metrics = ("psnr", "ssim", "ms_ssim", "mae_lab", "ciede2000")
    assert cells(name) == [f"{row[m]:.{4 if 'ssim' in m else 3}f}" if m in row else "" for m in metrics]


@pytest.mark.parametrize("name", RESULT["resizing"])
def test_resizing_is_that_measured(name: str) -> None:
    assert cells(name) == [f"{x:.2f}" for x in RESULT["resizing"][name]]


def test_what_the_page_concludes() -> None:
    m = RESULT["metrics"]
    ours = m["ours, `native`"]["ssim"]
    for name in ("torchmetrics 1.4.1", "pytorch-msssim 1.0.0"):
        assert m[name]["ssim"] == pytest.approx(ours, abs=1e-5), name
    for name in ("torchmetrics 1.9.0", "kornia 0.9.0"):
        assert m[name]["ssim"] == pytest.approx(ours + 1.8e-4, abs=2e-5), name
    assert m["scikit-image 0.26.0"]["ssim"] == pytest.approx(
        m["ours, window `uniform7` (as `lol256`)"]["ssim"], abs=1e-9
    )
    assert m["piq 0.8.0"]["ssim"] == pytest.approx(ours + 0.28, abs=0.01)
    for name, row in m.items():
        if "psnr" in row:
            assert row["psnr"] == pytest.approx(28.40283 if "brightness" in name else 24.99436, abs=5e-5), name
