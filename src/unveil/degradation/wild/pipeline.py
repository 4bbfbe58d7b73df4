"""The wild pipeline: a plan carried out on a batch of pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.degradation.camera import recompress
from unveil.degradation.draws import Random, SampleDraws
from unveil.degradation.primitives import Severity, check, fast_size, pinned, quantise
from unveil.degradation.wild import kernels
from unveil.degradation.wild.kernels import shake, under_display
from unveil.degradation.wild.plan import COLUMN, FAMILIES, INTERPOLATIONS, OPERATIONS, plan, words


def to_canvas(pictures: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Pictures (C, h, w) -> canvas (B, C, H, W), sizes (B, 2)."""
    sizes = torch.tensor([p.shape[-2:] for p in pictures])
    if len(pictures) == 1:
        return pictures[0][None], sizes
    h, w = sizes.amax(0).tolist()
    canvas = pictures[0].new_zeros(len(pictures), pictures[0].shape[0], h, w)
    for place, p in zip(canvas, pictures, strict=True):
        place[:, : p.shape[-2], : p.shape[-1]] = p
    return canvas, sizes


def from_canvas(canvas: Tensor, sizes: Tensor) -> list[Tensor]:
    """The inverse of `to_canvas`."""
    return [picture[:, :h, :w] for picture, (h, w) in zip(canvas, sizes.tolist(), strict=True)]


def similar(areas: list[int], limit: int) -> Iterator[list[int]]:
    """Groups of indices, at most `limit` each, whose areas differ by at most a quarter, so that little canvas is wasted."""
    order = sorted(range(len(areas)), key=lambda i: -areas[i])
    group: list[int] = []
    for i in order:
        if group and (len(group) == limit or areas[i] < 0.8 * areas[group[0]]):
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def take(x: Tensor, axis: int, index: Tensor) -> Tensor:
    """x (B, C, H, W) read along axis 2 or 3 at index (B, n), for each sample its own."""
    index = index.to(x.device)
    if axis == 2 and len(x) == 1:
        return x.index_select(2, index[0])
    shape = list(x.shape)
    shape[axis] = index.shape[1]
    return x.gather(axis, (index[:, None, :, None] if axis == 2 else index[:, None, None, :]).expand(shape))


def _mirrored(n: Tensor, before: int, total: int, *, repeat: bool) -> Tensor:
    """(B, total) indices into lines of n (B,) pixels, reflected at both ends, the edge pixel repeated or not."""
    n = n[:, None]
    period = 2 * n if repeat else (2 * (n - 1)).clamp_min(1)
    k = torch.arange(-before, total - before)[None] % period
    return torch.where(k < n, k, period - k - (1 if repeat else 0))


def extended(x: Tensor, sizes: Tensor, margin: int, size: tuple[int, int], *, repeat: bool = False) -> Tensor:
    """Each picture with `margin` pixels of its mirror image above and left, and as many below and right as fill `size`.

    repeat: whether the mirror stands at the edge of the last pixel (which then occurs twice) or in its middle. Any
    margin, also wider than the picture. (B, C, *size).
    """
    h, w = sizes[0].tolist()
    below, right = size[0] - margin - h, size[1] - margin - w
    if len(x) == 1 and not repeat and max(margin, below) < h and max(margin, right) < w:
        return F.pad(x[:, :, :h, :w], (margin, right, margin, below), mode="reflect")
    rows = take(x, 2, _mirrored(sizes[:, 0], margin, size[0], repeat=repeat))
    return take(rows, 3, _mirrored(sizes[:, 1], margin, size[1], repeat=repeat))


@lru_cache(maxsize=4096)
def taps(n: int, out: int, interpolation: str) -> tuple[Tensor, Tensor]:
    """Which of n pixels make each of `out` pixels: indices and weights, both (T, out); weights sum to 1.

    linear: 2 taps about the pixel's centre. cubic: 4, Keys' kernel with a = -0.75. area: when shrinking the share of each
    pixel in the new one; when enlarging the old pixels with a linear seam one new pixel wide.
    """
    scale = n / out
    i = torch.arange(out, dtype=torch.float64)
    if interpolation == "area" and scale >= 1:
        low = i * scale
        k = low.floor() + torch.arange(math.ceil(scale) + 1)[:, None]
        weight = (torch.minimum(k + 1, low + scale) - torch.maximum(k, low)).clamp_min(0)
    elif interpolation == "area":
        first = (i * scale).floor()
        f = ((i + 1) - (first + 1) / scale).clamp_min(0)
        k, weight = torch.stack([first, first + 1]), torch.stack([1 - f, f])
    else:
        at = (i + 0.5) * scale - 0.5
        f = at - at.floor()
        if interpolation == "linear":
            k, weight = torch.stack([at.floor(), at.floor() + 1]), torch.stack([1 - f, f])
        else:
            k = at.floor() + torch.arange(-1, 3)[:, None]
            d = (at - k).abs()
            near = (1.25 * d - 2.25) * d * d + 1
            far = -0.75 * (((d - 5) * d + 8) * d - 4)
            weight = torch.where(d <= 1, near, far)
    return k.long().clamp(0, n - 1), (weight / weight.sum(0)).float()


def resize(x: Tensor, sizes: Tensor, targets: Tensor, interpolations: list[str]) -> Tensor:
    """Canvas x (B, C, H, W) of `sizes` -> canvas of `targets` (B, 2), each with its own interpolation. Not clipped."""
    for axis in (2, 3):
        ways = [
            taps(n, m, name)
            for n, m, name in zip(
                sizes[:, axis - 2].tolist(), targets[:, axis - 2].tolist(), interpolations, strict=True
            )
        ]
        deep, long = max(i.shape[0] for i, _ in ways), max(i.shape[1] for i, _ in ways)
        index = torch.zeros(deep, len(x), long, dtype=torch.long)
        weight = torch.zeros(deep, len(x), long)
        for b, (i, w) in enumerate(ways):
            index[: i.shape[0], b, : i.shape[1]] = i
            weight[: i.shape[0], b, : i.shape[1]] = w
        shape = (len(x), 1, long, 1) if axis == 2 else (len(x), 1, 1, long)
        out = take(x, axis, index[0]) * weight[0].reshape(shape).to(x)
        for i, w in zip(index[1:], weight[1:], strict=True):
            out = out.addcmul_(take(x, axis, i), w.reshape(shape).to(x))
        x = out
    return x


NOISE_TO_SIGNAL = 0.006
MARGIN = 20
_DIRECT = 7  # from 9 on the transforms are faster, on a processor


def correlate(x: Tensor, sizes: Tensor, kernel: Tensor) -> Tensor:
    """Canvas x (B, C, H, W) of `sizes` correlated with kernel (B, K, K) or, one for each channel, (B, C, K, K).

    K odd; borders mirrored about the middle of the edge pixel. Small kernels directly, larger ones by FFT, so that the
    cost does not grow with K; rounding about 1e-6 for values in [0, 1].
    """
    k = kernel.shape[-1]
    h, w = sizes.amax(0).tolist()
    kernel = kernel.to(x).reshape(len(x), -1, k, k)
    if k <= _DIRECT:
        padded = extended(x, sizes, k // 2, (h + k - 1, w + k - 1)).reshape(1, -1, h + k - 1, w + k - 1)
        weight = kernel.expand(-1, x.shape[1], k, k).reshape(-1, 1, k, k)
        return F.conv2d(padded, weight, groups=len(weight)).reshape(x.shape[0], x.shape[1], h, w)
    size = (fast_size(h + k - 1), fast_size(w + k - 1))
    spectrum = torch.fft.rfft2(extended(x, sizes, k // 2, size)) * torch.fft.rfft2(kernel, s=size).conj()
    return torch.fft.irfft2(spectrum, s=size)[:, :, :h, :w]


def wiener(picture: Tensor, kernel: Tensor) -> Tensor:
    """Wiener deconvolution of one picture (C, h, w) by its kernel (K, K): sharper, and ringing. Not clipped.

    The picture is continued symmetrically by 20 pixels and taken as periodic there; conj(F) / (|F|^2 + 0.006) with a
    noise-to-signal ratio that does not fit it, which is the point.
    """
    k = kernel.shape[-1]
    _, h, w = picture.shape
    size = (h + 2 * MARGIN, w + 2 * MARGIN)
    padded = extended(picture[None], torch.tensor([[h, w]]), MARGIN, size, repeat=True)
    # The kernel may be wider than a tiny picture with its margin: then it wraps around, as the picture does.
    around = picture.new_zeros(size)
    at = torch.arange(k, device=picture.device) - k // 2
    around.index_put_((at[:, None] % size[0], at[None, :] % size[1]), kernel.to(picture), accumulate=True)
    transfer = torch.fft.rfft2(around)
    inverse = transfer.conj() / (transfer.abs() ** 2 + NOISE_TO_SIGNAL)
    restored = torch.fft.irfft2(torch.fft.rfft2(padded) * inverse, s=size)
    return restored[0, :, MARGIN : MARGIN + h, MARGIN : MARGIN + w]


GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the grey version that grey Poisson noise is drawn for (Rec. 601)."""

_EXACT_BELOW = 16.0
_MOST_DARK = 48
"""A rate of 16 gives as many photons once in 10^10 times."""


def add_gaussian(picture: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """picture (3, h, w) + sigma noise, clipped to [0, 1]; noise: standard normal, (3, h, w) or (1, h, w) for grey."""
    return torch.add(picture, noise, alpha=sigma).clamp_(0, 1)


def poisson_rate(picture: Tensor, grey: bool) -> tuple[Tensor, Tensor]:
    """What the photon counts are drawn for: 8-bit levels (3, h, w) or, grey, (1, h, w), and the photons at white, a number in float32.

    White is the number of different levels, rounded up to a power of two: the fewer tones, the stronger the noise.
    """
    if grey:
        picture = sum(w * picture[c : c + 1] for c, w in enumerate(GREY))  # type: ignore[assignment]
    levels = quantise(picture)
    # Counted without fetching anything from a device: a level is there or not, and so is a power of two below their number.
    different = levels.new_zeros(256).index_fill_(0, (levels * 255).round().long().flatten(), 1.0).sum()
    powers = 2.0 ** torch.arange(8, device=levels.device)
    return levels, 2.0 ** (different > powers).sum().float()


def add_poisson(picture: Tensor, counts: Tensor, levels: Tensor, photons: Tensor, scale: float) -> Tensor:
    """picture (3, h, w) + scale (counts / photons - levels), clipped; counts: Poisson draws of rate levels * photons."""
    return torch.add(picture, counts / photons - levels, alpha=scale).clamp_(0, 1)


def poisson(rate: Tensor, generator: torch.Generator) -> Tensor:
    """Poisson draws of any rate >= 0, three times as fast as torch's where rates are large.

    From 16 up a standard normal through the Cornish-Fisher expansion of the quantile, to third order (the distance to
    Poisson in total variation is under 0.001 there); below, torch's own draws.
    """
    z = torch.randn(rate.shape, generator=generator, device=generator.device).to(rate.device)
    out = _bright(rate, z)
    dark = rate < _EXACT_BELOW
    if dark.any():
        out[dark] = torch.poisson(rate[dark].to(generator.device), generator=generator).to(rate.device)
    return out


def poisson_of(rate: Tensor, z: Tensor, u: Tensor) -> Tensor:
    """Poisson draws as of `poisson`, made of standard normal z and uniform u alone: below 16 the quantile of u, summed up."""
    low = rate.clamp_max(_EXACT_BELOW)
    share = torch.exp(-low)
    below = share.clone()
    dark = torch.zeros_like(rate)
    for k in range(1, _MOST_DARK):
        dark += u > below
        share = share * low / k
        below += share
    return torch.where(rate < _EXACT_BELOW, dark, _bright(rate, z))


def _bright(rate: Tensor, z: Tensor) -> Tensor:
    # Rounding to whole numbers adds 1/12 to the variance.
    root = (rate - 1 / 12).clamp_min(1.0).sqrt()
    squared = z * z
    skew = (z * (1 - squared)).div_(72 * root)
    return skew.add_(squared, alpha=1 / 6).add_(rate - (0.5 + 1 / 6)).addcmul_(root, z).ceil_().clamp_min_(0)


CANVAS = 29
GRAIN = (0.9, 1.1)
"""Each weight of a Gaussian or generalised kernel is multiplied by a uniform draw from this range."""


def blur_kernels(rows: Tensor) -> Tensor:
    """Rows (B, COLUMNS) of blur -> kernels (B, 29, 29) float64, each of its own size in the middle, summing to 1."""
    out = torch.zeros(len(rows), CANVAS, CANVAS, dtype=torch.float64)
    column = dict(zip(COLUMN, rows.T, strict=True))
    families = [FAMILIES[int(f)] for f in column["family"]]
    for family in sorted(set(families)):
        at = torch.tensor([i for i, f in enumerate(families) if f == family])
        size = column["size"][at].long()
        if family in ("line", "shake"):
            for i, n in zip(at.tolist(), size.tolist(), strict=True):
                value = column["direction" if family == "line" else "seed"][i]
                r = n // 2
                span = slice(CANVAS // 2 - r, CANVAS // 2 + r + 1)
                out[i, span, span] = (kernels.line if family == "line" else shake)(n, int(value))
        elif family == "sinc":
            out[at] = kernels.sinc(size, CANVAS, column["cutoff"][at])
        elif family in ("defocus", "box"):
            out[at] = getattr(kernels, family)(size, CANVAS)
        else:
            squared = kernels.distance(CANVAS, *(column[c][at] for c in ("sigma_x", "sigma_y", "angle")))
            shape = kernels.plateau if family.startswith("plateau") else kernels.gaussian
            made = shape(size, CANVAS, squared, column["beta"][at])
            out[at] = made if shape is kernels.plateau else _grainy(made, column["seed"][at])
    return out


def _grainy(kernel: Tensor, seeds: Tensor) -> Tensor:
    low, high = GRAIN
    for i, seed in enumerate(seeds.tolist()):
        grain = torch.rand(kernel.shape[1:], generator=torch.Generator().manual_seed(int(seed)), dtype=torch.float64)
        kernel[i] *= low + (high - low) * grain
    return kernels.normalised(kernel)


def blur(x: Tensor, sizes: Tensor, rows: Tensor, kernel: Tensor) -> Tensor:
    """Canvas x (B, 3, H, W) of `sizes` through the kernels of its rows; a few are then deconvolved, and ring."""
    reach = int(rows[:, COLUMN["size"]].max()) // 2
    middle = slice(CANVAS // 2 - reach, CANVAS // 2 + reach + 1)
    kernel = kernel[:, middle, middle]
    out = correlate(x, sizes, kernel)
    for i in (rows[:, COLUMN["wiener"]] > 0).nonzero().flatten().tolist():
        h, w = sizes[i].tolist()
        soft = out[i, :, :h, :w].clone()
        sharp = wiener(soft, kernel[i])
        blend = max(0.0, float(rows[i, COLUMN["blend"]]))
        out[i, :, :h, :w] = blend * soft + (1 - blend) * sharp
    return out


def through_display(x: Tensor, sizes: Tensor, rows: Tensor) -> Tensor:
    """Canvas x (B, 3, H, W) of `sizes`, mixed with how a camera under a display would see it."""
    made = [under_display(int(r[COLUMN["size"]]), int(r[COLUMN["seed"]])) for r in rows]
    blend = rows[:, COLUMN["blend"]].float().view(-1, 1, 1, 1).to(x.device)
    return blend * correlate(x, sizes, torch.stack(made)) + (1 - blend) * x


BATCH_SIZES = {"cpu": 1, "cuda": 32, "mps": 16}
"""How many pictures one operation takes at once: a processor's cache is best used by one, an accelerator by many."""


def wild(x: Tensor, generator: Random, severity: Severity = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Damage as photographs in the wild bear it: blur, resizing, noise and compression, in three shuffled phases.

    x: (B, 3, H, W) float32 in [0, 1], sRGB. The pipeline of DA-CLIP's successor for images in the wild (Luo et al., CVPR
    2024 workshops; probabilities and ranges in `settings`). None draws every strength on its own, as published; a
    severity pins them all at that position of their ranges, mildest 0, strongest 1, and leaves to chance what happens.
    Pixel noise is drawn on the device of x. Returns y in 8-bit levels and `severity` (B, 1, 1, 1), the mean position
    drawn; `steps` (B, 9, COLUMNS) float64, what was done in order (see `words.events`); `words` (B, 4), how often each
    of `words.WORDS` was done. Raises InputError for a wrong shape, type or severity.
    """
    check(x, severity)
    steps = plan(len(x), generator, severity)
    done = steps[:, :, COLUMN["operation"]] >= 0
    strength = (steps[:, :, COLUMN["strength"]] * done).sum(1) / done.sum(1).clamp_min(1)
    strength = pinned(strength, severity)
    drawn = {"severity": strength.float().view(-1, 1, 1, 1), "steps": steps, "words": words(steps)}
    return carry_out(x, steps, draws=generator if isinstance(generator, SampleDraws) else None), drawn


def carry_out(x: Tensor, steps: Tensor, together: int | None = None, draws: SampleDraws | None = None) -> Tensor:
    """x (B, 3, H, W) in [0, 1] damaged as the plan `steps` (B, n, COLUMNS) says: a function of the two alone, and of `draws`.

    together: most pictures in one tensor (default: by device). On the CPU the default makes each picture's bits
    independent of the others in the batch; larger numbers change rounding only. draws: pixel noise, in place of that of the plan's seeds.
    """
    limit = together or BATCH_SIZES.get(x.device.type, 1)
    pictures = list(x)
    home = (int(x.shape[-2]), int(x.shape[-1]))
    for slot in range(steps.shape[1]):
        rows = steps[:, slot]
        for code, operation in enumerate(OPERATIONS):
            index = (rows[:, COLUMN["operation"]] == code).nonzero().flatten()
            chosen = index.tolist()
            if chosen:
                own = None if draws is None else draws.of(index).branch(slot)
                changed = operate(operation, [pictures[i] for i in chosen], rows[chosen], home, limit, own)
                for i, picture in zip(chosen, changed, strict=True):
                    pictures[i] = picture
    return torch.stack([quantise(p) for p in pictures])


def operate(
    operation: str,
    pictures: list[Tensor],
    rows: Tensor,
    home: tuple[int, int],
    limit: int,
    draws: SampleDraws | None = None,
) -> list[Tensor]:
    """The pictures (3, h, w) after one operation, each as its row says; noise from `draws`, or of the row's own seed."""
    if operation == "noise":
        if draws is not None:
            return _noisy_by(draws, pictures, rows)
        return [_noisy(p, row) for p, row in zip(pictures, rows, strict=True)]
    if operation == "jpeg":
        return [recompress(p, int(q)) for p, q in zip(pictures, rows[:, COLUMN["quality"]], strict=True)]
    kernels = blur_kernels(rows) if operation == "blur" else rows
    out = list(pictures)
    for group in similar([p.shape[-2] * p.shape[-1] for p in pictures], limit):
        x, sizes = to_canvas([pictures[i] for i in group])
        mine = rows[group]
        if operation == "blur":
            x = blur(x, sizes, mine, kernels[group])
        elif operation == "under_display":
            x = through_display(x, sizes, mine)
        else:
            targets = torch.tensor([_target(size, row, home) for size, row in zip(sizes.tolist(), mine, strict=True)])
            ways = [INTERPOLATIONS[int(k)] for k in mine[:, COLUMN["interpolation"]]]
            x, sizes = resize(x, sizes, targets, ways), targets
        for i, picture in zip(group, from_canvas(x, sizes), strict=True):
            out[i] = picture
    return out


def _target(size: list[int], row: Tensor, home: tuple[int, int]) -> tuple[int, int]:
    scale = float(row[COLUMN["scale"]])
    return (max(1, int(size[0] / scale)), max(1, int(size[1] / scale))) if scale > 0 else home


def _noisy(picture: Tensor, row: Tensor) -> Tensor:
    """Gaussian noise, Poisson noise, both or neither, then 8 bits."""
    place = picture.device if picture.device.type == "cuda" else torch.device("cpu")
    generator = torch.Generator(place).manual_seed(int(row[COLUMN["seed"]]))
    sigma, scale = float(row[COLUMN["gaussian"]]), float(row[COLUMN["poisson"]])
    if sigma > 0:
        channels = 1 if row[COLUMN["gaussian_grey"]] > 0 else picture.shape[0]
        noise = torch.randn(channels, *picture.shape[1:], generator=generator, device=place).to(picture.device)
        picture = add_gaussian(picture, noise, sigma)
    if scale > 0:
        levels, photons = poisson_rate(picture, bool(row[COLUMN["poisson_grey"]] > 0))
        picture = add_poisson(picture, poisson(levels * photons, generator), levels, photons, scale)
    return quantise(picture)


def _noisy_by(draws: SampleDraws, pictures: list[Tensor], rows: Tensor) -> list[Tensor]:
    """As `_noisy`, each picture by its own draws; what none of them needs is not made."""
    shape = (len(pictures), max(p.numel() for p in pictures))
    sigmas, scales = (rows[:, COLUMN[name]].tolist() for name in ("gaussian", "poisson"))
    normal = draws.branch(0).randn(shape) if max(sigmas) > 0 else None
    photon = (draws.branch(1).randn(shape), draws.branch(2).rand(shape)) if max(scales) > 0 else None
    out: list[Tensor] = []
    for i, (picture, row) in enumerate(zip(pictures, rows, strict=True)):
        if normal is not None and sigmas[i] > 0:
            like = picture[:1] if row[COLUMN["gaussian_grey"]] > 0 else picture
            picture = add_gaussian(picture, normal[i, : like.numel()].view_as(like), sigmas[i])
        if photon is not None and scales[i] > 0:
            levels, photons = poisson_rate(picture, bool(row[COLUMN["poisson_grey"]] > 0))
            z, u = (numbers[i, : levels.numel()].view_as(levels) for numbers in photon)
            picture = add_poisson(picture, poisson_of(levels * photons, z, u), levels, photons, scales[i])
        out.append(quantise(picture))
    return out
