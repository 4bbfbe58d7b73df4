"""A model ready to run: its specification, its predictor and, where it has one, its correction head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unveil.diffusion.process import Process
from unveil.diffusion.sampling import Denoiser
from unveil.models.spec import Spec
from unveil.networks.compact import CompactUNet, CorrectionHead
from unveil.networks.padding import pad_to_multiple


@dataclass(frozen=True)
class Model:
    """sha256: of the weight file, "" for a model built in memory."""

    spec: Spec
    predictor: CompactUNet
    head: CorrectionHead | None
    sha256: str = ""

    def to(self, device: torch.device) -> Model:
        """The same model with its weights on `device`, in channels-last layout (twice as fast for convolutions on CPUs)."""
        for module in (self.predictor, self.head):
            if module is not None:
                module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    @torch.inference_mode()
    def predict(self, x_t: Tensor, y: Tensor, level: float, fidelity: float) -> Tensor:
        """x0_hat for a state (B, 3, H, W) at noise level s_t, any H, W >= 1; corrected by the head where fidelity > 0."""
        h, w = int(y.shape[-2]), int(y.shape[-1])
        states = pad_to_multiple(torch.cat([x_t, y], dim=1), self.predictor.multiple_of)
        padded_y = states[:, 3:]
        told = torch.full((len(y),), level, device=y.device)
        features = self.predictor.features(states[:, :3], padded_y, told)
        residual = self.predictor.read(features).float()
        if self.head is not None and fidelity > 0:
            f = torch.full((len(y),), fidelity, device=y.device)
            residual = residual + self.head(features, residual, padded_y, f).float()
        low, high = self.spec.value_range
        return (y - residual[..., :h, :w]).clamp(low, high)

    def denoiser(self, process: Process, fidelity: float) -> Denoiser:
        """This model as the sampling loop wants it."""
        return lambda x_t, y, t: self.predict(x_t, y, float(process.time[t]), fidelity)
