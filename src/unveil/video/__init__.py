"""Videos as they are: frames in and out with their time stamps, colours and orientation, sound untouched. Needs PyAV (extra `video`)."""

from __future__ import annotations

from pathlib import Path

from unveil.video.animation import Animation, AnimationWriter
from unveil.video.library import ANIMATED, SUFFIXES, is_animation, is_video
from unveil.video.reading import Clip, Frame
from unveil.video.writing import Writer

__all__ = ["SUFFIXES", "Animation", "AnimationWriter", "Clip", "Frame", "Writer", "is_video", "opened", "writer"]


def opened(path: Path, max_pixels: int) -> Clip:
    """The clip in a file: through PyAV, or through Pillow for pictures that move. Raises what they raise."""
    return Animation(path, max_pixels) if is_animation(path) else Clip(path, max_pixels)


def writer(path: Path, suffix: str, clip: Clip, *, strip: bool = False) -> Writer | AnimationWriter:
    """What writes a clip into a file of this suffix. Raises InputError for a suffix of neither."""
    # A video that is written as .png was meant as a still, which it is not.
    moving = isinstance(clip, Animation) or suffix.lower() != ".png"
    kind = AnimationWriter if suffix.lower() in ANIMATED and moving else Writer
    return kind(path, suffix, clip, strip=strip)
