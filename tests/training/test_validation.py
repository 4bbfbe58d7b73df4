"""Scores that agree with the evaluation room, on crops that training never saw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from unveil.data.files import decode
from unveil.evaluation.metrics.classical import psnr as evaluated_psnr
from unveil.evaluation.metrics.classical import ssim as evaluated_ssim
from unveil.training import config as configuration
from unveil.training.batches import Source, scan
from unveil.training.export import as_model
from unveil.training.learner import build
from unveil.training.validation import held_out, psnr, ssim, validate, write_sheet

Tree = Callable[..., dict[str, Any]]


def test_scores_agree_with_the_evaluation_room() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, 3, 24, 31, generator=generator)
    y = (x + 0.1 * torch.randn(x.shape, generator=generator)).clamp(0, 1)
    for i in range(3):
        left, right = (t[i].permute(1, 2, 0).double().numpy() for t in (y, x))
        assert float(psnr(y, x)[i]) == pytest.approx(evaluated_psnr(left, right), abs=1e-6)
        assert float(ssim(y, x)[i]) == pytest.approx(evaluated_ssim(left, right), abs=1e-6)
    assert psnr(x, x).tolist() == pytest.approx([100.0] * 3)
    assert ssim(x, x).tolist() == pytest.approx([1.0] * 3)


@pytest.fixture
def crops(tree: Tree) -> Any:
    config = configuration.parse(tree(validation={"count": 6, "size": 40}))
    return config, held_out(config, Source(config.data, held_out=True))


def test_crops_are_the_middle_of_held_out_photographs(crops: Any, pairs: Path) -> None:
    _, found = crops
    assert found.x.shape == found.y.shape == (2, 3, 40, 40)
    whole = decode(pairs / "clean" / "scene0.png")  # 48 x 56; the first name is always held out
    assert torch.equal(found.x[0], torch.from_numpy(whole[4:44, 8:48].copy()).permute(2, 0, 1) / 255)


def test_a_protocol_says_which_crops_were_larger_than_their_photographs(tree: Tree) -> None:
    def words(size: int) -> str:
        config = configuration.parse(tree(validation={"count": 6, "size": size}))
        found = held_out(config, Source(config.data, held_out=True))
        assert found is not None
        return found.words()

    assert words(48) == "2 central crops of 48 px"
    assert words(64) == "2 central crops of 64 px (all of smaller photographs, 56 x 48 px, mirrored at their edges)"


def test_simulated_damage_is_the_same_every_time_and_shares_follow_the_weights(tree: Tree, pairs: Path) -> None:
    changes = tree()
    changes["data"] = {
        "root": str(pairs), "photos": ["clean"], "held_out": 0.5, "kinds": {"noise": 1},
        "pairs": [{"degraded": "degraded", "clean": "clean", "weight": 0.25}],
    }  # fmt: skip
    config = configuration.parse({**changes, "validation": {"count": 4, "size": 32}})
    material = scan(config.data)
    one, again = (held_out(config, Source(config.data, held_out=True, material=material)) for _ in range(2))
    assert one is not None
    assert again is not None
    assert torch.equal(one.y, again.y)
    assert len(one.x) == 4  # one pair, three photographs through the simulators
    assert (one.y != one.x).flatten(1).any(1).all()


def test_nothing_held_out_is_nothing_to_validate(tree: Tree) -> None:
    changes = tree()
    changes["data"]["held_out"] = 0
    config = configuration.parse(changes)
    assert held_out(config, Source(config.data, held_out=True)) is None


def test_validation_measures_what_the_model_returns(crops: Any, tmp_path: Path) -> None:
    config, found = crops
    learner = build(config)  # a fresh predictor says that the residual is zero
    model = as_model(learner, config, 0)
    scores = validate(model, found, learner.autocast, torch.device("cpu"), sheet=tmp_path / "sheet.png")
    assert scores.psnr == pytest.approx(scores.input_psnr, abs=1e-4)
    assert scores.ssim == pytest.approx(scores.input_ssim, abs=1e-4)
    assert scores.count == 2
    assert all(part in scores.protocol for part in ("40 px", "held out", "RGB", "5 ancestral steps", "fidelity 0"))
    with Image.open(tmp_path / "sheet.png") as sheet:
        page = np.asarray(sheet)
    assert page.shape == (2 * 44 - 4, 3 * 44 - 4, 3)
    truth = (found.x[1] * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(page[44:84, 88:128], truth)


def test_a_sheet_has_eight_rows_at_most(tmp_path: Path) -> None:
    write_sheet(tmp_path / "deep" / "sheet.png", [torch.zeros(20, 3, 8, 8), torch.ones(20, 3, 8, 8)])
    with Image.open(tmp_path / "deep" / "sheet.png") as sheet:
        assert sheet.size == (20, 8 * 12 - 4)
