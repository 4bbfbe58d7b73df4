import pytest
import torch
from safetensors.torch import save_file

from unveil.errors import ModelError
from unveil.zeroshot.losses import Perceptual, perceptual


def noise(seed: int) -> torch.Tensor:
    return torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_seeded_features_are_a_distance_and_the_same_on_every_call():
    p = Perceptual()
    a, b = noise(0), noise(1)
    assert p(a, a) == 0
    assert p(a, b) == p(b, a) == Perceptual()(a, b)
    assert p(a, (a + b) / 2) < p(a, b)


def test_weights_under_torchvisions_names_replace_them(tmp_path):
    tensors = {k: v + 0.01 for k, v in Perceptual().state_dict().items()} | {"classifier.6.bias": torch.zeros(3)}
    assert {k.split(".")[1] for k in tensors} == {"0", "2", "5", "7", "6"}
    save_file(tensors, tmp_path / "vgg.safetensors")
    torch.save(tensors, tmp_path / "vgg.pth")
    read = [perceptual(tmp_path / name) for name in ("vgg.safetensors", "vgg.pth")]
    assert read[0](noise(0), noise(1)) == read[1](noise(0), noise(1)) != Perceptual()(noise(0), noise(1))
    assert read[0].gain == 1


def test_a_file_that_is_no_vgg_is_refused(tmp_path):
    save_file({"features.0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "text.pth").write_text("no weights")
    for name in ("other.safetensors", "text.pth", "absent.pth"):
        with pytest.raises(ModelError, match=name):
            perceptual(tmp_path / name)
