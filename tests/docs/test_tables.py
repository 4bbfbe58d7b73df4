from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import render
from benchmarks._pages import PageError, Value
from benchmarks._pages import render as filled
from unveil.models import shelf

ROOT = Path(__file__).resolve().parents[2]


def test_pages_are_what_the_results_say() -> None:
    pages = render.pages()
    assert pages, "no page found in benchmarks/pages"
    for target, text in pages.items():
        assert target.read_text(encoding="utf-8") == text, f"{target.name} is stale: run python -m benchmarks render"


def test_a_changed_number_changes_the_page() -> None:
    facts = render.facts()
    name = "quality.LOL_eval15.default.one"
    template = f"One draw has {{{{ f['{name}'] }}}} dB.\n"
    before = filled(template, facts)
    facts[name] = Value([v + 0.01 for v in facts[name].values])
    assert filled(template, facts) != before


def test_every_set_was_measured_with_the_weights_that_ship() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "quality.json").read_text(encoding="utf-8"))
    shipped = json.loads((ROOT / "src" / "unveil" / "models" / "manifest.json").read_text(encoding="utf-8"))["general"]
    assert result["protocol"]["quick"] is False
    for name, of_set in result["sets"].items():
        for row in ("default", "fidelity 1", "no DRM"):
            if row in of_set:
                assert of_set[row]["run"]["sha256"] == shipped["sha256"], (name, row)
        assert of_set["default"]["images"] == of_set["input"]["images"]


def test_bm3d_stands_beside_the_model_on_the_same_photographs() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "denoisers.json").read_text(encoding="utf-8"))
    shipped = json.loads((ROOT / "src" / "unveil" / "models" / "manifest.json").read_text(encoding="utf-8"))["general"]
    assert result["protocol"]["quick"] is False
    for of_set in result["sets"].values():
        assert of_set["general, told"]["run"]["sha256"] == shipped["sha256"]
        assert all(row["images"] == of_set["input"]["images"] and not row["failed"] for row in of_set.values())
        assert len(of_set["BM3D"]["images"]) == 8


def test_wild_was_measured_on_the_same_sets_with_the_weights_that_ship() -> None:
    results = ROOT / "benchmarks" / "results"
    result = json.loads((results / "quality_wild.json").read_text(encoding="utf-8"))
    general = json.loads((results / "quality.json").read_text(encoding="utf-8"))
    shipped = json.loads((ROOT / "src" / "unveil" / "models" / "manifest.json").read_text(encoding="utf-8"))["wild"]
    assert result["protocol"]["quick"] is False
    assert result["sets"].keys() == general["sets"].keys()
    for name, of_set in result["sets"].items():
        assert of_set["default"]["run"]["sha256"] == shipped["sha256"], name
        assert sorted(of_set["default"]["images"]) == sorted(of_set["input"]["images"]), name
        assert of_set["default"]["failed"] == {}, name


def test_render_fills_numbers_and_differences() -> None:
    facts = {"a": Value([1.0, 2.0, 3.0]), "b": Value([1.5, 2.5, 3.5]), "t": "| x |"}
    assert (
        filled("{{ f['a'] }} and {{ f['b'] - f['a'] }}\n{{ f['t'] }}\n", facts)
        == "2.00 ± 1.00 and +0.50 ± 0.00\n| x |\n"
    )


def test_render_drops_requirements_that_hold() -> None:
    facts = {"a": Value([1.0, 2.0]), "b": Value([1.5, 2.6])}
    text = "{% do require('b > a by 0.4') %}\n{% do require('a ~ b by 0.6') %}\nText{% do require('b > 1') %}.\n"
    assert filled(text, facts) == "Text.\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{% do require('a > b') %}", "the difference is"),
        ("{% do require('b > a by 0.55') %}", "the difference is"),  # in every seed, not in the mean
        ("{% do require('a ~ b by 0.5') %}", "the difference is"),
        ("{% do require('a >= b') %}", "cannot read the requirement"),
        ("{{ f['c'] }}", "no fact is called c"),
        ("{{ f['a'] - f['c'] }}", "no fact is called c"),
        ("{{ f['a'] - f['t'] }}", "a difference of what is no number"),
    ],
)
def test_render_refuses_what_no_result_bears_out(text: str, said: str) -> None:
    with pytest.raises(PageError, match=said):
        filled(text, {"a": Value([1.0, 2.0]), "b": Value([1.5, 2.6]), "t": "| x |"})


def test_waiting_threads_do_not_spin_from_before_torch_is_imported() -> None:
    code = "import os, sys, benchmarks; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    own = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=own, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["PASSIVE", "False"]


def test_the_shadows_of_srd_are_as_measured_with_the_weights_that_ship() -> None:
    rows = json.loads((ROOT / "benchmarks" / "results" / "srd.json").read_text(encoding="utf-8"))["sets"]["SRD"]
    page = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    for model, title in (
        ("shadow", "`general`, told `shadow`, which hands it to `shadow`"),
        ("general", "`general` alone, before shadows left its training (sha256 9d1fbc60cd59)"),
    ):
        row = rows[f"{model}, told shadow"]
        assert model != "shadow" or row["run"]["sha256"] == shelf.entries()[model]["sha256"]
        mean = {name: sum(v[name] for v in row["one draw"]) / len(row["one draw"]) for name in row["one draw"][0]}
        line = next(line for line in page.splitlines() if line.startswith(f"| {title} |"))
        assert f"| {mean['psnr']:.2f} [" in line
        assert line.endswith(f"| {mean['ssim']:.3f} | {mean['mae_lab']:.2f} |")
    assert shelf.entries()["shadow"]["psnr"]["SRD"]["one draw"] == pytest.approx(24.04, abs=0.005)
