"""DegLoss: how far apart two images are as distributions of their latents."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.errors import InputError
from unveil.zeroshot.upzeroir.fitting import Fit, fit
from unveil.zeroshot.upzeroir.ggd import kl

GROUPINGS = ("channel", "pooled", "patch")
LOCATIONS = ("shift", "ignore", "zero")
DIRECTIONS = ("forward", "reverse", "symmetric")
BOUNDS = ("log1p", "none")
PATCH = 8


def check(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise InputError where an option's value is none of those known."""
    if value not in known:
        raise InputError(f"unknown {name} {value!r}; known are {', '.join(known)}")


def grouped(z: Tensor, grouping: str) -> Tensor:
    """Latents (B, C, h, w) as groups of samples (B, G, n), one law each.

    "channel": G = C. "pooled": one law for all. "patch": 8 x 8 tiles of every channel, what does not fill one being left out; where
    the latents are smaller than a tile, the same as "channel".
    """
    check("grouping", grouping, GROUPINGS)
    if grouping == "pooled":
        return z.flatten(1).unsqueeze(1)
    if grouping == "channel" or min(z.shape[-2:]) < PATCH:
        return z.flatten(2)
    tiles = z.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)
    return tiles.reshape(z.shape[0], -1, PATCH * PATCH)


def laws(z: Tensor, grouping: str = "channel", location: str = "shift") -> Fit:
    """The generalised Gaussians of latents (B, C, h, w): mean, sigma and alpha (B, G) each."""
    check("location", location, LOCATIONS)
    return fit(grouped(z, grouping), centred=location != "zero")


def divergence(p: Fit, q: Fit, location: str = "shift") -> Tensor:
    """KL(p || q) of every group, (B, G).

    location "shift" adds (mu_p - mu_q)^2 / (2 sigma_q^2) to the centred laws' divergence: exact where q is Gaussian, and where it is
    not the Gaussian's answer, since no closed form exists.
    """
    value = kl(p.alpha, p.sigma, q.alpha, q.sigma)
    return value + (p.mean - q.mean) ** 2 / (2 * q.sigma**2) if location == "shift" else value


def deg_loss(
    z_phi: Tensor,
    target: Fit,
    *,
    grouping: str = "channel",
    location: str = "shift",
    direction: str = "forward",
    bound: str = "log1p",
) -> Tensor:
    """J_deg of re-degraded latents z_phi (B, C, h, w) against the laws of the photograph's latents: (B,), 0 where they agree.

    target: `laws` of the photograph's latents with the same grouping and location.
    direction: "forward" KL(z_phi || z_lq), "reverse", or "symmetric" (their mean).
    bound: "log1p" takes ln(1 + KL) of every group, with the same minimum and a slope that cannot explode; "none" the KL itself.
    Its gradient in a group of z_phi is c1 sign(z - mu) + c2 (z - mu) + c3: it knows no place in the image.
    """
    check("direction", direction, DIRECTIONS)
    check("bound", bound, BOUNDS)
    own = laws(z_phi, grouping, location)
    forward = divergence(own, target, location) if direction != "reverse" else None
    reverse = divergence(target, own, location) if direction != "forward" else None
    value = sum(v for v in (forward, reverse) if v is not None) / (2 if direction == "symmetric" else 1)
    value = torch.as_tensor(value).clamp(min=0)  # rounding alone can make it negative
    return (value.log1p() if bound == "log1p" else value).mean(1)
