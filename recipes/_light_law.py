"""The linear law of haze and low light in the classifier behind `unveil describe`: what it is fitted on, its fit, what it finds."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from recipes._damaged_crops import CROP, KINDS, REACH, Pairs, Part
from unveil import degradation
from unveil.data.dataset import Photograph, crops, rng
from unveil.degradation.haze import haze
from unveil.degradation.lowlight import lowlight
from unveil.degradation.primitives import (
    grid,
    linear_to_srgb,
    log_uniform,
    luminance,
    smooth,
    smoothstep,
    srgb_to_linear,
    uniform,
)
from unveil.models import second_look
from unveil.models.model import Model
from unveil.models.treatment import NOTICED
from unveil.networks.classifier import DegradationClassifier
from unveil.networks.photometry import JUDGED, MEASURES, LightLaw
from unveil.util.devices import computes_bf16

QUIET = {"haze": 0.99, "lowlight": 0.99}
"""Share of the cuts without the kind that stay below the probability from which it is treated."""
OVERLOOKED = 0.001
"""Share of the cuts that the law finds a kind in, for which the restorer would not be asked about it."""
SIDES, SHOWS, STEPS = (256, 320, 400), 0.15, (1000, 430)
"""Sides of the cuts by which the law of the light is fitted, in pixels; severity from which a simulated veil is one; how many steps of
cuts it is fitted on, and its bias is set and it is measured on."""
OTHERS = ("blur", "jpeg", "noise", "rain")
"""Damage that leaves the light as it is, which must not be taken for haze and may be there besides."""
Judged = tuple[Tensor, Tensor, Tensor]
"""What the law of the light reads of cuts (n, N), which of JUDGED they have (n, 2), and which of these are to be learned (n, 2)."""


def with_law(
    net: DegradationClassifier, restorer: Model, parts: tuple[Part, Part, Part], quick: bool
) -> dict[str, Any]:
    """Fit the law of the light of a trained classifier; on how many cuts it was fitted, and what it finds on others."""
    net.requires_grad_(False).light = LightLaw(1)  # evidence is gathered for any law
    (train, train_pairs), (fitted, fitted_pairs), (tested, tested_pairs) = parts
    kept_pairs = [(a + b, kinds) for (a, kinds), (b, _) in zip(fitted_pairs, tested_pairs, strict=True)]
    seen = judged(net, restorer, train, train_pairs, 16 if quick else STEPS[0], 21)
    kept = judged(net, restorer, fitted + tested, kept_pairs, 16 if quick else STEPS[1], 22)
    law = fit_light(net, seen, kept, second_look.light_numbers(restorer))
    found = on_held_out(law, kept)
    return {"count": len(seen[0]), "kept": len(kept[0]), "model": restorer.sha256, "held_out": found}


def fit_light(net: DegradationClassifier, train: Judged, fitted: Judged, asked: int, decay: float = 3e-3) -> LightLaw:
    """The linear law of haze and of low light: the mean of three, since each takes other photographs for what they are not.

    One reads all numbers; one what the restorer sees, the first `asked` of them; of the third one half is a law of what is measured, the
    other the network's own word. Slopes and bias are set on cuts of photographs that nothing was trained on: a share QUIET of those without
    a kind stay below the probability from which it is treated. A first law, of what is known without the restorer, tells when that need not
    be asked.
    """
    numbers, has, known = train
    count = numbers.shape[1]
    net.light = law = LightLaw(count, count - asked)
    law.centre.copy_(numbers.mean(0))
    law.scale.copy_(numbers.std(0).clamp_min(1e-3))
    every = torch.arange(count)
    for k, kind in enumerate(JUDGED):
        law.layer.weight.data[k], law.layer.bias.data[k] = 0, 0
        for chosen in (every, every[:asked]):
            one = fit_linear(*_with_and_without(law.standard(numbers)[:, chosen], has, known, k), decay)
            with torch.no_grad():
                shown = _with_and_without(law.standard(fitted[0])[:, chosen], fitted[1], fitted[2], k)
                said = [one(x) for x in shown]
            slope = fit_linear(said[0], said[1], 0)
            with torch.no_grad():
                law.layer.weight[k, chosen] += slope.weight[0, 0] * one.weight[0] / 3
        measured, own = every[asked : asked + MEASURES], count - len(KINDS) + KINDS.index(kind)
        one = fit_linear(*_with_and_without(law.standard(numbers)[:, measured], has, known, k), decay / 3)
        with torch.no_grad():
            law.layer.weight[k, measured] += one.weight[0] / 6
            law.layer.weight[k, own] += law.scale[own] / 6
            quiet = law(_with_and_without(*fitted, k)[1])[:, k].quantile(QUIET[kind])
            law.layer.bias[k] = torch.logit(torch.tensor(NOTICED[kind])) - quiet
        first = fit_linear(*_with_and_without(law.standard(numbers)[:, asked:], has, known, k), decay)
        with torch.no_grad():
            assert law.first is not None
            law.first.weight[k] = first.weight[0]
    set_first(law, fitted)
    return law


@torch.no_grad()
def set_first(law: LightLaw, fitted: Judged) -> None:
    """Bias and threshold of the first law, whose weights are fitted.

    It says of cuts without a kind what the whole law says: as many of them reach the probability from which it is treated. Below `least`
    lies a share OVERLOOKED of the cuts that the whole law finds the kind in, and none that would be treated.
    """
    assert law.first is not None
    known = law.standard(fitted[0])[:, -law.first.in_features :]
    for k, kind in enumerate(JUDGED):
        treated_from = torch.logit(torch.tensor(NOTICED[kind]))
        law.first.bias[k] = 0
        _, without = _with_and_without(known, fitted[1], fitted[2], k)
        law.first.bias[k] = treated_from - law.first(without)[:, k].quantile(QUIET[kind])
        treated = known[torch.sigmoid(law(fitted[0]))[:, k] >= NOTICED[kind]]
        law.least[k] = torch.minimum(law.first(treated)[:, k].quantile(OVERLOOKED), treated_from)


def fit_linear(
    with_kind: Tensor, without: Tensor, decay: float = 1e-3, *, random_bias: bool = False
) -> torch.nn.Linear:
    """Logistic regression with both groups (n, N) weighing the same, and a penalty of `decay` times the squared weights.

    random_bias: whether the bias starts where torch puts it and not at 0; the fit ends there but for its last digits.
    """
    layer = torch.nn.Linear(with_kind.shape[1], 1)
    torch.nn.init.zeros_(layer.weight)
    if not random_bias:
        torch.nn.init.zeros_(layer.bias)
    x = torch.cat([with_kind, without])
    y = torch.cat([torch.ones(len(with_kind)), torch.zeros(len(without))])
    share = torch.where(y > 0.5, 0.5 / len(with_kind), 0.5 / len(without))
    optimiser = torch.optim.LBFGS(layer.parameters(), lr=1, max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        said = layer(x)[:, 0]
        loss = (F.binary_cross_entropy_with_logits(said, y, reduction="none") * share).sum()
        loss = loss + decay * layer.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return layer


def _with_and_without(numbers: Tensor, has: Tensor, known: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return numbers[(has[:, k] > 0.5) & (known[:, k] > 0.5)], numbers[(has[:, k] < 0.5) & (known[:, k] > 0.5)]


def against_the_light(image: Tensor, generator: torch.Generator) -> Tensor:
    """(3, H, W) in [0, 1]: all but a soft-edged bright part, a window or a sky, at a fifth to a thirtieth of its light."""
    size = image.shape[-2:]
    coarse = F.interpolate(luminance(image[None]), size=(24, 24), mode="bilinear", antialias=True)
    field = F.interpolate((coarse - coarse.mean()) / (coarse.std() + 1e-3), size=size, mode="bicubic")
    field = field + 0.5 * smooth(1, *size, generator, 2)
    bright = field.quantile(1 - float(uniform(1, generator, 0.08, 0.45)))
    inside = smoothstep((field - bright) / uniform(1, generator, 0.1, 0.6) + 0.5)
    left = inside + (1 - inside) * log_uniform(1, generator, 0.03, 0.2)
    return linear_to_srgb(srgb_to_linear(image) * left[0])


def near_and_clear(veiled: Tensor, clear: Tensor, generator: torch.Generator) -> Tensor:
    """(3, H, W) in [0, 1]: `veiled` but for what stands near, which is as in `clear`.

    That is a twelfth to a half of the picture, for the most part dark or low in it.
    """
    size = clear.shape[-2:]
    coarse = F.interpolate(luminance(clear[None]), size=(24, 24), mode="bilinear", antialias=True)
    field = F.interpolate((coarse.mean() - coarse) / (coarse.std() + 1e-3), size=size, mode="bicubic")
    down, right = grid(*size)
    low, aside = uniform(2, generator, 0.0, 3.0).flatten().tolist()
    side = 1 if float(uniform(1, generator)) < 0.5 else -1
    field = field + smooth(1, *size, generator, 2) + 2 * (low * down + side * aside * right)
    near = field.quantile(1 - float(uniform(1, generator, 0.08, 0.5)))
    inside = smoothstep((field - near) / uniform(1, generator, 0.05, 0.8) + 0.5)[0]
    return inside * clear + (1 - inside) * veiled


def strongly_spoilt(x: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Of (4, 3, H, W): white noise; white noise and a camera's at an exposure that nobody would mend; strong compression.

    None is hazy or too dark, but strong noise and blocks raise the suspicion of both.
    """
    dim = linear_to_srgb(srgb_to_linear(x) * log_uniform(4, generator, 0.35, 1.0))
    white = torch.randn(x[:2].shape, generator=generator) * log_uniform(2, generator, 12, 60) / 255
    heavy = uniform(1, generator, 0.5, 1)
    return [
        x[0] + white[0], dim[1] + white[1], degradation.apply("noise", dim[2:3], generator, heavy)[0][0],
        degradation.apply("jpeg", x[3:], generator, heavy)[0][0],
    ]  # fmt: skip


@torch.inference_mode()
def judged(
    net: DegradationClassifier, restorer: Model, photographs: list[Photograph], pairs: Pairs, count: int, seed: int
) -> Judged:
    """What the law reads of some 30 cuts for each of `count` steps, and what is wrong with them.

    Of four photographs a step: simulated veils over all, one or two of them otherwise damaged too; two as they are, one at an exposure that
    nobody would mend, one at an exposure between a quarter and a thirtieth of its light, one through a curve that darkens all but the
    brightest, one against the light; simulated low light, two simulated shadows, and each other damage. Then both sides of a real pair of
    each kind, the four with strong noise or compression, and one veiled but for what stands near.
    A veil that hardly shows, and a curve or a light behind that leaves the median
    above a fifth, are not learned from.
    """
    # As the restorer is asked where it is used.
    dtype = torch.bfloat16 if computes_bf16(torch.device("cpu")) else torch.float32
    rows: list[Tensor] = []
    labels: list[tuple[float, float]] = []
    known: list[tuple[float, float]] = []

    def add(image: Tensor, haze: float = 0.0, dark: float = 0.0, sure: tuple[bool, bool] = (True, True)) -> None:
        image = (image.clamp(0, 1) * 255).round() / 255
        _, known_without = net.evidence(image)
        assert known_without is not None
        rows.append(torch.cat([second_look.light(restorer, image, dtype), known_without[0]]))
        labels.append((haze, dark))
        known.append((float(sure[0]), float(sure[1])))

    for step in range(count):
        generator = rng(seed, step)
        own = torch.Generator().manual_seed(int(generator.integers(2**62)))
        x, _ = crops(photographs, 4, SIDES[step % len(SIDES)], generator, REACH if step % 4 else 0)
        veiled, drawn = haze(x, own)
        other, first = OTHERS[step // 2 % len(OTHERS)], 3 - step % 2
        veiled[first:] = degradation.apply(other, veiled[first:], own)[0]
        for image, severity in zip(veiled, drawn["severity"].flatten().tolist(), strict=True):
            add(image, haze=1, sure=(severity >= SHOWS, True))
        add(x[0])
        add(x[1])
        for image, least, most, dark in ((x[2], 0.35, 1.0, 0), (x[3], 0.03, 0.25, 1)):
            add(linear_to_srgb(srgb_to_linear(image) * log_uniform(1, own, least, most)[0]), dark=dark)
        curved = x[step % 4] ** (1.8 + 2 * float(torch.rand((), generator=own)))
        add(curved, dark=1, sure=(True, float(curved.median()) < 0.2))
        add(lowlight(x[1:2], own)[0][0], dark=1)
        for image in (x[:1], x[2:3]):
            add(degradation.apply("shadow", image, own)[0][0])
        for other, image in zip(OTHERS, x, strict=True):
            add(degradation.apply(other, image[None], own)[0][0])
        behind = against_the_light(x[(step + 2) % 4], own)
        add(behind, dark=1, sure=(True, float(behind.median()) < 0.2))
        for shown, kinds in pairs:
            if kinds == ("blur",) and step % 3:
                continue  # postcards, all alike
            clean, worse = crops(shown, 1, CROP, generator, REACH)
            add(clean[0])
            if worse is not None:
                add(worse[0], dark=float("lowlight" in kinds))
        for image in strongly_spoilt(x, own):
            add(image)
        veiled, drawn = haze(x[:1], own)
        add(near_and_clear(veiled[0], x[0], own), haze=1, sure=(float(drawn["severity"]) >= 2 * SHOWS, True))
    return torch.stack(rows), torch.tensor(labels), torch.tensor(known)


def on_held_out(law: LightLaw, tested: Judged) -> dict[str, dict[str, float]]:
    """By kind: the share found of those with it and of those without, from the threshold on at which it is treated."""
    said = torch.sigmoid(law(tested[0]))
    out = {}
    for k, kind in enumerate(JUDGED):
        found, false = (s[:, k] >= NOTICED[kind] for s in _with_and_without(said, tested[1], tested[2], k))
        out[kind] = {"found": float(found.float().mean()), "false": float(false.float().mean())}
    return out
