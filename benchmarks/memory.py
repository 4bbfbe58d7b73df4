"""Peak memory of one restoration against the photograph's size, with a light network, each size in a process of its own.

    python -m benchmarks memory --sizes 1 12 50 100 --json benchmarks/results/memory.json

The measuring is that of `unveil bench memory`. A size is left out where the machine has not `--keep-free` GB to spare beyond the plan: a
benchmark must not push others out of memory.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from benchmarks._shared import write_json
from unveil.bench import memory

NAME = "memory"
show = memory.markdown


def arguments(made: ArgumentParser) -> None:
    made.add_argument("--sizes", type=float, nargs="+", default=list(memory.SIZES), help="megapixels")
    made.add_argument("--tile", default="1024", help="as in unveil restore; a fixed one keeps the tile's term the same")
    made.add_argument("--samples", type=int, default=1)
    made.add_argument("--steps", type=int, default=5)
    made.add_argument("--keep-free", type=float, default=6.0, metavar="GB")


def main(args: Namespace) -> None:
    result = memory.measure(
        [0.25, 1] if args.quick else args.sizes,
        tile=int(args.tile) if args.tile.isdecimal() else args.tile,
        samples=args.samples,
        steps=args.steps,
        threads=args.threads,
        keep_free=args.keep_free,
        progress=lambda done, total: print(f"{done}/{total}", file=sys.stderr),
    )
    for size in result["left_out_megapixels"]:
        print(f"{size:g} MP left out: {memory.available() / 1e9:.1f} GB available", file=sys.stderr)
    print(show(result))
    write_json(args.json, result)
