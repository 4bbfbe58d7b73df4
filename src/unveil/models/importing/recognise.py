"""Which published network a table of weights is, by its keys, and how such networks were trained and are run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from unveil.diffusion.path import SHAPES, shares
from unveil.errors import ModelError
from unveil.models.importing.containers import Flat
from unveil.models.model import MASK_CHANNELS

State = Mapping[str, Tensor]


def _count(state: State, prefix: str) -> int:
    """How many entries 0, 1, ... a list of modules has."""
    rest = (k.removeprefix(prefix).split(".")[0] for k in state if k.startswith(prefix))
    return max((int(i) for i in rest if i.isdigit()), default=-1) + 1


def _mults(state: State, dim: int) -> list[int]:
    return [state[f"downs.{i}.3.weight"].shape[0] // dim for i in range(_count(state, "downs."))]


def _unet_sizes(state: State) -> dict[str, Any]:
    """RDDM's and Resfusion's U-Nets."""
    dim, taken = state["init_conv.weight"].shape[:2]
    last = state["final_conv.weight" if "final_conv.weight" in state else "final_conv_1.weight"]
    channels = last.shape[0]
    sizes = {"dim": dim, "mults": _mults(state, dim), "channels": channels, "mask_channels": taken - 2 * channels}
    if sizes["mask_channels"] not in (0, *MASK_CHANNELS):
        raise ModelError(
            f"the network takes {sizes['mask_channels']} channels beside the photograph, and no published one is known that does"
        )
    return sizes


def _conditional_unet_sizes(state: State) -> dict[str, Any]:
    """The U-Nets of IR-SDE, DA-CLIP and wild-IR."""
    nf, taken = state["init_conv.weight"].shape[:2]
    contexts = [v.shape[1] for k, v in state.items() if k.endswith("attn2.to_k.weight")]
    return {
        "nf": nf,
        "mults": _mults(state, nf),
        "channels": taken // 2,
        "context_dim": contexts[0] if contexts else None,
        "degradation": "prompt" in state,
        "half_size": "downsample.weight" in state,
    }


def _conditional_nafnet_sizes(state: State) -> dict[str, Any]:
    """Refusion's NAFNet."""
    levels = range(_count(state, "encoders."))
    return {
        "width": state["intro.weight"].shape[0],
        "encoder": [_count(state, f"encoders.{i}.") for i in levels],
        "middle": _count(state, "middle_blks."),
        "decoder": [_count(state, f"decoders.{i}.") for i in levels],
        "channels": state["intro.weight"].shape[1] // 2,
    }


def _daclip_sizes(state: State, head_width: int = 64) -> dict[str, Any]:
    """DA-CLIP. head_width: channels of an attention head, which follow from no shape; 64 in every published CLIP."""
    width, _, patch, _ = state["clip.visual.conv1.weight"].shape
    tokens = state["clip.visual.positional_embedding"].shape[0] - 1
    text_width = state["clip.token_embedding.weight"].shape[1]
    blocks = "transformer.resblocks."
    return {
        "vision": {
            "embed": state["clip.visual.proj"].shape[1],
            "size": patch * round(tokens**0.5),
            "patch": patch,
            "width": width,
            "layers": _count(state, f"clip.visual.{blocks}"),
            "heads": width // head_width,
        },
        "text": {
            "context": state["clip.positional_embedding"].shape[0],
            "vocabulary": state["clip.token_embedding.weight"].shape[0],
            "width": text_width,
            "layers": _count(state, f"clip.{blocks}"),
            "heads": max(1, text_width // head_width),
        },
    }


_BUFFERS = ("alphas_cumsum", "betas2_cumsum")


@dataclass(frozen=True)
class Found:
    """A recognised network.

    family: the published name. kind: of `unveil.models.network_registry`. tensors: under the network's own keys. schedule, prediction,
    time, value_range, steps, solver: as in a `Spec`; None where the network is no sampler. assumed: what the file does
    not say and the published settings do. left: keys that belong to the file and not to the network.
    """

    family: str
    kind: str
    tensors: dict[str, Tensor]
    network: dict[str, Any]
    schedule: str | None
    prediction: str = "epsilon"
    time: str = "index"
    value_range: tuple[float, float] = (0.0, 1.0)
    steps: int = 100
    solver: str = "ancestral"
    assumed: tuple[str, ...] = ()
    left: tuple[str, ...] = field(default=())


Reader = Callable[[dict[str, Tensor]], Found]
_IRSDE = "mean_reverting(cosine, 100, 0.005, 50)"
_IRSDE_ASSUMED = (
    "theta follows the cosine schedule in 100 steps, 0.005 of the clean image is left, noise level 50 (deraining, "
    "deblurring and shadow removal were trained at 10, inpainting and super-resolution at 30: give the schedule then)",
)


def _under(tensors: dict[str, Tensor], prefix: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors under a prefix, without it, and the keys that are not."""
    inside = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return inside, tuple(k for k in tensors if not k.startswith(prefix))


def _resfusion(tensors: dict[str, Tensor]) -> Found:
    state, left = _under(tensors, "denoising_module.")
    return Found(
        "Resfusion", "unet", state, _unet_sizes(state), "linear_pro(12)", "residual_noise", "index", (-1.0, 1.0), 5,
        assumed=("the schedule is linear_pro(12), five steps, and the network predicts the residual noise",), left=left,
    )  # fmt: skip


def _rddm(tensors: dict[str, Tensor]) -> Found:
    state, left = _under(tensors, "model.")
    buffers = {k: tensors[k] for k in left}
    schedule, assumed = _rddm_schedule(buffers)
    common: dict[str, Any] = {
        "schedule": schedule, "value_range": (-1.0, 1.0), "steps": 5, "solver": "ddim",
        "left": tuple(k for k in left if k not in buffers or k not in _RDDM_BUFFERS),
    }  # fmt: skip
    if any(k.startswith("ups_no_skip.") for k in state):
        return Found(
            "RDDM, one encoder and two decoders", "shared_encoder_unet", state, _unet_sizes(state),
            prediction="residual_and_noise", assumed=assumed, **common,
        )  # fmt: skip
    first = _under(state, "unet0.")[0]
    if any(k.startswith("unet1.") for k in state):
        return Found(
            "RDDM, two networks", "unet_pair", state, _unet_sizes(first), prediction="residual_and_noise", assumed=assumed,
            **common,
        )  # fmt: skip
    one = ("a single network predicts the residual (its file does not say what it was trained for)",)
    return Found(
        "RDDM, one network",
        "unet",
        first,
        _unet_sizes(first),
        prediction="residual",
        assumed=(*assumed, *one),
        **common,
    )


_RDDM_BUFFERS = (
    "alphas", "alphas_cumsum", "one_minus_alphas_cumsum", "betas2", "betas", "betas2_cumsum", "betas_cumsum",
    "posterior_mean_coef1", "posterior_mean_coef2", "posterior_mean_coef3", "posterior_variance",
    "posterior_log_variance_clipped",
)  # fmt: skip


def _rddm_schedule(buffers: dict[str, Tensor]) -> tuple[str, tuple[str, ...]]:
    """The path in the tables that RDDM keeps beside its weights, or the published one where there are none."""
    if not all(name in buffers for name in _BUFFERS):
        return "rddm(decreased, increased, 1000, 0.01)", ("the schedule is the published one for restoration",)
    alpha, noise = (buffers[name].double() for name in _BUFFERS)
    total = float(f"{float(noise[-1]):.6g}")
    named = []
    for table in (alpha, noise / noise[-1]):
        close = [s for s in SHAPES if torch.allclose(shares(s, len(table)).cumsum(0), table, rtol=0, atol=1e-4)]
        if not close:
            raise ModelError(
                "the file's own schedule is none of RDDM's for restoration (decreased, increased, average); it is not "
                "run here. If you know it to be one of them, give it with --schedule"
            )
        named.append(close[0])
    return f"rddm({named[0]}, {named[1]}, {len(alpha)}, {total:g})", ()


def _irsde(tensors: dict[str, Tensor]) -> Found:
    network = _conditional_unet_sizes(tensors)
    family = "wild-IR" if network["half_size"] else "DA-CLIP's U-Net" if network["degradation"] else "IR-SDE"
    assumed = _IRSDE_ASSUMED if network["context_dim"] is None else (_IRSDE_ASSUMED[0].split(" (")[0],)
    return Found(family, "conditional_unet", tensors, network, _IRSDE, assumed=assumed)


def _refusion(tensors: dict[str, Tensor]) -> Found:
    network = _conditional_nafnet_sizes(tensors)
    return Found("Refusion", "conditional_nafnet", tensors, network, _IRSDE, assumed=_IRSDE_ASSUMED)


def _daclip(tensors: dict[str, Tensor]) -> Found:
    # `visual.*` is the image tower of `clip.*` a second time.
    state = {k: v for k, v in tensors.items() if not k.startswith("visual.")}
    head = 16 if state["clip.visual.conv1.weight"].shape[0] < 64 else 64  # narrower than one head of 64: a toy
    assumed = (f"attention heads of {head} channels and the exact GELU",)
    return Found("DA-CLIP", "daclip", state, _daclip_sizes(state, head), None, assumed=assumed)


def _clip(tensors: dict[str, Tensor]) -> Found:
    """CLIP alone, as the DA-CLIP that its training starts from: a copy of the tower as the controller, zero layers at zero."""
    inside = (
        "visual.",
        "transformer.",
        "token_embedding.",
        "ln_final.",
        "positional_embedding",
        "text_projection",
        "logit_scale",
    )
    mine = {k: v for k, v in tensors.items() if k.startswith(inside)}
    state = {f"clip.{k}": v for k, v in mine.items()} | {"logit_scale": mine["logit_scale"].clone()}
    control = "visual_control.transformer."
    for key, value in mine.items():
        if key.startswith("visual."):
            own = key.removeprefix("visual.").replace("transformer.", "transformer.transformer.", 1)
            state[f"visual_control.{own}"] = value.clone()
    width = mine["visual.conv1.weight"].shape[0]
    for i in range(_count(mine, "visual.transformer.resblocks.")):
        state[f"{control}zero_modules.{i}.weight"] = torch.zeros(width, width)
        state[f"{control}zero_modules.{i}.bias"] = torch.zeros(width)
    head = 16 if width < 64 else 64
    assumed = (
        f"attention heads of {head} channels and the exact GELU",
        "the controller is not trained yet: see `unveil train daclip`",
    )
    left = tuple(k for k in tensors if k not in mine)
    return Found(
        "CLIP, made an untrained DA-CLIP", "daclip", state, _daclip_sizes(state, head), None, assumed=assumed, left=left
    )


FAMILIES: dict[str, tuple[tuple[str, ...], Reader]] = {
    "daclip": (("visual_control.transformer.zero_modules.0.weight", "clip.visual.proj"), _daclip),
    "clip": (("visual.proj", "visual.class_embedding", "token_embedding.weight", "text_projection"), _clip),
    "refusion": (("intro.weight", "middle_blks.0.beta", "ending.weight"), _refusion),
    "resfusion": (("denoising_module.init_conv.bias", "denoising_module.final_conv.weight"), _resfusion),
    "rddm": (("model.unet0.init_conv.bias", "model.unet0.final_conv.weight"), _rddm),
    "rddm-shared": (("model.init_conv.bias", "model.final_conv_1.weight"), _rddm),
    "irsde": (("init_conv.weight", "downs.0.0.block1.proj.weight", "final_conv.bias"), _irsde),
}
"""name -> keys that only its files have, and the reader. Order matters: the first that fits is taken."""


def recognise(flat: Flat) -> Found:
    """What the weights are. Raises ModelError where no published family fits, or one that cannot be run.

    Where none fits the table as it is, the network may be one part of a bigger module (`net.`, `generator.`): that part is taken, and
    what lies beside it is left.
    """
    state = flat.tensors
    if any(k.startswith("model.diffusion_model.") for k in state):
        raise ModelError(
            "a whole latent diffusion model in one file, which serves as a prior and not as a model. Make a folder of it with diffusers, "
            "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER), and give that: --prior FOLDER"
        )
    for head in ("", *sorted({f"{k.partition('.')[0]}." for k in state if "." in k})):
        inside, left = _under(state, head)
        for name, (keys, reader) in FAMILIES.items():
            if all(key in inside for key in keys):
                found = _as(name, reader, inside)
                return replace(found, left=(*found.left, *left)) if left else found
    shown = ", ".join(sorted(state)[:3])
    raise ModelError(
        f"no published network that is known here has such weights ({len(state)} tensors: {shown}, ...). Known are "
        "Resfusion, RDDM, IR-SDE, Refusion, the U-Nets of DA-CLIP and wild-IR, DA-CLIP, and CLIP"
    )


def _as(name: str, reader: Reader, state: dict[str, Tensor]) -> Found:
    """The network of a family, once its keys have shown which one."""
    if name == "irsde" and "init_conv.bias" in state:
        raise ModelError(
            "the weights of a U-Net of RDDM or Resfusion without their container: which of the two it is, and so "
            "how it is to be run, cannot be told. Give the checkpoint that the training wrote"
        )
    try:
        return reader(state)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"looks like a checkpoint of {name}, but parts of it are missing ({error})") from error
