"""`unveil models show`: what a model is, how large it is, and what a preset would train."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from unveil import cli
from unveil.models.weights_file import write
from unveil.testing import tiny_model


def shown(name: str, capsys: pytest.CaptureFixture[str]) -> dict:
    assert cli.main(["models", "show", name]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_paper_s_networks_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """516.5 M and 139.4 M parameters, 1,730.7 and 233.6 GMAC at 512x512 (LearnIR, Table 8), within a tenth."""
    found = shown("learnir-paper", capsys)["size"]
    for part, parameters, macs in (("predictor", 516.5e6, 1730.7e9), ("correction", 139.4e6, 233.6e9)):
        assert found[part]["side"] == 512
        assert found[part]["parameters"] == pytest.approx(parameters, rel=0.02)
        assert found[part]["macs"] == pytest.approx(macs, rel=0.1)


def test_a_step_of_the_paper_s_networks_fits_one_card(capsys: pytest.CaptureFixture[str]) -> None:
    memory = shown("learnir-paper", capsys)["memory"]
    assert len(memory) == 2
    assert all(line.startswith("joint: ") and float(line.split()[1]) < 80 for line in memory)


def test_a_file_a_run_and_a_name_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_model()
    (tmp_path / "run").mkdir()
    digest = write(tmp_path / "run" / "model.safetensors", model.spec, model.predictor, model.head)
    for name in (tmp_path / "run", tmp_path / "run" / "model.safetensors"):
        found = shown(str(name), capsys)
        assert (found["sha256"], found["schedule"]) == (digest, model.spec.schedule)
        assert found["size"]["predictor"]["parameters"] == sum(p.numel() for p in model.predictor.parameters())
        assert set(found["size"]) == {"predictor", "correction"}
    general = shown("general", capsys)
    assert general["licence"]
    assert set(general["size"]) == {"low", "native"}
    assert cli.main(["models", "show", "genral"]) != 0
    assert "did you mean general" in capsys.readouterr().err


def test_networks_are_counted_where_another_library_left_a_factory_on_the_processor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As transformers 5 does by loading a model: torch lists its factories once, while torch.linspace is another function."""
    from torch.utils import _device

    plain, lists = torch.linspace, _device._device_constructors
    with monkeypatch.context() as patch:
        patch.setattr(torch, "linspace", lambda *args, **kwargs: plain(*args, **kwargs))
        lists.cache_clear()
        with torch.device("meta"):
            torch.empty(1)
    try:
        with torch.device("meta"):
            assert torch.linspace(0, 1, 3).device.type == "cpu"
        assert shown("learnir-paper", capsys)["size"].keys() == {"predictor", "correction"}
    finally:
        lists.cache_clear()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("lst", "knows no lst. Did you mean list?"),
        ("hub", "knows no hub. Known are import, export, list, show, verify."),
    ],
)
def test_what_it_does_not_know_is_named_beside_what_it_does(
    given: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", given]) == 2
    assert f"unveil models {told} See `unveil models --help`." in capsys.readouterr().err


def test_a_preset_that_trains_no_correction_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown("regression", capsys)["size"].keys() == {"predictor"}
