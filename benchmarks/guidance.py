"""Whether DA-CLIP's guidance helps: IR-SDE on three kinds of damage, told by a DA-CLIP what it sees, or not, three seeds.

    python -m benchmarks guidance --json benchmarks/results/guidance.json                    three seeds of 700 steps
    python -m benchmarks guidance --photos FOLDER --seeds 0 1 2 3 4 --steps 5000             on your own photographs

For every seed: the controller of a small CLIP is trained to name the damage (the CLIP is of our own making and knows nothing: its
weights are random and stay so; all that is learned is the controller). Then the same conditional U-Net, at half size inside, is trained
three times, for as many steps on the same batches: without guide, guided by the untrained controller, and guided by the trained one. All
restore the same held-out crops, one draw each, and are asked about the same states of them, which says more of a short training: the
loss that all have minimised. Between the first two only cross-attention and prompt differ, between the last two only what the guide has
learned. The file is written after every seed, and a call that was interrupted goes on from it.

What a few hundred steps can show decides the task. The damage is of the light: haze, shadow and low light each want another correction,
which is large. (Noise, blur and blocks leave a photograph at some 30 dB, nearer than so short a training comes.) The network predicts the
residual and learns by squared error, as `wild` does; IR-SDE's own loss hardly weighs the states near the start of sampling, where the light
is decided, and 250 steps of it ended below the input. The guide looks at crops of the size that it was trained on.
"""

from __future__ import annotations

import re
import tempfile
from argparse import Namespace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

import unveil
from benchmarks._pages import Facts
from benchmarks._sampling import simulated
from benchmarks._shared import earlier, protocol, table, write_json
from unveil.evaluation.metrics.classical import decibel
from unveil.models.importing import import_file
from unveil.networks.clip import CLIP, VisionTower
from unveil.training.batches import Source
from unveil.training.config import parse
from unveil.training.export import as_model
from unveil.training.loop import train
from unveil.training.noising import grid_weight
from unveil.training.validation import restore
from unveil.util.statistics import central_quantile

KINDS = ("haze", "shadow", "lowlight")
NONE, UNTRAINED, GUIDED = "not guided", "guide untrained", "guided"
INPUT = "input"
LEVEL = 0.95
LOSS = "loss"
SIZE = 24
"""Side in pixels of all crops: those trained on, those shown to the guide, and those restored."""
NETWORK = {"kind": "conditional", "base": 16, "mults": [2, 2], "half_size": True}
GRID = range(10, 100, 20)
"""Indices of the states that the loss is taken on."""


def clip(folder: Path, seed: int) -> Path:
    """A DA-CLIP on a CLIP with random weights: four tokens a side, embeddings of 32."""
    torch.manual_seed(seed)
    network = CLIP(VisionTower(32, SIZE, SIZE // 4, 64, 3, 4), 16, 49408, 32, 1, 2)
    weights = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": weights}, folder / "clip.pt")
    return import_file(folder / "clip.pt").weights


def one_seed(seed: int, photos: Path, steps: int, count: int) -> dict[str, Any]:
    """PSNR in dB of each row by kind and its loss on held-out states, and how often the controller names held-out damage rightly.

    Args:
        seed: Of everything.
        photos: Folder of photographs, a quarter of which is held out.
        steps: Of each network; the controller has as many.
        count: Held-out crops of each kind.

    """
    data = {
        "root": str(photos), "photos": ["."], "kinds": dict.fromkeys(KINDS, 1.0), "second": 0.0, "clean": 0.0,
        "held_out": 0.25,
    }  # fmt: skip
    common = {"seed": seed, "data": data, "ema": min(0.999, 1 - 10 / max(20, steps)), "save_every": 10**6, "workers": 0}
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        untrained = clip(folder, seed)
        stage = {"steps": steps, "crop": SIZE, "warmup": steps // 20}
        contrastive = {**stage, "kind": "contrastive", "lr": 1e-3, "batch": 16}
        eyes = {**common, "name": "eyes", "path": "daclip", "init": str(untrained), "stages": [contrastive]}
        said = _trained(eyes, folder / "eyes")[1]
        stage |= {"kind": "predictor", "lr": 2e-3, "batch": 8}
        kept: Any = None
        for row, guide in ((NONE, ""), (UNTRAINED, str(untrained)), (GUIDED, str(folder / "eyes/model.safetensors"))):
            tree = {
                **common, "name": "network", "path": "mean_reverting", "steps": 100, "network": {**NETWORK, "guide": guide},
                "stages": [stage], "validation": {"count": 1, "size": SIZE},
            }  # fmt: skip
            learner, _ = _trained(tree, folder / row.replace(" ", "_"))
            if kept is None:
                kept = simulated(Source(parse(tree).data, held_out=True).photos, KINDS, count, SIZE, 7)
            rows[row] = {**_scores(learner, parse(tree), kept), LOSS: _loss(learner, kept)}
        rows[INPUT] = _by_kind(kept.y, kept)
    right = [line for line in said if line.startswith("held out: the kind of damage")]
    return {"seed": seed, "rows": rows, "controller": right[-1] if right else ""}


def _trained(tree: dict[str, Any], folder: Path) -> tuple[Any, list[str]]:
    said: list[str] = []
    return train(parse(tree), folder, report=said.append), said


def _scores(learner: Any, config: Any, test: Any) -> dict[str, float]:
    model = as_model(learner, config, config.stages[0].steps)
    parts = [restore(model, test.y[i : i + 8], learner.autocast, 0.0, i) for i in range(0, len(test.y), 8)]
    return _by_kind(torch.cat(parts), test)


def _loss(learner: Any, test: Any) -> float:
    """The loss of training, mean over all crops at the states of GRID; noise of a seed."""
    path, values = learner.processes[0], []
    x0, y = test.x * 2 - 1, test.y * 2 - 1
    for index in GRID:
        x_t = path.forward(x0, y, index, torch.randn(x0.shape, generator=torch.Generator().manual_seed(index)))
        t = torch.full((len(y),), index)
        with torch.inference_mode(), learner.autocast():
            residual = torch.cat(
                [learner.answer(path, t[i : i + 8], x_t[i : i + 8], y[i : i + 8]).residual for i in range(0, len(y), 8)]
            )
        by_level = grid_weight(path, t, x_t, learner.asks.value_range)
        values.append(float((by_level * ((y - residual - x0) ** 2).mean((1, 2, 3))).mean()))
    return fmean(values)


def _by_kind(pixels: Any, test: Any) -> dict[str, float]:
    errors = ((pixels - test.x) ** 2).mean((1, 2, 3)).double()
    found = {kind: fmean(decibel(float(errors[i])) for i in test.of(kind)) for kind in KINDS}
    return {**found, "all": fmean(found.values())}


def compared(seeds: list[dict[str, Any]], better: str, than: str, what: str = "all") -> dict[str, float]:
    """Mean gain over the seeds, with half the width of its interval (Student's t at LEVEL; infinite of one seed).

    what: "all" or a kind, in dB; or LOSS, in per cent by which it is lower.
    """
    pairs = [(one["rows"][better][what], one["rows"][than][what]) for one in seeds]
    gains = [100 * (b - a) / b if what == LOSS else a - b for a, b in pairs]
    half = float("inf")
    if len(gains) > 1:
        half = central_quantile(LEVEL, len(gains) - 1) * stdev(gains) / len(gains) ** 0.5
    return {"mean": fmean(gains), "half": half}


def verdict(gain: dict[str, float]) -> str:
    """What a difference and its interval say, in words."""
    if gain["mean"] - gain["half"] > 0:
        return "helps"
    return "harms" if gain["mean"] + gain["half"] < 0 else "makes no difference that these seeds show"


COMPARED = ((GUIDED, NONE), (GUIDED, UNTRAINED))


def rows_of(seeds: list[dict[str, Any]]) -> str:
    """A row for each network, the mean over the seeds by kind."""
    body = []
    for row in (INPUT, NONE, UNTRAINED, GUIDED):
        numbers = (f"{fmean(one['rows'][row][kind] for one in seeds):.2f}" for kind in (*KINDS, "all"))
        body.append([row, *numbers, "" if row == INPUT else f"{fmean(one['rows'][row][LOSS] for one in seeds):.3f}"])
    return table(["PSNR in dB", *KINDS, "all", "loss"], body)


def sentences(seeds: list[dict[str, Any]]) -> list[str]:
    """What guidance does, by both measures, a sentence each."""
    lines = []
    for better, than in COMPARED:
        for what, unit, name in (("all", " dB", "PSNR"), (LOSS, " %", "lower loss")):
            gain = compared(seeds, better, than, what)
            lines.append(
                f"{better} against {than}, {name}: {gain['mean']:+.2f}{unit}, 95 % of the mean within {gain['half']:.2f}: "
                f"guidance {verdict(gain)}"
            )
    return lines


def show(result: dict[str, Any]) -> str:
    """The rows, and what guidance does."""
    seeds = result["seeds"]
    number = "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    named = [f"seed {one['seed']}: {one['controller']}" for one in seeds if one["controller"]]
    return "\n".join([rows_of(seeds), "", f"{number}:", *sentences(seeds), *named])


def facts(result: dict[str, Any]) -> Facts:
    """The table; the sentences as a list; steps, crops and seeds: how many; named: shares of damage named rightly, in %; and for each row
    the mean PSNR of each kind, the row's words joined.
    """
    seeds, about = result["seeds"], result["protocol"]
    counts = {"steps": str(about["steps"]), "crops": str(about["crops of each kind"]), "seeds": str(len(seeds))}
    made = Facts(table=rows_of(seeds), sentences="\n".join(f"- {line}" for line in sentences(seeds)), **counts)
    named = [re.search(r"(\d+)%", one["controller"]) for one in seeds]
    made.put("named", [float(found[1]) for found in named if found], 0)
    for row in (INPUT, NONE, UNTRAINED, GUIDED):
        for kind in (*KINDS, "all"):
            made.put(f"{row.replace(' ', '_')}.{kind}", [one["rows"][row][kind] for one in seeds], 1)
    return made


OPTIONS = {
    "--seeds": [0, 1, 2],
    "--steps": (700, "of each network"),
    "--photos": {"type": Path, "help": "folder of photographs (default: the four examples that ship)"},
}


def measure(given: Namespace) -> dict[str, Any]:
    """Train and measure, seed by seed into the file."""
    photos = given.photos or Path(unveil.__file__).parent / "examples"
    steps, count = (2, 1) if given.quick else (given.steps, 16)
    about = {"steps": steps, "crops of each kind": count, "crop in pixels": SIZE, "network": NETWORK}
    own = protocol(given, **about, photographs="/".join(photos.resolve().parts[-2:]))
    found = [one for one in earlier(given.json, own).get("seeds", []) if one["seed"] in given.seeds]
    done = [one["seed"] for one in found]
    for seed in (seed for seed in given.seeds if seed not in done):
        print(f"seed {seed}", flush=True)
        found.append(one_seed(seed, photos, steps, count))
        write_json(given.json, {"protocol": own, "seeds": found})
    return {"protocol": own, "seeds": found}
