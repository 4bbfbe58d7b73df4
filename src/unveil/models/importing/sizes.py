"""Sizes of the published networks, read off the shapes of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from unveil.errors import ModelError
from unveil.models.masks import CHANNELS

State = Mapping[str, Tensor]


def count(state: State, prefix: str) -> int:
    """How many entries 0, 1, ... a list of modules has."""
    rest = (k.removeprefix(prefix).split(".")[0] for k in state if k.startswith(prefix))
    return max((int(i) for i in rest if i.isdigit()), default=-1) + 1


def _mults(state: State, dim: int) -> list[int]:
    return [state[f"downs.{i}.3.weight"].shape[0] // dim for i in range(count(state, "downs."))]


def unet(state: State) -> dict[str, Any]:
    """RDDM's and Resfusion's U-Nets."""
    dim, taken = state["init_conv.weight"].shape[:2]
    last = state["final_conv.weight" if "final_conv.weight" in state else "final_conv_1.weight"]
    channels = last.shape[0]
    sizes = {"dim": dim, "mults": _mults(state, dim), "channels": channels, "mask_channels": taken - 2 * channels}
    if sizes["mask_channels"] not in (0, *CHANNELS):
        raise ModelError(
            f"the network takes {sizes['mask_channels']} channels beside the photograph, and no published one is known that does"
        )
    return sizes


def conditional_unet(state: State) -> dict[str, Any]:
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


def conditional_nafnet(state: State) -> dict[str, Any]:
    """Refusion's NAFNet."""
    levels = range(count(state, "encoders."))
    return {
        "width": state["intro.weight"].shape[0],
        "encoder": [count(state, f"encoders.{i}.") for i in levels],
        "middle": count(state, "middle_blks."),
        "decoder": [count(state, f"decoders.{i}.") for i in levels],
        "channels": state["intro.weight"].shape[1] // 2,
    }


def daclip(state: State, head_width: int = 64) -> dict[str, Any]:
    """DA-CLIP. head_width: channels of an attention head, which no shape tells; 64 in every published CLIP."""
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
            "layers": count(state, f"clip.visual.{blocks}"),
            "heads": width // head_width,
        },
        "text": {
            "context": state["clip.positional_embedding"].shape[0],
            "vocabulary": state["clip.token_embedding.weight"].shape[0],
            "width": text_width,
            "layers": count(state, f"clip.{blocks}"),
            "heads": max(1, text_width // head_width),
        },
    }
