"""Mixtures of pairs and simulated damage, and what is said about material that does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unveil import degradation
from unveil.data.dataset import crops, hold_out, rng
from unveil.errors import InputError
from unveil.training.batches import Source, scan
from unveil.training.settings import Data, Pairs, Stage

ON_DISK = Pairs("degraded", "clean", weight=0.5)


def test_pairs_come_first_then_photographs_through_the_simulators(pairs: Path) -> None:
    data = Data(root=str(pairs), photos=["clean"], pairs=[ON_DISK], kinds={"noise": 1.0, "haze": 2.0}, held_out=0.2)
    source = Source(data)
    batch = source.draw(5, 9, 8, 16, False)
    generator = rng(5, 9)
    torch_generator = torch.Generator().manual_seed(int(generator.integers(2**62)))
    real, simulated = generator.multinomial(8, [0.5, 0.5])
    x, y = crops(source.pairs[0][1], real, 16, generator)
    z, _ = crops(source.photos, simulated, 16, generator)
    damaged, _, _ = degradation.mixture(z, torch_generator, weights=data.kinds, second=data.second, clean=data.clean)
    assert y is not None
    assert torch.equal(batch.x0, torch.cat([x, z]) * 2 - 1)
    assert torch.equal(batch.y, torch.cat([y, damaged]) * 2 - 1)


def test_dark_photographs_stay_dark_and_never_meet_damage_of_the_light(pairs: Path) -> None:
    kinds = {"lowlight": 1.0, "noise": 1.0}
    data = Data(root=str(pairs), photos=["clean"], kinds=kinds, clean=0.0, second=0.0, exposure=1.0, held_out=0.0)
    dark = Source(data).draw(4, 2, 24, 16, False)
    plain = Source(replace(data, kinds={"noise": 1.0}, exposure=0.0)).draw(4, 2, 24, 16, False)
    assert (dark.x0 <= plain.x0 + 1e-5).all()
    assert (plain.x0.mean((1, 2, 3)) - dark.x0.mean((1, 2, 3))).median() > 0.2
    # Only noise is left of the kinds: at most 60/255 in [0, 1], while low light would take the picture away from its target.
    assert float((dark.y - dark.x0).mean((1, 2, 3)).abs().max()) < 0.2


def test_dark_photographs_stay_as_they_are_where_all_damage_is_of_the_light(pairs: Path) -> None:
    data = Data(
        root=str(pairs), photos=["clean"], kinds={"haze": 1.0, "noise": 0.0}, clean=0.0, exposure=0.5, held_out=0.0
    )
    batch = Source(data).draw(4, 2, 24, 16, False)
    hazy = batch.kinds.amax(1) > 0
    assert 4 < int(hazy.sum()) < 20
    assert torch.equal(batch.y[~hazy], batch.x0[~hazy])
    assert (batch.y[hazy] != batch.x0[hazy]).flatten(1).any(1).all()
    dark, bright = (batch.x0[chosen].mean() for chosen in (~hazy, hazy))
    assert dark < bright - 0.2


def test_reduced_views_reach_further(pairs: Path) -> None:
    data = Data(root=str(pairs), pairs=[ON_DISK], held_out=0.0, reach=48)
    near, far = (Source(replace(data, reach=r)).draw(1, 1, 16, 8, True).x0 for r in (0, 48))
    detail = [float((x[..., 1:] - x[..., :-1]).abs().mean()) for x in (near, far)]
    assert detail[1] > 1.2 * detail[0]  # the same side shows up to three times as much of the scene
    assert torch.equal(
        Source(data).draw(1, 1, 16, 8, False).x0, Source(replace(data, reach=0)).draw(1, 1, 16, 8, False).x0
    )


def test_a_batch_is_a_function_of_seed_step_and_part(pairs: Path) -> None:
    source = Source(Data(root=str(pairs), pairs=[ON_DISK]))
    seen = [source.draw(seed, step, 2, 16, False, part).x0 for seed in (0, 1) for step in (0, 1) for part in (0, 1)]
    assert all(not torch.equal(a, b) for i, a in enumerate(seen) for b in seen[:i])
    assert torch.equal(Source(source.data).draw(1, 1, 2, 16, False, 1).x0, seen[-1])


@pytest.mark.parametrize(
    ("crop", "side"), [(32, 64), (64, 128), (96, 128), (128, 128), (192, 64), (256, 128), (512, 256)]
)
def test_reduced_views_have_as_many_pixels(pairs: Path, crop: int, side: int) -> None:
    source = Source(Data(root=str(pairs), pairs=[ON_DISK]))
    count = max(1, 4 * side**2 // crop**2)
    batch = source.stage_batch(Stage(batch=count, crop=crop, low=1.0), 0, 0)
    assert batch.low
    assert batch.x0.shape[-2:] == (side, side)
    assert len(batch.x0) == max(1, count * crop**2 // side**2)


def test_weights_of_a_mixture_are_kept_on_average(pairs: Path, tmp_path: Path) -> None:
    for side, value in (("degraded", 10), ("clean", 250)):  # a second set, told apart by its colour
        (tmp_path / side).mkdir()
        for i in range(3):
            Image.fromarray(np.full((20, 20, 3), value, np.uint8)).save(tmp_path / side / f"{i}.png")
    flat = Pairs(str(tmp_path / "degraded"), str(tmp_path / "clean"), weight=3.0)
    source = Source(Data(root=str(pairs), pairs=[Pairs("degraded", "clean", weight=1.0), flat], held_out=0.0))
    flats = sum(int((source.draw(0, s, 8, 16, False).x0.std((1, 2, 3)) == 0).sum()) for s in range(50))
    assert flats == pytest.approx(300, abs=35)  # 400 draws at 3/4: standard deviation 8.7


def test_the_two_sides_of_the_split_share_nothing(pairs: Path) -> None:
    data = Data(root=str(pairs), photos=["clean"], pairs=[ON_DISK], held_out=0.3)
    material = scan(data)
    kept, held = (Source(data, held_out=h, material=material) for h in (False, True))
    names = [{p.name for p in s.photos} | {p.name for _, found in s.pairs for p in found} for s in (kept, held)]
    assert names[0].isdisjoint(names[1])
    assert len(names[0] | names[1]) == 6


def _sides(data: Data) -> tuple[set[Path], set[Path]]:
    """The files that are trained on, and those held out."""
    material = scan(data)
    kept, held = (Source(data, held_out=h, material=material).pictures for h in (False, True))
    return {p.path.resolve() for p in kept}, {p.path.resolve() for p in held}


def test_no_file_is_trained_on_that_another_entry_holds_out(tmp_path: Path, write: Callable[[Path], None]) -> None:
    for name in "abcdef":
        write(tmp_path / "clean" / "park" / f"{name}.png")
        for low in ("dim", "dark"):
            write(tmp_path / low / "park" / f"{name}_{low}.png")
    for name in "gh":  # clean photographs that have no degraded version
        write(tmp_path / "clean" / f"{name}.png")
    (tmp_path / "link").symlink_to(tmp_path / "clean")
    sets = [
        Pairs("dim", "clean", degraded_name="*_dim", weight=0.3, unpaired="skip"),
        Pairs("dark", "link", degraded_name="*_dark", weight=0.3, unpaired="skip", scene="[ef]"),
    ]
    data = Data(root=str(tmp_path), photos=["clean"], pairs=sets, held_out=0.3)
    material = scan(data)
    held = Source(data, held_out=True, material=material)
    alone = hold_out(material.photos, 0.3)[1], *(hold_out(found, 0.3)[1] for _, found in material.pairs)
    assert [held.photos[: len(alone[0])], *(found for _, found in held.pairs)] == list(alone), (
        "the splits are as before"
    )
    assert len({frozenset(p.clean.path.stem for p in found) for found in alone}) == 3, "the entries' splits differ"
    kept_files, held_files = _sides(data)
    assert kept_files
    assert not kept_files & held_files


def test_a_half_size_copy_goes_where_its_photograph_goes(tmp_path: Path) -> None:
    for side in ("low", "high"):
        for n in range(6):
            (tmp_path / side / "x").mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (512, 512)).save(tmp_path / side / "x" / f"{n}.png")
    Image.new("RGB", (512, 512)).save(tmp_path / "high" / "0a.png")
    data = Data(root=str(tmp_path), photos=["high"], pairs=[Pairs("low", "high", unpaired="skip")], held_out=0.3)
    kept, held = _sides(data)
    assert any(p.clean.half for p in Source(data).photos)
    assert not kept & held


def test_misfits_of_all_sets_are_listed_at_once(pairs: Path, tmp_path: Path, write: Callable[[Path], None]) -> None:
    for name in ("one/low/a", "one/low/b", "one/high/a", "two/low/c", "two/low/d", "two/high/c", "two/high/e"):
        write(tmp_path / f"{name}.png")
    sets = [Pairs("one/low", "one/high"), Pairs("two/low", "two/high")]
    with pytest.raises(InputError) as caught:
        Source(Data(root=str(tmp_path), pairs=sets))
    message = str(caught.value)
    assert message.startswith("3 misfits: ")
    assert all(
        part in message for part in ("b.png has no partner", "d.png has no partner", "e.png has no degraded version")
    )
    assert "unpaired: skip" in message
    skipping = [Pairs(p.degraded, p.clean, unpaired="skip") for p in sets]
    source = Source(Data(root=str(tmp_path), pairs=skipping, held_out=0.0))
    assert [[p.name for p in found] for _, found in source.pairs] == [["a"], ["c"]]


def test_a_set_of_which_nothing_matches_is_named_with_some_of_its_files(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    for n in range(5):
        write(tmp_path / "low" / f"{n}.png")
        write(tmp_path / "high" / f"{n}_gt.png")
    data = Data(root=str(tmp_path), pairs=[Pairs("low", "high", unpaired="skip")])
    with pytest.raises(InputError, match=r"data\.pairs\.0: no pair matches.*low/0\.png.*high/4_gt\.png.*clean_name"):
        scan(data)
    named = replace(data, pairs=[replace(data.pairs[0], clean_name="*_gt")])
    assert len(scan(named).pairs[0][1]) == 5


@pytest.fixture
def write() -> Callable[[Path], None]:
    def to(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20)).save(path)

    return to


def test_a_benchmark_is_trained_on_by_its_folder(tmp_path: Path, write: Callable[[Path], None]) -> None:
    for n in ("1-1", "2-1", "3-1"):
        write(tmp_path / "ISTD_Dataset" / "train" / "train_A" / f"{n}.png")
        write(tmp_path / "ISTD_Dataset" / "train" / "train_C" / f"{n}.png")
    source = Source(Data(root=str(tmp_path), pairs=[Pairs(folder="ISTD_Dataset")], held_out=0.4))
    assert len(source.pairs[0][1]) == 1
    assert len(Source(Data(root=str(tmp_path), pairs=[Pairs(folder="ISTD_Dataset")])).pairs[0][1]) == 3, "as papers do"
    with pytest.raises(InputError, match="never trained on"):
        Source(Data(root=str(tmp_path), pairs=[Pairs(folder="ISTD_Dataset", split="test")]))


def test_a_set_that_is_held_out_whole_is_refused(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "low" / "a.png")
    write(tmp_path / "high" / "a.png")
    data = Data(root=str(tmp_path), pairs=[Pairs("low", "high")])
    with pytest.raises(InputError, match=r"data\.pairs\.0 has nothing left .* set data\.held_out 0"):
        Source(data)
    # Of a benchmark nothing is held out, but what photos hold out is trained on by no entry.
    write(tmp_path / "ISTD_Dataset" / "train" / "train_A" / "1-1.png")
    write(tmp_path / "ISTD_Dataset" / "train" / "train_C" / "1-1.png")
    data = Data(root=str(tmp_path), photos=["ISTD_Dataset/train/train_C"], pairs=[Pairs(folder="ISTD_Dataset")])
    with pytest.raises(InputError, match=r"data\.pairs\.0 has nothing left .*: 0 of it is .* other entries"):
        Source(data)


def test_unreadable_files_are_left_out_or_too_many(tmp_path: Path, write: Callable[[Path], None]) -> None:
    for i in range(120):
        write(tmp_path / "photos" / f"{i:03d}.png")
    (tmp_path / "photos" / "007.png").write_text("not an image")
    source = Source(Data(root=str(tmp_path), photos=["photos"]))
    assert [p.name for p in source.store.unreadable] == ["007.png"]
    assert "007" not in {p.name for p in source.photos}
    (tmp_path / "photos" / "008.png").write_text("neither")
    with pytest.raises(InputError, match=r"2 of 120 image files cannot be read.*007\.png.*008\.png"):
        Source(Data(root=str(tmp_path), photos=["photos"]))


def test_mild_damage_is_on_top_of_real_pairs_and_of_nothing_else(pairs: Path) -> None:
    """As robust DA-CLIP trains; without it the batches are bit for bit what they were."""
    data = Data(root=str(pairs), photos=["clean"], pairs=[ON_DISK], kinds={"noise": 1.0}, held_out=0.0)
    mild = replace(data, pairs=[replace(ON_DISK, mild=1.0)])
    plain, touched = (Source(d).draw(5, 9, 16, 16, False) for d in (data, mild))
    generator = rng(5, 9)
    generator.integers(2**62)
    real = int(generator.multinomial(16, [0.5, 0.5])[0])
    assert torch.equal(plain.x0[:real], touched.x0[:real])
    off = (touched.y[:real] - plain.y[:real]).abs().flatten(1).mean(1)
    assert 0.5 < float((off > 0).float().mean()) <= 1  # one in eight is left alone by all three
    assert float(off.max()) < 0.25  # mild: on [-1, 1]
    assert torch.equal(touched.y, Source(mild).draw(5, 9, 16, 16, False).y)
    half = Source(replace(data, pairs=[replace(ON_DISK, mild=0.5)])).draw(5, 9, 16, 16, False)
    share = float(((half.y[:real] - plain.y[:real]).abs().flatten(1).max(1).values > 0).float().mean())
    assert 0 < share < 1
