"""Camera raw files, developed by LibRaw."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np

from unveil.photo import exif, isobmff, jpeg
from unveil.photo.exif import gather, open_tiff
from unveil.photo.header import Header
from unveil.photo.record import Decoded
from unveil.util.extras import needed

# Fujifilm, Olympus, Panasonic: what differs from TIFF begins so. DNG, NEF, CR2, ARW and PEF are TIFFs; CR3 is boxes.
STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
# sRGB's own curve, as LibRaw takes it: the exponent and the slope of its straight part.
SRGB_CURVE = (2.4, 12.92)


def is_raw(data: bytes) -> bool:
    """Whether sensor data is what the file is about, by its content."""
    if data.startswith(STARTS) or (data[4:8] == b"ftyp" and data[8:12] == isobmff.CANON_RAW):
        return True
    from unveil.photo.tiff import pages

    try:
        return pages(open_tiff(data)).raw
    except (ValueError, struct.error):
        return False


def size(data: bytes) -> tuple[int, int]:
    """Width and height when developed. Raises ValueError where LibRaw is not there or cannot read the file."""
    with _opened(data) as file:
        sizes = file.sizes
        width, height = sizes.iwidth or sizes.width, sizes.iheight or sizes.height
        return (height, width) if sizes.flip in (5, 6) else (width, height)


def decode(data: bytes, header: Header) -> Decoded:
    """Developed with the camera's white balance to 16-bit sRGB, upright, its brightness as the sensor had it.

    Raises ValueError where LibRaw is not there or cannot read the file.
    """
    import rawpy  # type: ignore[import-not-found]

    with _opened(data) as file:
        # adjust_maximum_thr: LibRaw would take the brightest sample for white where that lies above three quarters of it.
        samples = file.postprocess(
            use_camera_wb=True,
            no_auto_bright=True,
            adjust_maximum_thr=0,
            output_bps=16,
            output_color=rawpy.ColorSpace.sRGB,
            gamma=SRGB_CURVE,
        )
        block, notes = _metadata(data, file)
    found = Decoded(np.ascontiguousarray(samples), "RGB")
    found.orientation = 1  # LibRaw turned it already
    found.exif = block
    found.notes = ("developed from raw with the camera's white balance", *notes)
    return found


def _opened(data: bytes) -> Any:
    rawpy = needed("rawpy", "camera raw needs a further package", "raw", ValueError)
    try:
        return rawpy.imread(io.BytesIO(data))
    except rawpy.LibRawError as error:
        text = error.args[0] if error.args else error
        raise ValueError(f"LibRaw says: {text.decode() if isinstance(text, bytes) else text}") from None


def _metadata(data: bytes, file: Any) -> tuple[bytes | None, tuple[str, ...]]:
    """EXIF of the file itself where that is a TIFF but for its mark, otherwise of the preview inside."""
    import rawpy  # type: ignore[import-not-found]

    if data[:2] in (b"II", b"MM"):
        mark = b"II*\0" if data[:2] == b"II" else b"MM\0*"
        try:
            tiff = open_tiff(mark + data[4:])
            return gather(tiff, tiff.directory(tiff.first)[0])
        except (ValueError, struct.error):
            return None, ()
    try:
        preview = file.extract_thumb()
    except rawpy.LibRawError:
        return None, ()
    if preview.format != rawpy.ThumbFormat.JPEG:
        return None, ()
    for marker, payload in jpeg.segments(preview.data):
        if marker == jpeg.APP1 and payload.startswith(exif.PREFIX):
            return exif.bare(payload), ()
    return None, ()
