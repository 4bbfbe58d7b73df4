"""Videos as they are: frames in and out with their time stamps, colours and orientation, sound untouched. Needs PyAV (extra `video`)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unveil.errors import InputError
from unveil.util.extras import needed

if TYPE_CHECKING:
    from unveil.video.animation import Animation, AnimationWriter
    from unveil.video.reading import Clip, Frame
    from unveil.video.writing import Writer

__all__ = ["SUFFIXES", "Animation", "AnimationWriter", "Clip", "Frame", "Writer", "is_video", "opened", "writer"]

_PLACES = {
    "Animation": "animation", "AnimationWriter": "animation", "Clip": "reading", "Frame": "reading", "Writer": "writing",
}  # fmt: skip


def __getattr__(name: str) -> object:
    """Load what reads and writes clips when one is met (PEP 562); whether a file is one is told without."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    return value


def opened(path: Path, max_pixels: int) -> Clip:
    """The clip in a file: through PyAV, or through Pillow for pictures that move. Raises what they raise."""
    from unveil.video.animation import Animation
    from unveil.video.reading import Clip

    return Animation(path, max_pixels) if is_animation(path) else Clip(path, max_pixels)


def writer(path: Path, suffix: str, clip: Clip, *, strip: bool = False) -> Writer | AnimationWriter:
    """What writes a clip into a file of this suffix. Raises InputError for a suffix of neither."""
    from unveil.video.animation import Animation, AnimationWriter
    from unveil.video.writing import Writer

    # A video that is written as .png was meant as a still, which it is not.
    moving = isinstance(clip, Animation) or suffix.lower() != ".png"
    kind = AnimationWriter if suffix.lower() in ANIMATED and moving else Writer
    return kind(path, suffix, clip, strip=strip)


SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mts", ".m2ts", ".ts", ".mpg", ".mpeg", ".wmv", ".3gp",
)  # fmt: skip
ANIMATED = (".gif", ".webp", ".png", ".apng")
"""Pictures that may move; then they are clips."""
_START = 1 << 12


def is_video(path: Path) -> bool:
    """Whether a file is a video or an animation: by its suffix, and by its content where that says nothing or may be a still, too."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            if suffix in ANIMATED:
                return _moves(file)
            return is_container(file.read(_START)) if path.is_file() else False
    except (OSError, ValueError):
        return False


def is_animation(path: Path) -> bool:
    """Whether a file is a GIF, WebP or PNG that moves, by its content."""
    try:
        with path.open("rb") as file:
            return _moves(file)
    except OSError:
        return False


def is_container(start: bytes) -> bool:
    """MP4 and its kin, Matroska, AVI, MPEG transport streams with and without time codes, MPEG program streams, ASF, FLV."""
    if start[4:8] == b"ftyp":
        from unveil.photo.isobmff import CANON_RAW, brand

        return brand(start) is None and start[8:12] != CANON_RAW
    if start[:4] == b"RIFF":
        return start[8:12] == b"AVI "
    streams = any(
        len(start) > 3 * size and all(start[at + n * size] == 0x47 for n in range(3))
        for size, at in ((188, 0), (192, 4))
    )
    return streams or start.startswith(
        (b"\x1a\x45\xdf\xa3", b"\0\0\1\xba", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"FLV\1")
    )


def _moves(file: Any) -> bool:
    start = file.read(30)
    if start[:4] == b"RIFF" and start[8:16] == b"WEBPVP8X":
        return bool(start[20] & 2)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return _is_moving_png(file)
    return start[:4] == b"GIF8" and _is_moving_gif(file, start)


def _is_moving_png(file: Any) -> bool:
    """An acTL chunk of several frames stands before the pixels."""
    at = 8
    while True:
        file.seek(at)
        head = file.read(16)
        if len(head) < 16 or head[4:8] in (b"IDAT", b"IEND"):
            return False
        if head[4:8] == b"acTL":
            return struct.unpack_from(">I", head, 8)[0] > 1
        at += 12 + struct.unpack_from(">I", head)[0]


def _is_moving_gif(file: Any, start: bytes) -> bool:
    """Two image descriptors (GIF89a, section 20), stepping over blocks."""

    def skip_blocks() -> None:
        while (size := file.read(1)) and size[0]:
            file.seek(size[0], 1)

    file.seek(13 + (3 << ((start[10] & 7) + 1) if start[10] & 0x80 else 0))
    pictures = 0
    while mark := file.read(1):
        if mark == b"!":
            file.seek(1, 1)
            skip_blocks()
        elif mark == b",":
            pictures += 1
            if pictures == 2:
                return True
            flags = file.read(9)
            if len(flags) < 9:
                return False
            file.seek((3 << ((flags[8] & 7) + 1) if flags[8] & 0x80 else 0) + 1, 1)
            skip_blocks()
        else:
            return False
    return False


def library() -> Any:
    """The module `av`. Raises InputError where it is not installed."""
    return needed("av", "videos need a further package", "video")


def local(path: Path) -> str:
    """The name by which FFmpeg opens this very file, whatever it is called (`concat:a` is a protocol to it)."""
    return f"file:{path}"


@contextmanager
def in_words(name: object, doing: str, advice: str) -> Iterator[None]:
    """What FFmpeg says as an InputError: "NAME: cannot be DOING (what it said); ADVICE"."""
    try:
        yield
    except library().FFmpegError as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{name}: cannot be {doing} ({reason}); {advice}") from error
