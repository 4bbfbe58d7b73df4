"""`unveil restore --method ...`: zero-shot methods from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unveil.cli import USAGE, main
from unveil.networks.diffusers_networks import DiffusersUNet, write_part
from unveil.zeroshot_restorer import Estimate, ZeroShotRestorer

UNET = {
    "_class_name": "UNet2DModel", "sample_size": 16, "in_channels": 3, "out_channels": 3, "block_out_channels": [4], "layers_per_block": 1,
    "norm_num_groups": 2, "down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"], "add_attention": False,
}  # fmt: skip


@pytest.fixture
def prior(tmp_path: Path) -> str:
    torch.manual_seed(0)
    write_part(tmp_path / "prior", "unet", UNET, DiffusersUNet(UNET))
    write_part(tmp_path / "prior", "scheduler", {"beta_schedule": "linear", "prediction_type": "v_prediction"})
    return str(tmp_path / "prior")


@pytest.fixture
def photo(tmp_path: Path) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_a_photograph_of_which_no_time_can_be_told_is_named_by_its_row(
    photo: str, prior: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = tmp_path / "narrow.png"
    Image.new("RGB", (1, 24)).save(narrow)
    call = ["--method", "ddrm", "--prior", prior, "--operator", "blur:sigma=1", "--steps", "2"]
    assert main(["restore", str(narrow), "-o", str(tmp_path / "out.png"), *call]) == 1
    assert "narrow.png: a photograph under 3 pixels" in capsys.readouterr().err
    assert main(["restore", str(narrow), photo, "-o", str(tmp_path / "out"), *call]) == 3
    assert "photo.png: about" in capsys.readouterr().err


def test_a_photograph_its_frames_and_its_row(
    photo: str, prior: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, rows, frames = tmp_path / "out.png", tmp_path / "rows.jsonl", tmp_path / "frames"
    call = [
        "restore",
        photo,
        "-o",
        str(out),
        "--method",
        "ddrm",
        "--prior",
        prior,
        "--operator",
        "blur:sigma=1",
        "--noise",
        "0.05",
    ]
    assert main([*call, "--steps", "3", "--seed", "2", "--frames", str(frames), "--manifest", str(rows)]) == 0
    assert size(out) == (20, 24)
    assert sorted(p.name for p in frames.iterdir()) == [f"out_{i:04d}.png" for i in (1, 2, 3)]
    assert size(frames / "out_0003.png") == (20, 24)
    row = json.loads(rows.read_text())
    assert row["protocol"]["method"] == "ddrm"
    assert row["protocol"]["operator"] == "blur:sigma=1"
    assert row["protocol"]["model"] == "prior"
    assert len(row["sha256"]) == 64
    assert "3 evaluations a draw" in capsys.readouterr().err


def test_a_note_of_two_stages_is_said_once(prior: str, tmp_path: Path) -> None:
    Image.new("CMYK", (24, 16), (30, 60, 90, 10)).save(tmp_path / "inks.jpg")
    rows = tmp_path / "rows.jsonl"
    call = [
        "restore",
        str(tmp_path / "inks.jpg"),
        "-o",
        str(tmp_path / "out.jpg"),
        "--method",
        "ddrm",
        "--prior",
        prior,
    ]
    assert main([*call, "--operator", "downsample:factor=2", "--steps", "2", "--manifest", str(rows)]) == 0
    notes = json.loads(rows.read_text())["notes"]
    assert notes.count("its colours became sRGB") == 1
    assert len(notes) == len(set(notes))


def test_uncertainty_of_a_method_without_fidelity_is_the_spread_of_eight_draws(
    photo: str, prior: str, tmp_path: Path
) -> None:
    call = [
        "restore",
        photo,
        "-o",
        str(tmp_path / "out.png"),
        "--method",
        "ddrm",
        "--prior",
        prior,
        "--operator",
        "identity",
    ]
    rows = tmp_path / "rows.jsonl"
    assert main([*call, "--noise", "0.05", "--steps", "2", "--uncertainty", "--manifest", str(rows)]) == 0
    assert json.loads(rows.read_text())["protocol"]["samples"] == 8
    assert (tmp_path / "out_std.png").exists()
    assert (tmp_path / "out_overlay.png").exists()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--method", "diffpirr"], "did you mean diffpir"),
        (["--method", "ddrm", "--operator", "blurr:sigma=1"], "did you mean blur"),
        (["--method", "ddrm", "--task", "dehaze"], "DDRM has no 'task'"),
        (["--method", "ldrps", "--task", "unknown"], "known are auto, lowlight, dehaze, denoise, colorize"),
        (["--method", "upzeroir", "--task", "unknown"], "lowlight, dehaze, denoise"),
        (["--method", "tao", "--task", "colorize"], "known are auto, lowlight, dehaze, denoise"),
        (["--method", "gdp", "--task", "dehaze"], "GDP has no 'task'"),
        (["--method", "ddrm", "-n", "other"], "name a prior with --prior"),
        (["--method", "ddrm", "--fidelity", "1"], "no fidelity"),
        (["--operator", "grey"], "only zero-shot methods take --operator"),
        (["--preset", "paper"], "only zero-shot methods take --preset"),
        (["--method", "ddrm", "--preset", "paper"], "DDRM has no preset paper; those of ldrps, upzeroir, gdp, tao"),
        (["--method", "dps", "--vgg", "vgg16.pth"], "DPS has no 'vgg'"),
        (["--method", "gdp", "--noise", "0.1"], "leave noise out"),
        (["--method", "ddrm", "--prior", "nowhere/at/all"], "no prior named"),
    ],
)
def test_wrong_calls_are_told(
    extra: list[str], said: str, photo: str, prior: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [] if "--prior" in extra or "--method" not in extra else ["--prior", prior]
    assert main(["restore", photo, "-o", str(tmp_path / "out.png"), *extra, *given]) == USAGE
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "out.png").exists()


def test_as_published_is_one_word(
    photo: str, prior: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ZeroShotRestorer, "estimate", lambda self, *size: Estimate(1000, 700.0))
    rows, call = tmp_path / "rows.jsonl", ["restore", photo, "-o", str(tmp_path / "out.png"), "--method", "gdp"]
    call += ["--prior", prior, "--preset", "paper", "--manifest", str(rows)]
    assert main(call) == USAGE
    told = capsys.readouterr().err
    assert "about 12 min here (1000 evaluations a draw)" in told
    assert "add --yes to begin" in told
    assert main([*call, "--yes", "--steps", "2", "--operator", "grey"]) == 0
    protocol = json.loads(rows.read_text())["protocol"]
    assert (protocol["steps"], protocol["operator"]) == (2, "grey"), "what is given is taken instead"


def test_what_takes_more_than_ten_minutes_asks_first(
    photo: str, prior: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ZeroShotRestorer, "estimate", lambda self, *size: Estimate(3, 400.0))
    other = tmp_path / "other.png"
    other.write_bytes(Path(photo).read_bytes())
    call = ["restore", "--method", "ddrm", "--prior", prior, "--operator", "identity", "--noise", "0.1", "--steps", "2"]
    assert main([*call, photo, "-o", str(tmp_path / "out.png")]) == 0  # 400 s: said, not asked
    assert "about 7 min" in capsys.readouterr().err
    assert main([*call, photo, str(other), "-o", f"{tmp_path / 'out'}/"]) == 2
    assert "about 13 min in all, which is long; add --yes to begin" in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*"))
    assert main([*call, photo, str(other), "-o", f"{tmp_path / 'out'}/", "--yes"]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_all_that_is_left_is_priced_by_its_pixels(
    photo: str, prior: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is nearly done does not ask, a large second photograph does, and a program that reads rows is asked too."""
    monkeypatch.setattr(ZeroShotRestorer, "estimate", lambda self, *size: Estimate(2, 70.0))
    large, out = tmp_path / "r.png", f"{tmp_path / 'out'}/"
    Image.fromarray(np.zeros((72, 100, 3), np.uint8)).save(large)  # 15 times the first one's 20 x 24
    call = ["restore", "--method", "ddrm", "--prior", prior, "--operator", "identity", "--noise", "0.1", "--steps", "2"]
    call += [photo, str(large), "-o", out]
    assert main(call) == USAGE
    told = capsys.readouterr().err
    assert "about 70 s here (2 evaluations a draw); 19 min for all 2" in told
    assert "about 19 min in all" in told
    assert main([*call, "--json"]) == USAGE
    assert "about 19 min in all" in capsys.readouterr().err
    assert main([*call, "--yes", "--json"]) == 0
    assert [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()] == ["restored"] * 2
    (tmp_path / "out" / "photo.png").unlink()
    assert main([*call, "--skip-existing"]) == 0, "the large one is there already"
    assert "about 70 s here (2 evaluations a draw)\n" in capsys.readouterr().err


def test_a_clip_is_priced_by_all_its_frames(
    prior: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ZeroShotRestorer, "estimate", lambda self, *size: Estimate(2, 70.0))
    frames = [Image.fromarray(np.full((20, 24, 3), 20 * n, np.uint8)) for n in range(12)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    call = ["restore", "--method", "ddrm", "--prior", prior, "--operator", "identity", "--noise", "0.1", "--steps", "2"]
    assert main([*call, str(tmp_path / "a.gif"), "-o", str(tmp_path / "b.gif")]) == USAGE
    assert "about 14 min here (2 evaluations a draw, 12 frames)" in capsys.readouterr().err
