from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unveil.diffusion import GaussianPath, linear_pro, residual
from unveil.diffusion.prediction import KINDS, from_x0, residual_noise_factor, to_x0
from unveil.errors import InputError

Images = Callable[..., tuple[Tensor, Tensor, Tensor]]
Path = Callable[[str], GaussianPath]

NEEDS_SIGNAL = ("epsilon", "score")


def defined(process: GaussianPath, kind: str, t: int) -> bool:
    return kind not in NEEDS_SIGNAL or abs(float(process.alpha[t])) > 1e-8


def difference(got: Tensor, expected: Tensor) -> float:
    """Largest difference as a share of the largest value, or of one where that is smaller."""
    return float((got - expected).abs().max() / expected.abs().max().clamp(min=1))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("kind", KINDS)
def test_round_trips(kind: str, dtype: torch.dtype, tolerance: float, process: GaussianPath, images: Images) -> None:
    x0, y, eps = images(dtype=dtype)
    for t in range(1, process.steps + 1):
        if not defined(process, kind, t):
            continue
        x_t = process.forward(x0, y, t, eps)
        output = from_x0(kind, process, t, x0, x_t, y)
        assert output.dtype == dtype
        assert difference(to_x0(kind, process, t, output, x_t, y), x0) < tolerance, t
        # And from any output, though no image made it.
        said = eps.flip(-1)
        back = from_x0(kind, process, t, to_x0(kind, process, t, said, x_t, y), x_t, y)
        scale = float(process.alpha[t]) / float(process.sigma[t]) ** 2 if kind == "score" else 1.0
        assert difference(back, said) < tolerance * max(1.0, scale), t


def test_outputs_are_what_their_names_say(process: GaussianPath, images: Images) -> None:
    x0, y, eps = images()
    for t in range(1, process.steps + 1):
        x_t = process.forward(x0, y, t, eps)
        a, s = float(process.alpha[t]), float(process.sigma[t])
        k = residual_noise_factor(process, t)
        expected = {
            "sample": x0,
            "residual": y - x0,
            "epsilon": eps,
            "score": -eps / s,
            "v_prediction": a * eps - s * x0,
            "flow_prediction": eps - x0,
            "residual_noise": eps + k * (y - x0),
        }
        assert set(expected) == set(KINDS)
        for kind in KINDS:
            assert difference(from_x0(kind, process, t, x0, x_t, y), expected[kind]) < 1e-11, (kind, t)


@pytest.mark.parametrize("name", ["residual linear_pro(12)", "residual cubic(5)", "RDDM"])
def test_where_x0_has_no_weight(name: str, path: Path, images: Images) -> None:
    """At the start of sampling the state holds no x0: noise and score cannot say what it is, the other kinds can."""
    p = path(name)
    x0, y, eps = images()
    n = p.steps
    x_t = p.forward(x0, y, n, eps)
    for kind in KINDS:
        output = from_x0(kind, p, n, x0, x_t, y)
        if kind in NEEDS_SIGNAL:
            with pytest.raises(InputError, match=rf"cannot be read from the noise at step {n} of .*no weight"):
                to_x0(kind, p, n, output, x_t, y)
        else:
            torch.testing.assert_close(to_x0(kind, p, n, output, x_t, y), x0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("convert", [to_x0, from_x0])
def test_unknown_kinds(convert: Callable[..., Tensor], path: Path, images: Images) -> None:
    x0, y, _ = images()
    with pytest.raises(InputError, match="unknown prediction type 'eps'; known are sample, residual, epsilon"):
        convert("eps", path("residual linear_pro(12)"), 1, x0, y, y)


def test_residual_noise_makes_the_step_a_plain_ddpm_step(images: Images) -> None:
    """With it the reverse mean is (x_t - beta / s eps_res) / sqrt(alpha), y and R unseen: the reason for its factor."""
    p = residual(linear_pro(12))
    x0, y, eps = images()
    for t in range(2, p.steps + 1):
        x_t = p.forward(x0, y, t, eps)
        alpha = p.ratio(t, t - 1) ** 2
        ddpm = (x_t - (1 - alpha) / float(p.sigma[t]) * from_x0("residual_noise", p, t, x0, x_t, y)) / alpha**0.5
        gain = (
            p.ratio(t, t - 1) * float(p.sigma[t - 1]) ** 2 / float(p.sigma[t]) ** 2
        )  # Gaussian conditioning of x_u on x_t
        exact = p.forward(x0, y, t - 1, torch.zeros_like(eps)) + gain * float(p.sigma[t]) * eps
        torch.testing.assert_close(ddpm, exact, rtol=0, atol=1e-13)


def test_the_factor_as_printed_misses_the_reverse_mean() -> None:
    """LearnIR Eq. 5 has the cumulative alpha in the first factor too: up to 0.44 |R| wrong in one of the five steps."""
    p = residual(linear_pro(12))
    wrong = []
    for t in range(1, p.steps + 1):
        alpha, s = p.ratio(t, t - 1) ** 2, float(p.sigma[t])
        printed = (1 - float(p.decay[t])) * s / (1 - alpha)
        wrong.append((1 - alpha) / (alpha**0.5 * s) * (printed - residual_noise_factor(p, t)))
    assert wrong == pytest.approx([0.0, 0.0042, 0.0868, 0.2414, 0.4428], abs=5e-5)


def test_a_subset_reads_residual_noise_as_it_was_trained(process: GaussianPath, images: Images) -> None:
    """The factor belongs to the step that the network was trained on, not to the longer one that is sampled."""
    x0, y, eps = images()
    indices = [0, 2, process.steps]
    few = process.subset(indices)
    for small, large in enumerate(indices[1:], 1):
        x_t = process.forward(x0, y, large, eps)
        output = from_x0("residual_noise", process, large, x0, x_t, y)
        torch.testing.assert_close(to_x0("residual_noise", few, small, output, x_t, y), x0, rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_against_finite_differences(kind: str, process: GaussianPath, images: Images) -> None:
    x0, y, eps = (v[:1, :, :1, :2].clone().requires_grad_() for v in images())
    t = process.steps - 1
    assert torch.autograd.gradcheck(lambda out, x, y: to_x0(kind, process, t, out, x, y), (eps, x0, y))
