"""How far a network looks in effect: the change of its estimate by what lies beyond a cut, against the distance from the cut.

    python -m benchmarks reach --model general --json benchmarks/results/reach.json

Neighbouring tiles share twice this distance. Its bound by construction (the receptive field) is far beyond what can be seen: what
counts is from where on no pixel moves by more than a tenth of 1/255 in any photograph, at any step, with and without the head; a tenth,
because a restoration takes several steps. `python -m recipes shelve --reach` puts it into the manifest.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np
import torch

import unveil
from benchmarks._shared import MODEL, protocol, shared_folder, table
from unveil import photo
from unveil.models.treatment import Treatment, first_native
from unveil.networks.condition import KINDS
from unveil.photo.tiles import noise_field
from unveil.util.tensors import batch_of

SIZE, CUT, STEP = 640, 368, 16
LIMIT = 0.1 / 255
FOLDERS = ("train/SunHays80", "train/SRD/shadow", "real/lowlight_sci", "real/hazy_aodnet")
SHOWN = (32, 64, 96, 128, 144, 160, 192, 240)


def profile(restorer: Any, pixels: Any, fidelity: float) -> list[float]:
    """max |whole - cut| in [0, 1] over all steps and pixels that lie 0, 16, 32, ... pixels or more from the cut."""
    low, high = restorer.model.spec.value_range
    y = batch_of(pixels) * (high - low) + low
    path = restorer.model.spec.process()
    # A model that is told what to fix is measured untold, and told that everything is wrong.
    told = (None, Treatment(dict.fromkeys(KINDS, 1.0), True)) if restorer.model.spec.conditioned else (None,)
    makers = [restorer.model.conditioned_on(treat).denoiser(path, fidelity) for treat in told]
    found = torch.zeros(CUT)
    with torch.inference_mode():
        # Of two experts the one for the first steps sees the reduced photograph whole; tiles are the other's.
        early = first_native(path, restorer.model.spec)
        for t in range(1, path.steps + 1 - early):
            eps = noise_field(0, t, 0, 0, y.shape[-2], y.shape[-1], 3)[None]
            x_t = (path.alpha[t] + path.beta[t]).float() * y + path.sigma[t].float() * eps
            for denoise in makers:
                whole = denoise(x_t, y, t)[..., :CUT]
                part = denoise(x_t[..., :CUT].clone(), y[..., :CUT].clone(), t)
                off = (whole - part).abs().amax((0, 1, 2)) / (high - low)
                found = torch.maximum(found, off)
    from_cut = found.flip(0)  # [d]: the column d pixels left of the cut
    return [float(from_cut[d:].max()) for d in range(0, CUT, STEP)]


def show(result: dict[str, Any]) -> str:
    """The result as Markdown: the largest change in levels of 255."""
    rows = [
        (f"{r['folder']}", *(f"{255 * r['change'][d // STEP]:.3f}" for d in SHOWN))
        for r in (*result["rows"], result["all"])
    ]
    return table(("photographs", *(f"{d} px" for d in SHOWN)), rows)


OPTIONS = {"--model": MODEL, "--count": (2, "photographs of each folder")}


def measure(given: Namespace) -> dict[str, Any]:
    restorer = unveil.load(given.model, device="cpu")
    data, count = shared_folder() / "data", 1 if given.quick else given.count
    rows = []
    for name in FOLDERS[: 1 if given.quick else None]:
        found = []
        for path in sorted(p for p in (data / name).iterdir() if p.is_file()):
            pixels = photo.read(path).pixels
            if min(pixels.shape[:2]) < 256 or pixels.shape[1] < SIZE:
                continue
            top, left = (pixels.shape[0] - 256) // 2, (pixels.shape[1] - SIZE) // 2
            crop = np.ascontiguousarray(pixels[top : top + 256, left : left + SIZE])
            found.append([profile(restorer, crop, fidelity) for fidelity in (0.0, 1.0)])
            if len(found) == count:
                break
        rows.append({"folder": name, "photographs": len(found), "change": np.max(found, axis=(0, 1)).tolist()})
    worst = np.max([row["change"] for row in rows], axis=0).tolist()
    about = {
        "model": given.model, "sha256": restorer.model.sha256, "receptive_field": restorer.model.spec.receptive_field,
        "what": f"largest change of the estimate over {SIZE}x256 crops when all right of column {CUT} is cut off, every step of the "
        "default grid, states of the forward path with x0 = y, fidelity 0 and 1, fp32",
    }  # fmt: skip
    reach = next(STEP * i for i, value in enumerate(worst) if value <= LIMIT)
    return {
        "protocol": protocol(given, **about), "rows": rows, "all": {"folder": "all", "change": worst}, "reach": reach,
    }  # fmt: skip
