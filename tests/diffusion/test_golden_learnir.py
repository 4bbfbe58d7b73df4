"""Against LearnIR's equations evaluated on their own, apart from this package (the authors published no code)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unveil.diffusion import linear_pro, residual
from unveil.diffusion.correction import eq51, leverage, posterior_mean, shift_target
from unveil.diffusion.prediction import from_x0, to_x0

pytestmark = pytest.mark.shared

FIVE = residual(linear_pro(12), "index")
TOLERANCE = 1e-6  # the golden schedule was made in float32


@pytest.fixture
def equations(golden: Callable[[str], dict[str, Tensor]]) -> dict[str, Tensor]:
    return golden("learnir_equations_own")


def close(got: Tensor | float, expected: Tensor) -> None:
    torch.testing.assert_close(torch.as_tensor(got, dtype=torch.float64), expected, rtol=0, atol=TOLERANCE)


def test_schedule(equations: dict[str, Tensor]) -> None:
    close(FIVE.decay[1:] ** 2, equations["abar"])
    close(FIVE.decay[:-1] ** 2, equations["abar_prev"])
    close(linear_pro(12).alpha, equations["alpha"])
    close(1 - linear_pro(12).alpha, equations["beta"])


@pytest.mark.parametrize("t", range(1, 6))
def test_equations(t: int, equations: dict[str, Tensor]) -> None:
    """Eqs. 12, 15, 16, 51 and both correction targets, with a random tensor for what the network says."""
    g, i, u = equations, t - 1, t - 1
    x0, y, eps, said = (g[key] for key in ("x0", "y", "eps", "net"))
    x_t = FIVE.forward(x0, y, t, eps)
    close(x_t, g["z_t"][i])
    close(from_x0("residual_noise", FIVE, t, x0, x_t, y), g["eps_res"][i])
    x0_hat = to_x0("residual_noise", FIVE, t, said, x_t, y)
    m_pred = posterior_mean(FIVE, t, u, x_t, x0_hat, y)
    close(m_pred, g["pred_mean"][i])
    close(posterior_mean(FIVE, t, u, x_t, x0, y), g["posterior_mean"][i])
    close(FIVE.ancestral(t, u), g["sigma_sample"][i])
    close(eq51(FIVE, t, x_t, y, said), g["mu_eq51"][i])

    c = leverage(FIVE, t, u, FIVE.ancestral(t, u))
    mu = {k: c * shift_target(k, FIVE, t, x_t, y, x0_hat, x0, eps) for k in ("posterior", "eq51", "forward")}
    close(mu["posterior"], g["mu_target_posterior"][i])
    close(mu["eq51"], g["mu_eq51"][i])
    # The golden forward target is against the mean of x_u; ours keeps the noise of the state, s_u eps.
    close(mu["forward"] + float(FIVE.sigma[u]) * eps, g["mu_target_forward"][i])
    close(m_pred - g["mu_target_forward"][i], g["forward_mean"][i])
