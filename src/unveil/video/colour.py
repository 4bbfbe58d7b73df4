"""Between a video's samples and RGB in [0, 1], by the matrix and range that the video states, there and back the same.

FFmpeg's scaler only brings chroma to the size of luma and back; the matrix is computed here, since what the scaler makes of full range
is off by levels and its matrices are not the ones that PyAV tags.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unveil.errors import InputError
from unveil.video import library

# ITU-T H.273 numbers (MatrixCoefficients, TransferCharacteristics) on the left; names, and the weights of red and blue in luma.
_MATRICES = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M", 9: "BT2020"}
_WEIGHTS = {
    "ITU709": (0.2126, 0.0722),
    "FCC": (0.30, 0.11),
    "ITU601": (0.299, 0.114),
    "SMPTE240M": (0.212, 0.087),
    "BT2020": (0.2627, 0.0593),
}
_NUMBERS = {"ITU709": 1, "FCC": 4, "ITU601": 6, "SMPTE240M": 7, "BT2020": 9}
_RGB, _UNSTATED = 0, 2
_HDR = {16: "PQ", 18: "HLG"}
_LIMITED, _FULL = 1, 2
# What is not stated is BT.709 from this height on and BT.601 below, as players take it.
_HIGH_DEFINITION = 720


def assumed(height: int) -> str:
    """The matrix that players take where none is stated."""
    return "ITU709" if height >= _HIGH_DEFINITION else "ITU601"


@dataclass(frozen=True)
class Colour:
    """matrix, primaries, transfer: as stated, by their H.273 numbers. full: whether samples run from 0 to 255. bits: per sample.

    meant: the matrix to compute with, by name. plain: RGB or grey, which need no matrix.
    """

    matrix: int
    primaries: int
    transfer: int
    full: bool
    bits: int
    meant: str
    plain: bool = False

    @classmethod
    def of(cls, frame: Any, name: str) -> Colour:
        """What a decoded frame states, or what players assume. Raises InputError for HDR, or a matrix that is not known here."""
        stated = int(frame.colorspace)
        if int(frame.color_trc) in _HDR:
            raise InputError(
                f"{name}: a high dynamic range video ({_HDR[int(frame.color_trc)]}), which no model here was trained for; convert it to "
                "standard range (BT.709) first"
            )
        meant = assumed(frame.height) if stated in (_RGB, _UNSTATED) else _MATRICES.get(stated)
        if meant is None:
            raise InputError(
                f"{name}: its colour matrix (number {stated} of H.273) is not read; convert it to BT.709 first"
            )
        plain = frame.format.is_rgb or len(frame.format.components) < 3 or frame.format.has_palette
        full = int(frame.color_range) == _FULL or frame.format.name.startswith("yuvj") or stated == _RGB or plain
        bits = max(component.bits for component in frame.format.components)
        return cls(stated, int(frame.color_primaries), int(frame.color_trc), full, bits, meant, plain)

    def to_rgb(self, frame: Any) -> np.ndarray:
        """(H, W, 3) float32 in [0, 1]."""
        if self.plain:
            deep = self.bits > 8
            samples = frame.reformat(format="rgb48le" if deep else "rgb24", dst_color_range=_FULL).to_ndarray()
            return samples / np.float32(65535 if deep else 255)
        whole = self._scaled(frame, _format(self.bits))
        planes = np.stack([_plane(whole, n, self.bits) for n in range(3)], axis=-1)
        black, luma, chroma = self._levels()
        y = (planes[..., 0] - black) / luma
        b, r = ((planes[..., n] - np.float32(2 ** (self.bits - 1))) / chroma for n in (1, 2))
        kr, kb = _WEIGHTS[self.meant]
        red, blue = y + np.float32(2 * (1 - kr)) * r, y + np.float32(2 * (1 - kb)) * b
        green = (y - np.float32(kr) * red - np.float32(kb) * blue) / np.float32(1 - kr - kb)
        return np.clip(np.stack([red, green, blue], axis=-1), 0, 1)

    def from_rgb(self, pixels: np.ndarray, format: str) -> Any:
        """A frame in `format` of (H, W, 3) pixels in [0, 1]."""
        rgb = np.clip(np.asarray(pixels, np.float32), 0, 1)
        kr, kb = _WEIGHTS[self.meant]
        y = rgb @ np.array([kr, 1 - kr - kb, kb], np.float32)
        black, luma, chroma = self._levels()
        middle, top = np.float32(2 ** (self.bits - 1)), 2**self.bits - 1
        levels = [
            y * luma + black,
            (rgb[..., 2] - y) / np.float32(2 * (1 - kb)) * chroma + middle,
            (rgb[..., 0] - y) / np.float32(2 * (1 - kr)) * chroma + middle,
        ]
        frame = library().VideoFrame(pixels.shape[1], pixels.shape[0], _format(self.bits))
        kind = np.uint8 if self.bits == 8 else np.uint16
        for plane, level in zip(frame.planes, levels, strict=True):
            rows = np.zeros((plane.height, plane.line_size // kind().itemsize), kind)
            rows[:, : plane.width] = np.clip(np.rint(level), 0, top)
            plane.update(rows.tobytes())
        out = self._scaled(frame, format)
        out.colorspace, out.color_primaries, out.color_trc = self.matrix, self.primaries, self.transfer
        out.color_range = _FULL if self.full else _LIMITED
        return out

    def _levels(self) -> tuple[np.float32, np.float32, np.float32]:
        """Black, and how far luma and chroma reach (H.273, equations 20 to 31)."""
        step = 2 ** (self.bits - 8)
        if self.full:
            return np.float32(0), np.float32(2**self.bits - 1), np.float32(2**self.bits - 1)
        return np.float32(16 * step), np.float32(219 * step), np.float32(224 * step)

    def _scaled(self, frame: Any, format: str) -> Any:
        """The same samples with chroma of another size: matrix and range are the same on both sides."""
        meant = {"BT2020": 9, "ITU709": 1, "FCC": 4, "SMPTE240M": 7, "ITU601": 5}[self.meant]
        range_ = _FULL if self.full else _LIMITED
        return frame.reformat(
            format=format,
            src_colorspace=meant,
            dst_colorspace=meant,
            src_color_range=range_,
            dst_color_range=range_,
            interpolation=_careful(),
        )

    def written(self, bits: int, height: int, stated: bool) -> Colour:
        """How frames of this height are written: matrix and range as they came, where the container can state them.

        stated: False for containers that state nothing (AVI): then what players assume. A picture that was turned upright may be
        taken for another matrix than before; RGB gets the matrix of its size. Both are then stated.
        """
        meant = assumed(height)
        if not stated:
            return replace(self, matrix=_UNSTATED, full=False, bits=bits, meant=meant, plain=False)
        if self.plain:
            return replace(self, matrix=_NUMBERS[meant], full=False, bits=bits, meant=meant, plain=False)
        matrix = _NUMBERS[self.meant] if self.matrix in (_RGB, _UNSTATED) and self.meant != meant else self.matrix
        return replace(self, matrix=_NUMBERS[self.meant] if matrix == _RGB else matrix, bits=bits)

    def stated_on(self, context: Any) -> None:
        """State the same on an encoder: samples mean what they meant."""
        context.colorspace, context.color_primaries, context.color_trc = self.matrix, self.primaries, self.transfer
        context.color_range = _FULL if self.full else _LIMITED


def _format(bits: int) -> str:
    return "yuv444p" if bits == 8 else f"yuv444p{bits}le"


def _plane(frame: Any, number: int, bits: int) -> np.ndarray:
    """(H, W) float32 samples of a plane."""
    plane = frame.planes[number]
    kind = np.dtype(np.uint8 if bits == 8 else np.uint16)
    rows = np.frombuffer(plane, kind).reshape(plane.height, plane.line_size // kind.itemsize)
    return rows[:, : plane.width].astype(np.float32)


def _careful() -> int:
    """Bicubic chroma, rounded once."""
    from av.video.reformatter import Interpolation

    flags = (
        Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP | Interpolation.ACCURATE_RND
    )
    return int(flags)
