"""Networks ready to be trained: fresh or from trained weights, on their device, with the grids they are trained for.

`needs` counts what one training step of theirs takes in memory, on networks without weights: nothing of that size is made.
"""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint as recompute

from unveil.diffusion import cubic, residual
from unveil.errors import InputError
from unveil.models import network_registry, shelf
from unveil.models.model import Model
from unveil.models.path_config import RESIDUAL, name_of, path
from unveil.models.spec import Spec
from unveil.models.weights_file import sha256_of
from unveil.networks.blocks import ResnetBlock
from unveil.networks.compact import Block, TimestepExperts
from unveil.networks.predictor import Answer, Predictor
from unveil.training.checks import check_crops
from unveil.training.guide import opened, with_context_length
from unveil.training.objectives import Learner
from unveil.training.settings import Config, Correction, Network, Sizes, Stage, schedule


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
    own = {"kind": "compact", "base": net.base, "mults": net.mults, "blocks": net.blocks, "bottom": net.bottom}
    own |= {"up_blocks": net.up_blocks} if net.up_blocks else {}
    own |= {"log_light": True} if net.log_light else {}
    return own | ({"conditioned": True} if net.conditioned else {})


def described_head(config: Config) -> int | dict[str, Any]:
    """The correction's entry: the sizes of a U-Net of its own, the width of a compact predictor's light head, or 0 for none."""
    net = config.network
    if net.correction.base:
        return {"dim": net.correction.base, "mults": net.correction.mults}
    return net.head if net.kind == "compact" and not net.experts and not net.conditioned else 0


def asked(config: Config) -> Spec:
    """A description with the predictor's inputs and prediction type, which is all that training reads of it."""
    # `networks.predictor.Predictor` has no guide: a guided network takes the index of the step, as published ones do.
    time = "level" if config.network.predicts == "residual" and not config.network.guide else "index"
    return Spec(config.name, described(config), schedule(config), prediction=config.network.predicts, time=time)


def started_from(config: Config) -> tuple[Config, Model | None]:
    """The configuration with the network of its `init` model filled in, and that model; unchanged without one.

    Where the network has a guide, the length of its embeddings is filled in too.

    Raises ModelError for a model that cannot be found or read, InputError for one that takes something other than the noise level as time,
    or was trained on another schedule of the same path.
    """
    if not config.init:
        return with_context_length(config), None
    model = shelf.load(config.init)
    kind = model.spec.network.get("kind", "compact")
    if kind == "experts" and config.network.conditioned:
        config = _with(config, **{k: v for k, v in model.spec.network["native"].items() if k != "pooled"})
        check_crops(config)
        return config, model
    if kind == "experts" and not config.network.experts:
        sizes = [Sizes(**model.spec.network[name]) for name in ("low", "native")]
        config = _with(config, experts=sizes)
    if config.network.experts and kind in ("compact", "experts"):
        check_crops(config)
        return config, model
    if config.network.guide and kind in ("compact", "experts"):
        raise InputError(
            f"network.guide: {config.init} is a {kind} network, which nobody can tell what it sees; leave one of the two out"
        )
    if kind != "compact":
        return _as_published(config, model), model
    if model.spec.time != "level":
        raise InputError(f"{config.init} is told the index of a step; networks trained here are told the noise level")
    trained, wanted = model.spec.schedule, schedule(config)
    if trained != wanted and name_of(trained) == name_of(wanted):  # another path altogether is a warm start
        raise InputError(
            f"{config.init} was trained on {trained}, this run says steps: {config.steps}; make them equal"
        )
    sizes = model.spec.network
    head = sizes.get("head") or config.network.head
    own = _correction(model)
    network = Network(
        base=int(sizes["base"]),
        mults=[int(m) for m in sizes["mults"]],
        blocks=int(sizes["blocks"]),
        head=config.network.head if own or isinstance(head, dict) else int(head),
        bottom=max(int(sizes.get("bottom", 0)), config.network.bottom),
        up_blocks=int(sizes.get("up_blocks", 0)),
        log_light=bool(sizes.get("log_light")) or config.network.log_light,
        conditioned=model.spec.conditioned or config.network.conditioned,
        fixes=config.network.fixes or list(model.spec.fixes),
        correction=own or config.network.correction,
    )
    config = dataclasses.replace(config, network=network)
    check_crops(config)
    return config, model


def _correction(model: Model) -> Correction | None:
    """The sizes of a model's own U-Net of correction, where it has one."""
    head = model.spec.network.get("head")
    return Correction(int(head["dim"]), [int(m) for m in head["mults"]]) if isinstance(head, dict) else None


def _as_published(config: Config, model: Model) -> Config:
    """The configuration for a published network that is trained further, with its guide. Raises InputError where that is not possible, and
    for stages that it does not have.
    """
    spec, sizes = model.spec, model.spec.network
    if sizes.get("mask_channels"):
        raise InputError(
            f"{config.init} cannot be trained further: it is shown a mask beside the photograph, and pairs here have none"
        )
    if (name_of(spec.schedule) == "mean_reverting") != (config.path == "mean_reverting"):
        wanted = "mean_reverting" if config.path != "mean_reverting" else "linear_pro"
        raise InputError(
            f"{config.init} was trained on {spec.schedule}, and this run is on path {config.path}; set path: {wanted}"
        )
    own = sizes.get("guide")
    length = int(sizes.get("context_dim") or 0)
    if length and own:
        named = Path(config.network.guide)
        if named.is_file() and sha256_of(named) != own["sha256"]:
            raise InputError(
                f"network.guide: {config.init} was made with another DA-CLIP than {named}; leave network.guide out, and its own beside it "
                "is taken, or import the network again with --guide"
            )
        beside = Path(config.init) / "model.safetensors" if Path(config.init).is_dir() else Path(config.init)
        config = _with(config, guide=str(beside.with_name(Path(str(own["file"])).name)))
    config = with_context_length(config)
    if config.network.context != length:
        told = f"embeddings of {length} numbers" if length else "nothing of what it sees"
        raise InputError(
            f"network.guide: {config.init} is told {told}, and {config.network.guide} says {config.network.context}"
        )
    config = _with(config, degradation=bool(sizes.get("degradation", True)), half_size=bool(sizes.get("half_size")))
    config = _with(config, kind="init", correction=_correction(model) or config.network.correction)
    for number, stage in enumerate(config.stages):
        if stage.kind in ("correction", "adapter", "joint") and not config.network.correction.base:
            raise InputError(
                f"stages.{number}: the correction of {config.init} is a U-Net of its own; give its size with --network.correction.base 64"
            )
        if stage.kind not in ("correction", "adapter") and spec.prediction == "residual_and_noise":
            raise InputError(
                f"stages.{number}: {config.init} predicts residual and noise apart; its correction alone is trained here"
            )
    check_crops(config, spec.multiple_of)
    return config


def _with(config: Config, **changes: Any) -> Config:
    """The configuration with settings of its network replaced."""
    return dataclasses.replace(config, network=dataclasses.replace(config.network, **changes))


def build(config: Config, device: torch.device | None = None, model: Model | None = None) -> Learner:
    """Networks and grids. Fresh weights are a function of the seed; model: trained weights to start from, where it has them."""
    device = device or torch.device("cpu")
    torch.manual_seed(config.seed)
    net = config.network
    published = model.spec if model is not None and net.kind == "init" else None
    predictor: Any
    head: nn.Module | None = None
    if net.experts:
        predictor = TimestepExperts(*(asdict(sizes) for sizes in net.experts))
        if model is not None:
            _inherit(predictor, model.predictor)
    elif published is not None and model is not None:
        predictor = model.predictor
        head = network_registry.build_head({"kind": "init", "head": described_head(config)}, predictor)
    else:
        predictor = network_registry.build(described(config))
        head = network_registry.build_head({**described(config), "head": described_head(config)}, predictor)
    if model is not None and not net.experts:
        if published is None:
            # What the trained network lacks begins as the identity: blocks on the coarsest level, and the condition.
            known = model.predictor.native if isinstance(model.predictor, TimestepExperts) else model.predictor
            predictor.load_state_dict(_widened(known.state_dict(), predictor.state_dict()))
        trained = model.head
        if head is not None and trained is not None and type(trained) is type(head):
            head.load_state_dict(trained.state_dict())
    for module in (m for m in (predictor, head) if m is not None):
        module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        module.train()
        if config.checkpointing:
            recomputed(module)
    asks = published or asked(config)
    text = asks.schedule
    free = name_of(text) in RESIDUAL and asks.residual_at_level and isinstance(predictor, Predictor)
    # RDDM's and Resfusion's grids are those that they are sampled on, whose states a correction has to meet; of a path of a hundred steps
    # that is run in ten all are trained.
    whole = published is None or name_of(text) == "mean_reverting"
    grids = [path(text, asks.time) if whole or published is None else published.process()]
    if free and published is None:
        grids.append(residual(cubic(5)))
    autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=config.precision == "bf16")
    fidelity = 0.0 if model is None or model.head is None else model.spec.defaults.fidelity
    before = None if model is None or model.spec.defaults.resolution == "off" else model.spec.defaults
    reduced = 0 if before is None else before.low
    guide = opened(config, device)
    return Learner(predictor, head, grids, autocast, asks, free, fidelity, published, guide, reduced)


def _inherit(predictor: TimestepExperts, trained: nn.Module) -> None:
    """Copy the weights that two experts share with a trained network: from another pair, or into each from the one network."""
    for own in (predictor.low, predictor.native):
        source = trained
        if isinstance(trained, TimestepExperts):
            source = trained.low if own is predictor.low else trained.native
        here = own.state_dict()
        there = {k: v for k, v in source.state_dict().items() if k in here}
        own.load_state_dict({k: v if v.shape == here[k].shape else here[k] for k, v in _widened(there, here).items()})


def _widened(trained: dict[str, Tensor], fresh: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fresh weights with the trained ones in their place; an input that the trained network did not see counts for nothing at first."""
    stem = trained.get("stem.weight")
    if stem is not None and (more := fresh["stem.weight"].shape[1] - stem.shape[1]) > 0:
        trained = trained | {"stem.weight": torch.cat([stem, stem.new_zeros(len(stem), more, *stem.shape[2:])], dim=1)}
    return fresh | trained


def recomputed(module: nn.Module) -> None:
    """Keep only the inputs of residual blocks for the backward pass and compute the rest again there."""
    for block in module.modules():
        if isinstance(block, (Block, ResnetBlock)):
            block.forward = partial(recompute, block.forward, use_reentrant=False)  # type: ignore[method-assign]


_BYTES = {"weights": 4, "gradients": 4, "moments": 8, "average": 4}
"""Bytes per parameter in fp32: AdamW keeps two moments, the loop the average that is exported."""


@dataclass(frozen=True)
class Needs:
    """Bytes of one step: what all parameters take, what the backward pass keeps of the activations of one part of the batch, and both.

    The largest single block that is computed again comes on top where activations are recomputed, and what the libraries take for
    themselves (scratch space of convolutions) cannot be counted.
    """

    parameters: int
    activations: int
    part: int
    crop: int

    @property
    def total(self) -> int:
        """Bytes of both."""
        return self.parameters + self.activations

    def line(self) -> str:
        """For a reader."""
        gib = 2**30
        return (
            f"{self.total / gib:.1f} GiB: {self.parameters / gib:.1f} for weights, gradients, moments and average, "
            f"{self.activations / gib:.1f} for the activations of {self.part} crop{'s' * (self.part > 1)} of {self.crop} px"
        )


def needs(config: Config, stage: Stage) -> Needs:
    """Bytes that one step of a stage keeps at its peak, on one device; a network that `init` names is not counted."""
    with torch.device("meta"):
        network = described(config)
        predictor: Any = network_registry.build(network)
        head: Any = network_registry.build_head({**network, "head": described_head(config)}, predictor)
    modules = [m.to("meta") for m in (predictor, head) if m is not None]  # see `models.footprint.sizes`
    trained = {"joint": modules, "correction": modules[1:], "adapter": modules[1:]}.get(stage.kind, modules[:1])
    held = sum(p.numel() * (_BYTES["weights"] + _BYTES["average"]) for m in modules for p in m.parameters())
    held += sum(p.numel() * (_BYTES["gradients"] + _BYTES["moments"]) for m in trained for p in m.parameters())
    for module in modules:
        if config.checkpointing:
            recomputed(module)
        if config.precision == "bf16":
            # As autocast computes; what it keeps in fp32 (norms, attention's sums) is counted as 16 bits.
            module.to(torch.bfloat16)
        module.requires_grad_(module in trained)
    part = stage.batch // stage.accumulate
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    x = torch.empty(part, 3, stage.crop, stage.crop, dtype=dtype, device="meta")
    level = torch.empty(part, dtype=dtype, device="meta")
    kept = _Kept(modules)
    with saved_tensors_hooks(kept.keep, lambda tensor: tensor):
        answer = _answered(predictor, x, level)
        if head is not None and head in trained:
            head(answer._replace(residual=answer.residual.detach()), level)
    return Needs(held, kept.bytes, part, stage.crop)


def _answered(predictor: Any, x: Tensor, level: Tensor) -> Answer:
    context = getattr(predictor, "context_dim", None)
    if context is None:
        return predictor.answer(x, x, level)
    embeddings = [x.new_empty(len(x), context)] * (1 + predictor.degradation)
    return Answer(x, x, level, predictor(x, x, level, *embeddings))


class _Kept:
    """Counts the bytes of all storages that the backward pass keeps, weights apart, each once."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self.bytes = 0
        # Alive until the count is over, so that no new storage gets the address of a freed one.
        self._kept: list[Tensor] = []
        self._seen = {p.untyped_storage()._cdata for m in modules for p in m.parameters()}

    def keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen:
            self._seen.add(storage._cdata)
            self._kept.append(tensor)
            self.bytes += storage.nbytes()
        return tensor
