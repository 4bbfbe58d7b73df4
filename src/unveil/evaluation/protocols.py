"""The protocol of a measurement, which decides the number, and the published ones by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from unveil.errors import InputError
from unveil.evaluation.arrays import Space, White
from unveil.evaluation.metrics.classical import Region as RegionRule
from unveil.evaluation.metrics.classical import Window
from unveil.evaluation.resize import Rule

Rounding = Literal["none", "8bit", "16bit"]
Region = Literal["all", "shadow", "non-shadow"]


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
        changes = ", ".join(f"{key}={value}" for key, value in settings.items() if key != "name")
        return replace(self, **{"name": f"{self.name} with {changes}", **settings})

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
        for name, kind in _NUMBERS.items():
            value = settings.get(name)
            if name not in settings or (value is None and name in _OPEN):
                continue
            if not (_number(value, kind) if name not in _TWO else _two(value, kind)):
                words = "whole number" if kind is int else "number"
                raise InputError(
                    f"a protocol's {name} is {f'two {words}s' if name in _TWO else f'a {words}'}, not {json.dumps(content[name])}"
                )
        for name in _TEXTS:
            if not isinstance(settings.get(name, ""), str):
                raise InputError(f"a protocol's {name} is a text, not {json.dumps(content[name])}")
        unstated = settings.get("unstated", ())
        if not (isinstance(unstated, tuple) and all(isinstance(rule, str) for rule in unstated)):
            raise InputError(f"a protocol's unstated is a list of texts, not {json.dumps(content['unstated'])}")
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


_NUMBERS = {"size": int, "border": int, "draws": int, "data_range": float, "fidelity": float}
_TWO = ("size", "data_range")
_OPEN = ("size", "fidelity")
_TEXTS = tuple(name for name, kind in get_type_hints(Protocol).items() if kind is str)


def _number(value: Any, kind: type) -> bool:
    return isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)


def _two(value: Any, kind: type) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(_number(v, kind) for v in value)


_CHOICES = {name: get_args(kind) for name, kind in get_type_hints(Protocol).items() if get_origin(kind) is Literal}
_RESFUSION_ISTD = "evaluation scripts in Resfusion's public repository (PSNR, SSIM and Lab error in MATLAB)"
_LEARNIR_512 = "LearnIR: fixed resolution of 512x512; no evaluation script is public"
_UNSTATED_512 = ("resize rule", "colour space", "SSIM window", "rounding")
_DACLIP = "test script and configuration in DA-CLIP's public repository, which cut a 4-pixel border for PSNR and SSIM"


def _learnir512(name: str, dataset: str) -> Protocol:
    size: Any = {"resize": "matlab_bicubic", "size": (512, 512)}
    return Protocol(name=name, dataset=dataset, **size, source=_LEARNIR_512, unstated=_UNSTATED_512)


def _tao256(name: str, dataset: str, degradation: str = "") -> Protocol:
    return Protocol(
        name=name, dataset=dataset, degradation=degradation, resize="tao256", size=(256, 256), ssim_space="y_bt601_full_8bit",
        source="evaluation code in LD-RPS's public repository, on the pairs that TAO publishes",
        unstated=("filter of the original reduction to 256x256",),
    )  # fmt: skip


_ALL = (
    Protocol(name="native", source="this project's default: nothing resized, nothing cut, 8-bit images"),
    Protocol(
        name="istd256", dataset="ISTD test (540 pairs)", resize="matlab_bicubic", size=(256, 256), rounding="none",
        ssim_window="volumetric", lab_white="D50", lab_rounding="8bit", region_rule="frame", source=_RESFUSION_ISTD,
    ),
    Protocol(
        name="istd-native", dataset="ISTD test (540 pairs)", rounding="none", ssim_window="volumetric", lab_white="D50",
        region_rule="frame", source=_RESFUSION_ISTD,
    ),
    _learnir512("ohaze512", "O-HAZE"),
    _learnir512("hazydet512", "HazyDet"),
    _learnir512("revide512", "REVIDE"),
    _learnir512("faceshadow512", "FaceShadow"),
    Protocol(name="lol-native", dataset="LOL eval15 (15 pairs)", source="common practice on LOL: RGB at 600x400"),
    Protocol(
        name="lol256", dataset="LOL eval15 (15 pairs)", resize="opencv_bilinear", size=(256, 256), ssim_window="uniform7",
        source="Measure_256_lpips.py in Resfusion's public repository (RGB, scikit-image's default SSIM)",
    ),
    _tao256("tao256", "pairs published by TAO"),
    _tao256("tao256-lol", "LOL pairs published by TAO (15)"),
    _tao256("tao256-hsts", "HSTS pairs published by TAO (10)"),
    _tao256("tao256-kodak24", "Kodak24 pairs published by TAO (24)", "noise added before a 2x reduction (called sigma 30)"),
    Protocol(
        name="hsts", dataset="RESIDE-HSTS, synthetic part (10 pairs)", source="RESIDE's own pairs at native size, RGB",
        unstated=("colour space and SSIM window differ between papers",),
    ),
    Protocol(
        name="kodak24", dataset="Kodak24", degradation="Gaussian noise at native size, rounded to 8 bit",
        source="common practice in denoising: RGB, noise added at the evaluated resolution",
        unstated=("standard deviation: set degradation",),
    ),
    Protocol(
        name="cbsd68", dataset="CBSD68", degradation="Gaussian noise, standard deviation 50/255", border=4, source=_DACLIP,
        unstated=("standard deviation in the table; 50 is what DA-CLIP was trained on",),
    ),
    Protocol(
        name="div2k-wild", dataset="DIV2K validation (100 images)", degradation="the paper's random wild degradations",
        border=4, source=_DACLIP, unstated=("the degraded images themselves", "border", "SSIM window"),
    ),
    Protocol(
        name="realsr-x2", dataset="RealSR x2 (30 pairs)", degradation="inputs enlarged twice to the target's size",
        border=4, source=_DACLIP, unstated=("filter of the enlargement", "border", "SSIM window"),
    ),
)  # fmt: skip

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _ALL}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name, or the one in the JSON file of that path.

    Raises InputError for anything else, naming those there are.
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    path = Path(name)
    if path.suffix == ".json":
        try:
            return Protocol.from_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"protocol file {path} cannot be read: {error}") from error
    raise InputError(f"unknown protocol {name!r}; known: {', '.join(PROTOCOLS)}, or a .json file")
