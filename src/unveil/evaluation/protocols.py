"""The protocols of the papers' tables, by name, each with what its source leaves unsaid."""

from __future__ import annotations

from pathlib import Path

from unveil.errors import InputError
from unveil.evaluation.protocol import Protocol

_RESFUSION_ISTD = "evaluation scripts in Resfusion's public repository (PSNR, SSIM and Lab error in MATLAB)"
_LEARNIR_512 = "LearnIR: fixed resolution of 512x512; no evaluation script is public"
_UNSTATED_512 = ("resize rule", "colour space", "SSIM window", "rounding")
_DACLIP = "test script and configuration in DA-CLIP's public repository, which cut a 4-pixel border for PSNR and SSIM"


def _learnir512(name: str, dataset: str) -> Protocol:
    return Protocol(
        name=name,
        dataset=dataset,
        resize="matlab_bicubic",
        size=(512, 512),
        source=_LEARNIR_512,
        unstated=_UNSTATED_512,
    )


def _tao256(name: str, dataset: str, degradation: str = "") -> Protocol:
    return Protocol(
        name=name,
        dataset=dataset,
        degradation=degradation,
        resize="tao256",
        size=(256, 256),
        ssim_space="y_bt601_full_8bit",
        source="evaluation code in LD-RPS's public repository, on the pairs that TAO publishes",
        unstated=("filter of the original reduction to 256x256",),
    )


_ALL = (
    Protocol(name="native", source="this project's default: nothing resized, nothing cut, 8-bit images"),
    Protocol(
        name="istd256",
        dataset="ISTD test (540 pairs)",
        resize="matlab_bicubic",
        size=(256, 256),
        rounding="none",
        ssim_window="volumetric",
        lab_white="D50",
        lab_rounding="8bit",
        region_rule="frame",
        source=_RESFUSION_ISTD,
    ),
    Protocol(
        name="istd-native",
        dataset="ISTD test (540 pairs)",
        rounding="none",
        ssim_window="volumetric",
        lab_white="D50",
        region_rule="frame",
        source=_RESFUSION_ISTD,
    ),
    _learnir512("ohaze512", "O-HAZE"),
    _learnir512("hazydet512", "HazyDet"),
    _learnir512("revide512", "REVIDE"),
    _learnir512("faceshadow512", "FaceShadow"),
    Protocol(
        name="lol-native",
        dataset="LOL eval15 (15 pairs)",
        source="common practice on LOL: RGB at 600x400",
    ),
    Protocol(
        name="lol256",
        dataset="LOL eval15 (15 pairs)",
        resize="opencv_bilinear",
        size=(256, 256),
        ssim_window="uniform7",
        source="Measure_256_lpips.py in Resfusion's public repository (RGB, scikit-image's default SSIM)",
    ),
    _tao256("tao256", "pairs published by TAO"),
    _tao256("tao256-lol", "LOL pairs published by TAO (15)"),
    _tao256("tao256-hsts", "HSTS pairs published by TAO (10)"),
    _tao256(
        "tao256-kodak24", "Kodak24 pairs published by TAO (24)", "noise added before a 2x reduction (called sigma 30)"
    ),
    Protocol(
        name="hsts",
        dataset="RESIDE-HSTS, synthetic part (10 pairs)",
        source="RESIDE's own pairs at native size, RGB",
        unstated=("colour space and SSIM window differ between papers",),
    ),
    Protocol(
        name="kodak24",
        dataset="Kodak24",
        degradation="Gaussian noise at native size, rounded to 8 bit",
        source="common practice in denoising: RGB, noise added at the evaluated resolution",
        unstated=("standard deviation: set degradation",),
    ),
    Protocol(
        name="cbsd68",
        dataset="CBSD68",
        degradation="Gaussian noise, standard deviation 50/255",
        border=4,
        source=_DACLIP,
        unstated=("standard deviation in the table; 50 is what DA-CLIP was trained on",),
    ),
    Protocol(
        name="div2k-wild",
        dataset="DIV2K validation (100 images)",
        degradation="the paper's random wild degradations",
        border=4,
        source=_DACLIP,
        unstated=("the degraded images themselves", "border", "SSIM window"),
    ),
    Protocol(
        name="realsr-x2",
        dataset="RealSR x2 (30 pairs)",
        degradation="inputs enlarged twice to the target's size",
        border=4,
        source=_DACLIP,
        unstated=("filter of the enlargement", "border", "SSIM window"),
    ),
)

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
