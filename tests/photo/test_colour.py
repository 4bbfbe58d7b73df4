from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage.color import deltaE_ciede2000, xyz2lab

from unveil import photo
from unveil.photo import icc
from unveil.photo.cms import DeepSpace, InkSpace, table_space
from unveil.photo.spaces import CurveSpace, PlainInkSpace, space_for
from unveil.photo.srgb import decode, encode
from unveil.photo.writing import native_samples

TONES = {
    "power": 2.2, "identity": np.linspace(0, 1, 2), "table": np.linspace(0, 1, 257) ** 1.8,
    "1": (2.2, 1 / 1.099, 0.099 / 1.099), "2": (2.0, 0.95, 0.05, 0.0), "4": (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0.0, 0.0),
}  # fmt: skip


def little_cms(profile: bytes, samples: np.ndarray, back: bool = False) -> np.ndarray:
    """(N, 3) uint8 through Pillow's colour management, the reference with 8 bits."""
    there = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    ends = (there, ImageCms.createProfile("sRGB"))
    transform = ImageCms.buildTransform(
        *(ends[::-1] if back else ends), "RGB", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    image = Image.frombytes("RGB", (len(samples), 1), samples.tobytes())
    return np.asarray(ImageCms.applyTransform(image, transform))[0]


@pytest.mark.parametrize("space", ["srgb", "p3", "adobe"])
@pytest.mark.parametrize("tone", [None, *TONES])
@pytest.mark.parametrize("back", [False, True])
def test_matrix_profiles_agree_with_little_cms(make: SimpleNamespace, space: str, tone: str | None, back: bool) -> None:
    profile = make.matrix_profile(space, None if tone is None else TONES[tone])
    ours = CurveSpace(icc.parse(profile))
    samples = make.random((4000, 3))
    convert = ours.from_srgb if back else ours.to_srgb
    values = convert(samples / np.float32(255)) * 255
    difference = np.abs(values - little_cms(profile, samples, back))
    # Little CMS rounds to 8 bits, and computes 8-bit matrix profiles in fixed point, which loses a little more in the dark.
    assert difference.mean() < 0.4
    assert np.quantile(difference, 0.999) < 2.6


@pytest.mark.parametrize("space", ["p3", "adobe"])
@pytest.mark.parametrize("format", ["PNG", "PNG16", "TIFF", "WEBP"])
def test_untouched_wide_gamut_photographs_are_exact(make: SimpleNamespace, space: str, format: str) -> None:
    profile = make.matrix_profile(space)
    if format == "PNG16":
        samples = make.random((40, 50, 3), np.uint16)
        file = make.tiff(samples, iccprofile=profile)
    else:
        samples = make.random((40, 50, 3))
        file = make.pillow(samples, format, icc_profile=profile, **({"lossless": True} if format == "WEBP" else {}))
    found = photo.read(file)
    assert found.space is not None
    out = io.BytesIO()
    photo.write(found, found.pixels, out, format="PNG" if format == "PNG16" else None)
    again = photo.read(out.getvalue())
    assert again.icc == profile
    np.testing.assert_array_equal(again.native, samples)


@pytest.mark.parametrize("space", ["p3", "adobe"])
def test_untouched_jpeg_is_within_one_delta_e(make: SimpleNamespace, space: str) -> None:
    """Photograph-like content in a wide gamut, through decoding, sRGB, and encoding once more."""
    profile = make.matrix_profile(space)
    found = photo.read(make.pillow(make.smooth(96, 128), "JPEG", quality=92, subsampling=0, icc_profile=profile))
    out = io.BytesIO()
    photo.write(found, found.pixels, out)
    again = photo.read(out.getvalue())
    assert again.icc == profile

    def lab(samples: np.ndarray) -> np.ndarray:
        gamma = decode if space == "p3" else (lambda v: v ** (563 / 256))
        return xyz2lab(gamma(samples / 255.0) @ make.to_xyz(space).T, illuminant="D50")

    difference = deltaE_ciede2000(lab(found.native), lab(again.native))
    # Before encoding they are equal to the last bit (`writing.native_samples`); the rest is the loss of one more JPEG generation.
    np.testing.assert_array_equal(native_samples(found, found.pixels), found.native)
    assert difference.mean() < 0.3
    assert np.quantile(difference, 0.97) < 1


def test_working_pixels_are_the_same_colour(make: SimpleNamespace) -> None:
    """Colours inside sRGB, seen through Display P3 and back in sRGB, are what they were."""
    srgb = (make.random((30, 30, 3)) // 2 + 64).astype(np.uint8)
    light = decode(srgb / np.float32(255)) @ make.to_xyz("srgb").T @ np.linalg.inv(make.to_xyz("p3")).T
    p3 = np.rint(encode(light) * 65535).astype(np.uint16)
    found = photo.read(make.tiff(p3, iccprofile=make.matrix_profile("p3")))
    np.testing.assert_allclose(found.pixels, srgb / np.float32(255), atol=2e-4)


def test_changed_pixels_become_the_colour_asked_for(make: SimpleNamespace) -> None:
    """Inside sRGB nothing was clipped, so a change arrives in full: within a step of 16 bits, and a little for the tables."""
    found = photo.read(
        make.tiff(
            (make.random((20, 20, 3), np.uint16) // 4 + 20000).astype(np.uint16), iccprofile=make.matrix_profile("p3")
        )
    )
    wanted = np.clip(found.pixels + np.float32(0.1), 0, 1)
    out = io.BytesIO()
    photo.write(found, wanted, out)
    np.testing.assert_allclose(photo.read(out.getvalue()).pixels, wanted, atol=1e-4)


def test_colours_outside_srgb_keep_their_excess_and_lose_it_with_the_change(make: SimpleNamespace) -> None:
    samples = np.zeros((1, 3, 3), np.uint8)
    samples[..., 1] = 255  # the green of Display P3, far outside sRGB
    found = photo.read(make.pillow(samples, "PNG", icc_profile=make.matrix_profile("p3")))
    new = found.pixels.copy()
    new[0, 1] -= np.float32(0.02) * (new[0, 1] > 0)  # hardly changed
    new[0, 2] = 0.5  # became grey
    out = io.BytesIO()
    photo.write(found, new, out)
    after = photo.read(out.getvalue()).native[0].astype(int)
    np.testing.assert_array_equal(after[0], [0, 255, 0])
    assert after[1][0] < 30  # sRGB's own green would have 117 here
    assert after[1][1] in range(245, 255)
    assert np.ptp(after[2]) <= 1
    assert abs(int(after[2][0]) - 128) <= 1


@pytest.mark.parametrize(
    "tone", [1.8, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045), np.linspace(0, 1, 100) ** 2.4]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_profiles(make: SimpleNamespace, tone: object, dtype: type) -> None:
    samples = make.random((20, 30, 1), dtype)
    found = photo.read(make.tiff(samples, "minisblack", iccprofile=make.grey_profile(tone)))
    assert found.grey
    assert (found.space is None) == isinstance(tone, tuple)  # sRGB's own curve needs no conversion
    assert np.ptp(found.pixels, axis=2).max() == 0
    out = io.BytesIO()
    photo.write(found, found.pixels, out)
    again = photo.read(out.getvalue())
    np.testing.assert_array_equal(again.pixels, found.pixels)
    wanted = np.repeat(np.clip(found.pixels[..., :1] * 0.9 + 0.05, 0, 1), 3, axis=2)
    photo.write(found, wanted, out := io.BytesIO())
    np.testing.assert_allclose(photo.read(out.getvalue()).pixels, wanted, atol=4e-3 if dtype is np.uint8 else 5e-4)


def test_an_srgb_profile_changes_nothing_and_is_kept(make: SimpleNamespace) -> None:
    samples = make.random((9, 9, 3))
    for profile in (make.matrix_profile("srgb"), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()):
        found = photo.read(make.pillow(samples, "PNG", icc_profile=profile))
        assert found.space is None
        assert found.native is None
        assert found.icc == profile
        np.testing.assert_array_equal(np.rint(found.pixels * 255), samples)


def test_table_space_agrees_with_formulas(make: SimpleNamespace) -> None:
    """The same profile, once as a grid filled by Little CMS and once as its own formula."""
    profile = make.matrix_profile("p3")
    grid, formula = table_space(profile, inks=False), CurveSpace(icc.parse(profile))
    values = make.random((3000, 3)).astype(np.float32) / 255
    inside = formula.from_srgb(values)
    assert np.abs(grid.from_srgb(values) - inside).mean() < 0.5 / 255
    assert np.abs(grid.to_srgb(inside) - values).mean() < 0.5 / 255
    nodes = np.rint(np.linspace(0, 255, 33)).astype(np.uint8)[:, None].repeat(3, axis=1)
    np.testing.assert_allclose(
        grid.from_srgb(nodes / np.float32(255)) * 255, little_cms(profile, nodes, back=True), atol=1.01
    )


def test_rgb_profiles_with_tables(make: SimpleNamespace) -> None:
    """As scanners have: red and blue swapped is a colour space that no matrix and curves of ours would guess."""
    profile = make.table_profile(b"RGB ", lambda v: v[:, ::-1], lambda v: v[:, ::-1])
    samples = make.random((16, 16, 3), np.uint16)
    found = photo.read(make.tiff(samples, iccprofile=profile))
    assert isinstance(found.space, DeepSpace)
    assert found.notes == ()
    assert np.abs(found.pixels[..., ::-1] - samples / 65535).mean() < 0.02
    out = io.BytesIO()
    photo.write(found, found.pixels, out)
    np.testing.assert_array_equal(photo.read(out.getvalue()).native, samples)


@pytest.mark.parametrize("format", ["TIFF", "JPEG"])
@pytest.mark.parametrize("profiled", [False, True])
def test_cmyk_stays_cmyk(make: SimpleNamespace, format: str, profiled: bool) -> None:
    inks = make.smooth(32, 40, 4) if format == "JPEG" else make.random((32, 40, 4))
    inks[0, 0], inks[0, 1], inks[1, 0] = (0, 0, 0, 0), (0, 0, 0, 255), (255, 255, 255, 0)
    options = {"icc_profile": make.cmyk_profile()} if profiled else {}
    found = photo.read(make.pillow(inks, format, "CMYK", **options))
    assert found.mode == "CMYK"
    assert isinstance(found.space, (DeepSpace, InkSpace) if profiled else PlainInkSpace)
    out = io.BytesIO()
    photo.write(found, found.pixels, out)
    again = photo.read(out.getvalue())
    assert again.mode == "CMYK"
    assert again.icc == found.icc
    if format == "TIFF":
        np.testing.assert_allclose(found.pixels[0, :2], [[1, 1, 1], [0, 0, 0]], atol=3 / 255)
        np.testing.assert_array_equal(again.native, found.native)
    # Black as light as 0.9 of what the formula prints cannot be brighter than the paper: dark colours are met less well.
    wanted = np.clip(found.pixels * 0.5 + 0.3, 0, 1)
    photo.write(found, wanted, out := io.BytesIO())
    limit = 8 / 255 if profiled or format == "JPEG" else 1.5 / 255
    assert np.abs(photo.read(out.getvalue()).pixels - wanted).mean() < limit
    # Elsewhere it becomes sRGB, and the inks' profile must not be left on it.
    notes = photo.write(found, found.pixels, out := io.BytesIO(), format="PNG")
    assert any("CMYK became sRGB" in note for note in notes)
    png = photo.read(out.getvalue())
    assert png.icc is None
    assert np.abs(png.pixels - found.pixels).max() < 0.51 / 255


def test_plain_inks_invert(make: SimpleNamespace) -> None:
    space = PlainInkSpace()
    rgb = np.concatenate(
        [make.random((500, 3)).astype(np.float32) / 255, np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32)]
    )
    np.testing.assert_allclose(space.to_srgb(space.from_srgb(rgb)), rgb, atol=1e-6)


@pytest.mark.parametrize(
    "damage", ["short", "no signature", "grey in colour", "many tags", "flat curve", "no primaries"]
)
def test_unusable_profiles_are_noted_and_handed_on(make: SimpleNamespace, damage: str) -> None:
    good = make.matrix_profile("p3")
    profile = {
        "short": good[:90],
        "no signature": good[:36] + b"xxxx" + good[40:],
        "grey in colour": make.grey_profile(2.2),
        "many tags": good[:128] + b"\xff\xff\xff\xff" + good[132:],
        "flat curve": make.matrix_profile("p3", np.full(9, 0.5)),
        "no primaries": good.replace(good[good.index(b"XYZ ", 200) :][:20], b"XYZ " + bytes(16)),
    }[damage]
    samples = make.random((6, 6, 3))
    found = photo.read(make.pillow(samples, "PNG", icc_profile=profile))
    if damage != "no primaries":
        assert found.space is None
        assert "profile is not used" in found.notes[0]
        np.testing.assert_array_equal(np.rint(found.pixels * 255), samples)
    photo.write(found, found.pixels, out := io.BytesIO())
    assert photo.read(out.getvalue()).icc == profile


def test_profile_of_another_kind_is_refused() -> None:
    assert space_for(4, None)[0].__class__ is PlainInkSpace
    assert space_for(3, b"")[0] is None
