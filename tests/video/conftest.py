from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

Make = Callable[..., Path]


def frames(count: int, height: int = 32, width: int = 48) -> list[np.ndarray]:
    """Waves that move, uint8 (H, W, 3)."""
    y, x = np.mgrid[:height, :width]
    return [
        np.stack([127 + 90 * np.sin((x + 3 * n) / 9 + c) * np.cos(y / 11 - c) for c in range(3)], axis=-1).astype(
            np.uint8
        )
        for n in range(count)
    ]


def make(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    format: str = "yuv420p",
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    sound: bool = False,
    colour: tuple[int, int, int, int] = (1, 1, 1, 1),
) -> Path:
    """A video of uint8 RGB pictures at 25 a second (or at `times`, in units of 1/25 s), with a tone where sound is asked for.

    colour: matrix, primaries and transfer by their H.273 numbers, and the range (1 limited, 2 full).
    """
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = format
        context = stream.codec_context
        context.time_base = Fraction(1, 25)
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = colour
        tone = container.add_stream("aac", rate=44100, layout="mono") if sound else None
        for n, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format=format,
                src_colorspace="ITU709",
                dst_colorspace="ITU709",
                src_color_range=2,
                dst_color_range=colour[3],
            )
            frame.pts, frame.time_base = times[n] if times else n, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            wave = np.sin(np.arange(1024 * 44) * 0.06).astype(np.float32)
            for n in range(44):
                samples = av.AudioFrame.from_ndarray(
                    wave[None, n * 1024 : (n + 1) * 1024], format="fltp", layout="mono"
                )
                samples.sample_rate, samples.pts, samples.time_base = 44100, n * 1024, Fraction(1, 44100)
                container.mux(tone.encode(samples))
            container.mux(tone.encode(None))
    return path


@pytest.fixture
def clip_of() -> Make:
    """`make` above, skipping the test where PyAV is not installed."""
    pytest.importorskip("av")
    return make


@pytest.fixture
def moving() -> Callable[..., list[np.ndarray]]:
    return frames
