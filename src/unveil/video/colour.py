"""Between a video's samples and RGB in [0, 1], by the matrix and range that the video states, there and back the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unveil.errors import InputError
from unveil.video.library import library

# ITU-T H.273 numbers (MatrixCoefficients, TransferCharacteristics) on the left, swscale's names of the matrices on the right.
_MATRICES = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M", 9: "BT2020"}
_RGB, _UNSTATED = 0, 2
_HDR = {16: "PQ", 18: "HLG"}
_LIMITED, _FULL = 1, 2
# What is not stated is BT.709 from this height on and BT.601 below, as players take it.
_HIGH_DEFINITION = 720
# swscale's white at 16 bits is 255 * 256, for sources of 8 to 16 bits and in both directions.
_WHITE_16 = 65280


@dataclass(frozen=True)
class Colour:
    """matrix, primaries, transfer: as stated, by their H.273 numbers. full: whether samples run from 0 to 255. bits: per sample.

    meant: swscale's name of the matrix to compute with.
    """

    matrix: int
    primaries: int
    transfer: int
    full: bool
    bits: int
    meant: str

    @classmethod
    def of(cls, frame: Any, name: str) -> Colour:
        """What a decoded frame states, or what players assume. Raises InputError for HDR, or a matrix that is not known here."""
        stated = int(frame.colorspace)
        if int(frame.color_trc) in _HDR:
            raise InputError(
                f"{name}: a high dynamic range video ({_HDR[int(frame.color_trc)]}), which no model here was trained for; convert it to "
                "standard range (BT.709) first"
            )
        unstated = "ITU709" if frame.height >= _HIGH_DEFINITION else "ITU601"
        meant = unstated if stated in (_RGB, _UNSTATED) else _MATRICES.get(stated)
        if meant is None:
            raise InputError(
                f"{name}: its colour matrix (number {stated} of H.273) is not read; convert it to BT.709 first"
            )
        full = int(frame.color_range) == _FULL or frame.format.name.startswith("yuvj") or stated == _RGB
        bits = max(component.bits for component in frame.format.components)
        return cls(stated, int(frame.color_primaries), int(frame.color_trc), full, bits, meant)

    def to_rgb(self, frame: Any) -> np.ndarray:
        """(H, W, 3) float32 in [0, 1]."""
        deep = self.bits > 8
        samples = self._converted(frame, "rgb48le" if deep else "rgb24", self.full, True).to_ndarray()
        return np.minimum(samples / np.float32(_WHITE_16 if deep else 255), np.float32(1))

    def from_rgb(self, pixels: np.ndarray, format: str) -> Any:
        """A frame in `format` of (H, W, 3) pixels in [0, 1]."""
        deep = self.bits > 8
        top, kind, name = (_WHITE_16, np.uint16, "rgb48le") if deep else (255, np.uint8, "rgb24")
        samples = np.rint(np.clip(pixels, 0, 1) * np.float32(top)).astype(kind)
        frame = library().VideoFrame.from_ndarray(np.ascontiguousarray(samples), format=name)
        return self._converted(frame, format, True, self.full)

    def _converted(self, frame: Any, format: str, full: bool, full_after: bool) -> Any:
        return frame.reformat(
            format=format,
            src_colorspace=self.meant,
            dst_colorspace=self.meant,
            src_color_range=_FULL if full else _LIMITED,
            dst_color_range=_FULL if full_after else _LIMITED,
            interpolation=_careful(),
        )

    def stated_on(self, context: Any) -> None:
        """State the same on an encoder: samples mean what they meant."""
        context.colorspace, context.color_primaries, context.color_trc = self.matrix, self.primaries, self.transfer
        context.color_range = _FULL if self.full else _LIMITED


def _careful() -> int:
    """Bicubic chroma, rounded once: without these flags a picture moves by up to 7 of 255 on the way there and back."""
    from av.video.reformatter import Interpolation

    flags = (
        Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP | Interpolation.ACCURATE_RND
    )
    return int(flags)
