"""Train the classifier behind `unveil describe` on this project's simulators, calibrate it, and measure it.

    python -m recipes fit_classifier -o runs/describe/describe.safetensors --json benchmarks/results/fit_classifier.json

or only its linear law of haze and low light, for a classifier trained before (half an hour): --again FILE

Photographs and real pairs are split by name: 80 % train, 10 % fit the temperatures, 10 % are measured on; then real photographs with a
known kind of damage, which nothing was fitted on. About a quarter of an hour of one processor core.
"""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks._pages import Facts, tables
from benchmarks._shared import MODEL, RESULTS, Clock, environment, read_json, shared_folder, table, write_json
from recipes._damaged_crops import CLEAN, CROP, KINDS, SECOND, Examples, Part, divided, made, material
from recipes._light_law import with_law
from unveil import photo
from unveil.evaluation.reading import find_images
from unveil.models import second_look, shelf
from unveil.models.model import Model
from unveil.models.spec import Defaults, Spec
from unveil.models.treatment import NOTICED
from unveil.models.weights_file import read_guide, write
from unveil.networks.classifier import SIDE, DegradationClassifier, Survey
from unveil.networks.condition import LIGHT
from unveil.util.devices import computes_bf16
from unveil.util.tensors import batch_of

COLUMNS = ("share", "accuracy", "recall", "precision", "auc")
REAL = {
    "LOL_eval15, low": ("test/LOL_eval15/low", "lowlight"),
    "LOL_eval15, high": ("test/LOL_eval15/high", "clean"),
    "HSTS, hazy": ("test/tao256/HSTS_256x256/degraded", "haze"),
    "SRD, shadow": ("test/SRD/shadow", "shadow"),
    "SRD, shadow-free": ("test/SRD/shadow_free", "clean"),
    "PolyU_100, noisy": ("test/PolyU_100/noisy", "noise"),
    "Kodak24": ("test/Kodak24", "clean"),
}
SEED = 11
PART, PART_SEED = 12_000, 1_000
"""Crops are made in parts of so many, each with a seed of its own."""


def error(said: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy over what is known."""
    return (F.binary_cross_entropy_with_logits(said, labels, reduction="none") * known).sum() / known.sum()


def trained(data: Examples, epochs: int, seed: int, batch: int = 32) -> DegradationClassifier:
    """The network after `epochs` over the examples.

    Beside the kinds its look at the whole must say where the light was changed, by a layer that is thrown away: a picture has many places
    and one label, and from the labels alone so few photographs do not teach what a shadow looks like.
    """
    whole, patches, counted, labels, known, maps = data
    torch.manual_seed(seed)
    net = DegradationClassifier(KINDS, statistics=True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert isinstance(net.far, Survey)
    place = torch.nn.Conv2d(net.far.depth, len(LIGHT), 1)
    net.centre.copy_(counted.mean(0))
    net.scale.copy_(counted.std(0).clamp_min(1e-3))
    steps = epochs * (len(whole) // batch)
    optimiser = torch.optim.AdamW([*net.parameters(), *place.parameters()], lr=3e-3, weight_decay=2e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.15)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        total, where = 0.0, 0.0
        for index in torch.randperm(len(whole), generator=generator).split(batch)[: len(whole) // batch]:
            flip = bool(torch.rand((), generator=generator) < 0.5)
            w, p, m = (t[index].flip(-1) if flip else t[index] for t in (whole, patches, maps))
            with torch.autocast("cpu", torch.bfloat16, enabled=computes_bf16(torch.device("cpu"))):
                seen = net.far.places(w / 255)
                said = net.judged(net.far.pooled(seen), p / 255, counted[index])
                left = place(seen)
            loss = error(said.float(), labels[index], known[index])
            sure = ~m.isnan()
            off = (left.float()[sure] - m[sure]).abs().mean()
            optimiser.zero_grad()
            (loss + off).backward()
            optimiser.step()
            schedule.step()
            total, where = total + float(loss.detach()), where + float(off.detach())
        n = len(whole) // batch
        print(f"epoch {epoch + 1}: loss {total / n:.4f}, light {where / n:.4f}", flush=True)
    return net.to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]


@torch.inference_mode()
def logits(net: DegradationClassifier, data: Examples) -> Tensor:
    parts = zip(*(part.split(64) for part in data[:3]), strict=True)
    return torch.cat([net(w / 255, p / 255, c) for w, p, c in parts])


def calibrate(net: DegradationClassifier, said: Tensor, labels: Tensor, known: Tensor) -> None:
    """Each kind's temperature: the one of 0.5 to 4 with the least cross-entropy."""
    candidates = torch.logspace(-1, 2, 121, base=2)
    for k in range(len(KINDS)):
        losses = [error(said[:, k] / t, labels[:, k], known[:, k]) for t in candidates]
        net.temperature[k] = candidates[int(torch.stack(losses).argmin())]


def reliability(probability: Tensor, labels: Tensor, bins: int = 10) -> float:
    """Expected calibration error: mean distance of stated probability and observed share, over equally wide bins."""
    p, y = probability.flatten(), labels.flatten()
    which = (p * bins).long().clamp_max(bins - 1)
    return float(
        sum((which == b).float().mean() * (p[which == b].mean() - y[which == b].mean()).abs() for b in which.unique())
    )


def scores(probability: Tensor, labels: Tensor) -> dict[str, Any]:
    """Per kind: accuracy at one half, recall, precision, area under the ROC curve; then over all."""
    per = {}
    for k, kind in enumerate(KINDS):
        p, y = probability[:, k], labels[:, k] > 0.5
        hit = p > 0.5
        per[kind] = {
            "share": float(y.float().mean()),
            "accuracy": float((hit == y).float().mean()),
            "recall": float(hit[y].float().mean()),
            "precision": float(y[hit].float().mean()) if hit.any() else 0.0,
            "auc": float((p[y][:, None] > p[~y][None]).float().mean()),
        }
    right = labels.bool()[torch.arange(len(labels)), probability.argmax(1)]
    return {
        "kinds": per,
        "accuracy": float(((probability > 0.5) == labels.bool()).float().mean()),
        "likeliest_is_right": float(right.float().mean()),
        "calibration_error": reliability(probability, labels),
    }


@torch.inference_mode()
def on_folder(net: DegradationClassifier, restorer: Model, folder: Path, kind: str) -> dict[str, Any]:
    """How often the kind is found (probability over one half), how often it is the likeliest, and the mean probabilities."""
    files = find_images(folder)
    images = (batch_of(photo.read(p).pixels)[0] for p in files)
    said = torch.stack([net.probabilities(image, partial(second_look.light, restorer, image)) for image in images])
    k = KINDS.index(kind)
    return {
        "kind": kind,
        "images": len(files),
        "found": float((said[:, k] > 0.5).float().mean()),
        "likeliest": float((said.argmax(1) == k).float().mean()),
        "mean": {name: float(p) for name, p in zip(KINDS, said.mean(0), strict=True)},
    }


def thresholds(said: Tensor, labels: Tensor, known: Tensor) -> dict[str, Any]:
    """By kind, of photographs whose damage is known: what 98 in 100 without it stay below, and the share found of those with it.

    Found: given a probability of at least the threshold from which it is treated.
    """
    rows = {}
    for k, kind in enumerate(KINDS):
        if kind in NOTICED:
            has, sure = labels[:, k] > 0.5, known[:, k] > 0.5
            rows[kind] = {
                "98 %": float(said[~has & sure, k].quantile(0.98)),
                "found": float((said[has & sure, k] >= NOTICED[kind]).float().mean()),
                "threshold": NOTICED[kind],
            }
    return {"photographs": len(said), "kinds": rows}


def facts(result: dict[str, Any]) -> Facts:
    """Numbers by kind, and tables: held-out simulated photographs, and real ones."""
    found, protocol, chosen = result["simulated"], result["protocol"], result["thresholds"]
    kinds = [[k, *(f"{v[n]:.2f}" for n in COLUMNS)] for k, v in found["kinds"].items()]
    real = [
        [n, r["kind"], str(r["images"]), f"{r['found']:.0%}", f"{r['likeliest']:.0%}", f"{r['mean'][r['kind']]:.2f}"]
        for n, r in result["real"].items()
    ]
    treated = [
        [k, f"{r['98 %']:.2f}", f"{r['threshold']:.2f}", f"{r['found']:.0%}"] for k, r in chosen["kinds"].items()
    ]
    out = Facts(
        {
            "table.simulated": table(["kind", *COLUMNS], kinds),
            "table.real": table(["photographs", "kind", "n", "found", "likeliest", "mean probability"], real),
            "table.thresholds": table(
                ["kind", "98 % of those without it stay below", "treated from", "found of those with it"], treated
            ),
            "protocol": protocol["simulated"],
            "thresholds": str(chosen["photographs"]),
        }
    )
    out.put("minutes", protocol["processor_seconds"] / 60, 1)
    out.put("crops", protocol["recipe"]["crops"], 0)
    out.put("accuracy", found["accuracy"], 1, 100)
    out.put("likeliest", found["likeliest_is_right"], 0, 100)
    out.put("error.before", found["calibration_error_before"], 3)
    out.put("error", found["calibration_error"], 3)
    for kind, row in result["laws"]["held_out"].items():
        for name, share in row.items():
            out.put(f"law.{kind}.{name}", share, 1, 100)
    for name, row in result["real"].items():
        out.put(f"{name.split(',')[0].replace(' ', '_')}.{row['kind']}.found", row["found"], 0, 100)
    return out


def from_nothing(
    given: Namespace, parts: tuple[Part, Part, Part]
) -> tuple[DegradationClassifier, Spec, dict[str, Any]]:
    """A classifier that was trained and calibrated, its description, and what was measured of it on simulated damage."""
    clock = Clock()
    count, epochs = (64, 1) if given.quick else (given.count, given.epochs)
    train, fitted, tested = parts
    if given.parts:
        found = [torch.load(path) for path in given.parts]
    else:
        sizes = [min(PART, count - first) for first in range(0, count, PART)]
        found = [made(*train, size, PART_SEED + k) for k, size in enumerate(sizes)]
    examples = tuple(torch.cat(tensors) for tensors in zip(*found, strict=True))
    del found
    count = len(examples[0])
    print(f"{count} crops of {len(train[0])} pictures made: {clock.processor:.0f} s of processor time", flush=True)
    net = trained(examples, epochs, SEED)  # type: ignore[arg-type]
    fitting, testing = (made(*p, max(64, count // 7), SEED + n) for n, p in ((1, fitted), (2, tested)))
    raw = logits(net, testing)
    calibrate(net, logits(net, fitting), fitting[3], fitting[4])
    simulated = scores(torch.sigmoid(raw / net.temperature), testing[3])
    simulated["calibration_error_before"] = reliability(torch.sigmoid(raw), testing[3])
    recipe = {"script": "recipes/fit_classifier.py", "seed": SEED, "crops": count, "epochs": epochs}
    protocol = {
        **environment(), "recipe": recipe, "sha256": "", "processor_seconds": clock.processor,
        "simulated": f"{len(testing[3])} crops of {CROP} px of {len(tested[0])} pictures and of real pairs, neither trained nor calibrated "
        f"on; a second kind with probability {SECOND}, none with {CLEAN}",
        "real": "whole photographs at native size; nothing was fitted or chosen on them",
    }  # fmt: skip
    network = {"kind": "classifier", "kinds": list(KINDS), "width": 64, "statistics": True}
    spec = Spec(
        "describe", network, sampler="guide", value_range=(0.0, 1.0), multiple_of=1, receptive_field=SIDE, dtypes=("fp32",),
        defaults=Defaults(resolution="off"), recipe=recipe,
    )  # fmt: skip
    return net, spec, {
        "protocol": protocol, "simulated": simulated, "real": {},
        "thresholds": thresholds(torch.sigmoid(logits(net, fitting)), fitting[3], fitting[4]),
        "temperature": net.temperature.tolist(),
    }  # fmt: skip


OPTIONS = {
    "-o --output": {"type": Path, "required": True, "help": "weight file to write"},
    "--count": (36_000, "damaged crops to train on"),
    "--epochs": 4,
    "--part": {"type": int, "metavar": "K", "help": "make the Kth part of the crops, write it as -o and end: for several processes"},
    "--parts": {"type": Path, "nargs": "+", "metavar": "FILE", "help": "parts made before, in their order"},
    "--again": {"type": Path, "metavar": "FILE", "help": "a classifier whose law of the light alone is fitted anew"},
    "--model": MODEL,
}  # fmt: skip


def main(given: Namespace) -> None:
    data, clock = shared_folder() / "data", Clock()
    restorer, parts = shelf.load(given.model).to(torch.device("cpu")), divided(*material(), 0.2)
    if given.part is not None:
        count = 64 if given.quick else given.count
        torch.save(made(*parts[0], min(PART, count), PART_SEED + given.part), given.output)
        return
    if given.again:
        net, spec, _ = read_guide(given.again)
        assert isinstance(net, DegradationClassifier)
        result = read_json(RESULTS / "fit_classifier.json")
    else:
        net, spec, result = from_nothing(given, parts)
    seconds = clock.processor
    measured = with_law(net, restorer, parts, given.quick)
    spec = dataclasses.replace(
        spec, network={**spec.network, "asked": second_look.light_numbers(restorer), "settles": True}
    )
    given.output.parent.mkdir(parents=True, exist_ok=True)
    result["protocol"]["sha256"] = write(given.output, spec, net, None)
    result["real"] = {name: on_folder(net, restorer, data / folder, kind) for name, (folder, kind) in REAL.items()}
    result["laws"] = {"processor_seconds": clock.processor - seconds, **measured}
    write_json(given.json, result)
    print(tables(facts(result)))
