"""Known damage: linear operators y = A x + n by their singular value decomposition A = U S V^T, without any matrix.

V^T turns an image into coefficients, S weighs them, U lays them out as a measurement. All four maps of a kind are
orthonormal and fast, so that the adjoint, the pseudo-inverse and the proximal map are each one line for every kind.
A `Measurement` is a photograph with its operator, the sizes that the prior needs, and how noisy it is.
Users write operators as `blur:sigma=2`, `downsample:factor=4`, `mask:file=holes.png`, `grey`, `identity`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unveil.errors import InputError
from unveil.networks.predictor import pad_to_multiple
from unveil.photo.noise_level import noise_level
from unveil.util.tensors import mirror
from unveil.util.words import did_you_mean
from unveil.zeroshot.priors import Prior

_ZERO = 1e-6  # singular values below this share of the largest count as zero: fp32 cannot tell them from it
_WIDEST = 1000  # pixels of a blur's sigma, beyond which nothing but the mean of a photograph is left, and its kernel fills the memory


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
    if not 0 < sigma <= _WIDEST:
        raise InputError(f"a blur needs sigma > 0 pixels and at most {_WIDEST}, got {sigma}")
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
        rows, columns = (mirror(n, 0, total - n) for n, total in zip(size, like.shape[-2:], strict=True))
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
        raise InputError(f"no operator is called {kind!r}; {did_you_mean(kind, OPTIONS)}")
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


# Rounding to 8 bits is noise too: a step of 2/255 in [-1, 1], spread evenly.
ROUNDING = 2 / 255 / 12**0.5
_NORMAL_MEDIAN = 0.6744897501960817  # median of |x| for a standard normal x
_FEWEST = 64  # pixels that a noise level can be told from


@dataclass(frozen=True, eq=False)
class Measurement:
    """y = A x + sigma n.

    kind: the operator's. y: as A gives it, (B, C, h, w) in [-1, 1]. sigma: (B, 1, 1, 1), on that range.
    size: (H, W) of the image wanted; what the operator's images have beyond it is reflection and cut off in the end.
    """

    kind: str
    operator: Operator
    y: Tensor
    sigma: Tensor
    size: tuple[int, int]

    def crop(self, image: Tensor) -> Tensor:
        """(B, 3, ., .) -> (B, 3, H, W)."""
        return image[..., : self.size[0], : self.size[1]]


def measured(prior: Prior, y: Tensor, operator: str, noise: float | None) -> Measurement:
    """A picture y (B, 3, H, W) in [-1, 1] as the measurement of `operator` (a text), padded as the prior needs it.

    noise: standard deviation of y's noise on images in [0, 1] (so sigma = 2 noise), or None to estimate it, for each
    image. Raises InputError for a wrong shape or range, an unknown operator, or a mask too sparse to estimate from.
    """
    if y.ndim != 4 or y.shape[1] != 3 or 0 in y.shape or not bool(torch.isfinite(y).all()):
        raise InputError(f"a photograph must be finite and of shape (B, 3, H, W), got {tuple(y.shape)}")
    if noise is not None and not 0 <= noise < 1:
        raise InputError(f"noise is a standard deviation on images in [0, 1], got {noise}")
    y = y.clone()  # a tensor made in inference mode cannot take part in a gradient; its copy can
    recipe = parse(operator)
    height, width = int(y.shape[-2]), int(y.shape[-1])
    padded = pad_to_multiple(y, side_multiple(prior.multiple_of, recipe.factor))
    built = recipe.build(padded, (height, width))
    if noise is None:
        seen = None if built.seen is None else built.seen[..., :height, :width]
        sigma = estimate(y, seen) if seen is not None else level(y)
    else:
        sigma = torch.full((len(y), 1, 1, 1), 2.0 * noise).to(y)
    size = (height * recipe.factor, width * recipe.factor)
    return Measurement(recipe.kind, built, built.take(padded), sigma, size)


def side_multiple(multiple: int, factor: int) -> int:
    """What the sides of a measurement must be multiples of, so that `factor` times them are multiples of `multiple`."""
    return multiple // math.gcd(multiple, factor)


def level(y: Tensor) -> Tensor:
    """Standard deviation of the noise in y (B, C, H, W) in [-1, 1], (B, 1, 1, 1), also where neighbouring pixels share it.

    Cameras, JPEG and reductions leave noise that second differences hardly see (`estimate`); where whole flat blocks vary by more
    (`photo.noise_level`), theirs is taken. The methods assume white noise all the same: this gives them its size, not its shape.
    """
    sigma = estimate(y)
    for k, image in enumerate(y.detach().double().cpu()):
        found = noise_level((image.permute(1, 2, 0).numpy() + 1) / 2)
        if found.correlated:
            sigma[k] = sigma[k].clamp(min=2 * found.sigma)
    return sigma


def estimate(y: Tensor, seen: Tensor | None = None) -> Tensor:
    """Standard deviation of white noise in y (B, C, H, W), (B, 1, 1, 1); at least what rounding to 8 bits makes.

    Immerkaer's second-difference mask (CVIU 1996), blind to planes and to straight edges along the axes, whose answer to
    white noise has 6 times its deviation; the median of its size in place of the mean, so that texture counts less.
    seen: (1, 1, H, W), 1 where a pixel was measured; neighbourhoods with a hole do not count.
    """
    rows = torch.tensor([1.0, -2.0, 1.0]).to(y)
    if min(y.shape[-2:]) < 3:
        raise InputError(
            "a photograph under 3 pixels does not tell how noisy it is; give a larger one, or say it to a method that takes noise"
        )
    weight = (rows[:, None] * rows).expand(y.shape[1], 1, 3, 3)
    found = F.conv2d(y, weight, groups=y.shape[1]).abs()
    if seen is not None:
        whole = -F.max_pool2d(-seen, 3, 1) > 0.5
        if int(whole.sum()) < _FEWEST:
            raise InputError(
                "the mask leaves too few whole neighbourhoods to tell the noise from; give the noise level"
            )
        found = found[..., whole[0, 0]]
    sigma = found.flatten(1).median(1).values / (6 * _NORMAL_MEDIAN)
    return sigma.clamp(min=ROUNDING).view(-1, 1, 1, 1)
