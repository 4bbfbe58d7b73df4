"""Train the classifier behind `unveil describe` on this project's simulators, calibrate it, and measure it.

    python benchmarks/fit_classifier.py -o runs/describe/describe.safetensors --json benchmarks/results/fit_classifier.json

Photographs are split by name: 80 % train, 10 % fit the temperatures, 10 % are measured on; then real photographs with a
known kind of damage, which nothing was fitted on. A few minutes of one processor core.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from _pages import Value
from _shared import Clock, environment, parser, shared_folder, table, use_threads, write_json
from unveil import degradation, photo
from unveil.data.crops import crops, rng
from unveil.data.photographs import Photograph, hold_out, load_clean
from unveil.data.store import Store
from unveil.models.spec import Defaults, Spec
from unveil.models.weights_file import write
from unveil.networks.classifier import SIDE, DegradationClassifier, views

KINDS = ("haze", "shadow", "lowlight", "noise", "blur", "jpeg", "rain", "clean")
CROP, REACH, PATCHES = 192, 480, 4
SECOND, CLEAN = 0.35, 0.12
PHOTOS = ("BSDS500", "SunHays80", "faces_ffhq6", "SRD/shadow_free")
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


def made(photographs: list[Photograph], count: int, seed: int, batch: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """`count` damaged crops as the network sees them: whole (N, 3, s, s), patches (N, P, 3, s, s) uint8, labels (N, K)."""
    whole, patches, labels = [], [], []
    for step in range(count // batch):
        generator = rng(seed, step)
        torch_generator = torch.Generator().manual_seed(int(generator.integers(2**62)))
        x, _ = crops(photographs, batch, CROP, generator, reach=REACH if step % 2 else 0)
        y, kinds, _ = degradation.mixture(x, torch_generator, second=SECOND, clean=CLEAN)
        for image, told in zip(y, kinds, strict=True):
            seen, near = views(image)
            pick = torch.from_numpy(generator.permutation(len(near))[:PATCHES])
            whole.append((seen * 255).round().byte())
            patches.append((near[pick] * 255).round().byte())
            labels.append([float(k in told or (k == "clean" and not told)) for k in KINDS])
    return torch.stack(whole), torch.stack(patches), torch.tensor(labels)


def trained(data: tuple[Tensor, Tensor, Tensor], epochs: int, seed: int, batch: int = 16) -> DegradationClassifier:
    whole, patches, labels = data
    torch.manual_seed(seed)
    net = DegradationClassifier(KINDS)
    steps = epochs * (len(whole) // batch)
    optimiser = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps, pct_start=0.15)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        total = 0.0
        for index in torch.randperm(len(whole), generator=generator).split(batch)[: len(whole) // batch]:
            flip = bool(torch.rand((), generator=generator) < 0.5)
            w, p = (t[index].flip(-1) if flip else t[index] for t in (whole, patches))
            loss = F.binary_cross_entropy_with_logits(net(w / 255, p / 255), labels[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        print(f"epoch {epoch + 1}: loss {total / (len(whole) // batch):.4f}", flush=True)
    return net.eval()


@torch.inference_mode()
def logits(net: DegradationClassifier, data: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    parts = zip(data[0].split(64), data[1].split(64), strict=True)
    return torch.cat([net(w / 255, p / 255) for w, p in parts])


def calibrate(net: DegradationClassifier, said: Tensor, labels: Tensor) -> None:
    """Each kind's temperature: the one of 0.5 to 4 with the least cross-entropy."""
    candidates = torch.logspace(-1, 2, 121, base=2)
    for k in range(len(KINDS)):
        losses = [F.binary_cross_entropy_with_logits(said[:, k] / t, labels[:, k]) for t in candidates]
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
    for name, row in result["real"].items():
        key = name.split(",")[0].replace(" ", "_") + "." + row["kind"]
        out[f"{key}.found"] = Value([100 * row["found"]], 0)
        out[f"{key}.likeliest"] = Value([100 * row["likeliest"]], 0)
    return out


def main() -> None:
    command = parser(__doc__ or "")
    command.add_argument("-o", "--output", type=Path, required=True, help="weight file to write")
    command.add_argument("--count", type=int, default=2800, help="damaged crops to train on")
    command.add_argument("--epochs", type=int, default=5)
    given = command.parse_args()
    use_threads(given.threads)
    data, clock, seed = shared_folder() / "data", Clock(), 11
    count, epochs = (64, 1) if given.quick else (given.count, given.epochs)
    photographs = load_clean([data / "train" / f for f in PHOTOS], Store())
    train, held = hold_out(photographs, 0.2)
    tested, fitted = hold_out(held, 0.5)
    examples = made(train, count, seed)
    print(f"{count} crops of {len(train)} pictures made: {clock.processor:.0f} s of processor time", flush=True)
    net = trained(examples, epochs, seed)
    fitting, testing = (made(p, max(64, count // 5), seed + n) for n, p in ((1, fitted), (2, tested)))
    raw = logits(net, testing)
    calibrate(net, logits(net, fitting), fitting[2])
    after = torch.sigmoid(raw / net.temperature)
    found = scores(after, testing[2])
    found["calibration_error_before"] = reliability(torch.sigmoid(raw), testing[2])
    seconds = clock.processor
    real = {name: on_folder(net, data / folder, kind) for name, (folder, kind) in REAL.items()}
    recipe = {"script": "benchmarks/fit_classifier.py", "seed": seed, "crops": count, "epochs": epochs}
    spec = Spec(
        "describe",
        {"kind": "classifier", "kinds": list(KINDS), "width": 64},
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
        "simulated": f"{len(testing[2])} crops of {CROP} px of {len(tested)} pictures that were neither trained nor calibrated on; "
        f"a second kind with probability {SECOND}, none with {CLEAN}",
        "real": "whole photographs at native size; nothing was fitted or chosen on them",
    }
    result = {"protocol": protocol, "simulated": found, "real": real, "temperature": net.temperature.tolist()}
    write_json(given.json, result)
    print("\n\n".join(str(v) for k, v in facts(result).items() if k.startswith("table.")))


if __name__ == "__main__":
    main()
