"""What an image is driven towards while a prior samples: losses without a reference, and distance in VGG-16's features.

All take images (B, 3, H, W) in [0, 1]; those without a reference (Zero-DCE; GDP, TAO, LD-RPS) are defined, with finite gradients, on every
image, grey ones too. Perceptual distance is the mean squared difference of features after VGG-16's fourth convolution (relu2_2).
"""

from __future__ import annotations

import pickle
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.errors import ModelError
from unveil.networks.feature_extractors import VGG16, vgg16


def exposure(x: Tensor, patch: int, target: float = 0.5) -> Tensor:
    """Mean squared distance of the mean brightness of patches from `target`; a scalar.

    patch: side in pixels, at most the image's; patches do not overlap, and what is left over at the bottom and right is
    not looked at. LD-RPS: 32 or 64 pixels at 512 x 512, target 0.5. GDP: 8 pixels, target 0.3.
    """
    side = min(patch, x.shape[-2], x.shape[-1])
    return ((F.avg_pool2d(x.mean(1, keepdim=True), side) - target) ** 2).mean()


def colour_cast(x: Tensor) -> Tensor:
    """Distance from a grey world: sqrt(Drg^2 + Drb^2 + Dgb^2), D the squared difference of two channels' means; (B,).

    The root's slope is infinite at 0 although the whole is smooth there, its gradient being 0: on a grey image the
    textbook form gives 0/0. Here the root is not taken where there is nothing under it.
    """
    red, green, blue = x.mean((-2, -1)).unbind(1)
    under = (red - green) ** 4 + (red - blue) ** 4 + (green - blue) ** 4
    grey = under == 0
    return torch.where(grey, 0.0, torch.where(grey, 1.0, under).sqrt())


def total_variation(x: Tensor) -> Tensor:
    """Twice the mean squared step between neighbours, down plus across; a scalar (Zero-DCE's form, in GDP and TAO)."""
    down, across = x.diff(dim=-2), x.diff(dim=-1)
    return 2 * ((down**2).mean() + (across**2).mean())


_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which VGG was trained under
_GAIN = 4.0  # puts the distance of two unrelated photographs near 10, where LD-RPS's weights expect it


class Perceptual(nn.Module):
    """P(a, b) of images (B, 3, H, W) in [0, 1], a scalar; the published LD-RPS, TAO and UP-ZeroIR use it with trained VGG-16.

    Without weights the four convolutions keep seeded random ones (He et al., "A powerful generative model using random
    weights", 2016): a fixed bank of local filters that compares structure within 14 pixels, not objects. It is another
    distance than the published one, of like size.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = vgg16(VGG16[:2]).features
        draw = torch.Generator().manual_seed(0)
        for name, parameter in self.features.named_parameters():
            if name.endswith("weight"):
                nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=draw)
            else:
                nn.init.zeros_(parameter)
        self.gain = _GAIN
        self.register_buffer("mean", torch.tensor(_MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).reshape(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        seen_a, seen_b = (self.features((x - self.mean) / self.std) for x in (a, b))
        return self.gain**2 * ((seen_a - seen_b) ** 2).mean()


@lru_cache(maxsize=2)
def perceptual(weights: Path | None = None, device: str = "cpu") -> Perceptual:
    """The distance, from torchvision's VGG-16 file (vgg16-397923af.pth, or its tensors as .safetensors) or seeded.

    Raises ModelError for a file that cannot be read or is no VGG-16.
    """
    network = Perceptual()
    if weights is not None:
        try:
            tensors = load_file(weights) if weights.suffix == ".safetensors" else torch.load(weights, weights_only=True)
            wanted = {key: tensors[key] for key in network.state_dict()}
            network.load_state_dict(wanted)
        except (OSError, SafetensorError, pickle.UnpicklingError, KeyError, TypeError, RuntimeError) as e:
            raise ModelError(
                f"{weights} holds no VGG-16 weights that can be used ({e}); give torchvision's vgg16-397923af.pth, or leave "
                "the option away for seeded random features"
            ) from e
        network.gain = 1.0
    return network.to(device)
