"""The small networks that learn on one photograph while a prior samples, for LD-RPS, UP-ZeroIR and TAO.

F-PAM maps a clean image to the degraded one (LD-RPS, section 3.2); it starts as the simplest damage of the task, estimated from the
photograph (not published). A patch discriminator is learned beside it. An adapter takes one Adam step of both on the
estimates of the moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.networks.blocks import zeroed
from unveil.zeroshot.guided_sampling import quantiles
from unveil.zeroshot.losses import Perceptual

SLOPE = 0.01
"""Slope of the rectifiers below 0."""


class FPAM(nn.Module):
    """psi(x) = h2(h1(x)) + p h1(x), images (B, 3, H, W) in [0, 1] to about [0, 1], any size; no output activation.

    width: 64 as published (373,577 parameters with p). Weights start from Kaiming's normal law, biases at 0, p at 1; `begin_as` makes
    it a map of colours instead.
    """

    def __init__(self, width: int = 64, draw: torch.Generator | None = None) -> None:
        super().__init__()
        self.h1 = convolutions((3, width))
        self.h2 = convolutions((3, width, 2 * width, 4 * width))
        self.p = nn.Parameter(torch.ones(1, 3, 1, 1))
        start(self, draw)

    def forward(self, x: Tensor) -> Tensor:
        first = self.h1(x)
        return self.h2(first) + self.p * first

    @torch.no_grad()
    def begin_as(self, matrix: Tensor, offset: Tensor) -> None:
        """Make it x -> matrix @ x + offset on colours, (3, 3) and (3,), exactly; the other weights stay, and learn from there.

        Each colour passes h1's kink as a pair of opposite signs; h2 ends in zeros. Needs a width of 6.
        """
        enter, leave, end = self.h1[0], self.h1[2], self.h2[-1]
        assert isinstance(enter, nn.Conv2d)
        assert isinstance(leave, nn.Conv2d)
        assert isinstance(end, nn.Conv2d)
        zeroed(leave)
        zeroed(end)
        enter.weight[:6] = 0
        for c in range(3):
            for k, sign in ((2 * c, 1.0), (2 * c + 1, -1.0)):
                enter.weight[k, c, 1, 1] = sign
                leave.weight[:, k, 0, 0] = sign * matrix[:, c] / (1 + SLOPE)
        assert leave.bias is not None
        leave.bias.copy_(offset)
        self.p.fill_(1.0)


def convolutions(widths: Sequence[int], out: int = 3, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolutions from each width to the next, a rectifier behind each, and a 1 x 1 convolution to `out` channels."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, stride, padding=1), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], out, 1))


def start(network: nn.Module, draw: torch.Generator | None) -> None:
    """Kaiming's normal law (fan in, gain sqrt 2) for every convolution, from the generator `draw`; biases 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, generator=draw)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


USUAL = 0.45
"""Mean brightness of a well-lit photograph."""

_GREY = (0.299, 0.587, 0.114)


def simplest(task: str, y: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix (3, 3) and an offset (3,) on colours in [0, 1]: degraded = matrix @ clean + offset.

    y: the photograph (1, 3, H, W) in [0, 1]. Low light: one gain, by which a mean of 0.45 would become y's. Haze: black at y's 1st
    percentile and white at its 99th. Colour: the luma in all channels. Otherwise the identity.
    """
    matrix, offset = torch.eye(3), torch.zeros(3)
    if task == "lowlight":
        matrix = matrix * min(1.0, max(float(y.mean()), 1 / 255) / USUAL)
    elif task == "dehaze":
        low, high = (float(quantiles(y.reshape(1, -1).float(), q)) for q in (0.01, 0.99))
        if high - low > 1 / 255:
            matrix, offset = matrix * (high - low), torch.full((3,), low)
    elif task == "colorize":
        matrix = torch.tensor(_GREY).expand(3, 3).clone()
    return matrix.to(y), offset.to(y)


def applied(matrix: Tensor, offset: Tensor, x: Tensor) -> Tensor:
    """matrix @ x + offset for every colour of x (B, 3, H, W)."""
    return torch.einsum("oc,bchw->bohw", matrix, x) + offset.view(1, 3, 1, 1)


class Discriminator(nn.Module):
    """Three strided convolutions and a 1 x 1: images (B, 3, H, W) to one logit per patch of 8 pixels (published width 64)."""

    def __init__(self, width: int = 64, draw: torch.Generator | None = None) -> None:
        super().__init__()
        self.layers = convolutions((3, width, 2 * width, 4 * width), 1, stride=2)
        start(self, draw)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Adversary:
    """A discriminator with its own Adam. Cross-entropy on logits: what sigmoid and its logarithm give, without overflow."""

    def __init__(self, network: Discriminator, rate: float) -> None:
        self.network = network
        self.optimiser = torch.optim.Adam(network.parameters(), lr=rate)

    def learn(self, fake: Tensor, real: Tensor) -> None:
        """One step towards telling `real` (1) from `fake` (0); both (B, 3, H, W), no gradient flows back into them."""
        self.network.requires_grad_(True)
        on_fake, on_real = self.network(fake.detach()), self.network(real.detach())
        loss = F.binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake))
        loss = loss + F.binary_cross_entropy_with_logits(on_real, torch.ones_like(on_real))
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.network.requires_grad_(False)

    def doubt(self, x: Tensor) -> Tensor:
        """The generator's loss: cross-entropy of x against 1, a scalar, differentiable in x alone."""
        judged = self.network(x)
        return F.binary_cross_entropy_with_logits(judged, torch.ones_like(judged))


RATE, DECAY = 5e-4, 1e-5
_LARGE, _DAMPED = 10.0, 0.2


def cropped(estimates: Tensor, y: Tensor, side: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Estimates (B, 3, H, W) and the photograph (1, 3, H, W) beside each, at one random place of this side; 0 is the whole."""
    places = []
    for length in estimates.shape[-2:]:
        most = max(length - side, 0) if side else 0
        start = int(torch.randint(most + 1, (), generator=draw)) if most else 0
        places.append(slice(start, start + side if side else length))
    return estimates[..., places[0], places[1]], y.expand(len(estimates), -1, -1, -1)[..., places[0], places[1]]


class Adapter:
    """F-PAM, its optimiser and its adversary, for one photograph.

    weights: of MSE, perceptual and adversarial loss; losses: the three, weighted, of the last step.
    The target of the first two is F-PAM's own input, after `keep` where one is given: they keep the
    content, and only the adversary pulls towards the degraded photograph.
    """

    def __init__(
        self,
        network: FPAM,
        adversary: Adversary,
        weights: tuple[float, float, float],
        perceptual: Perceptual,
        keep: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.keep = keep or (lambda x: x)
        self.network, self.adversary, self.weights, self.perceptual = network, adversary, weights, perceptual
        self.optimiser = torch.optim.Adam(network.parameters(), lr=RATE, weight_decay=DECAY)
        self.losses = torch.zeros(3)

    def learn(self, x: Tensor, y: Tensor, late: bool) -> None:
        """One step on estimates x (B, 3, H, W) and the degraded photograph y (B, 3, H, W), both in [0, 1], detached.

        late: in the guided stage, where a weighted perceptual loss over 10 is damped to a fifth, as published.
        """
        self.network.requires_grad_(True)
        phi = self.network(x)
        self.adversary.learn(phi, y)
        mse, perceptual, adversarial = self.weights
        goal = self.keep(x)
        terms = [
            mse * F.mse_loss(phi, goal),
            perceptual * self.perceptual(phi, goal),
            adversarial * self.adversary.doubt(phi),
        ]
        if late and float(terms[1].detach()) > _LARGE:
            terms[1] = _DAMPED * terms[1]
        losses = torch.stack(terms)
        self.optimiser.zero_grad()
        losses.sum().backward()
        self.optimiser.step()
        self.losses = losses.detach()
        self.network.requires_grad_(False)
