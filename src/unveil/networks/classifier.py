"""A small network that names what is wrong with a photograph: several kinds of damage at once, each with a probability.

It looks in three ways. Haze, shadow and low light are seen on the whole photograph, reduced; noise, blur, compression and rain in
patches at its own resolution, which a reduction would wipe out; and what a formula tells better than a small network (how strong the
finest detail is, whether it repeats every eight pixels, how much of the range is used) is counted. Nothing depends on the size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.networks.photometry import Photometry, heard, measures

SIDE = 64
"""Of the patches, in pixels; of the reduced photograph too in networks without statistics."""

WHOLE = 128
"""Side of the reduced photograph for networks with statistics."""

DETAIL = 8.0
"""Gain of the detail beside the pixels themselves: a noise of a few levels should be as loud as an edge."""


class Eye(nn.Module):
    """(B, 3, s, s) in [0, 1] -> (B, width): the mean of what each place of an eighth of the resolution holds.

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


class Survey(nn.Module):
    """(B, 3, s, s) in [0, 1] -> (B, 3 * width): mean and maximum of what each place of a sixteenth of the resolution holds.

    For what lies somewhere in the picture (a shadow), which a mean alone dilutes.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        last = width * 3 // 2
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            *_layer(12, width // 2),
            *_layer(width // 2, width * 3 // 4, 2),
            *_layer(width * 3 // 4, width, 2),
            *_layer(width, last, 2),
            *_layer(last, last),
        )
        self.depth = last

    def places(self, x: Tensor) -> Tensor:
        """(B, depth, s / 16, s / 16): what each place holds."""
        return self.layers(x - 0.5)

    def pooled(self, seen: Tensor) -> Tensor:
        """(B, 2 * depth) of what `places` returned."""
        return torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pooled(self.places(x))


def _layer(taken: int, given: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return (nn.Conv2d(taken, given, 3, stride, 1, bias=False), nn.BatchNorm2d(given), nn.ReLU())


class DegradationClassifier(nn.Module):
    """kinds: names of what is told, in the order of the outputs. width: features of each of the two looks.

    statistics: whether it is given `statistics` of the photograph too. photometry: whether haze and low light are found by linear laws
    as well (see `networks.photometry`), which see in real photographs what the network overlooks. temperature: (K,), by which each
    kind's logit is divided; fitted after training, on photographs that it never saw.
    """

    temperature: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(
        self, kinds: tuple[str, ...], width: int = 64, statistics: bool = False, photometry: bool = False
    ) -> None:
        super().__init__()
        self.kinds = tuple(kinds)
        self.photometry = Photometry() if photometry else None
        self.counts = STATISTICS if statistics else 0
        self.far = Survey(width) if statistics else Eye(width)
        self.near = Eye(width)
        seen, hidden = (4 if statistics else 2) * width + self.counts, 2 * width
        self.say = nn.Sequential(nn.Linear(seen, hidden), nn.ReLU(), nn.Linear(hidden, len(self.kinds)))
        self.register_buffer("temperature", torch.ones(len(self.kinds)))
        if self.counts:
            self.register_buffer("centre", torch.zeros(self.counts))
            self.register_buffer("scale", torch.ones(self.counts))

    def forward(self, whole: Tensor, patches: Tensor, counted: Tensor | None = None) -> Tensor:
        """Logits (B, K).

        Args:
            whole: (B, 3, s, s) reduced photographs in [0, 1] (see `views`).
            patches: (B, P, 3, SIDE, SIDE) in [0, 1].
            counted: (B, STATISTICS), for networks that take them.

        """
        return self.judged(self.far(whole), patches, counted)

    def judged(self, far: Tensor, patches: Tensor, counted: Tensor | None = None) -> Tensor:
        """Logits (B, K) from what the look at the whole told, (B, F); the rest as for `forward`."""
        near = self.near(patches.flatten(0, 1)).unflatten(0, patches.shape[:2]).mean(1)
        seen = [far, near]
        if self.counts:
            assert counted is not None
            seen.append(((counted - self.centre) / self.scale).clamp(-5, 5))
        return self.say(torch.cat(seen, dim=1)) / self.temperature

    def probabilities(self, image: Tensor) -> Tensor:
        """(K,), each in [0, 1], independent of one another, of a photograph (3, H, W) in [0, 1], H, W >= 1.

        What the linear laws say of a kind is heard beside the network as `photometry.heard` has it.
        """
        whole, patches = views(image, side=WHOLE if self.counts else SIDE)
        counted = statistics(image)[None] if self.counts else None
        logits = self(whole[None], patches[None], counted)[0]
        if self.photometry is not None:
            for kind, logit in self.photometry(measures(image)[None]).items():
                k = self.kinds.index(kind)
                logits[k] = heard(kind, logits[k], logit[0])
                if "clean" in self.kinds:  # what has this kind is not clean
                    clean = self.kinds.index("clean")
                    logits[clean] = torch.minimum(logits[clean], -logits[k])
        return torch.sigmoid(logits)


def views(image: Tensor, across: int = 4, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """(the whole, reduced to (3, side, side); patches (P, 3, SIDE, SIDE)) of a photograph (3, H, W), any H, W >= 1.

    Patches lie on an even grid, `across` a side or as many as fit; a photograph smaller than a patch is repeated at its edges.
    """
    whole = F.interpolate(image[None], size=(side, side), mode="bilinear", antialias=True)[0]
    return whole, _patches(image, SIDE, across)


def _patches(image: Tensor, side: int, across: int) -> Tensor:
    h, w = image.shape[-2:]
    if min(h, w) < side:
        image = F.pad(image[None], (0, max(0, side - w), 0, max(0, side - h)), mode="replicate")[0]
    tops, lefts = _spread(image.shape[-2], across, side), _spread(image.shape[-1], across, side)
    return torch.stack([image[:, t : t + side, v : v + side] for t in tops for v in lefts])


def _spread(length: int, count: int, side: int) -> list[int]:
    """Where `count` windows of `side` pixels begin, evenly over `length`; fewer where they would repeat."""
    room = length - side
    count = max(1, min(count, -(-length // side)))
    return [room // 2] if count == 1 else [round(i * room / (count - 1)) for i in range(count)]


_QUANTILES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
_PIECE = 256  # statistics of detail are taken on up to 3 x 3 pieces of this side, at the photograph's own resolution
STATISTICS = 43
"""Numbers that `statistics` returns."""


def statistics(image: Tensor) -> Tensor:
    """(STATISTICS,) numbers about a photograph (3, H, W) in [0, 1], none of which depends on its size.

    In order: quantiles of luminance (9); mean and standard deviation of each channel (6); mean and deviation of saturation (2); quantiles
    of the dark channel, the local minimum over channels that haze lifts (3); shares of pixels at the ends of the range, of the 256
    levels used, of 2x2 blocks that are exactly flat (4); logarithms of the median absolute detail of luminance, blue minus luminance
    and red minus luminance at three scales (9), and of luminance in the darker and in the brighter half (2); how much detail is
    left from scale to scale (4); how much stronger steps are at one phase of eight than on average, along both axes, and the same for
    sixteen in chroma (4).
    """
    small = F.interpolate(image[None], size=(128, 128), mode="bilinear", antialias=True)[0]
    light = _luminance(small)
    peak, low = small.amax(0), small.amin(0)
    saturation = (peak - low) / peak.clamp_min(0.02)
    dark = -F.max_pool2d(-low[None, None], 9, stride=4)[0, 0]
    pieces = _patches(image, _PIECE, 3) if min(image.shape[-2:]) >= _PIECE else image[None]
    fine = _luminance(pieces.transpose(0, 1))
    out = [
        torch.quantile(light.flatten(), torch.tensor(_QUANTILES)),
        small.mean((1, 2)),
        small.std((1, 2)),
        torch.stack([saturation.mean(), saturation.std()]),
        torch.quantile(dark.flatten(), torch.tensor((0.1, 0.5, 0.9))),
        torch.stack([(fine <= 1 / 255).float().mean(), (fine >= 254 / 255).float().mean(), _levels(fine), _flat(fine)]),
        *_detail(pieces, fine),
        _period(fine, 8),
        _period(pieces[:, 2] - fine, 16),
    ]
    return torch.cat([o.flatten() for o in out])


def _luminance(x: Tensor) -> Tensor:
    """(3, ...) -> (...), Rec. 709 weights on the stored values."""
    return 0.2126 * x[0] + 0.7152 * x[1] + 0.0722 * x[2]


def _levels(light: Tensor) -> Tensor:
    """Share of the 256 levels that occur more than now and then."""
    counts = torch.histc(light, 256, 0.0, 1.0)
    return (counts > 1e-5 * light.numel()).float().mean()


def _flat(light: Tensor) -> Tensor:
    """Share of 2x2 blocks whose four values are equal."""
    even = light[..., : light.shape[-2] // 2 * 2, : light.shape[-1] // 2 * 2]
    if even.numel() == 0:
        return torch.tensor(1.0)
    span = F.max_pool2d(even[:, None], 2) + F.max_pool2d(-even[:, None], 2)
    return (span < 0.5 / 255).float().mean()


def _log(value: Tensor) -> Tensor:
    return torch.log(value + 1e-4)


def _detail(pieces: Tensor, light: Tensor) -> list[Tensor]:
    """Logarithms of the medians of the diagonal detail, three scales of three signals; halves by brightness; ratios of scales."""
    signals = torch.stack([light, pieces[:, 2] - light, pieces[:, 0] - light], 1)
    medians, energies = [], []
    halves = torch.zeros(2)
    current = signals
    for scale in range(3):
        if min(current.shape[-2:]) < 2:
            medians.append(torch.zeros(3))
            energies.append(torch.zeros(()))
            continue
        current = current[..., : current.shape[-2] // 2 * 2, : current.shape[-1] // 2 * 2]
        a, b = current[..., 0::2, 0::2], current[..., 0::2, 1::2]
        c, d = current[..., 1::2, 0::2], current[..., 1::2, 1::2]
        diagonal = (a - b - c + d).abs() / 2
        edges = ((a + b - c - d).abs() + (a - b + c - d).abs())[:, 0] / 4
        medians.append(diagonal.transpose(0, 1).flatten(1).median(1).values)
        energies.append(edges.mean())
        if scale == 0:
            mean = (a + b + c + d)[:, 0] / 4
            middle = mean.median()
            for k, where in enumerate((mean <= middle, mean > middle)):
                if where.any():
                    halves[k] = diagonal[:, 0][where].median()
        current = (a + b + c + d) / 4
    first, second, third = (_log(e) for e in energies)
    ratios = torch.stack([first - second, second - third, first, _log(medians[0][0]) - first])
    return [_log(torch.stack(medians)), _log(halves), ratios]


def _period(signal: Tensor, period: int) -> Tensor:
    """(2,): steps between neighbours at the strongest phase of `period`, over their median phase, as a logarithm; by axis."""
    out = []
    for axis in (-2, -1):
        steps = signal.diff(dim=axis).abs().clamp_max(0.08)
        along = steps.mean([d for d in range(steps.ndim) if d != axis % steps.ndim])
        usable = len(along) // period * period
        if usable == 0:
            out.append(torch.zeros(()))
            continue
        phases = along[:usable].view(-1, period).mean(0)
        out.append(_log(phases.max()) - _log(phases.median()))
    return torch.stack(out)
