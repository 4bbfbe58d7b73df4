"""What LD-RPS costs, and what is left of its quality when it is made cheap.

    python -m benchmarks zeroshot_cost --json benchmarks/results/zeroshot_cost.json

Every row runs LD-RPS with some settings on the same damaged photographs and counts what it asks of the prior and its FLOPs, adapters
included, beside the last guidance loss. The first table needs no run: what the official code and ours would cost on Stable Diffusion 2.1
at 512 x 512, exact counts times the price of each part.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

import unveil
from benchmarks import _prices as prices
from benchmarks._prices import SD21, SD21_TAESD, flops
from benchmarks._shared import Clock, protocol, table
from unveil.degradation.registry import apply
from unveil.diffusion import variance_preserving
from unveil.diffusion.noise import seeded
from unveil.models import shelf
from unveil.zeroshot import ldrps
from unveil.zeroshot.ldrps import TASKS, LDRPSSettings, grids, published
from unveil.zeroshot.losses import perceptual
from unveil.zeroshot.priors import Counted
from unveil.zeroshot.priors.opening import open_prior

FAULTS = {"denoise": ("noise", 0.5), "lowlight": ("lowlight", 0.5), "dehaze": ("haze", 0.5)}


def rows(task: str, quick: bool, rounds: int | None) -> dict[str, Any]:
    """Name of a row: its settings. rounds: recurrences, None the task's."""
    if quick:
        tiny = LDRPSSettings(task=task, steps=2, rounds=0, warm=0, inner=1, width=6, crop=16)
        return {"2 steps": tiny, "1 step from the photograph": replace(tiny, begin="input")}
    ours = LDRPSSettings(task=task, rounds=TASKS[task].rounds if rounds is None else rounds)
    changed: dict[str, dict[str, Any]] = {
        "100 steps": {"steps": 100}, "default": {}, "25 steps": {"steps": 25}, "default, no free run": {"free": False},
        "default, from the photograph": {"begin": "input"}, "12 steps, no free run": {"steps": 12, "free": False},
        "25 steps, from the photograph, no free run": {"steps": 25, "begin": "input", "free": False},
    }  # fmt: skip
    as_published = {"as published": published(task, original=False, rounds=ours.rounds)}
    return as_published | {row: replace(ours, **settings) for row, settings in changed.items()}


def sd_table() -> list[dict[str, Any]]:
    """LD-RPS on Stable Diffusion 2.1 at 512 x 512 by the formula: the official code, and ours, without running either."""
    steps = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    prior: Any = SimpleNamespace(process=variance_preserving(torch.cumprod(1 - steps, 0)))
    out = []
    for task, row in TASKS.items():
        ours = LDRPSSettings(task=task)
        exact, begun = published(task), replace(ours, begin="input")
        kinds = {
            "official code": (exact, prices.official(row.rounds), SD21),
            "published order, nothing wasted": (exact, None, SD21),
            "default": (ours, None, SD21),
            "default, tiny decoder": (ours, None, SD21_TAESD),
            "from the photograph": (begun, None, SD21),
            "from the photograph, every 2nd, no free run": (replace(begun, every=2, free=False), None, SD21),
        }
        official = 0.0
        for name, (settings, counts, price) in kinds.items():
            text = not (settings.original and task in ("dehaze", "denoise"))
            counts = counts or prices.counts(prior.process, grids(prior, settings, row.rounds), settings, text)
            bill = prices.priced(price, row, settings, 512, 512).bill(counts)
            official = official or bill
            out.append({"task": task, "run": name, **asdict(counts), "PFLOP": bill / 1e15, "cheaper": official / bill})
    return out


def photographs(count: int, side: int) -> Any:
    """The free photographs of the package, squared to `side`: (count, 3, side, side) in [0, 1]."""
    files = sorted((Path(unveil.__file__).parent / "examples").glob("*.jpg"))[:count]
    seen = [np.asarray(Image.open(f).convert("RGB").resize((side, side), Image.Resampling.LANCZOS)) for f in files]
    return torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2).float() / 255


def restored(prior: Any, y: Any, seed: int, settings: Any) -> tuple[Any, float | None]:
    """One image (1, 3, H, W) in [-1, 1] restored, and the last guidance loss where there was one."""
    grids = ldrps.grids(prior, settings, settings.rounds)
    text, row = (prior.condition(""), 1.0), ldrps.TASKS[settings.task]
    image, guidance = ldrps.one(prior, y, seeded([seed]), settings, row, grids, text, perceptual(), lambda image: None)
    return image, guidance.loss


def of_task(prior: Any, task: str, x: Any, given: Namespace) -> list[dict[str, Any]]:
    kind, severity = FAULTS[task]
    y = apply(kind, x, torch.Generator().manual_seed(0), severity)[0]

    def psnr(image: Any) -> float:
        return float((-10 * ((image.clamp(0, 1) - x) ** 2).mean((1, 2, 3)).log10()).mean())

    out = [{"task": task, "run": "input", "PSNR": psnr(y)}]
    for name, settings in rows(task, given.quick, given.rounds).items():
        counted, clock, found = Counted(prior), Clock(), []
        total = 0.0
        for i, image in enumerate(2 * y - 1):
            total += flops(lambda: found.append(restored(counted, image[None], i, settings)))  # noqa: B023
        objectives = [objective for _, objective in found if objective is not None]
        out.append(
            {
                "task": task, "run": name, "method": "ldrps",
                **{k: v / len(x) for k, v in asdict(counted.counts).items() if k not in ("learn", "guide")},
                "GFLOP": total / len(x) / 1e9, "seconds": clock.processor / len(x),
                "objective": sum(objectives) / len(objectives) if objectives else None,
                "PSNR": psnr((torch.cat([image for image, _ in found]) + 1) / 2),
            }
        )  # fmt: skip
        print({k: v for k, v in out[-1].items() if k in ("task", "run", "GFLOP", "objective", "PSNR")}, flush=True)
    return out


OPTIONS = {
    "--prior": ("small-latent", "a prior's name, folder or id"),
    "--side": (128, "side of the photographs in pixels"),
    "--count": (2, "photographs"),
    "--task": {"action": "append", "choices": list(FAULTS), "help": "default: all; may be repeated"},
    "--rounds": {"type": int, "help": "recurrences of every row (default: the task's)"},
    "--formula": (False, "the table of costs on Stable Diffusion only"),
}


def measure(given: Namespace) -> dict[str, Any]:
    side, count = (64, 1) if given.quick else (given.side, given.count)
    result: dict[str, Any] = {"formula": sd_table()}
    if not given.formula:
        shipped = given.prior in shelf.priors()
        prior = open_prior(shelf.prior_folder(given.prior) if shipped else given.prior)
        x = photographs(count, side)
        result["measured"] = [row for task in given.task or FAULTS for row in of_task(prior, task, x, given)]
        result["prior"] = {"name": prior.name, "sha256": prior.sha256}
    about = {
        "photographs": f"{count} of the package's examples, squared to {side} pixels by LANCZOS",
        "rounds": "the task's" if given.rounds is None else given.rounds,
        "faults": FAULTS, "seeds": "0 for the damage, the photograph's number for sampling", "PSNR": "RGB, mean over photographs",
        "prices": "torch FlopCounterMode; Stable Diffusion 2.1-base at 512 x 512 on tensors without data",
    }  # fmt: skip
    return {**result, "protocol": protocol(given, **about)}


def show(result: dict[str, Any]) -> str:
    """Both tables."""

    def cell(value: Any) -> str:
        return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

    columns = {
        "formula": ("task", "run", "denoise", "decode", "decode_gradient", "encode", "PFLOP", "cheaper"),
        "measured": ("task", "run", "denoise", "decode", "decode_gradient", "GFLOP", "objective", "PSNR"),
    }
    return "\n\n".join(
        table(head, [[cell(row.get(c)) for c in head] for row in result.get(part, [])])
        for part, head in columns.items()
    )
