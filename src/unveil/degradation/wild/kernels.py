"""Blur kernels of the wild pipeline, batched: each (B, K, K) float64, summing to 1.

Sizes differ from sample to sample: a kernel of odd size n <= K stands in the middle of a K x K canvas, zero around it.
The Gaussian, generalised and plateau families are those of Wang et al., ICCVW 2021 (Real-ESRGAN, appendix).

Two families that the published pipeline took from measurements, which are not ours to ship, are synthesised: a hand-held camera's
shake as a random walk with inertia, rendered as the time spent in each pixel; a camera behind a display as a core, the diffraction
orders of the display's grid at a spacing that grows with the wavelength, and a haze.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def axes(canvas: int) -> tuple[Tensor, Tensor]:
    """Offsets from the centre, down (K, 1) and right (1, K)."""
    r = torch.arange(canvas, dtype=torch.float64) - canvas // 2
    return r[:, None], r[None, :]


def inside(size: Tensor, canvas: int) -> Tensor:
    """(B, K, K), 1 where the kernel of odd size (B,) stands on the canvas and 0 around it."""
    r = (torch.arange(canvas) - canvas // 2).abs()
    fits = r <= (size // 2)[:, None]
    return (fits[:, :, None] & fits[:, None, :]).double()


def normalised(kernel: Tensor) -> Tensor:
    """Each kernel of (B, K, K) divided by its sum."""
    return kernel / kernel.sum((1, 2), keepdim=True)


def distance(canvas: int, sigma_x: Tensor, sigma_y: Tensor, angle: Tensor) -> Tensor:
    """(B, K, K), v^T S^-1 v for S with axes sigma_x and sigma_y turned by `angle` in radians, all (B,)."""
    down, right = axes(canvas)
    c, s = angle.double().cos().view(-1, 1, 1), angle.double().sin().view(-1, 1, 1)
    along, across = c * right + s * down, c * down - s * right
    return (along / sigma_x.double().view(-1, 1, 1)) ** 2 + (across / sigma_y.double().view(-1, 1, 1)) ** 2


def gaussian(size: Tensor, canvas: int, squared: Tensor, beta: Tensor) -> Tensor:
    """exp(-d^beta / 2) of the squared `distance` (B, K, K); beta (B,): 1 is Gaussian, less is peaked, more is boxy."""
    return normalised(inside(size, canvas) * torch.exp(-0.5 * squared ** beta.double().view(-1, 1, 1)))


def plateau(size: Tensor, canvas: int, squared: Tensor, beta: Tensor) -> Tensor:
    """1 / (1 + d^beta) of the squared `distance` (B, K, K), beta (B,)."""
    return normalised(inside(size, canvas) / (1 + squared ** beta.double().view(-1, 1, 1)))


def defocus(size: Tensor, canvas: int) -> Tensor:
    """Disks of radius under n // 2 + 1, but never the corners of a 3 x 3 or 5 x 5 kernel."""
    down, right = axes(canvas)
    radius = (size // 2 + 1).view(-1, 1, 1)
    half = (size // 2).view(-1, 1, 1)
    corner = (down.abs() == half) & (right.abs() == half) & (half <= 2)
    return normalised(inside(size, canvas) * ((down**2 + right**2 < radius**2) & ~corner))


def box(size: Tensor, canvas: int) -> Tensor:
    """All ones."""
    return normalised(inside(size, canvas))


def line(size: int, direction: int) -> Tensor:
    """(n, n) shake along a straight line, one pixel wide; `direction` of 4 (n // 2), counted from the horizontal."""
    r = size // 2
    # The line ends `direction` pixels further up the right border, and after its corner further left along the top.
    flat = direction <= r or direction > 3 * r
    rise = direction if direction <= r else direction - 4 * r if flat else direction - 2 * r
    i = torch.arange(size)
    # Half a pixel counts as a step already taken.
    step = (2 * i * abs(rise) + r) // (2 * r) if r else i
    off = (step - abs(rise)) * (1 if rise > 0 else -1)
    kernel = torch.zeros(size, size, dtype=torch.float64)
    if flat:
        kernel[r - off, i] = 1.0
    else:
        kernel[i, r + off] = 1.0
    return kernel / size


def sinc(size: Tensor, canvas: int, cutoff: Tensor) -> Tensor:
    """Circular low-pass of angular frequency `cutoff` (B,) in radians per pixel, cut off in space: it rings."""
    down, right = axes(canvas)
    r = (down**2 + right**2).sqrt()
    w = cutoff.double().view(-1, 1, 1)
    r0 = r.clamp_min(1e-9)
    kernel = torch.where(r == 0, w**2 / (4 * math.pi), w * torch.special.bessel_j1(w * r0) / (2 * math.pi * r0))
    return normalised(inside(size, canvas) * kernel)


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
