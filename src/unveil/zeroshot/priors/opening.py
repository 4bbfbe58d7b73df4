"""Priors from folders and hub ids, recognised by the parts that are there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unveil.errors import ModelError
from unveil.networks.autoencoder_kl import AutoencoderKL
from unveil.networks.diffusers_unet import DiffusersUNet
from unveil.zeroshot.priors.folder import config, digest, fill, images, placed, weights
from unveil.zeroshot.priors.hub import fetched
from unveil.zeroshot.priors.latent import LatentPrior
from unveil.zeroshot.priors.pixel import PixelPrior
from unveil.zeroshot.priors.scheduler import trained
from unveil.zeroshot.priors.text import open_text

NEEDS = "install it with pip install 'unveil[latent]' -c constraints.txt"
Network = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def open_prior(
    source: str | Path,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    *,
    name: str = "",
    tiny: str | Path | None = None,
    label: int | None = None,
) -> PixelPrior | LatentPrior:
    """The prior in a folder, or of a hub id (fetched on first use, from then on found offline).

    name: what it is called; by default the folder's name or the id. tiny: folder or id of a TAESD for guidance. label: the class that a
    class-conditional network is told; by default the one that stands for none, where there is one.
    Raises ModelError: neither a folder nor an id, an id not found (with all that were tried), a part missing or damaged, latents of the
    autoencoder and of the network that differ, diffusers or transformers needed and not installed.
    """
    device = device or torch.device("cpu")
    folder, half = Path(source), dtype != torch.float32
    if folder.is_file():
        raise ModelError(
            f"{folder}: a prior is a folder, and this is one file. Make a folder of it: `unveil models import` for ADM's, diffusers' "
            "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER) for a latent diffusion model"
        )
    if not folder.is_dir():
        folder = fetched(str(source), half)
    called = name or (folder.name if Path(source).is_dir() else str(source))
    latent = any((folder / part).is_dir() for part in ("vae", "vqvae"))
    unet = "unet" if (folder / "unet").is_dir() else ""
    if not unet and (folder / "transformer").is_dir():
        raise ModelError(
            f"{folder}: its network is a transformer (SD 3, Flux, DiT), which is not supported; give one with a U-Net"
        )
    _supported(folder, config(folder, unet))
    label = _label(folder, config(folder, unet), label)
    network, sizes = _network(folder, unet, device, dtype, label)
    scheduler = config(folder, "scheduler" if (folder / "scheduler").is_dir() else "", "scheduler_config.json")
    levels = 2 ** (len(sizes["block_out_channels"]) - 1)
    native = sizes.get("sample_size") or 64
    native = int(native[0] if isinstance(native, list) else native)
    told = trained(scheduler)
    common: dict[str, Any] = {
        "process": told.process,
        "prediction": told.prediction,
        "reading": told.reading,
        "where": device,
        "dtype": dtype,
        "label": label,
    }
    if not latent:
        if sizes["in_channels"] != 3:
            raise ModelError(
                f"{folder}: a prior of pixels takes 3 channels, this one {sizes['in_channels']}; is its vae folder missing?"
            )
        return PixelPrior(
            called,
            digest(folder, (unet,)),
            network=lambda x, t: network(x, t, None),
            multiple_of=levels,
            native=native,
            **common,
        )
    part = "vae" if (folder / "vae").is_dir() else "vqvae"
    described = config(folder, part)
    vae = AutoencoderKL(described)
    fill(vae, folder, part)
    placed(vae, device, dtype)
    vae.recompute()
    if sizes["in_channels"] != vae.latent_channels:
        raise ModelError(
            f"{folder}: its U-Net takes {sizes['in_channels']} channels, its autoencoder has {vae.latent_channels} (an inpainting model, "
            "or parts of two models); give the folder of a plain text-to-image model"
        )
    text = (folder / "text_encoder").is_dir()
    return LatentPrior(
        called,
        digest(folder, (unet, part, *(("text_encoder",) if text else ()))),
        network=network,
        vae=vae,
        scale=float(described.get("scaling_factor", 0.18215)),
        shift=float(described.get("shift_factor") or 0.0),
        multiple_of=levels * vae.factor,
        native=native * vae.factor,
        encoder=open_text(folder, device, dtype) if text else None,
        tiny=None if tiny is None else _tiny(tiny, device, dtype),
        **common,
    )


def _supported(folder: Path, sizes: dict[str, Any]) -> None:
    """Raise ModelError for a network that must be told more than a text, by what it is."""
    if sizes.get("addition_embed_type") is not None or (folder / "text_encoder_2").is_dir():
        raise ModelError(
            f"{folder}: a network of SDXL's kind, with two text encoders and sizes of pictures among what it is told, is not supported; "
            "give a Stable Diffusion 1 or 2"
        )
    if sizes.get("class_embed_type"):
        raise ModelError(
            f"{folder}: a network whose classes are told as {sizes['class_embed_type']!r} is not supported; give one told by their numbers"
        )


def _label(folder: Path, sizes: dict[str, Any], label: int | None) -> int | None:
    """The class that a network is told, None for one without classes.

    One class more than a round number stands for none, and is the last, as where the label was dropped in training (Ho and Salimans 2022).
    Raises ModelError where one must be named, or the one that is does not exist.
    """
    count = int(sizes.get("num_class_embeds") or 0)
    if label is None and count > 10 and count % 10 == 1:
        return count - 1
    if (label is None) == (count == 0) and (label is None or 0 <= label < count):
        return label
    if count == 0:
        raise ModelError(f"{folder}: its network is told no classes; leave out the label")
    raise ModelError(f"{folder}: its network is told one of {count} classes; name it with --label, 0 to {count - 1}")


def _network(
    folder: Path, part: str, device: torch.device, dtype: torch.dtype, label: int | None
) -> tuple[Network, dict[str, Any]]:
    """The U-Net as one callable, and its description. Built here where it can be, by diffusers where it cannot."""
    sizes = config(folder, part)

    def classes(x: Tensor) -> Tensor | None:
        return None if label is None else torch.full((len(x),), label, device=x.device)

    if sizes.get("_class_name", "UNet2DModel") == "UNet2DModel":
        try:
            own = DiffusersUNet(sizes)
        except ModelError as error:
            theirs = _diffusers("UNet2DModel", folder, part, device, dtype, str(error))
            return lambda x, t, text: images(theirs(x, t, class_labels=classes(x))), sizes
        fill(own, folder, part)
        placed(own, device, dtype)
        return lambda x, t, text: own(x, t), sizes
    if sizes["_class_name"] != "UNet2DConditionModel":
        raise ModelError(f"{folder}: a {sizes['_class_name']} is no U-Net that can serve as a prior here")
    conditional = _diffusers("UNet2DConditionModel", folder, part, device, dtype, "a network steered by text")
    return lambda x, t, text: images(
        conditional(x, t, encoder_hidden_states=text, class_labels=classes(x), return_dict=False)
    ), sizes


def _diffusers(kind: str, folder: Path, part: str, device: torch.device, dtype: torch.dtype, why: str) -> Any:
    try:
        import diffusers
    except ImportError as error:
        raise ModelError(f"{folder}: {why}, which needs diffusers; {NEEDS}") from error
    variant = "fp16" if ".fp16." in weights(folder, part).name else None
    try:
        module = getattr(diffusers, kind).from_pretrained(
            folder / part, variant=variant, torch_dtype=dtype, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{folder / part}: cannot be read by diffusers ({str(error).splitlines()[0]})") from error
    return placed(module.eval().requires_grad_(False), device, dtype)


def _tiny(source: str | Path, device: torch.device, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    folder = Path(source) if Path(source).is_dir() else fetched(str(source), False)
    tiny = _diffusers("AutoencoderTiny", folder, "", device, dtype, "a tiny decoder")
    # It scales latents by itself: what diffuses goes in as it is (its scaling_factor is 1).
    return lambda z: images(tiny.decode(z, return_dict=False))
