"""LPIPS and DISTS, and the features of FID: their arithmetic on layers of torch.nn, for weights that their authors published.

The numbers are those of lpips, DISTS_pytorch and torch-fidelity on the same weights, which the tests hold them to. None of those packages
is needed, nor torchvision, which all of them import.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.errors import InputError
from unveil.networks.feature_extractors import ALEXNET, VGG16, Inception, alexnet, vgg16

_LEAST = 32
"""Least side in pixels that AlexNet's five stages leave anything of."""
_C = 1e-6
"""DISTS: what keeps its quotients finite, in c1 and c2 alike."""


class Lpips(nn.Module):
    """LPIPS 0.1 (Zhang et al., CVPR 2018) on AlexNet: weighted squared differences of features that have length 1 at each pixel."""

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> None:
        """Load torchvision's AlexNet, and the authors' weights of channels: lin0.model.1.weight, (1, C, 1, 1), to lin4. Raises InputError
        for others.
        """
        super().__init__()
        self.backbone = alexnet()
        try:
            self.backbone.take(backbone)
            self.heads = [heads[f"lin{n}.model.1.weight"].reshape(1, c, 1, 1) for n, c in enumerate(ALEXNET)]
        except (KeyError, RuntimeError) as error:
            raise InputError(f"not the weights of LPIPS on AlexNet ({error})") from error
        # The published scaling of images in [-1, 1].
        self.register_buffer("shift", torch.tensor((-0.030, -0.088, -0.188)).reshape(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor((0.458, 0.448, 0.450)).reshape(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        """The distance of (B, 3, H, W) in [0, 1], (B,); 0 for equal images. Raises InputError for a side shorter than 32 pixels."""
        if min(x.shape[-2:]) < _LEAST:
            raise InputError(f"LPIPS needs images of {_LEAST} pixels a side or more, not {x.shape[-1]}x{x.shape[-2]}")
        sides = [self.backbone((2 * image - 1 - self.shift) / self.scale) for image in (z, x)]
        total = x.new_zeros(len(x))
        for left, right, weights in zip(*sides, self.heads, strict=True):
            apart = (_unit(left) - _unit(right)) ** 2
            total = total + (apart * weights.to(apart)).sum(1).mean((1, 2))
        return total


def _unit(features: Tensor) -> Tensor:
    """Features scaled to length 1 at each pixel."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


class _Blurred(nn.Module):
    """Half the size by the root of blurred squares: DISTS's pooling, with a Hann window of 3x3 (its outer zeros left away)."""

    window: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor((0.5, 1.0, 0.5))
        plane = row[:, None] * row
        self.register_buffer("window", (plane / plane.sum()).expand(channels, 1, 3, 3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (F.conv2d(x**2, self.window, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


class Dists(nn.Module):
    """DISTS (Ding et al., TPAMI 2022): weighted likeness of means and of covariances of VGG-16's features, taken from 1."""

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
        """Load torchvision's VGG-16, and alpha and beta, 1,475 numbers each: for the means and the covariances of 3 + 64 + 128 + 256 + 512
        + 512 channels. Raises InputError for other tensors.
        """
        super().__init__()
        self.backbone = vgg16(pool=_Blurred)
        channels = [3, *(stage[-1] for stage in VGG16)]
        try:
            self.backbone.take(backbone)
            alpha, beta = (weights[name].detach().reshape(1, sum(channels), 1, 1) for name in ("alpha", "beta"))
        except (KeyError, RuntimeError) as error:
            raise InputError(f"not the weights of DISTS on VGG-16 ({error})") from error
        whole = alpha.sum() + beta.sum()
        self.alpha, self.beta = ((side / whole).split(channels, 1) for side in (alpha, beta))
        self.register_buffer("mean", torch.tensor((0.485, 0.456, 0.406)).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor((0.229, 0.224, 0.225)).reshape(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        """The distance of (B, 3, H, W) in [0, 1], (B,); 0 for equal images."""
        sides = [[image, *self.backbone((image - self.mean) / self.std)] for image in (z, x)]
        alike = x.new_zeros(len(x))
        for left, right, alpha, beta in zip(*sides, self.alpha, self.beta, strict=True):
            a, b = (side.mean((2, 3), keepdim=True) for side in (left, right))
            light = (2 * a * b + _C) / (a**2 + b**2 + _C)
            spread = sum(((side - m) ** 2).mean((2, 3), keepdim=True) for side, m in ((left, a), (right, b)))
            joint = (left * right).mean((2, 3), keepdim=True) - a * b
            structure = (2 * joint + _C) / (spread + _C)
            alike = alike + (alpha.to(a) * light + beta.to(a) * structure).sum((1, 2, 3))
        return 1 - alike


class Features:
    """What FID compares: Inception's 2,048 numbers of a picture that was brought to 299x299 by Pillow's bicubic on floats ("clean" FID)."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """Load the network from pt_inception-2015-12-05-6726825d.pth. Raises InputError for other tensors."""
        self.network = Inception()
        try:
            self.network.load_state_dict({name: weights[name] for name in self.network.state_dict()})
        except (KeyError, RuntimeError) as error:
            raise InputError(f"not the weights of FID's Inception ({error})") from error
        self.network.eval().requires_grad_(False)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The features of (H, W[, 3]) in [0, 1], rounded to 8 bits first; (2048,) float64."""
        rgb = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
        levels = np.rint(rgb * 255).astype(np.float32)
        planes = [
            np.asarray(
                Image.fromarray(np.ascontiguousarray(levels[:, :, c])).resize((299, 299), Image.Resampling.BICUBIC)
            )
            for c in range(3)
        ]
        batch = torch.from_numpy(np.stack(planes)[None]).clamp(0, 255)
        return self.network((batch - 128) / 128)[0].double().numpy()


def frechet(left: np.ndarray, right: np.ndarray) -> float:
    """The Frechet distance of the Gaussians that two sets of features (n, d) have as means and covariances (Heusel et al., NeurIPS 2017).

    tr sqrt(S T) of two covariances S = A'A and T = B'B is the sum of the singular values of A B', which needs no root of a matrix: exact
    where there are fewer pictures than features, where the usual root of the product loses digits. Raises InputError for fewer than two.
    """
    if min(len(left), len(right)) < 2:
        raise InputError(f"fid needs two pictures or more on either side, not {len(left)} and {len(right)}")
    apart = left.mean(0) - right.mean(0)
    s, t = (np.asarray(np.linalg.qr((x - x.mean(0)) / np.sqrt(len(x) - 1), mode="r")) for x in (left, right))
    shared = np.linalg.svd(s @ t.T, compute_uv=False).sum()
    return float(apart @ apart + (s**2).sum() + (t**2).sum() - 2 * shared)
