from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gaussian import F64, matrix
from torch import Tensor
from torch.nn import functional as F

from unveil.errors import InputError
from unveil.zeroshot.operators import OPTIONS, ROUNDING, Blur, Operator, cosines, estimate, level, parse, side_multiple

TEXTS = [
    "identity",
    "mask:keep=0.6,seed=3",
    "grey",
    "downsample:factor=2",
    "downsample:factor=3",
    "blur:sigma=0.7",
    "blur:sigma=2.5",
]
IMAGE = (3, 6, 12)


def build(text: str, dtype: torch.dtype = F64) -> tuple[Operator, tuple[int, int]]:
    """The operator whose images are (3, 6, 12), and the size of its pictures."""
    recipe = parse(text)
    size = (IMAGE[1] // recipe.factor, IMAGE[2] // recipe.factor)
    return recipe.build(torch.zeros(1, 3, *size, dtype=dtype), size), size


@pytest.fixture(params=TEXTS)
def operator(request: pytest.FixtureRequest) -> Operator:
    return build(request.param)[0]


@pytest.fixture
def image() -> Tensor:
    return torch.randn(2, *IMAGE, generator=torch.Generator().manual_seed(5), dtype=F64)


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)


def test_every_known_kind_is_tried() -> None:
    assert {parse(text).kind for text in TEXTS} == set(OPTIONS)


def test_adjoint(operator: Operator, image: Tensor) -> None:
    y = operator.apply(image)
    other = torch.randn(y.shape, generator=torch.Generator().manual_seed(6), dtype=F64)
    close((y * other).sum(), (image * operator.adjoint(other)).sum())


def test_the_decomposition_is_one(operator: Operator, image: Tensor) -> None:
    """V orthonormal, U orthonormal on what is measured, A = U S V^T with the true singular values."""
    c = operator.analyse(image)
    close(operator.synthesise(c), image)
    close((c * c).sum(), (image * image).sum())
    A = matrix(operator.apply, IMAGE)
    wanted = torch.linalg.svdvals(A)
    s = operator.weights.expand(1, *c.shape[1:]).flatten().sort(descending=True).values
    close(s[: len(wanted)], wanted)
    close(s[len(wanted) :], torch.zeros(len(s) - len(wanted), dtype=F64))
    close(operator.write(operator.read(operator.apply(image))), operator.apply(image))
    assert operator.strength == pytest.approx(float(wanted[0]), abs=1e-12)


@pytest.mark.parametrize("text", [t for t in TEXTS if t != "blur:sigma=2.5"])
def test_pseudo_inverse(text: str, image: Tensor) -> None:
    """The four conditions of Penrose; the strong blur is left to the next test, its inverse to rounding errors."""
    operator, _ = build(text)
    A = matrix(operator.apply, IMAGE)
    like = operator.apply(image)
    B = matrix(operator.pinv, tuple(like.shape[1:]))
    for found, wanted in ((A @ B @ A, A), (B @ A @ B, B), ((A @ B).T, A @ B), ((B @ A).T, B @ A)):
        close(found, wanted)


def test_what_a_strong_blur_removes_is_not_invented(image: Tensor) -> None:
    """Singular values under 1e-6 are zero, in A and in A^+ alike; the rest is inverted to 1e-16 / 1e-6."""
    operator, _ = build("blur:sigma=2.5")
    assert 0 < int((operator.weights == 0).sum()) < operator.weights.numel()
    again = operator.apply(operator.pinv(operator.apply(image)))
    torch.testing.assert_close(again, operator.apply(image), rtol=0, atol=1e-9)
    assert float(operator.pinv(operator.apply(image)).norm()) <= float(image.norm()) * (1 + 1e-6)


@pytest.mark.parametrize("rho", [0.0, 1e-3, 1.0, 1e6])
def test_proximal_map(operator: Operator, image: Tensor, rho: float) -> None:
    """Its gradient vanishes; with rho = 0 it keeps what A does not see."""
    y = operator.apply(image.flip(0)) + 0.1
    y = operator.write(operator.read(y))  # a mask measures nothing where it has holes
    found = operator.prox(y, image, torch.tensor(rho, dtype=F64))
    gradient = operator.adjoint(operator.apply(found) - y) + rho * (found - image)
    assert float(gradient.abs().max()) < 1e-10 * (1 + rho)
    if rho == 0:
        unseen = operator.weights == 0
        kept = torch.where(unseen, operator.analyse(found - image), 0.0)
        close(kept, torch.zeros_like(kept))


def test_blur_is_a_gaussian_with_mirrored_borders() -> None:
    """Against direct convolution of the mirrored image: the edge is repeated, the kernel reaches 4 sigma, all sums to 1."""
    sigma, reach = 0.7, 3
    x = torch.randn(1, 3, 9, 8, generator=torch.Generator().manual_seed(1), dtype=F64)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=F64) / sigma) ** 2)
    taps /= taps.sum()
    padded = torch.cat([x[..., :reach, :].flip(-2), x, x[..., -reach:, :].flip(-2)], -2)
    padded = torch.cat([padded[..., :reach].flip(-1), padded, padded[..., -reach:].flip(-1)], -1)
    wanted = F.conv2d(padded, (taps[:, None] * taps).expand(3, 1, -1, -1), groups=3)
    close(Blur(x, sigma).apply(x), wanted)


def test_blur_wider_than_the_picture_is_its_mean() -> None:
    """But for the kernel's step to zero at 4 sigma, exp(-8) = 3e-4 of its peak."""
    x = torch.randn(1, 3, 5, 4, generator=torch.Generator().manual_seed(2), dtype=F64)
    wanted = x.mean((-2, -1), keepdim=True).expand_as(x)
    torch.testing.assert_close(Blur(x, 60.0).apply(x), wanted, rtol=0, atol=1e-5)


def test_downsample_and_grey_are_means(image: Tensor) -> None:
    close(build("downsample:factor=3")[0].apply(image), F.avg_pool2d(image, 3))
    close(build("grey")[0].apply(image), image.mean(1, keepdim=True))
    close(build("grey")[0].take(image), image.mean(1, keepdim=True))


def test_cosines_are_orthonormal() -> None:
    for n in (1, 2, 7, 16):
        basis = cosines(n, torch.zeros(1, dtype=F64))
        close(basis @ basis.T, torch.eye(n, dtype=F64))
        close(basis[0], torch.full((n,), n**-0.5, dtype=F64))


@pytest.mark.parametrize("text", TEXTS)
def test_gradients(text: str, image: Tensor) -> None:
    operator, _ = build(text)
    x = image[:1].clone().requires_grad_()
    assert torch.autograd.gradcheck(operator.apply, (x,), atol=1e-8)


def test_single_precision(image: Tensor) -> None:
    for text in TEXTS:
        exact, single = build(text)[0], build(text, torch.float32)[0]
        assert single.apply(image.float()).dtype == torch.float32
        torch.testing.assert_close(single.apply(image.float()), exact.apply(image).float(), rtol=0, atol=5e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("blurr:sigma=2", "no operator is called 'blurr'; did you mean blur"),
        ("", "no operator is called ''; known are identity, mask, grey, downsample, blur"),
        ("blur", "blur needs sigma, as in blur:sigma=2"),
        ("blur:radius=2", "blur has no option 'radius' in 'blur:radius=2'; it takes sigma"),
        ("blur:sigma=wide", "sigma in 'blur:sigma=wide' must be a number, got 'wide'"),
        ("grey:x=1", "grey has no option 'x' in 'grey:x=1'; it takes none"),
        ("downsample:factor=2.5", "factor in 'downsample:factor=2.5' must be a number, got '2.5'"),
    ],
)
def test_texts_that_say_nothing(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("blur:sigma=0", "sigma > 0 pixels and at most 1000, got 0"),
        ("blur:sigma=nan", "at most 1000, got nan"),
        ("blur:sigma=inf", "at most 1000, got inf"),
        ("blur:sigma=1e9", "at most 1000, got 1000000000"),
        ("downsample:factor=1", "factor of 2 or more, got 1"),
        ("mask", "a mask needs file=PICTURE"),
        ("mask:keep=1.5", r"share of the pixels in \(0, 1\], got keep=1.5"),
        ("mask:keep=1e-9", "leaves no pixel"),
    ],
)
def test_values_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(text).build(torch.zeros(1, 3, 4, 4), (4, 4))


def test_a_mask_from_a_picture(tmp_path: Path) -> None:
    from PIL import Image

    hole = torch.ones(5, 7)
    hole[1:3, 2:6] = 0
    Image.fromarray((hole * 255).byte().numpy()).save(tmp_path / "hole.png")
    recipe = parse(f"mask:file={tmp_path / 'hole.png'}")
    operator = recipe.build(torch.zeros(1, 3, 8, 8), (5, 7))
    assert torch.equal(operator.weights[0, 0, :5, :7], hole)
    assert torch.equal(operator.weights[0, 0, 5:, :7], hole[[3, 2, 1]])  # the padding mirrors, like the photograph's
    with pytest.raises(InputError, match=r"hole.png is 7 x 5 pixels, the photograph 6 x 5; they must agree"):
        recipe.build(torch.zeros(1, 3, 8, 8), (5, 6))


@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.4])
def test_noise_is_estimated(sigma: float) -> None:
    """On a plane, within 4 standard errors of the median (about 1.17 / sqrt(n) for normals; neighbours overlap, hence 3 times)."""
    generator = torch.Generator().manual_seed(8)
    row = torch.linspace(-0.5, 0.5, 96)
    y = (row[:, None] + 0.3 * row).expand(2, 3, 96, 96) + sigma * torch.randn(2, 3, 96, 96, generator=generator)
    y[1] *= 0.5
    found = estimate(y).flatten()
    bound = 4 * 3 * 1.17 / (3 * 94 * 94) ** 0.5
    assert float(found[0]) == pytest.approx(sigma, rel=bound)
    assert float(found[1]) == pytest.approx(sigma / 2, rel=bound)


def test_noise_that_neighbours_share_is_estimated() -> None:
    """White noise blurred until its deviation is 0.1: second differences see a quarter of it, blocks see it all."""
    rows = torch.linspace(-0.3, 0.3, 128, dtype=F64)
    generator = torch.Generator().manual_seed(8)
    drawn = torch.randn(1, 3, 128, 128, generator=generator, dtype=F64)
    noise = parse("blur:sigma=1.2").build(drawn, (128, 128)).apply(drawn)
    y = rows[:, None].expand(1, 3, 128, 128) + 0.1 * noise / noise.std()
    assert float(estimate(y)) < 0.05
    assert float(level(y)) == pytest.approx(0.1, rel=0.2)
    white = rows[:, None].expand(1, 3, 128, 128) + 0.1 * torch.randn(1, 3, 128, 128, generator=generator).double()
    assert torch.equal(level(white), estimate(white))
    assert torch.equal(level(torch.cat([y, white]))[1], level(white)[0])  # each picture by itself


def test_noise_is_estimated_around_holes() -> None:
    generator = torch.Generator().manual_seed(9)
    y = 0.1 * torch.randn(1, 3, 96, 96, generator=generator)
    seen = (torch.rand(1, 1, 96, 96, generator=generator) < 0.9).float()
    holed = torch.where(seen > 0, y, -1.0)
    assert float(estimate(holed, seen)) == pytest.approx(0.1, rel=0.1)
    assert float(estimate(holed)) > 0.15  # what the mask is for
    with pytest.raises(InputError, match="too few whole neighbourhoods"):
        estimate(y, (torch.rand(1, 1, 96, 96, generator=generator) < 0.05).float())


def test_a_flat_picture_has_at_least_its_rounding() -> None:
    assert float(estimate(torch.zeros(1, 3, 16, 16))) == pytest.approx(ROUNDING)
    with pytest.raises(InputError, match="under 3 pixels"):
        estimate(torch.zeros(1, 3, 2, 16))


def test_sides_of_measurements() -> None:
    assert [side_multiple(m, f) for m, f in ((8, 1), (8, 2), (8, 3), (8, 8), (1, 4), (12, 8))] == [8, 4, 8, 1, 1, 3]
