"""Small random models for tests and examples: every code path of a shelf model in milliseconds."""

from __future__ import annotations

import torch

from unveil.models.model import Model
from unveil.models.spec import Defaults, Spec
from unveil.networks.compact import CompactUNet, CorrectionHead, TimestepExperts
from unveil.networks.doubt import DoubtNetwork


def tiny_model(seed: int = 0, *, head: bool = True, low: int = 32, conditioned: bool = False) -> Model:
    """A compact model with 4 base channels and random weights, its zero-initialised layers included (else it would be y -> y).

    conditioned: it is told what to fix, and has no head.
    """
    head &= not conditioned
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        predictor = CompactUNet(4, (1, 2), 1, conditioned=conditioned)
        correction = CorrectionHead(predictor.widths, 4) if head else None
        for module in (predictor, correction):
            for parameter in module.parameters() if module is not None else ():
                if not parameter.any():
                    parameter.data.normal_(std=0.05)
    for module in (predictor, correction):
        if module is not None:
            module.eval().requires_grad_(False)
    network = {"kind": "compact", "base": 4, "mults": [1, 2], "blocks": 1, "head": 4 if head else 0}
    network |= {"conditioned": True} if conditioned else {}
    spec = Spec("tiny", network, multiple_of=predictor.multiple_of, receptive_field=44, defaults=Defaults(low=low))
    return Model(spec, predictor, correction)


def tiny_experts(seed: int = 0, *, low: int = 32, doubt: bool = False) -> Model:
    """As `tiny_model`, of two experts conditioned on what to fix. doubt: with a network that estimates its error."""
    sizes = {"base": 4, "mults": [1, 2], "blocks": 1, "bottom": 0, "up_blocks": 1}
    predictor = TimestepExperts(sizes, sizes)
    # From a generator of its own: torch's is shared by all threads, and a server builds models in several.
    generator = torch.Generator().manual_seed(seed)
    doubts = DoubtNetwork(8, 4) if doubt else None
    for parameter in (*predictor.parameters(), *(doubts.parameters() if doubts is not None else ())):
        scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.05
        parameter.data = scale * torch.randn(parameter.shape, generator=generator)
    predictor.eval().requires_grad_(False)
    spec = Spec(
        "tiny",
        {"kind": "experts", "low": sizes, "native": sizes} | ({"doubt": {"width": 8, "wide": 4}} if doubt else {}),
        multiple_of=predictor.multiple_of,
        receptive_field=44,
        defaults=Defaults(low=low, fidelity=1.0),
    )
    if doubts is not None:
        doubts.eval().requires_grad_(False)
    return Model(spec, predictor, None, doubt=doubts)
