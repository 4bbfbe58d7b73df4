"""From what a published network says to x0_hat, as its own sampler has it; one place for running and for training."""

from __future__ import annotations

from torch import Tensor

from unveil.diffusion.prediction import to_x0
from unveil.diffusion.process import Process
from unveil.diffusion.rddm import from_both
from unveil.models.paths import name_of
from unveil.models.spec import Spec


def estimated(spec: Spec, process: Process, t: int, said: Tensor, x_t: Tensor, y: Tensor) -> Tensor:
    """x0_hat (B, 3, H, W), not clamped, from a network's own output at index t.

    Args:
        spec: What the network predicts, and the range of its images.
        process: The path that is sampled.
        t: The index of the state, at least 1.
        said: (B, C, H, W) output, 6 channels where residual and noise are predicted apart.
        x_t: (B, 3, H, W) state.
        y: (B, 3, H, W) damaged image.

    """
    if spec.prediction == "residual_and_noise":
        residual, noise = said.split(3, dim=1)
        return from_both(process, t, residual.clamp(*spec.value_range), noise, x_t, y)
    return to_x0(spec.prediction, process, t, said[:, :3], x_t, y)


def bounded(spec: Spec, x0_hat: Tensor) -> Tensor:
    """x0_hat clamped to the range of the images where the published sampler does so before the next step.

    It does where the image or its residual is predicted on Resfusion's and IR-SDE's paths. A prediction of the noise is taken as it
    is, since x0_hat then only stands for the noise; and RDDM derives the noise from the residual before it clamps anything.
    """
    if spec.prediction not in ("x0", "residual") or name_of(spec.schedule) == "rddm":
        return x0_hat
    return x0_hat.clamp(*spec.value_range)
