"""The priors on the shelf: whole, readable by diffusers too, and denoisers of photographs that were never trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import unveil
from unveil.errors import ModelError
from unveil.models import shelf
from unveil.zeroshot import methods
from unveil.zeroshot.priors.opening import open_prior

EXAMPLE = Path(unveil.__file__).parent / "examples" / "chelsea.jpg"
NAMES = (methods.PIXELS, methods.LATENTS)


def crop(side: int = 64) -> torch.Tensor:
    """(1, 3, side, side) in [-1, 1]: a photograph of the package, reduced by three so that it is sharp."""
    with Image.open(EXAMPLE) as image:
        small = image.convert("RGB").reduce(3)
    pixels = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 127.5 - 1
    return pixels[None, :, 10 : 10 + side, 40 : 40 + side]


def error(x: torch.Tensor, y: torch.Tensor) -> float:
    return float(((x - y) ** 2).mean())


def test_the_shelf_has_them_as_priors_and_not_as_models_that_restore() -> None:
    assert set(NAMES) == set(shelf.priors())
    assert not set(NAMES) & set(shelf.manifest())


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_the_one_in_the_manifest_and_all_of_them_are_named(name: str) -> None:
    folder, entry = shelf.prior_folder(name), shelf.priors()[name]
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == set(entry["files"])
    assert entry["bytes"] == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    assert {"licence", "training_data", "recipe", "seed", "steps", "denoising"} <= set(entry)


def test_together_they_are_under_24_megabytes() -> None:
    assert sum(entry["bytes"] for entry in shelf.priors().values()) < 24e6


def test_an_altered_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {n: {**e, "files": dict.fromkeys(e["files"], "0" * 64)} for n, e in shelf.entries().items() if n in NAMES}
    monkeypatch.setattr(shelf, "entries", lambda: changed)
    with pytest.raises(ModelError, match=r"small-pixel is damaged .*model_index\.json"):
        shelf.prior_folder(methods.PIXELS)


def test_a_noisy_photograph_comes_out_cleaner() -> None:
    """At sigma 25 of 255, one evaluation must take away two thirds of the squared error at least (a third is what a blur takes)."""
    prior, x = open_prior(shelf.prior_folder(methods.PIXELS)), crop()
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)) * 50 / 255
    t = 1 + int(((prior.process.sigma / prior.process.alpha)[1:] - 50 / 255).abs().argmin())
    with torch.no_grad():
        clean = prior.denoise(float(prior.process.alpha[t]) * (x + noise), t)
    assert error(clean, x) < error(x + noise, x) / 3


def test_latents_keep_a_photograph_and_are_about_of_unit_size() -> None:
    prior, x = open_prior(shelf.prior_folder(methods.LATENTS)), crop()
    with torch.no_grad():
        z = prior.encode(x)
        again = prior.decode(z)
    assert z.shape == (1, 4, 16, 16)
    assert 0.5 < float(z.std()) < 2.0
    assert error(again, x) < 0.15 * float(x.var()), "the structure must survive the way through the latents"


def test_diffusers_reads_them_and_says_the_same() -> None:
    diffusers = pytest.importorskip("diffusers")
    folder = shelf.prior_folder(methods.PIXELS)
    theirs, ours = diffusers.UNet2DModel.from_pretrained(folder / "unet"), open_prior(folder)
    x = torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(
            ours.network(x, torch.tensor([300.0])),  # type: ignore[union-attr, call-arg]
            theirs.float()(x, torch.tensor([300])).sample,
            rtol=1e-4,
            atol=1e-4,
        )
    vae = diffusers.AutoencoderKL.from_pretrained(shelf.prior_folder(methods.LATENTS) / "vae")
    assert vae.config.scaling_factor == open_prior(shelf.prior_folder(methods.LATENTS)).scale  # type: ignore[union-attr]
