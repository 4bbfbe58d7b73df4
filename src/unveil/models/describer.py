"""Naming what is wrong with a photograph, with probabilities, and saying who says so.

The small classifier asks the restorer, who has seen more (`models.second_look`), about light and about noise, each where its own word
does not settle it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from unveil.errors import ModelError
from unveil.models import second_look, shelf
from unveil.models.model import Model
from unveil.models.treatment import DRAWN, NOTICED
from unveil.models.weights_file import read_guide
from unveil.networks.classifier import DegradationClassifier
from unveil.photo import content

if TYPE_CHECKING:
    from unveil.networks.daclip import DACLIP

SMALL = "describe"
"""The classifier that ships."""

RESTORER = "general"
"""Who is asked: what other models see and take away means something else, and the laws were fitted for this one."""


SURE = 0.95
"""Probability of noise from which the classifier's word is enough."""

DENIED = 0.1
"""Probability of noise under which the restorer sees none."""


@dataclass(frozen=True)
class Description:
    """probabilities: kind of damage -> probability, likeliest first. speaker: who says so, for a reader. exclusive: whether the

    probabilities sum to one (one kind a photograph) or stand for themselves (several at once).
    """

    probabilities: dict[str, float]
    speaker: str
    exclusive: bool

    @property
    def likeliest(self) -> str:
        """The kind with the highest probability."""
        return next(iter(self.probabilities))


class Describer:
    """The small classifier that ships, or a DA-CLIP that the user imported. Holds no state between calls."""

    def __init__(self, network: DegradationClassifier | DACLIP, speaker: str) -> None:
        self.network, self.speaker = network, speaker
        self._folded = cache(network.folded) if isinstance(network, DegradationClassifier) else None

    @torch.inference_mode()
    def describe(
        self, pixels: np.ndarray, dtype: torch.dtype = torch.float32, restorer: Model | None = None
    ) -> Description:
        """What is wrong with a photograph (H, W, 3) float32 in [0, 1], whose black bars are not looked at.

        dtype: what the classifier's eyes and the restorer compute in: bfloat16, or else float32. restorer: a model at hand. It is asked if
        it is RESTORER; else that is loaded. A DA-CLIP asks nobody, nor does a classifier without a law of the light.
        """
        pixels = content.within_bars(pixels).of(pixels)
        image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
        network = self.network
        several = isinstance(network, DegradationClassifier)
        if several and content.is_black(pixels):  # the networks would take it for the lowest of low light
            return Description(
                {k: float(k == "clean") for k in sorted(network.kinds, key="clean".__ne__)}, self.speaker, False
            )
        if several:
            assert self._folded is not None
            eyes = torch.bfloat16 if dtype == torch.bfloat16 else torch.float32
            model = restorer if restorer is not None and restorer.sha256 == _fitted_for() else _restorer()
            said = self._folded(eyes).probabilities(image, lambda: second_look.light(model, image, eyes))
            kinds = network.kinds
        else:
            said, kinds = self._named(network, image)
        found = dict(zip(kinds, said.tolist(), strict=True))
        if several and _unsure(found):
            found["noise"] = _agreed(
                found,
                lambda odds: second_look.worth_asking(image, odds),
                lambda: 1 / (1 + math.exp(-second_look.logit(model, image, dtype))),
            )
            if "clean" in found:
                found["clean"] = min(found["clean"], 1 - found["noise"])
        return Description(dict(sorted(found.items(), key=lambda pair: -pair[1])), self.speaker, not several)

    @staticmethod
    def _named(network: DACLIP, image: Tensor) -> tuple[Tensor, tuple[str, ...]]:
        from unveil.networks.clip import prepared
        from unveil.networks.daclip import degradation_probabilities
        from unveil.networks.daclip_words import rows, words

        seen = network.encode_image(prepared(image[None], network.clip.visual.size))
        known = words(network.clip)
        texts = network.clip.encode_text(rows(list(known.values()), network.clip.context))
        return degradation_probabilities(seen.degradation, texts, network.logit_scale.exp())[0], tuple(known)


def _unsure(found: dict[str, float]) -> bool:
    """Whether somebody who speaks of noise is not sure that there is some, in a photograph that is neither a drawing nor a page."""
    return found.get("noise", 1.0) < SURE and found.get("graphic", 0.0) < DRAWN


def _agreed(found: dict[str, float], worth: Callable[[float], bool], asked: Callable[[], float]) -> float:
    """Probability of noise from the classifier's word and the restorer's, which `asked` gives and takes long.

    What the classifier overlooked is found by the restorer, where a glance (`worth`, of the log odds) leaves room for it. What it noticed
    is noise unless the restorer sees none: fur, foliage and tiles pass for noise with the classifier alone. In the dark it stands, and
    nobody is asked, since there the light will bring out what cannot be seen yet.
    """
    if found["noise"] < NOTICED["noise"]:
        odds = math.log(max(found["noise"], 1e-9) / (1 - found["noise"]))
        return max(found["noise"], asked()) if worth(odds) else found["noise"]
    if found.get("lowlight", 0.0) >= NOTICED["lowlight"]:
        return found["noise"]
    noise = asked()
    return noise if noise < DENIED else found["noise"]


@cache
def _fitted_for() -> str:
    return str(shelf.entries()[RESTORER]["sha256"])


@cache
def _restorer() -> Model:
    return shelf.load(RESTORER).to(torch.device("cpu"))


@cache
def shipped() -> Describer:
    """The classifier that ships, read once."""
    return load()


def load(name: str | Path = SMALL) -> Describer:
    """The classifier that ships, by its name, or a DA-CLIP that `unveil models import` made, by its path.

    Raises ModelError for a file that is missing, damaged, or describes nothing.
    """
    if str(name) == SMALL:
        network, _, digest = read_guide(*shelf.place(SMALL))
        speaker = f"{SMALL}, the small classifier that ships with unveil (sha256 {digest[:12]}), and the restorer asked"
        speaker += " about light and noise"
    elif str(name) in shelf.entries() and not Path(name).exists():
        raise ModelError(shelf.use(str(name)))
    else:
        network, _, digest = read_guide(Path(name))
        speaker = f"DA-CLIP from {Path(name).name} (sha256 {digest[:12]})"
    if not isinstance(network, DegradationClassifier):
        from unveil.networks.daclip import DACLIP

        if not isinstance(network, DACLIP):
            raise ModelError(
                f"{name}: holds a {type(network).__name__}, which describes nothing; use {SMALL} or a DA-CLIP"
            )
    return Describer(network, speaker)
