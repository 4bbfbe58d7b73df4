"""Writing TIFF: 8 and 16 bits and floats, grey, RGB and CMYK, with alpha, profile and metadata."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import tifffile

from unveil.photo import tiff_metadata
from unveil.photo.ifd import EXIF_IFD, GPS_IFD, open_tiff
from unveil.photo.tiff_metadata import XMP_TAG

EXTRA_SAMPLES = {"straight": "unassalpha", "premultiplied": "assocalpha", "unspecified": "unspecified"}
POINTER_NAMES = {EXIF_IFD: "ExifTag", GPS_IFD: "GPSTag"}
STRIP_BYTES = 1 << 18


def encode(
    samples: np.ndarray, alpha: np.ndarray | None, alpha_kind: str, icc: bytes | None, exif: bytes | None, xmp: bytes | None,
    dpi: tuple[float, float] | None,
) -> bytes:  # fmt: skip
    """A TIFF of (H, W, 1, 3 or 4) samples and (H, W) alpha of the same type, losslessly compressed. exif: an EXIF block."""
    channels = samples.shape[2]
    tags, directories = tiff_metadata.split(exif)
    order = open_tiff(exif).endian if exif and directories else "<"
    extra: list[Any] = [(tag, kind, count, raw, True) for tag, kind, count, raw in tags]
    # Placeholders; tifffile lets them through by name alone, because it cannot know where they will point.
    extra += [(POINTER_NAMES[pointer], 4, 1, 0, True) for pointer in directories]
    if xmp:
        extra.append((XMP_TAG, 7, len(xmp), xmp, True))
    stacked = samples if alpha is None else np.concatenate([samples, alpha[..., None]], axis=2)
    stacked = stacked[..., 0] if stacked.shape[2] == 1 else stacked
    out = io.BytesIO()
    with tifffile.TiffWriter(out, byteorder=order) as writer:  # type: ignore[arg-type]
        writer.write(
            stacked,
            photometric={1: "minisblack", 3: "rgb", 4: "separated"}[channels],
            planarconfig=None if stacked.ndim == 2 else "contig",
            extrasamples=None if alpha is None else [EXTRA_SAMPLES[alpha_kind]],
            compression="adobe_deflate",
            # Differences of neighbours compress far better; for floats they would need a predictor that few programs know.
            predictor=samples.dtype.kind != "f",
            rowsperstrip=max(1, STRIP_BYTES // max(1, stacked[0].nbytes)),
            iccprofile=icc,
            resolution=dpi,
            resolutionunit="INCH" if dpi else None,
            metadata=None,
            software=False,
            extratags=extra,
        )
    data = bytearray(out.getvalue())
    if exif and directories:
        tiff_metadata.append(data, exif)
    return bytes(data)
