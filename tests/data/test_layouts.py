"""Published benchmarks, recognised by their folders. The trees are synthetic: names as the authors' archives have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unveil.data import pairs
from unveil.data.dataset import of_benchmark
from unveil.data.files import Store
from unveil.data.pairs import LAYOUTS, recognise
from unveil.errors import InputError

# Layout -> files; a pair is written "degraded|clean", others stand alone. Then the number of training pairs and their scenes.
TREES: dict[str, tuple[list[str], int, set[str]]] = {
    "ISTD": (
        [
            *(f"ISTD_Dataset/train/train_A/{n}.png|ISTD_Dataset/train/train_C/{n}.png" for n in ("1-1", "1-2", "79-1")),
            "ISTD_Dataset/train/train_B/1-1.png",
            "ISTD_Dataset/test/test_A/90-1.png|ISTD_Dataset/test/test_C/90-1.png",
        ],
        3,
        {"1", "79"},
    ),
    "ISTD+": (["ISTD/train/train_A/1-1.png|ISTD/train/train_C_fixed_official/1-1.png"], 1, {"1"}),
    "SRD": (
        [
            "SRD/Train/shadow/IMG_1_5477.jpg|SRD/Train/shadow_free/IMG_1_5477_no_shadow.jpg",
            "SRD/test/shadow/IMG_2404.jpg|SRD/test/shadow_free/IMG_2404_free.jpg",
        ],
        1,
        set(),
    ),
    "O-HAZE": (
        [
            *(
                f"# O-HAZY NTIRE 2018/hazy/{n}_outdoor_hazy.jpg|# O-HAZY NTIRE 2018/GT/{n}_outdoor_GT.jpg"
                for n in ("01", "35", "36", "45")
            ),
        ],
        2,
        set(),
    ),
    "I-HAZE": (
        [
            *(
                f"# I-HAZY NTIRE 2018/hazy/{n}_indoor_hazy.jpg|# I-HAZY NTIRE 2018/GT/{n}_indoor_GT.jpg"
                for n in ("01", "25", "26")
            )
        ],
        2,
        set(),
    ),
    "HazyDet": (
        [
            *(
                f"HazyDet/train/hazy_images/{n}.jpg|HazyDet/train/clean_images/{n}.jpg"
                for n in ("0000002_00005_d_0000014", "0000002_00448_d_0000015")
            ),
            "HazyDet/val/hazy_images/0000001_02999_d_0000005.jpg|HazyDet/val/clean_images/0000001_02999_d_0000005.jpg",
        ],
        2,
        {"0000002"},
    ),
    "REVIDE": (
        [
            *(
                f"REVIDE_indoor/Train/hazy/{n}.JPG|REVIDE_indoor/Train/gt/{n}.JPG"
                for n in ("E001/00000", "E001/00001", "L004/00000")
            ),
            "REVIDE_indoor/Test/hazy/W002/00000.JPG|REVIDE_indoor/Test/gt/W002/00000.JPG",
        ],
        3,
        {"E001", "L004"},
    ),
    "RESIDE": (
        [
            "RESIDE/ITS/hazy/1_1_0.90179.png|RESIDE/ITS/clear/1.png",
            "RESIDE/ITS/hazy/1_2_0.97842.png",
            "RESIDE/OTS/hazy/0025_0.8_0.04.jpg|RESIDE/OTS/clear/0025.jpg",
            "RESIDE/SOTS/indoor/nyuhaze500/hazy/1400_1.png|RESIDE/SOTS/indoor/nyuhaze500/gt/1400.png",
        ],
        3,
        {"RESIDE/ITS/clear/1", "RESIDE/OTS/clear/0025"},
    ),
    "LOL v1": (
        [
            *(f"LOLdataset/our485/low/{n}.png|LOLdataset/our485/high/{n}.png" for n in (2, 5)),
            "LOLdataset/eval15/low/1.png|LOLdataset/eval15/high/1.png",
        ],
        2,
        set(),
    ),
    "LOL v2": (
        [
            "LOL-v2/Real_captured/Train/Low/low00001.png|LOL-v2/Real_captured/Train/Normal/normal00001.png",
            "LOL-v2/Synthetic/Train/Low/r000da54ft.png|LOL-v2/Synthetic/Train/Normal/r000da54ft.png",
            "LOL-v2/Real_captured/Test/Low/low00690.png|LOL-v2/Real_captured/Test/Normal/normal00690.png",
        ],
        2,
        set(),
    ),
    "RainDrop": (
        [
            "raindrop/train/data/0_rain.png|raindrop/train/gt/0_clean.png",
            "raindrop/test_a/data/0_rain.png|raindrop/test_a/gt/0_clean.png",
        ],
        1,
        set(),
    ),
    "Rain100": (
        [
            "rain/rain_data_train_Heavy/rain/X2/norain-1x2.png|rain/rain_data_train_Heavy/norain/norain-1.png",
            "rain/rain_data_train_Light/rain/norain-1x2.png|rain/rain_data_train_Light/norain/norain-1.png",
            "rain/RainTrainL/rain-7.png|rain/RainTrainL/norain-7.png",
            "rain/Rain100H/rainy/rain-001.png|rain/Rain100H/norain-001.png",
        ],
        3,
        set(),
    ),
    "GoPro": (
        [
            *(
                f"GoPro/train/{d}/blur/000047.png|GoPro/train/{d}/sharp/000047.png"
                for d in ("GOPR0372_07_00", "GOPR0374_11_00")
            ),
            "GoPro/train/GOPR0372_07_00/blur_gamma/000047.png",
            "GoPro/test/GOPR0384_11_00/blur/000001.png|GoPro/test/GOPR0384_11_00/sharp/000001.png",
        ],
        2,
        {"GOPR0372_07_00", "GOPR0374_11_00"},
    ),
    "SIDD": (
        [
            "SIDD_Small_sRGB_Only/Data/0001_001_S6_00100_00060_3200_L/NOISY_SRGB_010.PNG|SIDD_Small_sRGB_Only/Data/0001_001_S6_00100_00060_3200_L/GT_SRGB_010.PNG",
            *(
                f"SIDD_Medium_Srgb/Data/0008_001_S6_00800_00350_5500_L/0008_NOISY_SRGB_{n}.PNG|SIDD_Medium_Srgb/Data/0008_001_S6_00800_00350_5500_L/0008_GT_SRGB_{n}.PNG"
                for n in ("010", "011")
            ),
        ],
        3,
        {"001"},
    ),
    "RealSR": (
        [
            "RealSR(V3)/Canon/Train/4/Canon_001_LR4.png|RealSR(V3)/Canon/Train/4/Canon_001_HR.png",
            "RealSR(V3)/Nikon/Train/2/Nikon_001_LR2.png|RealSR(V3)/Nikon/Train/2/Nikon_001_HR.png",
            "RealSR(V3)/Canon/Test/4/Canon_050_LR4.png|RealSR(V3)/Canon/Test/4/Canon_050_HR.png",
        ],
        2,
        set(),
    ),
    "DIV2K x4": (
        [
            *(f"DIV2K/DIV2K_train_LR_bicubic/X4/{n}x4.png|DIV2K/DIV2K_train_HR/{n}.png" for n in ("0001", "0002")),
            "DIV2K/DIV2K_valid_LR_bicubic/X4/0801x4.png|DIV2K/DIV2K_valid_HR/0801.png",
        ],
        2,
        set(),
    ),
    "FaceShadow": (
        [
            *(
                f"FaceShadow/train/degraded/{n}.png|FaceShadow/train/clean/{n}.png"
                for n in ("anna_000001", "anna_000002")
            ),
            "FaceShadow/validation/degraded/bert_000003.png|FaceShadow/validation/clean/bert_000003.png",
        ],
        2,
        {"anna"},
    ),
}
CLEAN = {
    "DIV2K": (["DIV2K/DIV2K_train_HR/0001.png", "DIV2K/DIV2K_valid_HR/0801.png"], "train", 1),
    "LSDIR": (["LSDIR/HR/train/0001000/0000001.png", "LSDIR/HR/val/0000001.png"], "train", 1),
    "Kodak24": (["Kodak24/kodim01.png", "Kodak24/kodim24.png"], "test", 2),
    "CBSD68": (["CBSD68/original_png/0000.png", "CBSD68/original_png/0067.png"], "test", 2),
}


def plant(root: Path, files: list[str]) -> Path:
    """Small images under these names; the clean side of a layout that stores the degraded one smaller is twice as large."""
    for entry in files:
        for side, name in enumerate(entry.split("|")):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            large = side == 1 and ("_LR" in entry)
            Image.fromarray(np.zeros((8, 12, 3) if large else (4, 6, 3), np.uint8)).save(path)
    return next(p for p in root.iterdir())


def test_every_benchmark_of_the_table_is_tried_here() -> None:
    assert {layout.name for layout in LAYOUTS} <= {*TREES, *CLEAN, "DIV2K x2", "DIV2K x3", "DIV2K x8"}


@pytest.mark.parametrize("name", TREES)
def test_pairs_and_scenes_of_a_benchmark(tmp_path: Path, name: str) -> None:
    files, count, scenes = TREES[name]
    plant(tmp_path / "in", files)
    folder = next((tmp_path / "in").iterdir()) if len(list((tmp_path / "in").iterdir())) == 1 else tmp_path / "in"
    assert {f.layout.name for f in recognise(folder)} == {name}
    store = Store()
    found, misfits = of_benchmark(folder, "auto", "train", store)
    assert misfits == []
    wanted = {tuple(Path(p).name for p in f.split("|")) for f in files if "|" in f}
    assert len(found) == count
    for photo in found:
        assert photo.degraded is not None
        assert (photo.degraded.path.name, photo.clean.path.name) in wanted or name == "RESIDE"
        assert photo.degraded.pixels().shape == photo.clean.pixels().shape
    if scenes:
        assert {p.group for p in found} == scenes
    assert {p.degraded.path for p in of_benchmark(folder, name.lower(), "train", store)[0] if p.degraded} == {
        p.degraded.path for p in found if p.degraded
    }


@pytest.mark.parametrize("name", CLEAN)
def test_sets_of_clean_photographs(tmp_path: Path, name: str) -> None:
    files, split, count = CLEAN[name]
    folder = plant(tmp_path, files)
    found = recognise(folder, split=split)
    assert {f.layout.name for f in found} == {name}
    assert sum(len(f.photographs) for f in found) == count
    if split == "train":
        with pytest.raises(InputError, match=r"data\.photos"):
            of_benchmark(folder, "auto", split, Store())


def test_a_test_split_is_refused(tmp_path: Path) -> None:
    folder = plant(tmp_path, TREES["ISTD"][0])
    with pytest.raises(InputError, match="never trained on"):
        of_benchmark(folder, "ISTD", "test", Store())
    assert [len(f.match.pairs) for f in recognise(folder, "ISTD", "test")] == [1]  # it is known, to be told apart


def test_two_possible_layouts_are_named(tmp_path: Path) -> None:
    folder = plant(tmp_path, [*TREES["ISTD"][0], "ISTD_Dataset/train/train_C_fixed_official/1-1.png"])
    with pytest.raises(InputError, match=r"ISTD or ISTD\+"):
        recognise(folder)
    assert len(of_benchmark(folder, "ISTD+", "train", Store())[0]) == 1


def test_a_degraded_file_without_partner_is_a_misfit(tmp_path: Path) -> None:
    folder = plant(tmp_path, [*TREES["LOL v1"][0], "LOLdataset/our485/low/77.png"])
    assert ["77.png has no partner" in m for m in of_benchmark(folder, "auto", "train", Store())[1]] == [True]


def test_what_is_no_benchmark_says_what_is_known(tmp_path: Path) -> None:
    folder = plant(tmp_path, ["mine/a.png"])
    with pytest.raises(InputError, match=r"O-HAZE.*such as mine/a\.png"):
        recognise(folder)
    with pytest.raises(InputError, match="no benchmark layout is called 'IST'"):
        recognise(folder, "IST")
    with pytest.raises(InputError, match="no train split of GoPro"):
        recognise(folder, "GoPro")


def test_the_layout_of_benchmarks_does_not_depend_on_where_the_folder_is_named_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plant(tmp_path, TREES["RESIDE"][0])
    groups = {p.group for p in of_benchmark(folder, "auto", "train", Store())[0]}
    monkeypatch.chdir(folder)
    assert {p.group for p in of_benchmark(Path(), "auto", "train", Store())[0]} == groups
    assert pairs.names()
