"""A training on a GPU that is lent for minutes: its photographs packed once, then one call that ends on time, whatever happens.

    python -m recipes train_gpu pack general --data PHOTOS -o photographs.tar
    python -m recipes train_gpu run general photographs.tar -o OUT [--limit 540] [-- --stages.0.batch 256 ...]
    python -m recipes train_gpu join OUT

pack takes as many photographs of the configuration as fit into 40 MiB, evenly from all of its folders; large clean ones are reduced, pairs
stay as they are. run measures states a second by batch size, trains all stages until the limit leaves time to write, and puts weights, a
small state to go on from, logs and the speed table into OUT as files below 16 MiB each (larger ones in parts, which join puts together).
"""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import signal
import statistics
import tarfile
import tempfile
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks._shared import environment, positive, positive_number, table, write_json
from unveil.cli.train import _overrides
from unveil.data.files import decode, size
from unveil.errors import Cancelled, InputError
from unveil.training import loop
from unveil.training.batches import Batch, scan
from unveil.training.config import find, load
from unveil.training.distributed import World, pick_device
from unveil.training.stage import StageRunner, Stop, TrainingRun
from unveil.training.state import State
from unveil.training.trainer import Restoring
from unveil.util import atomic

LIMIT = 40 << 20
"""Bytes of the packed photographs."""
PART = 15 << 20
"""Bytes of a file that is carried back."""
SIDE = 512
"""Short side in pixels to which larger clean photographs are reduced."""
RESERVE = 0.08
"""Share of the limit kept for the last validation and for writing."""
SPEED = 0.1
"""Share of the limit after which no further batch size is tried."""
BATCHES = (16, 64, 256, 1024)
LEFT = (
    "weights.safetensors", "model.safetensors", "state.safetensors", "config.yaml", "README.md", "log.jsonl", "validation.jsonl",
)  # fmt: skip


def runner(settings: Any) -> Any:
    """The stage of a run without photographs: `_step(step, batches)` is one step of `unveil train`, on the device that it says."""
    trainer, world = Restoring(settings), World(device=pick_device(settings.device))
    state = State.fresh(trainer.config, trainer.learner(world.device))
    run = TrainingRun(trainer, state, None, world, None, Stop(), Path("."))  # type: ignore[arg-type]
    return StageRunner(run, 0, settings.stages[0], 0)


def random_batch(batch: int, crop: int) -> Any:
    generator = torch.Generator().manual_seed(0)
    x0, y = (torch.rand(batch, 3, crop, crop, generator=generator) * 2 - 1 for _ in range(2))
    return Batch(x0, y, False, torch.zeros(len(x0), 7))


def encoded(path: Path, side: int) -> tuple[str, bytes]:
    """(suffix, bytes) of a clean photograph: as it is where it is small, else reduced, as JPEG."""
    if min(size(path)) <= side:
        return path.suffix, path.read_bytes()
    image = Image.fromarray(decode(path))
    factor = side / min(image.size)
    reduced = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)
    reduced.save(out := io.BytesIO(), format="JPEG", quality=95)
    return ".jpg", out.getvalue()


def groups(settings: Any, root: Path, side: int) -> list[list[list[tuple[str, bytes]]]]:
    """For each folder of photographs and entry of pairs its samples, each as (name below the root, bytes) of its files."""
    material = scan(replace(settings.data, root=str(root)))
    made: list[list[list[tuple[str, bytes]]]] = []
    for folder in settings.data.photos:
        paths = sorted({p.clean.path for p in material.photos if p.clean.path.is_relative_to(root / folder)})
        samples = [(path, *encoded(path, side)) for path in paths]
        made.append([[(str(path.relative_to(root).with_suffix(suffix)), data)] for path, suffix, data in samples])
    for _, found in material.pairs:
        both = [[p.clean.path, *([p.degraded.path] if p.degraded else [])] for p in found]
        made.append([[(str(path.relative_to(root)), path.read_bytes()) for path in paths] for paths in both])
    return made


def pack(settings: Any, root: Path, target: Path, limit: int = LIMIT, side: int = SIDE) -> dict[str, int]:
    """Write the tar; the same files give the same bytes. Returns how many samples there were, were taken, and the size."""
    every = groups(settings, root, side)
    total = sum(len(data) + 1024 for group in every for sample in group for _, data in sample)
    share = min(1.0, (limit - (64 << 10)) / max(1, total))
    taken: dict[str, bytes] = {}
    kept = 0
    for group in every:
        room = share * sum(len(data) + 1024 for sample in group for _, data in sample)
        count = max(1, int(share * len(group))) if group else 0
        for i in range(count):  # evenly over the folder
            sample = group[i * len(group) // count]
            room -= sum(len(data) + 1024 for _, data in sample)
            if room < 0:
                break
            taken |= dict(sample)
            kept += 1
    if not taken:
        raise InputError(
            f"no photograph fits into {limit} bytes; allow more MiB with --mib, or reduce more with --side"
        )
    with atomic.replacing(target) as temporary, tarfile.open(temporary, "w") as tar:
        for name in sorted(taken):
            entry = tarfile.TarInfo(name)
            entry.size = len(taken[name])
            tar.addfile(entry, io.BytesIO(taken[name]))
    size = target.stat().st_size
    if size > limit:
        raise SystemExit(f"train_gpu: {target} has {size} bytes, more than {limit}")
    return {"samples": sum(len(group) for group in every), "taken": kept, "bytes": size}


def scaling(settings: Any, batches: Sequence[int], until: float, repeats: int = 5) -> list[dict[str, float]]:
    """States a second of the first stage's step by batch size, on random pixels; no size is begun after `until`."""
    rows: list[dict[str, float]] = []
    for batch in batches:
        if time.monotonic() > until:
            break
        stage = replace(settings.stages[0], batch=batch, accumulate=1)
        steps = runner(replace(settings, stages=[stage]))
        pixels = itertools.repeat(random_batch(batch, stage.crop))
        try:
            seconds = []
            for step in range(repeats + 2):
                started = time.perf_counter()
                steps._step(step, pixels)  # waits for the device, for it reads the loss
                seconds.append(time.perf_counter() - started)
                if time.monotonic() > until:
                    break
        except torch.OutOfMemoryError:
            rows.append({"batch": batch, "states_per_second": 0.0})
            break
        middle = statistics.median(seconds[2:] or seconds)
        rows.append({"batch": batch, "states_per_second": batch * stage.states / middle})
    return rows


def collect(folder: Path, output: Path, lines: Sequence[str], result: dict[str, Any]) -> list[Path]:
    """Put what the run left into `output`, every file below `PART` bytes; returns them."""
    output.mkdir(parents=True, exist_ok=True)
    sheets = sorted((folder / "validation").glob("*.png"))[-1:]
    for path in [*(folder / name for name in LEFT), *sheets]:
        if not path.is_file():
            continue
        if path.name == "weights.safetensors" and (folder / "model.safetensors").is_file():
            continue  # the model has the last of them
        whole = path.read_bytes()
        pieces = [whole[i : i + PART] for i in range(0, len(whole), PART)]
        for n, piece in enumerate(pieces):
            (output / (path.name if len(pieces) == 1 else f"{path.name}.part{n:02d}")).write_bytes(piece)
    (output / "train.log").write_text("".join(f"{line}\n" for line in lines)[-PART:])
    write_json(output / "speed.json", result)
    return sorted(output.iterdir())


def join(output: Path) -> list[Path]:
    """Put the parts of files together again; none where nothing was too large. Raises InputError where no run left anything."""
    if not (output / "train.log").is_file():
        raise InputError(f"{output}: no train.log in it; name the folder that `run` wrote, its -o")
    made = []
    for first in sorted(output.glob("*.part00")):
        target = first.with_suffix("")
        target.write_bytes(b"".join(p.read_bytes() for p in sorted(output.glob(f"{target.name}.part*"))))
        made.append(target)
    return made


def run(
    settings: Any, packed: Path, output: Path, limit: float, batches: Sequence[int], started: float | None = None
) -> int:
    """Everything within `limit` seconds, since `started` on the monotonic clock or now.

    Returns 0 where the run came to its end, 3 where it had to be ended.
    """
    started = time.monotonic() if started is None else started
    ends = started + limit
    lines: list[str] = []
    result: dict[str, Any] = {"name": "train_gpu", "protocol": {"limit": limit, **environment()}, "rows": []}

    def say(line: str) -> None:
        lines.append(line)
        print(f"{time.monotonic() - started:5.0f} s  {line}", flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        photographs, folder = Path(temporary) / "photographs", Path(temporary) / "run"
        try:
            with tarfile.open(packed) as tar:
                tar.extractall(photographs, filter="data")
        except (tarfile.TarError, EOFError):
            raise InputError(f"{packed}: no whole tar of photographs; write it with `pack`") from None
        result["rows"] = scaling(settings, batches, started + SPEED * limit)
        say(speed_table(result))
        left = (1 - RESERVE) * limit - (time.monotonic() - started)
        settings = replace(
            settings,
            minutes=min(left / 60, settings.minutes or left / 60),
            carry="moments" if settings.carry == "none" else settings.carry,
            data=replace(settings.data, root=str(photographs)),
        )

        def last_resort() -> None:
            say("the limit is over: what is there is kept")
            collect(folder, output, lines, result)
            shutil.rmtree(temporary, ignore_errors=True)
            os._exit(3)

        # First asked to stop in order, then ended: nothing of a run is worth more than what it has written.
        asked = threading.Timer(ends - time.monotonic() - RESERVE * limit / 2, os.kill, (os.getpid(), signal.SIGTERM))
        ended = threading.Timer(ends - time.monotonic() - RESERVE * limit / 8, last_resort)
        status = 0
        for timer in (asked, ended):
            timer.daemon = True
            timer.start()
        try:
            loop.train(settings, folder, report=say)
        except Cancelled as stopped:
            say(str(stopped))
            status = 3
        finally:
            asked.cancel()
            result["seconds"] = time.monotonic() - started
            collect(folder, output, lines, result)
            ended.cancel()
    return status


def speed_table(result: dict[str, Any]) -> str:
    """States a second by batch size, as Markdown."""
    rows = [(f"{row['batch']:.0f}", f"{row['states_per_second']:,.0f}") for row in result["rows"]]
    return table(("batch", "states/s"), rows)


REST = True


def arguments(command: ArgumentParser) -> None:
    commands = command.add_subparsers(dest="command", required=True)
    for name in ("pack", "run"):
        made = commands.add_parser(name)
        made.add_argument("config", help="configuration or preset")
        made.add_argument("-o", "--output", type=Path, required=True)
        if name == "pack":
            made.add_argument("--data", type=Path, required=True, help="the configuration's data.root")
            made.add_argument("--mib", type=positive_number, default=LIMIT / 2**20)
            made.add_argument("--side", type=positive, default=SIDE)
        else:
            made.add_argument("packed", type=Path)
            made.add_argument("--limit", type=positive_number, default=540.0, help="seconds, set-up included")
            made.add_argument(
                "--batches", type=positive, nargs="*", default=list(BATCHES), help="sizes of the speed table"
            )
    commands.add_parser("join").add_argument("output", type=Path)


def main(own: Namespace) -> int:
    if own.command == "join":
        made = join(own.output)
        print("\n".join(map(str, made)) or "nothing was written in parts: all files are whole")
        return 0
    settings = load(find(own.config), _overrides(tuple(word for word in own.rest if word != "--")))
    if own.command == "pack":
        print(json.dumps(pack(settings, own.data, own.output, int(own.mib * 2**20), own.side)))
        return 0
    return run(settings, own.packed, own.output, own.limit, own.batches, own.started)
