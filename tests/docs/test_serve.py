"""The page about the server quotes the measured load."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_is_what_was_measured() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "load.json").read_text())
    page = (ROOT / "docs" / "serve.md").read_text()
    assert not result["protocol"]["quick"]
    for row in result["rows"]:
        cells = [row[k] for k in ("requests_per_second", "p50", "p90", "p99", "processor_seconds")]
        assert " | ".join([str(row["clients"]), *[f"{c:.2f}" for c in cells]]) in page
        assert row["overhead"] < 0.05
    assert f"{result['in_process']['processor_seconds']:.2f} s of processor time" in page
