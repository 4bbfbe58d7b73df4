"""Steps a second of several training processes on as many cores, against one process on one core.

    python -m benchmarks processes --json benchmarks/results/processes.json

The stage of `general` for detail, every batch in as many parts as there are processes, as `torchrun -m unveil.cli train` runs it, in turns.
Counted are the steps after the first 50, when all is running. Needs idle cores; prints the losses too, which must not depend on the number
of processes. Linux.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from benchmarks._pages import Facts
from benchmarks._shared import HERE, protocol, shared_folder, table
from unveil.errors import InputError
from unveil.training.config import find
from unveil.training.reporting import EVERY


def configuration(steps: int, parts: int, quick: bool) -> dict[str, Any]:
    """The preset's first stage alone, ended by its steps."""
    told = yaml.safe_load(find("general").read_text())
    told["data"]["root"] = str(shared_folder() / "data" / "train")
    stage = told["stages"][0] | {"steps": steps, "accumulate": parts}
    if quick:
        stage |= {"batch": parts, "crop": 32}
        told["network"]["experts"] = [{"base": 8, "mults": [1, 2], "blocks": 1}] * 2
    return told | {"minutes": 0, "stages": [stage], "validation": {"count": 1}}


def trained(config: dict[str, Any], processes: int) -> dict[str, float]:
    """Steps a second between the first line of the log and the last, and the loss in the last, of a run on so many cores."""
    cores = os.sched_getaffinity(0)
    with TemporaryDirectory() as folder:
        (Path(folder) / "config.yaml").write_text(yaml.safe_dump(config))
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = [*launch, "-m", "unveil.cli", "train", f"{folder}/config.yaml", "-o", f"{folder}/run"]
        try:
            os.sched_setaffinity(0, sorted(cores)[:processes])  # of the processes that this one starts
            subprocess.run(
                [sys.executable, *command], check=True, stdout=subprocess.DEVNULL, cwd=HERE.parent,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
            )  # fmt: skip
        finally:
            os.sched_setaffinity(0, cores)
        lines = [json.loads(line) for line in (Path(folder) / "run" / "log.jsonl").read_text().splitlines()]
    first, last = lines[0], lines[-1]
    seconds = [line["step"] / line["steps_per_second"] for line in (first, last)]
    return {"steps_per_second": (last["step"] - first["step"]) / (seconds[1] - seconds[0]), "loss": last["loss"]}


def measure(given: Namespace) -> dict[str, Any]:
    if len(os.sched_getaffinity(0)) < given.processes:
        raise InputError(f"--processes {given.processes} needs as many cores; there are {len(os.sched_getaffinity(0))}")
    steps, turns = (EVERY + 2, 1) if given.quick else (EVERY + given.steps, given.turns)
    config = configuration(steps, given.processes, given.quick)
    counts = (1, given.processes)
    rows = [{"processes": count, **trained(config, count)} for _ in range(turns) for count in counts]
    about = {"steps": steps - EVERY, "turns": turns, "stage": config["stages"][0], "precision": config["precision"]}
    return {"protocol": protocol(given, **about), "rows": rows}


def facts(result: dict[str, Any]) -> Facts:
    """The runs, and how many times as many steps several processes make as one, turn by turn."""
    rows = result["rows"]
    speeds = [row["steps_per_second"] for row in rows]
    ratio = statistics.median(many / one for one, many in zip(speeds[::2], speeds[1::2], strict=True))
    cells = [(str(row["processes"]), f"{row['steps_per_second']:.2f}", f"{row['loss']:.12f}") for row in rows]
    out = Facts(
        table=table(("processes", "steps/s", "loss"), [*cells, ("ratio, median of the turns", f"{ratio:.2f}", "")])
    )
    out.put("ratio", ratio)
    return out


OPTIONS = {"--processes": 2, "--steps": (100, "that count"), "--turns": 2}
