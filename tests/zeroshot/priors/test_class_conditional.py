"""Networks that are told a class, as diffusers itself writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unveil.errors import ModelError
from unveil.loading import load
from unveil.zeroshot.priors.opening import open_prior

diffusers = pytest.importorskip("diffusers")


def written(folder: Path, classes: int | None) -> tuple[Path, torch.nn.Module]:
    torch.manual_seed(0)
    network = diffusers.UNet2DModel(
        sample_size=16, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2, add_attention=False, num_class_embeds=classes,
    )  # fmt: skip
    network.save_pretrained(folder / "unet")
    diffusers.DDPMScheduler().save_pretrained(folder / "scheduler")
    return folder, network.eval()


@pytest.mark.parametrize(("classes", "label", "told"), [(10, 3, 3), (11, None, 10), (11, 0, 0), (1001, None, 1000)])
def test_the_class_that_is_named_or_the_one_for_none(
    tmp_path: Path, classes: int, label: int | None, told: int
) -> None:
    folder, network = written(tmp_path, classes)
    prior = open_prior(folder, label=label)
    assert prior.label == told
    x, t = torch.randn(2, 3, 16, 16), 400
    with torch.no_grad():
        eps = network(x, 399, class_labels=torch.tensor([told, told])).sample
        expected = (x - float(prior.process.sigma[t]) * eps) / float(prior.process.alpha[t])
        torch.testing.assert_close(prior.denoise(x, t), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("classes", "label", "said"),
    [(10, None, "one of 10 classes; name it with --label, 0 to 9"), (10, 10, "--label, 0 to 9"), (None, 3, "told no classes")],
)  # fmt: skip
def test_a_class_that_is_missing_or_too_many(tmp_path: Path, classes: int | None, label: int | None, said: str) -> None:
    folder, _ = written(tmp_path, classes)
    with pytest.raises(ModelError, match=said):
        open_prior(folder, label=label)


def test_the_class_stands_in_the_protocol(tmp_path: Path) -> None:
    """And other classes give other pixels."""
    folder, _ = written(tmp_path, 10)
    y = torch.rand(3, 16, 16)
    outs = [load(folder, "cpu", method="diffpir", label=k).restore(y, steps=2) for k in (1, 2)]  # type: ignore[call-arg]
    assert [out.protocol["label"] for out in outs] == [1, 2]
    assert not (outs[0].image == outs[1].image).all()
