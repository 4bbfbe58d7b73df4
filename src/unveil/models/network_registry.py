"""The kinds of networks that a model file may hold, as data: how each is built from the sizes in its description."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from unveil.errors import ModelError, UnveilError
from unveil.models.spec import check_network

if TYPE_CHECKING:
    from unveil.networks.daclip import DACLIP
    from unveil.networks.doubt import DoubtNetwork


@dataclass(frozen=True)
class Kind:
    """make: what makes the network, or its "module:name", loaded when one is built. sizes: the entries of the description that its
    constructor takes, by name; also: those that may be left out.
    """

    make: Callable[..., nn.Module] | str
    sizes: tuple[str, ...]
    also: tuple[str, ...] = ()

    @property
    def maker(self) -> Callable[..., nn.Module]:
        """What makes the network, loaded."""
        return resolve_name(self.make) if isinstance(self.make, str) else self.make

    def build(self, network: Mapping[str, Any]) -> nn.Module:
        """The network with fresh weights. Raises KeyError for a size that is missing."""
        found = {name: network[name] for name in (*self.sizes, *(n for n in self.also if n in network))}
        return self.maker(**{k: tuple(v) if isinstance(v, list) else v for k, v in found.items()})


def _daclip(vision: Mapping[str, Any], text: Mapping[str, Any]) -> DACLIP:
    from unveil.networks.clip import CLIP, VisionTower
    from unveil.networks.daclip import DACLIP

    return DACLIP(CLIP(VisionTower(**vision), **text))


_RDDM = ("dim", "mults", "channels", "mask_channels")
KINDS = {
    "compact": Kind(
        "unveil.networks.compact:CompactUNet",
        ("base", "mults", "blocks"),
        ("bottom", "up_blocks", "conditioned", "log_light", "pooled"),
    ),
    "experts": Kind("unveil.networks.compact:TimestepExperts", ("low", "native")),
    "unet": Kind("unveil.networks.rddm_unet:UNet", _RDDM),
    "unet_pair": Kind("unveil.networks.rddm_unet:UNetPair", _RDDM),
    "shared_encoder_unet": Kind("unveil.networks.rddm_unet:SharedEncoderUNet", _RDDM),
    "conditional_unet": Kind(
        "unveil.networks.conditional_unet:ConditionalUNet",
        ("nf", "mults", "channels", "context_dim", "degradation", "half_size"),
    ),
    "conditional_nafnet": Kind(
        "unveil.networks.nafnet:ConditionalNAFNet", ("width", "encoder", "middle", "decoder", "channels")
    ),
    "daclip": Kind("unveil.models.network_registry:_daclip", ("vision", "text")),
    "classifier": Kind(
        "unveil.networks.classifier:DegradationClassifier", ("kinds", "width"), ("statistics", "asked", "settles")
    ),
}


def build(network: Mapping[str, Any]) -> nn.Module:
    """The network that a description names, with fresh weights. Raises ModelError for a description of no network here."""
    name = network.get("kind", "compact")
    if not isinstance(name, str) or name not in KINDS:
        raise ModelError(f"the file holds a network of kind {name!r}; this version knows {', '.join(KINDS)}")
    check_network(network)
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
    Raises ModelError for a description of no correction here.
    """
    head = network.get("head")
    if not head:
        return None
    try:
        if isinstance(head, Mapping):
            from unveil.networks.rddm_unet import CorrectionUNet

            return CorrectionUNet(int(head["dim"]), tuple(head["mults"]))
        if network.get("kind", "compact") == "compact":
            from unveil.networks.compact import CorrectionHead

            return CorrectionHead(predictor.widths, head)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the description of the correction is not complete ({error})") from error
    raise ModelError(f"a correction of width {head} reads a compact predictor, which {network.get('kind')} is not")


def build_doubt(network: Mapping[str, Any]) -> DoubtNetwork | None:
    """The network that estimates the error of a restoration, with fresh weights; None where the description has none. Raises ModelError for
    unknown sizes.
    """
    sizes = network.get("doubt")
    if not sizes:
        return None
    from unveil.networks.doubt import DoubtNetwork

    try:
        return DoubtNetwork(**sizes)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"the description of the doubt network is not right ({error})") from error


class Weightless(TorchFunctionMode):
    """Within this context networks are built with parameters that have a shape and no memory. torch.device("meta") is not used: with it,
    computations in constructors import torch's compiler, which takes a second and leaves a folder behind.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init" or func in (torch.Tensor.uniform_, torch.Tensor.normal_):
            return args[0] if args else kwargs["tensor"]  # the values are replaced by those of the file
        if func in (torch.empty, torch.zeros, torch.ones, torch.randn):
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


def parts(network: Mapping[str, Any]) -> dict[str, nn.Module]:
    """What a file with this description holds, with fresh weights: "predictor" and, where it has them, "head" and "doubt".

    Raises what `build` raises.
    """
    predictor = build(network)
    found = {"predictor": predictor, "head": build_head(network, predictor), "doubt": build_doubt(network)}
    return {name: module for name, module in found.items() if module is not None}
