"""Writing a video as it came: its time stamps, colours, sound, languages and chapters, with new frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from unveil.errors import InputError
from unveil.video import ANIMATED, SUFFIXES, in_words, library, local
from unveil.video.animation import WORDS, Animation
from unveil.video.reading import Clip, Frame

# Encoders by container, at qualities whose loss is hardly seen: H.264 where nothing else is said.
_H264 = ("libx264", {"crf": "16", "preset": "medium"})
_VP9 = ("libvpx-vp9", {"crf": "20", "b": "0", "row-mt": "1"})
# MPEG-2 has these rates alone; the older encoders count in at most 16 bits.
_TELEVISION = [
    Fraction(n, d)
    for n, d in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (50, 1), (60000, 1001), (60, 1))
]
_SHORT_UNITS, _LONGEST_UNITS = ("mpeg4", "wmv2"), 65535
_COARSE = {"qmin": "1", "qmax": "2"}
_ENCODERS = {
    ".webm": _VP9,
    ".avi": ("mpeg4", _COARSE),  # AVI has no times of its own: H.264 comes out one frame late
    ".mpg": ("mpeg2video", _COARSE),
    ".mpeg": ("mpeg2video", _COARSE),
    ".wmv": ("wmv2", _COARSE),
}
_MUXERS = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi", ".mts": "mpegts", ".m2ts": "mpegts",
    ".ts": "mpegts", ".mpg": "mpeg", ".mpeg": "mpeg", ".wmv": "asf", ".3gp": "3gp",
}  # fmt: skip
# Where samples mean what players assume, since neither the container nor the codec in it says more.
_MUTE = (".avi", ".wmv")
# H.264 in 4:2:0 has even sides alone; VP9 has any, and these containers hold it.
_ODD = (".mp4", ".m4v", ".mkv")
# Sound is copied where the container holds it and players know it there; else it becomes this.
_SOUND = {".webm": "libopus", ".avi": "libmp3lame", ".wmv": "wmav2", ".mpg": "mp2", ".mpeg": "mp2"}
_AAC = "aac"
_BIT_RATE = 96_000
_RAW_REFUSED = (".mp4", ".m4v", ".3gp", ".mts", ".m2ts", ".ts")
# FFmpeg has no list for these, or one that is too long.
_HELD = {
    **dict.fromkeys((".mts", ".m2ts", ".ts"), ("aac", "ac3", "eac3", "mp2", "mp3", "dts", "opus")),
    **dict.fromkeys((".mpg", ".mpeg"), ("mp2", "mp3", "ac3")),
    ".wmv": ("wmav1", "wmav2", "wmapro", "mp3"),
}
_SOUND_NAMES = {"libopus": "Opus", "libmp3lame": "MP3", "wmav2": "WMA", "mp2": "MP2", "aac": "AAC"}
# What a container or a stream says about itself, which the new one knows better.
_OWN = (
    "major_brand",
    "minor_version",
    "compatible_brands",
    "encoder",
    "software",
    "duration",
    "vendor_id",
    "handler_name",
)
_QUICKTIME = "com.apple.quicktime."
# Containers without a place for texts.
_TEXTLESS = (".mts", ".m2ts", ".ts", ".mpg", ".mpeg")
_ON_BLACK = "its transparency was laid on black: videos hold none"
# Here a frame lasts until the next one in the order of the file, and the last of those until the end.
_BY_ORDER = (".mp4", ".m4v", ".mov", ".3gp")
# Packets here state no length, so that a file that ends long after its last frame begins would be taken for cut short.
_MUTE_ENDS, _SHORT = (".avi", ".wmv"), Fraction(1, 4)


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
            # What moves may become a picture that moves; a video that is written as .png was meant as a still.
            moving = [s for s in ANIMATED if s != suffix and (s != ".png" or isinstance(clip, Animation))]
            fitting = [*SUFFIXES, *moving]
            raise InputError(
                f"{clip.name}: a video cannot be written as {suffix or 'that'}; use one of {', '.join(fitting)}"
            )
        self.clip = clip
        self.suffix = suffix
        encoder, settings = self._encoder()
        if encoder not in av.codecs_available:
            raise InputError(
                f"writing {suffix} needs the encoder {encoder}, which this PyAV lacks; install it by pip, or use another suffix"
            )
        notes: list[str] = []
        texts = {} if strip else {k: v for k, v in clip.metadata.items() if k.lower() not in _OWN}
        # QuickTime's own keys are written only where they are asked for, and then instead of the older atoms.
        keys = suffix in (".mp4", ".m4v", ".mov") and any(name.startswith(_QUICKTIME) for name in texts)
        with self._writable():
            self.container = av.open(
                local(path), "w", format=_MUXERS[suffix], options={"movflags": "use_metadata_tags"} if keys else {}
            )
            try:
                self.container.metadata.update(texts)
                self.encoded: set[int] = set()
                self.waiting: list[Any] = []
                self.ahead: Fraction | None = None  # by which packets come before their frames are shown
                self.stream = self._picture(encoder, settings)
                _described(self.stream, clip.stream, strip)
                self.sounds = {s.index: self._sound(s, strip, notes) for s in clip.sounds}
                if clip.chapters and not strip:
                    self.container.set_chapters(clip.chapters)
            except BaseException:
                self.container.close()
                raise
        if clip.chapters and not strip and suffix not in (".mp4", ".m4v", ".mov", ".mkv", ".webm"):
            notes.append(f"its chapters were left out: {suffix} holds none")
        about = {} if strip else getattr(clip, "about", {})
        if lost := [WORDS[name] for name in about if name != "comment" or suffix in _TEXTLESS]:
            notes.append(f"left out, since {suffix} holds none here: {', '.join(lost)}")
        if clip.colour.bits > self.colour.bits:
            notes.append(f"{clip.colour.bits}-bit samples became {self.colour.bits}-bit: {encoder} holds no more here")
        self.notes = tuple(notes)

    def _encoder(self) -> tuple[str, dict[str, str]]:
        odd = (self.clip.width % 2 or self.clip.height % 2) and "444" not in self.clip.format
        if odd and self.suffix in _ODD and not self.clip.colour.plain:
            return _VP9
        return _ENCODERS.get(self.suffix, _H264)

    def _picture(self, encoder: str, settings: dict[str, str]) -> Any:
        clip = self.clip
        stream = self.container.add_stream(encoder, rate=Fraction(clip.rate), options=settings)
        stream.width, stream.height = clip.width, clip.height
        stream.pix_fmt = _format(clip, encoder)
        bits = 10 if "10" in stream.pix_fmt else 8
        self.colour = clip.colour.written(bits, clip.height, self.suffix not in _MUTE)
        context = stream.codec_context
        context.time_base = self._units(encoder)
        if clip.aspect:
            context.sample_aspect_ratio = 1 / clip.aspect if clip.turns % 2 else clip.aspect
        self.colour.stated_on(context)
        return stream

    def _units(self, encoder: str) -> Fraction:
        """What the encoder counts time in: the clip's own units where it can."""
        units, rate = Fraction(self.clip.time_base), Fraction(self.clip.rate)
        if encoder == "mpeg2video":
            if rate not in _TELEVISION:
                raise InputError(
                    f"{self.clip.name}: {float(rate):.4g} frames a second have no place in {self.suffix}; write .mp4 or .mkv"
                )
            return 1 / rate
        return Fraction(1, 1000) if encoder in _SHORT_UNITS and units.denominator > _LONGEST_UNITS else units

    def _sound(self, given: Any, strip: bool, notes: list[str]) -> Any:
        """A stream that takes the packets of `given` as they are, or one that encodes them where the container does not hold them."""
        name = given.codec_context.name
        raw = name.startswith("pcm_") and self.suffix in _RAW_REFUSED
        held = _HELD.get(self.suffix) or self.container.supported_codecs
        if not raw and name in held:
            stream = self.container.add_stream_from_template(given)
        else:
            codec = _SOUND.get(self.suffix, _AAC)
            stream = self.container.add_stream(codec, rate=48000 if codec == "libopus" else given.rate)
            stream.layout = _named(given.layout)
            stream.bit_rate = min(_BIT_RATE, 6 * given.rate) * given.channels
            self.encoded.add(stream.index)
            was = "PCM" if name.startswith("pcm_") else name
            notes.append(f"its sound became {_SOUND_NAMES[codec]}: {was} has no place in {self.suffix}")
        _described(stream, given, strip)
        return stream

    def _writable(self) -> Any:
        return in_words(
            self.clip.name,
            f"written as {self.suffix}",
            "check the free space, or write to the suffix that it came with, or .mkv",
        )

    def add(self, frame: Frame) -> None:
        """Encode a frame at its own time."""
        # Of a transparent frame that is written where nothing is transparent, players show it on black.
        if frame.alpha is not None and _ON_BLACK not in self.notes:
            self.notes += (_ON_BLACK,)
        shown = frame.pixels if frame.alpha is None else frame.pixels * frame.alpha[..., None]
        new = self.colour.from_rgb(shown, self.stream.pix_fmt)
        new.pts, new.time_base = frame.at, self.clip.time_base
        with self._writable():
            self._hand_on(self.stream.encode(new))

    def _hand_on(self, packets: list[Any]) -> None:
        """Write packets of the picture but for the last one, which waits until it is known whether it is the clip's."""
        for packet in packets:
            self._look_at(packet)
            if self.waiting:
                self.container.mux(self.waiting.pop())
            self.waiting.append(packet)

    def _look_at(self, packet: Any) -> None:
        if self.suffix in _MUTE_ENDS:  # stated here, since the container would take the mean of the clip
            packet.duration = max(1, round(min(1 / Fraction(self.clip.rate), _SHORT) / packet.time_base))
        if self.ahead is None and None not in (packet.pts, packet.dts):
            self.ahead = (packet.pts - packet.dts) * packet.time_base

    def _ended(self) -> None:
        """Write the last packets of the picture, so that its last frame lasts as long as the clip's."""
        packets = [*self.waiting, *self.stream.encode(None)]
        for packet in packets:
            self._look_at(packet)
        timed = [packet for packet in packets if None not in (packet.pts, packet.dts)]
        if timed:
            last = max(timed, key=lambda packet: packet.pts * packet.time_base)
            lasts = min(self.clip.lasts, _SHORT) if self.suffix in _MUTE_ENDS else self.clip.lasts
            end = last.pts * last.time_base + lasts
            lengths = {id(last): lasts}
            if self.suffix in _BY_ORDER:
                final = timed[-1]
                left = end - (self.ahead or 0) - final.dts * final.time_base
                lengths[id(final)] = max(left, lengths.get(id(final), left))
            for packet in timed:
                if id(packet) in lengths:
                    packet.duration = max(1, round(lengths[id(packet)] / packet.time_base))
        self.container.mux(packets)

    def copy(self, packet: Any) -> None:
        """Hand on a packet of one of the clip's sounds, as it is or encoded anew."""
        target = self.sounds[packet.stream.index]
        with self._writable():
            if target.index not in self.encoded:
                packet.stream = target
                self.container.mux(packet)
                return
            for frame in packet.decode():
                self.container.mux(target.encode(_with_named_layout(frame)))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *more: object) -> None:
        try:
            if kind is None:
                with self._writable():
                    self._ended()
                    for sound in self.sounds.values():
                        if sound.index in self.encoded:
                            self.container.mux(sound.encode(None))
        finally:
            with self._writable():
                self.container.close()


def _named(layout: Any) -> Any:
    """Old containers tell how many channels there are and not which; then they are the usual ones."""
    usual = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
    return usual.get(layout.nb_channels, layout) if layout.name.endswith("channels") else layout


def _with_named_layout(frame: Any) -> Any:
    """The same sound with channels that have names, which resampling needs."""
    layout = _named(frame.layout)
    if not isinstance(layout, str):
        return frame
    out = library().AudioFrame.from_ndarray(frame.to_ndarray(), format=frame.format.name, layout=layout)
    out.sample_rate, out.pts, out.time_base = frame.sample_rate, frame.pts, frame.time_base
    return out


def _described(stream: Any, source: Any, strip: bool) -> None:
    """Language, title and default flag as the source's stream has them; without the title where texts are left out."""
    texts = {k: v for k, v in source.metadata.items() if k.lower() not in _OWN}
    if strip:
        texts = {k: v for k, v in texts.items() if k == "language"}
    stream.metadata.update(texts)
    stream.disposition = source.disposition


def _format(clip: Clip, encoder: str) -> str:
    """The samples to write: the clip's own kind where the encoder takes it, else 4:2:0 of its depth; 4:4:4 where H.264 has an odd side."""
    known = {f.name for f in library().Codec(encoder, "w").video_formats or ()} or {"yuv420p"}
    wanted = clip.format.replace("yuvj", "yuv")
    wanted = "" if clip.colour.plain or not wanted.startswith("yuv4") else wanted
    even = clip.width % 2 == clip.height % 2 == 0 or encoder != "libx264"
    deep = "10le" if clip.colour.bits > 8 else ""
    choices = (
        wanted if even or "444" in wanted else "",
        f"yuv420p{deep}" if even else f"yuv444p{deep}",
        "yuv420p" if even else "yuv444p",
    )
    return next(choice for choice in choices if choice in known)
