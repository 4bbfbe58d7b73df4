"""A panorama of 360 degrees goes round: what the network is shown beyond its left and right edge is the other side."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import unveil
from unveil import photo
from unveil.photo import content, metadata
from unveil.restorer import Restorer

PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:ProjectionType="equirectangular" '
    b'GPano:CroppedAreaImageWidthPixels="320" GPano:FullPanoWidthPixels="320"/></rdf:RDF></x:xmpmeta>'
)
WIDE = 320


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return unveil.load("general", device="cpu", dtype="fp32")  # bf16 rounds by a level what is otherwise the same


def scene() -> np.ndarray:
    """(96, 320, 3) uint8: waves that go round, noisy."""
    y, x, c = np.ogrid[:96, :WIDE, :3]
    waves = (
        128 + 50 * np.sin(2 * np.pi * (3 * x / WIDE + c / 3)) + 30 * np.cos(y / 9) * np.sin(2 * np.pi * 10 * x / WIDE)
    )
    return np.clip(waves + np.random.default_rng(0).normal(0, 25, waves.shape), 0, 255).astype(np.uint8)


def panorama(samples: np.ndarray, packet: bytes | None = PACKET) -> photo.Photo:
    out = io.BytesIO()
    Image.fromarray(samples).save(out, "WEBP", lossless=True, exact=True, xmp=packet or b"")
    return photo.read(out.getvalue())


def turned(restorer: Restorer, samples: np.ndarray, packet: bytes | None = PACKET, **settings: object) -> float:
    """The largest difference, in levels, between the restoration and that of the turned panorama, turned back."""
    plain = restorer.restore(panorama(samples, packet), **settings).image
    half = restorer.restore(panorama(np.roll(samples, WIDE // 2, axis=1), packet), **settings).image
    return float(np.abs(np.roll(half, -WIDE // 2, axis=1) - plain).max() * 255)


@pytest.mark.parametrize("tile", [0, 336])
def test_turned_by_half_it_is_the_turned_restoration(restorer: Restorer, tile: int) -> None:
    assert turned(restorer, scene(), fix="noise", tile=tile) < 1


def test_a_flat_picture_has_a_seam(restorer: Restorer) -> None:
    """Without the metadata the edges are edges, as before, so the test above can fail."""
    assert turned(restorer, scene(), None, fix="noise") > 5


def test_light_goes_round_too(restorer: Restorer) -> None:
    """Coarse stages look as far as half the panorama."""
    assert turned(restorer, scene(), fix="haze") < 7
    assert turned(restorer, scene(), None, fix="haze") > 8


def test_noise_that_is_drawn_goes_round(restorer: Restorer) -> None:
    """A draw has no seam: what differs between the two sides of the edge differs no more than between any two columns."""
    drawn = restorer.restore(panorama(scene()), fix="noise", fidelity=0.0).image
    steps = np.abs(np.diff(drawn, axis=1, append=drawn[:, :1])).mean(axis=(0, 2))
    assert steps[-1] < 1.5 * np.median(steps) + steps.std()


def test_bars_at_the_sides_and_turned_files_are_flat(restorer: Restorer) -> None:
    samples = scene()
    samples[:, :20] = 0
    samples[:, -20:] = 0
    assert restorer.restore(panorama(samples), fix="noise").image.shape == samples.shape


@pytest.mark.parametrize(
    ("packet", "width", "round"),
    [
        (PACKET, 320, True),
        (PACKET, 160, True),  # a smaller copy: nothing is cropped all the same
        (PACKET.replace(b'AreaImageWidthPixels="320"', b'AreaImageWidthPixels="200"'), 200, False),
        (PACKET.replace(b"equirectangular", b"cylindrical"), 320, False),
        (PACKET.replace(b'GPano:CroppedAreaImageWidthPixels="320" ', b""), 320, True),
        (PACKET.replace(b'GPano:CroppedAreaImageWidthPixels="320" ', b""), 200, False),
        (b'<r><GPano:ProjectionType>equirectangular</GPano:ProjectionType></r>', 320, True),
        (None, 320, False),
    ],
)  # fmt: skip
def test_what_goes_round(packet: bytes | None, width: int, round: bool) -> None:
    assert metadata.goes_round(packet, width) == round


def test_the_other_side_is_beyond_the_edge() -> None:
    pixels = np.arange(5)[None, :, None] * np.ones((2, 1, 3))
    assert content.around(pixels, 2)[0, :, 0].tolist() == [3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert content.around(pixels, 0) is pixels
