from __future__ import annotations

import json
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
import tifffile

from unveil.errors import Cancelled, InputError, UnveilWarning
from unveil.evaluation import Protocol, compare_reports, evaluate_folders, evaluate_pair
from unveil.evaluation.metrics.classical import psnr, ssim
from unveil.evaluation.report import Report, Row, to_csv, to_json, to_markdown


@pytest.fixture
def folders(save, photo: np.ndarray) -> tuple[Path, Path]:  # type: ignore[no-untyped-def]
    """Six pairs of 60x50 with more and more noise; the worst is not the first by name."""
    rng = np.random.default_rng(0)
    for i, sigma in enumerate([4, 25, 8, 2, 12, 6]):
        target = photo[i * 10 : i * 10 + 60, i * 20 : i * 20 + 50]
        prediction = np.clip(np.rint(target + rng.normal(0, sigma, target.shape)), 0, 255).astype(np.uint8)
        save(target, f"target/{i}.png")
        left = save(prediction, f"pred/{i}.png")
    return left.parent, left.parent.parent / "target"


def test_rows_are_the_metrics_of_their_pairs(folders: tuple[Path, Path]) -> None:
    from PIL import Image

    report = evaluate_folders(*folders)
    assert [row.name for row in report.rows] == list("012345")
    for row in report.rows:
        left, right = (np.asarray(Image.open(folder / f"{row.name}.png")) for folder in folders)
        assert row.values == {"psnr": psnr(left, right), "ssim": ssim(left, right)}
    assert report.complete
    assert report.summary("psnr").mean == pytest.approx(np.mean(report.values("psnr")), abs=1e-12)
    assert [row.name for row in report.worst_first()] == list("142503")
    score = report.score("psnr")
    assert (score.n, score.protocol) == (6, Protocol())


def test_workers_change_the_order_of_work_and_nothing_else(folders: tuple[Path, Path]) -> None:
    seen: list[tuple[int, int, str]] = []
    one = evaluate_folders(*folders)
    many = evaluate_folders(*folders, workers=3, progress=lambda *step: seen.append(step))
    assert many == one
    assert seen == [(i + 1, 6, str(i)) for i in range(6)]


def test_what_progress_raises_stops_the_run(folders: tuple[Path, Path]) -> None:
    def stop(done: int, total: int, name: str) -> None:
        if done == 2:
            raise Cancelled

    for workers in (1, 2):
        with pytest.raises(Cancelled):
            evaluate_folders(*folders, workers=workers, progress=stop)


def test_pairs_that_cannot_be_scored_become_failures_with_their_reason(
    folders: tuple[Path, Path],
    save,  # type: ignore[no-untyped-def]
    photo: np.ndarray,
) -> None:
    pred, target = folders
    save(photo[:30, :30], "pred/2.png")
    (pred / "3.png").write_bytes(b"not an image")
    (pred / "4.png").unlink()
    bad = np.full((60, 50, 3), 0.5, np.float32)
    (pred / "5.png").unlink()
    tifffile.imwrite(pred / "5.tif", np.where(np.arange(50)[:, None] == 7, np.nan, bad), photometric="rgb")
    save(photo[:60, :50], "pred/extra.png")
    report = evaluate_folders(pred, target)
    assert [row.name for row in report.rows] == ["0", "1"]
    reasons = {failure.name: failure.reason for failure in report.failures}
    assert set(reasons) == {"2", "3", "5"}
    assert "30x30" in reasons["2"]
    assert "50x60" in reasons["2"]
    assert "3.png" in reasons["3"]
    assert "180 NaN" in reasons["5"]
    assert [p.name for p in report.targets_left] == ["4.png"]
    assert [p.name for p in report.predictions_left] == ["extra.png"]
    assert not report.complete


def test_a_metric_that_refuses_an_image_costs_the_others_nothing(folders: tuple[Path, Path]) -> None:
    report = evaluate_folders(*folders, metrics=("psnr", "ms_ssim", "ssim"))
    assert report.complete
    for row in report.rows:
        assert np.isfinite(row.values["ssim"])
        assert np.isnan(row.values["ms_ssim"])
        assert row.notes[-1].startswith("ms_ssim: MS-SSIM over five scales needs at least 176 pixels a side")
    assert report.summary("ms_ssim").undefined == 6
    cells = [line.split(",") for line in to_csv(report).splitlines()[1:]]
    assert all(cell[2] == "" and cell[1] and cell[3] for cell in cells)
    alone = evaluate_folders(*folders, metrics=("ms_ssim",))
    assert [failure.reason[:7] for failure in alone.failures] == ["MS-SSIM"] * 6
    with pytest.raises(InputError, match="MS-SSIM"):
        evaluate_pair(np.zeros((9, 9)), np.zeros((9, 9)), metrics=("psnr", "ms_ssim"))


def test_folders_that_fid_refuses_keep_their_other_numbers(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(prediction: Path, target: Path) -> float:
        raise InputError("fid needs two pictures or more on either side")

    monkeypatch.setattr("unveil.evaluation.evaluate.load_metric", lambda name: refuses)
    with pytest.warns(UnveilWarning, match="fid: fid needs two pictures or more"):
        report = evaluate_folders(*folders, metrics=("psnr", "fid"))
    assert len(report.rows) == 6
    assert json.loads(to_json(report))["of_sets"] == {"fid": None}
    assert "| fid (the folders as wholes) | undefined |" in to_markdown(report)


def test_sixteen_bit_against_eight_bit_is_scaled_by_depth_and_said(tmp_path: Path, save, photo: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "pred").mkdir()
    tifffile.imwrite(tmp_path / "pred/a.tif", photo.astype(np.uint16) * 257, photometric="rgb")
    save(photo, "target/a.png")
    row = evaluate_folders(tmp_path / "pred", tmp_path / "target").rows[0]
    assert row.values == {"psnr": inf, "ssim": pytest.approx(1, abs=1e-12)}
    assert row.notes == ("prediction is uint16 and target is uint8: each scaled by its own depth",)


def test_constant_images_have_numbers_and_notes() -> None:
    flat = np.full((200, 200, 3), 128, np.uint8)
    values, notes = evaluate_pair(flat, flat, metrics=["psnr", "ssim", "ms_ssim", "naturalness", "psnr_mean_matched"])
    assert values["psnr"] == values["psnr_mean_matched"] == inf
    assert values["ssim"] == values["ms_ssim"] == pytest.approx(1, abs=1e-12)
    assert np.isnan(values["naturalness"])
    assert notes == ("prediction is constant", "target is constant", "naturalness is undefined")


def test_regions_with_masks(save, photo: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[:80] = 255
    damaged = photo.copy()
    damaged[:80] //= 2
    pred, target, masks = (
        save(damaged, "pred/a.png").parent,
        save(photo, "target/a.png").parent,
        save(mask, "m/a.png").parent,
    )
    shadow = Protocol(region="shadow")
    inside = evaluate_folders(pred, target, protocol=shadow, masks=masks, metrics=["psnr", "mae_lab"])
    outside = evaluate_folders(pred, target, protocol=shadow.changed(region="non-shadow"), masks=masks)
    assert inside.rows[0].values["psnr"] == pytest.approx(psnr(damaged[:80], photo[:80]), abs=1e-12)
    assert outside.rows[0].values["psnr"] == inf
    with pytest.raises(InputError, match="a region needs masks"):
        evaluate_folders(pred, target, protocol=shadow)
    with pytest.raises(InputError, match="a region needs masks, and only it"):
        evaluate_folders(pred, target, masks=masks)
    with pytest.raises(InputError, match="ms_ssim cannot be taken in a region"):
        evaluate_folders(pred, target, protocol=shadow, masks=masks, metrics=["ms_ssim"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"protocol": "isdt"}, "unknown protocol 'isdt'"),
        ({"metrics": ["psnr", "loss"]}, "unknown metric 'loss'"),
        ({"metrics": []}, "no metric"),
        ({"workers": 0}, "workers 0"),
    ],
)
def test_wrong_options_are_refused_before_any_work(folders: tuple[Path, Path], options: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        evaluate_folders(*folders, **options)


def report(protocol: Protocol, values: dict[str, float]) -> Report:
    return Report(protocol, ("psnr",), tuple(Row(name, {"psnr": value}) for name, value in values.items()))


def test_two_methods_are_compared_on_the_images_both_have() -> None:
    first = report(Protocol(), {"a": 30.0, "b": 25.0, "c": 20.0})
    second = report(Protocol(), {"b": 24.0, "c": 21.0, "d": 40.0})
    result = compare_reports(first, second)["psnr"]
    assert (result.wins, result.losses, result.difference.n, result.difference.mean) == (1, 1, 2, 0.0)


def test_methods_under_different_protocols_are_not_compared() -> None:
    first, second = report(Protocol(), {"a": 30.0}), report(Protocol(border=4), {"a": 31.0})
    with pytest.raises(InputError, match=r"different protocols.*border: 0 against 4"):
        compare_reports(first, second)
    with pytest.raises(InputError, match="share no image"):
        compare_reports(first, report(Protocol(), {"z": 1.0}))


def test_worst_first_puts_the_undefined_on_top_and_ties_by_name() -> None:
    ordered = report(Protocol(), {"good": inf, "b": 20.0, "a": 20.0, "none": nan}).worst_first()
    assert [row.name for row in ordered] == ["none", "a", "b", "good"]
    lower = Report(Protocol(), ("mae_lab",), (Row("good", {"mae_lab": 1.0}), Row("bad", {"mae_lab": 9.0})))
    assert [row.name for row in lower.worst_first()] == ["bad", "good"]
