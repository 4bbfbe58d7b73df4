"""JPEG's arithmetic in tensors against libjpeg itself."""

from __future__ import annotations

import pytest
import torch
from PIL import features
from torch import Tensor

from unveil.degradation.camera import jpeg, recompress
from unveil.degradation.compression import compressed

turbo = pytest.mark.skipif(not features.check("libjpeg_turbo"), reason="Pillow was built with another libjpeg")
QUALITIES = torch.tensor([1, 8, 25, 49, 50, 51, 75, 95, 100])


@turbo
@pytest.mark.parametrize("subsampled", [True, False])
@pytest.mark.parametrize("size", [(40, 33), (16, 16), (1, 1), (5, 4), (7, 50), (31, 2)])
def test_the_bits_are_those_of_files(
    size: tuple[int, int], subsampled: bool, photographs: Tensor, generator: torch.Generator
) -> None:
    n, (h, w) = len(QUALITIES), size
    smooth = photographs.repeat(2, 1, 1, 1)[:n, :, 8 : 8 + h, 3 : 3 + w]
    offset = torch.randint(0, 8, (n, 2), generator=generator)
    offset[0] = 0
    for x in (smooth, torch.rand(n, 3, h, w, generator=generator)):
        files = [recompress(x[i], int(QUALITIES[i]), subsampled, offset[i].tolist()) for i in range(n)]
        assert torch.equal(compressed(x, QUALITIES, offset, subsampled=subsampled), torch.stack(files))


@turbo
def test_the_simulator_is_the_same_either_way(
    photographs: Tensor, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = generator.get_state()
    by_libjpeg, drawn = jpeg(photographs, generator)
    monkeypatch.setattr("unveil.degradation.camera.ON_PROCESSOR", ())
    generator.set_state(state)
    by_tensors, again = jpeg(photographs, generator)
    assert torch.equal(by_libjpeg, by_tensors)
    assert all(torch.equal(drawn[name], again[name]) for name in drawn)
    assert torch.equal(
        recompress(photographs[0], 30),
        compressed(photographs[:1], QUALITIES[:1] * 0 + 30, torch.zeros(1, 2).long(), subsampled=True)[0],
    )
