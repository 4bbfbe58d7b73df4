"""Networks ready to be trained: fresh or from trained weights, on their device, with the grids they are trained for."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint as recompute

from unveil.diffusion import cubic, residual
from unveil.errors import InputError
from unveil.models import shelf
from unveil.models.model import Model
from unveil.models.paths import RESIDUAL, name_of, path
from unveil.networks.compact import Block, CompactUNet, CorrectionHead
from unveil.networks.experts import TimestepExperts
from unveil.training.checks import check_crops
from unveil.training.config import Config, Network, Sizes, schedule
from unveil.training.objectives import Learner


def started_from(config: Config) -> tuple[Config, Model | None]:
    """The configuration with the network of its `init` model filled in, and that model; unchanged without one.

    Raises ModelError for a model that cannot be found or read, InputError for one that is told something else than the
    noise level, or was trained on another schedule of the same path.
    """
    if not config.init:
        return config, None
    model = shelf.load(config.init)
    if isinstance(model.predictor, TimestepExperts) and not config.network.experts:
        sizes = [Sizes(**model.spec.network[name]) for name in ("low", "native")]
        config = dataclasses.replace(config, network=dataclasses.replace(config.network, experts=sizes))
    if config.network.experts and isinstance(model.predictor, (CompactUNet, TimestepExperts)):
        check_crops(config)
        return config, model
    if not isinstance(model.predictor, CompactUNet):
        raise InputError(
            f"{config.init} is a {type(model.predictor).__name__}; only compact networks can be trained further"
        )
    if model.spec.time != "level":
        raise InputError(f"{config.init} is told the index of a step; networks trained here are told the noise level")
    trained, wanted = model.spec.schedule, schedule(config)
    if trained != wanted and name_of(trained) == name_of(wanted):  # another path altogether is a warm start
        raise InputError(
            f"{config.init} was trained on {trained}, this run says steps: {config.steps}; make them equal"
        )
    sizes = model.spec.network
    head = sizes.get("head") or config.network.head
    bottom = max(int(sizes.get("bottom", 0)), config.network.bottom)
    network = Network(int(sizes["base"]), [int(m) for m in sizes["mults"]], int(sizes["blocks"]), int(head), bottom)
    config = dataclasses.replace(config, network=network)
    check_crops(config)
    return config, model


def build(config: Config, device: torch.device | None = None, model: Model | None = None) -> Learner:
    """Networks and grids. Fresh weights are a function of the seed; model: trained weights to start from, where it has them."""
    device = device or torch.device("cpu")
    torch.manual_seed(config.seed)
    net = config.network
    if net.experts:
        predictor = TimestepExperts(*(asdict(sizes) for sizes in net.experts))
        head = None
        if model is not None:
            _inherit(predictor, model.predictor)
    else:
        predictor = CompactUNet(net.base, tuple(net.mults), net.blocks, net.bottom)
        head = CorrectionHead(predictor.widths, net.head)
    if model is not None and head is not None:
        # Blocks that the trained network lacks stand on the coarsest level and begin as the identity.
        predictor.load_state_dict({**predictor.state_dict(), **model.predictor.state_dict()})
        if model.head is not None:
            head.load_state_dict(model.head.state_dict())
    for module in (m for m in (predictor, head) if m is not None):
        module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.checkpointing:
            _recompute(module)
    text = schedule(config)
    free = name_of(text) in RESIDUAL
    grids = [path(text), residual(cubic(5))] if free else [path(text)]
    autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=config.precision == "bf16")
    fidelity = 0.0 if model is None or model.head is None else model.spec.defaults.fidelity
    return Learner(predictor, head, grids, autocast, free, fidelity)


def _inherit(predictor: TimestepExperts, trained: nn.Module) -> None:
    """Fill what two experts have in common with a trained network: with another pair, or each with the one network."""
    for own in (predictor.low, predictor.native):
        source = trained
        if isinstance(trained, TimestepExperts):
            source = trained.low if own is predictor.low else trained.native
        there, here = source.state_dict(), own.state_dict()
        own.load_state_dict(here | {k: v for k, v in there.items() if k in here and v.shape == here[k].shape})


def _recompute(module: nn.Module) -> None:
    """Keep only the inputs of residual blocks for the backward pass and compute the rest again there."""
    for block in module.modules():
        if isinstance(block, Block):
            block.forward = partial(recompute, block.forward, use_reentrant=False)  # type: ignore[method-assign]
