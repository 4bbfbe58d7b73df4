"""How far a restoration is likely to be off: the second moment of the posterior, learned as its mean is.

A network that minimises a squared error learns the posterior's mean. One that is shown that mean x0_hat beside the photograph y, and
maximises the likelihood of the errors x0 - x0_hat that were made, learns how wide they are (Nix and Weigend 1994), which a few draws of a
sampler that hardly draws cannot tell. It has two parts: what differs from place to place, and
what is off about the light of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.networks.condition import KINDS

LEAST = -5.5
"""Of the logarithm of a standard deviation on [-1, 1]: half of one of 255 levels, little more than rounding to 8 bits leaves."""
MOST = 0.0
WHOLE = 64
Box = tuple[float, float, float, float]
WHOLE_PICTURE: Box = (0.0, 0.0, 1.0, 1.0)
_DILATIONS = (1, 2, 4, 8, 1)
_FAR_DILATIONS = (1, 2, 4, 8)
_DETAIL = 8.0  # gain of the change beside the pixels: a change of a few levels should have the size of an edge


class DoubtNetwork(nn.Module):
    """(y, x0_hat, kinds) -> logarithms of two standard deviations: of the local error, and of the error of the light of the whole.

    It has two branches: a local one at half of the resolution, of `width` channels, and a global one of `wide` on the whole photograph
    reduced to WHOLE x WHOLE places, since errors of the light extend over half a photograph.

    windows: odd sides, at half of the resolution, of windows in which activity is counted (`_activity`) for the local branch. quiet:
    activity that is told from none, in thousandths of the unit of the images. Half a step of 8 bits, 4, keeps the steps of a smooth sky
    out of it.
    """

    def __init__(self, width: int = 32, wide: int = 16, windows: Sequence[int] = (), quiet: int = 1) -> None:
        super().__init__()
        self.windows, self.quiet = tuple(windows), 1e-3 * quiet
        counted = 3 * len(self.windows)
        self.enter = _layer(36 + counted, width)
        self.told = nn.Linear(len(KINDS), 2 * width)
        self.layers = nn.ModuleList(_layer(width, width, d) for d in _DILATIONS)
        self.far = nn.ModuleList(_layer(9 if i == 0 else wide, wide, d) for i, d in enumerate(_FAR_DILATIONS))
        self.join = nn.Conv2d(wide, width, 1)
        self.leave = nn.Conv2d(width + counted, 12, 1)
        self.light = nn.Sequential(nn.Linear(len(KINDS) + 6, 24), nn.SiLU(), nn.Linear(24, 1))

    @property
    def reach(self) -> int:
        """Reach of the local branch in pixels: tiles with this margin give the same as the whole."""
        counted = 1 + max(self.windows) // 2 if self.windows else 0
        return 2 * (2 + sum(_DILATIONS) + counted)

    def places(self, y: Tensor, x0_hat: Tensor) -> Tensor:
        """(B, wide, WHOLE, WHOLE) from the global branch; arguments as for `local`."""
        x = F.interpolate(_paired(y, x0_hat), size=(WHOLE, WHOLE), mode="bilinear", antialias=True)
        for i, layer in enumerate(self.far):
            x = F.silu(layer(x)) if i == 0 else x + F.silu(layer(x))
        return x

    def local(self, y: Tensor, x0_hat: Tensor, kinds: Tensor, places: Tensor, box: Box = WHOLE_PICTURE) -> Tensor:
        """Logarithm of the local standard deviation (B, 3, H, W), in the unit of the images, between LEAST and MOST.

        y, x0_hat: (B, 3, H, W) photographs in [-1, 1] and their restorations, or pieces of them. kinds: (B, K) probabilities of the kinds
        of damage that were fixed. places: what `places` returned for the whole photographs. box: (top, left, bottom, right) of the pieces
        as shares of the photograph's sides.
        """
        h, w = int(y.shape[-2]), int(y.shape[-1])
        pair = F.pad(_paired(y, x0_hat), (0, w % 2, 0, h % 2), mode="replicate")
        counted = [_activity(pair, window, self.quiet) for window in self.windows]
        x = self.enter(torch.cat([F.pixel_unshuffle(pair, 2), *counted], dim=1)) + self.join(
            _within(places, box, (h + 1) // 2, (w + 1) // 2)
        )
        scale, shift = self.told(kinds)[:, :, None, None].chunk(2, dim=1)
        x = F.silu(x * (1 + scale) + shift)
        for layer in self.layers:
            x = x + F.silu(layer(x))
        return _bounded(F.pixel_shuffle(self.leave(torch.cat([x, *counted], dim=1)), 2)[..., :h, :w])

    def whole(self, y: Tensor, x0_hat: Tensor, kinds: Tensor) -> Tensor:
        """(B,) logarithm of the standard deviation of the mean error of a channel; arguments as for `local`, of whole photographs."""
        before, after = y.mean((1, 2, 3)), x0_hat.mean((1, 2, 3))
        spread = y.std((1, 2, 3), correction=0), x0_hat.std((1, 2, 3), correction=0)
        size = torch.log((x0_hat - y).abs().mean((1, 2, 3)) + 1e-3)
        counted = torch.stack([before, after, *spread, size, torch.log((after - before).abs() + 1e-3)], dim=1)
        return _bounded(self.light(torch.cat([kinds, counted], dim=1))[:, 0])

    def forward(self, y: Tensor, x0_hat: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor]:
        """(local, whole), each as above, of whole photographs."""
        return self.local(y, x0_hat, kinds, self.places(y, x0_hat)), self.whole(y, x0_hat, kinds)


@torch.inference_mode()
def deviations(
    network: DoubtNetwork,
    y: Tensor,
    x0_hat: Tensor,
    kinds: Tensor,
    rows: int = 256,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, float]:
    """(local (3, H, W), light): standard deviations of one photograph, in the unit of the images.

    Strip by strip, `rows` high and even, so that memory does not grow with its height. y, x0_hat: (3, H, W) photograph in [-1, 1] and its
    restoration. kinds: (K,) probabilities of the kinds of damage that were fixed. dtype: what the local part computes in; the light of the
    whole is cheap, and always in float32.
    """
    before, after, told = y[None], x0_hat[None], kinds[None].to(y)
    out = torch.empty_like(y)
    height, margin = int(y.shape[-2]), network.reach + network.reach % 2
    with torch.autocast(y.device.type, dtype, enabled=dtype != torch.float32):
        places = network.places(before, after)
        for top in range(0, height, rows):
            first, last = max(0, top - margin), min(height, top + rows + margin)
            here = (..., slice(first, last), slice(None))
            strip = network.local(before[here], after[here], told, places, (first / height, 0.0, last / height, 1.0))
            out[:, top : top + rows] = strip[0, :, top - first : top - first + rows].float().exp()
    return out, float(network.whole(before, after, told)[0].exp())


def likelihood(log_std: Tensor, error: Tensor) -> Tensor:
    """Negative logarithm of a Laplace likelihood of absolute errors, elementwise and without its constant; least at std = sqrt(2)
    E|error|.

    Errors of restorations have heavier tails than a Gaussian: a few places that are far off would outweigh all others by their squares.
    """
    return log_std + sqrt(2) * error * torch.exp(-log_std)


def _bounded(raw: Tensor) -> Tensor:
    """Between LEAST and MOST, smoothly, so that gradients do not end at the bounds."""
    return LEAST + (MOST - LEAST) * torch.sigmoid(raw - 0.5)


def _layer(taken: int, given: int, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(taken, given, 3, padding=dilation, dilation=dilation, padding_mode="replicate")


def _paired(y: Tensor, x0_hat: Tensor) -> Tensor:
    """(B, 9, H, W): both images, and their difference times a gain."""
    return torch.cat([y, x0_hat, (_DETAIL * (x0_hat - y)).clamp(-2, 2)], dim=1)


def _activity(pair: Tensor, window: int, quiet: float) -> Tensor:
    """(B, 3, H / 2, W / 2) of what `_paired` gives, H and W even: logarithms of means in windows, around 0.

    Of the differences of neighbours in the photograph and in its restoration, and of what the restoration changed. An error is about
    proportional to how much goes on at its place, so that its logarithm is nearly a sum of these.
    """
    y, x0_hat, change = pair.chunk(3, dim=1)
    found = torch.stack([_slope(y), _slope(x0_hat), change.abs().mean(1) / _DETAIL], dim=1)
    mean = F.avg_pool2d(found, 2)
    for size in ((window, 1), (1, window)):  # one way and then the other: of 15 pixels an eighth of the work
        mean = F.avg_pool2d(mean, size, 1, (size[0] // 2, size[1] // 2), count_include_pad=False)
    return (torch.log(mean + quiet) + 4) / 2


def _slope(x: Tensor) -> Tensor:
    """(B, H, W) mean absolute difference of the pixels of (B, 3, H, W) to the left and upper neighbour."""
    padded = F.pad(x, (1, 0, 1, 0), mode="replicate")
    across = (x - padded[..., 1:, :-1]).abs()
    return (across + (x - padded[..., :-1, 1:]).abs()).mean(1)


def _within(places: Tensor, box: Box, height: int, width: int) -> Tensor:
    """(B, C, height, width): the part of `places` (B, C, h, w) inside the box, interpolated at the centres of its pixels."""
    top, left, bottom, right = box
    across, down = (
        2 * (first + (last - first) * (torch.arange(n, device=places.device) + 0.5) / n) - 1
        for first, last, n in ((left, right, width), (top, bottom, height))
    )
    grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1).expand(len(places), -1, -1, -1)
    return F.grid_sample(places, grid.to(places), align_corners=False, padding_mode="border")
