"""The test sets that a benchmark knows, and finding them in a folder."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from unveil.data.pairs import present
from unveil.degradation.wild import wild
from unveil.errors import InputError
from unveil.evaluation.arrays import correlate_valid, gaussian_kernel
from unveil.evaluation.reading import match_folders
from unveil.util.tensors import batch_of


@dataclass(frozen=True)
class Known:
    """A test set in two folders. degraded, clean: below the data folder; ends: what to leave out at the end of their stems.

    protocol: name of the protocol its numbers are taken under. damage: "blur:1" (Gaussian, its standard deviation in pixels, borders
    mirrored), "noise:25" (white Gaussian, its standard deviation in levels of 255), "jpeg:10" (quality, 4:2:0), several of them joined by
    "+", each clipped and rounded; or "wild" (the pipeline for images in the wild); done to the degraded side, which then is the clean one.
    """

    degraded: str
    clean: str
    protocol: str = "native"
    ends: tuple[str, str] = ("", "")
    damage: str = ""


KNOWN = {
    "LOL_eval15": Known("LOL_eval15/low", "LOL_eval15/high", "lol-native"),
    "tao256/LOL": Known("tao256/LOL_256x256/degraded", "tao256/LOL_256x256/clean", "tao256-lol"),
    "tao256/HSTS": Known("tao256/HSTS_256x256/degraded", "tao256/HSTS_256x256/clean", "tao256-hsts"),
    "tao256/Kodak24": Known("tao256/Kodak24_256x256/degraded", "tao256/Kodak24_256x256/clean", "tao256-kodak24"),
    "SRD": Known("SRD/shadow", "SRD/shadow_free", ends=("", "_free")),
    "PolyU_100": Known("PolyU_100/noisy", "PolyU_100/clean", ends=("_real", "_mean")),
    "Kodak24 sigma 25": Known("Kodak24", "Kodak24", damage="noise:25"),
    "Kodak24 sigma 50": Known("Kodak24", "Kodak24", damage="noise:50"),
    "Kodak24 JPEG 10": Known("Kodak24", "Kodak24", damage="jpeg:10"),
    "Kodak24 JPEG 30": Known("Kodak24", "Kodak24", damage="jpeg:30"),
    "Kodak24 blur 1": Known("Kodak24", "Kodak24", damage="blur:1"),
    "Kodak24 blur 2": Known("Kodak24", "Kodak24", damage="blur:2"),
    "Kodak24 mixed": Known("Kodak24", "Kodak24", damage="blur:1+noise:10+jpeg:50"),
    "Kodak24 clean": Known("Kodak24", "Kodak24"),
    "DIV2K wild": Known("DIV2K_valid_HR", "DIV2K_valid_HR", "div2k-wild", damage="wild"),
}
PUBLISHED = {
    "ISTD": "istd256",
    "ISTD+": "istd256",
    "O-HAZE": "ohaze512",
    "HazyDet": "hazydet512",
    "REVIDE": "revide512",
    "LOL v1": "lol-native",
    "FaceShadow": "faceshadow512",
    "RealSR": "realsr-x2",
}
"""Benchmarks as their authors ship them (see `unveil.data.pairs`) -> protocol; any other is scored under `native`."""


@dataclass(frozen=True)
class TestSet:
    """pairs: (name, degraded, clean), sorted by name. protocol, damage: see `Known`.

    masks: name -> image that is nonzero in the shadow, for sets that come with them. enlarge: whether degraded images that are smaller are
    brought to the size of the clean ones before they are restored, by bicubic.
    """

    name: str
    protocol: str
    pairs: tuple[tuple[str, Path, Path], ...]
    damage: str = ""
    masks: Mapping[str, Path] = field(default_factory=dict)
    enlarge: bool = False


def damaged(pixels: np.ndarray, damage: str, name: str) -> np.ndarray:
    """A photograph (H, W, 3) in [0, 1] with a set's damage (see `Known`), rounded to 8 bit; a function of its arguments alone.

    The noise of a photograph is seeded by its file's name.
    """
    for one in damage.split("+"):
        pixels = _damaged(pixels, one, name)
    return pixels


def _damaged(pixels: np.ndarray, damage: str, name: str) -> np.ndarray:
    kind, _, strength = damage.partition(":")
    if kind == "blur":
        return np.rint(_blurred(pixels, float(strength)).clip(0, 1) * 255) / 255
    if kind == "noise":
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        return np.rint((pixels + rng.normal(0, float(strength) / 255, pixels.shape)).clip(0, 1) * 255) / 255
    if kind == "wild":
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        x = batch_of(pixels.astype(np.float32))
        y = wild(x, generator)[0][0].permute(1, 2, 0).double().numpy()
        return np.rint(y.clip(0, 1) * 255) / 255
    memory = io.BytesIO()
    whole = Image.fromarray(np.rint(pixels * 255).astype(np.uint8))
    whole.save(memory, "JPEG", quality=int(strength), subsampling=2)
    with Image.open(memory) as image:
        return np.asarray(image.convert("RGB")) / 255


def _blurred(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Convolved with a Gaussian out to four standard deviations."""
    reach = int(4 * sigma + 0.5)
    wider = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    return correlate_valid(wider, gaussian_kernel(2 * reach + 1, sigma))


def find(folder: Path) -> dict[str, TestSet]:
    """The known test sets in `folder` or in a folder directly below it: those of `KNOWN`, then published benchmarks' test splits.

    A file without its partner is an error of the set, not a smaller set. Raises InputError where none is found.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; name the one that holds the test sets with --data")
    places = [folder, *sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))]
    found = {}
    for name, known in KNOWN.items():
        place = next((p for p in places if (p / known.degraded).is_dir() and (p / known.clean).is_dir()), None)
        if place is not None:
            found[name] = _in_folders(name, known, place)
    shipped: dict[str, list[tuple[str, Path, Path]]] = {}
    parts = present(folder, "test") if any(folder.rglob("*.*")) else []
    if parts or any(folder.rglob("validation/degraded")):
        # The set that `unveil data faceshadow` writes has a validation split for its test.
        parts += [p for p in present(folder, "validation") if p.layout.name == "FaceShadow"]
    for part in parts:
        pairs = part.match.pairs
        if part.layout.name == "RealSR":  # of its three scales the one that the papers print
            pairs = [p for p in pairs if p[1].parent.name == "2"]
        elif part.part.enlarge:  # for these a rule of enlarging would have to be chosen first
            continue
        shipped.setdefault(part.layout.name, []).extend(pairs)
    for name, pairs in shipped.items():
        if pairs and name not in found:
            ordered = sorted(((d, c) for _, d, c in pairs), key=lambda p: p[0])
            named = tuple((key, d, c) for key, (d, c) in zip(_names([d for d, _ in ordered]), ordered, strict=True))
            masks = {key: path for key, d, _ in named if (path := _mask(d)) is not None} if name in MASKED else {}
            found[name] = TestSet(name, PUBLISHED.get(name, "native"), named, "", masks, name == "RealSR")
    if not found:
        wanted = ", ".join(f"{k.degraded} beside {k.clean}" for k in list(KNOWN.values())[:2])
        raise InputError(
            f"{folder}: no known test set; expected folders such as {wanted}, or a benchmark as its authors ship it; "
            "folders of your own: unveil restore, then unveil evaluate"
        )
    return found


def _names(paths: Sequence[Path]) -> list[str]:
    """Each photograph's folder and file, and as many folders above as tell all apart: sequences of GoPro number their frames alike."""
    deepest = max((len(p.parts) for p in paths), default=2)
    for depth in range(2, deepest + 1):
        names = ["/".join(p.parts[-depth:]) for p in paths]
        if len(set(names)) == len(names):
            break
    return names


MASKED = ("ISTD", "ISTD+")
"""Benchmarks that come with masks of the shadow, in the folder B beside the shadowed A."""


def _mask(degraded: Path) -> Path | None:
    folder = degraded.parent
    path = folder.parent / f"{folder.name.removesuffix('A')}B" / degraded.name
    return path if folder.name.endswith("_A") and path.is_file() else None


def _in_folders(name: str, known: Known, place: Path) -> TestSet:
    pairing = match_folders(
        place / known.degraded, place / known.clean, prediction_suffix=known.ends[0], target_suffix=known.ends[1]
    )
    left = [*pairing.predictions_left, *pairing.targets_left]
    if left:
        raise InputError(f"{name}: {left[0]} has no partner ({len(left)} files in all); is the download complete?")
    pairs = tuple((p.prediction.name, p.prediction, p.target) for p in pairing.pairs)
    return TestSet(name, known.protocol, pairs, known.damage)
