"""Train the classifier behind `unveil describe` on this project's simulators, calibrate it, and measure it.

    python -m recipes fit_classifier -o runs/describe/describe.safetensors --json benchmarks/results/fit_classifier.json

or only its linear law of haze and low light, for a classifier trained before (half an hour): --again FILE

Photographs and real pairs are split by name: 80 % train, 10 % fit the temperatures, 10 % are measured on; then real photographs with a
known kind of damage, which nothing was fitted on. About a quarter of an hour of one processor core.
"""

from __future__ import annotations

import dataclasses
import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks._pages import Value
from benchmarks._shared import RESULTS, Clock, environment, positive, shared_folder, table, write_json
from recipes._damaged_crops import CLEAN, CROP, KINDS, PHOTOS, REACH, SECOND, Examples, Pairs, made, pairs_of
from unveil import degradation, photo
from unveil.data.dataset import Photograph, crops, hold_out, load_clean, rng
from unveil.data.files import Store
from unveil.degradation.haze import haze
from unveil.degradation.lowlight import lowlight
from unveil.degradation.primitives import linear_to_srgb, log_uniform, srgb_to_linear
from unveil.models import second_look, shelf
from unveil.models.model import Model
from unveil.models.spec import Defaults, Spec
from unveil.models.treatment import NOTICED
from unveil.models.weights_file import read_guide, write
from unveil.networks.classifier import SIDE, DegradationClassifier, Survey
from unveil.networks.condition import LIGHT
from unveil.networks.photometry import JUDGED, MEASURES, LightLaw
from unveil.util.devices import computes_bf16

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
RESULT = RESULTS / "fit_classifier.json"
QUIET = 0.995
"""Share of the cuts without the kind that stay below the probability from which it is treated."""
SIDES, SHOWS, STEPS = (256, 320, 400), 0.15, (1500, 430)
"""Sides of the cuts by which the law of the light is fitted, in pixels; severity from which a simulated veil is one; how many steps of
cuts it is fitted on, and its bias is set and it is measured on."""
OTHERS = ("blur", "jpeg", "noise", "rain")
"""Damage that leaves the light as it is, which must not be taken for haze and may be there besides."""
PART, PART_SEED = 12_000, 1_000
"""Crops are made in parts of so many, each with a seed of its own."""
Parts = tuple[tuple[list[Photograph], Pairs], tuple[list[Photograph], Pairs], tuple[list[Photograph], Pairs]]
"""To train on, to fit temperatures and laws on, to measure on."""


Judged = tuple[Tensor, Tensor, Tensor]
"""What the law of the light reads of cuts (n, N), which of JUDGED they have (n, 2), and which of these are to be learned (n, 2)."""


def fit_light(net: DegradationClassifier, train: Judged, fitted: Judged, asked: int, decay: float = 3e-3) -> LightLaw:
    """The linear law of haze and of low light: the mean of three, since each takes other photographs for what they are not.

    One reads all numbers; one what the restorer sees, the first `asked` of them; of the third one half is a law of what is measured, the
    other the network's own word. Slopes and bias are set on cuts of photographs that nothing was trained on: a share QUIET of those without
    a kind stay below the probability from which it is treated.
    """
    numbers, has, known = train
    count = numbers.shape[1]
    net.light = law = LightLaw(count)
    law.centre.copy_(numbers.mean(0))
    law.scale.copy_(numbers.std(0).clamp_min(1e-3))
    every = torch.arange(count)
    for k, kind in enumerate(JUDGED):
        law.layer.weight.data[k], law.layer.bias.data[k] = 0, 0
        for chosen in (every, every[:asked]):
            one, slope = _blank(len(chosen)), _blank(1)
            fit_linear(one, *_with_and_without(law.standard(numbers)[:, chosen], has, known, k), decay)
            with torch.no_grad():
                shown = _with_and_without(law.standard(fitted[0])[:, chosen], fitted[1], fitted[2], k)
                said = [one(x) for x in shown]
            fit_linear(slope, said[0], said[1], 0)
            with torch.no_grad():
                law.layer.weight[k, chosen] += slope.weight[0, 0] * one.weight[0] / 3
        measured, own = every[asked : asked + MEASURES], count - len(KINDS) + KINDS.index(kind)
        one = _blank(MEASURES)
        fit_linear(one, *_with_and_without(law.standard(numbers)[:, measured], has, known, k), decay / 3)
        with torch.no_grad():
            law.layer.weight[k, measured] += one.weight[0] / 6
            law.layer.weight[k, own] += law.scale[own] / 6
            quiet = law(_with_and_without(*fitted, k)[1])[:, k].quantile(QUIET)
            law.layer.bias[k] = torch.logit(torch.tensor(NOTICED[kind])) - quiet
    return law


def _blank(numbers: int) -> torch.nn.Linear:
    layer = torch.nn.Linear(numbers, 1)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    return layer


def _with_and_without(numbers: Tensor, has: Tensor, known: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return numbers[(has[:, k] > 0.5) & (known[:, k] > 0.5)], numbers[(has[:, k] < 0.5) & (known[:, k] > 0.5)]


@torch.inference_mode()
def judged(
    net: DegradationClassifier, restorer: Model, photographs: list[Photograph], pairs: Pairs, count: int, seed: int
) -> Judged:
    """What the law reads of some 25 cuts for each of `count` steps, and what is wrong with them.

    Of four photographs a step: simulated veils over all, one or two of them otherwise damaged too; two as they are, one at an exposure that
    nobody would mend, one at an exposure between a quarter and a thirtieth of its light, one through a curve that darkens all but the
    brightest; simulated low light, two simulated shadows, and each other damage. Then both sides of a real pair of each kind.
    A veil that hardly shows, and a curve that leaves the median above a fifth, are not learned from.
    """
    rows: list[Tensor] = []
    labels: list[tuple[float, float]] = []
    known: list[tuple[float, float]] = []

    def add(image: Tensor, haze: float = 0.0, dark: float = 0.0, sure: tuple[bool, bool] = (True, True)) -> None:
        image = (image.clamp(0, 1) * 255).round() / 255
        _, numbers = net.evidence(image, second_look.light(restorer, image))
        assert numbers is not None
        rows.append(numbers[0])
        labels.append((haze, dark))
        known.append((float(sure[0]), float(sure[1])))

    for step in range(count):
        generator = rng(seed, step)
        own = torch.Generator().manual_seed(int(generator.integers(2**62)))
        x, _ = crops(photographs, 4, SIDES[step % len(SIDES)], generator, REACH if step % 4 else 0)
        veiled, drawn = haze(x, own)
        other, first = OTHERS[step // 2 % len(OTHERS)], 3 - step % 2
        veiled[first:] = degradation.apply(other, veiled[first:], own)[0]
        for image, severity in zip(veiled, drawn["severity"].flatten().tolist(), strict=True):
            add(image, haze=1, sure=(severity >= SHOWS, True))
        add(x[0])
        add(x[1])
        for image, least, most, dark in ((x[2], 0.35, 1.0, 0), (x[3], 0.03, 0.25, 1)):
            add(linear_to_srgb(srgb_to_linear(image) * log_uniform(1, own, least, most)[0]), dark=dark)
        curved = x[step % 4] ** (1.8 + 2 * float(torch.rand((), generator=own)))
        add(curved, dark=1, sure=(True, float(curved.median()) < 0.2))
        add(lowlight(x[1:2], own)[0][0], dark=1)
        for image in (x[:1], x[2:3]):
            add(degradation.apply("shadow", image, own)[0][0])
        for other, image in zip(OTHERS, x, strict=True):
            add(degradation.apply(other, image[None], own)[0][0])
        for shown, kinds in pairs:
            if kinds == ("blur",) and step % 3:
                continue  # postcards, all alike
            clean, worse = crops(shown, 1, CROP, generator, REACH)
            add(clean[0])
            if worse is not None:
                add(worse[0], dark=float("lowlight" in kinds))
    return torch.stack(rows), torch.tensor(labels), torch.tensor(known)


def fit_linear(layer: torch.nn.Linear, with_kind: Tensor, without: Tensor, decay: float = 1e-3) -> None:
    """Logistic regression with both groups weighing the same, and a penalty of `decay` times the squared weights."""
    x = torch.cat([with_kind, without])
    y = torch.cat([torch.ones(len(with_kind)), torch.zeros(len(without))])
    share = torch.where(y > 0.5, 0.5 / len(with_kind), 0.5 / len(without))
    optimiser = torch.optim.LBFGS(layer.parameters(), lr=1, max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        said = layer(x)[:, 0]
        loss = (F.binary_cross_entropy_with_logits(said, y, reduction="none") * share).sum()
        loss = loss + decay * layer.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)


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
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp"))
    images = (torch.from_numpy(np.ascontiguousarray(photo.read(p).pixels.transpose(2, 0, 1))) for p in files)
    said = torch.stack([net.probabilities(image, second_look.light(restorer, image)) for image in images])
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


def parts_of(photographs: list[Photograph], pairs: Pairs) -> Parts:
    """To train on, to fit temperatures on, to measure on: four fifths, a tenth, a tenth, by name."""
    parts: list[tuple[list[Photograph], Pairs]] = []
    for share in (0.2, 0.5):
        kept = [(hold_out(found, share), kinds) for found, kinds in pairs]
        here, photographs = hold_out(photographs, share)
        parts.append((here, [(sides[0], kinds) for sides, kinds in kept]))
        pairs = [(sides[1], kinds) for sides, kinds in kept]
    return parts[0], parts[1], (photographs, pairs)


def facts(result: dict[str, Any]) -> dict[str, Value | str]:
    """Numbers by kind, and tables: held-out simulated photographs, and real ones."""
    found, protocol = result["simulated"], result["protocol"]
    kinds = [[k, *(f"{v[n]:.2f}" for n in COLUMNS)] for k, v in found["kinds"].items()]
    real = [
        [n, r["kind"], str(r["images"]), f"{r['found']:.0%}", f"{r['likeliest']:.0%}", f"{r['mean'][r['kind']]:.2f}"]
        for n, r in result["real"].items()
    ]
    out: dict[str, Value | str] = {
        "table.simulated": table(["kind", *COLUMNS], kinds),
        "table.real": table(["photographs", "kind", "n", "found", "likeliest", "mean probability"], real),
        "protocol": protocol["simulated"],
        "minutes": Value([protocol["processor_seconds"] / 60], 1),
        "crops": Value([protocol["recipe"]["crops"]], 0),
        "accuracy": Value([100 * found["accuracy"]], 1),
        "likeliest": Value([100 * found["likeliest_is_right"]], 0),
        "error.before": Value([found["calibration_error_before"]], 3),
        "error": Value([found["calibration_error"]], 3),
    }
    chosen = result["thresholds"]
    out["thresholds"] = str(chosen["photographs"])
    out["table.thresholds"] = table(
        ["kind", "98 % of those without it stay below", "treated from", "found of those with it"],
        [[k, f"{r['98 %']:.2f}", f"{r['threshold']:.2f}", f"{r['found']:.0%}"] for k, r in chosen["kinds"].items()],
    )
    for kind, row in result["laws"]["held_out"].items():
        out |= {f"law.{kind}.{name}": Value([100 * share], 1) for name, share in row.items()}
    for name, row in result["real"].items():
        key = name.split(",")[0].replace(" ", "_") + "." + row["kind"]
        out[f"{key}.found"] = Value([100 * row["found"]], 0)
        out[f"{key}.likeliest"] = Value([100 * row["likeliest"]], 0)
    return out


def laws(
    net: DegradationClassifier, spec: Spec, restorer: Model, given: Namespace, parts: Parts, clock: Clock, data: Path,
) -> None:  # fmt: skip
    """Fit the law of the light of a trained classifier, measure it on real photographs again, and write both."""
    measured = with_law(net, restorer, parts, given.quick)
    spec = dataclasses.replace(spec, network={**spec.network, "asked": second_look.light_numbers(restorer)})
    given.output.parent.mkdir(parents=True, exist_ok=True)
    digest = write(given.output, spec, net, None)
    result = json.loads(RESULT.read_text())
    result["real"] = {name: on_folder(net, restorer, data / folder, kind) for name, (folder, kind) in REAL.items()}
    result["protocol"]["sha256"] = digest
    result["laws"] = {"processor_seconds": clock.processor, **measured}
    write_json(given.json, result)
    print(result["laws"])
    print("\n\n".join(str(v) for k, v in facts(result).items() if k == "table.real"))


def with_law(net: DegradationClassifier, restorer: Model, parts: Parts, quick: bool) -> dict[str, Any]:
    """Fit the law of the light of a trained classifier; on how many cuts it was fitted, and what it finds on others."""
    net.requires_grad_(False).light = LightLaw(1)  # evidence is gathered for any law
    (train, train_pairs), (fitted, fitted_pairs), (tested, tested_pairs) = parts
    kept_pairs = [(a + b, kinds) for (a, kinds), (b, _) in zip(fitted_pairs, tested_pairs, strict=True)]
    seen = judged(net, restorer, train, train_pairs, 16 if quick else STEPS[0], 21)
    kept = judged(net, restorer, fitted + tested, kept_pairs, 16 if quick else STEPS[1], 22)
    law = fit_light(net, seen, kept, second_look.light_numbers(restorer))
    return {
        "count": len(seen[0]), "kept": len(kept[0]), "model": restorer.sha256, "held_out": on_held_out(law, kept),
    }  # fmt: skip


def on_held_out(law: LightLaw, tested: Judged) -> dict[str, dict[str, float]]:
    """By kind: the share found of those with it and of those without, from the threshold on at which it is treated."""
    said = torch.sigmoid(law(tested[0]))
    out = {}
    for k, kind in enumerate(JUDGED):
        found, false = (s[:, k] >= NOTICED[kind] for s in _with_and_without(said, tested[1], tested[2], k))
        out[kind] = {"found": float(found.float().mean()), "false": float(false.float().mean())}
    return out


def arguments(command: ArgumentParser) -> None:
    command.add_argument("-o", "--output", type=Path, required=True, help="weight file to write")
    command.add_argument("--count", type=positive, default=36_000, help="damaged crops to train on")
    command.add_argument("--epochs", type=positive, default=4)
    command.add_argument(
        "--part",
        type=int,
        metavar="K",
        help="make the Kth part of the crops, write it as -o and end: for several processes",
    )
    command.add_argument("--parts", type=Path, nargs="+", metavar="FILE", help="parts made before, in their order")
    command.add_argument(
        "--again", type=Path, metavar="FILE", help="a classifier whose law of the light alone is fitted anew"
    )
    command.add_argument(
        "--model", default="general", help="name or file of the restorer that is asked about the light"
    )


def main(given: Namespace) -> None:
    data, clock, seed = shared_folder() / "data", Clock(), 11
    count, epochs = (64, 1) if given.quick else (given.count, given.epochs)
    restorer, store = shelf.load(given.model).to(torch.device("cpu")), Store()
    photographs, real_pairs = load_clean([data / "train" / f for f in PHOTOS], store), pairs_of(data / "train", store)
    (train, train_pairs), fitted, tested = parts_of(photographs, real_pairs)
    if given.part is not None:
        torch.save(made(train, train_pairs, min(PART, count), PART_SEED + given.part), given.output)
        return
    if given.again:
        network, spec, _ = read_guide(given.again)
        assert isinstance(network, DegradationClassifier)
        laws(network, spec, restorer, given, ((train, train_pairs), fitted, tested), clock, data)
        return
    if given.parts:
        found = [torch.load(path) for path in given.parts]
    else:
        sizes = [min(PART, count - first) for first in range(0, count, PART)]
        found = [made(train, train_pairs, size, PART_SEED + k) for k, size in enumerate(sizes)]
    examples = tuple(torch.cat(tensors) for tensors in zip(*found, strict=True))
    del found
    count = len(examples[0])
    print(f"{count} crops of {len(train)} pictures made: {clock.processor:.0f} s of processor time", flush=True)
    net = trained(examples, epochs, seed)  # type: ignore[arg-type]
    fitting, testing = (made(*p, max(64, count // 7), seed + n) for n, p in ((1, fitted), (2, tested)))
    raw = logits(net, testing)
    calibrate(net, logits(net, fitting), fitting[3], fitting[4])
    after = torch.sigmoid(raw / net.temperature)
    found = scores(after, testing[3])
    found["calibration_error_before"] = reliability(torch.sigmoid(raw), testing[3])
    seconds = clock.processor
    measured = with_law(net, restorer, ((train, train_pairs), fitted, tested), given.quick)
    real = {name: on_folder(net, restorer, data / folder, kind) for name, (folder, kind) in REAL.items()}
    recipe = {"script": "recipes/fit_classifier.py", "seed": seed, "crops": count, "epochs": epochs}
    spec = Spec(
        "describe",
        {
            "kind": "classifier",
            "kinds": list(KINDS),
            "width": 64,
            "statistics": True,
            "asked": second_look.light_numbers(restorer),
        },
        sampler="guide",
        value_range=(0.0, 1.0),
        multiple_of=1,
        receptive_field=SIDE,
        dtypes=("fp32",),
        defaults=Defaults(resolution="off"),
        recipe=recipe,
    )
    given.output.parent.mkdir(parents=True, exist_ok=True)
    digest = write(given.output, spec, net, None)
    print(f"likeliest right {found['likeliest_is_right']:.3f}, calibration error {found['calibration_error_before']:.3f} -> "
          f"{found['calibration_error']:.3f}; {given.output.stat().st_size} bytes; {seconds:.0f} s of processor time")  # fmt: skip
    protocol = {
        **environment(),
        "recipe": recipe,
        "sha256": digest,
        "processor_seconds": seconds,
        "simulated": f"{len(testing[3])} crops of {CROP} px of {len(tested[0])} pictures and of real pairs, "
        "neither trained nor calibrated on; "
        f"a second kind with probability {SECOND}, none with {CLEAN}",
        "real": "whole photographs at native size; nothing was fitted or chosen on them",
    }
    result = {
        "protocol": protocol,
        "simulated": found,
        "real": real,
        "thresholds": thresholds(torch.sigmoid(logits(net, fitting)), fitting[3], fitting[4]),
        "temperature": net.temperature.tolist(),
        "laws": {"processor_seconds": clock.processor - seconds, **measured},
    }
    write_json(given.json, result)
    print("\n\n".join(str(v) for k, v in facts(result).items() if k.startswith("table.")))
