"""Train the classifier behind `unveil describe` on this project's simulators, calibrate it, and measure it.

    python -m recipes fit_classifier -o runs/describe/describe.safetensors --json benchmarks/results/fit_classifier.json

or only its linear laws of haze and low light, for a classifier trained before (some minutes): --again FILE

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
from unveil.models.spec import Defaults, Spec
from unveil.models.treatment import NOTICED
from unveil.models.weights_file import read_guide, write
from unveil.networks.classifier import SIDE, WHOLE, DegradationClassifier, Survey, statistics, views
from unveil.networks.condition import LIGHT
from unveil.networks.photometry import Photometry, brightness, heard, measures
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
QUIET = {"haze": 0.993, "lowlight": 1 - 1 / 600}
"""Share of the cuts without the kind that stay below the probability from which it is treated: by law and network for haze, else by law."""
OTHERS = ("blur", "jpeg", "noise", "rain")
"""Damage that leaves the light as it is, which must not be taken for haze and may be there besides."""
PART, PART_SEED = 12_000, 1_000
"""Crops are made in parts of so many, each with a seed of its own."""
Parts = tuple[tuple[list[Photograph], Pairs], tuple[list[Photograph], Pairs], tuple[list[Photograph], Pairs]]
"""To train on, to fit temperatures and laws on, to measure on."""


def fit_photometry(
    net: DegradationClassifier,
    train: tuple[list[Photograph], Pairs],
    fitted: tuple[list[Photograph], Pairs],
    count: int,
    seed: int,
) -> None:
    """The linear laws of haze and of low light.

    Haze: simulated veils over a cut of each of `count` photographs, some with other damage besides, against that cut as it was, at another
    exposure, in simulated low light and with each other damage, and the real pairs of other damage. Low light: the degraded against the
    clean side of real pairs, and of photographs as they are: exposures are not simulated, since what is dark enough to be lifted is a
    matter of taste, and those pairs are what photographers did. How often each is found where it is not is set on photographs that the
    network was not trained on, and for haze together with the network, as both are heard.
    """
    net.photometry = law = Photometry()
    groups = measured_groups(None, *train, count, seed)
    every = torch.cat([groups["haze"][0], groups["none"][0]])
    law.centre.copy_(every.mean(0))
    law.scale.copy_(every.std(0).clamp_min(1e-3))
    fit_linear(law.haze, *(((groups[k][0] - law.centre) / law.scale).clamp(-5, 5) for k in ("haze", "none")))
    fit_linear(law.lowlight, *(brightness(groups[k][0]) for k in ("low", "lit")))
    kept = measured_groups(net, *fitted, count // 2, seed + 2)
    with torch.no_grad():
        measured, network = kept["none"]
        together = heard("haze", network, law(measured)["haze"])
        # Twice: the law's word is half of what is heard.
        law.haze.bias += 2 * (torch.logit(torch.tensor(NOTICED["haze"])) - together.quantile(QUIET["haze"]))
        alone = law(groups["lit"][0])["lowlight"]
        law.lowlight.bias += torch.logit(torch.tensor(NOTICED["lowlight"])) - alone.quantile(QUIET["lowlight"])


Measured = dict[str, tuple[Tensor, Tensor]]
"""By what cuts are ("haze", "none", "low", "lit"): what is measured of them (n, MEASURES), and a network's logits of haze (n,)."""


@torch.inference_mode()
def measured_groups(
    net: DegradationClassifier | None, photographs: list[Photograph], pairs: Pairs, count: int, seed: int
) -> Measured:
    """What is measured of cuts of `count` photographs, by what they are: with haze and without, in low light and lit.

    Without a network, which takes most of the time, its logits are 0.
    """
    found: dict[str, list[tuple[Tensor, Tensor]]] = {"haze": [], "none": [], "low": [], "lit": []}
    k = KINDS.index("haze")

    def seen(images: Tensor, *groups: str) -> None:
        for image in (images.clamp(0, 1) * 255).round() / 255:
            said = torch.zeros(())
            if net is not None:
                whole, patches = views(image, side=WHOLE)
                said = net(whole[None], patches[None], statistics(image)[None])[0, k]
            measured = measures(image)
            for group in groups:
                found[group].append((measured, said))

    for step in range(count // 4):
        generator = rng(seed, step)
        torch_generator = torch.Generator().manual_seed(int(generator.integers(2**62)))
        x, _ = crops(photographs, 4, CROP, generator, REACH)
        veiled = haze(x, torch_generator)[0]
        seen(veiled[:3], "haze")
        seen(degradation.apply(OTHERS[step % len(OTHERS)], veiled[2:], torch_generator)[0], "haze")
        seen(x, "none", "lit")
        seen(degradation.exposed(x, torch_generator)[:2], "none")
        seen(lowlight(x, torch_generator)[0][:2], "none")
        for other, image in zip(OTHERS, x, strict=True):
            seen(degradation.apply(other, image[None], torch_generator)[0], "none")
        for shown, kinds in pairs:
            clean, worse = crops(shown, 1, CROP, generator, REACH)
            seen(clean, "none", "lit")
            if worse is not None:
                seen(worse, "none", *(["low"] if "lowlight" in kinds else []))
    return {group: (torch.stack([m for m, _ in v]), torch.stack([s for _, s in v])) for group, v in found.items()}


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
def on_folder(net: DegradationClassifier, folder: Path, kind: str) -> dict[str, Any]:
    """How often the kind is found (probability over one half), how often it is the likeliest, and the mean probabilities."""
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp"))
    said = torch.stack(
        [
            net.probabilities(torch.from_numpy(np.ascontiguousarray(photo.read(p).pixels.transpose(2, 0, 1))))
            for p in files
        ]
    )
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
    net: DegradationClassifier, spec: Spec, given: Any, parts: Parts, clock: Clock, data: Path,
) -> None:  # fmt: skip
    """Fit the linear laws of a trained classifier, measure it on real photographs again, and write both."""
    measured = with_laws(net, parts, given.quick)
    spec = dataclasses.replace(spec, network={**spec.network, "photometry": True})
    given.output.parent.mkdir(parents=True, exist_ok=True)
    digest = write(given.output, spec, net, None)
    result = json.loads(RESULT.read_text())
    result["real"] = {name: on_folder(net, data / folder, kind) for name, (folder, kind) in REAL.items()}
    result["protocol"]["sha256"] = digest
    result["laws"] = {"processor_seconds": clock.processor, **measured}
    write_json(given.json, result)
    print(result["laws"])
    print("\n\n".join(str(v) for k, v in facts(result).items() if k == "table.real"))


def with_laws(net: DegradationClassifier, parts: Parts, quick: bool) -> dict[str, Any]:
    """Fit the linear laws of a trained classifier; how many cuts they were fitted on, and what they find on others."""
    (train, fitted, tested), count, seed = parts, 64 if quick else 1_600, 21
    fit_photometry(net.requires_grad_(False), train, fitted, count, seed)
    return {"count": count, "held_out": on_held_out(net, *tested, count // 5, seed + 1)}


@torch.inference_mode()
def on_held_out(
    net: DegradationClassifier, photographs: list[Photograph], pairs: Pairs, count: int, seed: int
) -> dict[str, dict[str, float]]:
    """By kind: the share found of those with it and of those without, from the threshold on at which it is treated.

    Haze by law and network as both are heard, low light by its law.
    """
    groups = measured_groups(net, photographs, pairs, count, seed)
    law = net.photometry
    assert law is not None

    def said(kind: str, group: str) -> Tensor:
        measured, network = groups[group]
        own = law(measured)[kind]
        return torch.sigmoid(heard(kind, network, own) if kind == "haze" else own)

    out = {}
    for kind, (has, lacks) in {"haze": ("haze", "none"), "lowlight": ("low", "lit")}.items():
        found, false = (said(kind, group) >= NOTICED[kind] for group in (has, lacks))
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
        "--again", type=Path, metavar="FILE", help="a classifier whose linear laws alone are fitted anew"
    )


def main(given: Namespace) -> None:
    data, clock, seed = shared_folder() / "data", Clock(), 11
    count, epochs = (64, 1) if given.quick else (given.count, given.epochs)
    store = Store()
    photographs, real_pairs = load_clean([data / "train" / f for f in PHOTOS], store), pairs_of(data / "train", store)
    (train, train_pairs), fitted, tested = parts_of(photographs, real_pairs)
    if given.part is not None:
        torch.save(made(train, train_pairs, min(PART, count), PART_SEED + given.part), given.output)
        return
    if given.again:
        network, spec, _ = read_guide(given.again)
        assert isinstance(network, DegradationClassifier)
        laws(network, spec, given, ((train, train_pairs), fitted, tested), clock, data)
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
    measured = with_laws(net, ((train, train_pairs), fitted, tested), given.quick)
    real = {name: on_folder(net, data / folder, kind) for name, (folder, kind) in REAL.items()}
    recipe = {"script": "recipes/fit_classifier.py", "seed": seed, "crops": count, "epochs": epochs}
    spec = Spec(
        "describe",
        {"kind": "classifier", "kinds": list(KINDS), "width": 64, "statistics": True, "photometry": True},
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
