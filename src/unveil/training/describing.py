"""The networks of a configuration as the description of a model writes them: what `models.network_registry` builds them from."""

from __future__ import annotations

import dataclasses
from typing import Any

from unveil.diffusion.prediction import current_name
from unveil.models.spec import Spec
from unveil.training.config import Config, schedule


def described(config: Config) -> dict[str, Any]:
    """The predictor's entry in a description, without its correction; of a published network that is trained as it is, none."""
    net = config.network
    if net.experts:
        sizes = {name: dataclasses.asdict(s) for name, s in zip(("low", "native"), net.experts, strict=True)}
        return {"kind": "experts", **sizes}
    if net.kind == "rddm":
        return {"kind": "unet", "dim": net.base, "mults": net.mults, "channels": 3, "mask_channels": 0}
    if net.kind == "conditional":
        return {
            "kind": "conditional_unet", "nf": net.base, "mults": net.mults, "channels": 3, "context_dim": net.context or None,
            "degradation": net.context > 0 and net.degradation, "half_size": net.half_size,
        }  # fmt: skip
    return {"kind": "compact", "base": net.base, "mults": net.mults, "blocks": net.blocks, "bottom": net.bottom}


def described_head(config: Config) -> int | dict[str, Any]:
    """The correction's entry: the sizes of a U-Net of its own, the width of a compact predictor's light head, or 0 for none."""
    net = config.network
    if net.correction.base:
        return {"dim": net.correction.base, "mults": net.correction.mults}
    return net.head if net.kind == "compact" and not net.experts else 0


def asked(config: Config) -> Spec:
    """What the predictor takes and predicts, as the part of a description that running and training read."""
    # `networks.predictor.Predictor` knows nothing of a guide: a guided network is told the index of the step, as published ones are.
    time = "level" if config.network.predicts == "residual" and not config.network.guide else "index"
    prediction = current_name(config.network.predicts)
    return Spec(config.name, described(config), schedule(config), prediction=prediction, time=time)
