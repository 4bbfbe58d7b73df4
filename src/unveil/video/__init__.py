"""Videos as they are: frames in and out with their time stamps, colours and orientation, sound untouched. Needs PyAV (extra `video`)."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from unveil.video.library import ANIMATED, SUFFIXES, is_animation, is_video

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
