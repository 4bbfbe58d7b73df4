"""The published zero-shot methods by name. A method is one callable in its own file; adding one is a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from unveil.errors import InputError
from unveil.util.words import did_you_mean
from unveil.zeroshot.operators import parse

PIXELS, LATENTS = "small-pixel", "small-latent"
"""The priors that ship, by what diffuses in them."""


PRESETS = ("paper", "quick")
"""paper: as published; quick: as measured here on the priors that ship."""


@dataclass(frozen=True)
class Method:
    """restores, settings: "module:name" of the callable and of its options' dataclass, imported when they are needed.

    prior: the shipped one that it runs on unless told otherwise. held: bytes per pixel of the photograph that it keeps beside the
    prior's. beside: operators that it takes beside those of `operators`. least: shortest side in pixels that it takes; smaller
    photographs are continued by reflection. ignored: options that its restorer's interface has and that do not enter its result. quick:
    what runs on the priors that ship unless told otherwise: the settings that docs/results.md measures them with, seconds and not minutes.
    published: the settings that its authors print or run, where they are not its defaults; None where there is no such preset.
    """

    title: str
    summary: str
    restores: str
    settings: str
    prior: str = PIXELS
    held: int = 400
    least: int = 1
    beside: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    quick: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, Any] | None = None

    @property
    def presets(self) -> tuple[str, ...]:
        """Those of `PRESETS` that it has."""
        return tuple(name for name in PRESETS if name != "paper" or self.published is not None)

    def preset(self, name: str) -> Mapping[str, Any]:
        """The settings of a preset, in place of those that would be taken without one. Raises InputError where this method has none of
        that name.
        """
        if name not in PRESETS:
            raise InputError(f"unknown preset {name!r}; {did_you_mean(name, PRESETS, otherwise='there are')}")
        if name == "quick":
            return self.quick
        if self.published is None:
            those = ", ".join(key for key, method in METHODS.items() if name in method.presets)
            raise InputError(f"{self.title} has no preset {name}; those of {those} are what their papers run")
        return self.published

    def call(self) -> Any:
        """restore(prior, y, noise, settings, callback) -> images."""
        return resolve_name(self.restores)

    def options(self) -> type:
        """The dataclass of its options."""
        return resolve_name(self.settings)

    def takes(self) -> dict[str, Any]:
        """Its options by name, with their defaults."""
        return {f.name: f.default for f in fields(self.options())}

    def configured(self, given: Mapping[str, Any]) -> Any:
        """Its options with those given filled in; files and folders may be given as text.

        Raises InputError for one that it does not have, naming those it has, and for one that would do nothing.
        """
        known = self.takes()
        for name in given:
            if name not in known:
                taken = [k for k in known if k not in self.ignored]
                raise InputError(f"{self.title} has no {name!r}; {did_you_mean(name, taken, otherwise='it takes')}")
            if name in self.ignored:
                raise InputError(
                    f"{self.title} pulls alike whatever the {name} of the photograph; leave {name} out, or take DiffPIR, DDRM or PiGDM"
                )
        operator = given.get("operator")
        if operator is not None and operator not in self.beside:
            parse(str(operator))  # a wrong text is told before anything is opened
        paths = {f.name for f in fields(self.options()) if "Path" in str(f.type)}
        given = {k: Path(v) if k in paths and isinstance(v, str) else v for k, v in given.items()}
        try:
            return self.options()(**given)
        except TypeError as error:
            raise InputError(f"{self.title}: {error}") from error


def _linear(name: str, title: str, summary: str, **more: Any) -> Method:
    module = f"unveil.zeroshot.{name}"
    return Method(title, summary, f"{module}:restore", f"{module}:{name.capitalize()}Settings", **more)


METHODS: dict[str, Method] = {
    "ldrps": Method(
        "LD-RPS", "Blind: recurrent posterior sampling of latents, a degradation network learned on the way (ICCV 2025).",
        "unveil.zeroshot.ldrps:restore", "unveil.zeroshot.ldrps:LDRPSSettings", prior=LATENTS, held=12000, least=64,
        quick={"steps": 12, "rounds": 0, "crop": 64},
        # The official code's; the same as `ldrps.published`.
        published={"steps": 450, "inner": 1, "crop": 0, "trust": 0.0, "width": 64, "original": True},
    ),
    "upzeroir": Method(
        "UP-ZeroIR", "Blind: guided by how degradation moves the law of the latents, refined while the quality rises (CVPR 2026).",
        "unveil.zeroshot.upzeroir:restore", "unveil.zeroshot.upzeroir:UPZeroIRSettings", prior=LATENTS, held=12000, least=64,
        quick={"steps": 12, "rounds": 0},
        # Nothing that the paper does not print (docs/upzeroir.md).
        published={"steps": 1000, "guidance": 4000.0, "trust": 0.0, "first": "identity", "width": 64},
    ),
    "dps": _linear(
        "dps", "DPS", "Known operator, any prior: a gradient through the network (ICLR 2023).", ignored=("noise",), quick={"steps": 30},
    ),
    "diffpir": _linear(
        "diffpir", "DiffPIR", "Known operator: half-quadratic splitting, a proximal step per evaluation (CVPRW 2023).", quick={"steps": 12},
    ),
    "ddrm": _linear(
        "ddrm", "DDRM", "Known operator: posterior sampling in its singular basis, few steps (NeurIPS 2022).", quick={"steps": 12},
    ),
    "pigdm": _linear("pigdm", "PiGDM", "Known operator: pseudo-inverse guidance (ICLR 2023).", quick={"steps": 12}),
    "gdp": _linear(
        "gdp", "GDP", "Known operator, or blind low light: gradient at the clean estimate (CVPR 2023).", beside=("light",),
        ignored=("noise",), quick={"steps": 30}, published={"steps": 1000},
    ),
    "tao": _linear(
        "tao", "TAO", "Blind, in pixels: a degradation network learned while the prior samples (ICML 2024).", held=12000, least=64,
        quick={"steps": 12, "crop": 64}, published={"steps": 1000, "trust": 0.0, "first": "random", "crop": 0, "width": 64},
    ),
}  # fmt: skip


def find(name: str) -> Method:
    """The method of a name. Raises InputError with the nearest names."""
    if name not in METHODS:
        raise InputError(f"no zero-shot method is called {name!r}; {did_you_mean(name, METHODS, most=2)}")
    return METHODS[name]
