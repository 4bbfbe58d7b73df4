"""Fit the law by which a shadow is found that nobody named (`unveil.models.second_look.shaded`).

    python -m recipes fit_shadow --json benchmarks/results/fit_shadow.json

The model for shadows was taught to leave alone what has none; how unevenly it lifts a photograph tells the two apart. On photographs and
pairs that its training kept back: SRD's shadows and simulated ones, and everything else, undamaged and otherwise damaged. What the law is
goes into `unveil/models/second_look.py` by hand. Some five minutes of one processor core.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks._choices import source_of
from benchmarks._pages import Facts
from benchmarks._shared import protocol, shared_folder, table
from recipes._light_law import fit_linear
from unveil import degradation, photo
from unveil.data.dataset import Photograph, crops, rng
from unveil.evaluation.reading import find_images
from unveil.models import describer, second_look, shelf
from unveil.models.treatment import NOTICED
from unveil.util.devices import computes_bf16
from unveil.util.tensors import batch_of

CUT, REACH, CUTS = 256, 900, 4
"""Side of a cut, how much of a photograph it shows at most, and how many of each photograph, beside the whole."""
SHADED, DARKER = 0.06, 0.3
"""Share of a cut, and logarithm of the light taken there, from which on a shadow counts as one."""
QUIET = 0.003
"""Share of the cuts without a shadow that are taken for shaded."""
OTHERS = ("noise", "jpeg", "blur", "rain")
SETS = {
    "SRD": "SRD/shadow", "SRD, shadow-free": "SRD/shadow_free", "PolyU_100, noisy": "PolyU_100/noisy",
    "PolyU_100, clean": "PolyU_100/clean", "Kodak24": "Kodak24", "CBSD68": "CBSD68", "LOL_eval15, high": "LOL_eval15/high",
    "HSTS, clear": "tao256/HSTS_256x256/clean",
}  # fmt: skip


def _shaded(y: Tensor, x: Tensor) -> bool:
    taken = torch.log((x.mean(1) + second_look.LIFT) / (y.mean(1) + second_look.LIFT))
    return float((taken > DARKER).float().mean()) >= SHADED


def pictures(photographs: list[Photograph], pairs: list[list[Photograph]]) -> Iterator[tuple[str, Tensor]]:
    """(what it is, (1, 3, H, W)): "pair" and "simulated" shadows, "clean", and photographs with damage that leaves the light as it is."""
    for number, photograph in enumerate(photographs):
        yield "clean", batch_of(photograph.clean.pixels() / 255)
        generator = rng(41, number)
        x = torch.cat([crops([photograph], 1, CUT, generator, REACH)[0] for _ in range(CUTS)])
        random = torch.Generator().manual_seed(int(generator.integers(2**62)))
        for one in x:
            yield "clean", one[None]
        shadow = degradation.apply("shadow", x[:1], random)[0]
        if _shaded(shadow, x[:1]):
            yield "simulated", shadow
        kind = OTHERS[number % len(OTHERS)]
        yield kind, degradation.apply(kind, x[1:2], random)[0]
    for found in pairs:
        for number, pair in enumerate(found):
            assert pair.degraded is not None
            whole = [batch_of(side.pixels() / 255) for side in (pair.degraded, pair.clean)]
            cut = [crops([pair], 1, CUT, rng(42, number, n), REACH) for n in range(CUTS)]
            for y, x in ((whole[0], whole[1]), *((b, a) for a, b in cut if b is not None)):
                if _shaded(y, x):
                    yield "pair", y


def measured(found: Iterator[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """By what they are, of those that the describer asks about: how unevenly they are lifted, with whether they are asked about (n, 2)."""
    speaker, restorer, model = describer.shipped(), shelf.load("general"), describer.specialist("shadow")
    assert model is not None
    dtype = torch.bfloat16 if computes_bf16(torch.device("cpu")) else torch.float32
    rows: dict[str, list[Tensor]] = defaultdict(list)
    for kind, image in found:
        image = (image.clamp(0, 1) * 255).round() / 255
        asked = describer.suspects_shadow(speaker.classified(image[0], dtype, restorer))
        rows[kind].append(torch.tensor([second_look.shade(model, image[0], dtype), float(asked)]))
    return {kind: torch.stack(of) for kind, of in rows.items()}


def law(groups: dict[str, Tensor]) -> dict[str, float]:
    """SHADE_FROM and SHADE_SLOPE: a share QUIET of the cuts without a shadow reach the probability from which it is treated."""
    shaded = torch.cat([v for k, v in groups.items() if k in ("pair", "simulated")])
    others = torch.cat([v for k, v in groups.items() if k not in ("pair", "simulated")])
    asked = others[others[:, 1] > 0, :1]
    slope = float(fit_linear(shaded[:, :1], asked, 0).weight[0, 0].detach())
    share = QUIET * len(others) / max(1, len(asked))  # those that nobody asks about are quiet
    treated = float(asked[:, 0].quantile(max(0.0, 1 - share)))
    return {
        "SHADE_FROM": round(treated - math.log(NOTICED["shadow"] / (1 - NOTICED["shadow"])) / slope, 3),
        "SHADE_SLOPE": round(slope, 1),
    }


def found(said: dict[str, float], rows: Tensor) -> dict[str, float]:
    """How many pictures, and the shares that are asked about, and that are taken for shaded."""
    odds = said["SHADE_SLOPE"] * (rows[:, 0] - said["SHADE_FROM"])
    asked = rows[:, 1] > 0
    taken = asked & (torch.sigmoid(odds) >= NOTICED["shadow"])
    return {"pictures": len(rows), "asked": float(asked.float().mean()), "found": float(taken.float().mean())}


def measure(given: Namespace) -> dict[str, Any]:
    source = source_of(shelf.load("general"))
    photographs, pairs = source.photos, [found for _, found in source.pairs]
    if given.quick:
        photographs, pairs = photographs[::12], [found[::6] for found in pairs]
    groups = measured(pictures(photographs, pairs))
    as_it_stands = {name: getattr(second_look, name) for name in ("SHADE_FROM", "SHADE_SLOPE")}
    said = as_it_stands if given.again else law(groups)
    print(said)
    test = {}
    for name, folder in SETS.items():
        files = find_images(shared_folder() / "data" / "test" / folder)[:: 16 if given.quick else 1]
        rows = measured((name, batch_of(photo.read(p).pixels)) for p in files)[name]
        test[name] = found(said, rows)
    held_out = {kind: found(said, rows) for kind, rows in groups.items()}
    about = protocol(given, model=describer.specialist("shadow").sha256, fitted=not given.again, quiet=QUIET)  # type: ignore[union-attr]
    return {"law": said, "held_out": held_out, "test": test, "protocol": about}


def facts(result: dict[str, Any]) -> Facts:
    """Two tables."""
    columns = ("asked", "found")
    made = Facts()
    for of, title in (("held_out", "held-out pictures"), ("test", "photographs")):
        rows = [[n, str(r["pictures"]), *(f"{r[c]:.1%}" for c in columns)] for n, r in result[of].items()]
        made[f"table.{of}"] = table([title, "n", "asked about", "taken for shaded"], rows)
    return made


OPTIONS = {"--again": (False, "fit nothing; measure the law as it stands")}
