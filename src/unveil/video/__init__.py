"""Videos as they are: frames in and out with their time stamps, colours and orientation, sound untouched. Needs PyAV (extra `video`)."""

from __future__ import annotations

from unveil.video.library import SUFFIXES, is_video
from unveil.video.reading import Clip, Frame
from unveil.video.writing import Writer

__all__ = ["SUFFIXES", "Clip", "Frame", "Writer", "is_video"]
