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
