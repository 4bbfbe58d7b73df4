"""The options of zero-shot methods, as the commands that run them take them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from cyclopts import Group, Parameter

ZERO_SHOT = Group("Zero-shot methods", sort_key=3)
"""Their heading in the help."""


@Parameter(name="*", group=ZERO_SHOT)
@dataclass(frozen=True)
class ZeroShotOptions:
    """Options of zero-shot methods alone; what is None or empty was not given.

    Args:
        prior: Zero-shot: a prior on the shelf (see `unveil models`), a folder as diffusers writes it, or a hub id. Default: the method's.
        prompt: Zero-shot: what the clean photograph shows, for priors with a text encoder (at most 77 tokens).
        label: Zero-shot: the class, by number, for a class-conditional prior. Default: its class for "none".
        task: Zero-shot and blind: auto, dehaze, lowlight, denoise or colorize.
        operator: Zero-shot: the known damage of the photograph: identity, blur:sigma=2, downsample:factor=4, mask:file=HOLES.png, grey.
        noise: Zero-shot: standard deviation of the noise on images in 0 to 1. Default: estimated from the photograph.
        rounds: Zero-shot: how often to add noise again and repeat the descent. Default: the method's.
        preset: Zero-shot: paper for the published settings of ldrps, upzeroir, gdp and tao, which take long; quick for those that were
            measured with the priors that ship, and are the default with them. Other options override the preset's.
        vgg: Zero-shot, ldrps, upzeroir and tao: torchvision's vgg16-397923af.pth. Default: seeded random features.
        arniqa: Zero-shot, upzeroir: folder with ARNIQA.pth and regressor_koniq10k.safetensors. Default: naturalness judges.
        captioner: Zero-shot, ldrps: writes the prompt: an http(s) address of an OpenAI-compatible endpoint, or a folder or hub id of an
            image-to-text model.

    """

    prior: str = ""
    prompt: str | None = None
    label: int | None = None
    task: str | None = None
    operator: str | None = None
    noise: float | None = None
    rounds: int | None = None
    preset: Literal["paper", "quick"] | None = None
    vgg: Path | None = None
    arniqa: Path | None = None
    captioner: str | None = None

    def settings(self) -> dict[str, Any]:
        """The given options, as `loading.load` takes them beside the prior."""
        options = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "prior"}
        return {name: value for name, value in options.items() if value is not None}

    def given(self) -> dict[str, Any]:
        """All that were given, the prior first."""
        return {**({"prior": self.prior} if self.prior else {}), **self.settings()}


NONE_GIVEN = ZeroShotOptions()
NAMES = tuple(field.name for field in fields(ZeroShotOptions))
"""The options by name, as they are written behind --."""
