from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unveil.degradation.camera import jpeg
from unveil.errors import InputError


def test_quality_follows_severity(photographs: Tensor, generator: torch.Generator) -> None:
    assert (jpeg(photographs, generator, 0.0)[1]["quality"] == 95).all()
    assert (jpeg(photographs, generator, 1.0)[1]["quality"] == 8).all()


def test_without_a_shift_it_is_what_pillow_writes(photographs: Tensor, generator: torch.Generator) -> None:
    y, p = jpeg(photographs, generator, 0.6)
    unshifted = (p["offset"] == 0).all(1).nonzero().flatten().tolist()
    assert 0 < len(unshifted) < 8
    for i in unshifted:
        memory = io.BytesIO()
        pixels = (photographs[i] * 255).round().byte().permute(1, 2, 0).numpy()
        subsampling = 2 if p["subsampled"][i] else 0
        Image.fromarray(pixels).save(memory, "JPEG", quality=int(p["quality"][i]), subsampling=subsampling)
        expected = torch.from_numpy(np.array(Image.open(memory))).permute(2, 0, 1).float() / 255
        assert torch.equal(y[i], expected)


def test_a_shifted_grid_puts_the_block_edges_elsewhere(photographs: Tensor, generator: torch.Generator) -> None:
    y, p = jpeg(photographs.repeat(6, 1, 1, 1), generator, 1.0)
    jumps = y.mean(1).diff(dim=2).abs().mean(1)  # (48, 63): between column c and c + 1
    for shift in (0, 3):
        chosen = p["offset"][:, 1] == shift
        if chosen.any():
            profile = jumps[chosen].mean(0)[:56].view(7, 8).mean(0)
            assert int(profile.argmax()) == (7 - shift) % 8


def test_what_the_format_cannot_store_is_refused(generator: torch.Generator) -> None:
    with pytest.raises(InputError, match="65001x1 pixels"):
        jpeg(torch.zeros(1, 3, 1, 65_001), generator)
