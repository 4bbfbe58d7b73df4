"""From whatever names a photograph to its bytes, refusing early what cannot be one."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from unveil.errors import InputError

# The most bytes a pixel can take uncompressed (four 32-bit floats), and room for profiles, previews and metadata.
BYTES_PER_PIXEL = 16
OVERHEAD = 256 << 20


def load(source: str | Path | bytes | BinaryIO, max_pixels: int) -> tuple[str, bytes]:
    """The name and the bytes of `source`: a path, the bytes themselves, or a readable binary stream.

    Raises InputError when there is nothing readable, or more bytes than `max_pixels` pixels could fill.
    """
    limit = max_pixels * BYTES_PER_PIXEL + OVERHEAD
    if isinstance(source, (bytes, bytearray, memoryview)):
        name, data = "<bytes>", bytes(source)
    elif isinstance(source, (str, os.PathLike)):
        name = str(source)
        data = _from_path(name, limit)
    elif hasattr(source, "read"):
        given = getattr(source, "name", None)
        name = given if isinstance(given, str) else "<stream>"
        data = _from_stream(name, source, limit)
    else:
        raise InputError(f"a photograph is a path, bytes or a binary stream, not {type(source).__name__}")
    if not data:
        raise InputError(f"{name}: the file is empty (0 bytes); copy it again from its source")
    if len(data) > limit:
        raise InputError(f"{name}: {_too_long(limit)}")
    return name, data


def _too_long(limit: int) -> str:
    return f"the file is larger than {limit / 1e9:.1f} GB, more than the allowed pixels could fill; raise --max-pixels if you trust it"


def _from_path(name: str, limit: int) -> bytes:
    try:
        status = os.stat(name)
    except FileNotFoundError:
        raise InputError(f"{name}: no such file; check the path") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{name!r}: cannot be opened ({_reason(error)}); check the path and its permissions") from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{name}: is a folder, not a photograph; name the files in it")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name}: is a device or pipe, not a photograph; use `-` for standard input")
    if status.st_size > limit:
        raise InputError(f"{name}: {_too_long(limit)}")
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({_reason(error)}); check its permissions") from None


def _from_stream(name: str, stream: BinaryIO, limit: int) -> bytes:
    try:
        data = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: cannot be read ({_reason(error)})") from None
    if not isinstance(data, (bytes, bytearray)):
        raise InputError(f"{name}: the stream gives {type(data).__name__}, not bytes; open it in binary mode")
    return bytes(data)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
