"""Training speed: this loop against the arithmetic of Resfusion's published recipe, the loader alone, memory with recomputation.

    python -m benchmarks training --json benchmarks/results/training.json

Both loops train the same network on the same batch in the same process, step by step in turns, timed by processor time: what else
the machine does falls on both. The loader is timed alone on real pairs (SRD), photographs not yet decoded and then from its cache.
Memory is the growth of a process of its own over one step.
"""

from __future__ import annotations

import itertools
import statistics
import time
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks._shared import alone, memory_status, protocol, shared_folder, table
from unveil.diffusion import linear_pro
from unveil.networks.compact import CompactUNet
from unveil.training.batches import Batch, Source, ahead
from unveil.training.config import parse
from unveil.training.distributed import World, pick_device
from unveil.training.stage import StageRunner, Stop, TrainingRun, _batch
from unveil.training.state import State
from unveil.training.trainer import Restoring

BATCH, CROP = 8, 96
MEMORY = (8, 128)
LOADED = (32, 256)


def config(batch: int, crop: int, root: str = ".", checkpointing: bool = False) -> Any:
    """The compact network in its shipped size, one predictor stage, real pairs."""
    return parse(
        {
            "checkpointing": checkpointing,
            "data": {"root": root, "pairs": [{"degraded": "shadow", "clean": "shadow_free", "suffix": "_no_shadow", "weight": 1.0}]},
            "stages": [{"kind": "predictor", "steps": 1000, "batch": batch, "crop": crop}],
        }
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


def official(settings: Any) -> Any:
    """step(batch): Resfusion's published training step on this network.

    x_t = sqrt(abar) x0 + (1 - sqrt(abar)) R + sqrt(1 - abar) eps with R = y - x0, t uniform over the steps, mean squared error of the
    residual noise eps + (1 - sqrt(alpha)) sqrt(1 - abar) / beta R, gradients clipped at norm 1, AdamW with AMSGrad and no weight decay,
    fp32, the default layout of memory, no average of the weights.
    """
    net, size = settings.network, torch.float32
    torch.manual_seed(0)
    network = CompactUNet(net.base, tuple(net.mults), net.blocks)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1.1e-4, amsgrad=True, weight_decay=0.0)
    schedule = linear_pro(settings.steps)
    alpha = schedule.alpha[: schedule.start].to(size)
    abar = schedule.signal[1 : schedule.start + 1].to(size) ** 2
    generator = torch.Generator().manual_seed(0)

    def step(batch: Any) -> None:
        t = torch.randint(len(abar), (len(batch.x0),), generator=generator)
        a, r = (v[t][:, None, None, None] for v in (alpha, abar))
        eps, residual = torch.randn(batch.x0.shape, generator=generator), batch.y - batch.x0
        x_t = r.sqrt() * batch.x0 + (1 - r.sqrt()) * residual + (1 - r).sqrt() * eps
        target = eps + (1 - a.sqrt()) * (1 - r).sqrt() / (1 - a) * residual
        optimiser.zero_grad(set_to_none=True)
        loss = ((network(x_t, batch.y, t.to(size) / len(abar)) - target) ** 2).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()

    return step


def speed(steps: int) -> dict[str, Any]:
    """Processor seconds of each step, ours and theirs in turns, after one of each that is not counted."""
    settings = config(BATCH, CROP)
    batch, ours, theirs = random_batch(BATCH, CROP), runner(settings), official(settings)
    batches = itertools.repeat(batch)
    seconds: dict[str, list[float]] = {"ours": [], "official": []}
    for step in range(steps + 1):
        for name, work in (("ours", lambda n: ours._step(n, batches)), ("official", lambda n: theirs(batch))):
            started = time.process_time()
            work(step)
            if step:
                seconds[name].append(time.process_time() - started)
    rows = {name: {"seconds": s, "images_per_second": BATCH / statistics.median(s)} for name, s in seconds.items()}
    ratio = statistics.median(b / a for a, b in zip(seconds["ours"], seconds["official"], strict=True))
    return {"batch": BATCH, "crop": CROP, "rows": rows, "ratio": ratio}


def loading(root: str, count: int) -> dict[str, Any]:
    """Images a second of processor time that the loader makes ready: decoding, and again from its cache."""
    settings = config(*LOADED, root=root)
    source, stage = Source(settings.data), settings.stages[0]
    rows = {}
    for name in ("decoding", "cached"):
        started, images = time.process_time(), 0
        # Prepared here, where the processor's time is counted.
        for batch in ahead(partial(_batch, source, stage, 0), ((n, 0) for n in range(count)), 0):
            images += batch.count
        rows[name] = {"images": images, "images_per_second": images / (time.process_time() - started)}
    return {"batch": LOADED[0], "crop": LOADED[1], "rows": rows}


def single(checkpointing: bool) -> dict[str, Any]:
    """Growth of this process's peak memory over one step."""
    batch, ours = random_batch(*MEMORY), runner(config(*MEMORY, checkpointing=checkpointing))
    before, started = memory_status("VmHWM"), time.process_time()
    ours._step(0, itertools.repeat(batch))
    seconds = time.process_time() - started
    return {"batch": MEMORY[0], "crop": MEMORY[1], "bytes": memory_status("VmHWM") - before, "seconds": seconds}


def measure(given: Namespace) -> dict[str, Any]:
    root = str(shared_folder() / "data" / "train" / "SRD")
    steps, batches = (1, 1) if given.quick else (given.steps, given.batches)
    about = {
        "network": "compact, base 48, 6.4 M parameters", "precision": "fp32", "steps": steps,
        "time": "processor seconds; median over steps taken in turns; images/s are of one processor core",
    }  # fmt: skip
    parts = {"protocol": protocol(given, **about), "speed": speed(steps), "loader": loading(root, batches)}
    kept = {name: alone("training", given.threads, name == "checkpointing") for name in ("plain", "checkpointing")}
    return {**parts, "memory": kept}


def show(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    fast, loader, kept = result["speed"], result["loader"], result["memory"]
    one = f"batch {fast['batch']} of {fast['crop']} px"
    two = f"batch {loader['batch']} of {loader['crop']} px"
    three = f"one step, batch {kept['plain']['batch']} of {kept['plain']['crop']} px"
    rows = [
        ("this loop", one, f"{fast['rows']['ours']['images_per_second']:.1f} images/s"),
        ("Resfusion's step on the same network", one, f"{fast['rows']['official']['images_per_second']:.1f} images/s"),
        ("loader alone, decoding JPEG pairs", two, f"{loader['rows']['decoding']['images_per_second']:.0f} images/s"),
        ("loader alone, from its cache", two, f"{loader['rows']['cached']['images_per_second']:.0f} images/s"),
        ("memory", three, f"{kept['plain']['bytes'] / 2**20:.0f} MiB"),
        ("memory with `checkpointing: true`", three, f"{kept['checkpointing']['bytes'] / 2**20:.0f} MiB"),
    ]
    return table(("what", "on", "measured"), rows)


OPTIONS = {"--steps": 8, "--batches": (4, "of the loader, twice")}
