"""Known damage: linear operators y = A x + n by their singular value decomposition A = U S V^T, without any matrix.

V^T turns an image into coefficients, S weighs them, U lays them out as a measurement. All four maps of a kind are
orthonormal and fast, so that the adjoint, the pseudo-inverse and the proximal map are each one line for every kind.
Users write them as `blur:sigma=2`, `downsample:factor=4`, `mask:file=holes.png`, `grey`, `identity`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from unveil.errors import InputError
from unveil.networks.predictor import reflected
from unveil.util.words import did_you_mean

_ZERO = 1e-6  # singular values below this share of the largest count as zero: fp32 cannot tell them from it


class Operator:
    """A linear map of images (B, 3, H, W); this class is the identity, the kinds below say what differs.

    weights: the singular values, >= 0, broadcasting against `analyse(x)`. seen: 1 where a pixel of the measurement was
    measured, broadcasting against it, or None for everywhere.
    """

    weights: Tensor
    seen: Tensor | None = None

    def __init__(self, like: Tensor) -> None:
        self.weights = torch.ones(1, 1, 1, 1).to(like)

    def take(self, y: Tensor) -> Tensor:
        """The measurement in a picture (B, 3, H, W) that shows it."""
        return y

    def analyse(self, x: Tensor) -> Tensor:
        """V^T x: the coefficients (B, K, ., .) of an image (B, 3, H, W), as many as it has values."""
        return x

    def synthesise(self, c: Tensor) -> Tensor:
        """V c: the image of coefficients."""
        return c

    def read(self, y: Tensor) -> Tensor:
        """U^T y: a measurement laid out like coefficients, zero where there is none."""
        return y

    def write(self, c: Tensor) -> Tensor:
        """U c: the measurement of coefficients."""
        return c

    def apply(self, x: Tensor) -> Tensor:
        """A x."""
        return self.write(self.weights * self.analyse(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""
        return self.synthesise(self.weights * self.read(y))

    def scaled(self, y: Tensor) -> Tensor:
        """U^T y / s, the coefficients that y determines (noisy where s is small), zero where it determines none."""
        some = self.weights > 0
        return torch.where(some, self.read(y) / torch.where(some, self.weights, 1.0), 0.0)

    def pinv(self, y: Tensor) -> Tensor:
        """A^+ y: of the images that fit y best, the one of least norm."""
        return self.synthesise(self.scaled(y))

    def prox(self, y: Tensor, z: Tensor, rho: Tensor) -> Tensor:
        """The image that minimises |A x - y|^2 + rho |x - z|^2. rho: >= 0; 0 leaves z only where A sees nothing."""
        s = self.weights
        total = s * s + rho
        c, fit = self.analyse(z), s * self.read(y)
        return self.synthesise(torch.where(total > 0, (fit + rho * c) / torch.where(total > 0, total, 1.0), c))

    @property
    def strength(self) -> float:
        """The largest singular value."""
        return float(self.weights.max())


class Mask(Operator):
    """Missing pixels. mask: (1, 1, H, W), 1 where the pixel is known, 0 where it is to be made up."""

    def __init__(self, mask: Tensor) -> None:
        self.weights = self.seen = mask

    def take(self, y: Tensor) -> Tensor:
        return self.weights * y


class Grey(Operator):
    """Colour to grey, (B, 3, H, W) -> (B, 1, H, W), the mean of the channels (as in DDRM and GDP)."""

    def __init__(self, like: Tensor) -> None:
        # Rows: the grey axis and two colour axes across it, orthonormal.
        self.basis = torch.tensor(
            [[1 / 3**0.5] * 3, [1 / 2**0.5, -(1 / 2**0.5), 0.0], [1 / 6**0.5, 1 / 6**0.5, -2 / 6**0.5]],
            dtype=torch.float64,
        ).to(like)
        self.weights = torch.tensor([1 / 3**0.5, 0.0, 0.0], dtype=torch.float64).to(like).view(1, 3, 1, 1)

    def take(self, y: Tensor) -> Tensor:
        return y.mean(1, keepdim=True)

    def analyse(self, x: Tensor) -> Tensor:
        return torch.einsum("kc,bchw->bkhw", self.basis, x)

    def synthesise(self, c: Tensor) -> Tensor:
        return torch.einsum("kc,bkhw->bchw", self.basis, c)

    def read(self, y: Tensor) -> Tensor:
        return torch.cat([y, torch.zeros_like(y), torch.zeros_like(y)], 1)

    def write(self, c: Tensor) -> Tensor:
        return c[:, :1]


class Downsample(Operator):
    """Blocks of factor x factor pixels to their mean, (B, 3, N h, N w) -> (B, 3, h, w).

    Coefficients: (B, 3 N^2, h, w), the first of each N^2 the block's mean times N, the others what blocks of mean zero hold.
    """

    def __init__(self, like: Tensor, factor: int) -> None:
        self.factor = factor
        n = factor * factor
        self.basis = cosines(n, like)
        self.weights = torch.zeros(1, 3, n, 1, 1).to(like)
        self.weights[:, :, 0] = 1 / factor
        self.weights = self.weights.view(1, 3 * n, 1, 1)

    def analyse(self, x: Tensor) -> Tensor:
        blocks = torch.nn.functional.pixel_unshuffle(x, self.factor).unflatten(1, (3, -1))
        return torch.einsum("kn,bcnhw->bckhw", self.basis, blocks).flatten(1, 2)

    def synthesise(self, c: Tensor) -> Tensor:
        blocks = torch.einsum("kn,bckhw->bcnhw", self.basis, c.unflatten(1, (3, -1)))
        return torch.nn.functional.pixel_shuffle(blocks.flatten(1, 2), self.factor)

    def read(self, y: Tensor) -> Tensor:
        c = y.new_zeros(len(y), 3, self.factor**2, *y.shape[-2:])
        c[:, :, 0] = y
        return c.flatten(1, 2)

    def write(self, c: Tensor) -> Tensor:
        return c.unflatten(1, (3, -1))[:, :, 0]


class Blur(Operator):
    """Gaussian blur of standard deviation sigma in pixels, borders mirrored with the edge repeated.

    With such borders a symmetric kernel is diagonal in the cosine transform (DCT-II), so U = V up to signs, and the
    singular values are the kernel's frequency response. The kernel reaches 4 sigma and sums to 1.
    """

    def __init__(self, like: Tensor, sigma: float) -> None:
        height, width = like.shape[-2:]
        self.rows, self.columns = cosines(height, like), cosines(width, like)
        response = (_response(height, sigma)[:, None] * _response(width, sigma)).to(like)
        self.sign = torch.where(response < 0, -1.0, 1.0).to(like)
        self.weights = torch.where(response.abs() < _ZERO, 0.0, response.abs())[None, None]

    def analyse(self, x: Tensor) -> Tensor:
        return self.rows @ x @ self.columns.mT

    def synthesise(self, c: Tensor) -> Tensor:
        return self.rows.mT @ c @ self.columns

    def read(self, y: Tensor) -> Tensor:
        return self.sign * self.analyse(y)

    def write(self, c: Tensor) -> Tensor:
        return self.synthesise(self.sign * c)


def cosines(n: int, like: Tensor) -> Tensor:
    """The orthonormal cosine transform of length n (DCT-II) as a matrix (n, n); its first row is constant."""
    k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    basis = torch.cos(math.pi / n * k * (i + 0.5)) * (2 / n) ** 0.5
    basis[0] /= 2**0.5
    return basis.to(like)


def _response(n: int, sigma: float) -> Tensor:
    """What a Gaussian of this sigma leaves of each of the n cosines, (n,) float64."""
    if not sigma > 0:
        raise InputError(f"a blur needs sigma > 0 pixels, got {sigma}")
    reach = torch.arange(math.ceil(4 * sigma) + 1, dtype=torch.float64)
    taps = torch.exp(-0.5 * (reach / sigma) ** 2)
    taps[1:] *= 2
    k = torch.arange(n, dtype=torch.float64)
    return torch.cos(math.pi / n * k[:, None] * reach) @ (taps / taps.sum())


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
