"""Where the published weights of learned metrics come from: by file or hub id, each known by its sha256.

None of them is part of this package, whose licence differs. They are looked for in the folder, or the repository of the Hugging Face hub,
that the environment variable UNVEIL_METRICS names; in torch's cache of downloads, where lpips, torchmetrics and pyiqa put the same files;
in the wheels that lie in the folder, and in installed packages that ship them, which are not imported: that would take torchvision.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unveil.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

VARIABLE = "UNVEIL_METRICS"


class Missing(InputError):
    """Published files are in none of the places."""


@dataclass(frozen=True)
class Published:
    """A published file: the names that it goes by, its sha256, where it is from; or the package and the path in it that ship it."""

    names: tuple[str, ...]
    sha256: str
    source: str
    package: str = ""
    member: str = ""


FILES = {
    "alexnet": Published(
        ("alexnet-owt-7be5be79.pth",),
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth (244 MB)",
    ),
    "vgg16": Published(
        ("vgg16-397923af.pth",),
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        "https://download.pytorch.org/models/vgg16-397923af.pth (553 MB)",
    ),
    "inception": Published(
        ("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth"),
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth (96 MB)",
    ),
    "lpips": Published(
        ("LPIPS_v0.1_alex-df73285e.pth", "alex.pth"),
        "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        "the package lpips (pip download --no-deps lpips; 54 kB)",
        "lpips",
        "weights/v0.1/alex.pth",
    ),
    "dists": Published(
        ("DISTS_weights-f5e65c96.pth", "weights.pt"),
        "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
        "the package DISTS_pytorch (pip download --no-deps DISTS_pytorch; 20 kB)",
        "DISTS_pytorch",
        "weights.pt",
    ),
}


def tensors(*keys: str) -> list[dict[str, Tensor]]:
    """The contents of published files.

    Args:
        keys: Which, of `FILES`.

    Returns:
        Name -> tensor, for each.

    Raises:
        Missing: Files are in none of the places; it says which, and where they come from.
        InputError: A file is not what was published.

    """
    found = {key: _bytes(FILES[key]) for key in keys}
    missing = [FILES[key] for key, content in found.items() if content is None]
    if missing:
        told = "; ".join(f"{file.names[0]} from {file.source}" for file in missing)
        raise Missing(
            f"its published weights, which are not here: {told}; put them into a folder, or a repository of the Hugging Face hub, "
            f"and name that in the environment variable {VARIABLE}"
        )
    return [_read(FILES[key], content) for key, content in found.items() if content is not None]


def _read(file: Published, content: bytes) -> dict[str, Tensor]:
    import torch

    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise InputError(
            f"{file.names[0]}: its sha256 is {digest}, not {file.sha256} as published; fetch it again from {file.source}"
        )
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise InputError(f"{file.names[0]}: cannot be read as weights ({str(error).splitlines()[0][:160]})") from error


def _bytes(file: Published) -> bytes | None:
    """The file's content from the first place that has it; None where none has."""
    place = os.environ.get(VARIABLE, "")
    folders = [Path(place).expanduser()] if place else []
    if place and not folders[0].is_dir():
        content = _of_hub(place, file)
        if content is not None:
            return content
    for path in (folder / name for folder in (*folders, *_caches()) for name in file.names):
        if path.is_file():
            return path.read_bytes()
    for wheel in (wheel for folder in folders for wheel in sorted(folder.glob("*.whl")) if file.package):
        if wheel.name.lower().startswith(f"{file.package.lower()}-"):
            with zipfile.ZipFile(wheel) as archive:
                return archive.read(f"{file.package}/{file.member}")
    installed = importlib.util.find_spec(file.package) if file.package else None
    for root in (installed.submodule_search_locations or ()) if installed is not None else ():
        if (path := Path(root) / file.member).is_file():
            return path.read_bytes()
    return None


def _caches() -> list[Path]:
    """Where torch keeps downloads: TORCH_HOME, or the user's cache, as torch.hub has it."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torch"
    return [Path(home) / "hub" / "checkpoints", Path(home) / "hub" / "pyiqa"]


def _of_hub(repository: str, file: Published) -> bytes | None:
    """The file out of a repository OWNER/NAME; None where that has it under none of its names. Raises InputError for no such repository."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    for name in file.names:
        try:
            return Path(hf_hub_download(repository, name)).read_bytes()
        except LocalEntryNotFoundError as error:
            raise InputError(f"{VARIABLE}: no folder {repository}, and the hub cannot be reached for it") from error
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            reason = str(error).strip().splitlines()[0][:160]
            raise InputError(
                f"{VARIABLE}: {repository} is no folder, and no repository of the hub ({reason})"
            ) from error
    return None
