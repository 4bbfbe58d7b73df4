"""What baseline JPEG does to pixels, in tensors on any device with the integers of libjpeg-turbo: the bits that its files give back.

The entropy coder loses nothing and is left out. Colour conversion (ITU-T T.871) in 16 bits after the point; chroma halved by rounded
means and enlarged by the triangle filter that libjpeg calls fancy upsampling; the "islow" transform of Loeffler, Ligtenberg and Moschytz
(ICASSP 1989) with 13 bits after the point; the quantisation tables of Annex K (ITU-T T.81) scaled by the quality.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *(99,) * 32,
)  # fmt: skip
# One pass of the transform: 2^13 times the cosines, as libjpeg's additions and rounded constants leave them.
_COSINES = (
    (8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192),
    (11363, 9633, 6437, 2260, -2260, -6437, -9633, -11363),
    (10703, 4433, -4433, -10703, -10703, -4433, 4433, 10703),
    (9633, -2259, -11362, -6436, 6436, 11362, 2259, -9633),
    (8192, -8192, -8192, 8192, 8192, -8192, -8192, 8192),
    (6437, -11362, 2261, 9633, -9633, -2261, 11362, -6437),
    (4433, -10704, 10704, -4433, -4433, 10704, -10704, 4433),
    (2260, -6436, 9633, -11363, 11363, -9633, 6436, -2260),
)
_POINT = 13
_BETWEEN = 2
"""Bits after the point between the two passes."""
_MOST = 7
"""Pixels by which a grid of blocks of eight may begin before the picture."""


@lru_cache(maxsize=16)
def _constant(values: tuple[tuple[int, ...], ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)


def _rounded(x: Tensor, bits: int) -> Tensor:
    """Whole numbers shifted right by `bits`, halves upwards; exact, as all products here are far below 2^53."""
    return (x * 2.0**-bits + 0.5).floor()


def _to_coefficients(blocks: Tensor) -> Tensor:
    """(..., 8, 8) whole numbers, -128 to 127, to eight times their coefficients."""
    cosines = _constant(_COSINES, blocks.device)
    rows = _rounded(blocks @ cosines.T, _POINT - _BETWEEN)
    return _rounded(cosines @ rows, _POINT + _BETWEEN)


def _to_pixels(coefficients: Tensor) -> Tensor:
    """(..., 8, 8) coefficients to pixels, 0 to 255."""
    cosines = _constant(_COSINES, coefficients.device)
    columns = _rounded(cosines.T @ coefficients, _POINT - _BETWEEN)
    return (_rounded(columns @ cosines, _POINT + _BETWEEN + 3) + 128).clamp(0, 255)


def _table(base: tuple[int, ...], quality: Tensor) -> Tensor:
    """(B, 1, 1, 1, 8, 8) quantisation steps of qualities (B,), 1 to 100."""
    q = quality.to(torch.float64).view(-1, 1)
    scale = torch.where(q < 50, (5000 / q).floor(), 200 - 2 * q)
    return ((_constant((base,), quality.device) * scale + 50) / 100).floor().clamp(1, 255).view(-1, 1, 1, 1, 8, 8)


def _coded(planes: Tensor, steps: Tensor) -> Tensor:
    """Planes (B, C, H, W), 0 to 255, sides multiples of 8, after quantisation in blocks of 8."""
    b, c, h, w = planes.shape
    blocks = planes.view(b, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    found = _to_coefficients(blocks - 128)
    whole = found.sign() * ((found.abs() + 4 * steps) / (8 * steps)).floor()
    return _to_pixels(whole * steps).transpose(3, 4).reshape(b, c, h, w)


def _to_ycc(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) whole numbers, 0 to 255."""
    r, g, b = rgb.unbind(1)
    y = _rounded(19595 * r + 38470 * g + 7471 * b, 16)
    # Chroma is rounded half downwards.
    cb = ((-11059 * r - 21709 * g + 32768 * b + 32767) * 2.0**-16).floor() + 128
    cr = ((32768 * r - 27439 * g - 5329 * b + 32767) * 2.0**-16).floor() + 128
    return torch.stack([y, cb, cr], 1)


def _to_rgb(y: Tensor, chroma: Tensor) -> Tensor:
    """y (B, H, W) and chroma (B, 2, H, W) to (B, 3, H, W), 0 to 255."""
    cb, cr = (chroma - 128).unbind(1)
    g = y + ((-22554 * cb - 46802 * cr + 32768) * 2.0**-16).floor()
    return torch.stack([y + _rounded(91881 * cr, 16), g, y + _rounded(116130 * cb, 16)], 1).clamp(0, 255)


def _at(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """x (B, C, H, W) read at rows (B, h) and columns (B, w), of each sample its own."""
    x = x.gather(2, rows[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))
    return x.gather(3, columns[:, None, None, :].expand(-1, x.shape[1], x.shape[2], -1))


def compressed(x: Tensor, quality: Tensor, offset: Tensor, *, subsampled: bool) -> Tensor:
    """Pictures (B, 3, H, W) in [0, 1] as they come back from a JPEG file: float32 in 8-bit levels.

    x: on a device that has float64. quality: (B,) 1 to 100, there. offset: (B, 2) long there, 0 to 7: the blocks begin so many pixels
    (down, right) before the picture, whose edge is repeated. subsampled: whether chroma is halved (4:2:0).
    """
    _, _, h, w = x.shape
    down, right = offset[:, :1], offset[:, 1:]
    tall, wide = (-(-(n + _MOST) // 16) * 16 for n in (h, w))

    def lines(n: int) -> Tensor:
        return torch.arange(n, device=x.device)[None]

    # All on one canvas, large enough for every offset: what lies beyond a picture's own last block is never read.
    pixels = (x * 255).round().clamp(0, 255).double()
    canvas = _at(pixels, (lines(tall) - down).clamp(0, h - 1), (lines(wide) - right).clamp(0, w - 1))
    ycc = _to_ycc(canvas)
    rows, columns = lines(h) + down, lines(w) + right
    y = _at(_coded(ycc[:, :1], _table(_LUMINANCE, quality)), rows, columns)[:, 0]
    steps = _table(_CHROMINANCE, quality)
    if not subsampled:
        return _to_rgb(y, _at(_coded(ycc[:, 1:], steps), rows, columns)).float() / 255
    # Means of 2x2, a half rounded downwards in even columns and upwards in odd ones.
    bias = 0.25 + 0.25 * (lines(wide // 2) % 2)
    halved = (F.avg_pool2d(ycc[:, 1:], 2) + bias).floor()
    last_row, last_column = (h + down - 1) // 2, (w + right - 1) // 2
    halved = _at(halved, torch.minimum(lines(tall // 2), last_row), lines(wide // 2).expand(len(x), -1))
    chroma = _coded(halved, steps)
    # Three parts of the nearest sample and one of the next, along both axes; where there are two columns or fewer, none of the next.
    smooth = last_column > 1

    def next_to(at: Tensor, last: Tensor) -> Tensor:
        near = at // 2
        far = torch.minimum((near + 2 * (at % 2) - 1).clamp_min(0), last)
        return torch.where(smooth, far, near)

    own = lines(wide // 2).expand(len(x), -1)
    tall_sums = 3 * _at(chroma, rows // 2, own) + _at(chroma, next_to(rows, last_row), own)
    every = lines(h).expand(len(x), -1)
    sums = 3 * _at(tall_sums, every, columns // 2) + _at(tall_sums, every, next_to(columns, last_column))
    upwards = (8 - columns % 2)[:, None, None, :]
    return _to_rgb(y, ((sums + upwards) / 16).floor()).float() / 255
