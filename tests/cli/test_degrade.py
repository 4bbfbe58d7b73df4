from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from unveil.cli import main
from unveil.degradation import KINDS, apply
from unveil.degradation.primitives import own_seed


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    small.resize((64, 48), Image.Resampling.BICUBIC).save(tmp_path / "p.png")
    return tmp_path / "p.png"


def account(path: Path) -> dict:
    return json.loads(path.with_name(path.name + ".json").read_text())


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_writes_a_picture_and_an_account(tmp_path: Path, picture: Path, kind: str) -> None:
    out = tmp_path / "out" / "d.png"
    assert main(["degrade", str(picture), "-o", str(out), "--kind", kind, "--severity", "0.5", "--seed", "4"]) == 0
    told = account(out)
    assert (told["kind"], told["seed"], told["severity"], told["status"]) == (kind, 4, 0.5, "degraded")
    before, after = (np.asarray(Image.open(p)).astype(float) / 255 for p in (picture, out))
    assert after.shape == before.shape
    assert np.abs(after - before).max() > 2 / 255
    x = torch.from_numpy(before).permute(2, 0, 1)[None].float()
    y = apply(kind, x, torch.Generator().manual_seed(own_seed(4, picture.name)), 0.5)[0]
    np.testing.assert_allclose(after, y[0].permute(1, 2, 0).numpy(), atol=0.5 / 255 + 1e-6)


def test_the_account_of_the_wild_lists_the_operations(tmp_path: Path, picture: Path) -> None:
    out = tmp_path / "d.png"
    for seed in range(20):
        assert main(["degrade", str(picture), "-o", str(out), "--kind", "wild", "--seed", str(seed)]) == 0
        told = account(out)
        names = [e["operation"] for e in told["events"]]
        assert ("jpeg block" in told["labels"]) == ("jpeg" in names)
        assert ("noise" in told["labels"]) == ("noise" in names)
        if told["events"]:
            assert 0 < told["severity"] < 1
    assert set(names) <= {"blur", "under_display", "resize", "noise", "jpeg"}


def test_types_are_named_and_maps_are_summed_up(tmp_path: Path, picture: Path) -> None:
    out = tmp_path / "d.png"
    main(["degrade", str(picture), "-o", str(out), "--kind", "noise"])
    assert account(out)["type"] in {"colour", "grey", "camera", "correlated", "blotched", "demosaiced", "grain"}
    main(["degrade", str(picture), "-o", str(out), "--kind", "haze"])
    told = account(out)
    assert told["transmission"]["shape"] == [48, 64]
    assert 0 <= told["transmission"]["min"] <= told["transmission"]["mean"] <= told["transmission"]["max"] <= 1
    assert len(told["airlight"]) == 3


def test_a_file_is_damaged_alike_alone_and_in_company(tmp_path: Path, picture: Path) -> None:
    other = tmp_path / "q.png"
    other.write_bytes(picture.read_bytes())
    both = tmp_path / "both"
    assert main(["degrade", str(other), str(picture), "-o", f"{both}/", "--kind", "noise", "--seed", "9"]) == 0
    assert main(["degrade", str(picture), "-o", str(tmp_path / "alone.png"), "--kind", "noise", "--seed", "9"]) == 0
    assert (both / "p.png").read_bytes() == (tmp_path / "alone.png").read_bytes()
    assert (both / "p.png").read_bytes() != (both / "q.png").read_bytes()
    assert {p.name for p in both.iterdir()} == {"p.png", "p.png.json", "q.png", "q.png.json"}


def test_a_broken_file_stops_nobody(tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "b.png"
    broken.write_bytes(picture.read_bytes()[:100])
    out = tmp_path / "out"
    assert main(["degrade", str(broken), str(picture), "-o", f"{out}/", "--kind", "jpeg", "--json"]) == 3
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [r["status"] for r in rows] == ["failed", "degraded"]
    assert "b.png" in rows[0]["reason"]
    assert {p.name for p in out.iterdir()} == {"p.png", "p.png.json"}
    assert main(["degrade", str(broken), "-o", f"{out}/", "--kind", "jpeg"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "hase"], "did you mean haze"),
        (["--kind", "haze", "--severity", "2"], "severity must lie in [0, 1]"),
    ],
)
def test_wrong_use_is_explained(
    tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["degrade", str(picture), "-o", str(tmp_path / "d.png"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "d.png").exists()


def test_nothing_named_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["degrade", "-o", str(tmp_path / "d.png"), "--kind", "haze"]) == 2
    assert "name at least one photograph" in capsys.readouterr().err


def test_folders_are_mirrored(tmp_path: Path, picture: Path) -> None:
    tree = tmp_path / "in" / "day 1"
    tree.mkdir(parents=True)
    (tree / "p.png").write_bytes(picture.read_bytes())
    out = tmp_path / "out"
    assert main(["degrade", str(tmp_path / "in"), "-o", str(out), "--kind", "rain", "--recursive"]) == 0
    assert {str(p.relative_to(out)) for p in out.rglob("*.*")} == {"day 1/p.png", "day 1/p.png.json"}


def test_standard_input_and_output(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The picture has no place beside it for the account there, which is printed with --json, on standard error."""
    for call in (["-o", "-", "--json"], ["-o", str(tmp_path / "d.png")], []):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(picture.read_bytes())))
        assert main(["degrade", "-", "--kind", "Rain", *call]) == (0 if call else 2)
        if "-" in call:
            picture_out, told = capfdbinary.readouterr()
            assert json.loads(told)["kind"] == "rain", "kinds are named in any case"
    assert b"name a file with -o" in capfdbinary.readouterr().err
    assert np.array_equal(Image.open(io.BytesIO(picture_out)), Image.open(tmp_path / "d.png"))
    assert account(tmp_path / "d.png")["input"] == "-"
    assert main(["degrade", str(picture), "--kind", "rain", "--sed", "1"]) == 2
    assert b'Did you mean "--seed"?' in capfdbinary.readouterr().err


def test_without_an_output_it_is_written_beside(tmp_path: Path, picture: Path) -> None:
    for _ in range(2):
        assert main(["degrade", str(tmp_path), "--kind", "haze"]) == 0
        assert {p.name for p in tmp_path.iterdir()} == {"p.png", "p_haze.png", "p_haze.png.json"}


@pytest.mark.parametrize(
    ("given", "said"),
    [(["--knd", "noise"], 'Unknown option: "--knd". Did you mean "--kind"?'), ([], "--kind is missing")],
)
def test_a_mistyped_kind_is_told_from_a_missing_one(
    picture: Path, given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["degrade", str(picture), *given]) == 2
    assert said in capsys.readouterr().err
