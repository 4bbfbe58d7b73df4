"""Listing photographs without decoding them, splits, and crops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from unveil.data import files as module
from unveil.data.dataset import Photograph, crops, cut, hold_out, load_clean, rng, scene_of
from unveil.data.files import Picture, Store, decode
from unveil.errors import InputError

Write = Callable[..., Path]


def test_nothing_is_decoded_and_large_photographs_come_twice(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("photos/large.png", 40, 50)
    write("photos/small.png", 20, 50)
    monkeypatch.setattr(module, "decode", lambda path: pytest.fail(f"{path} was decoded"))
    found = load_clean([tmp_path / "photos"], Store(), halve_from=40)
    assert [(p.name, p.clean.shape) for p in found] == [
        ("large", (40, 50, 3)),
        ("large", (20, 25, 3)),
        ("small", (20, 50, 3)),
    ]


def photograph(name: str, scene: str = "") -> Photograph:
    return Photograph(name, Picture(Store(), Path(name), (1, 1)), scene=scene)


def test_a_split_keeps_copies_and_scenes_together() -> None:
    photographs = [photograph(f"{i // 3:02d}_{i}", scene=f"{i // 3:02d}") for i in range(60)] + [
        photograph("00_again", "00")
    ]
    kept, held = hold_out(photographs, 0.1)
    assert {p.scene for p in held} == {"00", "10"}
    assert {p.scene for p in kept}.isdisjoint({p.scene for p in held})
    assert len(kept) + len(held) == 61
    assert hold_out(photographs, 0) == (photographs, [])
    hundred = [Photograph(f"{i:03}", photographs[0].clean) for i in range(100)]
    assert [len(hold_out(hundred, share)[1]) for share in (0.06, 0.1, 0.3, 0.4, 0.45, 0.5, 0.9)] == [
        6,
        10,
        34,
        40,
        45,
        50,
        90,
    ]


def test_scenes_come_from_a_pattern() -> None:
    assert scene_of("79-12", r"^(\d+)-") == "79"
    assert scene_of("GOPR0372/000047", r"GOPR\d+") == "GOPR0372"
    assert scene_of("other", r"^(\d+)-") == ""
    with pytest.raises(InputError, match="regular expression"):
        scene_of("a", "(")


def test_a_crop_may_reach_further_than_its_size(write: Write) -> None:
    path = write("photo.png", 24, 60)
    photographs = [Photograph("a", Picture(Store(), path, (24, 60)))]
    whole = torch.from_numpy(decode(path).transpose(2, 0, 1).copy()).float() / 255
    wide, _ = crops(photographs, 60, 8, rng(2, 2), reach=200)
    assert wide.shape == (60, 3, 8, 8)
    # A reduced crop of up to the short side has less contrast than pixels cut out as they are, and the same mean.
    near, _ = crops(photographs, 60, 8, rng(2, 2))
    assert wide.std((1, 2, 3)).mean() < 0.6 * near.std((1, 2, 3)).mean()
    assert abs(float(wide.mean() - whole.mean())) < 0.05


def test_crops_are_a_function_of_the_generator_and_partners_stay_aligned(write: Write) -> None:
    store = Store()
    picture = Picture(store, write("a.png", 40, 50), (40, 50))
    pairs = [Photograph("a", picture, picture)]
    clean, degraded = crops(pairs, 12, 16, rng(5, 1))
    again, _ = crops(pairs, 12, 16, rng(5, 1))
    other, _ = crops(pairs, 12, 16, rng(5, 2))
    assert degraded is not None
    assert torch.equal(clean, degraded)
    assert torch.equal(clean, again)
    assert not torch.equal(clean, other)
    assert clean.shape == (12, 3, 16, 16)
    assert 0 <= float(clean.min()) < float(clean.max()) <= 1


def test_a_photograph_smaller_than_the_crop_is_mirrored() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    out = cut(pixels, 0, 0, 4)
    assert np.array_equal(out[:2, :2], pixels)
    assert np.array_equal(out[2:], out[1::-1])


def test_an_unreadable_photograph_is_drawn_around_the_same_way_each_time(write: Write) -> None:
    paths = [write(f"{i}.png", seed=i) for i in range(4)]
    whole = paths[2].read_bytes()
    paths[2].write_bytes(whole[: len(whole) // 2])

    def draw(warm: bool) -> torch.Tensor:
        store = Store()
        store.counted = 1000
        photographs = [Photograph(p.name, Picture(store, p, (20, 24))) for p in paths]
        if warm:  # the order in which files are met must not matter
            for p in (photographs[0], photographs[3]):
                p.clean.pixels()
        out = crops(photographs, 40, 8, rng(0, 0))[0]
        assert list(store.unreadable) == [paths[2]]
        return out

    assert torch.equal(draw(False), draw(True))


def test_too_many_unreadable_ones_end_the_drawing(write: Write) -> None:
    store = Store()
    store.counted = 50
    path = write("a.png")
    path.write_bytes(b"\x89PNG broken")
    with pytest.raises(InputError, match="1 of 50 image files cannot be read"):
        crops([Photograph("a", Picture(store, path, (20, 24)))], 1, 8, rng(0, 0))
    store.counted = 100_000  # few enough in all, but none of this set
    with pytest.raises(InputError, match="none of 1000 photographs"):
        crops([Photograph("a", Picture(store, path, (20, 24)))], 1, 8, rng(0, 0))


def test_the_first_pixels_of_an_unturned_crop_are_the_file_s(write: Write) -> None:
    path = write("a.png", 16, 16)
    found, _ = crops([Photograph("a", Picture(Store(), path, (16, 16)))], 30, 16, rng(1, 1))
    upright = torch.from_numpy(decode(path).copy()).permute(2, 0, 1).float() / 255
    assert sum(torch.equal(f, upright) for f in found) >= 5  # 0.7 * 0.5 of them
