"""A tiny random Stable Diffusion: text, classifier-free guidance, half precision, and prompts that are too long."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from unveil.errors import ModelError, UnveilWarning
from unveil.zeroshot.priors.opening import open_prior
from unveil.zeroshot.priors.spaces import LatentPrior

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

WORDS = [
    "<|startoftext|>",
    "<|endoftext|>",
    *"abcdefghijklmnopqrstuvwxyz",
    *(f"{c}</w>" for c in "abcdefghijklmnopqrstuvwxyz"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saved by diffusers and transformers themselves, with the layout of Stable Diffusion."""
    path = tmp_path_factory.mktemp("sd")
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8, 8), norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16, attention_head_dim=2,
    )  # fmt: skip
    unet.save_pretrained(path / "unet")
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4, 4, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1, norm_num_groups=4, scaling_factor=0.18215,
    )  # fmt: skip
    vae.save_pretrained(path / "vae")
    diffusers.DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012).save_pretrained(
        path / "scheduler"
    )
    config = transformers.CLIPTextConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=77, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    transformers.CLIPTextModel(config).save_pretrained(path / "text_encoder")
    tokens = path / "tokenizer"
    tokens.mkdir()
    (tokens / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(WORDS)}))
    (tokens / "merges.txt").write_text("#version: 0.2\n")
    special = {
        "bos_token": WORDS[0],
        "eos_token": WORDS[1],
        "unk_token": WORDS[1],
        "pad_token": WORDS[1],
        "model_max_length": 77,
    }
    (tokens / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer", **special}))
    return path


@pytest.fixture(scope="module")
def prior(folder: Path) -> LatentPrior:
    opened = open_prior(folder)
    assert isinstance(opened, LatentPrior)
    return opened


def test_what_it_says_of_itself(prior: LatentPrior) -> None:
    assert (prior.prompted, prior.channels, prior.factor, prior.multiple_of, prior.native) == (True, 4, 8, 16, 64)
    assert prior.prediction == "epsilon"


def test_images_and_latents_are_diffusers_own(prior: LatentPrior, folder: Path) -> None:
    theirs = diffusers.AutoencoderKL.from_pretrained(folder / "vae")
    x = torch.rand(1, 3, 32, 48) * 2 - 1
    with torch.no_grad():
        z = 0.18215 * theirs.encode(x).latent_dist.mode()
        torch.testing.assert_close(prior.encode(x), z, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(prior.decode(z), theirs.decode(z / 0.18215).sample, rtol=1e-4, atol=1e-5)


def test_guidance_weighs_two_texts(prior: LatentPrior) -> None:
    z, t = torch.randn(2, 4, 4, 4), 700
    condition = prior.condition("abc", "xyz")
    assert condition is not None
    with torch.no_grad():
        positive, negative = prior.denoise(z, t, prior.condition("abc")), prior.denoise(z, t, prior.condition("xyz"))
        both = prior.denoise(z, t, condition, guidance=3.0)
    assert (positive - negative).abs().max() > 1e-4, "the texts must matter"
    torch.testing.assert_close(both, negative + 3.0 * (positive - negative), rtol=1e-4, atol=1e-4)


def test_no_condition_is_the_empty_text_and_equal_texts_need_no_weight(prior: LatentPrior) -> None:
    z = torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        plain = prior.denoise(z, 300)
        torch.testing.assert_close(plain, prior.denoise(z, 300, prior.condition(""), guidance=1.0))
        torch.testing.assert_close(plain, prior.denoise(z, 300, prior.condition(""), guidance=8.0), rtol=0, atol=0)


def test_a_prompt_over_77_tokens_is_told(prior: LatentPrior) -> None:
    prior.condition(" ".join("a" * 75))
    with pytest.warns(UnveilWarning, match=r"80 tokens, 77 are read; not read: .*z z z"):
        prior.condition(" ".join("a" * 75 + "zzz"))


def test_half_precision_is_close_and_what_comes_out_is_fp32(folder: Path, prior: LatentPrior) -> None:
    half = open_prior(folder, dtype=torch.bfloat16)
    z = torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        out, exact = half.denoise(z, 200), prior.denoise(z, 200)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, exact, rtol=0.05, atol=0.05)


def test_without_diffusers_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(ModelError, match=r"pip install .*\[latent\]'"):
        open_prior(folder)


def test_a_folder_of_half_precision_alone_and_a_tokenizer_without_a_length(folder: Path, tmp_path: Path) -> None:
    """As `save_pretrained(variant="fp16")` of all parts leaves it, and as tokenizers are saved whose length nobody set."""
    half = tmp_path / "half"
    shutil.copytree(folder, half)
    parts = (
        ("unet", diffusers.UNet2DConditionModel), ("vae", diffusers.AutoencoderKL), ("text_encoder", transformers.CLIPTextModel),
    )  # fmt: skip
    for part, kind in parts:
        for old in (half / part).glob("*.safetensors"):
            old.unlink()
        kind.from_pretrained(folder / part).half().save_pretrained(half / part, variant="fp16")
        assert all(".fp16." in p.name for p in (half / part).glob("*.safetensors"))
    about = half / "tokenizer" / "tokenizer_config.json"
    told = json.loads(about.read_text())
    del told["model_max_length"]
    about.write_text(json.dumps(told))
    whole, opened = open_prior(folder), open_prior(half)
    assert isinstance(opened, LatentPrior)
    z = torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(
            opened.denoise(z, 200, opened.condition("a b")),
            whole.denoise(z, 200, whole.condition("a b")),
            rtol=0.02,
            atol=0.02,
        )
    with pytest.warns(UnveilWarning, match="80 tokens, 77 are read"):
        opened.condition(" ".join("a" * 75 + "zzz"))


def test_what_diffusers_writes_of_other_kinds_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    """SDXL's kind with its second encoder, and the whole pipeline in one file, each by what it is and what to do."""
    xl = tmp_path / "xl"
    shutil.copytree(folder, xl)
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8, 8), norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32, attention_head_dim=2, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=64,
    )  # fmt: skip
    unet.save_pretrained(xl / "unet")
    shutil.copytree(xl / "text_encoder", xl / "text_encoder_2")
    with pytest.raises(ModelError, match=r"SDXL's kind, with two text encoders.*give a Stable Diffusion 1 or 2"):
        open_prior(xl)
    save_file({f"model.diffusion_model.{k}": v for k, v in unet.state_dict().items()}, tmp_path / "one.safetensors")
    with pytest.raises(ModelError, match=r"is one file\. Make a folder of it: .*from_single_file"):
        open_prior(tmp_path / "one.safetensors")
