"""What IR-SDE's sampler is worth on the model `wild`: steps, posterior against reverse SDE and ODE, beside cheap baselines.

    python -m benchmarks wild_model --json benchmarks/results/wild_model.json

Central crops: photographs that 100 evaluations can be afforded for on a processor. The defaults are chosen on photographs held out of
training; the rest is measured on test photographs, which decide nothing. Both models are asked as they ship and told what is wrong; the
samplers are compared told. What the file holds of other sets (--sets) stays if it is of the same weights.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from benchmarks._pages import Facts
from benchmarks._sampling import PRECISION, psnrs, simulated
from benchmarks._shared import MODEL, Clock, earlier, protocol, shared_folder, table
from unveil import degradation, photo
from unveil.data.dataset import hold_out, load_clean
from unveil.data.files import Store
from unveil.diffusion import sample
from unveil.diffusion.noise import seeded
from unveil.evaluation.baselines import get_baseline
from unveil.evaluation.reading import find_images
from unveil.models.path_config import path
from unveil.models.treatment import treatment
from unveil.restorer import load
from unveil.training.validation import ssim
from unveil.util.tensors import batch_of

SIZE, MARGIN = 128, 32
SEED = 5
ROWS = {
    "few: posterior, 5 steps": (5, "ancestral"), "few: posterior, 10 steps": (10, "ancestral"),
    "few: posterior, 20 steps": (20, "ancestral"), "few: posterior, 50 steps": (50, "ancestral"),
    "few: posterior, 100 steps": (100, "ancestral"), "few: ddim, 10 steps": (10, "ddim"),
    "few: sde, 100 steps": (100, "sde"), "few: ode, 100 steps": (100, "ode"),
}  # fmt: skip
"""Row -> steps and solver of the samplers that are compared, on few photographs."""
DIALS = ((10, 0.0), (10, 0.5), (10, 1.0), (5, 0.0), (5, 1.0), (3, 1.0), (2, 1.0), (1, 1.0))
"""Steps and fidelity among which the model's defaults were chosen."""
KINDS = ("wild", "blur", "jpeg", "noise")
BASELINES = ("nlm", "tv")
FIX = {"wild": ("noise", "blur", "jpeg"), "sigma 50": ("noise",)}
"""What is told of a kind of damage; of the others the kind itself."""
PHOTOS = ("BSDS500", "SunHays80", "faces_ffhq6", "photos_more", "SRD/shadow_free")
HELD_OUT = "held out"
SETS = {"wild Kodak24": ("Kodak24", "wild"), "CBSD68, sigma 50": ("CBSD68", "sigma 50")}
Keep = Callable[[str, str, dict[str, Any]], None]


def central(path: Path, size: int) -> Tensor:
    """(3, size, size) float32 in [0, 1] from the middle of a photograph."""
    pixels = photo.read(path).pixels
    top, left = (pixels.shape[0] - size) // 2, (pixels.shape[1] - size) // 2
    return planes([pixels[top : top + size, left : left + size]])[0]


def planes(images: Sequence[Any]) -> Tensor:
    """(N, 3, H, W) float32 of arrays (H, W, 3)."""
    return torch.cat([batch_of(image).float() for image in images])


def test_set(folder: Path, damage: str, count: int) -> tuple[Tensor, Tensor]:
    """(x, y), each (N, 3, SIZE, SIZE): `count` photographs spread over the folder; damaged with a margin that is cut off."""
    files = find_images(folder)
    files = [files[round(i * (len(files) - 1) / max(1, count - 1))] for i in range(min(count, len(files)))]
    x = torch.stack([central(p, SIZE + 2 * MARGIN) for p in files])
    generator = torch.Generator().manual_seed(SEED)
    if damage == "wild":
        y, _ = degradation.apply("wild", x, generator)
    else:
        y = degradation.quantise((x + torch.randn(x.shape, generator=generator) * 50 / 255).clamp(0, 1))
    inside = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    return x[inside], y[inside]


def scores(x: Tensor, restored: Tensor) -> dict[str, Any]:
    return {"psnr": psnrs(restored, x), "ssim": ssim(restored, x).tolist()}


def run(model: Any, y: Tensor, steps: int, solver: str, fidelity: float = 0.0) -> Tensor:
    """One draw of each of y (N, 3, H, W) in [0, 1] on a subset of the trained grid, the noise the same for every method."""
    process = path(model.spec.schedule, model.spec.time).respaced(steps)
    denoise, found = model.denoiser(process, fidelity), []
    for first in range(0, len(y), 4):
        part = y[first : first + 4] * 2 - 1
        noise = seeded([SEED * 101 * 100_003 + first + i for i in range(len(part))])
        x = sample(denoise, part, process, noise, solver=solver, fidelity=fidelity)
        found.append(((x.float() + 1) / 2).clamp(0, 1))
    return torch.cat(found)


def default(restorer: Any, y: Tensor, fix: tuple[str, ...] | None = None) -> Tensor:
    """One draw of each with the model's own defaults."""
    return planes([restorer.restore(p, seed=SEED, fix=fix).image for p in y])


def denoised(name: str, y: Tensor) -> Tensor:
    return planes([get_baseline(name)(p.permute(1, 2, 0).numpy()) for p in y])


def measure_set(name: str, folder: Path, restorers: dict[str, Any], few: int, many: int, keep: Keep) -> None:
    """Everything about one test set, handed to `keep` row by row."""
    of, damage = SETS[name]
    x, y = test_set(folder / of, damage, many)
    keep(name, "input", scores(x, y))
    for baseline in BASELINES:
        keep(name, baseline, scores(x, denoised(baseline, y)))
    for title, restorer in restorers.items():
        keep(name, f"{title}, as shipped", scores(x, default(restorer, y)))
        keep(name, f"{title}, told", scores(x, default(restorer, y, FIX[damage])))
    model = restorers["wild"].model.conditioned_on(treatment(None, FIX[damage]))
    for f in (0.0, 1.0):
        keep(name, f"wild, 10 steps, fidelity {f:g}", scores(x, run(model, y, 10, "ancestral", f)))
    x, y = test_set(folder / of, damage, few)
    keep(name, "few: input", scores(x, y))
    for row, (steps, solver) in ROWS.items():
        keep(name, row, scores(x, run(model, y, steps, solver)))


def held_out(data: Path, restorers: dict[str, Any], each: int, keep: Keep) -> None:
    """The models on photographs that neither was trained on, by kind of damage: what the defaults are chosen by."""
    # wild began as general, which held out other photographs: only those that neither saw count.
    held = [hold_out(load_clean([data / f for f in of], Store()), 0.06)[1] for of in (PHOTOS, PHOTOS[:4])]
    photographs = [p for p in held[0] if p.name in {q.name for q in held[1]}]
    print(f"{len(photographs)} pictures held out of both trainings", flush=True)
    for kind in KINDS:
        made = simulated(photographs, [kind], each, SIZE, SEED)
        keep(HELD_OUT, f"{kind}: input", scores(made.x, made.y))
        for title, restorer in restorers.items():
            keep(HELD_OUT, f"{kind}: {title}", scores(made.x, default(restorer, made.y)))
            keep(HELD_OUT, f"{kind}: {title}, told", scores(made.x, default(restorer, made.y, FIX.get(kind, (kind,)))))
        told = restorers["wild"].model.conditioned_on(treatment(None, FIX.get(kind, (kind,))))
        for steps, f in DIALS:
            restored = run(told, made.y, steps, "ancestral", f)
            keep(HELD_OUT, f"{kind}: wild, {steps} steps, fidelity {f:g}", scores(made.x, restored))


def facts(result: dict[str, Any]) -> Facts:
    """PSNR and SSIM by set and row, and a table for each set."""
    out = Facts(numbers=result["protocol"]["numbers"], general=result["protocol"]["sha256"]["general"][:12])
    for name, rows in result["sets"].items():
        short = name.split(",")[0].replace(" ", "_")
        for row, values in rows.items():
            key = row.replace("few: ", "few.").replace(", ", ".").replace(": ", ".").replace(" ", "_")
            out.put(f"{short}.{key}.psnr", fmean(values["psnr"]))
            out.put(f"{short}.{key}.ssim", fmean(values["ssim"]), 3)
        few = {k: v for k, v in rows.items() if k.startswith("few: ")}
        out[f"table.{short}"] = shown({k: v for k, v in rows.items() if k not in few})
        if few:
            out[f"table.{short}.few"] = shown({k.removeprefix("few: "): v for k, v in few.items()})
    return out


def shown(rows: dict[str, dict[str, list[float]]]) -> str:
    return table(
        ["", "photographs", "PSNR", "SSIM"],
        [[k, str(len(v["psnr"])), f"{fmean(v['psnr']):.2f}", f"{fmean(v['ssim']):.3f}"] for k, v in rows.items()],
    )


OPTIONS = {
    "--model": ("wild", MODEL[1]),
    "--few": (6, "photographs where the sampler takes up to 100 steps"),
    "--many": (16, "photographs everywhere else"),
    "--each": (6, "held-out photographs for each kind of damage"),
    "--sets": ((HELD_OUT, *SETS), "", (HELD_OUT, *SETS)),
}


def measure(given: Namespace) -> dict[str, Any]:
    few, many, each = (1, 1, 1) if given.quick else (given.few, given.many, given.each)
    data, clock = shared_folder() / "data", Clock()
    restorers = {"wild": load(given.model, "cpu", PRECISION), "general": load("general", "cpu", PRECISION)}
    weights = {title: r.model.sha256 for title, r in restorers.items()}
    before = earlier(given.json)
    same = before and before["protocol"]["sha256"] == weights and not (given.quick or before["protocol"]["quick"])
    sets: dict[str, dict[str, Any]] = before["sets"] if same else {}

    def keep(of: str, row: str, values: dict[str, Any]) -> None:
        sets.setdefault(of, {})[row] = values
        print(f"{of} / {row}: {fmean(values['psnr']):.2f} dB, {clock.processor:.0f} s", flush=True)

    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=PRECISION == "bf16"):
        for name in given.sets:
            if name == HELD_OUT:
                held_out(data / "train", restorers, each, keep)
            else:
                measure_set(name, data / "test", restorers, few, many, keep)
    about = {
        "sha256": weights,
        "numbers": f"central crops of {SIZE} px, damaged with {MARGIN} px around them that are then cut off; one draw, seed {SEED}, "
        "the same noise for every sampler; RGB in [0, 1], no border, mean over photographs; SSIM with an 11x11 Gaussian window; "
        f"networks in {PRECISION}",
        "processor_seconds": clock.processor + (before["protocol"]["processor_seconds"] if same else 0.0),
    }
    return {"protocol": protocol(given, **about), "sets": sets}
