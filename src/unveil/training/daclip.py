"""Training DA-CLIP's controller: to name what was done to a photograph, and to see through it (Luo et al., ICLR 2024).

The published training pairs every photograph with a caption by another network. Here nothing has to be captioned: the
content embedding of the damaged photograph is drawn to the one that frozen CLIP has of the clean photograph, which lies where
its caption's would, by the same contrastive loss and by the L1 of the robust version (CVPR 2024 workshops). The damage is
named in words, as published, several of them where there was more than one kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unveil import degradation
from unveil.data.crops import crops, rng
from unveil.data.photographs import Photograph
from unveil.degradation import wild
from unveil.errors import InputError
from unveil.models.spec import Spec
from unveil.models.weights_file import read_guide, write
from unveil.networks.clip import prepared
from unveil.networks.contrastive import contrastive, robust_loss
from unveil.networks.daclip import DACLIP, Seen, degradation_probabilities
from unveil.networks.daclip_words import CLEAN, OF_KINDS, WILD, joined, rows
from unveil.training.batches import Source, scan
from unveil.training.config import Config, Stage, dump
from unveil.training.distributed import pick_device
from unveil.training.stage import rate

EVERY = 20
"""Steps between two lines."""
Words = tuple[str, ...]


def train(config: Config, folder: Path, *, report: Callable[[str], None] = print) -> DACLIP:
    """Train the controller of the DA-CLIP named by `init`, which `unveil models import` made of DA-CLIP or of CLIP alone.

    `folder` gets model.safetensors, to be given to `unveil describe -n` and as the guide of a network, and config.yaml. Batches
    are functions of (seed, step). Raises ModelError for weights that cannot be read, InputError for a run without photographs.
    """
    network, start, digest = read_guide(Path(config.init))
    if not isinstance(network, DACLIP):
        raise InputError(f"{config.init} is no DA-CLIP; make one of a published checkpoint with `unveil models import`")
    device = pick_device(config.device)
    network.to(device).train()
    network.visual_control.requires_grad_(True)
    network.logit_scale.requires_grad_(True)
    material = scan(config.data)
    photos, held = (Source(config.data, held_out=h, material=material).photos for h in (False, True))
    if not photos:
        raise InputError("data.photos is empty: DA-CLIP learns from clean photographs that the simulators damage")
    report(f"{len(photos)} photographs to train on, {len(held)} held out")
    folder.mkdir(parents=True, exist_ok=True)
    saved = folder / "model.safetensors"
    (folder / "config.yaml").write_text(dump(config))
    autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=config.precision == "bf16")
    names = Names(network, device)

    def described(steps: int, score: dict[str, Any] | None) -> Spec:
        recipe = {"started_from": digest, "steps_done": steps, "seed": config.seed, "held_out": score}
        return replace(start, name=config.name, recipe=recipe)

    done = 0
    for stage in config.stages:
        learned = [p for p in network.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(learned, lr=stage.lr, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.05)
        for step in range(stage.steps):
            for group in optimiser.param_groups:
                group["lr"] = rate(stage, step)
            clean, damaged, words = batch(photos, config, stage, done)
            optimiser.zero_grad(set_to_none=True)
            with autocast():
                parts = losses(network, clean.to(device), damaged.to(device), *names(words))
            total = torch.stack(parts).sum()
            total.backward()
            torch.nn.utils.clip_grad_norm_(learned, 1.0)
            optimiser.step()
            done += 1
            if done % EVERY == 0 or step + 1 == stage.steps:
                said = ", ".join(f"{n} {float(p.detach()):.4f}" for n, p in zip(LOSSES, parts, strict=True))
                report(f"step {step + 1}/{stage.steps} {said}")
            if done % config.save_every == 0:
                write(saved, described(done, None), network, None, torch.float32)
    score = accuracy(network, config, held, names) if held else None
    if score is not None:
        report(f"held out: the kind of damage is named rightly in {score['right']:.0%} of {score['count']} crops")
    write(saved, described(done, score), network, None, torch.float32)
    report(f"wrote {saved}; use it with: unveil describe PHOTO -n {saved}")
    return network.eval()


LOSSES = ("content", "degradation", "robust")


def losses(
    network: DACLIP, clean: Tensor, damaged: Tensor, texts: Tensor, group: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The three of `LOSSES`, scalars of equal weight. clean, damaged: (B, 3, H, W) in [0, 1]; texts: (B, embed); group: (B,)."""
    size = network.clip.visual.size
    with torch.no_grad():
        target = network.encode_image(prepared(clean, size), control=False)
    seen = network.encode_image(prepared(damaged, size))
    assert isinstance(seen, Seen)
    assert isinstance(target, Tensor)
    return (
        contrastive(seen.content, target, network.logit_scale),
        contrastive(seen.degradation, texts, network.logit_scale, group),
        robust_loss(seen.content, target),
    )


class Names:
    """Texts for kinds of damage, embedded once each by the frozen text tower."""

    def __init__(self, network: DACLIP, device: torch.device) -> None:
        self.network, self.device = network, device
        self._known: dict[Words, Tensor] = {}

    @torch.no_grad()
    def embedded(self, words: Words) -> Tensor:
        """(embed,) of several words as one text; () says that the photograph is clean."""
        if words not in self._known:
            text = joined([OF_KINDS.get(w) or WILD[w] for w in words] or [CLEAN])
            self._known[words] = self.network.clip.encode_text(rows([text], self.network.clip.context).to(self.device))[
                0
            ]
        return self._known[words]

    def __call__(self, words: Sequence[Words]) -> tuple[Tensor, Tensor]:
        """(texts (B, embed), group (B,)): samples of one group bear the same text."""
        order = list(dict.fromkeys(words))
        group = torch.tensor([order.index(w) for w in words], device=self.device)
        return torch.stack([self.embedded(w) for w in words]), group


def batch(photos: list[Photograph], config: Config, stage: Stage, step: int) -> tuple[Tensor, Tensor, list[Words]]:
    """(clean, damaged): (B, 3, crop, crop) in [0, 1], and the words for each: a function of (seed, step)."""
    generator = rng(config.seed, step)
    clean, _ = crops(photos, stage.batch, stage.crop, generator)
    torch_generator = torch.Generator().manual_seed(int(generator.integers(2**62)))
    data = config.data
    damaged, kinds, drawn = degradation.mixture(
        clean, torch_generator, weights=data.kinds or None, second=data.second, clean=data.clean
    )
    words: list[Words] = list(kinds)
    if "wild" in drawn:
        told = wild.labels(drawn["wild"]["words"])
        for i, said in zip(drawn["wild"]["index"].tolist(), told, strict=True):
            words[i] = said
    return clean, damaged, words


@torch.inference_mode()
def accuracy(network: DACLIP, config: Config, held: list[Photograph], names: Names, batches: int = 4) -> dict[str, Any]:
    """Share of held-out crops whose own text is the likeliest among all that occur there. `right`, `count`, `texts`."""
    network.eval()
    size, right, count = network.clip.visual.size, 0, 0
    made = [batch(held, config, config.stages[-1], 10**9 + i) for i in range(batches)]
    texts = sorted({w for _, _, words in made for w in words})
    table = torch.stack([names.embedded(w) for w in texts])
    for _, damaged, words in made:
        embedding, _ = network.control(prepared(damaged.to(names.device), size))
        best = degradation_probabilities(embedding.float(), table, network.logit_scale.exp()).argmax(1).tolist()
        right += sum(texts[b] == w for b, w in zip(best, words, strict=True))
        count += len(words)
    return {"right": right / count, "count": count, "texts": len(texts)}
