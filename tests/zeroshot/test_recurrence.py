import pytest
import torch
from gaussian import ddpm

from unveil.diffusion import step
from unveil.diffusion.noise import seeded
from unveil.errors import Cancelled, InputError, ModelError, UnveilWarning
from unveil.zeroshot.guided_sampling import (
    Report,
    alone,
    descend,
    generator,
    last_share,
    leading_timesteps,
    limit,
    quantiles,
    renoise,
)

PATH = ddpm(100)


def test_the_published_grid_is_stable_diffusions():
    grid = leading_timesteps(ddpm(1000), 450)  # the model's steps 899, 897, ..., 3, 1 and then its step 0
    assert [i - 1 for i in grid[:3]] == [899, 897, 895]
    assert [i - 1 for i in grid[-3:]] == [3, 1, 0]
    assert len(grid) == 451
    again = last_share(grid, 0.5)
    assert again[0] - 1 == 449
    assert len(again) == 226


def test_uniform_timesteps_end_clean():
    grid = PATH.uniform_timesteps(9, 0.9)[::-1]
    assert grid == [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]
    assert last_share(grid, 0.01) == [10, 0]
    for steps in (0, 91):
        with pytest.raises(InputError, match="steps must be between 1 and 90"):
            PATH.uniform_timesteps(steps, 0.9)


def test_limit_clamps_to_each_samplesquantile_and_never_below_one():
    z = torch.linspace(-4, 4, 2000).reshape(1, 1, 40, 50)
    both = torch.cat([z, z / 10])
    out = limit(both)
    torch.testing.assert_close(out[0].abs().max(), torch.quantile(z.abs().flatten(), 0.995))
    assert torch.equal(out[1], both[1])


def test_a_descent_keeps_the_noise_of_the_unclamped_estimate():
    z = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    x0 = torch.zeros_like(z)
    x0[0, 0, 0, 0] = 5.0
    end = descend(PATH, z, [50, 40], lambda z, t: x0, lambda m: m.z_u)
    eps = (z - float(PATH.alpha[50]) * x0) / float(PATH.sigma[50])
    torch.testing.assert_close(end, float(PATH.alpha[40]) * limit(x0) + float(PATH.sigma[40]) * eps)
    calm = torch.zeros_like(z)
    assert torch.equal(
        descend(PATH, z, [50, 40], lambda z, t: calm, lambda m: m.z_u), step(PATH, 50, 40, z, calm, calm, 0.0, None)
    )


def test_renoise_has_the_marginal():
    z, eps = torch.full((1, 1, 2, 2), 0.5), torch.ones(1, 1, 2, 2)
    torch.testing.assert_close(renoise(PATH, z, 30, eps), z * float(PATH.alpha[30]) + float(PATH.sigma[30]))


def test_a_prior_that_breaks_down_leaves_the_last_good_estimate():
    good, nan = torch.full((1, 3, 4, 4), 0.25), torch.full((1, 3, 4, 4), torch.nan)
    z = torch.zeros_like(good)
    with pytest.warns(UnveilWarning, match="step 40"):
        assert torch.equal(
            descend(PATH, z, [60, 50, 40, 0], lambda z, t: nan if t == 40 else good, lambda m: m.z_u), good
        )
    with pytest.raises(ModelError, match="first step"):
        descend(PATH, z, [60, 0], lambda z, t: nan, lambda m: m.z_u)
    with pytest.warns(UnveilWarning, match="last good"):
        assert torch.equal(descend(PATH, z, [60, 0], lambda z, t: nan, lambda m: m.z_u, last=good), good)
    assert torch.equal(descend(PATH, z, [60, 50, 0], lambda z, t: good, lambda m: None), good)


def test_the_noise_of_one_image_does_not_depend_on_its_batch():
    like = torch.zeros(1, 2, 3, 3)
    assert torch.equal(alone(seeded([4, 5]), 1, 2)(7, like), seeded([5])(7, like))
    weights = [torch.randn(3, generator=generator(noise, 1000)) for noise in (alone(seeded([4, 5]), 1, 2), seeded([5]))]
    assert torch.equal(*weights)
    assert not torch.equal(weights[0], torch.randn(3, generator=generator(seeded([5]), 1001)))


def test_report_asks_for_the_image_only_if_somebody_listens():
    Report(None, 2)(lambda: pytest.fail("nobody listens"))
    seen = []
    report = Report(lambda p: seen.append((p.index, p.steps)) or len(seen) == 2, 3)
    report(lambda: torch.zeros(1))
    with pytest.raises(Cancelled, match="step 2 of 3"):
        report(lambda: torch.zeros(1))
    assert seen == [(0, 3), (1, 3)]


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
@pytest.mark.parametrize("q", [0.0, 0.5, 0.995, 1.0])
def test_thequantile_is_torchs_without_its_limit_on_length(count: int, q: float) -> None:
    rows = torch.randn(3, count, generator=torch.Generator().manual_seed(count))
    torch.testing.assert_close(quantiles(rows, q), torch.quantile(rows, q, dim=1))
