"""Opening priors from folders, and what is said where that fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from unveil.errors import InputError, ModelError
from unveil.zeroshot.priors import opening
from unveil.zeroshot.priors.opening import open_prior
from unveil.zeroshot.priors.spaces import LatentPrior, PixelPrior

Make = Callable[..., Path]


def test_a_prior_of_pixels(pixel_folder: Make) -> None:
    prior = open_prior(pixel_folder())
    assert isinstance(prior, PixelPrior)
    assert (prior.name, prior.channels, prior.factor, prior.multiple_of, prior.native, prior.prompted) == (
        "tiny",
        3,
        1,
        2,
        16,
        False,
    )
    assert len(prior.sha256) == 64
    x = torch.randn(2, 3, 16, 20)
    assert prior.encode(x) is x
    assert prior.decode(x) is x


def test_denoising_inverts_the_prediction(pixel_folder: Make) -> None:
    """v = a eps - s x0 by hand at one index, from the network's own output."""
    prior = open_prior(pixel_folder())
    assert isinstance(prior, PixelPrior)
    x_t, t = torch.randn(1, 3, 16, 16), 400
    said = prior.network(x_t, torch.tensor([399.0]))
    a, s = float(prior.process.alpha[t]), float(prior.process.sigma[t])
    torch.testing.assert_close(prior.denoise(x_t, t), a * x_t - s * said, rtol=1e-5, atol=1e-5)


def test_a_learned_variance_is_left_out(pixel_folder: Make) -> None:
    prior = open_prior(pixel_folder({"out_channels": 6}, {"prediction_type": "epsilon"}))
    assert isinstance(prior, PixelPrior)
    x_t = torch.randn(1, 3, 16, 16)
    eps = prior.network(x_t, torch.tensor([9.0]))[:, :3]
    expected = (x_t - float(prior.process.sigma[10]) * eps) / float(prior.process.alpha[10])
    torch.testing.assert_close(prior.denoise(x_t, 10), expected, rtol=1e-5, atol=1e-5)


def test_a_latent_prior(latent_folder: Make) -> None:
    prior = open_prior(latent_folder())
    assert isinstance(prior, LatentPrior)
    assert (prior.channels, prior.factor, prior.multiple_of, prior.native, prior.scale) == (4, 4, 8, 64, 2.0)
    x = torch.rand(2, 3, 32, 40) * 2 - 1
    z = prior.encode(x)
    assert z.shape == (2, 4, 8, 10)
    torch.testing.assert_close(z, 2.0 * prior.vae.encode(x)[0])
    torch.testing.assert_close(prior.decode(z), prior.vae.decode(z / 2.0))


def test_the_gradient_of_decoding_is_the_same_with_blocks_computed_again(latent_folder: Make) -> None:
    prior = open_prior(latent_folder())
    assert isinstance(prior, LatentPrior)
    z = torch.randn(1, 4, 8, 8)

    def gradient() -> torch.Tensor:
        leaf = z.clone().requires_grad_()
        return torch.autograd.grad(prior.decode(leaf).square().sum(), leaf)[0]

    again = gradient()
    prior.vae.recompute(False)
    torch.testing.assert_close(again, gradient(), rtol=0, atol=0)
    assert again.abs().max() > 0


def test_denoising_is_differentiable_in_the_state(latent_folder: Make) -> None:
    prior = open_prior(latent_folder())
    z = torch.randn(1, 4, 8, 8, requires_grad=True)
    (g,) = torch.autograd.grad(prior.denoise(z, 500).sum(), z)
    assert g.abs().max() > 0
    assert all(not p.requires_grad for p in prior.vae.parameters())  # type: ignore[union-attr]


def test_a_tiny_decoder_serves_gradients_alone(latent_folder: Make) -> None:
    prior = open_prior(latent_folder())
    assert isinstance(prior, LatentPrior)
    object.__setattr__(prior, "tiny", lambda z: z[:, :3].repeat_interleave(4, 2).repeat_interleave(4, 3))
    z = torch.randn(1, 4, 8, 8)
    torch.testing.assert_close(prior.decode(z), prior.vae.decode(z / 2.0))
    watched = prior.decode(z.requires_grad_())
    torch.testing.assert_close(watched[..., ::4, ::4], z[:, :3])


def test_a_text_for_a_prior_that_reads_none(pixel_folder: Make, latent_folder: Make) -> None:
    for prior in (open_prior(pixel_folder()), open_prior(latent_folder())):
        assert prior.condition("") is None
        with pytest.raises(InputError, match="not steered by text"):
            prior.condition("a house")


def test_the_digest_changes_with_the_weights(pixel_folder: Make) -> None:
    folder = pixel_folder()
    before = open_prior(folder).sha256
    assert open_prior(folder).sha256 == before
    other = pixel_folder({"layers_per_block": 2}, name="other")
    assert open_prior(other).sha256 != before


def test_a_bare_network_folder(pixel_folder: Make, tmp_path: Path) -> None:
    folder = pixel_folder()
    bare = tmp_path / "bare"
    shutil.copytree(folder / "unet", bare)
    shutil.copy(folder / "scheduler" / "scheduler_config.json", bare)
    prior, whole = open_prior(bare), open_prior(folder)
    x = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(prior.denoise(x, 5), whole.denoise(x, 5))


def test_other_latents_than_the_autoencoders(latent_folder: Make) -> None:
    with pytest.raises(ModelError, match="takes 9 channels, its autoencoder has 4"):
        open_prior(latent_folder({"in_channels": 9}))


def test_damage_is_named(pixel_folder: Make) -> None:
    folder = pixel_folder()
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[: len(kept) // 2])
    with pytest.raises(ModelError, match="damaged or not a safetensors file"):
        open_prior(folder)
    weights.unlink()
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="may run code"):
        open_prior(folder)
    shutil.rmtree(folder / "unet")
    with pytest.raises(ModelError, match=r"no /?config\.json"):
        open_prior(folder)


def test_neither_a_folder_nor_an_id() -> None:
    with pytest.raises(ModelError, match="no prior named 'nowhere'"):
        open_prior("nowhere")


def test_every_id_tried_is_named_for_what_left_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import OfflineModeIsEnabled

    asked: list[str] = []

    def refuse(name: str, **_: object) -> str:
        asked.append(name)
        raise OfflineModeIsEnabled("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ModelError, match="give --prior the folder") as told:
        open_prior("stabilityai/stable-diffusion-2-1-base")
    ids = ["stabilityai/stable-diffusion-2-1-base", *opening.MIRRORS["stabilityai/stable-diffusion-2-1-base"]]
    assert asked == ids
    assert all(each in str(told.value) for each in ids)


def test_a_mirror_is_taken_where_the_id_is_gone(monkeypatch: pytest.MonkeyPatch, latent_folder: Make) -> None:
    import huggingface_hub

    folder = latent_folder()

    def some(name: str, **_: object) -> str:
        if name.startswith("stabilityai"):
            raise OSError("gone")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", some)
    assert open_prior("stabilityai/stable-diffusion-2-1-base").factor == 4


def test_shards_and_variants_are_read(pixel_folder: Make) -> None:
    """The same network from one file, from two shards by their index, and from the fp16 variant alone; raw weights come last."""
    import json

    from safetensors.torch import load_file, save_file

    folder = pixel_folder()
    whole, x = open_prior(folder), torch.randn(1, 3, 16, 16)
    expected = whole.denoise(x, 300)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    save_file({k: v + 1 for k, v in tensors.items()}, folder / "unet" / "diffusion_pytorch_model.non_ema.safetensors")
    torch.testing.assert_close(open_prior(folder).denoise(x, 300), expected, rtol=0, atol=0)
    file.unlink()
    names, where = sorted(tensors), {}
    for i, part in enumerate((names[::2], names[1::2]), 1):
        shard = f"diffusion_pytorch_model-{i:05}-of-00002.safetensors"
        save_file({k: tensors[k] for k in part}, folder / "unet" / shard)
        where |= dict.fromkeys(part, shard)
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": where}))
    torch.testing.assert_close(open_prior(folder).denoise(x, 300), expected, rtol=0, atol=0)
    (folder / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match="one of its 2 shards, does not lie beside it"):
        open_prior(folder)
    index.unlink()
    save_file({k: v.half() for k, v in tensors.items()}, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    torch.testing.assert_close(open_prior(folder).denoise(x, 300), expected, rtol=0, atol=1e-2)


def test_networks_that_must_be_told_more_are_refused_by_what_they_are(pixel_folder: Make, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="told as 'timestep'"):
        open_prior(_changed(pixel_folder(), class_embed_type="timestep"))
    with pytest.raises(ModelError, match="SDXL's kind"):
        open_prior(_changed(pixel_folder(), class_embed_type=None, addition_embed_type="text_time"))
    (tmp_path / "flux" / "transformer").mkdir(parents=True)
    with pytest.raises(ModelError, match="is a transformer"):
        open_prior(tmp_path / "flux")
    (tmp_path / "sd.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match="a prior is a folder, and this is one file"):
        open_prior(tmp_path / "sd.safetensors")


def _changed(folder: Path, **entries: object) -> Path:
    import json

    path = folder / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    return folder
