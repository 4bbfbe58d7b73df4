"""What all simulators promise alike."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unveil.degradation import KINDS, apply
from unveil.errors import InputError

kinds = pytest.mark.parametrize("kind", list(KINDS))


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def psnr(a: Tensor, b: Tensor) -> float:
    return float((-10 * torch.log10((a - b).square().mean((1, 2, 3)).clamp_min(1e-10))).mean())


def test_the_eight_kinds_are_there() -> None:
    assert set(KINDS) == {"haze", "shadow", "lowlight", "noise", "blur", "jpeg", "rain", "wild"}


@kinds
def test_same_state_same_output_and_another_state_another(kind: str, photographs: Tensor) -> None:
    before = photographs.clone()
    y, drawn = apply(kind, photographs, seeded())
    again, drawn_again = apply(kind, photographs, seeded())
    assert torch.equal(photographs, before), "the input was written to"
    assert torch.equal(y, again)
    assert drawn.keys() == drawn_again.keys()
    assert all(torch.equal(drawn[k], drawn_again[k]) for k in drawn)
    assert not torch.equal(y, apply(kind, photographs, seeded(4))[0])


@kinds
def test_the_global_generator_is_left_alone(kind: str, photographs: Tensor) -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    apply(kind, photographs, seeded())
    assert torch.equal(torch.get_rng_state(), state)


@kinds
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 90), (65, 33)])
@pytest.mark.parametrize("severity", [None, 0.0, 1.0])
def test_any_size_keeps_shape_and_range(kind: str, size: tuple[int, int], severity: float | None) -> None:
    x = torch.rand(3, 3, *size, generator=seeded())
    x[0], x[1] = 0.0, 1.0
    y, drawn = apply(kind, x, seeded(), severity)
    assert y.shape == x.shape
    assert y.dtype == torch.float32
    assert torch.isfinite(y).all()
    assert y.min() >= 0
    assert y.max() <= 1
    for name, value in drawn.items():
        assert len(value) == 3, name
        assert torch.isfinite(value.float()).all(), name


@kinds
def test_severity_is_monotone(kind: str, photographs: Tensor) -> None:
    values = [psnr(apply(kind, photographs, seeded(), s)[0], photographs) for s in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert all(a > b + 0.3 for a, b in zip(values, values[1:], strict=False)), values


@pytest.mark.parametrize(
    ("kind", "mild", "strong"),
    [
        ("haze", 20, 13), ("shadow", 22, 17), ("lowlight", 13, 10), ("noise", 45, 16), ("blur", 32, 27),
        ("jpeg", 34, 27), ("rain", 29, 17), ("wild", 26, 24),
    ],
)  # fmt: skip
def test_the_ends_of_the_range(kind: str, mild: float, strong: float, photographs: Tensor) -> None:
    assert psnr(apply(kind, photographs, seeded(), 0.0)[0], photographs) > mild
    assert psnr(apply(kind, photographs, seeded(), 1.0)[0], photographs) < strong


@kinds
def test_pinning_the_severity_changes_no_other_draw(kind: str, photographs: Tensor) -> None:
    one, two = seeded(), seeded()
    apply(kind, photographs, one, 0.2)
    apply(kind, photographs, two, 0.9)
    assert torch.equal(one.get_state(), two.get_state())


@kinds
def test_a_free_severity_differs_between_samples(kind: str, photographs: Tensor) -> None:
    s = apply(kind, photographs, seeded())[1]["severity"].flatten()
    assert len(s.unique()) == len(s)
    assert s.min() >= 0
    assert s.max() <= 1
    assert (apply(kind, photographs, seeded(), 0.25)[1]["severity"] == 0.25).all()


def test_an_unknown_kind_names_its_neighbours(photographs: Tensor) -> None:
    with pytest.raises(InputError, match=r"'hase'.*did you mean haze"):
        apply("hase", photographs, seeded())
    with pytest.raises(InputError, match="known are haze, shadow"):
        apply("zzzzzz", photographs, seeded())


@kinds
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(3, 8, 8), r"\(3, 8, 8\)"),
        (torch.zeros(1, 1, 8, 8), r"\(B, 3, H, W\)"),
        (torch.zeros(1, 3, 0, 8), "empty"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "float32"),
    ],
)
def test_wrong_batches_are_refused(kind: str, x: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        apply(kind, x, seeded())


@kinds
@pytest.mark.parametrize("severity", [-0.1, 1.5, float("nan")])
def test_wrong_severities_are_refused(kind: str, severity: float, photographs: Tensor) -> None:
    with pytest.raises(InputError, match="severity"):
        apply(kind, photographs, seeded(), severity)
