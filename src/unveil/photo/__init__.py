"""Photographs as they are: reading and writing every format without loss, and the tiles and noise that large ones need.

`read` gives a Photo in sRGB; `write` puts changed pixels back into the file's own colours, depth, alpha and metadata.
"""

from __future__ import annotations

from unveil.photo.reading import MAX_PIXELS, read
from unveil.photo.record import JpegSettings, Photo
from unveil.photo.writing import write

__all__ = ["MAX_PIXELS", "JpegSettings", "Photo", "read", "write"]
