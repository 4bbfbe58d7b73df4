from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """Modules of benchmarks/, which import each other by their bare names."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    names = ("render", "_pages", "_shared", "ablation_dpsc", "ablation_drm", "choices", "speed")
    for name, module in list(sys.modules.items()):  # all at once: two copies of one class are not the same class
        if Path(getattr(module, "__file__", None) or "").parent == ROOT / "benchmarks":
            monkeypatch.delitem(sys.modules, name)
    return {name: importlib.import_module(name) for name in names}


def test_pages_are_what_the_results_say(scripts: dict[str, ModuleType]) -> None:
    pages = scripts["render"].pages()
    assert pages, "no page found in benchmarks/pages"
    for target, text in pages.items():
        assert target.read_text(encoding="utf-8") == text, f"{target.name} is stale: run python benchmarks/render.py"


def test_a_changed_number_changes_the_page(scripts: dict[str, ModuleType]) -> None:
    facts = scripts["render"].facts()
    name = "quality.LOL_eval15.default.one"
    template = f"One draw has {{{{{name}}}}} dB.\n"
    render, Value = scripts["_pages"].render, scripts["_pages"].Value
    before = render(template, facts)
    facts[name] = Value([v + 0.01 for v in facts[name].values])
    assert render(template, facts) != before


def test_every_set_was_measured_with_the_weights_that_ship(scripts: dict[str, ModuleType]) -> None:
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


def test_render_fills_numbers_and_differences(scripts: dict[str, ModuleType]) -> None:
    render, Value = scripts["_pages"].render, scripts["_pages"].Value
    facts = {"a": Value([1.0, 2.0, 3.0]), "b": Value([1.5, 2.5, 3.5]), "t": "| x |"}
    assert render("{{a}} and {{b - a}}\n{{t}}\n", facts) == "2.00 ± 1.00 and +0.50 ± 0.00\n| x |\n"


def test_render_drops_requirements_that_hold(scripts: dict[str, ModuleType]) -> None:
    render, Value = scripts["_pages"].render, scripts["_pages"].Value
    facts = {"a": Value([1.0, 2.0]), "b": Value([1.5, 2.6])}
    text = "{{require b > a by 0.4}}\n{{require a ~ b by 0.6}}\nText{{require b > 1}}.\n"
    assert render(text, facts) == "Text.\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{require a > b}}", "the difference is"),
        ("{{require b > a by 0.55}}", "the difference is"),  # in every seed, not in the mean
        ("{{require a ~ b by 0.5}}", "the difference is"),
        ("{{require a >= b}}", "cannot read the requirement"),
        ("{{c}}", "no fact is called c"),
        ("{{a - c}}", "no number is called c"),
        ("{{a - t}}", "no number is called t"),
    ],
)
def test_render_refuses_what_no_result_bears_out(scripts: dict[str, ModuleType], text: str, said: str) -> None:
    render, Value, PageError = (getattr(scripts["_pages"], name) for name in ("render", "Value", "PageError"))
    with pytest.raises(PageError, match=said):
        render(text, {"a": Value([1.0, 2.0]), "b": Value([1.5, 2.6]), "t": "| x |"})


def test_merging_joins_seeds_and_keeps_the_protocol(scripts: dict[str, ModuleType]) -> None:
    merged = scripts["_shared"].merged
    one = {"protocol": {"mults": [1, 2]}, "seeds": [0], "rows": {"off": {"one": [20.0], "steps": 5}}}
    two = {"protocol": {"mults": [1, 2]}, "seeds": [1], "rows": {"off": {"one": [21.0], "steps": 5}}}
    assert merged([one, two]) == {
        "protocol": {"mults": [1, 2]},
        "seeds": [0, 1],
        "rows": {"off": {"one": [20.0, 21.0], "steps": 5}},
    }
    for changed in ({**two, "protocol": {"mults": [1, 4]}}, {**two, "rows": {"off": {"one": [21.0], "steps": 6}}}):
        with pytest.raises(SystemExit, match="differ"):
            merged([one, changed])


def test_the_scripts_import_no_torch_before_they_measure() -> None:
    code = "import sys, render, ablation_dpsc, ablation_drm, choices, speed; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "benchmarks", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
