"""The table of formats in docs/photos.md is what happens when a photograph is read, left as it is and written."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import reach
from unveil import photo
from unveil.bench import memory
from unveil.jobs.manifest import Row
from unveil.photo.record import from_array

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "photos.md").read_text(encoding="utf-8")
FORMATS = ("PNG", "TIFF", "WEBP", "BMP", "JPEG", "AVIF", "HEIC", "JXL", "JP2")
KINDS = {
    "grey": (1, np.uint8), "grey, 16 bit": (1, np.uint16), "RGB": (3, np.uint8), "RGB, 16 bit": (3, np.uint16),
    "RGBA": (4, np.uint8), "RGBA, 16 bit": (4, np.uint16),
}  # fmt: skip


def became(channels: int, dtype: type, target: str) -> str:
    """What an untouched photograph of this kind is after being written as `target`, in words."""
    y, x, c = np.ogrid[:16, :24, : max(channels, 1)]
    values = (0.2 + 0.02 * x + 0.015 * y + 0.05 * c).clip(0, 1)
    given = from_array(np.rint(values * np.iinfo(dtype).max).astype(dtype))
    data = io.BytesIO()
    photo.write(given, given.pixels, data, target)
    back = photo.read(data.getvalue())
    words = []
    depth = back.bits or back.depth
    if depth < given.depth:
        words.append(f"{depth} bit")
    if back.grey != given.grey:
        words.append("grey as RGB")
    if (back.alpha is None) != (given.alpha is None):
        words.append("alpha on white")
    elif np.abs(back.pixels - given.pixels).max() > 0.51 / 255 or target in ("JPEG", "AVIF", "HEIC"):
        words.append("lossy")
    elif depth == given.depth:
        assert np.array_equal(back.pixels, given.pixels)
    if given.alpha is not None and back.alpha is not None and depth == given.depth:
        assert np.array_equal(back.alpha, given.alpha)
    return ", ".join(words) or "exact"


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_of_formats(kind: str) -> None:
    pytest.importorskip("pillow_heif")
    pytest.importorskip("pillow_jxl")
    pytest.importorskip("imagecodecs")
    cells = [became(*KINDS[kind], target) for target in FORMATS]
    assert f"| {' | '.join([kind, *cells])} |" in PAGE


def test_the_memory_table_is_the_measured_one_and_within_the_plan() -> None:
    root = Path(__file__).resolve().parents[2]
    result = json.loads((root / "benchmarks" / "results" / "memory.json").read_text(encoding="utf-8"))
    assert memory.markdown(result) in PAGE
    assert {round(row["megapixels"]) for row in result["rows"]} >= {1, 12, 50, 100}
    assert all(row["peak_bytes"] - row["base_bytes"] <= row["planned_bytes"] for row in result["rows"])


def test_the_table_of_the_reach_is_the_measured_one() -> None:
    root = Path(__file__).resolve().parents[2]
    result = json.loads((root / "benchmarks" / "results" / "reach.json").read_text(encoding="utf-8"))
    assert reach.show(result) in PAGE
    assert f"From {result['reach']} pixels on" in PAGE
    shipped = json.loads((root / "src" / "unveil" / "models" / "manifest.json").read_text(encoding="utf-8"))["general"]
    if "reach" in shipped:
        assert (shipped["reach"], shipped["sha256"]) == (result["reach"], result["protocol"]["sha256"])


def test_the_manifest_is_described_key_by_key() -> None:
    for name in (*Row.__dataclass_fields__, "restored", "skipped", "failed", "stopped"):
        assert f"`{name}`" in PAGE, name
    assert f"| {' | '.join(['', *FORMATS])} |" in PAGE
