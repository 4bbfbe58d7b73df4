"""The texts for DA-CLIP's degradations, as CLIP's tokens, so that no tokeniser has to be downloaded."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.networks.clip import CLIP

START, END = 49406, 49407

UNIVERSAL: dict[str, tuple[int, ...]] = {
    "motion-blurry": (7860, 268, 21977),
    "hazy": (32655,),
    "jpeg-compressed": (73, 11207, 268, 42359),
    "low-light": (1042, 268, 1395),
    "noisy": (33495,),
    "raindrop": (3128, 3387),
    "rainy": (10222,),
    "shadowed": (15243, 538),
    "snowy": (14191,),
    "uncompleted": (569, 5976),
}
"""The ten of the published ViT-B/32 (Luo et al., ICLR 2024), each by its tokens in CLIP's vocabulary of 49,408."""

WILD: dict[str, tuple[int, ...]] = {
    "blur": (27976,),
    "ringing artifact": (26035, 37718),
    "jpeg block": (73, 11207, 4593),
    "noise": (9307,),
}
"""The words of the one for images in the wild (ViT-L/14, CVPR 2024 workshops), which was trained on their combinations."""

OF_KINDS: dict[str, tuple[int, ...]] = {
    "haze": UNIVERSAL["hazy"],
    "shadow": UNIVERSAL["shadowed"],
    "lowlight": UNIVERSAL["low-light"],
    "noise": UNIVERSAL["noisy"],
    "blur": UNIVERSAL["motion-blurry"],
    "jpeg": UNIVERSAL["jpeg-compressed"],
    "rain": UNIVERSAL["rainy"],
}
"""The published word for each of this package's simulators."""

CLEAN = (3772,)
COMMA = (267,)
_WILD_EMBEDDING = 768


def words(clip: CLIP) -> dict[str, tuple[int, ...]]:
    """The words that a DA-CLIP on these towers was trained with, recognised by the length of its embeddings."""
    return WILD if clip.visual.proj.shape[1] == _WILD_EMBEDDING else UNIVERSAL


def joined(texts: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Several texts as one, with commas between them."""
    return tuple(t for i, text in enumerate(texts) for t in ((*COMMA, *text) if i else text))


def rows(texts: list[tuple[int, ...]], context: int) -> Tensor:
    """(n, context) token numbers: start, the text, end, zeros."""
    out = torch.zeros(len(texts), context, dtype=torch.long)
    for row, text in zip(out, texts, strict=True):
        row[: len(text) + 2] = torch.tensor([START, *text, END])
    return out
