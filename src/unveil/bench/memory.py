"""Peak memory of one restoration against the photograph's size, with a light network, each size in a process of its own.

What is read, restored and written is an 8-bit JPEG; the network is a random one of four channels, since memory depends on its size
only through the tile's term, which the plan bounds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from unveil.bench.record import Clock, environment, peak_bytes, table
from unveil.bench.speed import apart

RATIO = 4 / 3
SIZES = (1.0, 12.0, 50.0, 100.0)
"""Megapixels."""
_MAKE = """
import json, sys, numpy as np
from PIL import Image
Image.MAX_IMAGE_PIXELS = None
small = Image.fromarray(np.array(json.loads(sys.argv[4]), np.uint8))
small.resize((int(sys.argv[2]), int(sys.argv[3])), Image.Resampling.BICUBIC).save(sys.argv[1], quality=90)
"""


def single(megapixels: float, tile: int | str, samples: int, steps: int, threads: int) -> dict[str, Any]:
    """One row, here: peak resident bytes before, after reading, after restoring and after writing, against the plan."""
    import numpy as np
    import torch
    from PIL import Image

    from unveil import photo
    from unveil.options import Options
    from unveil.restorer import Restorer
    from unveil.testing import tiny_model

    torch.set_num_threads(threads)
    width = round((megapixels * 1e6 * RATIO) ** 0.5)
    height = round(width / RATIO)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        # A smooth picture: small on disk and quick to encode; memory does not depend on content.
        small = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        subprocess.run(
            [sys.executable, "-c", _MAKE, str(path), str(width), str(height), json.dumps(small.tolist())], check=True
        )
        restorer = Restorer(tiny_model(), device="cpu")
        options = Options(tile=tile, samples=samples, steps=steps)
        warm = np.random.default_rng(0).random((64, 64, 3), dtype=np.float32)
        restorer.restore(warm, steps=steps)  # libraries loaded, threads started
        Image.init()
        base = peak_bytes()
        clock = Clock()
        source = photo.read(path)
        read = peak_bytes()
        plan = restorer.plan(height, width, options)
        result = restorer.restore(source, options)
        restored = peak_bytes()
        result.save(Path(folder) / "out.jpg")
        written = peak_bytes()
    pixels = width * height
    return {
        "megapixels": pixels / 1e6,
        "tile": plan.tile,
        "tiles": len(plan.tiles()),
        "samples": samples,
        "kept": len(result.samples),
        "base_bytes": base,
        "read_bytes": read,
        "restored_bytes": restored,
        "peak_bytes": written,
        "bytes_per_pixel": (written - base) / pixels,
        "planned_bytes": plan.bytes,
        "seconds": clock.wall,
        "processor_seconds": clock.processor,
    }


def available() -> int:
    """Bytes of main memory that can be had now; a very large number where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 1 << 60
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))


def measure(
    sizes: Sequence[float] = SIZES,
    *,
    tile: int | str = 1024,
    samples: int = 1,
    steps: int = 5,
    threads: int = 1,
    keep_free: float = 6.0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """A row for every size in megapixels.

    keep_free: GB that the machine must have to spare beyond what a size will take, or it is left out: a benchmark must not push
    others out of memory. tile: a fixed one keeps its term the same in every row.
    """
    rows, left_out = [], []
    for done, size in enumerate(sizes, start=1):
        if available() - (size * 1e6 * 120 + 1e9) < keep_free * 1e9:
            left_out.append(size)
        else:
            rows.append(apart(__name__, json.dumps([size, tile, samples, steps, threads])))
        if progress is not None:
            progress(done, len(sizes))
    protocol = {
        "model": "unveil.testing.tiny_model(), fp32", "tile": tile, "samples": samples, "steps": steps, "threads": threads,
        "what": "peak resident memory (ru_maxrss) of a process that reads, restores and writes one 8-bit JPEG",
        **environment(),
    }  # fmt: skip
    return {"name": "memory", "protocol": protocol, "rows": rows, "left_out_megapixels": left_out}


def markdown(result: dict[str, Any]) -> str:
    """The result as a table."""
    rows = [
        (
            f"{r['megapixels']:.0f} MP" + (f", {r['samples']} draws" if r["samples"] > 1 else ""),
            str(r["tiles"]),
            *(f"{r[k] / 2**20:.0f}" for k in ("base_bytes", "read_bytes", "restored_bytes", "peak_bytes")),
            f"{r['bytes_per_pixel']:.0f}",
            f"{r['planned_bytes'] / 2**20:.0f}",
            f"{r['processor_seconds']:.0f}",
        )
        for r in result["rows"]
    ]
    numbers = ("tiles", "before (MiB)", "read", "restored", "written (peak)", "bytes/pixel", "planned", "CPU s")
    return table(("photograph", *numbers), rows)


if __name__ == "__main__":
    print(json.dumps(single(*json.loads(sys.argv[1]))))
