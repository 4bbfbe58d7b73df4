"""Fit the laws of `unveil.models.second_look`: whether what the restorer takes away as noise was noise, and whether to ask it.

    python -m recipes fit_second_look --json benchmarks/results/fit_second_look.json

Photographs and real pairs are split by name: half fit the law, a quarter sets how often it is wrong, a quarter is measured on; then
test sets on which nothing was fitted. What the law is goes into `unveil/models/second_look.py` by hand. Some six minutes of
one processor core.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from benchmarks._pages import Facts, tables
from benchmarks._shared import MODEL, Clock, protocol, shared_folder, table, write_json
from recipes._damaged_crops import Pairs, Part, divided, material
from recipes._light_law import fit_linear
from unveil import degradation, photo
from unveil.data.dataset import Photograph, crops, rng
from unveil.degradation.primitives import separable
from unveil.evaluation.reading import find_images
from unveil.models import describer, second_look, shelf
from unveil.models.model import Model
from unveil.models.treatment import NOTICED
from unveil.models.weights_file import read_guide
from unveil.networks.classifier import DegradationClassifier
from unveil.util.tensors import batch_of

CROP = 256
LEAST = 2 / 255
"""Standard deviation from which simulated noise is to be found."""
OTHERS = ("blur", "haze", "jpeg", "shadow")
"""Damage that is no noise and must not be taken for it. (Simulated low light has noise.)"""
WRONG = 0.01
"""Share of the pictures without noise that may be taken for noisy."""
COMMON = 12
"""How often each cut with real noise counts: there are few."""
OVERLOOKED = 0.02
"""Share of the cuts that the restorer would find noise in, and the classifier does not, about which it would not be asked."""
ROUNDS = 3
"""How often each photograph is cut and damaged anew to fit on."""
SETS = {
    "PolyU_100, noisy": "PolyU_100/noisy",
    "PolyU_100, clean": "PolyU_100/clean",
    "Kodak24": "Kodak24",
    "CBSD68": "CBSD68",
    "SRD, shadow-free": "SRD/shadow_free",
    "LOL_eval15, high": "LOL_eval15/high",
    "HSTS, hazy": "tao256/HSTS_256x256/degraded",
}
Groups = dict[str, Tensor]
"""Of cuts, by what they are: what is measured when the restorer is asked, what at a glance, and the classifier's log odds of noise."""
ASKED, GLANCED, ODDS = slice(0, second_look.MEASURES), slice(second_look.MEASURES, None), -1
THRESHOLD = math.log(NOTICED["noise"] / (1 - NOTICED["noise"]))


def grain(x: Tensor, generator: torch.Generator) -> Tensor:
    """Grain of films and prints on (3, H, W): clumps of 0.5 to 2.5 px, 4 to 25 levels, strongest in midtones, more or less coloured."""
    size, colour, strength = torch.rand(3, generator=generator).tolist()
    d = torch.arange(8).float()
    taps = torch.exp(-0.5 * (d / (0.5 + 2 * size)).square())[None]
    own, common = torch.randn(2, 1, 3, *x.shape[-2:], generator=generator)
    n = separable(colour**0.5 * own + (1 - colour) ** 0.5 * common[:, :1], taps)[0]
    light = x.mean(0, keepdim=True)
    n = n * (4 * light * (1 - light)).clamp_min(0.05).sqrt()
    return (x + 4 / 255 * (25 / 4) ** strength * n / n.std()).clamp(0, 1)


def cuts(photographs: list[Photograph], pairs: Pairs, seed: int) -> Iterator[tuple[str, Tensor]]:
    """(what it is, (3, CROP, CROP)) of all photographs as they are, of half of them with noise or grain, of the rest otherwise damaged."""
    for number, photograph in enumerate(photographs):
        generator = rng(seed, number)
        random = torch.Generator().manual_seed(int(generator.integers(2**62)))
        x, _ = crops([photograph], 1, CROP, generator, 0)
        yield "clean", x[0]
        turn = number % 4
        if turn == 0:
            y, drawn = degradation.apply("noise", x, random)
            if float(drawn["sigma"]) >= LEAST:
                yield "noise", y[0]
        elif turn == 1:
            yield "grain", grain(x[0], random)
        else:
            kind = OTHERS[number // 4 % len(OTHERS)]
            yield kind, degradation.apply(kind, x, random)[0][0]
    for shown, kinds in pairs:
        if "lowlight" in kinds:
            continue  # the lit side is noisy too
        for number, photograph in enumerate(shown):
            clean, worse = crops([photograph], 1, CROP, rng(seed + 1, number), 0)
            yield "clean", clean[0]
            if kinds == ("noise",) and worse is not None:
                yield "camera", worse[0]


NOISY = ("noise", "grain", "camera")


@torch.inference_mode()
def measured(model: Model, classifier: DegradationClassifier, found: Iterable[tuple[str, Tensor]]) -> Groups:
    groups: dict[str, list[Tensor]] = defaultdict(list)
    noise = classifier.kinds.index("noise")
    for kind, image in found:
        image = (image.clamp(0, 1) * 255).round() / 255
        asked = second_look.measures(*second_look.taken_away(model, image))
        odds = classifier.evidence(image)[0][noise].clamp_min(second_look.LEAST_ODDS)
        groups[kind].append(torch.cat([asked, second_look.glance(image), odds[None]]))
    return {kind: torch.stack(rows) for kind, rows in groups.items()}


def together(groups: Groups, noisy: bool) -> Tensor:
    return torch.cat([v.repeat(COMMON if k == "camera" else 1, 1) for k, v in groups.items() if (k in NOISY) == noisy])


def fitted(train: Groups, kept: Groups) -> dict[str, list[float] | float]:
    """The constants of `second_look`; BIAS so that a share WRONG of what is kept has the probability from which noise is treated."""
    every = torch.cat([together(train, True), together(train, False)])[:, ASKED]
    centre, scale = every.mean(0), every.std(0)

    def shown(groups: Groups, noisy: bool) -> Tensor:
        return ((together(groups, noisy)[:, ASKED] - centre) / scale).clamp(-4, 4)

    layer = fit_linear(shown(train, True), shown(train, False), random_bias=True)  # as the law that ships was
    with torch.no_grad():
        quiet = layer(shown(kept, False))[:, 0].quantile(1 - WRONG)
        bias = layer.bias[0] - quiet + THRESHOLD
    law: dict[str, Any] = {
        "CENTRE": [round(v, 3) for v in centre.tolist()],
        "SCALE": [round(v, 3) for v in scale.tolist()],
        "WEIGHTS": [round(v, 3) for v in layer.weight[0].tolist()],
        "BIAS": round(float(bias), 3),
    }
    return law | at_a_glance(law, torch.cat([*train.values(), *kept.values()]))


def at_a_glance(law: dict[str, Any], rows: Tensor) -> dict[str, list[float] | float]:
    """GLANCE and GLANCE_BIAS: whether the law finds noise that the classifier does not; below 0 lies a share OVERLOOKED of such cuts."""
    overlooked = rows[rows[:, ODDS] < THRESHOLD]
    finds = said(law, overlooked) >= THRESHOLD
    numbers = overlooked[:, GLANCED]
    centre, scale = numbers.mean(0), numbers.std(0).clamp_min(1e-3)
    standard = (numbers - centre) / scale
    layer = fit_linear(standard[finds], standard[~finds])
    with torch.no_grad():
        weights = (layer.weight[0] / scale).mul(1000).round() / 1000
        least = (numbers[finds] @ weights).quantile(OVERLOOKED)
    return {"GLANCE": [round(v, 3) for v in weights.tolist()], "GLANCE_BIAS": round(-float(least), 3)}


def as_it_stands() -> dict[str, Any]:
    """The law in the module."""
    return {
        name: getattr(second_look, name) for name in ("CENTRE", "SCALE", "WEIGHTS", "BIAS", "GLANCE", "GLANCE_BIAS")
    }


def said(law: dict[str, Any], found: Tensor) -> Tensor:
    """(n,) log odds by a law, which may not be in the module yet."""
    centre, scale, weights = (torch.tensor(law[name]) for name in ("CENTRE", "SCALE", "WEIGHTS"))
    return ((found[:, ASKED] - centre) / scale).clamp(-4, 4) @ weights + law["BIAS"]


def found(law: dict[str, Any], rows: Tensor) -> dict[str, float]:
    """How many pictures; the shares the restorer finds noise in, it need not be asked about, and both, where the classifier finds none."""
    finds = said(law, rows) >= THRESHOLD
    settled = (rows[:, ODDS] < THRESHOLD) & (rows[:, GLANCED] @ torch.tensor(law["GLANCE"]) + law["GLANCE_BIAS"] < 0)
    shares = {"found": finds, "settled": settled, "overlooked": finds & settled}
    return {"pictures": len(rows)} | {name: float(share.float().mean()) for name, share in shares.items()}


def facts(result: dict[str, Any]) -> Facts:
    """Two tables."""
    rows = {
        k: [
            [n, str(r["pictures"]), *(f"{r[share]:.0%}" for share in ("found", "settled", "overlooked"))]
            for n, r in result[k].items()
        ]
        for k in ("held_out", "test")
    }
    shares = ["n", "taken for noisy", "not asked about", "both"]
    return Facts(
        {
            "table.held_out": table(["held-out cuts", *shares], rows["held_out"]),
            "table.test": table(["photographs", *shares], rows["test"]),
        }
    )


OPTIONS = {"--model": MODEL, "--again": (False, "fit nothing; measure the law as it stands with this model")}


def main(given: Namespace) -> None:
    data, clock = shared_folder() / "data", Clock()
    model, (photographs, pairs) = shelf.load(given.model).to(torch.device("cpu")), material()
    # Every other photograph, and of pairs without noise every third, say enough.
    photographs, pairs = photographs[::2], [(p if kinds == ("noise",) else p[::3], kinds) for p, kinds in pairs]
    if given.quick:
        photographs, pairs = photographs[::8], [(shown[::4], kinds) for shown, kinds in pairs]
    network, _, _ = read_guide(*shelf.place(describer.SMALL))
    assert isinstance(network, DegradationClassifier)
    classifier = network.folded()

    def of_part(number: int, part: Part) -> Groups:
        turns = range(1 if number == 2 else ROUNDS)
        return measured(model, classifier, chain.from_iterable(cuts(*part, 100 * number + 10 * n) for n in turns))

    divisions = enumerate(divided(photographs, pairs, 0.5))
    parts = [of_part(number, part) for number, part in divisions if number == 2 or not given.again]
    law = as_it_stands() if given.again else fitted(parts[0], parts[1])
    print(law)
    test = {}
    for name, folder in SETS.items():
        files = find_images(data / "test" / folder)[:: 8 if given.quick else 1]
        pictures = (("", batch_of(photo.read(p).pixels)[0]) for p in files)
        test[name] = found(law, measured(model, classifier, pictures)[""])
    about = {"model": model.spec.name, "sha256": model.sha256, "fitted": not given.again, "wrong": WRONG}
    result = {
        "law": law,
        "held_out": {kind: found(law, rows) for kind, rows in parts[-1].items()},
        "test": test,
        "protocol": protocol(given, **about, processor_seconds=clock.processor),
    }
    write_json(given.json, result)
    print(tables(facts(result)))
