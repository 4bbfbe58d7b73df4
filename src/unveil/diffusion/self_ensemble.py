"""A denoiser that gives the mean of what it says of an image and of its mirror images and quarter turns.

Where photographs turned and mirrored are as likely as they are, the posterior's mean commutes with these eight maps; a network does so only
roughly. The mean over the maps does exactly, and by convexity its squared error is at most the mean of theirs (Timofte, Rothe and Van Gool,
CVPR 2016, section 3.4, "enhanced prediction"; "geometric self-ensemble" of EDSR, Lim et al., CVPRW 2017).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, Tensor, int], Tensor]

SIZES = (1, 2, 4, 8)
"""How many maps there may be: none but the identity; the mirror image, which is as natural; upside down too; quarter turns too. Each set is
a group."""
_MAPS: tuple[tuple[int, bool], ...] = (
    (0, False), (0, True), (2, False), (2, True), (1, False), (3, False), (1, True), (3, True),
)  # fmt: skip
"""Quarter turns, and whether the image is mirrored (left to right) before them."""


def self_ensemble(denoise: Denoiser, size: int) -> Denoiser:
    """The mean of `denoise`, which takes any H and W, over the first `size` maps, one of SIZES; 1 gives `denoise` itself."""
    if size == 1:
        return denoise

    def averaged(x_t: Tensor, y: Tensor, t: int) -> Tensor:
        total: Tensor | None = None
        for turns, mirrored in _MAPS[:size]:
            x0_hat = denoise(_mapped(x_t, turns, mirrored), _mapped(y, turns, mirrored), t)
            back = torch.rot90(x0_hat, -turns, (-2, -1))
            back = back.flip(-1) if mirrored else back
            total = back if total is None else total + back
        assert total is not None
        return total / size

    return averaged


def _mapped(x: Tensor, turns: int, mirrored: bool) -> Tensor:
    return torch.rot90(x.flip(-1) if mirrored else x, turns, (-2, -1))
