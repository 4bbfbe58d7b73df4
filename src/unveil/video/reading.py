"""Reading a video frame by frame: upright RGB with its time stamp, and the packets of its sound as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from unveil.errors import InputError
from unveil.video.colour import Colour
from unveil.video.library import in_words, library, local

# A video may name other files or addresses to play; nothing but files of this machine is opened.
_OPTIONS = {"protocol_whitelist": "file"}


@dataclass(frozen=True)
class Frame:
    """pixels: (H, W, 3) float32 RGB in [0, 1], upright. at: time stamp, in units of the clip's time base."""

    pixels: np.ndarray
    at: int


class Clip:
    """An open video, for `with`. Its frames are decoded one at a time, when they are asked for.

    width, height: upright. count: frames that its header states or its length suggests, 0 where neither is told. rate: frames a
    second on average. sounds: its audio streams. colour: how its samples are RGB. turns: quarter turns to the left that set it
    upright, already made in frames. notes: what is left out, one sentence each.

    Raises InputError: missing, damaged, no picture in it, frames larger than `max_pixels`, HDR; PyAV missing.
    """

    def __init__(self, path: Path, max_pixels: int) -> None:
        self.name = str(path)
        av = library()
        if not path.is_file():
            raise InputError(f"{path}: no such file; check the name")
        with self._readable():
            self.container = av.open(local(path), options=_OPTIONS)
        try:
            self._describe(max_pixels)
        except BaseException:
            self.container.close()
            raise

    def __enter__(self) -> Clip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.container.close()

    def __iter__(self) -> Iterator[Frame | Any]:
        """Frames, and packets of sound between them, in the order of the file; once.

        Raises InputError where the file is damaged, ends before the frames that it promised, or changes its size.
        """
        while self._waiting:
            yield self._waiting.pop(0)
        yield from self._items

    def _readable(self) -> Any:
        return in_words(self.name, "read as a video", "if it plays elsewhere, save it again there")

    def _describe(self, max_pixels: int) -> None:
        if not self.container.streams.video:
            raise InputError(f"{self.name}: there is no picture in it")
        self.stream = self.container.streams.video[0]
        self.sounds = list(self.container.streams.audio)
        context = self.stream.codec_context
        self._check_size(context.width, context.height, max_pixels)
        self.rate = self.stream.average_rate or self.stream.guessed_rate or 25
        self.time_base = self.stream.time_base
        seconds = self.container.duration / 1e6 if self.container.duration else 0.0
        self.count = int(self.stream.frames) or round(seconds * float(self.rate))
        self.metadata = dict(self.container.metadata)
        self.aspect = context.sample_aspect_ratio
        self.format = context.format.name
        self._items = self._decoded(max_pixels)
        # Size, colour and orientation are the first frame's.
        self._waiting: list[Frame | Any] = []
        while not self._waiting or not isinstance(self._waiting[-1], Frame):
            self._waiting.append(next(self._items))
        self.height, self.width = self._waiting[-1].pixels.shape[:2]
        self.notes = tuple(self._left_out())

    def _check_size(self, width: int, height: int, max_pixels: int) -> None:
        if width * height > max_pixels:
            raise InputError(
                f"{self.name}: frames of {width} x {height} are over the limit of {max_pixels / 1e6:g} million pixels; "
                f"if you trust the file, raise it with --max-pixels {width * height}"
            )

    def _left_out(self) -> Iterator[str]:
        others = len(self.container.streams) - 1 - len(self.sounds)
        if others:
            yield f"streams beside one picture and the sound were left out ({others}: subtitles, covers, data)"
        if any(component.is_alpha for component in self.stream.codec_context.format.components):
            yield "its transparency was left out"

    def _decoded(self, max_pixels: int) -> Iterator[Frame | Any]:
        first, seen, at = None, 0, -1
        step = max(1, round(1 / (self.rate * self.time_base)))
        with self._readable():
            for packet in self.container.demux(self.stream, *self.sounds):
                if packet.stream is not self.stream and packet.stream.type == "audio":
                    if packet.dts is not None:
                        yield packet
                    continue
                for frame in packet.decode():
                    if first is None:
                        first = (frame.width, frame.height)
                        self.colour = Colour.of(frame, self.name)
                        self.turns = round(frame.rotation / 90) % 4
                    if (frame.width, frame.height) != first:
                        raise InputError(f"{self.name}: its frames change their size after {seen}; cut it there first")
                    # A few containers (AVI) leave time stamps out.
                    at = at + step if frame.pts is None else frame.pts
                    seen += 1
                    yield Frame(np.rot90(self.colour.to_rgb(frame), self.turns), at)
        if seen < max(1, int(self.stream.frames)):
            raise InputError(
                f"{self.name}: it ends after {seen} of {self.stream.frames} frames; copy it again from its source"
            )
