"""Suffixes of image files, by what is done with them."""

from __future__ import annotations

FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF",
    ".avif": "AVIF", ".bmp": "BMP", ".dib": "BMP", ".heic": "HEIF", ".heif": "HEIF", ".hif": "HEIF",
    ".jxl": "JXL", ".jp2": "JP2", ".j2k": "JP2", ".jpx": "JP2", ".gif": "GIF", ".ppm": "PNM", ".pgm": "PNM", ".pnm": "PNM",
    ".pfm": "PNM", ".apng": "PNG",
}  # fmt: skip
"""Of files that are written, with their format."""
RAW = (
    ".dng", ".nef", ".nrw", ".cr2", ".cr3", ".arw", ".sr2", ".raf", ".orf", ".rw2", ".pef", ".srw", ".3fr", ".iiq", ".rwl", ".erf",
)  # fmt: skip
"""Of cameras' own files, which are read and never written."""
READABLE = (*FORMATS, *RAW, ".pbm")
"""Suffixes of the files that count as photographs in folders and patterns."""
TRAINING = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""Of files in a folder of training photographs."""
SCORED = (*FORMATS, ".pbm")
"""Of files in a folder that is evaluated: all that can be read but cameras' own files, which often lie beside their JPEG."""
