"""What the describer overlooks and the restorer knows, who has seen more: noise, haze and low light.

The describer learned from simulators and overlooks much of what cameras, films and prints leave. The restorer does not: told
that a photograph is noisy it takes away the noise that there is, and little where there is none. So pieces of the photograph are
restored as if they were noisy, and a linear law judges what was taken away: noise is about as strong in plain parts as in busy ones,
and each pixel's is its own or a little like its neighbours'; texture and edges are neither.

Of the light it is not what the restorer would do that tells most, but what it sees: the features that its expert for the light makes
of the reduced photograph are numbers for the law of `networks.photometry`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.models.model import Model
from unveil.models.treatment import STEPS, treatment
from unveil.networks.classifier import smooth, spread_patches
from unveil.networks.compact import TimestepExperts
from unveil.networks.condition import condition, vector

SIDE, ACROSS, MARGIN, BLOCK = 96, 2, 8, 16
"""Up to ACROSS x ACROSS pieces of SIDE pixels are looked at, in blocks of BLOCK pixels, without a margin that misses its surroundings."""
FLOOR = 0.1
"""Levels of 255 that are added before a logarithm is taken."""
MEASURES = 8
"""Numbers that `measures` returns."""

LONG = 96
"""Long side of the reduced photograph that the expert for the light is shown, in pixels."""

# Fitted by `python -m recipes fit_second_look`, which prints them.
CENTRE = (0.21, 0.401, 0.543, 0.475, 1.641, 0.335, 0.276, -0.164)
SCALE = (1.067, 1.027, 0.96, 0.325, 1.037, 0.445, 0.21, 0.501)
WEIGHTS = (2.232, 1.938, 0.738, -0.442, -1.053, 0.719, -0.209, 0.991)
BIAS = -3.102
GLANCE = (1.14, -0.192, -0.715, 0.677, 0.994, 0.241, 1.401, 1.532, 1.195)
GLANCE_BIAS = 3.942
"""Of the measures of what a mean takes away, and of the classifier's log odds of noise; not standardised."""
LEAST_ODDS = -9.0
"""Log odds of noise below which the classifier says no more."""


def logit(model: Model, image: Tensor, dtype: torch.dtype = torch.float32) -> float:
    """Log odds that a photograph (3, H, W) in [0, 1], on the processor, is noisy. model: one that can be told what to fix."""
    found = measures(*taken_away(model, image, dtype))
    said = BIAS
    for value, centre, scale, weight in zip(found.tolist(), CENTRE, SCALE, WEIGHTS, strict=True):
        said += weight * min(max((value - centre) / scale, -4.0), 4.0)
    return said


@torch.inference_mode()
def glance(image: Tensor) -> Tensor:
    """(MEASURES,) numbers about what a mean of 3x3 takes away from (3, H, W) in [0, 1], in the pieces that the restorer would be shown."""
    shown = spread_patches(image, SIDE, ACROSS)
    left = smooth(shown)
    return measures(_blocks(shown - left), _blocks(left))


def worth_asking(image: Tensor, odds: float) -> bool:
    """Whether the restorer may see noise in a photograph in which the classifier, by its log odds, noticed none."""
    numbers = [*glance(image).tolist(), max(odds, LEAST_ODDS)]
    return sum(w * v for w, v in zip(GLANCE, numbers, strict=True)) + GLANCE_BIAS >= 0


@torch.inference_mode()
def taken_away(model: Model, image: Tensor, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """What the model takes away as noise, and what it leaves: each (N, 3, BLOCK, BLOCK), N >= 1, in [0, 1] and differences of such.

    One evaluation, the last of a restoration in which the light stays; the arguments are those of `logit`.
    """
    shown = spread_patches(image, SIDE, ACROSS).to(next(model.predictor.parameters()).device)
    low, high = model.spec.value_range
    y = shown * (high - low) + low
    path = model.spec.process(None, STEPS)
    denoise = model.conditioned_on(treatment(None, ("noise",))).denoiser(path, 1.0)
    with torch.autocast(y.device.type, dtype, enabled=dtype != torch.float32):
        left = denoise(float(path.alpha[1] + path.beta[1]) * y, y, 1).float()
    left = ((left - low) / (high - low)).cpu()
    return _blocks(shown.cpu() - left), _blocks(left)


def _blocks(x: Tensor) -> Tensor:
    """(P, 3, h, w) -> (N, 3, BLOCK, BLOCK), without the margin."""
    x = x[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    rows, columns = (n // BLOCK for n in x.shape[-2:])
    x = x[..., : rows * BLOCK, : columns * BLOCK].unflatten(-1, (columns, BLOCK)).unflatten(-3, (rows, BLOCK))
    return x.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def measures(taken: Tensor, left: Tensor) -> Tensor:
    """(MEASURES,) numbers about what was taken away and what was left, blocks as `taken_away` returns them.

    Logarithms of levels of 255, over blocks: the first quartile and the median of what was taken from the plainest quarter of them, the
    median of what was taken from all, how far above it the ninth tenth lies, how much detail a quarter has at most; then the correlation
    of what was taken from a block with the detail it has; and of what was taken from the plainest quarter the correlation of a pixel with
    its neighbours, and the logarithm of colour over luminance. Blocks near black or white are left out, where noise is cut off.
    """
    light = left.mean((1, 2, 3))
    kept = (light > 0.03) & (light < 0.97)
    if int(kept.sum()) >= 4:
        taken, left = taken[kept], left[kept]
    taken = taken - taken.mean((2, 3), keepdim=True)
    strength = _level(taken.square().mean((1, 2, 3)).sqrt())
    detail = _level(left.flatten(2).std(2).mean(1))
    plain = detail <= detail.quantile(0.25)
    calm = taken[plain]
    luminance = torch.einsum("nchw,c->nhw", calm, torch.tensor([0.2126, 0.7152, 0.0722]))
    power = luminance.square().mean().clamp_min(1e-12)
    across, down = luminance[..., 1:] * luminance[..., :-1], luminance[:, 1:] * luminance[:, :-1]
    colour = (calm - luminance[:, None]).square().mean().sqrt()
    quarter, half = strength[plain].quantile(torch.tensor([0.25, 0.5]))
    return torch.stack(
        [
            quarter, half, strength.median(), strength.quantile(0.9) - strength.median(), detail.quantile(0.25),
            _correlation(strength, detail), (across.mean() + down.mean()) / 2 / power, _level(colour) - _level(power.sqrt()),
        ]
    )  # fmt: skip


def _level(value: Tensor) -> Tensor:
    return torch.log(255 * value + FLOOR)


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    a, b = a - a.mean(), b - b.mean()
    return (a * b).mean() / (a.square().mean() * b.square().mean()).sqrt().clamp_min(1e-9)


@torch.inference_mode()
def light(model: Model, image: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """What the restorer's expert for the light sees in a photograph (3, H, W) in [0, 1], on the processor: (light_numbers(model),).

    Mean and maximum of each feature of its two coarsest levels, at its first step at fidelity 1, told nothing and told that haze and low
    light are as likely as not.
    """
    assert isinstance(model.predictor, TimestepExperts)
    path = model.spec.process(None, model.spec.defaults.steps)
    level = float(path.sigma[path.steps])
    expert = model.predictor.expert(level)
    scale = LONG / max(image.shape[-2:])
    of = expert.multiple_of
    size = [max(of, round(n * scale / of) * of) for n in image.shape[-2:]]
    low, high = model.spec.value_range
    y = F.interpolate(image[None], size=size, mode="bilinear", antialias=True) * (high - low) + low
    y = y.expand(2, -1, -1, -1).to(next(expert.parameters()))
    odds = vector({"haze": 0.5, "lowlight": 0.5}).expand(2, -1)
    told = condition(odds, torch.tensor([False, True]), torch.ones(2)).to(y.device)
    start = float(path.alpha[path.steps] + path.beta[path.steps]) * y
    with torch.autocast(y.device.type, dtype, enabled=dtype != torch.float32):
        seen = expert.features(start, y, torch.full((2,), level, device=y.device), told, coarsest=2).levels
    pooled = [pool(x.float(), (2, 3)) for x in reversed(seen) for pool in (torch.mean, torch.amax)]
    return torch.cat(pooled, dim=1).flatten().cpu()


def light_numbers(model: Model) -> int:
    """How many numbers `light` returns."""
    assert isinstance(model.predictor, TimestepExperts)
    return 4 * sum(model.predictor.low.widths[-2:])
