"""Point spread functions that the published pipeline took from measurements, which are not ours to ship: synthesised.

A hand-held camera's shake as a random walk with inertia, rendered as the time spent in each pixel; a camera behind a
display as a core, the diffraction orders of the display's grid at a spacing that grows with the wavelength, and a haze.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unveil.degradation.wild.kernels import axes

_MOMENTS = 256
_WAVELENGTHS = (1.15, 1.0, 0.85)


def shake(size: int, seed: int) -> Tensor:
    """(size, size) float64 kernel of a trajectory as long as fits, its mean position in the middle pixel, sum 1."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.randn(_MOMENTS, generator=generator, dtype=torch.float64).cumsum(0)
    # Heading and speed change slowly; sometimes the hand hardly moves, and the kernel has a bright knot there.
    heading = 2 * math.pi * torch.rand(1, generator=generator) + 0.12 * turn
    speed = torch.exp(0.35 * torch.randn(_MOMENTS, generator=generator, dtype=torch.float64).cumsum(0).clamp(-6, 6) / 4)
    path = torch.stack([speed * heading.sin(), speed * heading.cos()], 1).cumsum(0)
    path = path - path.mean(0)
    reach = path.abs().max().clamp_min(1e-9)
    path = path * (0.9 * (size // 2) / reach) + size // 2
    low = path.floor()
    share = path - low
    kernel = torch.zeros(size, size, dtype=torch.float64)
    for down in (0, 1):
        for right in (0, 1):
            weight = (share[:, 0] if down else 1 - share[:, 0]) * (share[:, 1] if right else 1 - share[:, 1])
            at = (low + torch.tensor([down, right])).long().clamp(0, size - 1)
            kernel.index_put_((at[:, 0], at[:, 1]), weight, accumulate=True)
    return kernel / kernel.sum()


def under_display(size: int, seed: int) -> Tensor:
    """(3, size, size) float64 kernels for red, green and blue, each summing to 1."""
    generator = torch.Generator().manual_seed(seed)
    core, spacing, angle, light, haze, open_share = torch.rand(6, generator=generator, dtype=torch.float64).tolist()
    c, s = math.cos(angle * math.pi), math.sin(angle * math.pi)
    wavelength = torch.tensor(_WAVELENGTHS, dtype=torch.float64).view(3, 1, 1, 1)
    width, step = (0.6 + 0.6 * core) * wavelength, (4 + 5 * spacing) * wavelength
    order = torch.arange(-2, 3, dtype=torch.float64)
    i, j = (grid.reshape(-1, 1, 1) for grid in torch.meshgrid(order, order, indexing="ij"))
    # The openings between the wires are a share of the grid: their transform is the envelope of the orders.
    strength = (torch.sinc(i * (0.45 + 0.3 * open_share)) * torch.sinc(j * (0.45 + 0.3 * open_share))).square()
    down, right = axes(size)
    v, u = down - step * (c * i - s * j), right - step * (s * i + c * j)
    lobes = (strength * torch.exp(-(v**2) / (2 * width**2)) * torch.exp(-(u**2) / (2 * width**2))).sum(1)
    squared = down**2 + right**2
    direct = torch.exp(-squared / (2 * width[:, 0] ** 2))
    veil = (1 + squared / (6 * wavelength[:, 0]) ** 2) ** -1.5
    shares = ((direct, 1 - 0.5 * light - 0.3 * haze), (lobes, 0.5 * light), (veil, 0.3 * haze))
    return torch.stack([share * part / part.sum((1, 2), keepdim=True) for part, share in shares]).sum(0)
