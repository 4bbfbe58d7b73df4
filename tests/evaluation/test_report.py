from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pytest

from unveil.errors import InputError
from unveil.evaluation.evaluate import compare_reports
from unveil.evaluation.protocols import Protocol
from unveil.evaluation.report import Failure, Report, Row, to_csv, to_json, to_markdown, write

PROTOCOL = Protocol(name="mine", dataset="some photographs", border=2, unstated=("the filter",))
ROWS = (
    Row("good", {"psnr": 40.123456789, "ssim": 0.99}),
    Row("bad", {"psnr": 12.5, "ssim": 0.3}, ("alpha ignored",)),
    Row("equal", {"psnr": inf, "ssim": 1.0}),
)
REPORT = Report(
    PROTOCOL,
    ("psnr", "ssim"),
    ROWS,
    (Failure("broken", "cannot be read"),),
    (Path("p/alone.png"),),
    (Path("t/lonely.png"),),
    "equal stem",
    "p",
    "t",
)


def test_json_is_strict_and_complete() -> None:
    content = json.loads(to_json(REPORT), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert Protocol.from_dict(content["protocol"]) == PROTOCOL
    assert [row["name"] for row in content["rows"]] == ["bad", "good", "equal"]
    assert content["rows"][2]["psnr"] == "inf"
    assert content["rows"][0]["notes"] == ["alpha ignored"]
    assert content["summary"]["psnr"]["mean"] == "inf"
    assert content["summary"]["psnr"]["infinite"] == 1
    assert content["summary"]["psnr"]["finite_mean"] == pytest.approx(26.311728, abs=1e-6)
    assert content["failures"] == [{"name": "broken", "reason": "cannot be read"}]
    assert content["predictions_without_target"] == ["p/alone.png"]
    assert content["targets_without_prediction"] == ["t/lonely.png"]
    assert content["complete"] is False
    assert set(content["software"]) >= {"unveil", "numpy", "pillow"}


def test_csv_has_full_precision_and_the_protocol_in_every_line() -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(REPORT))))
    assert [line["name"] for line in lines] == ["bad", "good", "equal", "broken"]
    assert float(lines[1]["psnr"]) == 40.123456789
    assert lines[2]["psnr"] == "inf"
    assert lines[3]["notes"] == "not scored: cannot be read"
    assert all(line["protocol"] == PROTOCOL.describe() for line in lines)


def test_the_page_for_people() -> None:
    page = to_markdown(REPORT, worst=2)
    assert page.startswith("Protocol: mine: some photographs;")
    assert "Left open by the protocol's source: the filter" in page
    assert "| psnr | inf (1 of 3 infinite, the others 26.31) | none |" in page
    equal = to_markdown(replace(REPORT, rows=REPORT.rows[-1:]))
    assert "| psnr | inf (1 of 1 infinite) | none |" in equal
    assert "Worst first by psnr (2 of 3)" in page
    assert page.index("| bad |") < page.index("| good |")
    assert "| equal |" not in page
    assert "Not scored (3):" in page
    assert "- broken: cannot be read" in page
    assert "- p/alone.png: no target of that name" in page


def test_the_page_without_a_single_score_is_still_a_page() -> None:
    page = to_markdown(Report(PROTOCOL, ("psnr",), (), (Failure("broken", "cannot be read"),)))
    assert "broken: cannot be read" in page
    assert "Worst first" not in page


def test_undefined_values_show_as_such() -> None:
    page = to_markdown(Report(PROTOCOL, ("naturalness",), (Row("flat", {"naturalness": nan}),)))
    assert "| naturalness | undefined | none | none | undefined | 0, 1 undefined |" in page
    content = json.loads(to_json(Report(PROTOCOL, ("naturalness",), (Row("flat", {"naturalness": nan}),))))
    assert content["rows"][0]["naturalness"] is None


def test_a_comparison_is_told_with_its_interval() -> None:
    first = Report(PROTOCOL, ("psnr",), tuple(Row(str(i), {"psnr": 30.0 + i}) for i in range(5)))
    second = Report(PROTOCOL, ("psnr",), tuple(Row(str(i), {"psnr": 29.0 + i}) for i in range(5)))
    compared = compare_reports(first, second)
    assert "| psnr | 1.000 | [1.000, 1.000] | 5 / 0 / 0 |" in to_markdown(first, compared)
    assert json.loads(to_json(first, compared))["compared"]["psnr"]["decided"] is True


@pytest.mark.parametrize("name", ["r.json", "r.csv", "r.md", "deep/r.MD"])
def test_files_are_whole_and_nothing_else_is_left(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write(path, REPORT)
    first = path.read_bytes()
    write(path, REPORT)
    assert path.read_bytes() == first
    assert len(first) > 100
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.json"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="no space"):
        write(path, REPORT)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_other_extensions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"written as \.csv, \.json, \.md"):
        write(tmp_path / "r.txt", REPORT)
