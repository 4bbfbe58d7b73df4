"""Damaged crops that the classifier behind `unveil describe` is trained and measured on, with what is known of each."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from benchmarks._shared import shared_folder
from unveil import degradation
from unveil.data.dataset import Photograph, crops, hold_out, load_clean, rng
from unveil.data.dataset import photographs as paired
from unveil.data.files import Store
from unveil.data.pairs import Match, in_folders
from unveil.networks.classifier import WHOLE, statistics, views
from unveil.networks.condition import LIGHT

KINDS = ("haze", "shadow", "lowlight", "noise", "blur", "jpeg", "rain", "clean", "graphic")
CROP, REACH, PATCHES = 256, 1100, 4
SECOND, CLEAN, EXPOSED, GRAPHIC, REAL_SHARE = 0.35, 0.2, 0.25, 0.05, 0.3
PHOTOS = ("BSDS500", "SunHays80", "faces_ffhq6", "photos_more")
PAIRS = (
    ("SRD/shadow", "SRD/shadow_free", "*_no_shadow", ("shadow",)),
    ("lol_train/degraded", "lol_train/clean", "*", ("lowlight", "noise")),
    ("lowlight323_train/degraded", "lowlight323_train/clean", "*", ("lowlight", "noise")),
    ("noise_polyu_train/degraded", "noise_polyu_train/clean", "*", ("noise",)),
    ("blur_city100_train/degraded", "blur_city100_train/clean", "*", ("blur",)),
)
"""Real pairs: both sides are shown, the clean one as undamaged. How they were compressed is not known and not asked."""
OFTEN = (3, 2, 1, 1, 1)
"""How often each of them is drawn."""
KIND_WEIGHTS = {"haze": 1.5, "shadow": 2.0, "lowlight": 1.0, "noise": 1.5, "blur": 1.0, "jpeg": 1.0, "rain": 0.7}
SEEN = {"noise": ("sigma", 2 / 255), "blur": ("sigma", 0.7), "haze": ("severity", 0.1), "shadow": ("severity", 0.1)}
"""Parameter of a simulator, and from where on the damage counts as one: below, nobody would want anything done about it."""
CELLS, LIFT, ENOUGH, SHOWN = 8, 0.03, 0.12, 0.03
"""Light is compared on CELLS x CELLS means of the reduced photograph, as the logarithm of what is left of it, black lifted by LIFT; damage
to it counts as known where at least a share SHOWN of them differs by ENOUGH: many cuts of a shadow photograph have no shadow."""

Examples = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""whole (N, 3, s, s) and patches (N, P, 3, s, s) uint8, statistics (N, S), labels and which of them are known (N, K), and where the light
was changed: (N, len(LIGHT), CELLS, CELLS) logarithms by kind, NaN where two kinds share the change."""
Pairs = list[tuple[list[Photograph], tuple[str, ...]]]
Part = tuple[list[Photograph], Pairs]


def graphic(generator: np.random.Generator) -> Tensor:
    """(3, CROP, CROP): a page of text, a diagram, or a drawing in lines, dark on light or light on dark."""
    paper = tuple(int(v) for v in generator.integers(225, 256, 3)) if generator.random() < 0.5 else (255, 255, 255)
    ink = tuple(int(v) for v in generator.integers(0, 90, 3)) if generator.random() < 0.5 else (0, 0, 0)
    page = Image.new("RGB", (CROP, CROP), paper)
    draw = ImageDraw.Draw(page)
    kind = generator.integers(3)
    if kind == 0:
        size = int(generator.integers(9, 30))
        font, top = ImageFont.load_default(size), int(generator.integers(0, size))
        while top < CROP:
            letters = generator.integers(97, 123, 60) * (generator.random(60) > 0.17)
            draw.text((int(generator.integers(4, 24)), top), "".join(chr(c or 32) for c in letters), ink, font)
            top += int(size * 1.4)
    else:
        for _ in range(int(generator.integers(8, 60))):
            ends = [tuple(int(v) for v in generator.integers(0, CROP, 2)) for _ in range(2)]
            colour = ink if kind == 1 else tuple(int(v) for v in generator.integers(0, 256, 3))
            if generator.random() < 0.6:
                draw.line(ends, colour, int(generator.integers(1, 5)))
            else:
                box = [min(a, b) for a, b in zip(*ends, strict=True)] + [max(a, b) for a, b in zip(*ends, strict=True)]
                draw.rectangle(box, colour if kind == 2 else None, ink, int(generator.integers(1, 4)))
    pixels = torch.from_numpy(np.array(page)).permute(2, 0, 1) / 255
    return 1 - pixels if generator.random() < 0.2 else pixels


def material() -> Part:
    """Clean photographs, and real pairs with the damage they have; where one side cannot be read, the pair is left out."""
    root, store = shared_folder() / "data" / "train", Store()
    pairs: Pairs = []
    for degraded, clean, name, kinds in PAIRS:
        found: Match = in_folders(root / degraded, root / clean, clean_name=name)
        pairs.append((paired(found, store)[0], kinds))
    return load_clean([root / f for f in PHOTOS], store), pairs


def divided(photographs: list[Photograph], pairs: Pairs, share: float) -> tuple[Part, Part, Part]:
    """All but a share, by name, to train or fit on; half of that share to set thresholds on, half to measure on."""
    parts: list[Part] = []
    for held in (share, 0.5):
        kept = [(hold_out(found, held), kinds) for found, kinds in pairs]
        here, photographs = hold_out(photographs, held)
        parts.append((here, [(sides[0], kinds) for sides, kinds in kept]))
        pairs = [(sides[1], kinds) for sides, kinds in kept]
    return parts[0], parts[1], (photographs, pairs)


def damaged(
    photographs: list[Photograph], pairs: Pairs, generator: np.random.Generator, batch: int, reach: int
) -> tuple[Tensor, Tensor, list[tuple[str, ...]], list[tuple[str, ...]]]:
    """(pictures (n, 3, CROP, CROP), what they were before, the damage of each, the kinds that are not known of each)."""
    torch_generator = torch.Generator().manual_seed(int(generator.integers(2**62)))
    real = int(generator.binomial(batch, REAL_SHARE))
    images, before, kinds, unknown = [], [], [], []
    x, _ = crops(photographs, batch - real, CROP, generator, reach)
    dim = generator.random(len(x)) < EXPOSED
    unlit = {k: 1.0 for k in degradation.ORDER if k not in degradation.LIGHT}
    for piece, weights in ((x[~dim], KIND_WEIGHTS), (x[dim], unlit)):
        if len(piece) == 0:
            continue
        piece = degradation.exposed(piece, torch_generator) if weights is unlit else piece
        y, found, drawn = degradation.mixture(piece, torch_generator, weights, second=SECOND, clean=CLEAN)
        hidden = {
            (int(i), kind)
            for kind, (name, least) in SEEN.items()
            if kind in drawn
            for i, value in zip(drawn[kind]["index"], drawn[kind][name].flatten(), strict=True)
            if value < least
        }
        hidden |= {
            (int(i), "jpeg")
            for i, quality in zip(drawn["jpeg"]["index"], drawn["jpeg"]["quality"].flatten(), strict=True)
            if quality > 88
        } if "jpeg" in drawn else set()  # fmt: skip
        images += list(y)
        before += list(piece)
        kinds += [tuple(k for k in told if (i, k) not in hidden) for i, told in enumerate(found)]
        unknown += [() for _ in found]
    for _ in range(real):
        found, told = pairs[int(generator.choice(len(pairs), p=np.array(OFTEN) / sum(OFTEN)))]
        clean, worse = crops(found, 1, CROP, generator, reach)
        spoilt = worse is not None and generator.random() < 0.5
        images.append(worse[0] if spoilt and worse is not None else clean[0])
        before.append(clean[0])
        kinds.append(told if spoilt else ())
        unknown.append(("jpeg",))
    for n in range(len(images)):
        if generator.random() < GRAPHIC:
            images[n], kinds[n], unknown[n] = graphic(generator), ("graphic",), ()
            before[n] = images[n]
    return torch.stack(images), torch.stack(before), kinds, unknown


def light_left(images: Tensor, before: Tensor) -> Tensor:
    """(n, CELLS, CELLS): logarithm of the mean brightness of each cell over what it was."""
    now, then = (F.adaptive_avg_pool2d(t.mean(1, keepdim=True), CELLS)[:, 0] for t in (images, before))
    return torch.log((now + LIFT) / (then + LIFT))


def made(photographs: list[Photograph], pairs: Pairs, count: int, seed: int, batch: int = 8) -> Examples:
    """`count` damaged crops as the network sees them."""
    whole, patches, counted, labels, known, maps = [], [], [], [], [], []
    for step in range(count // batch):
        generator = rng(seed, step)
        images, before, kinds, unknown = damaged(photographs, pairs, generator, batch, REACH if step % 3 else 0)
        for image, left, told, hidden in zip(images, light_left(images, before), kinds, unknown, strict=True):
            image = (image * 255).round() / 255
            lit = [k for k in LIGHT if k in told]
            if lit and float((left.abs() > ENOUGH).float().mean()) < SHOWN:
                hidden = (*hidden, *lit, "clean")
            changed = torch.full_like(left, torch.nan) if len(lit) > 1 else left
            maps.append(torch.stack([changed if k in told else torch.zeros_like(left) for k in LIGHT]))
            seen, near = views(image, side=WHOLE)
            pick = torch.from_numpy(generator.permutation(len(near))[:PATCHES])
            whole.append((seen * 255).round().byte())
            patches.append((near[pick] * 255).round().byte())
            counted.append(statistics(image))
            labels.append([float(k in told or (k == "clean" and not told)) for k in KINDS])
            known.append([float(k not in hidden) for k in KINDS])
    return (
        torch.stack(whole), torch.stack(patches), torch.stack(counted), torch.tensor(labels), torch.tensor(known),
        torch.stack(maps),
    )  # fmt: skip
