"""Writing TIFF: 8 and 16 bits and floats, grey, RGB and CMYK, with alpha and further channels, profile and metadata."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import tifffile

from unveil.photo import captions, tiff_metadata
from unveil.photo.ifd import EXIF_IFD, GPS_IFD, open_tiff
from unveil.photo.picture import Picture
from unveil.photo.tiff_metadata import IPTC_TAG, PHOTOSHOP_TAG, XMP_TAG

EXTRA_SAMPLES = {"straight": "unassalpha", "premultiplied": "assocalpha"}
POINTER_NAMES = {EXIF_IFD: "ExifTag", GPS_IFD: "GPSTag"}
STRIP_BYTES = 1 << 18


def encode(picture: Picture) -> bytes:
    """A TIFF of (H, W, 1, 3 or 4) samples, alpha and further channels of the same type, losslessly compressed."""
    samples, exif = picture.samples, picture.exif
    channels = samples.shape[2]
    tags, directories = tiff_metadata.split(exif)
    order = open_tiff(exif).endian if exif and directories else "<"
    extra: list[Any] = [(tag, kind, count, raw, True) for tag, kind, count, raw in tags]
    # tifffile lets these through by name alone, because it cannot know where they point.
    extra += [(POINTER_NAMES[pointer], 4, 1, at, True) for pointer, at in directories.items()]
    if picture.xmp:
        extra.append((XMP_TAG, 7, len(picture.xmp), picture.xmp, True))
    extra += _extra(picture, order == ">")
    stacked = [samples]
    kinds: list[str] = []
    if picture.alpha is not None:
        stacked.append(picture.alpha[..., None])
        kinds.append(EXTRA_SAMPLES[picture.alpha_kind])
    if picture.others is not None:
        stacked.append(picture.others)
        kinds += ["unspecified"] * picture.others.shape[2]
    whole = np.concatenate(stacked, axis=2) if kinds else samples
    whole = whole[..., 0] if whole.shape[2] == 1 else whole
    out = io.BytesIO()
    with tifffile.TiffWriter(out, byteorder=order) as writer:  # type: ignore[arg-type]
        writer.write(
            whole,
            photometric={1: "minisblack", 3: "rgb", 4: "separated"}[channels],
            planarconfig=None if whole.ndim == 2 else "contig",
            extrasamples=kinds or None,
            compression="adobe_deflate",
            # Differences of neighbours compress far better; for floats they would need a predictor that few programs know.
            predictor=samples.dtype.kind != "f",
            rowsperstrip=max(1, STRIP_BYTES // max(1, whole[0].nbytes)),
            iccprofile=picture.icc,
            resolution=picture.dpi,
            resolutionunit="INCH" if picture.dpi else None,
            metadata=None,
            software=False,
            extratags=extra,
        )
    if exif and directories:
        return tiff_metadata.put_in_front(out.getvalue(), exif)
    return out.getvalue()


def _extra(picture: Picture, swapped: bool) -> list[Any]:
    """Tags that other TIFFs and JPEGs brought along: georeferences and captions."""
    found: list[Any] = []
    for name, content in picture.extra:
        if name == captions.TIFF:
            tag, kind, count = struct.unpack_from("<HHI", content)
            found.append((tag, kind, count, tiff_metadata.in_order(content[8:], kind, swapped), True))
    resources = captions.resources(picture.extra)
    if resources:
        found.append((PHOTOSHOP_TAG, 7, len(resources), resources, True))
        iptc = captions.iptc(resources)
        if iptc:
            found.append((IPTC_TAG, 7, len(iptc), iptc, True))
    return found
