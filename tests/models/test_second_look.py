from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import unveil
from unveil import photo
from unveil.models import describer, second_look, shelf
from unveil.models.model import Model
from unveil.models.treatment import NOTICED
from unveil.networks.classifier import DegradationClassifier
from unveil.testing import tiny_experts

B = second_look.BLOCK


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scene(blocks: int = 400) -> Tensor:
    """Blocks of which half are plain and half are busy."""
    busy = 0.2 * torch.rand(blocks, 3, B, B, generator=seeded(1)) * (torch.arange(blocks) % 2).view(-1, 1, 1, 1)
    return 0.4 + busy


def test_white_noise_is_measured_by_its_deviation_everywhere() -> None:
    noise = 5 / 255 * torch.randn(400, 3, B, B, generator=seeded(2))
    quarter, half, median, spread, detail, correlation, neighbours, colour = second_look.measures(noise, scene())
    for value in (quarter, half, median):
        assert math.exp(value) - second_look.FLOOR == pytest.approx(5, rel=0.04)
    assert float(spread) == pytest.approx(0, abs=0.1)
    assert math.exp(detail) == pytest.approx(second_look.FLOOR, rel=0.01), "a quarter of the blocks has no detail"
    assert float(correlation) == pytest.approx(0, abs=0.15)
    assert float(neighbours) == pytest.approx(0, abs=0.02)
    # Of independent channels: sum of squared weights in luminance; what is left of each channel beside it.
    weights = torch.tensor([0.2126, 0.7152, 0.0722])
    luminance = float(weights.square().sum())
    left = float((1 - 2 * weights + luminance).mean())
    assert float(colour) == pytest.approx(math.log((5 * left**0.5 + 0.1) / (5 * luminance**0.5 + 0.1)), abs=0.03)


def test_what_follows_the_detail_is_told_from_noise() -> None:
    left = scene()
    lost = 0.3 * (left - 0.4) * torch.randn(400, 1, B, B, generator=seeded(3))
    found = second_look.measures(lost, left)
    assert float(found[5]) > 0.9, "taken where detail is"
    assert float(found[0]) == pytest.approx(math.log(second_look.FLOOR)), "and nowhere else"


def test_smooth_noise_is_like_its_neighbours_and_grey_noise_has_no_colour() -> None:
    white = torch.randn(400, 1, B + 1, B + 1, generator=seeded(4))
    mean = (white[..., 1:, 1:] + white[..., :-1, 1:] + white[..., 1:, :-1] + white[..., :-1, :-1]) / 4
    found = second_look.measures(0.02 * mean.expand(-1, 3, -1, -1), scene())
    assert float(found[6]) == pytest.approx(0.5, abs=0.06), "half of a mean of two is its neighbour's"
    assert float(found[7]) == pytest.approx(math.log(0.1 / (255 * 0.02 * 0.5 + 0.1)), abs=0.1)


@pytest.mark.parametrize("size", [(1, 1), (20, 300), (96, 96), (130, 511)])
def test_any_size_is_looked_at(size: tuple[int, int]) -> None:
    image = torch.rand(3, *size, generator=seeded(5))
    taken, left = second_look.taken_away(tiny_experts(), image)
    assert taken.shape == left.shape
    assert taken.shape[1:] == (3, B, B)
    assert second_look.measures(taken, left).isfinite().all()
    assert math.isfinite(second_look.logit(tiny_experts(), image))
    for plain in (torch.zeros(3, *size), torch.ones(3, *size)):
        assert math.isfinite(second_look.logit(tiny_experts(), plain))


@pytest.mark.parametrize("size", [(1, 1), (20, 300), (96, 96), (130, 511)])
def test_what_the_expert_for_the_light_sees_is_the_mean_and_maximum_of_its_coarsest_features(
    size: tuple[int, int],
) -> None:
    model, image = tiny_experts(), torch.rand(3, *size, generator=seeded(6))
    seen = second_look.light(model, image)
    assert seen.shape == (second_look.light_numbers(model),)
    assert seen.isfinite().all()
    untold, told = seen.chunk(2)
    assert not torch.equal(untold, told), "told that haze is as likely as not"
    widths = model.predictor.low.widths
    mean, greatest = untold[: widths[-1]], untold[widths[-1] : 2 * widths[-1]]
    assert (mean <= greatest + 1e-6).all()
    assert torch.equal(second_look.light(model, image), seen)
    assert not torch.equal(second_look.light(model, 1 - image), seen)


def clean() -> np.ndarray:
    return photo.read(unveil.__path__[0] + "/examples/coffee.jpg").pixels


def grainy(pixels: np.ndarray) -> np.ndarray:
    """Grain of clumps of five pixels, six levels, in a JPEG file, as a camera or a scanner leaves it."""
    noise = torch.from_numpy(np.random.default_rng(7).normal(size=pixels.shape)).permute(2, 0, 1)[None]
    clumps = torch.nn.functional.avg_pool2d(noise, 5, 1, 2, count_include_pad=False)[0].permute(1, 2, 0).numpy()
    noisy = pixels + 6 / 255 * clumps / clumps.std()
    memory = io.BytesIO()
    Image.fromarray(np.rint(noisy.clip(0, 1) * 255).astype(np.uint8)).save(memory, "JPEG", quality=92)
    return np.asarray(Image.open(memory), np.float32) / 255


def test_noise_that_the_classifier_overlooks_is_found_and_none_where_there_is_none() -> None:
    pixels = clean()
    speaker = describer.shipped()
    assert isinstance(speaker.network, DegradationClassifier)
    noisy = grainy(pixels)
    alone = speaker.network.folded().probabilities(torch.from_numpy(noisy.transpose(2, 0, 1).copy()))
    assert float(alone[speaker.network.kinds.index("noise")]) < NOTICED["noise"]
    said = speaker.describe(noisy).probabilities
    assert said["noise"] > NOTICED["noise"]
    assert said["clean"] <= 1 - said["noise"]
    assert speaker.describe(pixels).probabilities["noise"] < NOTICED["noise"]
    assert list(said.values()) == sorted(said.values(), reverse=True)


def test_the_restorer_is_asked_unless_the_classifier_is_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Model] = []

    def logit(model: Model, image: Tensor, dtype: torch.dtype) -> float:
        asked.append(model)
        return 0.0

    monkeypatch.setattr(second_look, "logit", logit)
    said = {"noise": 0.1, "jpeg": 0.9, "graphic": 0.0}
    assert describer._unsure(said)
    assert describer._unsure({**said, "noise": 0.6})
    assert not describer._unsure({**said, "noise": 0.99})
    assert not describer._unsure({**said, "graphic": 0.9}), "a page of text"
    assert not describer._unsure({"clean": 1.0}), "nobody speaks of noise"
    own = shelf.load("general")
    for restorer in (own, tiny_experts()):
        describer.shipped().describe(grainy(clean()), restorer=restorer)
    assert asked[0] is own
    assert asked[1].sha256 == own.sha256, "the law is about one model; another says something else"


@pytest.mark.parametrize(
    ("classifier", "restorer", "lowlight", "agreed"),
    [
        (0.1, 0.02, 0.0, 0.1),  # neither
        (0.1, 0.8, 0.0, 0.8),  # overlooked
        (0.6, 0.3, 0.0, 0.6),  # noticed, and the restorer sees some
        (0.6, 0.01, 0.0, 0.01),  # fur
        (0.6, 0.01, 0.9, 0.6),  # in the dark
    ],
)
def test_what_both_say_of_noise(classifier: float, restorer: float, lowlight: float, agreed: float) -> None:
    assert describer._agreed({"noise": classifier, "lowlight": lowlight}, lambda _: True, lambda: restorer) == agreed


def test_nobody_is_asked_about_noise_in_the_dark_that_the_classifier_noticed() -> None:
    def asked() -> float:
        raise AssertionError("half a restoration, for nothing")

    assert describer._agreed({"noise": 0.6, "lowlight": 0.9}, lambda _: True, asked) == 0.6
    with pytest.raises(AssertionError, match="for nothing"):
        describer._agreed({"noise": 0.1, "lowlight": 0.9}, lambda _: True, asked)


def test_nobody_is_asked_about_noise_where_a_glance_leaves_no_room_for_it() -> None:
    given: list[float] = []

    def worth(odds: float) -> bool:
        given.append(odds)
        return False

    def asked() -> float:
        raise AssertionError("half a restoration, for nothing")

    assert describer._agreed({"noise": 0.2}, worth, asked) == 0.2
    assert given == [pytest.approx(math.log(0.25))]
    assert describer._agreed({"noise": 0.0}, worth, asked) == 0.0
    with pytest.raises(AssertionError, match="for nothing"):
        describer._agreed({"noise": 0.6}, worth, asked)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (20, 300), (130, 511)])
def test_a_glance_at_any_size(size: tuple[int, int]) -> None:
    for image in (torch.rand(3, *size, generator=seeded(8)), torch.zeros(3, *size), torch.ones(3, *size)):
        assert second_look.glance(image).shape == (second_look.MEASURES,)
        assert second_look.glance(image).isfinite().all()
        assert isinstance(second_look.worth_asking(image, -math.inf), bool)


def test_a_glance_measures_white_noise_by_what_a_mean_of_nine_takes_of_it() -> None:
    """Each pixel less the mean of itself and its eight neighbours keeps 8 / 9 of the variance."""
    image = 0.5 + 6 / 255 * torch.randn(3, 192, 192, generator=seeded(9))
    quarter, half, median, *_ = second_look.glance(image)
    for value in (quarter, half, median):
        assert math.exp(value) - second_look.FLOOR == pytest.approx(6 * (8 / 9) ** 0.5, rel=0.05)


def test_a_glance_is_enough_for_a_clean_photograph_and_not_for_a_grainy_one() -> None:
    for pixels, worth in ((clean(), False), (grainy(clean()), True)):
        image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
        network = describer.shipped().network
        assert isinstance(network, DegradationClassifier)
        odds = float(network.folded().evidence(image)[0][network.kinds.index("noise")])
        assert second_look.worth_asking(image, odds) == worth


def test_the_light_is_looked_at_in_the_precision_of_the_eyes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bfloat16 or else float32, and what ships judges a dark photograph alike in both, within a hundredth."""
    used: list[torch.dtype] = []
    looks = second_look.light

    def light(model: Model, image: Tensor, dtype: torch.dtype) -> Tensor:
        used.append(dtype)
        return looks(model, image, dtype)

    monkeypatch.setattr(second_look, "light", light)
    wanted = (torch.float32, torch.bfloat16, torch.float16)
    fp32, bf16, _ = (describer.shipped().describe(clean()[:256, :256] / 4, dtype).probabilities for dtype in wanted)
    assert used == [torch.float32, torch.bfloat16, torch.float32]
    for kind in ("haze", "lowlight"):
        assert bf16[kind] == pytest.approx(fp32[kind], abs=0.01)
