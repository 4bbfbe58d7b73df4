from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from unveil.degradation import quantise
from unveil.degradation.wild import WORDS, carry_out, events, labels, mild, plan, wild
from unveil.degradation.wild.plan import COLUMN, COLUMNS, OPERATIONS, words

PSNR_AT = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def seeded(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def psnr(a: Tensor, b: Tensor) -> np.ndarray:
    return (-10 * torch.log10((a - b).square().mean((1, 2, 3)).clamp_min(1e-10))).double().numpy()


def check_quantiles(shared: Path, count: int, at: tuple[float, ...], tolerance: float) -> None:
    stored = np.load(shared / "golden" / "wild_degradation_stats.npz")
    x = torch.from_numpy(stored["img"][..., ::-1].copy()).permute(2, 0, 1)[None].expand(count, -1, -1, -1)
    got = np.quantile(psnr(carry_out(x, plan(count, seeded(), under_display=False)), x), at)
    np.testing.assert_allclose(got, np.quantile(stored["psnr"], at), rtol=tolerance)


@pytest.mark.shared
def test_as_much_damage_as_published(shared: Path) -> None:
    check_quantiles(shared, 200, (0.05, 0.25, 0.5, 0.75, 0.95), 0.1)


@pytest.mark.shared
@pytest.mark.slow
def test_as_much_damage_as_published_to_the_tails(shared: Path) -> None:
    check_quantiles(shared, 1500, PSNR_AT, 0.05)


@pytest.mark.shared
def test_as_many_events_as_published(shared: Path) -> None:
    stored = np.load(shared / "golden" / "wild_degradation_stats.npz")
    assert tuple(stored["names"]) == WORDS
    steps = plan(20_000, seeded())
    np.testing.assert_allclose(words(steps).double().mean(0).numpy(), stored["rates"], rtol=0.1)
    shown = (steps[:, :, COLUMN["operation"]] == OPERATIONS.index("under_display")).sum(1).double().mean()
    assert float(shown) == pytest.approx(float(stored["udc_rate"]), rel=0.1)


def test_probabilities_and_ranges() -> None:
    done = [e for picture in events(plan(10_000, seeded())) for e in picture]
    n = 10_000

    def rate(**wanted: object) -> float:
        return sum(all(e.get(k) == v for k, v in wanted.items()) for e in done) / n

    blurs = [e for e in done if e["operation"] == "blur"]
    assert len(blurs) / n == pytest.approx(2.0, rel=0.02)
    assert rate(family="sinc") == pytest.approx(0.76, rel=0.03)
    assert rate(family="gaussian") == pytest.approx((0.8 * 0.9 + 0.4 * 0.9 + 0.8 * 0.2) * 0.35, rel=0.05)
    assert rate(family="shake") == pytest.approx((0.8 * 0.9 + 0.4 * 0.9 + 0.8 * 0.2) * 0.03, rel=0.15)
    rings = [e for e in blurs if e["wiener"]]
    # Shakes and shortened lines have sizes of their own; the rest rings at 5 and 7 alone.
    assert len(rings) / n == pytest.approx(0.046, rel=0.15)
    assert {e["size"] for e in rings} == {5, 7}
    assert sum("blend" in e for e in rings) / len(rings) == pytest.approx(0.1, abs=0.04)
    assert rate(operation="resize") == pytest.approx(1.6, rel=0.02)
    assert {e["interpolation"] for e in done if e["operation"] == "resize"} == {"area", "cubic", "linear"}
    scales = [e["scale"] for e in done if "scale" in e]
    assert 0.5 <= min(scales) < 0.51 < 1.39 < max(scales) < 1.4
    assert rate(operation="noise") == pytest.approx(0.6, rel=0.03)
    sigmas = [255 * e["gaussian"] for e in done if "gaussian" in e]
    assert len(sigmas) / n == pytest.approx(0.36, rel=0.04)
    assert 1 <= min(sigmas) < 1.05 < 4.95 < max(sigmas) < 5
    assert rate(gaussian_grey=True) == pytest.approx(0.36 * 0.4, rel=0.06)
    assert sum("poisson" in e for e in done) / n == pytest.approx(0.24, rel=0.05)
    qualities = sorted(e["quality"] for e in done if e["operation"] == "jpeg")
    assert (qualities[0], qualities[-1]) == (60, 99)
    assert {e["size"] for e in blurs if e["family"] == "box"} == {*range(5, 20, 2)}
    assert {e["size"] for e in blurs if e["family"] == "line"} == {*range(5, 16, 2)}
    assert {e["size"] for e in blurs if e["family"] == "shake"} == {*range(5, 30, 2)}
    assert all(1 <= e["beta"] < 1.5 for e in blurs if e["family"].startswith("plateau"))
    betas = np.array([e["beta"] for e in blurs if e["family"].startswith("generalised")])
    assert (betas < 1).mean() == pytest.approx(0.5, abs=0.03)


def test_three_phases_each_shuffled() -> None:
    steps = plan(4000, seeded())[:, :, COLUMN["operation"]]
    for first, last in ((0, 4), (4, 6), (6, 9)):
        blurred = (steps[:, first:last] == OPERATIONS.index("blur")).double().mean(0)
        assert blurred.min() > 0.8 * blurred.max()
    resized = (steps == OPERATIONS.index("resize")).long()
    assert (resized[:, 4:6] == 0).all()
    assert torch.equal(resized[:, :4].sum(1), resized[:, 6:].sum(1)), "what was resized is resized back"


def test_batch_mates_change_nothing(photographs: Tensor) -> None:
    steps = plan(8, seeded())
    together = carry_out(photographs, steps)
    alone = torch.cat([carry_out(photographs[i : i + 1], steps[i : i + 1]) for i in range(8)])
    assert torch.equal(together, alone)


def test_many_in_one_tensor_are_each_alone_up_to_rounding(photographs: Tensor) -> None:
    x, steps = photographs.repeat(6, 1, 1, 1), plan(48, seeded())
    one, many = carry_out(x, steps), carry_out(x, steps, together=16)
    # A value near the middle of two levels may fall on the other side, and noise and JPEG follow it.
    assert ((one - many).abs() > 0.5 / 255).double().mean() < 0.01


def test_a_plan_of_nothing_changes_nothing(photographs: Tensor) -> None:
    steps = torch.full((8, 9, len(COLUMNS)), -1.0, dtype=torch.float64)
    assert torch.equal(carry_out(photographs, steps), quantise(photographs))
    assert labels(words(steps)) == [()] * 8
    assert events(steps) == [[]] * 8


@pytest.mark.parametrize(
    ("operation", "columns", "word"),
    [
        ("blur", {"family": 6, "size": 9, "wiener": 0}, ("blur",)),
        ("blur", {"family": 10, "size": 9, "cutoff": 1.2, "wiener": 0}, ("blur", "ringing artifact")),
        ("blur", {"family": 7, "size": 5, "wiener": 1}, ("blur", "ringing artifact")),
        ("under_display", {"size": 41, "blend": 0.5}, ()),
        ("noise", {"gaussian": 0.02, "gaussian_grey": 1}, ("noise",)),
        ("noise", {"poisson": 0.5, "poisson_grey": 0}, ("noise",)),
        ("jpeg", {"quality": 60}, ("jpeg block",)),
    ],
)
def test_one_operation_and_its_word(
    photographs: Tensor, operation: str, columns: dict[str, float], word: tuple
) -> None:
    steps = torch.full((8, 1, len(COLUMNS)), -1.0, dtype=torch.float64)
    for name, value in {"operation": OPERATIONS.index(operation), "seed": 7, **columns}.items():
        steps[..., COLUMN[name]] = value
    y = carry_out(photographs, steps)
    assert labels(words(steps)) == [word] * 8
    assert (y != photographs).any()
    assert psnr(y, photographs).min() > 18
    noise = y - photographs
    if columns.get("gaussian_grey"):
        inside = ((y > 0.02) & (y < 0.98)).all(1, keepdim=True)
        assert ((noise[:, 0:1] - noise[:, 1:2]).abs() * inside).max() < 1.01 / 255
    elif operation == "noise":
        assert (noise[:, 0] - noise[:, 1]).abs().max() > 5 / 255


def test_events_are_plain_values_that_repeat_the_damage(photographs: Tensor) -> None:
    y, drawn = wild(photographs, seeded())
    told = events(drawn["steps"])
    assert torch.equal(y, carry_out(photographs, drawn["steps"]))
    for picture, said in zip(told, labels(drawn["words"]), strict=True):
        assert ("jpeg block" in said) == any(e["operation"] == "jpeg" for e in picture)
        for e in picture:
            assert -1.0 not in e.values()
            assert "seed" in e


def test_a_mild_plan_changes_size_noise_and_compression_and_comes_back() -> None:
    n = 4000
    done = events(mild(n, seeded()))
    rates = {name: np.mean([any(e["operation"] == name for e in one) for one in done]) for name in OPERATIONS}
    assert rates == {
        "blur": 0, "under_display": 0, "resize": pytest.approx(0.5, abs=0.03), "noise": pytest.approx(0.5, abs=0.03),
        "jpeg": pytest.approx(0.5, abs=0.03),
    }  # fmt: skip
    sizes = [[e for e in one if e["operation"] == "resize"] for one in done]
    assert {len(one) for one in sizes} == {0, 2}
    assert all("scale" in one[0] and "scale" not in one[1] for one in sizes if one)
    assert min(e["quality"] for one in done for e in one if e["operation"] == "jpeg") >= 80
    x = torch.rand(6, 3, 20, 24, generator=seeded())
    assert carry_out(x, mild(6, seeded())).shape == x.shape
