"""Peak memory of one restoration against the photograph's size, with a light network, each size in a process of its own.

    python benchmarks/memory.py --sizes 1 12 50 100 --json benchmarks/results/memory.json

What is read, restored and written is an 8-bit JPEG; the network is a random one of four channels, since memory depends on its size
only through the tile's term, which the plan bounds. A size is left out where the machine has not `--keep-free` GB to spare beyond
the plan: a benchmark must not push others out of memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _shared import Clock, environment, parser, table, use_threads, write_json

NAME = "memory"
RATIO = 4 / 3


def single(megapixels: float, tile: int | str, samples: int, steps: int, threads: int) -> dict[str, Any]:
    """One row, in this process: peak resident bytes before, after restoring and after writing, against the plan."""
    import resource

    import numpy as np
    from PIL import Image

    from unveil import photo
    from unveil.restorer import Options, Restorer
    from unveil.testing import tiny_model

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    use_threads(threads)
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
        base = peak()
        clock = Clock()
        source = photo.read(path)
        read = peak()
        plan = restorer.plan(height, width, options)
        result = restorer.restore(source, options)
        restored = peak()
        result.save(Path(folder) / "out.jpg")
        written = peak()
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


_MAKE = """
import json, sys, numpy as np
from PIL import Image
Image.MAX_IMAGE_PIXELS = None
small = Image.fromarray(np.array(json.loads(sys.argv[4]), np.uint8))
small.resize((int(sys.argv[2]), int(sys.argv[3])), Image.Resampling.BICUBIC).save(sys.argv[1], quality=90)
"""


def available() -> int:
    """Bytes of main memory that can be had now; a very large number where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 1 << 60
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))


def show(result: dict[str, Any]) -> str:
    """The result as Markdown."""
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
    head = (
        "photograph",
        "tiles",
        "before (MiB)",
        "read",
        "restored",
        "written (peak)",
        "bytes/pixel",
        "planned",
        "CPU s",
    )
    return table(head, rows)


def main() -> None:
    made = parser(__doc__ or "")
    made.add_argument("--sizes", type=float, nargs="+", default=[1, 12, 50, 100], help="megapixels")
    made.add_argument("--tile", default="1024", help="as in unveil restore; a fixed one keeps the tile's term the same")
    made.add_argument("--samples", type=int, default=1)
    made.add_argument("--steps", type=int, default=5)
    made.add_argument("--keep-free", type=float, default=6.0, metavar="GB")
    made.add_argument("--single", type=float, help="measure this one size here and print it as JSON")
    args = made.parse_args()
    tile = int(args.tile) if args.tile.isdecimal() else args.tile
    if args.single is not None:
        print(json.dumps(single(args.single, tile, args.samples, args.steps, args.threads)))
        return
    rows, left_out = [], []
    for size in [0.25, 1] if args.quick else args.sizes:
        expected = size * 1e6 * 120 + 1e9
        if available() - expected < args.keep_free * 1e9:
            left_out.append(size)
            print(
                f"{size:g} MP left out: {available() / 1e9:.1f} GB available, {expected / 1e9:.1f} needed",
                file=sys.stderr,
            )
            continue
        call = [sys.executable, __file__, "--single", str(size), "--tile", str(tile), "--samples", str(args.samples)]
        call += ["--steps", str(args.steps), "--threads", str(args.threads)]
        ran = subprocess.run(call, check=True, capture_output=True, text=True)
        rows.append(json.loads(ran.stdout.splitlines()[-1]))
        print(table(("MP", "peak MiB"), [(f"{size:g}", f"{rows[-1]['peak_bytes'] / 2**20:.0f}")]), file=sys.stderr)
    protocol = {
        "model": "unveil.testing.tiny_model(), fp32", "tile": tile, "samples": args.samples, "steps": args.steps,
        "what": "peak resident memory (ru_maxrss) of a process that reads, restores and writes one 8-bit JPEG",
        **environment(),
    }  # fmt: skip
    result = {"name": NAME, "protocol": protocol, "rows": rows, "left_out_megapixels": left_out}
    print(show(result))
    write_json(args.json, result)


if __name__ == "__main__":
    main()
