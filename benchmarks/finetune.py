"""Fine-tuning on twenty pairs, the whole network beside the head alone: what both gain on photographs that neither saw.

    python -m benchmarks finetune --json benchmarks/results/finetune.json        trains, scores; called again, goes on where it was
    python -m benchmarks finetune --split train                                  what the presets' settings were chosen by

Two kinds of damage, each with twenty pairs as a person would have them, and the presets `finetune` and `adapter` as they are.
`shadow`: pairs of SRD, real cast shadows, judged on its test pairs, which share no scene with them. `faded`: photographs of BSDS500
made into old colour prints (below), damage that no shipped model was trained on, judged on Kodak24. A fifth of the twenty is held
out by the presets. --split train judges on photographs of the training folders instead, of other scenes than the twenty.
"""

from __future__ import annotations

import json
import shutil
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks._pages import Facts, Value
from benchmarks._sampling import PRECISION, psnrs
from benchmarks._shared import HERE, protocol, read_json, shared_folder, table
from unveil.data.dataset import to_tensor
from unveil.models import shelf
from unveil.restorer import load
from unveil.training import config as configuration
from unveil.training.loop import train
from unveil.util.tensors import batch_of

KITS = {"shadow": "real shadows (SRD)", "faded": "faded prints (simulated)"}
WAYS = {"whole": "finetune", "head": "adapter"}
LABELS = {
    "input": "input",
    "shelf": "`{model}`",
    "whole": "`finetune`: whole network",
    "head": "`adapter`: head alone",
}
PAIRS, LONG_SIDE, SEED = 20, 320, 0


def faded(x: Any, seed: int) -> Any:
    """An old colour print of x (3, H, W) in [0, 1]: dyes lost, the red-absorbing most, unevenly over the print; yellowed paper; grain.

    In optical density, where dyes act: what is left of each is 0.4 to 0.85, less towards one side, and the paper adds yellow.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    left = torch.tensor([uniform(0.4, 0.65), uniform(0.6, 0.85), uniform(0.5, 0.8)])[:, None, None]
    stain = uniform(0.3, 1.0) * torch.tensor([0.02, 0.05, 0.14])[:, None, None]
    down = torch.linspace(0, 1, x.shape[1])[:, None]
    across = torch.linspace(0, 1, x.shape[2])[None]
    if uniform(0, 1) < 0.5:
        down, across = across, down
    if uniform(0, 1) < 0.5:
        down = 1 - down
    uneven = 1 - uniform(0.1, 0.4) * (0.8 * down + 0.2 * across)
    density = -torch.log10(x.clamp_min(1 / 255)) * left * uneven + stain
    return (10**-density + 0.012 * torch.randn(x.shape, generator=generator)).clamp(0, 1)


def _reduced(path: Path, side: int) -> Any:
    """(3, h, w) in [0, 1], 8-bit levels, the long side `side` pixels."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
    factor = min(1.0, side / max(picture.size))
    wanted = (round(picture.width * factor), round(picture.height * factor))
    return to_tensor(np.asarray(picture.resize(wanted, Image.Resampling.BICUBIC)))


def _save(x: Any, path: Path) -> None:
    Image.fromarray((x * 255).round().byte().permute(1, 2, 0).numpy()).save(path)


def _chosen(files: list[Path], split: str, count: int) -> tuple[list[Path], list[Path]]:
    """Twenty of the sorted files, and for --split train `count` others; those come from the last quarter, so from other scenes."""
    files = sorted(files, key=lambda p: p.stem)
    pool, rest = (files, []) if split == "test" else (files[: len(files) * 7 // 10], files[len(files) * 3 // 4 :])
    return pool[:: len(pool) // PAIRS][:PAIRS], rest[:: max(1, len(rest) // count)][:count]


def prepare(kit: str, split: str, folder: Path, count: int) -> list[tuple[Any, Any]]:
    """Write the twenty pairs into `folder`/degraded and /clean; (damaged, clean) of the photographs to judge on."""
    data = shared_folder() / "data"
    for side in ("degraded", "clean"):
        (folder / side).mkdir(parents=True, exist_ok=True)
    if kit == "shadow":
        mine, others = _chosen(list((data / "train" / "SRD" / "shadow").iterdir()), split, count)
        for path in mine:
            shutil.copy(path, folder / "degraded" / f"{path.stem}.jpg")
            shutil.copy(_shadow_free(path), folder / "clean" / f"{path.stem}.jpg")
        judged = others or sorted((data / "test" / "SRD" / "shadow").iterdir())[:count]
        return [(_reduced(p, LONG_SIDE), _reduced(_shadow_free(p), LONG_SIDE)) for p in judged]
    mine, others = _chosen(list((data / "train" / "BSDS500").rglob("*.jpg")), split, count)
    for number, path in enumerate(mine):
        if not (folder / "degraded" / f"{path.stem}.png").is_file():
            x = _reduced(path, 10**6)
            _save(x, folder / "clean" / f"{path.stem}.png")
            _save(faded(x, 1000 + number), folder / "degraded" / f"{path.stem}.png")
    judged = others or sorted((data / "test" / "Kodak24").rglob("*.png"))[:count]
    clean = [_reduced(p, LONG_SIDE) for p in judged]
    return [((faded(x, 2000 + n) * 255).round() / 255, x) for n, x in enumerate(clean)]


def _shadow_free(path: Path) -> Path:
    """The partner of a photograph of SRD."""
    folder = path.parent.parent / "shadow_free"
    return next(p for p in folder.iterdir() if p.stem in (f"{path.stem}_no_shadow", f"{path.stem}_free"))


def trained(way: str, data: Path, folder: Path, settings: dict[str, str], quick: bool) -> float:
    """Train by the preset of `way` into `folder`, from its last checkpoint if there is one. Returns processor seconds in all."""
    spent = folder / "seconds.txt"
    before = float(spent.read_text()) if spent.is_file() else 0.0
    if (folder / "model.safetensors").is_file():
        return before
    config = configuration.load(
        configuration.find(WAYS[way]), {**settings, "data.root": str(data), "workers": "0"}
    )  # all in this process, whose time is taken
    if quick:
        config = replace(config, stages=[replace(s, steps=2, batch=2) for s in config.stages])
    started = time.process_time()

    def report(line: str) -> None:
        spent.write_text(f"{before + time.process_time() - started:.1f}")
        print(f"  {way}: {line}", flush=True)

    folder.mkdir(parents=True, exist_ok=True)
    train(config, folder, report=report)
    report("trained")
    return float(spent.read_text())


def scored(model: str | Path | None, fidelity: float | None, pairs: list[tuple[Any, Any]]) -> list[float]:
    """PSNR in dB of one draw of every photograph (3, H, W), by the model's defaults but for `fidelity`. model None: of the input."""
    found = [y[None] for y, _ in pairs]
    if model is not None:
        restorer = load(model, "cpu", PRECISION)
        found = [batch_of(restorer.restore(y, seed=SEED, fidelity=fidelity).image) for y, _ in pairs]
    return [psnrs((y * 255).round() / 255, x[None])[0] for y, (_, x) in zip(found, pairs, strict=True)]


def measure(given: Namespace) -> dict[str, Any]:
    """Everything, or from files in --work what an earlier call has done already."""
    shared_folder()
    settings = {"validation.every": "0"} if given.quick else dict(s.split("=", 1) for s in given.set)
    model, count, loaded = given.model, 2 if given.quick else given.count, shelf.load(given.model)
    work = given.work / "-".join([loaded.sha256[:12], given.split, *(f"{k}={v}" for k, v in settings.items())])
    kits: dict[str, Any] = {}
    for kit in given.kits:
        pairs = prepare(kit, given.split, work / kit / "pairs", count)
        # Undamaged photographs must stay as they are: what fine-tuning may forget.
        sets = {"damaged": pairs, "undamaged": [(x, x) for _, x in pairs[: max(1, count // 2)]]}
        rows: dict[str, dict[str, list[float]]] = {}
        seconds: dict[str, float] = {}
        ways = {"input": None, "shelf": model, **{way: work / kit / way for way in given.ways}}
        for way, source in ways.items():
            if way in WAYS:
                asked = {**settings, "init": model}
                seconds[way] = trained(way, work / kit / "pairs", work / kit / way, asked, given.quick)
            for name, fidelity in ((way, None), (f"{way}, fidelity 1", 1.0))[: 2 if source else 1]:
                path = work / kit / f"{name}.json"
                if not path.is_file():
                    found = {k: scored(source, fidelity, v) for k, v in sets.items() if source or k == "damaged"}
                    path.write_text(json.dumps(found))
                rows[name] = read_json(path)
                print(f"  {kit}, {name}: {fmean(rows[name]['damaged']):.2f} dB", flush=True)
        kits[kit] = {"rows": rows, "seconds": seconds}
    about = {
        "model": loaded.spec.name,
        "sha256": loaded.sha256,
        "split": given.split,
        "pairs": f"{PAIRS} of each kind, a fifth of them held out by the preset: shadow, SRD training pairs; faded, BSDS500",
        "photographs": f"{count} at most: shadow, SRD test pairs; faded, Kodak24; whole, reduced to {LONG_SIDE} px along the "
        "long side (bicubic)",
        "psnr": f"dB, RGB, 8 bit, full frame; one draw, seed {SEED}, {PRECISION}, the model's defaults but for fidelity where said",
        "undamaged": "the clean sides of half of them, restored; PSNR to themselves",
        "presets": {
            w: configuration.dump(configuration.load(configuration.find(p), settings)) for w, p in WAYS.items()
        },
    }
    return {"protocol": protocol(given, **about), "kits": kits}


def change(row: list[float], reference: list[float]) -> tuple[float, float, int]:
    """Mean paired difference, its standard error, how many photographs are better."""
    differences = [a - b for a, b in zip(row, reference, strict=True)]
    return fmean(differences), stdev(differences) / len(differences) ** 0.5, sum(d > 0 for d in differences)


def facts(result: dict[str, Any]) -> Facts:
    """What a page may quote: `table.shadow`, `shadow.whole.gain`, `shadow.whole.sure` (the gain less two standard errors)."""
    model = result["protocol"]["model"]
    made = Facts()
    for kit, found in result["kits"].items():
        lines = []
        for name, row in found["rows"].items():
            way, _, at_one = name.partition(", ")
            label = LABELS[way].format(model=model) + (", fidelity 1" if at_one else "")
            cells = [label, made.put(f"{kit}.{name}", fmean(row["damaged"])), "", ""]
            if way in WAYS:
                reference = found["rows"]["shelf, fidelity 1" if at_one else "shelf"]
                gain, error, better = change(row["damaged"], reference["damaged"])
                made[f"{kit}.{name}.gain"] = Value([gain], signed=True)
                made[f"{kit}.{name}.sure"] = Value([gain - 2 * error], signed=True)
                cells[2:] = [f"{gain:+.2f} ± {error:.2f}", f"{better} of {len(row['damaged'])}"]
            lines.append([*cells, f"{fmean(row['undamaged']):.1f}" if "undamaged" in row else ""])
        head = [KITS[kit], "PSNR (dB)", f"against `{model}` (± standard error)", "better", "undamaged stay (dB)"]
        made[f"table.{kit}"] = table(head, lines)
    return made


OPTIONS = {
    "--model": ("general", "what to start from"),
    "--split": ("test", "", ("test", "train")),
    "--work": (HERE.parent / "runs" / "finetune", "where pairs and runs are kept"),
    "--ways": (WAYS, "", WAYS),
    "--kits": (KITS, "", KITS),
    "--count": (32, "photographs to judge on, of each kind"),
    "--set": {"nargs": "*", "default": [], "metavar": "NAME=VALUE", "help": "settings of the preset to try instead"},
}
