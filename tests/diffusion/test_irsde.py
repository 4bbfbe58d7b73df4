"""IR-SDE through the one step and the one loop, against the official code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from unveil.diffusion import mean_reverting, sample, step
from unveil.diffusion.irsde import euler, matching_loss, noise_scale, optimum, theta_sum
from unveil.diffusion.path import GaussianPath
from unveil.diffusion.prediction import from_x0, to_x0

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def official(shared: Path) -> dict[str, Tensor]:
    return load_file(shared / "golden" / "irsde_process.safetensors")


@pytest.fixture(scope="module")
def process() -> GaussianPath:
    return mean_reverting(theta_sum("cosine", 100))


def close(got: Tensor, expected: Tensor, atol: float = 1e-6) -> None:
    torch.testing.assert_close(got.float(), expected, rtol=1e-5, atol=atol)


def test_states_and_noise(official: dict[str, Tensor], process: GaussianPath) -> None:
    """`x_t` are states of the path, `x` is one arbitrary state that everything else is asked about."""
    x0, y, x = official["x0"], official["mu"], official["x"]
    for i, t in enumerate(official["ts"].tolist()):
        close(process.forward(x0, y, t, torch.zeros_like(x0)), official["mu_bar"][i])
        close(process.forward(x0, y, t, official["noise"]), official["x_t"][i])
        # Divided by a standard deviation of 0.004 at t = 1, rounding weighs 300 times as much; in the score its square.
        s = float(process.sigma[t])
        close(from_x0("epsilon", process, t, x0, x, y), official["real_noise"][i], 2e-7 / s)
        score = from_x0("score", process, t, x0, x, y)
        torch.testing.assert_close(score, official["real_score"][i], rtol=5e-5, atol=2e-7 / s**2)


@pytest.mark.parametrize("kind", ["epsilon", "score"])
def test_x0_from_what_the_network_predicts(official: dict[str, Tensor], process: GaussianPath, kind: str) -> None:
    for i, t in enumerate(official["ts"].tolist()):
        output = official["pred_noise"] if kind == "epsilon" else official["score_from_noise"][i]
        x0_hat = to_x0(kind, process, t, output, official["x"], official["mu"])
        # x0_hat amplifies rounding by exp(theta_sum), 200 at t = 100.
        close(x0_hat, official["x0_from_noise"][i], 5e-7 / float(process.alpha[t]))


def test_single_steps(official: dict[str, Tensor], process: GaussianPath) -> None:
    x, y, z = official["x"], official["mu"], official["z"]
    for i, t in enumerate(official["ts"].tolist()):
        x0_hat = to_x0("epsilon", process, t, official["pred_noise"], x, y)
        mean = euler(process, t, x, x0_hat, y)
        close(mean, official["reverse_sde_step_mean"][i])
        close(mean - noise_scale(process, t, mean) * z, official["reverse_sde_step"][i])
        close(euler(process, t, x, x0_hat, y, share=0.5), official["reverse_ode_step"][i])
        eta = process.ancestral(t, t - 1)
        close(torch.tensor(eta), official["reverse_optimum_std"][i])
        # Near t = 0 the official 1 - exp(-small) is a float32 with four digits left.
        close(
            step(process, t, t - 1, x, x0_hat, y, eta, z),
            official["reverse_posterior_step"][i],
            2e-4 if t < 5 else 2e-6,
        )
        optimal = optimum(process, torch.full((2,), t), x, official["x0"], y)
        close(optimal, official["reverse_optimum_step"][i], 2e-4 if t < 5 else 2e-6)


def walked(
    official: dict[str, Tensor], process: GaussianPath, solver: str, draws: Tensor | None, told: float = 1
) -> Tensor:
    """The whole loop from the stored start, with the stored fake network and the stored noise."""
    y = official["loop.mu"]

    def denoise(x: Tensor, y: Tensor, t: int) -> Tensor:
        eps = 0.8 * torch.tanh(3 * (x - y)) + 0.02 * told * float(process.timestep[t]) / 100
        return to_x0("epsilon", process, t, eps, x, y)

    def noise(index: int, like: Tensor) -> Tensor:
        if index == 0:
            return (official["loop.x_T"] - y) / float(process.sigma[-1])
        assert draws is not None
        # The official Euler step subtracts its noise.
        return draws[index - 1] if solver == "ancestral" else -draws[index - 1]

    return sample(denoise, y, process, noise, solver=solver)


@pytest.mark.parametrize(("name", "solver"), [("posterior", "ancestral"), ("sde", "sde"), ("ode", "ode")])
def test_the_loop_of_100_steps(official: dict[str, Tensor], process: GaussianPath, name: str, solver: str) -> None:
    """The official posterior, in float32, loses four digits of 1 - exp(-theta dt) near t = 0: with the fake network's
    states, as large as 70, that is 0.004. The same formula in float64 gives what this loop gives."""
    got, expected = walked(official, process, solver, official.get(f"loop.{name}_noises")), official[f"loop.{name}"]
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(("name", "solver"), [("posterior", "ancestral"), ("sde", "sde")])
def test_the_official_shortcut_is_another_process(official: dict[str, Tensor], name: str, solver: str) -> None:
    """With sample_T = 20 the official code rebuilds theta for 20 steps and tells the network t * 5."""
    rebuilt = mean_reverting(theta_sum("cosine", 20))
    got = walked(official, rebuilt, solver, official[f"loop.{name}_sT20_noises"], told=5)
    torch.testing.assert_close(got, official[f"loop.{name}_sT20"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_the_training_loss(official: dict[str, Tensor], process: GaussianPath, norm: str) -> None:
    states, eps = official["train.states"], official["train.pred_noise"]
    y, x0, t = official["mu"], official["x0"], official["train.t"]
    close(optimum(process, t, states, x0, y), official["train.optimum"])
    loss = matching_loss(process, t, states, y, x0, eps, norm)
    torch.testing.assert_close(loss[None], official[f"train.loss_{norm}"], rtol=1e-5, atol=1e-7)
