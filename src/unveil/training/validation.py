"""Restoring held-out photographs with the averaged weights, by the sampler that the exported model uses by default, told nothing."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from unveil import degradation
from unveil.data.dataset import Photograph, cut, to_tensor
from unveil.data.files import Picture, Unreadable
from unveil.diffusion.noise import seeded
from unveil.diffusion.resolution import Resolution
from unveil.diffusion.sampling import sample
from unveil.models.model import Model
from unveil.training.batches import Source
from unveil.training.settings import Config
from unveil.util import atomic


def psnr(x: Tensor, target: Tensor) -> Tensor:
    """(B,) dB, over all channels and pixels. Both (B, 3, H, W) in [0, 1]; 100 dB at most, so that means stay finite."""
    error = ((x - target) ** 2).flatten(1).double().mean(1)
    return -10 * torch.log10(error.clamp_min(1e-10))


def _taps(device: torch.device) -> Tensor:
    offset = torch.arange(11, dtype=torch.float64, device=device) - 5
    taps = torch.exp(-(offset**2) / (2 * 1.5**2))
    return taps / taps.sum()


def ssim(x: Tensor, target: Tensor) -> Tensor:
    """(B,) structural similarity (Wang et al. 2004, eq. 13): 11x11 Gaussian window, sigma 1.5, where it fits; mean of channels.

    Both (B, 3, H, W) in [0, 1], H and W at least 11.
    """
    b, c, h, w = x.shape
    taps = _taps(x.device)

    def mean(image: Tensor) -> Tensor:  # by columns, then by rows: a fifth of the work
        return F.conv2d(F.conv2d(image, taps[None, None, :, None]), taps[None, None, None])

    left, right = (t.double().reshape(b * c, 1, h, w) for t in (x, target))
    m, n = mean(left), mean(right)
    variance_left, variance_right = mean(left**2) - m**2, mean(right**2) - n**2
    covariance = mean(left * right) - m * n
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * m * n + c1) * (2 * covariance + c2) / ((m**2 + n**2 + c1) * (variance_left + variance_right + c2))
    return similarity.reshape(b, -1).mean(1)


_SEED = 20_240_001  # of the simulated damage and the sampler's noise: the same in every run, so that runs compare
_SHOWN = 8  # rows of the sheet


@dataclass(frozen=True)
class Scores:
    """Means over the held-out crops, input beside output, and how they were measured."""

    psnr: float
    ssim: float
    input_psnr: float
    input_ssim: float
    count: int
    protocol: str

    def line(self) -> str:
        """A line for a person."""
        return f"{self.psnr:.2f} dB, SSIM {self.ssim:.4f} (input {self.input_psnr:.2f} dB, {self.input_ssim:.4f})"


@dataclass(frozen=True)
class HeldOut:
    """Fixed crops: x (N, 3, s, s) clean and y degraded, in [0, 1]. smaller: (height, width) of the photographs that are smaller than the
    crop, and were mirrored at their edges to fill it.
    """

    x: Tensor
    y: Tensor
    smaller: tuple[tuple[int, int], ...] = ()

    def words(self) -> str:
        """What was looked at, for a protocol: "4 central crops of 256 px"."""
        text = f"{len(self.x)} central crops of {int(self.x.shape[-1])} px"
        if not self.smaller:
            return text
        (low, wide), (high, broad) = min(self.smaller), max(self.smaller)
        sizes = f"{wide} x {low}" if (low, wide) == (high, broad) else f"{wide} x {low} to {broad} x {high}"
        count = "all" if len(self.smaller) == len(self.x) else f"{len(self.smaller)}"
        return f"{text} ({count} of smaller photographs, {sizes} px, mirrored at their edges)"


def _centre(picture: Picture, size: int) -> Tensor:
    pixels = picture.pixels()
    top, left = max(0, (pixels.shape[0] - size) // 2), max(0, (pixels.shape[1] - size) // 2)
    return to_tensor(cut(pixels, top, left, size))


def _evenly(photographs: list[Photograph], count: int) -> list[Photograph]:
    """`count` of them, spread over the list."""
    picked = (
        sorted({round(i * (len(photographs) - 1) / max(1, count - 1)) for i in range(count)}) if photographs else []
    )
    return [photographs[i] for i in picked]


def held_out(config: Config, source: Source) -> HeldOut | None:
    """Central crops of the held-out photographs: pairs and simulated damage in the training's shares. None without any."""
    settings, data = config.validation, config.data
    weights = [w for w, _ in source.pairs]
    spare = max(0.0, 1.0 - sum(weights)) if data.photos else 0.0
    total = sum(weights) + spare
    clean: list[Tensor] = []
    degraded: list[Tensor] = []
    smaller: list[tuple[int, int]] = []
    groups = [(w, found) for w, found in source.pairs] + [(spare, source.photos if data.photos else [])]
    for weight, photographs in groups:
        for photo in _evenly(photographs, max(1, round(settings.count * weight / total)) if weight > 0 else 0):
            try:
                x = _centre(photo.clean, settings.size)
                y = _centre(photo.degraded, settings.size) if photo.degraded is not None else None
            except Unreadable:
                continue
            if y is None:
                generator = torch.Generator().manual_seed(_SEED + len(clean))
                y = degradation.mixture(x[None], generator, weights=data.kinds or None, second=data.second, clean=0.0)[
                    0
                ][0]
            clean.append(x)
            degraded.append(y)
            if min(photo.clean.size) < settings.size:
                smaller.append(photo.clean.size)
    return HeldOut(torch.stack(clean), torch.stack(degraded), tuple(smaller)) if clean else None


@torch.inference_mode()
def restore(
    model: Model, y: Tensor, autocast: Callable[[], torch.autocast], fidelity: float, first_seed: int = 0
) -> Tensor:
    """One draw for each of y (B, 3, H, W) in [0, 1], the rest by the model's defaults; sample i uses noise of its own."""
    low, high = model.spec.value_range
    defaults = model.spec.defaults
    state_y = y * (high - low) + low
    path = model.spec.process()
    denoise = model.with_guide_of(state_y).denoiser(path, fidelity)
    with autocast():
        if model.spec.sampler == "one_shot":
            x0 = denoise(path.start(state_y, torch.zeros_like(state_y)), state_y, path.steps)
        else:
            x0 = sample(
                denoise,
                state_y,
                path,
                seeded([_SEED + first_seed + i for i in range(len(y))]),
                solver=defaults.solver,
                fidelity=fidelity,
                resolution=Resolution(defaults.resolution, defaults.low, defaults.switch),
            )
    return ((x0.float() - low) / (high - low)).clamp(0, 1)


def validate(
    model: Model,
    crops: HeldOut,
    autocast: Callable[[], torch.autocast],
    device: torch.device,
    *,
    fidelity: float | None = None,
    sheet: Path | None = None,
) -> Scores:
    """Scores of one draw per crop, without a word about the damage; the first crops go on a sheet (degraded, restored, clean in columns),
    if a path is given.

    fidelity: the model's default unless given.
    """
    d = model.spec.defaults
    f = d.fidelity if fidelity is None else fidelity
    out = torch.cat(
        [restore(model, crops.y[i : i + 4].to(device), autocast, f, i).cpu() for i in range(0, len(crops.y), 4)]
    )
    if sheet is not None:
        write_sheet(sheet, [crops.y, out, crops.x])
    one_shot = model.spec.sampler == "one_shot"
    how = "one evaluation" if one_shot else f"one draw, {d.steps} {d.solver} steps, fidelity {f:g}, seed {_SEED}"
    how += ", told nothing" if model.spec.conditioned else ""
    return Scores(
        float(psnr(out, crops.x).mean()),
        float(ssim(out, crops.x).mean()),
        float(psnr(crops.y, crops.x).mean()),
        float(ssim(crops.y, crops.x).mean()),
        len(crops.x),
        f"mean over {crops.words()} of photographs held out from training; RGB, [0, 1], no border; "
        f"SSIM with an 11x11 Gaussian window; {how}",
    )


def write_sheet(path: Path, columns: list[Tensor], gap: int = 4) -> None:
    """Write a PNG, aside and renamed, with one row per sample (8 at most) and one column per tensor (N, 3, s, s) in [0, 1], on white.

    Raises InputError when it cannot be written.
    """
    rows = min(_SHOWN, len(columns[0]))
    side = int(columns[0].shape[-1])
    sheet = np.full((rows * (side + gap) - gap, len(columns) * (side + gap) - gap, 3), 255, np.uint8)
    for r in range(rows):
        for c, column in enumerate(columns):
            pixels = (column[r].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
            sheet[r * (side + gap) : r * (side + gap) + side, c * (side + gap) : c * (side + gap) + side] = pixels
    encoded = io.BytesIO()
    Image.fromarray(sheet).save(encoded, format="PNG")
    with atomic.replacing(path) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(encoded.getvalue())
