"""An exported model of Unveil as spandrel describes models, for programs that take spandrel's descriptors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Exported(nn.Module):
    """A .pt2 file as a module: (1, 3, H, W) RGB in [0, 1] to the same, restored.

    spandrel puts every module into evaluation mode, which what torch.export wrote is in already and refuses to be told. So the program is
    held where torch does not look for children; it stays on the processor, in float32.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self._held = (torch.export.load(path).module(),)

    def forward(self, image: Tensor) -> Tensor:
        """The restoration of an image."""
        return self._held[0](image)


def descriptor(path: str | Path, *, tiles: bool = True) -> Any:
    """spandrel's description of a file that `unveil models export --format pt2` wrote.

    Args:
        path: The .pt2 file.
        tiles: Whether it may be given tiles; False for kinds of damage that change the light, which is decided on the whole photograph.

    Returns:
        A `spandrel.ImageModelDescriptor` of scale 1. Images below 17 pixels are padded by spandrel.

    Raises:
        ImportError: spandrel is not installed.

    """
    import spandrel

    class Sampler(spandrel.Architecture[Exported]):
        def __init__(self) -> None:
            super().__init__(id="UnveilSampler", name="Unveil", detect=lambda state: False)

        def load(self, state_dict: dict[str, Any]) -> Any:
            raise NotImplementedError("a sampler is opened from its .pt2 file, not from weights")

    return spandrel.ImageModelDescriptor(
        Exported(path),
        {},
        Sampler(),
        "Restoration",
        [],
        supports_half=False,
        supports_bfloat16=False,
        scale=1,
        input_channels=3,
        output_channels=3,
        size_requirements=spandrel.SizeRequirements(minimum=17),
        tiling=spandrel.ModelTiling.SUPPORTED if tiles else spandrel.ModelTiling.INTERNAL,
    )
