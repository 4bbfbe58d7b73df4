"""`unveil evaluate`: what it prints, writes and returns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unveil import cli
from unveil.util.extras import installing


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Predictions, targets, and a second method that is worse on every image; three 40x30 images each."""
    rng = np.random.default_rng(0)
    made = tmp_path / "pred", tmp_path / "target", tmp_path / "other"
    for folder, sigma in zip(made, (5, 0, 15), strict=True):
        folder.mkdir()
        for i in range(3):
            base = np.random.default_rng(i).integers(60, 200, (30, 40, 3))
            Image.fromarray((base + rng.normal(0, sigma, base.shape)).astype(np.uint8)).save(folder / f"{i}.png")
    return made


def run(*arguments: object) -> int:
    return cli.main(["evaluate", *map(str, arguments)])


def test_a_page_with_the_protocol_and_exit_0(folders: tuple, capsys: pytest.CaptureFixture[str]) -> None:
    pred, target, _ = folders
    assert run("--pred", pred, "--target", target) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Protocol: native: native size; RGB")
    assert "| psnr | 3" in out
    assert err == ""


def test_targets_that_others_train_on_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    for folder in ("eval15/high", "mine"):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / folder / "1.png")
    assert run("--pred", tmp_path / "mine", "--target", tmp_path / "eval15/high") == 0
    assert "weights trained on it are helped on eval15" in capsys.readouterr().err


def test_json_files_and_a_second_method(folders: tuple, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pred, target, other = folders
    files = [tmp_path / "out" / f"report.{kind}" for kind in ("json", "csv", "md")]
    outputs = [x for path in files for x in ("-o", path)]
    status = run(
        "--pred", pred, "--target", target, "--against", other, "--json", "--metrics", "psnr, mae_lab", *outputs
    )
    content = json.loads(capsys.readouterr().out)
    assert status == 0
    assert content["compared"]["psnr"]["wins"] == content["compared"]["mae_lab"]["wins"] == 3
    assert content["protocol"]["name"] == "native"
    assert json.loads(files[0].read_text()) == content
    assert files[1].read_text().startswith("name,psnr,mae_lab,notes,protocol\n")
    assert "Compared on the same images" in files[2].read_text()


def test_protocol_region_masks_and_suffixes_are_used(folders: tuple, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    pred, target, _ = folders
    masks = tmp_path / "masks"
    masks.mkdir()
    for path in sorted(pred.iterdir()):
        path.rename(path.with_name(f"{path.stem}_r.png"))
        mask = np.zeros((30, 40), np.uint8)
        mask[:15] = 255
        Image.fromarray(mask).save(masks / f"{path.stem}_m.png")
    asked = ["--protocol", "istd-native", "--metrics", "psnr", "--pred-suffix", "_r", "--mask-suffix", "_m", "--json"]
    values = {}
    for region in ("all", "shadow", "non-shadow"):
        with_masks = [] if region == "all" else ["--masks", masks]
        assert run("--pred", pred, "--target", target, *asked, "--region", region, *with_masks) == 0
        content = json.loads(capsys.readouterr().out)
        assert content["protocol"]["region"] == region
        values[region] = content["summary"]["psnr"]["mean"]
    # Whole-frame rule: each half's error is spread over the frame, so both score higher than the whole.
    assert min(values["shadow"], values["non-shadow"]) > values["all"] + 2


def test_failed_pairs_are_named_and_end_with_3(folders: tuple, capsys: pytest.CaptureFixture[str]) -> None:
    pred, target, _ = folders
    Image.new("RGB", (10, 10)).save(pred / "1.png")
    assert run("--pred", pred, "--target", target) == 3
    out, err = capsys.readouterr()
    assert "- 1: prediction is 10x10" in out
    assert err.startswith("unveil: 1: prediction is 10x10")
    assert err.count("\n") == 1


def test_nothing_scored_ends_with_1(folders: tuple, capsys: pytest.CaptureFixture[str]) -> None:
    pred, target, _ = folders
    for path in pred.iterdir():
        Image.new("RGB", (10, 10)).save(path)
    assert run("--pred", pred, "--target", target) == 1
    assert "Not scored (3)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (["--protocol", "isdt256"], "unknown protocol 'isdt256'"),
        (["--metrics", "psnr,beauty"], "unknown metric 'beauty'"),
        (["-o", "report.docx"], "reports are written as"),
        (["--match", "guess"], "unknown rule 'guess'"),
        (["--region", "moon"], "region 'moon'"),
        (["--workers", "0"], "workers 0"),
        (["--seed", "-1"], "seed -1 must be at least 0"),
        (["--worst", "-1"], "--worst must be at least 0"),
    ],
)
def test_wrong_usage_ends_with_2(
    folders: tuple, extra: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pred, target, _ = folders
    assert run("--pred", pred, "--target", target, *extra) == 2
    assert says in capsys.readouterr().err


def test_a_metric_named_twice_is_one_column(folders: tuple, capsys: pytest.CaptureFixture[str]) -> None:
    pred, target, _ = folders
    assert run("--pred", pred, "--target", target, "--metrics", "psnr,psnr") == 0
    assert capsys.readouterr().out.count("| psnr |") == 2  # its mean, and its column of the worst


def test_worst_workers_match_and_seed_do_what_they_say(folders: tuple, capsys: pytest.CaptureFixture[str]) -> None:
    pred, target, _ = folders
    pages = []
    for options in (["--worst", 1], ["--worst", 1, "--workers", 2], ["--match", "order"], ["--seed", 7, "--json"]):
        assert run("--pred", pred, "--target", target, *options) == 0
        pages.append(capsys.readouterr().out)
    assert "(1 of 3)" in pages[0]
    assert pages[0] == pages[1]
    assert "(3 of 3)" in pages[2]
    assert "| 0.png |" in pages[2], "by order the whole name is kept"
    assert json.loads(pages[3])["bootstrap_seed"] == 7


def test_a_learned_metric_that_is_not_installed_says_what_to_install(
    folders: tuple, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from unveil.evaluation.metrics import learned, registry

    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(learned, "import_module", missing)
    registry._loaded.cache_clear()
    pred, target, _ = folders
    assert run("--pred", pred, "--target", target, "--metrics", "psnr,lpips") == 2
    assert f"{installing('iqa')} (it brings torchvision" in capsys.readouterr().err


def test_what_only_one_of_two_methods_has_is_said(folders: tuple, capsys: pytest.CaptureFixture[str]) -> None:
    pred, target, other = folders
    (other / "0.png").rename(other / "b.png")
    assert run("--pred", pred, "--target", target, "--against", other, "--metrics", "psnr") == 0
    out, err = capsys.readouterr()
    assert "2 / 0 / 0 | 2 |" in out
    assert f"{other / 'b.png'}: without a partner in both folders, so not compared" in err
    assert "unveil: 0: without a partner" in err


def test_methods_are_compared_by_target_where_their_files_are_called_otherwise(
    folders: tuple, capsys: pytest.CaptureFixture[str]
) -> None:
    pred, target, other = folders
    (pred / "0.png").rename(pred / "x.png")  # by order it now belongs to the last target
    for name in ("2", "1", "0"):
        (other / f"{name}.png").rename(other / f"{int(name) + 1}.png")  # 1, 2, 3: named after another's target
    asked = ("--metrics", "psnr", "--json", "--match", "order")
    (other / "2.png").write_bytes(b"no image")
    assert run("--pred", pred, "--target", target, "--against", other, *asked) == 3
    out, err = capsys.readouterr()
    compared = json.loads(out)["compared"]["psnr"]["difference"]
    firsts, seconds = ({row["name"]: row["psnr"] for row in _rows(m, target, capsys)} for m in (pred, other))
    assert compared["n"] == 2
    assert compared["mean"] == pytest.approx(
        (firsts["1.png"] - seconds["1.png"] + firsts["x.png"] - seconds["3.png"]) / 2
    )
    assert "without a partner" not in err

    assert run("--pred", pred / "x.png", "--target", target / "0.png", "--against", other / "1.png", *asked) == 0
    assert json.loads(capsys.readouterr().out)["compared"]["psnr"]["difference"]["n"] == 1


def _rows(pred: Path, target: Path, capsys: pytest.CaptureFixture[str]) -> list[dict]:
    run("--pred", pred, "--target", target, "--metrics", "psnr", "--json", "--match", "order")
    return json.loads(capsys.readouterr().out)["rows"]
