"""JPEG compression, by a real encoder in memory."""

from __future__ import annotations

import io
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from unveil.degradation.draws import chance, check, severities
from unveil.errors import InputError

QUALITY = (95.0, 8.0)
LONGEST = 65_000


def jpeg(x: Tensor, generator: torch.Generator, severity: float | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Compression by libjpeg through Pillow, and back; not differentiable.

    x: (B, 3, H, W) float32 in [0, 1], sRGB. Strength: quality 95 (severity 0) to 8 (severity 1), linearly. Chroma is
    halved (4:2:0) in four samples of five. Half of the samples have the block grid shifted by `offset` pixels, as in
    a crop of a compressed photograph. Returns y and `severity`, `quality`, `subsampled` (B, 1, 1, 1), `offset` (B, 2)
    (down, right). Raises InputError for a wrong shape, type or severity, or for a side over 65,000 pixels, which JPEG
    cannot store.
    """
    check(x, severity)
    b, _, h, w = x.shape
    if max(h, w) > LONGEST:
        raise InputError(f"JPEG cannot store a picture of {w}x{h} pixels; the longest side may be {LONGEST}")
    s = severities(b, generator, severity)
    quality = (QUALITY[0] + (QUALITY[1] - QUALITY[0]) * s).round()
    subsampled = chance(b, generator, 0.8)
    offset = torch.randint(0, 8, (b, 2), generator=generator) * chance(b, generator, 0.5).view(b, 1)
    y = torch.stack([recompress(x[i], int(quality[i]), bool(subsampled[i]), offset[i].tolist()) for i in range(b)])
    return y, {"severity": s, "quality": quality, "subsampled": subsampled, "offset": offset}


def recompress(image: Tensor, quality: int, subsampled: bool = True, offset: Sequence[int] = (0, 0)) -> Tensor:
    """Encode and decode one image (3, H, W), the 8x8 grid starting `offset` pixels (down, right) before it."""
    down, right = offset
    shifted = F.pad(image[None], (right, 0, down, 0), mode="replicate")[0] if down or right else image
    _, h, w = shifted.shape
    pixels = (shifted * 255).round_().clamp_(0, 255).byte().permute(1, 2, 0).contiguous().cpu()
    memory = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(memory, "JPEG", quality=quality, subsampling=2 if subsampled else 0)
    decoded = Image.open(memory, formats=("JPEG",)).tobytes()
    back = torch.frombuffer(bytearray(decoded), dtype=torch.uint8).view(h, w, 3)[down:, right:].permute(2, 0, 1)
    return back.contiguous().to(image.device).float().div_(255)
