"""Videos in and out: colours, time stamps, sound, orientation; and what is refused."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unveil.errors import InputError
from unveil.video import Clip, Frame, Writer

ALL = 10**9
FFV1 = {"codec": "ffv1", "format": "yuv444p"}
Make = Callable[..., Path]
Moving = Callable[..., list[np.ndarray]]


def read(path: Path) -> list[Frame]:
    with Clip(path, ALL) as clip:
        return [item for item in clip if isinstance(item, Frame)]


def copied(source: Path, target: Path, **settings: Any) -> tuple[str, ...]:
    with Clip(source, ALL) as clip, Writer(target, target.suffix, clip, **settings) as writer:
        for item in clip:
            writer.add(item) if isinstance(item, Frame) else writer.copy(item)
    return (*clip.notes, *writer.notes)


def of_yuv(y: float, u: float, v: float, kr: float, kb: float, full: bool) -> np.ndarray:
    """RGB in [0, 1] of 8-bit samples by ITU-T H.273, equations 8.3: limited range is 16..235 and 16..240."""
    luma = y / 255 if full else (y - 16) / 219
    blue, red = ((c - 128) / (255 if full else 224) for c in (u, v))
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    return np.array([r, (luma - kr * r - kb * b) / (1 - kr - kb), b])


@pytest.mark.parametrize(
    ("matrix", "kr", "kb"),
    [(1, 0.2126, 0.0722), (5, 0.299, 0.114), (6, 0.299, 0.114), (9, 0.2627, 0.0593), (2, 0.299, 0.114)],
)
@pytest.mark.parametrize("range_", [1, 2])
@pytest.mark.parametrize("deep", [False, True])
def test_samples_become_rgb_by_the_stated_matrix_and_range(
    matrix: int, kr: float, kb: float, range_: int, deep: bool
) -> None:
    """Small frames that state no matrix are BT.601, as players have it."""
    av = pytest.importorskip("av")
    from unveil.video.colour import Colour

    frame = av.VideoFrame(32, 16, "yuv444p10le" if deep else "yuv444p")
    kind, times = (np.uint16, 4) if deep else (np.uint8, 1)
    for plane, value in zip(frame.planes, (120, 90, 170), strict=True):
        plane.update(np.full(plane.buffer_size // kind().itemsize, value * times, kind).tobytes())
    frame.colorspace, frame.color_range = matrix, range_
    colour = Colour.of(frame, "x")
    rgb = colour.to_rgb(frame)
    # Full range at 10 bits ends at 1023 and not at 4 x 255.
    expected = of_yuv(120, 90, 170, kr, kb, range_ == 2) if not (deep and range_ == 2) else None
    if expected is not None:
        assert np.abs(rgb[8, 8] - expected).max() <= (0.2 if deep else 0.8) / 255
    back = colour.from_rgb(rgb, frame.format.name)
    for plane, value in zip(back.planes, (120, 90, 170), strict=True):
        assert abs(int(np.frombuffer(plane, kind)[0]) - value * times) <= 1


def test_a_large_frame_that_states_no_matrix_is_bt709() -> None:
    av = pytest.importorskip("av")
    from unveil.video.colour import Colour

    assert Colour.of(av.VideoFrame(16, 720, "yuv420p"), "x").meant == "ITU709"
    assert Colour.of(av.VideoFrame(16, 718, "yuv420p"), "x").meant == "ITU601"


CONTAINERS = {"a.mp4": "libx264", "a.mkv": "libx264", "a.mov": "libx264", "a.webm": "libvpx-vp9", "a.avi": "mpeg4"}


@pytest.mark.parametrize(("name", "codec"), CONTAINERS.items())
def test_frames_sound_and_time_stamps_come_back(
    clip_of: Make, moving: Moving, tmp_path: Path, name: str, codec: str
) -> None:
    av = pytest.importorskip("av")
    steady = name in ("a.avi", "a.mov")  # elsewhere frames come as they like
    times = None if steady else [0, 1, 2, 4, 5, 9, 10, 12]
    source = clip_of(tmp_path / name, moving(8), codec=codec, times=times, sound=codec == "libx264")
    target = tmp_path / f"out{source.suffix}"
    assert copied(source, target) == ()
    before, after = read(source), read(target)
    with Clip(source, ALL) as one, Clip(target, ALL) as two:
        assert (one.width, one.height, one.colour) == (two.width, two.height, two.colour)
        assert one.rate == two.rate or not steady
        times = [[f.at * c.time_base for f in fs] for c, fs in ((one, before), (two, after))]
        assert np.abs(np.array(times[0], float) - np.array(times[1], float)).max() <= 1e-3
        assert (one.stream.codec_context.color_range, one.stream.codec_context.colorspace) == (
            two.stream.codec_context.color_range,
            two.stream.codec_context.colorspace,
        )
    error = np.mean([(a.pixels - b.pixels) ** 2 for a, b in zip(before, after, strict=True)])
    assert 10 * np.log10(1 / error) > (38 if codec == "libx264" else 34)
    if codec == "libx264":
        sounds = []
        for path in (source, target):
            with av.open(str(path)) as container:
                sounds.append([bytes(p) for p in container.demux(audio=0) if p.size])
        assert sounds[0] == sounds[1]
        assert len(sounds[0]) > 40


@pytest.mark.parametrize("full", [1, 2])
def test_range_and_matrix_are_kept(clip_of: Make, moving: Moving, tmp_path: Path, full: int) -> None:
    source = clip_of(tmp_path / "a.mp4", moving(2), options={"qp": "0"}, format="yuv444p", colour=(1, 1, 13, full))
    copied(source, tmp_path / "b.mp4")
    with Clip(tmp_path / "b.mp4", ALL) as clip:
        assert clip.colour.full == (full == 2)
        assert (clip.colour.matrix, clip.colour.primaries, clip.colour.transfer) == (1, 1, 13)
    for shown, drawn in zip(read(source), moving(2), strict=True):
        assert np.abs(shown.pixels - drawn / np.float32(255)).max() < 4 / 255, "the range was mistaken"


def test_ten_bits_stay_ten_bits(clip_of: Make, moving: Moving, tmp_path: Path) -> None:
    source = clip_of(tmp_path / "a.mkv", moving(2), codec="ffv1", format="yuv420p10le")
    assert copied(source, tmp_path / "b.mp4") == ()
    with Clip(tmp_path / "b.mp4", ALL) as clip:
        assert clip.format == "yuv420p10le"
    assert "10-bit samples became 8-bit" in copied(source, tmp_path / "b.webm")[0]


def test_odd_sides(clip_of: Make, moving: Moving, tmp_path: Path) -> None:
    source = clip_of(tmp_path / "a.mkv", moving(2, 31, 47), **FFV1)
    copied(source, tmp_path / "b.mp4")
    with Clip(tmp_path / "b.mp4", ALL) as clip:
        assert (clip.width, clip.height) == (47, 31)


def turned(path: Path, matrix: tuple[int, ...]) -> None:
    """Write a display matrix (a, b, c, d as 16.16) into the track header of an MP4."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", matrix[0], matrix[1], 0, matrix[2], matrix[3], 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize(("matrix", "quarters"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_a_turned_phone_is_set_upright(
    clip_of: Make, moving: Moving, tmp_path: Path, matrix: tuple[int, ...], quarters: int
) -> None:
    """(0, 1, -1, 0) is what a phone writes that was held upright: players turn the picture to the right by 90 degrees."""
    source = clip_of(tmp_path / "a.mp4", moving(2), options={"qp": "0"}, format="yuv444p")
    plain = read(source)
    turned(source, tuple(v << 16 for v in matrix))
    for before, after in zip(plain, read(source), strict=True):
        assert np.array_equal(np.rot90(before.pixels, quarters), after.pixels)
    copied(source, tmp_path / "b.mp4")
    with Clip(tmp_path / "b.mp4", ALL) as clip:
        assert (clip.height, clip.width) == read(source)[0].pixels.shape[:2]
        assert clip.turns == 0


def test_texts_are_kept_or_stripped(clip_of: Make, moving: Moving, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    source = clip_of(tmp_path / "a.mkv", moving(2), **FFV1)
    with Clip(source, ALL) as clip:
        clip.metadata |= {"title": "Lake"}
        for name, strip in (("kept.mp4", False), ("stripped.mp4", True)):
            with Writer(tmp_path / name, ".mp4", clip, strip=strip) as writer:
                writer.add(Frame(np.zeros((32, 48, 3), np.float32), 0))
    titles = []
    for name in ("kept.mp4", "stripped.mp4"):
        with av.open(str(tmp_path / name)) as container:
            titles.append(container.metadata.get("title"))
    assert titles == ["Lake", None]


def test_what_is_refused(clip_of: Make, moving: Moving, tmp_path: Path) -> None:
    whole = clip_of(tmp_path / "a.mp4", moving(30)).read_bytes()
    bad = {"empty": b"", "text": b"hello", "cut": whole[: len(whole) // 2], "head": whole[:400]}
    for name, data in bad.items():
        (tmp_path / f"{name}.mp4").write_bytes(data)
        with pytest.raises(InputError, match=f"{name}.mp4: "):
            read(tmp_path / f"{name}.mp4")
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "gone.mp4")
    with pytest.raises(InputError, match="--max-pixels 1536"):
        Clip(tmp_path / "a.mp4", 1000)
    for transfer, said in ((16, "PQ"), (18, "HLG")):
        hdr = clip_of(tmp_path / "hdr.mp4", moving(2), format="yuv420p10le", colour=(9, 9, transfer, 1))
        with pytest.raises(InputError, match=said):
            Clip(hdr, ALL)
    with Clip(tmp_path / "a.mp4", ALL) as clip, pytest.raises(InputError, match=r"cannot be written as \.gif"):
        Writer(tmp_path / "b.gif", ".gif", clip)


def test_missing_frames_are_noticed(clip_of: Make, moving: Moving, tmp_path: Path) -> None:
    """An MP4 whose index comes first and whose end is missing opens well and decodes well, up to where it ends."""
    source = clip_of(tmp_path / "a.mp4", moving(30), options={"bf": "0", "g": "5"})
    av = pytest.importorskip("av")
    with (
        av.open(str(source)) as given,
        av.open(str(tmp_path / "b.mp4"), "w", options={"movflags": "faststart"}) as made,
    ):
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)
    data = (tmp_path / "b.mp4").read_bytes()
    (tmp_path / "c.mp4").write_bytes(data[: len(data) - 3000])
    assert len(read(tmp_path / "b.mp4")) == 30
    with pytest.raises(InputError, match=r"c\.mp4: "):
        read(tmp_path / "c.mp4")


def test_without_pyav(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"pip install .*'(unveil|\.)\[video\]'"):
        Clip(tmp_path / "a.mp4", ALL)
