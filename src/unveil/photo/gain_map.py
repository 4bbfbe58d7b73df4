"""The gain map of an Ultra HDR JPEG, which lies as the picture was stored, turned upright with it."""

from __future__ import annotations

import io

from PIL import Image, JpegImagePlugin

from unveil.photo import jpeg
from unveil.photo.orientation import upright
from unveil.photo.pillow import plain
from unveil.util.quiet import unlimited

# Its parameters: XMP (APP1), or ISO 21496-1 (APP2).
_KEPT = (0xE1, 0xE2)


def turned(data: bytes, orientation: int) -> bytes | None:
    """The small JPEG of a gain map, turned as EXIF's `orientation` says; None where it is no JPEG that can be.

    Its own quantisation is kept, so that little is lost, and so are its parameters, which do not depend on how it lies.
    """
    if orientation == 1:
        return data
    try:
        with unlimited(0):
            # Not as a context: what entering it returns is typed as any image file.
            image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
            image.load()
            tables = image.quantization
            samples = upright(plain(image).samples, orientation)
    except (OSError, SyntaxError, ValueError):
        return None
    if samples.shape[2] not in (1, 3):
        return None
    out = io.BytesIO()
    shown = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    shown.save(out, "JPEG", quality=-1, qtables=list(tables.values()), subsampling=0)
    kept = [(marker, payload) for marker, payload in jpeg.segments(data) if marker in _KEPT]
    head = b"".join(bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload for marker, payload in kept)
    return out.getvalue()[:2] + head + out.getvalue()[2:]
