"""Animated GIF, WebP and PNG through Pillow, as clips: frames with their times in milliseconds and their transparency."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from unveil.errors import InputError
from unveil.photo.exif import settle
from unveil.util.exif import bare, of_png, orientation, upright
from unveil.util.quiet import quiet
from unveil.video.colour import Colour, assumed
from unveil.video.reading import Clip, Frame

_FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG"}
# What players take for a frame that states no time, or next to none.
_UNSTATED, _LEAST = 100, 11
_SHORTEST = 20
_HELD = {"GIF": ("comment",), "WEBP": ("exif", "xmp"), "PNG": ("exif", "xmp", "texts")}
"""What each format holds beside its frames, as Pillow writes it."""
WORDS = {"exif": "EXIF", "xmp": "XMP", "comment": "comment", "texts": "texts"}


class Animation(Clip):
    """An open animation, for `with`, as `Clip`. loops: how often it is played, 0 for ever, None where a GIF does not say, which is once.
    about: what it says of itself, by its name in _HELD.

    Raises InputError: missing, damaged, frames larger than `max_pixels`.
    """

    def __init__(self, path: Path, max_pixels: int) -> None:
        self.name = str(path)
        try:
            self._image = Image.open(path, formats=("GIF", "WEBP", "PNG"))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; check the name") from None
        except (OSError, SyntaxError, ValueError) as error:
            raise InputError(
                f"{path}: cannot be read as an animation ({error}); save it again where it opens"
            ) from error
        block = _exif(path, self._image)
        self._turn = orientation(block)
        self.width, self.height = self._image.size[:: -1 if self._turn >= 5 else 1]
        self._check_size(self.width, self.height, max_pixels)
        # An APNG may begin with a still for viewers that play nothing, which is no frame.
        self._before = int(getattr(self._image, "default_image", False))
        self.count: int = getattr(self._image, "n_frames", 1) - self._before
        self.loops: int | None = self._image.info.get("loop", None if self._image.format == "GIF" else 0)
        self.time_base = Fraction(1, 1000)
        self.colour = Colour(0, 2, 2, True, 8, assumed(self.height), plain=True)
        self.format, self.turns, self.aspect = "rgba", 0, None
        self.sounds, self.chapters, self.metadata = [], [], {}
        self.stream = SimpleNamespace(metadata={}, disposition=0)  # without texts, for writers that ask
        self.icc = self._image.info.get("icc_profile")
        told = {name: self._image.info.get(name) for name in ("exif", "xmp", "comment")}
        texts: dict[str, str] = getattr(self._image, "text", {})
        told |= {
            "texts": {k: v for k, v in texts.items() if k != _XMP_TEXT and (self._turn == 1 or k not in _EXIF_TEXTS)}
        }
        told |= {} if self._turn == 1 else {"exif": settle(block, self.width, self.height)}
        self.about: dict[str, Any] = {name: value for name, value in told.items() if value}
        if comment := self.about.get("comment"):  # a video has a place for it, too
            self.metadata["comment"] = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else comment
        self.lossless = self._image.format != "WEBP" or _is_lossless(path)
        self.notes = ("its still for viewers that play nothing was left out",) if self._before else ()
        self.times = list(self._durations())
        self.lasts = Fraction(self.times[-1], 1000)
        self.rate = Fraction(1000 * len(self.times), sum(self.times)).limit_denominator(1000)

    def _durations(self) -> Iterator[int]:
        with quiet(), self._readable_pixels():
            for number in range(self.count):
                self._image.seek(number + self._before)
                if self._image.format == "WEBP":
                    self._image.load()  # which alone knows its time
                stated = round(self._image.info.get("duration", 0) or 0)
                yield stated if stated >= _LEAST else _UNSTATED

    @contextmanager
    def _readable_pixels(self) -> Iterator[None]:
        """What decoders raise on damaged animations, as an InputError."""
        try:
            yield
        except InputError:
            raise
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise InputError(
                f"{self.name}: the animation is damaged ({error}); save it again where it opens"
            ) from error

    def __iter__(self) -> Iterator[Frame]:
        """Its frames; once. Raises InputError where the file is damaged."""
        at = 0
        with quiet(), self._readable_pixels():
            for number, length in enumerate(self.times):
                self._image.seek(number + self._before)
                samples = upright(np.asarray(self._image.convert("RGBA"), np.float32), self._turn) / np.float32(255)
                alpha = samples[..., 3]
                yield Frame(np.ascontiguousarray(samples[..., :3]), at, None if (alpha == 1).all() else alpha)
                at += length

    def __exit__(self, *raised: object) -> None:
        self._image.close()


_EXIF_TEXTS = ("Raw profile type exif", "Raw profile type APP1")


def _exif(path: Path, image: Image.Image) -> bytes | None:
    """As of a photograph; a block that stands behind a PNG's pixels or in its texts counts too."""
    if image.format != "PNG":
        return bare(image.info.get("exif"))
    with path.open("rb") as file:
        return of_png(file)


_XMP_TEXT = "XML:com.adobe.xmp"


def _texts(texts: dict[str, str], xmp: bytes | None) -> PngInfo:
    """The texts of a PNG, of which XMP is one."""
    info = PngInfo()
    for name, text in texts.items():
        if text.isascii():
            info.add_text(name, text)
        else:
            info.add_itxt(name, text)
    if xmp is not None:
        info.add_itxt(_XMP_TEXT, xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else xmp)
    return info


def _is_lossless(path: Path) -> bool:
    """Whether the first frame of an animated WebP is a VP8L chunk (RFC 9649, section 2.7.1.1)."""
    data = path.read_bytes()
    at = data.find(b"ANMF")
    return at >= 0 and data[at + 24 : at + 28] == b"VP8L"


class AnimationWriter:
    """A new animation like `clip`, in `path`, for `with`: `add` frames; sound is left out, and that is noted.

    Frames are held until the end, since Pillow writes all at once. Raises InputError for a suffix of no animation.
    """

    def __init__(self, path: Path, suffix: str, clip: Clip, *, strip: bool = False) -> None:
        self.path, self.clip, self.format = path, clip, _FORMATS[suffix.lower()]
        self.frames: list[Image.Image] = []
        self.times: list[int] = []
        notes = []
        if clip.sounds:
            notes.append(f"its sound was left out: {self.format} holds none")
        if self.format == "GIF":
            notes.append("each frame has at most 256 colours: GIF holds no more")
        about = {} if strip else getattr(clip, "about", {})
        self.about = {name: value for name, value in about.items() if name in _HELD[self.format]}
        if lost := [WORDS[name] for name in about if name not in self.about]:
            notes.append(f"left out, since {self.format} holds none: {', '.join(lost)}")
        self.notes = tuple(notes)

    def add(self, frame: Frame) -> None:
        """Take a frame at its own time."""
        samples = np.rint(np.clip(frame.pixels, 0, 1) * 255).astype(np.uint8)
        if frame.alpha is not None:
            samples = np.concatenate([samples, np.rint(frame.alpha * 255).astype(np.uint8)[..., None]], axis=2)
        self.frames.append(Image.fromarray(samples))
        self.times.append(round(frame.at * 1000 * float(self.clip.time_base)))

    def copy(self, packet: Any) -> None:
        """Sound has no place here."""

    def __enter__(self) -> AnimationWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *more: object) -> None:
        if kind is not None or not self.frames:
            return
        times = [*self.times, self.times[-1] + round(1000 * self.clip.lasts)]
        if self.format == "GIF":
            times = self._in_hundredths(times)
        lengths = [b - a for a, b in zip(times, times[1:], strict=False)]
        options: dict[str, Any] = {"save_all": True, "append_images": self.frames[1:], "duration": lengths}
        loops = getattr(self.clip, "loops", 0)
        if loops is not None or self.format != "GIF":
            options["loop"] = 1 if loops is None else loops
        if self.format == "WEBP":
            options |= {"lossless": getattr(self.clip, "lossless", False), "quality": 95, "method": 4, "exact": True}
        elif self.format == "GIF" and any(image.mode == "RGBA" for image in self.frames):
            options["disposal"] = 2
        if icc := getattr(self.clip, "icc", None):
            options["icc_profile"] = icc
        options |= {name: value for name, value in self.about.items() if name != "texts"}
        if self.format == "PNG" and ("texts" in self.about or "xmp" in self.about):
            options["pnginfo"] = _texts(self.about.get("texts", {}), options.pop("xmp", None))
        out = io.BytesIO()
        self.frames[0].save(out, self.format, **options)
        self.path.write_bytes(out.getvalue())

    def _in_hundredths(self, times: list[int]) -> list[int]:
        """The frames' times in milliseconds, and the end, as a GIF can state them; frames that it cannot are left out.

        It counts hundredths of a second, and players show a frame of one of them for ten, so that frames take two at least.
        """
        *starts, end = (10 * round(t / 10) for t in times)
        kept, shown = [self.frames[0]], [starts[0]]
        for frame, start in zip(self.frames[1:], starts[1:], strict=True):
            at = max(start, shown[-1] + _SHORTEST)
            if at - start <= _SHORTEST // 2:  # a little late is smoother than left out
                kept.append(frame)
                shown.append(at)
        if left := len(starts) - len(kept):
            self.notes += (f"{left} of {len(starts)} frames were left out: GIF shows at most 50 a second",)
        self.frames = kept
        return [*shown, max(end, shown[-1] + _SHORTEST)]
