"""Time as a vector: the sinusoidal embedding of DDPM and the small MLP behind it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from unveil.errors import ModelError


def sinusoidal(t: Tensor, dim: int) -> Tensor:
    """Sinusoidal embedding of times, (B,) -> (B, dim): sines first, then cosines.

    Frequencies fall geometrically from 1 to 1e-4 (both ends included, dim / 2 of them) as in the code of DDPM (Ho et
    al. 2020), so t is meant in steps (0 to about 1000), not in [0, 1]. Computed in float32 (float64 if t is), whatever
    the network's type.

    Raises ModelError if dim is odd or under 4.
    """
    if dim < 4 or dim % 2:
        raise ModelError(f"the time embedding needs an even number of channels, at least 4; got {dim}")
    t = t if t.dtype == torch.float64 else t.float()
    half = dim // 2
    frequency = torch.exp(torch.arange(half, device=t.device, dtype=t.dtype) * (-math.log(1e4) / (half - 1)))
    angle = t[:, None] * frequency[None, :]
    return torch.cat((angle.sin(), angle.cos()), dim=1)


class SimpleGate(nn.Module):
    """Product of the two halves of the channels, (B, 2C, ...) -> (B, C, ...) (NAFNet, Chen et al. 2022)."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return first * second


class TimeMLP(nn.Sequential):
    """t (B,) -> embedding (B, hidden): sinusoid of `dim` channels, linear, GELU (SimpleGate where `gated`), linear.

    An identity stands where published code keeps the sinusoid, so that the linear layers are entries 1 and 3, as their
    weights are named.
    """

    def __init__(self, dim: int, hidden: int, *, gated: bool = False) -> None:
        sinusoidal(torch.zeros(1), dim)  # an impossible dim is refused here, not at the first image
        first = nn.Linear(dim, 2 * hidden if gated else hidden)
        super().__init__(nn.Identity(), first, SimpleGate() if gated else nn.GELU(), nn.Linear(hidden, hidden))
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(sinusoidal(input, self.dim).to(next(self.parameters()).dtype))
