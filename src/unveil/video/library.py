"""PyAV, fetched when the first video is opened, and its errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unveil.errors import InputError

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its suffix."""
    return path.suffix.lower() in SUFFIXES


def library() -> Any:
    """The module `av`. Raises InputError where it is not installed."""
    try:
        import av
    except ImportError:
        raise InputError("videos need a further package: pip install 'unveil[video]'") from None
    return av


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
