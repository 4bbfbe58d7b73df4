"""What `python -m benchmarks guidance` says of its seeds; that it trains and restores, the pages' own tests of the parts show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import guidance
from benchmarks._runner import run
from unveil.diffusion.irsde import matching_loss
from unveil.models.path_config import path
from unveil.training.noising import grid_weight


def seed(number: int, gain: float) -> dict[str, Any]:
    """A result in which the trained guide is `gain` dB better than none, and its loss by as many per cent lower."""
    kinds = (*guidance.KINDS, "all")
    levels = {guidance.INPUT: 13.0, guidance.NONE: 15.0, guidance.UNTRAINED: 15.0, guidance.GUIDED: 15.0 + gain}
    rows = {row: dict.fromkeys(kinds, level) for row, level in levels.items()}
    for row, lower in ((guidance.NONE, 0.0), (guidance.UNTRAINED, 0.0), (guidance.GUIDED, gain)):
        rows[row][guidance.LOSS] = 0.2 * (1 - lower / 100)
    said = "held out: the kind of damage is named rightly in 81% of 64 crops"
    return {"seed": number, "rows": rows, "controller": said}


def test_the_interval_is_students_over_seeds_and_of_one_seed_there_is_none() -> None:
    gain = guidance.compared([seed(0, 1.0), seed(1, 2.0), seed(2, 3.0)], guidance.GUIDED, guidance.NONE)
    assert gain["mean"] == pytest.approx(2.0)
    assert gain["half"] == pytest.approx(
        4.302653 / 3**0.5, rel=1e-5
    )  # t of 95 % with two degrees of freedom; deviation 1
    assert guidance.compared([seed(0, 1.0)], guidance.GUIDED, guidance.NONE)["half"] == float("inf")


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ((1.0, 1.1, 1.2), "guidance helps"),
        ((-1.0, -1.1, -1.2), "guidance harms"),
        ((-1.0, 1.0, 0.1), "makes no difference"),
    ],
)
def test_the_verdict_is_the_side_of_zero_on_which_the_interval_lies(gains: tuple[float, ...], said: str) -> None:
    lines = guidance.sentences([seed(number, gain) for number, gain in enumerate(gains)])
    assert len(lines) == 4
    assert all(said in line for line in lines)


def test_seeds_of_several_calls_become_one_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    protocol = {"steps": 200, "crops of each kind": 16}
    files = [tmp_path / f"{number}.json" for number in range(3)]
    for number, file in enumerate(files):
        file.write_text(json.dumps({"protocol": protocol, "seeds": [seed(number, 1.0 + number)]}))
    out, groups = tmp_path / "all.json", {"quality": ("guidance",)}
    words = ["guidance", "--merge", *map(str, files), "--json", str(out)]
    assert run("benchmarks", groups, words=words) == 0
    assert "3 seeds:" in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert [one["seed"] for one in result["seeds"]] == [0, 1, 2]
    facts = guidance.facts(result)
    assert (facts["seeds"], facts["steps"], facts["crops"]) == ("3", "200", "16")
    assert str(facts["table"]).count("15.00") > 4
    files[0].write_text(json.dumps({"protocol": protocol | {"steps": 100}, "seeds": [seed(0, 1.0)]}))
    with pytest.raises(SystemExit, match="differ at /protocol"):
        run("benchmarks", groups, words=words)


def test_the_loss_is_one_that_weighs_the_start_of_sampling() -> None:
    """An error of the estimate of x0 weighs a thousandth at the start of what it weighs at the end in IR-SDE's loss, here a nineteenth."""
    process = path("mean_reverting(cosine, 100, 0.005, 100)")
    x0, y = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)

    def published(index: int) -> float:
        a, b, s = (float(c[index]) for c in (process.alpha, process.beta, process.sigma))
        x_t = a * x0 + b * y
        eps_hat = (x_t - a * (x0 + 1) - b * y) / s
        return float(matching_loss(process, torch.tensor([index]), x_t, y, x0, eps_hat))

    def squared(index: int) -> float:
        return float(grid_weight(process, torch.tensor([index]), x0))

    assert published(1) / published(100) == pytest.approx(1000, rel=0.1)
    assert squared(1) / squared(100) == pytest.approx(19, rel=0.02)
