"""Writing a video as it came: its time stamps, colours and sound, with new frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from unveil.errors import InputError
from unveil.video.library import SUFFIXES, in_words, library, local
from unveil.video.reading import Clip, Frame

# Encoders by container, at qualities whose loss is hardly seen: H.264 where nothing else is said.
_H264 = ("libx264", {"crf": "16", "preset": "medium"})
_ENCODERS = {
    ".webm": ("libvpx-vp9", {"crf": "20", "b": "0", "row-mt": "1"}),
    ".avi": ("mpeg4", {"qmin": "1", "qmax": "2"}),  # AVI has no times of its own: H.264 comes out one frame late
}
_MUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}
# What a container says about itself, which the new one knows better.
_OWN = ("major_brand", "minor_version", "compatible_brands", "encoder")


class Writer:
    """A new video like `clip`, in `path`, for `with`: `add` frames, `copy` packets of sound, in the order in which the clip gives them.

    path: the file that is written. suffix: what its container is chosen by. strip: leave title, date, position and other texts
    out. notes: what the container could not hold.

    Raises InputError: a suffix of no video, an encoder that PyAV was built without, sound that the container cannot hold, a full disk.
    """

    def __init__(self, path: Path, suffix: str, clip: Clip, *, strip: bool = False) -> None:
        av = library()
        suffix = suffix.lower()
        if suffix not in SUFFIXES:
            raise InputError(
                f"{clip.name}: a video cannot be written as {suffix or 'that'}; use one of {', '.join(SUFFIXES)}"
            )
        encoder, settings = _ENCODERS.get(suffix, _H264)
        if encoder not in av.codecs_available:
            raise InputError(
                f"writing {suffix} needs the encoder {encoder}, which this PyAV lacks; install it by pip, or use another suffix"
            )
        self.clip = clip
        self.suffix = suffix
        with self._writable():
            self.container = av.open(local(path), "w", format=_MUXERS[suffix])
            try:
                if not strip:
                    self.container.metadata.update({k: v for k, v in clip.metadata.items() if k not in _OWN})
                self.stream = self._picture(encoder, settings)
                self.sounds = {s.index: self.container.add_stream_from_template(s) for s in clip.sounds}
            except BaseException:
                self.container.close()
                raise
        lost = clip.colour.bits > 8 and "10" not in self.stream.pix_fmt
        self.notes = (f"{clip.colour.bits}-bit samples became 8-bit: {encoder} holds no more here",) if lost else ()

    def _picture(self, encoder: str, settings: dict[str, str]) -> Any:
        clip = self.clip
        stream = self.container.add_stream(encoder, rate=Fraction(clip.rate), options=settings)
        stream.width, stream.height = clip.width, clip.height
        stream.pix_fmt = _format(clip, encoder)
        context = stream.codec_context
        context.time_base = clip.time_base
        if clip.aspect:
            context.sample_aspect_ratio = 1 / clip.aspect if clip.turns % 2 else clip.aspect
        clip.colour.stated_on(context)
        return stream

    def _writable(self) -> Any:
        return in_words(
            self.clip.name,
            f"written as {self.suffix}",
            "check the free space, or write to the suffix that it came with, or .mkv",
        )

    def add(self, frame: Frame) -> None:
        """Encode a frame at its own time."""
        new = self.clip.colour.from_rgb(frame.pixels, self.stream.pix_fmt)
        new.pts, new.time_base = frame.at, self.clip.time_base
        with self._writable():
            self.container.mux(self.stream.encode(new))

    def copy(self, packet: Any) -> None:
        """Hand on a packet of one of the clip's sounds as it is."""
        packet.stream = self.sounds[packet.stream.index]
        with self._writable():
            self.container.mux(packet)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with self._writable():
                    self.container.mux(self.stream.encode(None))
        finally:
            with self._writable():
                self.container.close()


def _format(clip: Clip, encoder: str) -> str:
    """The samples to write: the clip's own kind where the encoder takes it, else 4:2:0 of its depth; 4:4:4 where a side is odd."""
    known = {f.name for f in library().Codec(encoder, "w").video_formats}
    wanted = clip.format.replace("yuvj", "yuv")
    even = clip.width % 2 == clip.height % 2 == 0
    deep = "10le" if clip.colour.bits > 8 else ""
    choices = (
        wanted if even or "444" in wanted else "",
        f"yuv420p{deep}" if even else f"yuv444p{deep}",
        "yuv420p" if even else "yuv444p",
    )
    return next(choice for choice in choices if choice in known)
