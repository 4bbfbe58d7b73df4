"""Filtering each picture with its own kernel, and the deconvolution that makes it ring."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.degradation.filtering import fast_size
from unveil.degradation.wild.canvas import extended

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


_SHORT = {3: (1, 2, 1), 5: (1, 4, 6, 4, 1), 7: (2, 7, 14, 18, 14, 7, 2)}


def gaussian_taps(width: int) -> Tensor:
    """(width,) float64 of the Gaussian that OpenCV takes for an odd width: fixed fractions to 7, then samples.

    Their sigma is 0.3 ((width - 1) / 2 - 1) + 0.8.
    """
    sigma = 0.3 * ((width - 1) / 2 - 1) + 0.8
    r = torch.arange(width, dtype=torch.float64) - width // 2
    taps = torch.tensor(_SHORT[width], dtype=torch.float64) if width in _SHORT else torch.exp(-(r**2) / (2 * sigma**2))
    return taps / taps.sum()


def sharpen(x: Tensor, weight: float = 0.5, width: int = 51, threshold: float = 10.0) -> Tensor:
    """Unsharp masking of a batch (B, C, H, W) in [0, 1], as the clean side of published training pairs was treated.

    The blurred image is taken off where it differs by more than `threshold` of 255 levels; the edge of that region is
    softened by the same blur. width: odd, of the Gaussian.
    """
    taps = gaussian_taps(width)
    kernel = (taps[:, None] * taps[None, :]).expand(len(x), -1, -1)
    sizes = torch.tensor([x.shape[-2:]] * len(x))
    rest = x - correlate(x, sizes, kernel)
    mask = correlate((rest.abs() * 255 > threshold).to(x.dtype), sizes, kernel)
    return x + mask * ((x + weight * rest).clamp(0, 1) - x)
