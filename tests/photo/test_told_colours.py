"""Colours that a file tells elsewhere than in a profile, and high dynamic range."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from unveil import photo
from unveil.errors import InputError
from unveil.photo import icc, png, spaces
from unveil.photo.writing import write_back


def written(found: photo.Photo, format: str | None = None, strip: bool = False) -> bytes:
    out = io.BytesIO()
    photo.write(found, found.pixels, out, format, strip)
    return out.getvalue()


def by_hand(make: SimpleNamespace, encoded: np.ndarray, space: str, gamma: float | None) -> np.ndarray:
    """sRGB of samples in [0, 1] in a space told by name; gamma None: sRGB's own curve."""
    curve = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    light = curve if gamma is None else encoded**gamma
    light = np.clip(light @ make.to_xyz(space).T @ np.linalg.inv(make.to_xyz("srgb")).T, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def with_chunks(make: SimpleNamespace, samples: np.ndarray, chunks: bytes) -> bytes:
    plain = make.pillow(samples, "PNG")
    return plain[:33] + chunks + plain[33:]


def test_display_p3_by_number_in_heic(make: SimpleNamespace) -> None:
    heif = pytest.importorskip("pillow_heif")
    samples = make.smooth(64, 96)
    image = heif.from_bytes("RGB", (96, 64), samples.tobytes())
    out = io.BytesIO()
    image.save(out, quality=-1, chroma=444, save_nclx_profile=True, color_primaries=12, transfer_characteristics=13)
    found = photo.read(out.getvalue())
    expected = by_hand(make, samples / 255, "p3", None)
    assert np.abs(found.pixels - expected).mean() < 1.5 / 255
    assert np.abs(samples / 255 - expected).mean() > 4 / 255, "the test tells nothing"
    for format in ("PNG", "JPEG", "HEIF", "TIFF"):
        again = photo.read(written(found, format, strip=True))
        assert again.icc == found.icc
        assert np.abs(again.pixels - found.pixels).mean() < 3 / 255


def test_numbers_in_avif(make: SimpleNamespace) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    samples = make.smooth(64, 96)
    data = imagecodecs.avif_encode(samples, level=100, pixelformat="444", primaries=12, transfer=13, matrix=6)
    assert np.abs(photo.read(data).pixels - by_hand(make, samples / 255, "p3", None)).mean() < 1.5 / 255


def test_a_png_by_number_gamma_and_primaries(make: SimpleNamespace) -> None:
    samples = make.smooth(64, 96)
    p3 = make.chunk(b"cICP", bytes([12, 13, 0, 1]))
    adobe = make.chunk(b"gAMA", struct.pack(">I", round(1e5 / (563 / 256)))) + make.chunk(
        b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
    )
    linear = make.chunk(b"gAMA", struct.pack(">I", 100000))
    for chunks, space, gamma in ((p3, "p3", None), (adobe, "adobe", 563 / 256), (linear, "srgb", 1.0)):
        given = with_chunks(make, samples, chunks)
        found = photo.read(given)
        assert np.abs(found.pixels - by_hand(make, samples / 255, space, gamma)).max() < 0.6 / 255
        again = written(found)
        assert np.array_equal(photo.read(again).native, samples), "unchanged samples come back as they were"
        kept = [piece for piece in png.Metadata(given).extra if piece[0] in png.COLOUR_CHUNKS]
        assert [p for p in png.Metadata(again).extra if p[0] in png.COLOUR_CHUNKS] == kept
        assert np.abs(photo.read(written(found, "TIFF")).pixels - found.pixels).max() < 1e-4


def test_what_says_srgb_stays_plain(make: SimpleNamespace) -> None:
    samples = make.smooth(8, 8)
    usual = make.chunk(b"gAMA", struct.pack(">I", 45455)) + make.chunk(
        b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    )
    odd = make.chunk(b"sRGB", b"\0") + make.chunk(b"gAMA", struct.pack(">I", 100000))  # the sRGB chunk goes first
    for chunks in (usual, odd, make.chunk(b"cICP", bytes([1, 13, 0, 1])), make.chunk(b"gAMA", bytes(4))):
        found = photo.read(with_chunks(make, samples, chunks))
        assert found.space is None
        assert np.array_equal(np.rint(found.pixels * 255), samples)


def test_a_linear_grey_png(make: SimpleNamespace) -> None:
    samples = make.smooth(16, 16)[..., :1]
    found = photo.read(with_chunks(make, samples, make.chunk(b"gAMA", struct.pack(">I", 100000))))
    assert found.grey
    assert (
        np.abs(found.pixels[..., :1] - by_hand(make, np.repeat(samples / 255, 3, 2), "srgb", 1.0)[..., :1]).max() < 1e-3
    )


def interoperable(index: bytes, space: int) -> bytes:
    """An EXIF block with ColorSpace and an interoperability index, nothing else."""
    head = b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x8769, 4, 1, 26, 0)
    shooting = struct.pack("<HHHIIHHIII", 2, 0xA001, 3, 1, space, 0xA005, 4, 1, 56, 0)
    return b"Exif\0\0" + head + shooting + struct.pack("<HHHI4sI", 1, 1, 2, 4, index, 0)


def test_adobe_rgb_by_exif_alone(make: SimpleNamespace) -> None:
    samples = make.smooth(64, 96)
    given = make.pillow(samples, "JPEG", quality=100, subsampling=0, exif=interoperable(b"R03\0", 0xFFFF))
    found = photo.read(given)
    plain = photo.read(make.pillow(samples, "JPEG", quality=100, subsampling=0)).pixels
    assert np.abs(found.pixels - by_hand(make, plain.astype(float), "adobe", 563 / 256)).max() < 0.6 / 255
    stripped = photo.read(written(found, strip=True))
    assert stripped.exif is None
    assert np.abs(stripped.pixels - found.pixels).mean() < 0.5 / 255, "--strip keeps what the colours mean"
    for index, space in ((b"R98\0", 0xFFFF), (b"R03\0", 1)):
        other = photo.read(make.pillow(samples, "JPEG", quality=100, subsampling=0, exif=interoperable(index, space)))
        assert np.array_equal(other.pixels, plain)


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_refused_or_tone_mapped(make: SimpleNamespace, transfer: int, name: str) -> None:
    samples = (make.smooth(16, 24).astype(np.uint16) * 257) // 2
    given = make.png16(samples, chunks=make.chunk(b"cICP", bytes([9, transfer, 0, 1])))
    with pytest.raises(
        InputError,
        match=rf"high dynamic range photograph \({name}\).*to sRGB first .*restore --tone-map.*tone_map=True",
    ):
        photo.read(given)
    found = photo.read(given, tone_map=True)
    grey = make.png16(samples[..., :1], chunks=make.chunk(b"cICP", bytes([9, transfer, 0, 1])))
    with pytest.raises(InputError, match=r"convert it to sRGB first \(it is grey"):
        photo.read(grey, tone_map=True)
    assert "BT.2446" in found.notes[0]
    assert (found.icc, found.space, found.depth) == (None, None, 16)
    again = photo.read(written(found))
    assert np.array_equal(again.pixels, found.pixels), "what is written is sRGB and says nothing else"


def test_a_lossy_file_that_was_tone_mapped_is_not_handed_on_as_it_came(make: SimpleNamespace) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    image = pillow_heif.from_bytes("RGB", (96, 64), make.smooth(64, 96).tobytes())
    image.save(out, quality=60, save_nclx_profile=True, color_primaries=9, transfer_characteristics=16)
    found = photo.read(out.getvalue(), tone_map=True)
    assert (found.lossless, found.tone_mapped, found.encoded) == (False, True, None)
    back = io.BytesIO()
    write_back(found, found.pixels, back)
    assert photo.read(back.getvalue()).tone_mapped is False


def test_tone_mapping_at_known_points() -> None:
    """BT.2446 A: black stays black, the peak of 1000 cd/m2 is white; PQ's signal for 1000 cd/m2 is 0.7518, HLG's is 1 (BT.2100)."""
    for transfer, peak in ((16, 0.751827), (18, 1.0)):
        grey = np.repeat(np.array([[0.0], [peak]]), 3, axis=1)
        assert np.abs(spaces.tone_mapped(grey, 9, transfer) - np.array([[0.0], [1.0]])).max() < 2e-3
    # A grey of 203 cd/m2 (PQ 0.58069): Y' = 0.203^(1/2.4), and by the formulas of section 4.2 on paper.
    luma = 0.203 ** (1 / 2.4)
    rho, sdr = 1 + 32 * 0.1 ** (1 / 2.4), 1 + 32 * 0.01 ** (1 / 2.4)
    perceived = np.log(1 + (rho - 1) * luma) / np.log(rho)
    bent = 1.0770 * perceived if perceived <= 0.7399 else -1.1510 * perceived**2 + 2.7811 * perceived - 0.6302
    light = ((sdr**bent - 1) / (sdr - 1)) ** 2.4
    expected = 1.055 * light ** (1 / 2.4) - 0.055
    assert spaces.tone_mapped(np.full((1, 3), 0.58069), 9, 16)[0] == pytest.approx(np.full(3, expected), abs=2e-3)


def test_a_built_profile_is_read_by_little_cms(make: SimpleNamespace) -> None:
    from PIL import Image, ImageCms

    profile = icc.profile(12, 13)
    assert profile is not None
    ours = icc.parse(profile)
    assert np.abs(ours.matrix - make.to_xyz("p3")).max() < 1e-4
    samples = make.smooth(16, 16)
    source, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    theirs = ImageCms.profileToProfile(Image.fromarray(samples), source, srgb, outputMode="RGB")
    assert np.abs(np.asarray(theirs) / 255 - by_hand(make, samples / 255, "p3", None)).max() < 2 / 255


def test_numbers_that_mean_nothing_are_said(make: SimpleNamespace) -> None:
    found = photo.read(with_chunks(make, make.smooth(8, 8), make.chunk(b"cICP", bytes([77, 13, 0, 1]))))
    assert "primaries 77" in found.notes[0]


@pytest.mark.shared
def test_the_cases(shared: Path) -> None:
    cases = shared / "cases"
    plain = photo.read(cases / "iptc.jpg").pixels.mean(axis=(0, 1)) * 255
    for name, mean in (
        ("nclx_p3.heic", (136.1, 118.6, 107.5)), ("gama1.png", (182.5, 171.9, 165.0)), ("_DSC0001.JPG", (135.3, 123.1, 110.5))
    ):  # fmt: skip
        found = photo.read(cases / name).pixels.mean(axis=(0, 1)) * 255
        assert found == pytest.approx(mean, abs=0.2)
        assert np.abs(found - plain).max() > 5
    for name in ("nclx_pq2020.heic", "cicp_pq.png"):
        with pytest.raises(InputError, match="PQ"):
            photo.read(cases / name)


@pytest.mark.shared
def test_a_table_profile_in_linear_light(shared: Path) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    tifffile = pytest.importorskip("tifffile")
    from PIL import ImageCms

    with tifffile.TiffFile(shared / "cases" / "linear_lut.tif") as file:
        samples, profile = file.asarray(), file.pages[0].tags[34675].value
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    theirs = imagecodecs.cms_transform(samples, profile, srgb, colorspace="rgb", outcolorspace="rgb", outdtype="u2")
    found = photo.read(shared / "cases" / "linear_lut.tif")
    assert np.abs(found.pixels * 255 - theirs / 257).max() < 1
