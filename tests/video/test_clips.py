"""Clips as cameras and editors write them: what is hidden, tagged, interlaced, named and heard."""

from __future__ import annotations

import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from unveil import video
from unveil.errors import InputError
from unveil.video import Clip, Frame, Writer

ALL = 10**9
Make = Callable[..., Path]
Moving = Callable[..., list[np.ndarray]]


def frames(path: Path) -> list[Frame]:
    with video.opened(path, ALL) as clip:
        return [item for item in clip if isinstance(item, Frame)]


def copied(source: Path, target: Path, **settings: Any) -> tuple[str, ...]:
    with video.opened(source, ALL) as clip, video.writer(target, target.suffix, clip, **settings) as writer:
        for item in clip:
            writer.add(item) if isinstance(item, Frame) else writer.copy(item)
    return (*clip.notes, *writer.notes)


def remuxed(source: Path, target: Path, change: Callable[[Any], None] | None = None, keep: Any = None) -> Path:
    """The same packets in another file. change: called with the new container before anything is written. keep: which packets."""
    av = pytest.importorskip("av")
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        streams = {s.index: made.add_stream_from_template(s) for s in given.streams if s.type in ("video", "audio")}
        if change is not None:
            change(made)
        for number, packet in enumerate(p for p in given.demux() if p.size):
            if keep is None or keep(number):
                packet.stream = streams[packet.stream.index]
                made.mux(packet)
    return target


def test_neutral_grey_and_full_range_come_back_within_a_level(clip_of: Make, tmp_path: Path) -> None:
    """FFmpeg's own scaler makes (126, 128, 126) of grey in full range, and each trip loses more."""
    from unveil.video.colour import Colour

    av = pytest.importorskip("av")
    ramp = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[None, :, None], 3, axis=2).repeat(16, axis=0)
    for full in (1, 2):
        for matrix in (1, 6, 9):
            frame = av.VideoFrame(16, 16, "yuv420p")
            frame.colorspace, frame.color_range = matrix, full
            colour = Colour.of(frame, "x")
            there = ramp
            for _ in range(10):
                there = colour.to_rgb(colour.from_rgb(there, "yuv420p"))
            assert np.abs(there - ramp).max() * 255 <= 1
            assert np.abs(there - there[..., :1]).max() * 255 < 0.01, "grey has no tint"


def test_a_full_range_ramp_survives_a_container_that_states_nothing(clip_of: Make, tmp_path: Path) -> None:
    ramp = np.repeat(np.arange(192)[None, :, None] * 255 // 191, 3, axis=2).repeat(64, axis=0).astype(np.uint8)
    source = clip_of(tmp_path / "a.avi", [ramp] * 3, codec="mjpeg", format="yuvj420p", colour=(5, 2, 2, 2))
    for name in ("b.avi", "b.mp4", "b.mkv"):
        copied(source, tmp_path / name)
        shown = frames(tmp_path / name)[1].pixels * 255
        assert np.abs(shown[32, 12:180] - ramp[32, 12:180]).max() < 4
        slope, offset = np.polyfit(ramp[32, :, 1].astype(float), shown[32, :, 1], 1)
        assert slope == pytest.approx(1, abs=0.01)
        assert offset == pytest.approx(0, abs=1.5)


def test_rgb_sources_are_tagged_as_they_are_converted(clip_of: Make, moving: Moving, tmp_path: Path) -> None:
    """Read by another program: FFmpeg's conversion by the tags gives the colours back."""
    av = pytest.importorskip("av")
    flat = [np.full((64, 96, 3), colour, np.uint8) for colour in ((20, 200, 40), (200, 30, 30))]
    source = clip_of(tmp_path / "a.mkv", flat, codec="ffv1", format="bgr0")
    assert frames(source)[0].pixels[9, 9] * 255 == pytest.approx([20, 200, 40], abs=0.1)
    copied(source, tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as made:
        shown = list(made.decode(video=0))
        assert shown[0].format.name == "yuv420p"
        assert int(shown[0].colorspace) in (5, 6)
        for frame, colour in zip(shown, flat, strict=True):
            rgb = frame.reformat(
                format="rgb24", src_colorspace="ITU601", src_color_range=1, dst_color_range=2
            ).to_ndarray()
            assert np.abs(rgb[32, 48].astype(int) - colour[0, 0]).max() <= 3


def test_dropped_frames_are_not_a_cut_file(clip_of: Make, moving: Moving, tmp_path: Path) -> None:
    source = clip_of(
        tmp_path / "a.mkv", moving(12), codec="ffv1", format="yuv444p", times=[0, 1, 2, 3, 7, 8, 9, 10, 20, 21, 22, 23]
    )
    assert copied(source, tmp_path / "b.mp4") == ()
    assert len(frames(tmp_path / "b.mp4")) == 12


def test_an_edit_list_hides_frames(clip_of: Make, moving: Moving, tmp_path: Path) -> None:
    """A track that begins before nought gets an edit list: five of sixteen frames are not shown."""
    av = pytest.importorskip("av")
    source = clip_of(tmp_path / "a.mp4", moving(16), options={"bf": "0", "g": "16"})
    target = tmp_path / "b.mp4"
    with av.open(str(source)) as given, av.open(str(target), "w", options={"avoid_negative_ts": "disabled"}) as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                shift = round(Fraction(5, 25) / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                made.mux(packet)
    with Clip(target, ALL) as clip:
        assert clip.count == 11
        assert len([f for f in clip if isinstance(f, Frame)]) == 11


def test_a_cut_file_is_known_before_the_work(clip_of: Make, moving: Moving, tmp_path: Path) -> None:
    whole = clip_of(tmp_path / "a.avi", moving(60), codec="mpeg4", options={"g": "5"}).read_bytes()
    (tmp_path / "b.avi").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(InputError, match="cut short"):
        Clip(tmp_path / "b.avi", ALL)


def test_interlaced_material_is_deinterlaced(clip_of: Make, tmp_path: Path) -> None:
    """An upright edge that moves stands at two places in the two fields of a frame; whole frames have it at one."""

    def drawn(n: int) -> np.ndarray:
        picture = np.full((64, 96, 3), 40, np.uint8)
        picture[0::2, : 20 + 8 * n], picture[1::2, : 24 + 8 * n] = 200, 200
        return picture

    options = {"x264-params": "interlaced=1:tff=1", "crf": "4", "flags": "+ilme+ildct"}
    source = clip_of(tmp_path / "a.mp4", [drawn(n) for n in range(8)], options=options)
    with Clip(source, ALL) as clip:
        assert clip.interlaced
        assert clip.notes == ("its interlaced frames were deinterlaced (bwdif)",)
        shown = [f for f in clip if isinstance(f, Frame)]
    assert len(shown) == 8
    assert [f.at for f in shown] == sorted({f.at for f in shown})

    def combed(picture: np.ndarray) -> float:
        return float(np.abs(picture[1:-1, :, 1] - (picture[:-2, :, 1] + picture[2:, :, 1]) / 2)[8:-8].mean())

    assert combed(drawn(4) / 255) > 0.02
    assert combed(shown[4].pixels) < combed(drawn(4) / 255) / 4
    copied(source, tmp_path / "b.mp4")
    with Clip(tmp_path / "b.mp4", ALL) as clip:
        assert not clip.interlaced


def test_languages_titles_defaults_and_chapters_are_kept(clip_of: Make, moving: Moving, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    plain = clip_of(tmp_path / "a.mkv", moving(8), sound=True)

    def described(made: Any) -> None:
        sound = made.streams.audio[0]
        sound.metadata.update({"language": "deu", "title": "Kommentar"})
        sound.disposition = av.stream.Disposition.default
        base = Fraction(1, 1000)
        made.set_chapters(
            [
                {"id": n, "start": 100 * n, "end": 100 * n + 100, "time_base": base, "metadata": {"title": f"Part {n}"}}
                for n in (0, 1)
            ]
        )

    source = remuxed(plain, tmp_path / "b.mkv", described)
    for name, kept in (("c.mkv", True), ("c.mp4", True), ("stripped.mkv", False)):
        assert copied(source, tmp_path / name, strip=not kept) == ()
        with av.open(str(tmp_path / name)) as made:
            sound = made.streams.audio[0]
            assert sound.metadata["language"] == "deu"
            assert sound.disposition & av.stream.Disposition.default
            titles = sound.metadata.get("title", sound.metadata.get("name"))
            assert titles == ("Kommentar" if kept else None)
            assert [c["metadata"].get("title") for c in made.chapters()] == (["Part 0", "Part 1"] if kept else [])


def test_quicktimes_keys_are_kept(clip_of: Make, moving: Moving, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    keys = {
        "com.apple.quicktime.location.ISO6709": "+48.8577+002.2950+035.000/",
        "com.apple.quicktime.creationdate": "2020-01-02T03:04:05+0100",
        "com.apple.quicktime.make": "ACME",
    }
    source = clip_of(tmp_path / "a.mov", moving(4))
    with Clip(source, ALL) as clip:
        clip.metadata |= keys
        for name in ("b.mov", "b.mp4"):
            with Writer(tmp_path / name, name[1:], clip) as writer:
                writer.add(Frame(np.zeros((32, 48, 3), np.float32), 0))
    for name in ("b.mov", "b.mp4"):
        with av.open(str(tmp_path / name)) as made:
            assert {k: v for k, v in made.metadata.items() if k in keys} == keys


def with_pcm(path: Path, pictures: list[np.ndarray]) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as made:
        stream = made.add_stream("mjpeg", rate=10)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuvj420p"
        sound = made.add_stream("pcm_u8", rate=8000, layout="mono")
        for n, pixels in enumerate(pictures):
            made.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuvj420p")))
            tone = (128 + 90 * np.sin(np.arange(800) * 2 * np.pi * 440 / 8000)).astype(np.uint8)
            heard = av.AudioFrame.from_ndarray(tone[None], format="u8", layout="mono")
            heard.sample_rate, heard.pts, heard.time_base = 8000, n * 800, Fraction(1, 8000)
            made.mux(sound.encode(heard))
        made.mux(stream.encode(None))
        made.mux(sound.encode(None))
    return path


def test_raw_sound_becomes_aac_where_it_has_no_place(moving: Moving, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    source = with_pcm(tmp_path / "a.avi", moving(10))
    assert copied(source, tmp_path / "b.avi") == ()
    assert any("its sound became AAC" in note for note in copied(source, tmp_path / "b.mp4"))
    with av.open(str(tmp_path / "b.mp4")) as made:
        heard = np.concatenate([f.to_ndarray()[0] for f in made.decode(audio=0)])[2000:6096]
    loudest = np.argmax(np.abs(np.fft.rfft(heard * np.hanning(len(heard)))))
    assert loudest * 8000 / len(heard) == pytest.approx(440, abs=4)
    assert any("its sound became Opus" in note for note in copied(source, tmp_path / "b.webm"))


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv", "b.webm", "b.avi"])
def test_odd_sides_stay_four_two_nought(clip_of: Make, moving: Moving, tmp_path: Path, name: str) -> None:
    source = clip_of(tmp_path / "a.webm", moving(3, 31, 47), codec="libvpx-vp9", format="yuv420p")
    copied(source, tmp_path / name)
    with Clip(tmp_path / name, ALL) as clip:
        assert (clip.width, clip.height, clip.format) == (47, 31, "yuv420p")


def test_what_is_a_video_by_its_content(clip_of: Make, moving: Moving, tmp_path: Path) -> None:
    from PIL import Image

    source = clip_of(tmp_path / "a.ts", moving(8), format="yuv420p")
    unnamed = tmp_path / "STREAM.001"
    unnamed.write_bytes(source.read_bytes())
    assert video.is_video(unnamed)
    assert len(frames(unnamed)) == 8
    assert copied(unnamed, tmp_path / "b.mp4") == ()
    begins = frames(tmp_path / "b.mp4")[0].at
    assert begins == 0, "a transport stream begins at any time, what is made of it at nought"
    for suffix in (".mts", ".m2ts", ".mpg", ".wmv", ".3gp", ".avi"):
        assert video.is_video(Path(f"x{suffix}"))
        copied(source, tmp_path / f"c{suffix}")
        assert len(frames(tmp_path / f"c{suffix}")) in (8, 9)
    Image.new("RGB", (4, 4)).save(tmp_path / "still.png")
    (tmp_path / "text.txt").write_text("no video")
    assert not any(video.is_video(tmp_path / name) for name in ("still.png", "text.txt", "gone.xyz"))
    with wave.open(str(tmp_path / "s.wav"), "wb") as sound:
        sound.setparams((1, 1, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(100))
    assert not video.is_video(tmp_path / "s.wav")


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations_are_clips(tmp_path: Path, suffix: str) -> None:
    from PIL import Image

    pictures = [np.zeros((16, 24, 4), np.uint8) for _ in range(4)]
    for n, picture in enumerate(pictures):
        picture[:8], picture[4 * n : 4 * n + 4, 4:12, 1] = (40 * n, 0, 90, 255), 200
        picture[..., :3][picture[..., 3] == 0] = 0
    images = [Image.fromarray(p) for p in pictures]
    options = {"disposal": 2} if suffix == ".gif" else {"lossless": True, "exact": True} if suffix == ".webp" else {}
    source = tmp_path / f"a{suffix}"
    images[0].save(source, save_all=True, append_images=images[1:], duration=[40, 80, 120, 200], loop=3, **options)
    assert video.is_video(source)
    with video.opened(source, ALL) as clip:
        assert (clip.width, clip.height, clip.count, clip.loops) == (24, 16, 4, 3)
        shown = list(clip)
    assert [frame.at for frame in shown] == [0, 40, 120, 240]
    for frame, picture in zip(shown, pictures, strict=True):
        seen = picture[..., 3] > 0
        assert np.abs(frame.pixels[seen] * 255 - picture[seen][:, :3]).max() < 1
    copied(source, tmp_path / f"b{suffix}")
    with video.opened(tmp_path / f"b{suffix}", ALL) as clip:
        assert (clip.times, clip.loops) == ([40, 80, 120, 200], 3)
        again = list(clip)
    for frame, before in zip(again, shown, strict=True):
        assert np.abs(frame.pixels - before.pixels)[:8].mean() * 255 < 4
        assert (frame.alpha is None) == (before.alpha is None)
    pytest.importorskip("av")
    copied(source, tmp_path / "b.mp4")
    assert len(frames(tmp_path / "b.mp4")) == 4


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".3gp"])
@pytest.mark.parametrize("lengths", [(2000, 1000, 3000), (100, 30, 50, 70, 40), (*[40] * 6, 5000)])
def test_the_last_frame_lasts_as_long_as_it_did(tmp_path: Path, suffix: str, lengths: tuple[int, ...]) -> None:
    """No later frame tells when it ends: a slide show lost seconds."""
    av = pytest.importorskip("av")
    images = [Image.fromarray(np.full((16, 16, 3), 40 * n, np.uint8)) for n, _ in enumerate(lengths)]
    images[0].save(
        source := tmp_path / "a.webp", save_all=True, append_images=images[1:], duration=lengths, lossless=True
    )
    copied(source, target := tmp_path / f"b{suffix}")
    with av.open(str(target)) as container:
        assert container.duration / 1e6 == pytest.approx(sum(lengths) / 1000, abs=0.02)
    with video.opened(target, ALL) as clip:
        assert float(clip.lasts) == pytest.approx(lengths[-1] / 1000, abs=0.02)
    copied(target, again := tmp_path / "c.webp")
    with video.opened(again, ALL) as clip:
        assert clip.times == pytest.approx(lengths, abs=3)


@pytest.mark.parametrize("suffix", [".avi", ".wmv"])
def test_a_container_that_states_no_length_is_not_taken_for_cut(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("av")
    images = [Image.fromarray(np.full((16, 16, 3), 30 * n, np.uint8)) for n in range(7)]
    images[0].save(source := tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=[40] * 6 + [5000])
    copied(source, tmp_path / f"b{suffix}")
    assert len(frames(tmp_path / f"b{suffix}")) == 7


def test_what_a_video_made_of_a_moving_picture_lacks_is_said(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    pictures = [np.full((16, 16, 4), 90 * n, np.uint8) for n in range(3)]
    for picture in pictures:
        picture[:8, :, 3] = 0
    images = [Image.fromarray(p) for p in pictures]
    images[0].save(gif := tmp_path / "a.gif", save_all=True, append_images=images[1:], comment=b"holiday", disposal=2)
    on_black = "its transparency was laid on black: videos hold none"
    for suffix in (".mp4", ".mkv", ".webm", ".wmv"):
        assert copied(gif, tmp_path / f"a{suffix}") == (on_black,)
        with av.open(str(tmp_path / f"a{suffix}")) as made:
            assert {k.lower(): v for k, v in made.metadata.items()}["comment"] == "holiday"
    assert copied(gif, tmp_path / "a.ts") == ("left out, since .ts holds none here: comment", on_black)
    assert copied(gif, tmp_path / "b.ts", strip=True) == (on_black,)
    exif = Image.Exif()
    exif[0x010F] = "ACME"
    opaque = [image.convert("RGB") for image in images]
    opaque[0].save(webp := tmp_path / "a.webp", save_all=True, append_images=opaque[1:], exif=exif, lossless=True)
    assert copied(webp, tmp_path / "b.mp4") == ("left out, since .mp4 holds none here: EXIF",)


@pytest.mark.parametrize("loop", [None, 0, 1, 3])
def test_a_gif_keeps_the_pace_of_its_clip(tmp_path: Path, loop: int | None) -> None:
    """GIF counts hundredths of a second; what is rounded is carried on, and frames that are too short are left out and said."""
    from PIL import Image

    images = [Image.fromarray(np.full((8, 8, 3), 8 * n, np.uint8)) for n in range(30)]
    for length, count in ((16, 24), (33, 30), (42, 30)):
        images[0].save(source := tmp_path / f"{length}.webp", save_all=True, append_images=images[1:], duration=length)
        notes = copied(source, tmp_path / "b.gif")
        with video.opened(tmp_path / "b.gif", ALL) as clip:
            assert sum(clip.times) == pytest.approx(30 * length, abs=20)
            assert min(clip.times) >= 20
            assert clip.count == count
        assert any("frames were left out" in note for note in notes) == (count < 30)
    stated = {} if loop is None else {"loop": loop}
    images[0].save(tmp_path / "c.gif", save_all=True, append_images=images[1:], duration=40, **stated)
    copied(tmp_path / "c.gif", tmp_path / "d.gif")
    with Image.open(tmp_path / "d.gif") as made:
        assert made.info.get("loop") == loop


def test_a_damaged_animation_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF89a" + bytes(30))
    with pytest.raises(InputError, match=r"a\.gif"):
        video.Animation(tmp_path / "a.gif", ALL)
    with pytest.raises(InputError, match="no such file"):
        video.Animation(tmp_path / "gone.gif", ALL)


@pytest.mark.shared
def test_the_cases(shared: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    cases = shared / "cases"
    assert copied(cases / "trim.mp4", tmp_path / "trim.mp4") == ()
    assert len(frames(tmp_path / "trim.mp4")) == 11
    ramp = [33, 65, 97, 129, 161, 193, 225]
    for name in ("n.avi", "n.mp4"):
        copied(cases / "n_mjpeg.avi", tmp_path / name)
        assert frames(tmp_path / name)[0].pixels[6, 24:192:24, 1] * 255 == pytest.approx(ramp, abs=3)
    copied(cases / "apple.mov", tmp_path / "apple.mov")
    with av.open(str(tmp_path / "apple.mov")) as made:
        assert made.metadata["com.apple.quicktime.creationdate"] == "2020-01-02T03:04:05+0100"
        assert made.metadata["com.apple.quicktime.location.ISO6709"].startswith("+48.8577")
        assert made.metadata["com.apple.quicktime.make"] == "ACME"
    copied(cases / "multi.mkv", tmp_path / "multi.mkv")
    with av.open(str(tmp_path / "multi.mkv")) as made:
        sounds = made.streams.audio
        assert [s.metadata["language"] for s in sounds] == ["eng", "deu"]
        assert sounds[1].metadata["title"] == "Kommentar"
        assert [bool(s.disposition & av.stream.Disposition.default) for s in sounds] == [False, True]
        assert [c["metadata"]["title"] for c in made.chapters()] == ["One", "Two"]
    assert any("deinterlaced" in note for note in copied(cases / "interlaced.mp4", tmp_path / "i.mp4"))
    with Clip(tmp_path / "i.mp4", ALL) as clip:
        assert not clip.interlaced
    assert any("AAC" in note for note in copied(cases / "digicam.avi", tmp_path / "d.mp4"))
    assert copied(cases / "cam.mts", tmp_path / "cam.mts") == ()


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_what_an_animation_says_of_itself_stays(suffix: str, tmp_path: Path) -> None:
    """Where its format holds it; else, and with `strip`, it goes, and a note says so where nobody asked for that."""
    exif = Image.Exif()
    exif[0x010F] = "Acme"
    texts = PngInfo()
    texts.add_text("Title", "harbour")
    about: dict[str, Any] = {
        ".gif": {"comment": b"a harbour"},
        ".webp": {"exif": exif.tobytes(), "xmp": b"<x/>", "lossless": True},
        ".png": {"exif": exif.tobytes(), "pnginfo": texts},
    }[suffix]
    images = [Image.fromarray(np.full((8, 8, 3), 40 * n, np.uint8)) for n in range(3)]
    source = tmp_path / f"a{suffix}"
    images[0].save(source, save_all=True, append_images=images[1:], duration=100, **about)

    def said(path: Path) -> tuple[Any, ...]:
        with Image.open(path) as opened:
            text = getattr(opened, "text", {}).get("Title")
            return opened.getexif().get(0x010F), opened.info.get("xmp"), opened.info.get("comment"), text

    copied(source, tmp_path / f"b{suffix}")
    assert said(tmp_path / f"b{suffix}") == said(source)
    assert any(said(source))
    copied(source, tmp_path / f"c{suffix}", strip=True)
    assert not any(said(tmp_path / f"c{suffix}"))
    other = ".webp" if suffix == ".gif" else ".gif"
    notes = copied(source, tmp_path / f"d{other}")
    lost = {
        ".gif": "WEBP holds none: comment",
        ".webp": "GIF holds none: EXIF, XMP",
        ".png": "GIF holds none: EXIF, texts",
    }
    assert f"left out, since {lost[suffix]}" in notes


def test_the_still_of_an_animation_for_those_that_play_nothing_is_no_frame(tmp_path: Path) -> None:
    images = [Image.fromarray(np.full((8, 8, 3), 60 * n, np.uint8)) for n in range(4)]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:], duration=500, default_image=True)
    notes = copied(tmp_path / "a.png", tmp_path / "b.png")
    assert notes == ("its still for viewers that play nothing was left out",)
    with video.opened(tmp_path / "b.png", ALL) as clip:
        assert isinstance(clip, video.Animation)
        assert clip.times == [500] * 3
        levels = [round(255 * float(item.pixels.mean())) for item in clip if isinstance(item, Frame)]
    assert levels == [60, 120, 180]


@pytest.mark.parametrize(
    ("name", "fitting"), [("a.gif", ".3gp, .gif, .webp, .png, .apng"), ("a.mkv", ".3gp, .gif, .webp, .apng")]
)
def test_what_a_clip_can_be_written_as_is_all_named(clip_of: Make, tmp_path: Path, name: str, fitting: str) -> None:
    pictures = [np.full((16, 16, 3), value, np.uint8) for value in (0, 90, 200)]
    if name.endswith(".gif"):
        first, *rest = map(Image.fromarray, pictures)
        first.save(tmp_path / name, save_all=True, append_images=rest)
    else:
        clip_of(tmp_path / name, pictures)
    with video.opened(tmp_path / name, ALL) as clip, pytest.raises(InputError) as told:
        video.writer(tmp_path / "b.jpg", ".jpg", clip)
    assert str(told.value).endswith(fitting)


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_pictures_that_move_are_upright(tmp_path: Path, suffix: str) -> None:
    """Their orientation was left in EXIF: the network saw them lying, and as a GIF they stayed so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = [np.random.default_rng(n).integers(0, 256, (16, 24, 3)).astype(np.uint8) for n in range(2)]
    first, second = map(Image.fromarray, pictures)
    more: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    first.save(tmp_path / f"a{suffix}", save_all=True, append_images=[second], exif=exif.tobytes(), **more)
    copied(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}")
    for name in ("a", "b"):
        with video.opened(tmp_path / f"{name}{suffix}", ALL) as clip:
            assert (clip.width, clip.height) == (16, 24)
            for frame, picture in zip(clip, pictures, strict=True):
                assert np.array_equal(np.rint(frame.pixels * 255), np.rot90(picture, -1))
    with Image.open(tmp_path / f"b{suffix}") as image:
        assert image.size == (16, 24)
        assert image.getexif()[0x0112] == 1
