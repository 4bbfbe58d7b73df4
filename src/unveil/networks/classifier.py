"""A small network that names what is wrong with a photograph: several kinds of damage at once, each with a probability.

It looks twice. Haze, shadow and low light are seen on the whole photograph, reduced; noise, blur, compression and rain in
patches at its own resolution, which a reduction would wipe out. Nothing depends on the photograph's size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 64
"""Of the reduced photograph and of the patches, in pixels."""


DETAIL = 8.0
"""Gain of the detail beside the pixels themselves: a noise of a few levels should be as loud as an edge."""


class Eye(nn.Module):
    """(B, 3, SIDE, SIDE) in [0, 1] -> (B, width): the mean of what each place of an eighth of the resolution holds.

    It sees the pixels and, amplified, what a mean of 3x3 leaves of them, in which noise, blur and blocks show.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            *_layer(24, width // 2),
            *_layer(width // 2, width * 3 // 4, 2),
            *_layer(width * 3 // 4, width, 2),
            *_layer(width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        smooth = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        return self.layers(torch.cat([x - 0.5, DETAIL * (x - smooth)], dim=1)).mean((2, 3))


def _layer(taken: int, given: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return (nn.Conv2d(taken, given, 3, stride, 1, bias=False), nn.BatchNorm2d(given), nn.ReLU())


class DegradationClassifier(nn.Module):
    """kinds: names of what is told, in the order of the outputs. width: features of each of the two looks.

    temperature: (K,), by which each kind's logit is divided; fitted after training, on photographs that it never saw.
    """

    temperature: Tensor

    def __init__(self, kinds: tuple[str, ...], width: int = 64) -> None:
        super().__init__()
        self.kinds = tuple(kinds)
        self.far, self.near = Eye(width), Eye(width)
        self.say = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, len(self.kinds)))
        self.register_buffer("temperature", torch.ones(len(self.kinds)))

    def forward(self, whole: Tensor, patches: Tensor) -> Tensor:
        """Logits (B, K). whole: (B, 3, SIDE, SIDE), patches: (B, P, 3, SIDE, SIDE), both in [0, 1] (see `views`)."""
        near = self.near(patches.flatten(0, 1)).unflatten(0, patches.shape[:2]).mean(1)
        return self.say(torch.cat([self.far(whole), near], dim=1)) / self.temperature

    def probabilities(self, image: Tensor) -> Tensor:
        """(K,), each in [0, 1], independent of one another, of a photograph (3, H, W) in [0, 1], H, W >= 1."""
        whole, patches = views(image)
        return torch.sigmoid(self(whole[None], patches[None]))[0]


def views(image: Tensor, across: int = 4) -> tuple[Tensor, Tensor]:
    """(the whole, reduced to (3, SIDE, SIDE); patches (P, 3, SIDE, SIDE)) of a photograph (3, H, W), any H, W >= 1.

    Patches lie on an even grid, `across` a side or as many as fit; a photograph smaller than a patch is repeated at its edges.
    """
    whole = F.interpolate(image[None], size=(SIDE, SIDE), mode="bilinear", antialias=True)[0]
    h, w = image.shape[-2:]
    if min(h, w) < SIDE:
        image = F.pad(image[None], (0, max(0, SIDE - w), 0, max(0, SIDE - h)), mode="replicate")[0]
    tops, lefts = _spread(image.shape[-2], across), _spread(image.shape[-1], across)
    return whole, torch.stack([image[:, t : t + SIDE, v : v + SIDE] for t in tops for v in lefts])


def _spread(length: int, count: int) -> list[int]:
    """Where `count` windows of SIDE pixels begin, evenly over `length`; fewer where they would repeat."""
    room = length - SIDE
    count = max(1, min(count, -(-length // SIDE)))
    return [room // 2] if count == 1 else [round(i * room / (count - 1)) for i in range(count)]
