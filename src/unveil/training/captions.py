"""Captions of photographs by file, and CLIP's tokens of them, for the contrastive training of DA-CLIP."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unveil.data.dataset import Photograph
from unveil.errors import InputError, ModelError
from unveil.networks.daclip_words import UNIVERSAL

if TYPE_CHECKING:
    from unveil.training.batches import Material
    from unveil.training.settings import Data

_HEAD = "filepath\ttitle"
"""First line of the published tables; it may be left out."""


def read(file: Path, root: Path) -> dict[Path, str]:
    """The captions of a table, by photograph.

    Args:
        file: UTF-8, a line for each photograph: its path, a tab, the caption. Published tables of DA-CLIP put the damage behind the
            caption ("a lake: hazy"); that part is left out.
        root: What paths are relative to.

    Returns:
        Resolved path -> caption.

    Raises:
        InputError: The file cannot be read, or a line has no tab or no caption.

    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"data.captions: {file} cannot be read ({error})") from error
    found: dict[Path, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (number == 1 and line == _HEAD):
            continue
        path, tab, caption = line.partition("\t")
        text, _, damage = caption.strip().rpartition(": ")
        caption = text if text and damage in UNIVERSAL else caption.strip()
        if not (tab and path and caption):
            raise InputError(f"data.captions: {file}, line {number}: write a path, a tab and what the photograph shows")
        found[(root / path).resolve()] = caption
    return found


def check(photographs: Iterable[Photograph], captions: dict[Path, str], file: Path) -> None:
    """Raise InputError, with a count and the first, for photographs without a caption: their partners in the loss would be of another kind.

    Args:
        photographs: All that are trained on.
        captions: As `read` gives them.
        file: Where they come from, for the message.

    """
    every = sorted({photograph.clean.path for photograph in photographs})
    bare = [path for path in every if path.resolve() not in captions]
    if bare:
        raise InputError(f"{len(bare)} of {len(every)} photographs have no caption in {file}; the first is {bare[0]}")


def of(data: Data, material: Material) -> dict[Path, str]:
    """The captions that a configuration names, one for every photograph of it.

    Args:
        data: `captions`, a table, and the `root` that its paths and its own are below.
        material: All that `data` names, as `batches.scan` finds it.

    Returns:
        As `read`.

    Raises:
        InputError: As `read` and `check`.

    """
    root = Path(data.root)
    captions = read(root / data.captions, root)
    check([*material.photos, *(p for _, found in material.pairs for p in found)], captions, root / data.captions)
    return captions


@functools.cache
def tokeniser(folder: Path) -> Callable[[str], tuple[int, ...]]:
    """CLIP's tokens of a text, without start and end.

    Args:
        folder: CLIP's vocabulary as transformers keeps it (vocab.json, merges.txt), such as Stable Diffusion's folder `tokenizer`.

    Raises:
        ModelError: transformers is not installed, or the folder holds no tokeniser.

    """
    try:
        from transformers import CLIPTokenizer
    except ImportError as error:
        raise ModelError(
            "captions become tokens by transformers; install it with pip install 'unveil[latent]' -c constraints.txt"
        ) from error
    # Of a folder without a vocabulary transformers makes a tokeniser that knows no word.
    if not any((folder / name).is_file() for name in ("vocab.json", "tokenizer.json")):
        raise ModelError(f"data.tokenizer: {folder} holds no CLIP tokeniser (vocab.json and merges.txt)")
    try:
        opened: Any = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"data.tokenizer: {folder} holds no CLIP tokeniser ({str(error).splitlines()[0]})") from error
    return lambda text: tuple(opened(text, add_special_tokens=False, verbose=False).input_ids)
