"""Scores agree with the metrics taken by hand, an interruption costs one photograph, and other settings are measured anew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unveil import photo
from unveil.bench import methods, quality
from unveil.bench.quality import markdown, of_set
from unveil.bench.record import table
from unveil.bench.sets import find
from unveil.errors import InputError
from unveil.evaluation.evaluate import evaluate_folders
from unveil.evaluation.metrics import registry
from unveil.evaluation.metrics.classical import psnr
from unveil.evaluation.metrics.deep import frechet
from unveil.evaluation.table import Table
from unveil.restorer import Restorer
from unveil.testing import tiny_model


@pytest.fixture
def restorer() -> Restorer:
    return Restorer(tiny_model(), "cpu")


def test_scores_are_those_of_the_metrics_under_the_sets_protocol(data: Path, restorer: Restorer) -> None:
    test = find(data)["LOL_eval15"]
    row = quality.measure([test], [methods.model(restorer, "tiny", 3)])["sets"]["LOL_eval15"]["tiny"]
    _, degraded, clean = test.pairs[1]
    out = restorer.restore(degraded, samples=3, seed=0)
    x = photo.read(clean).pixels.astype(np.float64)
    for key, pixels in (("one draw", out.samples[0]), ("mean of draws", out.mean)):
        assert row[key][1]["psnr"] == pytest.approx(psnr(np.rint(pixels * 255.0) / 255, x), abs=1e-5)
    assert row["images"] == ["1.png", "2.png", "41.png"]
    assert out.std is not None
    assert row["spread_levels"][1] == pytest.approx(255 * out.std.mean(), rel=1e-5)
    assert row["protocol"].startswith("lol-native: ")
    assert row["run"]["samples"] == row["draws"] == 3
    assert len(row["processor_seconds"]) == 3


def test_a_set_with_a_size_is_restored_as_it_is_and_has_the_number_that_evaluate_prints(
    data: Path, tmp_path: Path
) -> None:
    seen = []

    def restore(y: np.ndarray) -> methods.Outcome:
        seen.append(y.shape)
        return methods.Outcome(y[:, ::-1])

    test = find(data)["O-HAZE"]
    result = quality.measure([test], [methods.Method("probe", restore)], every=3)
    row = result["sets"]["O-HAZE"]["probe"]
    _, degraded, clean = test.pairs[0]
    pixels = photo.read(degraded).pixels
    assert seen == [pixels.shape]
    assert row["protocol"].endswith("; restored as they are")
    for folder, name, image in (("pred", "a.png", pixels[:, ::-1]), ("target", "a.png", photo.read(clean).pixels)):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(tmp_path / folder / name)
    report = evaluate_folders(tmp_path / "pred", tmp_path / "target", protocol="ohaze512")
    assert row["one draw"][0]["psnr"] == pytest.approx(report.rows[0].values["psnr"], abs=1e-6)
    assert row["one draw"][0]["ssim"] == pytest.approx(report.rows[0].values["ssim"], abs=1e-6)


def test_an_interrupted_run_goes_on_photograph_by_photograph(data: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def restore(y: np.ndarray) -> methods.Outcome:
        seen.append(round(float(y.sum())))
        return methods.Outcome(y)

    def stop(_: str, __: str, done: int, ___: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    output, tests = tmp_path / "result.json", [find(data)["LOL_eval15"]]
    method = methods.Method("probe", restore, {"way": 1})
    with pytest.raises(KeyboardInterrupt):
        quality.measure(tests, [method], output=output, progress=stop)
    half = json.loads(output.read_text())
    assert half["sets"]["LOL_eval15"]["probe"]["images"] == ["1.png", "2.png"]
    whole = quality.measure(tests, [method], before=half, output=output)
    assert len(seen) == 3
    again = quality.measure(tests, [method])["sets"]["LOL_eval15"]["probe"]
    row = whole["sets"]["LOL_eval15"]["probe"]
    assert row["images"] == again["images"]
    assert [r["psnr"] for r in row["one draw"]] == pytest.approx([r["psnr"] for r in again["one draw"]], rel=1e-5)
    quality.measure(tests, [methods.Method("probe", restore, {"way": 2})], before=json.loads(output.read_text()))
    assert len(seen) == 9, "other settings are another row's numbers"


def test_a_broken_photograph_costs_one_line(data: Path) -> None:
    (data / "test/LOL_eval15/low/2.png").write_bytes(b"no image")
    result = quality.measure([find(data)["LOL_eval15"]], [methods.baseline("identity")])
    row = result["sets"]["LOL_eval15"]["input"]
    assert row["images"] == ["1.png", "41.png"]
    assert "2.png" in row["failed"]
    assert "Not measured:\n\n- LOL_eval15, input, 2.png: " in markdown(result)


def test_printed_rows_stand_apart(data: Path) -> None:
    result = quality.measure([find(data)["O-HAZE"]], [methods.baseline("identity")], every=3)
    shown = of_set("O-HAZE", result["sets"]["O-HAZE"]).to_markdown()
    measured, apart = shown.split("Not comparable with the columns above:")
    assert "| input | " in measured
    assert "LearnIR" not in measured
    assert "LearnIR, ICLR 2026, table 2" in apart
    assert "unclear: resize rule" in apart


def test_a_file_that_is_measured_on_with_fewer_metrics_shows_those_that_all_photographs_have(data: Path) -> None:
    tests = [find(data)["LOL_eval15"]]
    probe = methods.Method("probe", methods.Outcome)
    quick = quality.measure(tests, [probe], every=2, metrics=("psnr", "ssim"))
    whole = quality.measure(tests, [probe], before=quick, metrics=("psnr",))["sets"]["LOL_eval15"]
    assert [sorted(one) for one in whole["probe"]["one draw"]] == [["psnr", "ssim"], ["psnr", "ssim"], ["psnr"]]
    assert list(of_set("LOL_eval15", whole).columns) == ["PSNR (dB)"]


def test_rows_of_other_photographs_are_told_apart(data: Path) -> None:
    tests = [find(data)["LOL_eval15"]]
    probe, other = methods.Method("probe", methods.Outcome), methods.Method("other", methods.Outcome)
    quick = quality.measure(tests, [probe], every=2)
    assert "cannot be compared" not in markdown(quality.measure(tests, [other], before=quick, every=2))
    mixed = markdown(quality.measure(tests, [other], before=quick))
    assert "cannot be compared: probe: 2 (1.png, 41.png); other: 3 (1.png, 2.png, 41.png)" in mixed


@pytest.mark.parametrize("metric", ["psnrr", "lpips", "fid"])
def test_a_metric_that_is_not_there_costs_no_row(
    metric: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str = "fid") -> None:
        raise InputError(f"the weights of {name} are not here")

    monkeypatch.setattr(quality, "features", missing)
    monkeypatch.setattr(registry, "_loaded", missing)
    tests, output, seen = [find(data)["LOL_eval15"]], tmp_path / "result.json", []

    def restore(y: np.ndarray) -> methods.Outcome:
        seen.append(y.shape)
        return methods.Outcome(y)

    probe = methods.Method("probe", restore)
    before = quality.measure(tests, [probe], output=output)
    kept, asked = output.read_text(), len(seen)
    with pytest.raises(InputError, match=metric):
        quality.measure(tests, [probe], before=before, output=output, metrics=("psnr", metric))
    assert (output.read_text(), len(seen)) == (kept, asked)


def test_a_metric_that_refuses_a_photograph_costs_its_other_numbers_nothing(data: Path, tmp_path: Path) -> None:
    large = np.random.default_rng(0).integers(40, 200, (176, 180, 3)).astype(np.uint8)
    for place in ("low", "high"):
        Image.fromarray(large).save(data / f"test/LOL_eval15/{place}/2.png")
    tests, output, probe = (
        [find(data)["LOL_eval15"]],
        tmp_path / "result.json",
        methods.Method("probe", methods.Outcome),
    )
    result = quality.measure(tests, [probe], output=output, metrics=("psnr", "ms_ssim"))
    row = result["sets"]["LOL_eval15"]["probe"]
    assert row["failed"] == {}
    assert row["images"] == ["1.png", "2.png", "41.png"]
    assert [one["ms_ssim"] for one in row["one draw"]] == [None, pytest.approx(1), None]
    assert all(one["psnr"] for one in row["one draw"])
    assert list(row["notes"]) == ["1.png", "41.png"]
    text = markdown(result)
    assert "| probe | " in text
    assert "ms_ssim, 1 images" in text
    assert "left out of the means:\n\n- LOL_eval15, probe, 1.png: ms_ssim: MS-SSIM over five scales needs" in text

    def never(_: np.ndarray) -> methods.Outcome:
        raise AssertionError("measured before")

    kept = json.loads(output.read_text(), parse_constant=never)  # JSON has no NaN
    quality.measure(tests, [methods.Method("probe", never)], before=kept, metrics=("psnr", "ms_ssim"))
    alone = quality.measure(tests, [probe], metrics=("ms_ssim",))["sets"]["LOL_eval15"]["probe"]
    assert (alone["images"], list(alone["failed"])) == (["2.png"], ["1.png", "41.png"])


def test_a_region_that_is_empty_has_no_value() -> None:
    x = np.random.default_rng(0).integers(0, 256, (16, 16, 3)) / 255
    found, why = quality.score(x, x, quality.get_protocol("native"), ("psnr",), np.zeros((16, 16), np.uint8))
    assert found == {"psnr": 100.0, "psnr@shadow": None, "psnr@non-shadow": 100.0}
    assert why == "shadow: mask is empty: no pixel of the region is left to score"


def test_costs_are_kept_where_nothing_is_left_to_measure(data: Path, tmp_path: Path) -> None:
    tests, output = [find(data)["LOL_eval15"]], tmp_path / "result.json"
    size = {"network": {"parameters": 2_000_000, "macs": 3_000_000}}
    probe = methods.Method("probe", methods.Outcome, cost=lambda: size)
    before = quality.measure(tests, [probe], output=output)
    assert "costs" not in json.loads(output.read_text())
    quality.measure(tests, [probe], before=before, output=output, costs=True)
    assert json.loads(output.read_text())["costs"]["probe"] == size


def test_equal_images_have_a_mean() -> None:
    x = np.random.default_rng(0).integers(0, 256, (16, 16, 3)) / 255
    found, why = quality.score(x, x, quality.get_protocol("native"))
    assert why == ""
    assert found == {"psnr": 100.0, "ssim": pytest.approx(1), "psnr_mean_matched": 100.0}


def test_several_processes_can_share_a_file(data: Path, tmp_path: Path) -> None:
    output, tests = tmp_path / "result.json", [find(data)["LOL_eval15"]]

    def another(_: str, __: str, done: int, ___: int) -> None:
        if done == 1:
            quality.measure(tests, [methods.baseline("gamma")], before=json.loads(output.read_text()), output=output)

    quality.measure(tests, [methods.baseline("identity")], output=output, progress=another, about={"quick": False})
    kept = json.loads(output.read_text())
    assert {title: len(row["images"]) for title, row in kept["sets"]["LOL_eval15"].items()} == {
        "input": 3,
        "gamma to mean .45": 3,
    }
    assert kept["protocol"]["quick"] is False


def test_fid_is_of_the_set_and_survives_an_interruption(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[tuple[int, ...]] = []

    def look(image: np.ndarray) -> np.ndarray:
        looked.append(image.shape)
        return np.array([image.mean(), image.std(), 1.0])

    def stop(_: str, __: str, done: int, ___: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(quality, "features", lambda: look)
    output, tests = tmp_path / "result.json", [find(data)["LOL_eval15"]]
    method, metrics = methods.baseline("identity"), ("psnr", "fid")
    without = quality.measure(tests, [method], metrics=("psnr",), output=output)
    with pytest.raises(KeyboardInterrupt):
        quality.measure(tests, [method], metrics=metrics, before=without, output=output, progress=stop)
    assert len(looked) == 4, "rows that were measured without it are measured anew"
    whole = quality.measure(tests, [method], metrics=metrics, before=json.loads(output.read_text()), output=output)
    assert len(looked) == 6
    row = whole["sets"]["LOL_eval15"]["input"]
    sides = []
    for at in (1, 2):
        pictures = [photo.read(pair[at]).pixels for pair in tests[0].pairs]
        sides.append(np.array([[p.mean(), p.std(), 1.0] for p in pictures], dtype=np.float64))
    assert row["images"] == ["1.png", "2.png", "41.png"]
    assert row["of set"]["fid"] == pytest.approx(frechet(*sides), rel=1e-4)
    assert json.loads(output.read_text())["sets"]["LOL_eval15"]["input"]["of set"] == pytest.approx(
        row["of set"], rel=1e-5
    )
    shown = of_set("LOL_eval15", {"input": row}).to_markdown()
    assert "| FID |" in shown
    assert "- FID: fid, 3 images." in shown


def test_a_method_on_a_device_is_timed_by_the_clock(data: Path, restorer: Restorer) -> None:
    elsewhere = replace(methods.model(restorer, "tiny", steps=1), device="xpu:0")
    here = methods.model(restorer, "here", steps=1)
    result = quality.measure([find(data)["LOL_eval15"]], [elsewhere, here], costs=True)
    rows = result["sets"]["LOL_eval15"]
    assert len(rows["tiny"]["seconds"]) == len(rows["tiny"]["images"]) > 0
    assert "seconds" not in rows["here"]
    lines = {
        line.split("|")[1].strip(): line.split("|")
        for line in quality.costs(result).splitlines()
        if line.startswith("| ")
    }
    at = [c.strip() for c in lines["method"]].index("s a photograph on the device")
    assert all(seconds > 0 for seconds in rows["tiny"]["seconds"])
    assert float(lines["tiny"][at]) >= 0, "a fast machine's may be rounded to nothing"
    assert not lines["here"][at].strip()


def test_control_characters_of_names_are_printed_escaped() -> None:
    assert "a\\x1b[2J.png" in table(("model", "s"), [("a\x1b[2J.png", "1")])
    page = Table(title="set\x1b[2J", rows={"run\x1b[2J": {}}).to_markdown()
    assert "\x1b" not in page
    assert "run\\x1b[2J" in page
