"""Reading a video frame by frame: upright RGB with its time stamp, and the packets of its sound as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from unveil.errors import InputError
from unveil.util.words import pixels
from unveil.video import in_words, library, local
from unveil.video.colour import Colour

# How much of the end may be missing without a word: containers round their lengths, and sound and picture end apart.
_TOLERATED = 0.5
# A video may name other files or addresses to play; nothing but files of this machine is opened.
_OPTIONS = {"protocol_whitelist": "file"}


@dataclass(frozen=True)
class Frame:
    """pixels: (H, W, 3) float32 RGB in [0, 1], upright. at: time stamp, in units of the clip's time base.

    alpha: (H, W) float32 in [0, 1], of animations alone.
    """

    pixels: np.ndarray
    at: int
    alpha: np.ndarray | None = None


class Clip:
    """An open video, for `with`. Its frames are decoded one at a time, when they are asked for.

    width, height: upright. count: frames that it shows. rate: frames a
    second on average. lasts: seconds for which its last frame is shown, which no later one tells. sounds: its audio
    streams. colour: how its samples are RGB. turns: quarter turns to the left that set it upright, already made in
    frames. chapters: as PyAV gives them. notes: what is left out or changed, one sentence each.

    Interlaced frames are deinterlaced (bwdif), one frame for each. Frames that an edit list hides are not given.

    Raises InputError: missing, damaged, cut short, no picture in it, frames larger than `max_pixels`, HDR; PyAV missing.
    """

    def __init__(self, path: Path, max_pixels: int) -> None:
        self.name = str(path)
        av = library()
        if not path.is_file():
            raise InputError(f"{path}: no such file; check the name")
        self._path = path
        with self._readable():
            self.container = av.open(local(path), options=_OPTIONS)
        try:
            self._describe(max_pixels)
        except BaseException:
            self.container.close()
            raise

    def __enter__(self) -> Clip:
        return self

    def __exit__(self, *raised: object) -> None:
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
        self.chapters = self.container.chapters()
        # MPEG streams begin at any time; what is made of them begins at nought.
        streamed = self.container.format.name in ("mpegts", "mpeg") and self.container.start_time
        self._begins = Fraction(self.container.start_time, 1_000_000) if streamed else Fraction(0)
        self.interlaced = False
        self.count, self._ends, self.lasts = self._surveyed()
        self.metadata = dict(self.container.metadata)
        self.aspect = context.sample_aspect_ratio
        self.format = context.format.name
        self._items = self._decoded()
        # Size, colour and orientation are the first frame's.
        self._waiting: list[Frame | Any] = []
        while not self._waiting or not isinstance(self._waiting[-1], Frame):
            self._waiting.append(next(self._items))
        self.height, self.width = self._waiting[-1].pixels.shape[:2]
        self.notes = tuple(self._left_out())

    def _check_size(self, width: int, height: int, max_pixels: int) -> None:
        if width * height > max_pixels:
            raise InputError(
                f"{self.name}: frames of {width} x {height} are over the limit of {pixels(max_pixels)}; "
                f"if you trust the file, raise it with --max-pixels {width * height}"
            )

    def _left_out(self) -> Iterator[str]:
        if self.interlaced:
            yield "its interlaced frames were deinterlaced (bwdif)"
        # The titles of chapters lie in a stream of their own in some containers.
        titles = sum(stream.type == "data" for stream in self.container.streams) if self.chapters else 0
        others = len(self.container.streams) - 1 - len(self.sounds) - titles
        if others:
            yield f"streams beside one picture and the sound were left out ({others}: subtitles, covers, data)"
        if any(component.is_alpha for component in self.stream.codec_context.format.components):
            yield "its transparency was left out"

    def _surveyed(self) -> tuple[int, float, Fraction]:
        """How many frames are shown, when the last one begins and how long it lasts, in seconds.

        From packets alone, before any work is done.

        Raises InputError where the file is cut short.
        """
        shown, last, final, end, start, until = 0, 0.0, 0.0, 0.0, None, 0.0
        with self._readable(), library().open(local(self._path), options=_OPTIONS) as container:
            picture = container.streams.video[0]
            for packet in container.demux():
                when = packet.dts if packet.pts is None else packet.pts
                if not packet.size or when is None:
                    # Some packets of frames that are shown out of order have no time of their own.
                    shown += packet.stream is picture and bool(packet.size)
                    continue
                at = float(when * packet.time_base)
                start = at if start is None else min(start, at)
                end = max(end, at + float((packet.duration or 0) * packet.time_base))
                if packet.stream is picture and not packet.is_discard:
                    shown, last, final = shown + 1, max(last, at), at
                    until = max(until, at + float((packet.duration or 0) * packet.time_base))
            # Packets that are not in the order of their frames state how long they last in the order of the file.
            if picture.duration and (final != last or until <= last):
                until = float(((picture.start_time or 0) + picture.duration) * picture.time_base)
            length = container.duration / 1e6 if container.duration else 0.0
        # Some containers count their length from the first time stamp, some from nought.
        missing = length - max(end, end - (start or 0.0))
        if not shown or _lacks_its_end(self._path) or missing > max(_TOLERATED, 5 / float(self.rate)):
            rest = f", {missing:.1f} seconds early" if missing > 0.05 else ""
            raise InputError(f"{self.name}: the file is cut short{rest}; copy it again from its source")
        lasts = Fraction(until - last).limit_denominator(1000)
        return shown, last, lasts if lasts > 0 else 1 / Fraction(self.rate)

    def _decoded(self) -> Iterator[Frame | Any]:
        first, seen, at = None, 0, -1
        step = max(1, round(1 / (self.rate * self.time_base)))
        weave = _Deinterlacer(self.stream)
        with self._readable():
            for packet in self.container.demux(self.stream, *self.sounds):
                if packet.stream is not self.stream and packet.stream.type == "audio":
                    if packet.dts is not None:
                        yield self._rebased(packet)
                    continue
                frames = packet.decode()
                for frame in frames:
                    if first is None:
                        first = (frame.width, frame.height)
                        self.colour = Colour.of(frame, self.name)
                        self.turns = round(frame.rotation / 90) % 4
                        self.interlaced = weave.active = bool(frame.interlaced_frame)
                    if (frame.width, frame.height) != first:
                        raise InputError(f"{self.name}: its frames change their size after {seen}; cut it there first")
                    # A few containers (AVI) leave time stamps out.
                    at = at + step if frame.pts is None else frame.pts
                    frame.pts, frame.time_base = at, self.time_base
                    for whole in weave.put(frame):
                        seen += 1
                        yield self._frame(whole)
            for whole in weave.put(None):
                seen += 1
                yield self._frame(whole)
        if not seen or float(at * self.time_base) < self._ends - max(_TOLERATED, 5 / float(self.rate)):
            raise InputError(
                f"{self.name}: it cannot be decoded beyond {seen} of {self.count} frames; the file is damaged"
            )

    def _rebased(self, packet: Any) -> Any:
        shift = round(self._begins / packet.time_base)
        if shift:
            packet.dts -= shift
            packet.pts = None if packet.pts is None else packet.pts - shift
        return packet

    def _frame(self, frame: Any) -> Frame:
        # A filter counts in units of its own.
        at = round((frame.pts * frame.time_base - self._begins) / self.time_base)
        return Frame(np.rot90(self.colour.to_rgb(frame), self.turns), at)


class _Deinterlacer:
    """FFmpeg's bwdif, which makes a whole frame of every interlaced one and leaves the others; frames come out one late."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.active, self.graph = stream, False, None

    def put(self, frame: Any | None) -> Iterator[Any]:
        """The frames that are done after this one; after None, the last ones."""
        if not self.active:
            if frame is not None:
                yield frame
            return
        from av.error import BlockingIOError as NothingYet
        from av.error import EOFError as AtEnd
        from av.filter import Graph

        if self.graph is None:
            self.graph = Graph()
            nodes = (
                self.graph.add_buffer(template=self.stream),
                self.graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced"),
                self.graph.add("buffersink"),
            )
            self.graph.link_nodes(*nodes).configure()
        self.graph.vpush(frame)
        while True:
            try:
                yield self.graph.vpull()
            except (NothingYet, AtEnd):
                return


def _lacks_its_end(path: Path) -> bool:
    """Whether the boxes of an MP4, or the chunk of an AVI, reach beyond the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] == b"RIFF" and start[8:] == b"AVI ":
            return 8 + int.from_bytes(start[4:8], "little") > size + 1
        if start[4:8] != b"ftyp":
            return False
        at = 0
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            length = int.from_bytes(head[8:], "big") if length == 1 else length or size - at
            if length < 8:
                return False
            at += length
        return at > size
