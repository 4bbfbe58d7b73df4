from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unveil import cli
from unveil.data import leaks
from unveil.data.leaks import Leak, find_leaks

EXAMPLES = Path(__file__).resolve().parents[2] / "src/unveil/examples"


def picture(seed: int, side: int = 256) -> np.ndarray:
    """(side, side) in [0, 1]: coloured noise whose spectrum falls like that of photographs, different for each seed."""
    rng = np.random.default_rng(seed)
    f = np.fft.fftfreq(side)
    spectrum = np.fft.fft2(rng.normal(size=(side, side))) / (np.hypot(f[:, None], f[None, :]) + 1 / side)
    made = np.fft.ifft2(spectrum).real
    return (made - made.min()) / (made.max() - made.min())


def save(path: Path, pixels: np.ndarray, quality: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.rint(pixels * 255).astype(np.uint8))
    if quality:
        memory = io.BytesIO()
        image.save(memory, "JPEG", quality=quality)
        image = Image.open(memory)
    image.save(path)
    return path


def pairs(folder: Path, **settings: bool) -> list[tuple[str, str, str]]:
    found = find_leaks(folder / "train", folder / "test", **settings)
    return [(leak.test.stem, leak.train.stem, leak.by) for leak in found.leaks]


def test_copies_are_found_whatever_was_done_to_them(tmp_path: Path) -> None:
    for seed in range(6):
        save(tmp_path / f"test/{seed}.png", picture(seed))
    save(tmp_path / "train/dark.png", 0.1 * picture(0))
    save(tmp_path / "train/jpeg.png", picture(1), quality=20)
    save(tmp_path / "train/gamma.png", picture(2) ** 1.8)
    save(tmp_path / "train/mirrored.png", picture(3)[:, ::-1])
    save(tmp_path / "train/small.png", picture(4)[::2, ::2])
    save(tmp_path / "train/other.png", picture(99))
    names = ["dark", "jpeg", "gamma", "mirrored", "small"]
    assert pairs(tmp_path, features=False) == [(str(n), name, "hash") for n, name in enumerate(names)]


def test_pieces_and_turned_views_are_found_by_features(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    photo = Image.open(EXAMPLES / "coffee.jpg").convert("L")
    width, height = photo.size
    (tmp_path / "test").mkdir()
    (tmp_path / "train").mkdir()
    photo.save(tmp_path / "test/coffee.png")
    Image.open(EXAMPLES / "rocket.jpg").save(tmp_path / "test/rocket.png")
    photo.crop((width // 4, height // 4, width * 7 // 8, height * 7 // 8)).save(tmp_path / "train/piece.png")
    turned = photo.rotate(12, Image.Resampling.BICUBIC, fillcolor=0)
    turned.point(lambda v: v // 4).save(tmp_path / "train/turned.png")
    Image.open(EXAMPLES / "astronaut.jpg").save(tmp_path / "train/astronaut.png")
    assert pairs(tmp_path, features=True) == [("coffee", "piece", "features"), ("coffee", "turned", "features")]
    assert pairs(tmp_path, features=False) == []


def test_flat_pictures_are_no_copies_of_each_other(tmp_path: Path) -> None:
    for folder, level in (("train", 0.2), ("test", 0.6)):
        save(tmp_path / folder / "flat.png", np.full((64, 64), level))
    assert pairs(tmp_path) == []


def test_one_folder_finds_its_twins_once(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2), ("c", 1)):
        save(tmp_path / "all" / f"{name}.png", picture(seed))
    found = find_leaks(tmp_path / "all", tmp_path / "all", features=False)
    assert found.leaks == (Leak(tmp_path / "all/c.png", tmp_path / "all/a.png", "hash", leaks.BITS),)


def test_the_command_names_pairs_and_what_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test, train = save(tmp_path / "test/1.png", picture(1)), save(tmp_path / "train/7.png", picture(1))
    (tmp_path / "train/broken.png").write_bytes(b"no picture")
    (tmp_path / "test/2.heic").touch()
    assert cli.main(["data", "leaks", str(train.parent), str(test.parent), "--no-features"]) == 3
    told = capsys.readouterr()
    assert told.out == f"{test}  {train}  hash {leaks.BITS}\n"
    assert "broken.png: is not an image" in told.err
    assert told.err.count("2.heic: passed over, since .heic is not read here") == 1
    assert "1 of 1 test pictures are among 1 training pictures" in told.err
    (tmp_path / "train/broken.png").unlink()
    save(train, picture(2))
    assert cli.main(["data", "leaks", str(train.parent), str(test.parent), "--no-features"]) == 0


def test_without_scikit_image_features_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "train/1.png", picture(1))
    save(tmp_path / "test/1.png", picture(1))
    monkeypatch.setattr(leaks.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(leaks.InputError, match=r"pip install .*\[leaks\]'"):
        find_leaks(tmp_path / "train", tmp_path / "test", features=True)
    assert not find_leaks(tmp_path / "train", tmp_path / "test").features


@pytest.mark.shared
def test_low_light_pictures_are_found_by_their_bright_partners(shared: Path) -> None:
    """LOL's eval15: fifteen shots, each at two exposures."""
    found = find_leaks(shared / "data/test/LOL_eval15/low", shared / "data/test/LOL_eval15/high", features=False)
    pairs = {(leak.test.stem, leak.train.stem) for leak in found.leaks}
    assert pairs >= {(path.stem, path.stem) for path in (shared / "data/test/LOL_eval15/high").iterdir()}
    assert {tuple(sorted(pair)) for pair in pairs if len(set(pair)) > 1} <= {("22", "23")}  # one room, twice


@pytest.mark.shared
def test_different_photographs_are_not_taken_for_one(shared: Path) -> None:
    """Kodak24 against the small clean sets: the published 256-pixel copies are pieces, seen by features alone."""
    assert find_leaks(shared / "data/test/Set5", shared / "data/test/Kodak24", features=False).leaks == ()


@pytest.mark.shared
@pytest.mark.slow
def test_published_pieces_are_found_and_nothing_else(shared: Path) -> None:
    """Kodak24 against the 256-pixel copies of the zero-shot papers: cut square, reduced, and noisy."""
    found = find_leaks(
        shared / "data/test/tao256/Kodak24_256x256/degraded", shared / "data/test/Kodak24", features=True
    )
    assert [(leak.test.stem, leak.train.stem) for leak in found.leaks] == [
        (f"{n:02}", f"kodim{n:02}") for n in range(1, 25)
    ]
