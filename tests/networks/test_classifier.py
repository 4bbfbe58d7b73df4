from __future__ import annotations

import pytest
import torch

from unveil.networks.classifier import SIDE, DegradationClassifier, views
from unveil.networks.clip import CLIP, VisionTower
from unveil.networks.daclip_words import CLEAN, END, START, UNIVERSAL, WILD, joined, rows, words
from unveil.networks.photometry import MEASURES, measures

KINDS = ("noise", "blur", "clean")


@pytest.fixture
def net() -> DegradationClassifier:
    torch.manual_seed(0)
    return DegradationClassifier(KINDS, 16).eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("size", "patches"), [((1, 1), 1), ((64, 64), 1), ((64, 65), 2), ((130, 40), 3), ((300, 500), 16), ((2000, 64), 4)]
)
def test_views_of_every_size(size: tuple[int, int], patches: int) -> None:
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    whole, near = views(image)
    assert whole.shape == (3, SIDE, SIDE)
    assert near.shape == (patches, 3, SIDE, SIDE)
    if min(size) >= SIDE:  # patches are the photograph's own pixels, its corners among them
        assert torch.equal(near[0][:, 0, 0], image[:, 0, 0]) or patches == 1
        assert torch.equal(near[-1][:, -1, -1], image[:, -1, -1]) or patches == 1


def test_probabilities_stand_for_themselves_and_do_not_depend_on_the_batch(net: DegradationClassifier) -> None:
    image = torch.rand(3, 100, 150, generator=torch.Generator().manual_seed(1))
    said = net.probabilities(image)
    assert said.shape == (3,)
    assert ((said > 0) & (said < 1)).all()
    whole, near = views(image)
    both = net(whole.expand(2, -1, -1, -1), near.expand(2, -1, -1, -1, -1))
    assert (torch.sigmoid(both[1]) - said).abs().max() < 1e-6


def test_temperature_divides_the_logits_and_travels_with_the_weights(net: DegradationClassifier) -> None:
    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(2))
    before = torch.logit(net.probabilities(image))
    net.temperature[:] = torch.tensor([1.0, 2.0, 4.0])
    assert torch.logit(net.probabilities(image)) == pytest.approx(before / net.temperature, abs=1e-5)
    other = DegradationClassifier(KINDS, 16)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.temperature, net.temperature)


def test_each_look_is_heard(net: DegradationClassifier) -> None:
    whole, near = views(torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(3)))
    said = net(whole[None], near[None])
    assert not torch.equal(net(whole[None] * 0.5, near[None]), said)
    assert not torch.equal(net(whole[None], near[None] * 0.5), said)


def test_words_are_tokens_between_start_and_end() -> None:
    got = rows(list(UNIVERSAL.values()), 77)
    assert got.shape == (10, 77)
    assert (got[:, 0] == START).all()
    # The end has the highest number, which is how CLIP's text tower finds it.
    assert [int(row[i]) for row, i in zip(got, got.argmax(1), strict=True)] == [END] * 10
    assert got.argmax(1).tolist() == [len(t) + 1 for t in UNIVERSAL.values()]
    assert len({tuple(row) for row in got.tolist()}) == 10


def test_several_words_are_one_text_with_commas() -> None:
    assert joined([UNIVERSAL["hazy"], UNIVERSAL["noisy"]]) == (32655, 267, 33495)
    assert joined([CLEAN]) == CLEAN


def test_the_towers_tell_which_words_were_trained() -> None:
    def clip(embed: int) -> CLIP:
        return CLIP(VisionTower(embed, 8, 4, 8, 1, 1), 8, 16, 8, 1, 1)

    assert words(clip(512)) is UNIVERSAL
    assert words(clip(768)) is WILD


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (5, 7), (64, 48), (700, 400)])
def test_what_is_measured_of_every_size_is_a_number(size: tuple[int, int]) -> None:
    for image in (torch.rand(3, *size, generator=torch.Generator().manual_seed(4)), torch.zeros(3, *size)):
        measured = measures(image)
        assert measured.shape == (MEASURES,)
        assert measured.isfinite().all()


def test_the_law_of_the_light_reads_the_restorer_the_photograph_and_the_network() -> None:
    torch.manual_seed(0)
    kinds = ("noise", "haze", "lowlight", "clean")
    net = DegradationClassifier(kinds, 16, statistics=True, asked=5).eval().requires_grad_(False)
    image = torch.rand(3, 80, 90, generator=torch.Generator().manual_seed(5))
    asked = torch.arange(5.0)
    logits, known = net.evidence(image)
    assert known is not None
    assert torch.equal(known[0, :MEASURES], measures(image))
    assert torch.equal(known[0, -4:], logits)
    alone = torch.logit(net.probabilities(image))
    assert alone == pytest.approx(logits, abs=1e-5), "nobody was asked"
    assert net.light is not None
    # haze: what the restorer said last, in units of two from one on, and 0.5; low light: 3 whatever is read.
    net.light.centre[4], net.light.scale[4], net.light.layer.weight[0, 4] = 1, 2, 1
    net.light.layer.bias[:] = torch.tensor([0.5, 3])
    said = torch.logit(net.probabilities(image, lambda: asked)).tolist()
    assert said[0] == pytest.approx(float(alone[0]), abs=1e-5)
    assert said[1] == pytest.approx((4 - 1) / 2 + 0.5, abs=1e-4)
    assert said[2] == pytest.approx(3, abs=1e-5)
    assert said[3] == pytest.approx(-3, abs=1e-5), "what is surely dark is not clean"
    far_out = torch.logit(net.probabilities(image, lambda: torch.full((5,), 1000.0))).tolist()
    assert far_out[1] == pytest.approx(5.5, abs=1e-3), "five units at most"


def test_the_restorer_is_not_asked_about_light_that_is_surely_right() -> None:
    torch.manual_seed(0)
    kinds = ("noise", "haze", "lowlight", "clean")
    net = DegradationClassifier(kinds, 16, statistics=True, asked=5, settles=True).eval().requires_grad_(False)
    image = torch.rand(3, 80, 90, generator=torch.Generator().manual_seed(5))
    law, asked = net.light, []
    assert law is not None
    assert law.first is not None
    law.layer.bias[:] = torch.tensor([1.0, 2.0])
    law.first.bias[:] = torch.tensor([-4.0, -5.0])

    def ask() -> torch.Tensor:
        asked.append(1)
        return torch.zeros(5)

    def judged() -> list[float]:
        return torch.logit(net.probabilities(image, ask))[1:3].tolist()

    assert judged() == pytest.approx([1, 2], abs=1e-5), "nothing was fitted: the restorer has the word"
    law.least[:] = torch.tensor([-3.0, -6.0])
    assert judged() == pytest.approx([1, 2], abs=1e-5), "one of the two is not settled"
    assert len(asked) == 2
    law.least[:] = torch.tensor([-3.0, -4.0])
    assert judged() == pytest.approx([-4, -5], abs=1e-4)
    assert len(asked) == 2
    # The first law reads the same numbers in the same units, without the restorer's.
    law.centre[-1], law.scale[-1], law.first.weight[0, -1] = 1, 2, 1
    clean = float(net.evidence(image)[0][-1])
    assert judged()[0] == pytest.approx((clean - 1) / 2 - 4, abs=1e-4)
