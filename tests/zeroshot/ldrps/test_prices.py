from dataclasses import replace

import pytest
import torch

from benchmarks import _prices as prices
from benchmarks._prices import SD21, Price, flops, prior_price
from unveil.diffusion.noise import seeded
from unveil.zeroshot.ldrps import TASKS, LDRPSSettings, grids, published, restore
from unveil.zeroshot.priors import Counted, Counts


@pytest.mark.parametrize(
    "settings",
    [
        LDRPSSettings(steps=4, rounds=1, width=6, task="lowlight", warm=2, inner=1, crop=16),
        LDRPSSettings(steps=5, every=2, free=False, rounds=0, width=6, task="denoise", crop=32, warm=0, inner=2),
        LDRPSSettings(steps=450, begin="input", recurrence=0.007, rounds=1, width=6, warm=1, task="denoise", crop=16),
        published("dehaze", steps=3, rounds=0, width=6),
    ],
)
def test_the_formula_is_what_a_run_asks_and_costs(prior, settings):
    """Counts and FLOPs, exactly: the bill is the sum over parts of count times price."""
    counted = Counted(prior)
    y = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) - 0.5
    total = flops(lambda: restore(counted, y, seeded([1]), settings))
    planned = prices.counts(prior.process, grids(prior, settings, settings.rounds), settings, text=False)
    asked = counted.counts
    assert replace(planned, learn=0, guide=0) == asked
    assert prices.priced(prior_price(prior, 64, 64), TASKS[settings.task], settings, 64, 64).bill(planned) == total


def test_a_text_doubles_the_evaluations(prior, small):
    run = grids(prior, small, 0)
    plain, told = (prices.counts(prior.process, run, small, text) for text in (False, True))
    assert told.denoise == 2 * plain.denoise == 16


def test_the_official_cost_is_the_published_sixteen_petaflop():
    learn, guide = prices.own_price(TASKS["lowlight"], published("lowlight"), 512, 512)
    price = Price(SD21.denoise, SD21.decode, SD21.decode_gradient, SD21.encode, learn, guide)
    assert price.bill(prices.official(rounds=2)) == pytest.approx(16.4e15, rel=0.05)


def test_prices_of_a_real_network_are_torchs_count():
    network = torch.nn.Conv2d(3, 3, 3, padding=1)

    class Convolution:
        channels, factor, device = 3, 1, torch.device("cpu")

        def condition(self, prompt, negative=""):
            return None

        def denoise(self, z, t, condition=None, guidance=1.0):
            return network(z)

        encode = decode = lambda self, z: network(z)

    price = prior_price(Convolution(), 8, 16)
    once = 2 * 27 * 3 * 8 * 16
    assert (price.denoise, price.decode, price.encode) == (once, once, once)
    assert price.decode_gradient in (2 * once, 3 * once)  # the slope in the weights too, where they ask for one
    assert price.bill(Counts(denoise=2, encode=1) + Counts(denoise=1)) == 4 * once
