"""Operators as users write them: `blur:sigma=2`, `downsample:factor=4`, `mask:file=holes.png`, `grey`, `identity`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from unveil.errors import InputError
from unveil.networks.padding import reflected
from unveil.util.words import did_you_mean
from unveil.zeroshot.operators import Blur, Downsample, Grey, Mask, Operator

# Kind -> the options it takes, each with the type that reads it.
OPTIONS: dict[str, dict[str, Callable[[str], Any]]] = {
    "identity": {},
    "mask": {"file": str, "keep": float, "seed": int},
    "grey": {},
    "downsample": {"factor": int},
    "blur": {"sigma": float},
}


@dataclass(frozen=True)
class Recipe:
    """What a text says: the kind of operator and its options."""

    kind: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def factor(self) -> int:
        """How many times larger the image is than the measurement, along one side."""
        return self.options.get("factor", 1)

    def build(self, like: Tensor, size: tuple[int, int]) -> Operator:
        """The operator for measurements (B, 3, h, w) like `like`, of which only the top left (H, W) = size are the photograph;
        the rest is its reflection. Raises InputError for values that cannot be, or a mask of another size.
        """
        if self.kind == "blur":
            return Blur(like, self.options["sigma"])
        if self.kind == "downsample":
            if self.factor < 2:
                raise InputError(f"downsample needs a whole factor of 2 or more, got {self.factor}")
            return Downsample(like, self.factor)
        if self.kind == "grey":
            return Grey(like)
        if self.kind == "identity":
            return Operator(like)
        mask = self._mask(size)
        rows, columns = (reflected(n, total) for n, total in zip(size, like.shape[-2:], strict=True))
        return Mask(mask[None, None, rows][..., columns].to(like))

    def _mask(self, size: tuple[int, int]) -> Tensor:
        if "file" in self.options:
            from unveil.photo import read

            known = torch.from_numpy(read(self.options["file"]).pixels.mean(-1) >= 0.5)
            if tuple(known.shape) != size:
                raise InputError(
                    f"the mask {self.options['file']} is {known.shape[1]} x {known.shape[0]} pixels, the photograph "
                    f"{size[1]} x {size[0]}; they must agree"
                )
        elif "keep" in self.options:
            if not 0 < self.options["keep"] <= 1:
                raise InputError(f"a mask keeps a share of the pixels in (0, 1], got keep={self.options['keep']}")
            generator = torch.Generator().manual_seed(self.options.get("seed", 0))
            known = torch.rand(size, generator=generator) < self.options["keep"]
        else:
            raise InputError("a mask needs file=PICTURE (white: known, black: to be filled) or keep=SHARE")
        if not bool(known.any()):
            raise InputError("the mask leaves no pixel of the photograph; white marks what is known")
        return known


def parse(text: str) -> Recipe:
    """`kind` or `kind:key=value,key=value`. Raises InputError naming what is known for anything else."""
    kind, _, rest = text.strip().partition(":")
    if kind not in OPTIONS:
        raise InputError(f"no operator is called {kind!r}; {did_you_mean(kind, OPTIONS, otherwise='Known:')}")
    known, options = OPTIONS[kind], {}
    for pair in filter(None, rest.split(",")):
        key, _, value = pair.partition("=")
        if key not in known:
            raise InputError(f"{kind} has no option {key!r} in {text!r}; it takes {', '.join(known) or 'none'}")
        try:
            options[key] = known[key](value)
        except ValueError:
            raise InputError(f"{key} in {text!r} must be a number, got {value!r}") from None
    if kind in ("blur", "downsample") and not options:
        raise InputError(f"{kind} needs {next(iter(known))}, as in {kind}:{next(iter(known))}=2")
    return Recipe(kind, options)
