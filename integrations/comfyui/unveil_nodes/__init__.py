"""ComfyUI's entry to the node of Unveil; copy this folder into ComfyUI's custom_nodes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

CATEGORY = "image/restoration"


@lru_cache(maxsize=1)
def _restorer(model: str) -> Any:
    """The model, kept between runs of the graph; another one takes its place."""
    import unveil

    return unveil.load(model)


class UnveilRestore:
    """Restores every image of a batch by itself, with the same seed, as `unveil restore` would."""

    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    FUNCTION = "restore"
    CATEGORY = CATEGORY
    DESCRIPTION = "Restores photographs: haze, shadow, low light, noise, blur, compression and their mixtures."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """What the node is given, as ComfyUI asks for it."""
        return {
            "required": {
                "image": ("IMAGE",),
                "model": ("STRING", {"default": "general"}),
                "fix": ("STRING", {"default": ""}),
                "strength": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.05}),
                "fidelity": ("FLOAT", {"default": -1.0, "min": -1.0, "max": 1.0, "step": 0.05}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**53 - 1}),
            }
        }

    def restore(
        self, image: torch.Tensor, model: str, fix: str, strength: float, fidelity: float, seed: int
    ) -> tuple[torch.Tensor]:
        """(B, H, W, 3 or 4) in [0, 1] -> the same, restored; transparency stays as it is."""
        settings: dict[str, Any] = {"strength": strength, "seed": seed}
        if fix.strip():
            settings["fix"] = fix
        if fidelity >= 0:
            settings["fidelity"] = fidelity
        restorer = _restorer(model)
        done = []
        for picture in image:
            colours = picture[..., :3].clamp(0, 1).permute(2, 0, 1)
            restored = torch.from_numpy(restorer.restore(colours, **settings).image).to(picture)
            done.append(torch.cat([restored, picture[..., 3:]], dim=-1))
        return (torch.stack(done),)


NODE_CLASS_MAPPINGS = {"UnveilRestore": UnveilRestore}
NODE_DISPLAY_NAME_MAPPINGS = {"UnveilRestore": "Restore photograph (Unveil)"}
__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
