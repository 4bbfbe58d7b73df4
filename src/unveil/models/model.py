"""A model ready to run: its specification, its predictor and, where it has one, its correction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from unveil.diffusion.path import GaussianPath, from_both
from unveil.diffusion.prediction import to_x0
from unveil.diffusion.sampling import Denoiser
from unveil.diffusion.self_ensemble import self_ensemble
from unveil.errors import InputError
from unveil.models.calibration import Calibration
from unveil.models.path_config import name_of
from unveil.models.spec import Spec
from unveil.models.treatment import Treatment
from unveil.networks.compact import BORDER, TimestepExperts
from unveil.networks.condition import KINDS, condition
from unveil.networks.predictor import Answer, Predictor, finite, pad_to_multiple

if TYPE_CHECKING:
    from unveil.models.engines import Runner
    from unveil.networks.daclip import DACLIP
    from unveil.networks.doubt import DoubtNetwork


MASK_CHANNELS = {2: "Resfusion", 3: "RDDM"}
"""Number of a network's mask channels -> whose networks have that many."""
_MASK_WHITE = 1 - 0.5 / 255


def encode_mask(mask: np.ndarray, channels: int) -> Tensor:
    """The mask (H, W) or (H, W, 3) of a photograph, white where the damage is, for a network: (1, channels, H, W) float32.

    channels: 2: outside and inside, each -1 or 1, and only what is wholly white is inside (Resfusion's data module); 3: the mask as an
    image in [0, 1] (RDDM, which does not bring it to the range of its photographs).
    """
    plane = mask if mask.ndim == 2 else mask.max(axis=2)
    if channels == 3:
        return torch.from_numpy(np.repeat(plane[None, None].astype(np.float32), 3, axis=1))
    inside = plane >= _MASK_WHITE
    return torch.from_numpy(np.where(np.stack([~inside, inside]), 1, -1).astype(np.float32))[None]


@dataclass(frozen=True)
class Model:
    """A model on one device, with everything that its evaluation needs. Frozen: for a photograph's own context a new one is made.

    Args:
        spec: Its description.
        predictor: The network, see `networks.predictor.Predictor`.
        head: The correction: takes the predictor's answer and the fidelity, and gives an offset of the residual. None for none.
        sha256: Of the weight file, "" for a model built in memory.
        guide: DA-CLIP, which describes the photograph to the network; None for networks without one.
        context: The guide's embeddings of the whole photograph, None before it was evaluated.
        probabilities: (K,) of the kinds of damage (`networks.condition`), for networks that are conditioned on them; None where
            nothing is known.
        calibrations: What was measured about the spread of its draws, or about `doubt`, one for each setting of the sampler.
        doubt: The network that estimates how far a restoration is off, None for none.
        runner: Evaluates the predictor in another runtime (`models.engines`), None for torch.
        mask: (1, C, H, W) of the one photograph that is restored, for networks that take one (`encode_mask`).
        specialists: Kind of damage to the light -> name of the model on the shelf that is better at it where no other is to be fixed.

    """

    spec: Spec
    predictor: Any
    head: nn.Module | None
    sha256: str = ""
    guide: DACLIP | None = None
    context: tuple[Tensor, ...] | None = None
    probabilities: Tensor | None = None
    calibrations: tuple[Calibration, ...] = ()
    doubt: DoubtNetwork | None = None
    runner: Runner | None = None
    mask: Tensor | None = None
    specialists: Mapping[str, str] = field(default_factory=dict)

    def to(self, device: torch.device) -> Model:
        """The same model with its weights on `device`, in channels-last layout (twice as fast for convolutions on CPUs)."""
        for module in (self.predictor, self.head, self.guide, self.doubt):
            if module is not None:
                module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    @torch.inference_mode()
    def predict(self, x_t: Tensor, y: Tensor, level: float, fidelity: float) -> Tensor:
        """x0_hat for a state (B, 3, H, W) at noise level s_t, any H, W >= 1; corrected by the head where fidelity > 0.

        In the value range, or NaN where the network's own output was not finite.
        """
        h, w = int(y.shape[-2]), int(y.shape[-1])
        states = pad_to_multiple(torch.cat([x_t, y], dim=1), self.predictor.multiple_of)
        padded_y = states[:, 3:]
        levels = torch.full((len(y),), level, device=y.device)
        f = torch.full((len(y),), float(fidelity), device=y.device)
        if self.runner is not None:
            context = self._condition(f) if self.spec.conditioned else f
            residual = self.runner(states[:, :3], padded_y, levels, context)
        else:
            answer = self._answer(states[:, :3], padded_y, level, levels, self._condition(f))
            answer = answer._replace(residual=answer.residual.float())
            residual = answer.residual
            if self.head is not None and fidelity > 0:
                residual = residual + self.head(answer, f).float()
        low, high = self.spec.value_range
        return (y - _with_nan(residual[..., :h, :w])).clamp(low, high)

    def _answer(self, x_t: Tensor, y: Tensor, level: float, levels: Tensor, context: Tensor) -> Answer:
        """The predictor's; of two experts by the number, since reading it in `levels` would wait for the device."""
        if isinstance(self.predictor, TimestepExperts):
            return Answer(x_t, y, levels, self.predictor.expert(level)(x_t, y, levels, context))
        return self.predictor.answer(x_t, y, levels, context)

    def _condition(self, fidelity: Tensor) -> Tensor:
        known = torch.full_like(fidelity, self.probabilities is not None, dtype=torch.bool)
        probabilities = torch.zeros(len(KINDS)) if self.probabilities is None else self.probabilities
        return condition(probabilities.to(fidelity).expand(len(fidelity), -1), known, fidelity)

    @torch.inference_mode()
    def estimate(
        self,
        path: GaussianPath,
        t: int,
        x_t: Tensor,
        y: Tensor,
        contexts: tuple[Tensor, ...] = (),
        fidelity: float = 0.0,
    ) -> Tensor:
        """x0_hat (B, 3, H, W) from a published network's own prediction at index t, any H, W >= 1; corrected where fidelity > 0.

        Clamped as the published samplers do, or not at all (`bounded`).
        """
        timestep = torch.full((len(y),), float(path.timestep[t]), device=y.device)
        model_output = _with_nan(self.predictor(x_t, y, timestep, *contexts).float())
        x0_hat = bounded(self.spec, estimated(self.spec, path, t, model_output, x_t, y))
        if self.head is None or fidelity <= 0:
            return x0_hat
        level = torch.full((len(y),), float(path.sigma[t]), device=y.device)
        f = torch.full((len(y),), float(fidelity), device=y.device)
        return bounded(self.spec, x0_hat - _with_nan(self.head(Answer(x_t, y, level, y - x0_hat), f).float()))

    @torch.inference_mode()
    def contexts(self, y: Tensor) -> tuple[Tensor, ...]:
        """The guide's embeddings of the photograph (B, 3, H, W) in the network's range: none, content, or content and degradation."""
        if self.guide is None:
            return ()
        return self.guide.contexts(y, self.spec.value_range, self.predictor.degradation)

    def _mask_of(self, y: Tensor) -> Tensor:
        """The mask for y (B, 3, H, W). Raises InputError where there is none, or y is not the whole photograph at its own size."""
        if self.mask is None:
            raise InputError(
                f"{self.spec.name} has to be shown where the damage is: give a mask, white there (--mask FILE; load(..., mask=FILE))"
            )
        if self.mask.shape[-2:] != y.shape[-2:]:
            raise InputError(
                f"{self.spec.name} is shown a mask, which belongs to the whole photograph at its own size; leave tile and resolution out"
            )
        return self.mask.to(y).expand(len(y), -1, -1, -1)

    def conditioned_on(self, treat: Treatment | None) -> Model:
        """This model conditioned on what to fix; itself for None."""
        return self if treat is None else replace(self, probabilities=treat.vector())

    def with_guide_of(self, photograph: Tensor) -> Model:
        """This model with its guide's embeddings of the whole photograph (B, 3, H, W), in the network's range, evaluated once.

        Without them the guide is evaluated on every y, which may be a tile. A model without a guide is returned as it is.
        """
        return self if self.guide is None else replace(self, context=self.contexts(photograph))

    def denoiser(self, path: GaussianPath, fidelity: float, views: int | None = None) -> Denoiser:
        """This model as the denoiser of the sampling loop. fidelity, views: see `Defaults`, whose number of views None stands for."""
        if self.spec.residual_at_level and isinstance(self.predictor, Predictor):

            def one(x_t: Tensor, y: Tensor, t: int) -> Tensor:
                return self.predict(x_t, y, float(path.timestep[t]), fidelity)

            several = self_ensemble(one, self.spec.defaults.views if views is None else views)
            if several is one:
                return one
            return lambda x_t, y, t: (several if float(path.timestep[t]) >= BORDER else one)(x_t, y, t)

        if self.spec.network.get("mask_channels"):
            return lambda x_t, y, t: self.estimate(path, t, x_t, y, (self._mask_of(y),), fidelity)

        def denoise(x_t: Tensor, y: Tensor, t: int) -> Tensor:
            contexts = self.contexts(y) if self.context is None else tuple(c.expand(len(y), -1) for c in self.context)
            return self.estimate(path, t, x_t, y, contexts, fidelity)

        return denoise


def _with_nan(model_output: Tensor) -> Tensor:
    """A network's output with infinities as NaN: clamping would turn them into black or white, whereas the caller checks for NaN."""
    if model_output.device.type == "cpu" and finite(model_output):
        return model_output
    # On other devices checking first would wait for the device.
    return model_output.where(model_output.isfinite(), torch.nan)


def estimated(spec: Spec, path: GaussianPath, t: int, model_output: Tensor, x_t: Tensor, y: Tensor) -> Tensor:
    """x0_hat (B, 3, H, W), not clamped, from a network's own output at index t >= 1 for a state and a damaged image of that shape.

    model_output: (B, C, H, W), 6 channels where residual and noise are predicted apart.
    """
    if spec.prediction == "residual_and_noise":
        residual, noise = model_output.split(3, dim=1)
        return from_both(path, t, residual.clamp(*spec.value_range), noise, x_t, y)
    return to_x0(spec.prediction, path, t, model_output[:, :3], x_t, y)


def bounded(spec: Spec, x0_hat: Tensor) -> Tensor:
    """x0_hat clamped to the range of the images where the published sampler does so before the next step.

    It does where the image or its residual is predicted on Resfusion's and IR-SDE's paths. A prediction of the noise is taken as it
    is, since x0_hat then only stands for the noise; and RDDM derives the noise from the residual before it clamps anything.
    """
    if spec.prediction not in ("sample", "residual") or name_of(spec.schedule) == "rddm":
        return x0_hat
    return x0_hat.clamp(*spec.value_range)
