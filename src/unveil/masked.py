"""Published networks that take a mask of the damage: Resfusion's and RDDM's shadow removal on ISTD."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from unveil import photo
from unveil.errors import InputError
from unveil.models.footprint import bytes_per_pixel
from unveil.models.model import Model, encode_mask
from unveil.options import Options, chosen
from unveil.restoration import Restoration
from unveil.restorer import Callback, Restorer, as_photo
from unveil.util.suffixes import TRAINING


class MaskedRestorer(Restorer):
    """A restorer whose network takes a mask beside the photograph, white where the damage is.

    The network looks at the whole photograph at once, since a mask belongs to it as a whole: there are no tiles, and no reduced views.
    """

    def __init__(
        self, model: Model, mask: str | Path | np.ndarray, device: str = "auto", dtype: str = "auto", **more: Any
    ) -> None:
        """Put a network that takes a mask and its mask together; the rest is as `Restorer` takes it.

        mask: a file; a folder, in which a photograph's mask has its name; or (H, W) or (H, W, 3), white where the damage is. Raises
        InputError where the network takes none.
        """
        if not model.spec.network.get("mask_channels"):
            raise InputError(f"{model.spec.name} takes no mask; leave mask out")
        super().__init__(model, device, dtype, **more)
        self.mask = mask

    @cached_property
    def _footprint(self) -> float:
        side = 4 * self.model.spec.multiple_of
        blank = encode_mask(np.zeros((side, side)), self.model.spec.network["mask_channels"])
        return bytes_per_pixel(replace(self.model, mask=blank))

    def restore(
        self, image: Any, options: Options | None = None, *, callback: Callback | None = None, **settings: Any
    ) -> Restoration:
        """Restore one image, as `Restorer.restore` does, with its mask; the protocol names that, and its sha256.

        Raises InputError where there is no mask for it, the mask has another size, or tiles are asked for.
        """
        options = chosen(options, settings)
        if options.tile not in ("auto", 0):
            raise InputError("a network that is told by a mask sees the whole photograph at once; leave tile out")
        if options.self_ensemble > 1:
            raise InputError("a mask is not turned with its photograph; leave self_ensemble out")
        source = as_photo(image, options.max_pixels)
        shown, named = self._shown(source.source)
        if shown.shape[:2] != source.pixels.shape[:2]:
            size = f"{shown.shape[1]} x {shown.shape[0]}"
            raise InputError(
                f"the mask is {size} pixels, the photograph {source.width} x {source.height}; they must agree"
            )
        one = copy.copy(self)
        mask = encode_mask(shown, self.model.spec.network["mask_channels"]).to(self.device)
        one.model = replace(self.model, mask=mask)
        out = Restorer.restore(one, source, replace(options, tile=0), callback=callback)
        digest = hashlib.sha256(np.ascontiguousarray(shown, np.float32).tobytes()).hexdigest()
        return replace(out, protocol=out.protocol | {"mask": named, "mask_sha256": digest})

    def _shown(self, name: str) -> tuple[np.ndarray, str]:
        """The mask of the photograph of that name, (H, W) or (H, W, 3) in [0, 1], and what it is called."""
        if isinstance(self.mask, np.ndarray):
            scale = np.iinfo(self.mask.dtype).max if np.issubdtype(self.mask.dtype, np.integer) else 1
            return self.mask / scale, "an array"
        path = Path(self.mask)
        if path.is_dir():
            stem = Path(name).stem
            found = [p for p in sorted(path.iterdir()) if p.stem == stem and p.suffix.lower() in TRAINING]
            if not found:
                raise InputError(f"{name}: {path} holds no mask of that name ({stem}.png)")
            path = found[0]
        return photo.read(path).pixels, str(path)
