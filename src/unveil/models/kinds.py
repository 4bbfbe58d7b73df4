"""The kinds of networks that a model file may hold, as data: how each is built from the sizes in its description."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from unveil.errors import ModelError, UnveilError
from unveil.models import bounds
from unveil.networks.classifier import DegradationClassifier
from unveil.networks.clip import CLIP, VisionTower
from unveil.networks.compact import CompactUNet, CorrectionHead
from unveil.networks.conditional_unet import ConditionalUNet
from unveil.networks.correction_unet import CorrectionUNet
from unveil.networks.daclip import DACLIP
from unveil.networks.doubt import DoubtNetwork
from unveil.networks.experts import TimestepExperts
from unveil.networks.nafnet import ConditionalNAFNet
from unveil.networks.unet import UNet
from unveil.networks.unet_pair import SharedEncoderUNet, UNetPair


@dataclass(frozen=True)
class Kind:
    """sizes: the entries of the description that the network is built from, by the names of its constructor; also: those it may lack."""

    make: Callable[..., nn.Module]
    sizes: tuple[str, ...]
    also: tuple[str, ...] = ()

    def build(self, network: Mapping[str, Any]) -> nn.Module:
        """The network with fresh weights. Raises KeyError for a size that is missing."""
        found = {name: network[name] for name in (*self.sizes, *(n for n in self.also if n in network))}
        return self.make(**{k: tuple(v) if isinstance(v, list) else v for k, v in found.items()})


def _daclip(vision: Mapping[str, Any], text: Mapping[str, Any]) -> DACLIP:
    return DACLIP(CLIP(VisionTower(**vision), **text))


_RDDM = ("dim", "mults", "channels", "mask_channels")
KINDS = {
    "compact": Kind(CompactUNet, ("base", "mults", "blocks"), ("bottom",)),
    "experts": Kind(TimestepExperts, ("low", "native")),
    "unet": Kind(UNet, _RDDM),
    "unet_pair": Kind(UNetPair, _RDDM),
    "shared_encoder_unet": Kind(SharedEncoderUNet, _RDDM),
    "conditional_unet": Kind(ConditionalUNet, ("nf", "mults", "channels", "context_dim", "degradation", "half_size")),
    "conditional_nafnet": Kind(ConditionalNAFNet, ("width", "encoder", "middle", "decoder", "channels")),
    "daclip": Kind(_daclip, ("vision", "text")),
    "classifier": Kind(DegradationClassifier, ("kinds", "width"), ("statistics",)),
}


def build(network: Mapping[str, Any]) -> nn.Module:
    """The network that a description names, with fresh weights. Raises ModelError for what no network is built from."""
    name = network.get("kind", "compact")
    if not isinstance(name, str) or name not in KINDS:
        raise ModelError(f"the file holds a network of kind {name!r}; this version knows {', '.join(KINDS)}")
    bounds.network(network)
    try:
        return KINDS[name].build(network)
    except (KeyError, TypeError) as error:
        raise ModelError(f"the description of the {name} network is not complete ({error})") from error
    except UnveilError:
        raise
    except (ValueError, IndexError, ArithmeticError, RuntimeError, AssertionError) as error:
        first = str(error).strip().splitlines()
        raise ModelError(
            f"no {name} network can be built from its description ({first[0] if first else type(error).__name__})"
        ) from error


def build_head(network: Mapping[str, Any], predictor: Any) -> nn.Module | None:
    """The correction that a description names beside its predictor, with fresh weights; None where it has none.

    `head` is a width, of the light head on a compact predictor's features, or {"dim", "mults"}, of a U-Net of its own.
    Raises ModelError for what no correction is built from.
    """
    head = network.get("head")
    if not head:
        return None
    try:
        if isinstance(head, Mapping):
            return CorrectionUNet(int(head["dim"]), tuple(head["mults"]))
        if network.get("kind", "compact") == "compact":
            return CorrectionHead(predictor.widths, head)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the description of the correction is not complete ({error})") from error
    raise ModelError(f"a correction of width {head} reads a compact predictor, which {network.get('kind')} is not")


def build_doubt(network: Mapping[str, Any]) -> DoubtNetwork | None:
    """The network that says how far a restoration is off, with fresh weights; None where the description has none.

    Raises ModelError for sizes that it does not have.
    """
    sizes = network.get("doubt")
    if not sizes:
        return None
    try:
        return DoubtNetwork(**sizes)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"the description of the doubt network is not right ({error})") from error


class Weightless(TorchFunctionMode):
    """Inside, networks are built with parameters that have a shape and no memory.

    Not torch.device("meta"), under which every little computation of a constructor goes through torch's compiler, whose import alone
    takes a second and leaves a folder behind.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.empty, torch.zeros, torch.ones, torch.randn):
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


def shapes(network: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of the network that a description names, told without making any. Raises what `build` raises."""
    with Weightless():
        return _shapes(build(network))


def contents(network: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """What a file with this description holds, name -> shape: the network, its correction and its doubt. Raises what `build` raises."""
    with Weightless():
        predictor = build(network)
        parts = {"predictor": predictor, "head": build_head(network, predictor), "doubt": build_doubt(network)}
    held = {part: module for part, module in parts.items() if module is not None}
    return {f"{part}.{name}": shape for part, module in held.items() for name, shape in _shapes(module).items()}


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
