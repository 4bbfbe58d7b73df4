"""A small network that names what is wrong with a photograph: several kinds of damage at once, each with a probability.

It looks in three ways. Haze, shadow and low light are seen on the whole photograph, reduced; noise, blur, compression and rain in
patches at its own resolution, which a reduction would wipe out; and what a formula tells better than a small network (how strong the
finest detail is, whether it repeats every eight pixels, how much of the range is used) is counted. Nothing depends on the size.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unveil.networks import counting
from unveil.networks.photometry import JUDGED, MEASURES, LightLaw, measures

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
        features = torch.cat([x - 0.5, DETAIL * (x - smooth(x))], dim=1)
        return self.layers(features.to(_dtype(self.layers))).mean((2, 3), dtype=torch.float32)


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
        return self.layers((x - 0.5).to(_dtype(self.layers))).float()

    def pooled(self, features: Tensor) -> Tensor:
        """(B, 2 * depth) of what `places` returned."""
        return torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pooled(self.places(x))


def _dtype(layers: nn.Module) -> torch.dtype:
    return next(layers.parameters()).dtype


def smooth(x: Tensor) -> Tensor:
    """(B, 3, h, w), means of 3x3 with edges repeated; by rows, then by columns, a tenth of what `F.avg_pool2d` takes on a processor."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    x = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    return (x[..., :-2] + x[..., 1:-1] + x[..., 2:]) / 9


def _layer(taken: int, given: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return (nn.Conv2d(taken, given, 3, stride, 1, bias=False), nn.BatchNorm2d(given), nn.ReLU())


class DegradationClassifier(nn.Module):
    """kinds: names of what is told, in the order of the outputs. width: features of each of the two looks.

    statistics: whether it is given `statistics` of the photograph too. asked: how many numbers a restorer tells about the light, 0 where
    none is asked; from these, and from what the network sees and counts, a linear law (`networks.photometry`) judges haze and low light,
    which the network alone overlooks in real photographs. settles: whether a first law tells when the restorer need not be asked.
    temperature: (K,), by which each kind's logit is divided; fitted after
    training, on photographs that it never saw.
    """

    temperature: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(
        self, kinds: tuple[str, ...], width: int = 64, statistics: bool = False, asked: int = 0, settles: bool = False
    ) -> None:
        super().__init__()
        self.kinds = tuple(kinds)
        self.counts = STATISTICS if statistics else 0
        self.far = Survey(width) if statistics else Eye(width)
        self.near = Eye(width)
        seen = (3 if statistics else 1) * width
        features, hidden = seen + width + self.counts, 2 * width
        known = MEASURES + seen + len(self.kinds)
        self.light = LightLaw(asked + known, known if settles else 0) if asked else None
        self.say = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, len(self.kinds)))
        self.register_buffer("temperature", torch.ones(len(self.kinds)))
        if self.counts:
            self.register_buffer("centre", torch.zeros(self.counts))
            self.register_buffer("scale", torch.ones(self.counts))

    def folded(self, dtype: torch.dtype = torch.float32) -> DegradationClassifier:
        """A copy that can be evaluated alone, in half of the time: normalisation is part of the weights.

        dtype: of the convolutions. In float32 it says the same to rounding; bfloat16 moves probabilities by a hundredth or two.
        """
        out = copy.deepcopy(self).requires_grad_(False)
        for eye in (out.far, out.near):
            eye.layers = _folded(eye.layers).to(dtype)
        return out

    def forward(self, whole: Tensor, patches: Tensor, counted: Tensor | None = None) -> Tensor:
        """Logits (B, K) of reduced photographs (B, 3, s, s) in [0, 1] (see `views`) with their patches (B, P, 3, SIDE, SIDE).

        counted: (B, STATISTICS), for networks that take them.
        """
        return self.judged(self.far(whole), patches, counted)

    def judged(self, far: Tensor, patches: Tensor, counted: Tensor | None = None) -> Tensor:
        """Logits (B, K) from what the look at the whole told, (B, F); the rest as for `forward`."""
        return self._logits(far, self._close(patches), counted)

    def _close(self, patches: Tensor) -> Tensor:
        """(B, width) of the look at patches (B, P, 3, SIDE, SIDE)."""
        return self.near(patches.flatten(0, 1)).unflatten(0, patches.shape[:2]).mean(1)

    def _logits(self, far: Tensor, near: Tensor, counted: Tensor | None) -> Tensor:
        features = [far, near]
        if self.counts:
            assert counted is not None
            features.append(((counted - self.centre) / self.scale).clamp(-5, 5))
        return self.say(torch.cat(features, dim=1)) / self.temperature

    def evidence(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """The network's logits (K,) of a photograph (3, H, W) in [0, 1], on the processor, and what the law of the light reads beside the
        restorer's word, (1, N): what is measured, what is seen of the whole, and those logits; None where there is no law.
        """
        whole, patches = views(image, side=WHOLE if self.counts else SIDE)
        (far, near), counted, measured = _at_once(
            lambda: (self.far(whole[None]), self._close(patches[None])),
            lambda: statistics(image, whole)[None] if self.counts else None,
            lambda: measures(image)[None] if self.light is not None else None,
        )
        logits = self._logits(far, near, counted)
        return logits[0], None if measured is None else torch.cat([measured, far, logits], dim=1)

    def probabilities(self, image: Tensor, ask: Callable[[], Tensor] | None = None) -> Tensor:
        """(K,), each in [0, 1], independent of one another. Of the kinds that the law of the light judges it has the word, where there is
        one.

        image: as for `evidence`. ask: gives what a restorer says about the photograph's light, (N,) as many as `asked` numbers, and takes
        long: called only where the law needs it. None where there is nobody to ask, and no law then.
        """
        logits, known = self.evidence(image)
        if self.light is not None and known is not None and ask is not None:
            judged = self.light.settled(known)
            if judged is None:
                judged = self.light(torch.cat([ask()[None], known], dim=1))
            for kind, logit in zip(JUDGED, judged[0], strict=True):
                logits[self.kinds.index(kind)] = logit
                if "clean" in self.kinds:  # what has this kind is not clean
                    clean = self.kinds.index("clean")
                    logits[clean] = torch.minimum(logits[clean], -logit)
        return torch.sigmoid(logits)


def _at_once(*tasks: Callable[[], Any]) -> list[Any]:
    """What each of them gives. Those after the first run on threads of their own, since counting takes but one processor."""
    if torch.get_num_threads() == 1:
        return [task() for task in tasks]
    with ThreadPoolExecutor(len(tasks) - 1, "count") as others:
        later = [others.submit(task) for task in tasks[1:]]
        return [tasks[0](), *(one.result() for one in later)]


def _folded(layers: nn.Sequential) -> nn.Sequential:
    """The layers of an eye that is not trained any more.

    Each normalisation goes into its convolution, and the first convolution of 3x3 over pixels put aside in blocks of 2x2 becomes the one
    of 6x6 at every second pixel that it is.
    """
    out: list[nn.Module] = []
    given = list(layers)
    for conv, norm in zip(given[1::3], given[2::3], strict=True):
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        out += [fuse_conv_bn_eval(conv, norm), nn.ReLU(inplace=True)]
    first = out[0]
    assert isinstance(first, nn.Conv2d)
    width, channels = first.weight.shape[0], first.weight.shape[1] // 4
    wide = nn.Conv2d(channels, width, 6, stride=2, padding=2)
    blocks = first.weight.detach().view(width, channels, 2, 2, 3, 3)  # row and column in a block, then of the block
    wide.weight.data = blocks.permute(0, 1, 4, 2, 5, 3).reshape(width, channels, 6, 6)
    wide.bias = first.bias
    return nn.Sequential(wide, *out[1:]).eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def views(image: Tensor, across: int = 4, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """(the whole, reduced to (3, side, side); patches (P, 3, SIDE, SIDE)) of a photograph (3, H, W), any H, W >= 1.

    Patches lie on an even grid, `across` a side or as many as fit; a photograph smaller than a patch is repeated at its edges.
    """
    return _reduced(image, side), spread_patches(image, SIDE, across)


def _reduced(image: Tensor, side: int) -> Tensor:
    return F.interpolate(image[None], size=(side, side), mode="bilinear", antialias=True)[0]


def spread_patches(image: Tensor, side: int, across: int) -> Tensor:
    """(P, 3, side, side) of (3, H, W): up to `across` a side on an even grid; what is smaller than one is repeated at its edges."""
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


def statistics(image: Tensor, reduced: Tensor | None = None) -> Tensor:
    """(STATISTICS,) numbers about a photograph (3, H, W) in [0, 1], none of which depends on its size.

    reduced: the photograph as `views` reduces it to a side of WHOLE, where that is at hand.

    In order: quantiles of luminance (9); mean and standard deviation of each channel (6); mean and deviation of saturation (2); quantiles
    of the dark channel, the local minimum over channels that haze lifts (3); shares of pixels at the ends of the range, of the 256
    levels used, of 2x2 blocks that are exactly flat (4); logarithms of the median absolute detail of luminance, blue minus luminance
    and red minus luminance at three scales (9), and of luminance in the darker and in the brighter half (2); how much detail is
    left from scale to scale (4); how much stronger steps are at one phase of eight than on average, along both axes, and the same for
    sixteen in chroma (4).
    """
    small = _reduced(image, WHOLE) if reduced is None else reduced
    x = small.numpy()
    light = _luminance(x)
    peak, low = np.maximum(np.maximum(x[0], x[1]), x[2]), np.minimum(np.minimum(x[0], x[1]), x[2])
    saturation = (peak - low) / np.maximum(peak, np.float32(0.02))
    dark = -F.max_pool2d(torch.from_numpy(-low[None]), 9, stride=4).numpy()
    pieces = (spread_patches(image, _PIECE, 3) if min(image.shape[-2:]) >= _PIECE else image[None]).numpy()
    fine = _luminance(pieces.swapaxes(0, 1))
    red, blue = pieces[:, 0] - fine, pieces[:, 2] - fine
    flat = x.reshape(3, -1)
    out = [
        counting.quantiles(light, _QUANTILES),
        flat.mean(1),
        flat.std(1, ddof=1),
        [saturation.mean(), saturation.std(ddof=1)],
        counting.quantiles(dark, (0.1, 0.5, 0.9)),
        [_share(fine <= 1 / 255), _share(fine >= 254 / 255), _levels(fine), _flat(fine)],
        *_detail(np.stack([fine, blue, red])),
        _period(fine, 8),
        _period(blue, 16),
    ]
    return torch.from_numpy(np.concatenate([np.asarray(o, np.float32).ravel() for o in out]))


def _luminance(x: np.ndarray) -> np.ndarray:
    """(3, ...) -> (...), Rec. 709 weights on the stored values."""
    return 0.2126 * x[0] + 0.7152 * x[1] + 0.0722 * x[2]


def _share(where: np.ndarray) -> float:
    return np.count_nonzero(where) / where.size


def _levels(light: np.ndarray) -> float:
    """Share of the 256 levels that occur more than now and then; 1 itself belongs to the last of them."""
    levels = np.clip((light * 256).astype(np.int32), 0, None, dtype=np.int32).ravel()
    counts = np.bincount(levels, minlength=256)[:256]
    counts[255] += np.count_nonzero(light == 1)
    return _share(counts > 1e-5 * light.size)


def _flat(light: np.ndarray) -> float:
    """Share of 2x2 blocks whose four values are equal."""
    if min(light.shape[-2:]) < 2:
        return 1.0
    a, b, c, d = _corners(light)
    span = np.maximum(np.maximum(a, b), np.maximum(c, d)) - np.minimum(np.minimum(a, b), np.minimum(c, d))
    return _share(span < 0.5 / 255)


def _corners(values: np.ndarray) -> list[np.ndarray]:
    """The four values of each 2x2 block of (..., H, W), by rows; a last odd row or column is left out."""
    h, w = (n // 2 * 2 for n in values.shape[-2:])
    return [np.ascontiguousarray(values[..., i:h:2, j:w:2]) for i in (0, 1) for j in (0, 1)]


def _log(value: np.ndarray | np.floating) -> np.ndarray:
    return np.log(np.asarray(value, np.float32) + np.float32(1e-4))


def _detail(signals: np.ndarray) -> list[np.ndarray]:
    """Logarithms of the medians of the diagonal detail, three scales of three signals; halves by brightness; ratios of scales.

    signals: (3, P, h, w): luminance, and what blue and red differ from it.
    """
    medians, energies = np.zeros((3, 3), np.float32), np.zeros(3, np.float32)
    halves = np.zeros(2, np.float32)
    current = signals
    for scale in range(3):
        if min(current.shape[-2:]) < 2:
            continue
        a, b, c, d = _corners(current)
        across, along = a - b, a + b
        diagonal = np.abs(across - c + d) / 2
        edges = (np.abs(along[0] - c[0] - d[0]) + np.abs(across[0] + c[0] - d[0])) / 4
        current = (along + c + d) / 4
        medians[scale] = [counting.median(signal) for signal in diagonal]
        energies[scale] = edges.mean()
        if scale == 0:
            middle = counting.median(current[0])
            for k, where in enumerate((current[0] <= middle, current[0] > middle)):
                if where.any():
                    halves[k] = counting.median(diagonal[0][where])
    first, second, third = _log(energies)
    ratios = np.array([first - second, second - third, first, _log(medians[0, 0]) - first])
    return [_log(medians), _log(halves), ratios]


def _period(signal: np.ndarray, period: int) -> list[float]:
    """Steps between neighbours of (P, h, w) at the strongest phase of `period`, over their median phase, as a logarithm; by axis."""
    out = []
    for axis in (1, 2):
        steps = np.diff(signal, axis=axis)
        np.minimum(np.abs(steps, out=steps), np.float32(0.08), out=steps)
        usable = steps.shape[axis] // period * period
        if usable == 0:
            out.append(0.0)
            continue
        along = steps.mean(axis=(0, 3 - axis))
        phases = along[:usable].reshape(-1, period).mean(0)
        out.append(float(_log(phases.max()) - _log(counting.median(phases))))
    return out
