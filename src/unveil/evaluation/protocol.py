"""The conditions under which a number was taken. No number leaves this room without them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from unveil.errors import InputError
from unveil.evaluation.colour import Space, White
from unveil.evaluation.metrics.psnr import Region as RegionRule
from unveil.evaluation.metrics.ssim import Window
from unveil.evaluation.resize import Rule

Rounding = Literal["none", "8bit", "16bit"]
Region = Literal["all", "shadow", "non-shadow"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "resize": get_args(Rule),
    "rounding": get_args(Rounding),
    "space": get_args(Space),
    "ssim_space": get_args(Space),
    "ssim_window": get_args(Window),
    "lab_white": get_args(White),
    "lab_rounding": get_args(Rounding),
    "region": get_args(Region),
    "region_rule": get_args(RegionRule),
}


def _bits(rounding: Rounding) -> str:
    return f"{rounding.removesuffix('bit')} bit"


@dataclass(frozen=True)
class Protocol:
    """How a number was taken. Equal protocols are the condition for two numbers to be compared.

    dataset, degradation: which images, and what was done to the inputs; empty for the caller's own folders.
    resize, size: rule (see `resize`) and (height, width) to which prediction, target and mask are brought first.
    rounding: prediction and target are rounded to that many levels after resizing ("none": kept as they are).
    data_range: (black, white) of floating-point images; integer images are scaled by their depth.
    border: pixels cut from each side.
    space, ssim_space: colour space of PSNR, and of SSIM and MS-SSIM. ssim_window: see `ssim`.
    lab_white: white of Lab errors. lab_rounding: a further rounding before they are taken.
    region: which part counts, by a mask. region_rule: see `psnr`.
    draws: samples of the posterior whose mean was scored. fidelity: the sampler's dial, None where there is none.
    name, source, unstated: what it is called, where the rules come from, and which of them the source leaves open (the value
    here is then this project's choice). These three do not enter comparison.

    Raises InputError for a value that is not among the choices, or a resize rule without a size.
    """

    name: str = field(default="custom", compare=False)
    dataset: str = ""
    degradation: str = ""
    resize: Rule = "none"
    size: tuple[int, int] | None = None
    rounding: Rounding = "8bit"
    data_range: tuple[float, float] = (0.0, 1.0)
    border: int = 0
    space: Space = "rgb"
    ssim_space: Space = "rgb"
    ssim_window: Window = "gaussian11"
    lab_white: White = "D65"
    lab_rounding: Rounding = "none"
    region: Region = "all"
    region_rule: RegionRule = "pixels"
    draws: int = 1
    fidelity: float | None = None
    source: str = field(default="", compare=False)
    unstated: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        """Check every field that has choices or limits."""
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"protocol {self.name!r}: {name} {getattr(self, name)!r}; known: {', '.join(choices)}")
        if (self.resize == "none") != (self.size is None):
            raise InputError(f"protocol {self.name!r}: resize {self.resize!r} does not go with size {self.size}")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise InputError(f"protocol {self.name!r}: size {self.size} must be (height, width), both at least 1")
        if self.border < 0 or self.draws < 1:
            raise InputError(
                f"protocol {self.name!r}: border {self.border} must be at least 0, draws {self.draws} at least 1"
            )

    def changed(self, **settings: Any) -> Protocol:
        """This protocol with other settings; its name then says which."""
        told = ", ".join(f"{key}={value}" for key, value in settings.items() if key != "name")
        return replace(self, **{"name": f"{self.name} with {told}", **settings})

    def differences(self, other: Protocol) -> dict[str, tuple[Any, Any]]:
        """Field -> (own value, the other's) for every field that enters comparison and differs."""
        names = (f.name for f in fields(self) if f.compare)
        return {n: (getattr(self, n), getattr(other, n)) for n in names if getattr(self, n) != getattr(other, n)}

    def describe(self) -> str:
        """The whole protocol in one line, for captions and columns."""
        size = "native size" if self.size is None else f"{self.size[1]}x{self.size[0]} by {self.resize}"
        ssim = f"SSIM {self.ssim_window}" + (f" on {self.ssim_space}" if self.ssim_space != self.space else "")
        parts = [
            self.dataset,
            self.degradation,
            size,
            self.space if self.space != "rgb" else "RGB",
            "no rounding" if self.rounding == "none" else f"rounded to {_bits(self.rounding)}",
            f"border {self.border}",
            ssim,
            f"Lab {self.lab_white}"
            + ("" if self.lab_rounding == "none" else f" rounded to {_bits(self.lab_rounding)}"),
            "" if self.region == "all" else f"{self.region} region ({self.region_rule})",
            "" if self.draws == 1 else f"mean of {self.draws} draws",
            "" if self.fidelity is None else f"fidelity {self.fidelity:g}",
            "" if self.data_range == (0.0, 1.0) else f"floats on {self.data_range}",
        ]
        return f"{self.name}: " + "; ".join(part for part in parts if part)

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON has it (tuples become lists)."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Protocol:
        """The protocol that `to_dict` described. Raises InputError for unknown fields or values."""
        unknown = set(content) - {f.name for f in fields(cls)}
        if unknown:
            raise InputError(f"a protocol has no field {', '.join(sorted(unknown))}")
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
        return cls(**settings)

    @classmethod
    def from_json(cls, text: str) -> Protocol:
        """The protocol that `to_json` wrote. Raises InputError for anything else."""
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"this is no protocol: {error}") from error
        if not isinstance(content, dict):
            raise InputError("this is no protocol: expected a JSON object")
        return cls.from_dict(content)
