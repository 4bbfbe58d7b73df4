"""What every sampler for known operators promises: independence of the batch, callbacks, cancelling, sizes, and no NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gaussian import GaussianPrior, ddpm
from torch import Tensor

from unveil.diffusion.noise import seeded
from unveil.errors import Cancelled, InputError, UnveilWarning
from unveil.zeroshot import ddrm, diffpir, dps, gdp, pigdm, tao
from unveil.zeroshot.guided_sampling import HALVINGS
from unveil.zeroshot.operators import measured

STEPS = 5
METHODS: dict[str, tuple[Any, Callable[[str], Any]]] = {
    "ddrm": (ddrm.restore, lambda operator: ddrm.DdrmSettings(operator, None, STEPS)),
    "diffpir": (diffpir.restore, lambda operator: diffpir.DiffpirSettings(operator, None, STEPS)),
    "pigdm": (pigdm.restore, lambda operator: pigdm.PigdmSettings(operator, None, STEPS)),
    "dps": (dps.restore, lambda operator: dps.DpsSettings(operator, None, STEPS)),
    "gdp": (gdp.restore, lambda operator: gdp.GdpSettings(operator, None, STEPS)),
    "gdp light": (gdp.restore, lambda operator: gdp.GdpSettings("light", None, STEPS)),
    "tao": (tao.restore, lambda operator: tao.TaoSettings("denoise", STEPS, inner=1, width=6)),
}
GUIDED = ("pigdm", "dps", "gdp", "gdp light", "tao")


class Neighbourly(GaussianPrior):
    """Not Gaussian any more: each pixel sees its neighbours, as in a network. Optionally broken in what `breaks` says."""

    breaks: Callable[[Tensor, int, Tensor], Tensor] = staticmethod(lambda z, t, x0: x0)

    def denoise(self, z_t: Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> Tensor:
        x0 = super().denoise(z_t, t)
        around = (x0.roll(1, -1) + x0.roll(1, -2) + x0) / 3
        return self.breaks(z_t, t, torch.tanh(1.5 * around + 0.2 * torch.sin(3 * z_t)))


def prior(multiple: int = 1, steps: int = 1000) -> Neighbourly:
    return Neighbourly(torch.tensor(0.1).expand(3, 1, 1), torch.tensor(0.2), process=ddpm(steps), multiple_of=multiple)


def photographs(count: int = 3, height: int = 13, width: int = 18) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    coarse = torch.randn(count, 3, 3, 3, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return smooth.clamp(-1, 1) * 0.8 + 0.05 * torch.randn(count, 3, height, width, generator=generator)


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_pixels_whatever_the_batch(method: str) -> None:
    """Bit for bit in fp32, noise levels estimated for each image: alone, in a batch, in another order."""
    restore, settings = METHODS[method]
    y, seeds = photographs(), [5, 5, 77]

    def run(which: list[int]) -> Tensor:
        return restore(prior(4), y[which], seeded([seeds[i] for i in which]), settings("blur:sigma=0.8"))

    together = run([0, 1, 2])
    assert together.shape == y.shape
    assert torch.equal(run([2, 0, 1]), together[[2, 0, 1]])
    assert torch.equal(run([1]), together[1:2])
    assert not torch.equal(restore(prior(4), y[:1], seeded([6]), settings("blur:sigma=0.8")), together[:1])


@pytest.mark.parametrize("operator", ["identity", "mask:keep=0.95", "grey", "downsample:factor=4", "blur:sigma=1"])
def test_any_size_comes_out_as_large_as_it_should(operator: str) -> None:
    """13 x 18 with a prior that takes multiples of 8."""
    factor = 4 if operator.startswith("down") else 1
    for method in ("ddrm", "diffpir", "pigdm", "dps", "gdp"):
        restore, settings = METHODS[method]
        shown: list[Tensor] = []
        out = restore(
            prior(8), photographs(1), seeded([1]), settings(operator), lambda p, to=shown: to.append(p.x0_hat)
        )
        assert out.shape == (1, 3, 13 * factor, 18 * factor)
        assert torch.isfinite(out).all()
        assert [tuple(x.shape) for x in shown] == [tuple(out.shape)] * STEPS


@pytest.mark.parametrize("method", METHODS)
def test_runs_in_inference_mode_and_leaves_its_input_alone(method: str) -> None:
    restore, settings = METHODS[method]
    with torch.inference_mode():
        y = photographs(1)
        before = y.clone()
        inside = restore(prior(), y, seeded([3]), settings("grey"))
    assert torch.equal(y, before)
    assert torch.equal(inside, restore(prior(), photographs(1), seeded([3]), settings("grey")))
    assert not inside.requires_grad


@pytest.mark.parametrize("method", METHODS)
def test_every_evaluation_is_shown_and_can_be_the_last(method: str) -> None:
    restore, settings = METHODS[method]
    seen: list[tuple[int, int]] = []
    watched = prior()
    restore(watched, photographs(1), seeded([3]), settings("identity"), lambda p: seen.append((p.index, p.steps)))
    assert seen == [(i, STEPS) for i in range(STEPS)]
    assert watched.evaluations == STEPS
    with pytest.raises(Cancelled, match="cancelled after step 3 of 5"):
        restore(prior(), photographs(1), seeded([3]), settings("identity"), lambda p: p.index == 2)


@pytest.mark.parametrize("method", GUIDED)
@pytest.mark.filterwarnings("ignore:guidance diverged")
def test_guidance_that_diverges_is_halved(method: str) -> None:
    """A prior that answers infinity to states over a bound, which the full guidance just reaches: the walk begins anew."""
    restore, settings = METHODS[method]
    y, late = photographs(1), 600
    reached: list[float] = []
    plain, broken = prior(), prior()

    def watch(z: Tensor, t: int, x0: Tensor) -> Tensor:
        reached.append(float(z.detach().abs().max()) if t < late else 0.0)
        return x0

    def refuse(z: Tensor, t: int, x0: Tensor) -> Tensor:
        over = z.detach().abs().amax((1, 2, 3), keepdim=True) >= bound
        return torch.where(over & (t < late), float("inf"), x0)

    plain.breaks, broken.breaks = watch, refuse
    full = restore(plain, y, seeded([1]), settings("identity"))
    bound = max(reached)
    out = restore(broken, y, seeded([1]), settings("identity"))
    assert torch.isfinite(out).all()
    assert not torch.equal(out, full)
    assert STEPS < broken.evaluations <= (HALVINGS + 1) * STEPS


@pytest.mark.parametrize("method", GUIDED)
def test_nan_ends_in_the_last_good_estimate(method: str) -> None:
    """The prior answers NaN for one image from its third evaluation on, however small the guidance: that image keeps its second
    estimate, a warning says so, and the other comes out as if it were alone."""
    restore, settings = METHODS[method]
    together = method != "tao"  # which restores image by image, in two samples
    y = photographs(2) if together else photographs(1)
    third = ddpm().uniform_timesteps(STEPS)[STEPS - 2]
    broken = prior()

    def spoil(z: Tensor, t: int, x0: Tensor) -> Tensor:
        hit = torch.tensor([0.0, 1.0] if together else [1.0, 1.0]).view(2, 1, 1, 1)
        return torch.where((hit > 0) & (t <= third), float("nan"), x0)

    broken.breaks = spoil
    shown: list[Tensor] = []
    with pytest.warns(UnveilWarning, match="guidance diverged although halved 3 times"):
        out = restore(
            broken, y, seeded([1, 2][: len(y)]), settings("identity"), lambda p: shown.append(p.x0_hat.clone())
        )
    assert broken.evaluations == 3 * HALVINGS + STEPS
    assert torch.isfinite(out).all()
    if method != "pigdm":  # which shows the estimate with its guidance
        assert torch.equal(out[-1], shown[1 - STEPS][-1])
    if together:
        assert torch.equal(out[:1], restore(prior(), y[:1], seeded([1]), settings("identity")))


@pytest.mark.parametrize("method", GUIDED)
def test_a_prior_that_never_answers_is_an_error(method: str) -> None:
    restore, settings = METHODS[method]
    broken = prior()
    broken.breaks = lambda z, t, x0: x0 * float("nan")
    with pytest.raises(InputError, match="first estimate is not finite"):
        restore(broken, photographs(1), seeded([1]), settings("identity"))


@pytest.mark.parametrize("method", ["ddrm", "diffpir", "pigdm"])
def test_latents_are_refused_where_the_operator_must_be_linear(method: str) -> None:
    restore, settings = METHODS[method]
    latent = prior()
    latent.factor, latent.channels, latent.name = 8, 4, "some latent prior"
    with pytest.raises(InputError, match=f"{method} needs a prior of pixels.*some latent prior diffuses latents"):
        restore(latent, photographs(1), seeded([1]), settings("identity"))


class Latent(Neighbourly):
    """A decoder that is a fixed orthonormal turn of the colours, so that latents are images turned."""

    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]

    def encode(self, x: Tensor) -> Tensor:
        return torch.einsum("kc,bchw->bkhw", self.turn, x)

    def decode(self, z: Tensor) -> Tensor:
        return torch.einsum("kc,bkhw->bchw", self.turn, z)


@pytest.mark.parametrize("method", ["dps", "gdp"])
def test_guidance_goes_through_a_decoder(method: str) -> None:
    """With enough of it the decoded result resembles the photograph; without, it does not."""
    y = photographs(1)
    near: dict[str, Any] = {
        "dps": dps.DpsSettings("identity", None, 50, 8.0),
        "gdp": gdp.GdpSettings("identity", None, 50, 0.05),
    }
    far: dict[str, Any] = {
        "dps": dps.DpsSettings("identity", None, 50, 0.0),
        "gdp": gdp.GdpSettings("identity", None, 50, 0.0),
    }
    latent = Latent(torch.tensor(0.1).expand(3, 1, 1), torch.tensor(0.2), process=ddpm())
    latent.factor = 2 if method == "gdp" else 1  # what tells gdp that there is a decoder; sizes are not touched
    out, free = (METHODS[method][0](latent, y, seeded([1]), with_[method]) for with_ in (near, far))
    assert float((out - y).square().mean()) < 0.3 * float((free - y).square().mean())


@pytest.mark.parametrize(
    ("y", "operator", "noise", "message"),
    [
        (torch.zeros(3, 8, 8), "identity", None, r"shape \(B, 3, H, W\), got \(3, 8, 8\)"),
        (torch.zeros(1, 1, 8, 8), "identity", None, r"shape \(B, 3, H, W\)"),
        (torch.full((1, 3, 8, 8), float("nan")), "identity", None, "must be finite"),
        (torch.zeros(1, 3, 8, 8), "identity", -0.1, "noise is a standard deviation"),
        (torch.zeros(1, 3, 8, 8), "identity", 25.0, "noise is a standard deviation"),
        (torch.zeros(1, 3, 8, 8), "warp", None, "no operator is called 'warp'"),
    ],
)
def test_photographs_that_cannot_be_measured(y: Tensor, operator: str, noise: float | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measured(prior(), y, operator, noise)


def test_noise_is_given_in_units_of_an_image_from_0_to_1() -> None:
    assert measured(prior(), torch.zeros(2, 3, 8, 8), "identity", 0.05).sigma.flatten().tolist() == pytest.approx(
        [0.1, 0.1]
    )


@pytest.mark.parametrize("steps", [0, 1001, -1])
def test_too_many_steps_are_refused(steps: int) -> None:
    for restore, settings in (
        (ddrm.restore, ddrm.DdrmSettings),
        (diffpir.restore, diffpir.DiffpirSettings),
        (dps.restore, dps.DpsSettings),
    ):
        with pytest.raises(InputError, match=r"steps must be (between 1 and 1000|at least 1)"):
            restore(prior(), photographs(1), seeded([1]), settings("identity", 0.1, steps))
