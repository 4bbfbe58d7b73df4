"""Training DA-CLIP's controller: to name what was done to a photograph, and to see through it (Luo et al., ICLR 2024).

The published training pairs every photograph with a caption by another network. Here nothing has to be captioned: the
content embedding of the damaged photograph is drawn to the one that frozen CLIP has of the clean photograph, which lies where
its caption's would, by the same contrastive loss and by the L1 of the robust version (CVPR 2024 workshops). The damage is
named in words, as published, several of them where there was more than one kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unveil import degradation
from unveil.data.crops import crops, rng
from unveil.data.photographs import Photograph
from unveil.data.store import Picture, Store
from unveil.degradation import wild
from unveil.errors import InputError
from unveil.models.spec import Spec
from unveil.models.weights_file import read_guide, write
from unveil.networks.clip import prepared
from unveil.networks.daclip import DACLIP, Seen, contrastive, degradation_probabilities, robust_loss
from unveil.networks.daclip_words import CLEAN, OF_KINDS, WILD, joined, rows
from unveil.training.batches import Source, scan
from unveil.training.config import Config, Data, Stage
from unveil.training.distributed import World
from unveil.training.export import written
from unveil.training.state import State
from unveil.training.trainer import Objective, OneNetwork, Trainer, Verdict

Words = tuple[str, ...]


@dataclass(frozen=True)
class Named:
    """clean, damaged: (B, 3, crop, crop) in [0, 1]. words: for each sample, () where it is clean."""

    clean: Tensor
    damaged: Tensor
    words: list[Words]

    @property
    def count(self) -> int:
        """Samples."""
        return len(self.words)

    def to(self, device: torch.device) -> Named:
        """The same batch on a device, without waiting for the copy."""
        return replace(
            self, clean=self.clean.to(device, non_blocking=True), damaged=self.damaged.to(device, non_blocking=True)
        )

    def pin_memory(self) -> Named:
        """The same batch where a device can copy it from by itself."""
        return replace(self, clean=self.clean.pin_memory(), damaged=self.damaged.pin_memory())


@dataclass(frozen=True)
class NamedSource:
    """Clean photographs that the simulators damage, and the words for what they did."""

    photos: list[Photograph]
    data: Data
    store: Store

    @property
    def pictures(self) -> set[Picture]:
        """All that may be drawn."""
        return {photo.clean for photo in self.photos}

    def stage_batch(self, stage: Stage, seed: int, step: int, part: int = 0) -> Named:
        """One part of the batch of a step: a function of (seed, step, part)."""
        generator = rng(seed, step) if part == 0 else rng(seed, step, 2, part)
        clean, _ = crops(self.photos, stage.batch // stage.accumulate, stage.crop, generator)
        torch_generator = torch.Generator().manual_seed(int(generator.integers(2**62)))
        data = self.data
        damaged, kinds, drawn = degradation.mixture(
            clean, torch_generator, weights=data.kinds or None, second=data.second, clean=data.clean
        )
        words: list[Words] = list(kinds)
        if "wild" in drawn:
            told = wild.labels(drawn["wild"]["words"])
            for i, said in zip(drawn["wild"]["index"].tolist(), told, strict=True):
                words[i] = said
        return Named(clean, damaged, words)


class Describing(Trainer):
    """The controller of the DA-CLIP named by `init`, which `unveil models import` made of DA-CLIP or of CLIP alone.

    The folder of the run gets model.safetensors, to be given to `unveil describe -n` and as the guide of a network. Raises ModelError for
    weights that cannot be read, InputError for those of another network.
    """

    fixed = ("clip.",)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        network, self._start, self._digest = read_guide(Path(config.init))
        if not isinstance(network, DACLIP):
            raise InputError(
                f"{config.init} is no DA-CLIP; make one of a published checkpoint with `unveil models import`"
            )
        self._network = network
        self._held: NamedSource | None = None

    def learner(self, device: torch.device) -> OneNetwork:
        """The whole network; CLIP in it stays as it is."""
        self._network.to(device).train()
        self.names = Names(self._network, device)
        enabled = self.config.precision == "bf16"
        return OneNetwork(self._network, partial(torch.autocast, device.type, torch.bfloat16, enabled=enabled))

    def material(self, world: World, say: Callable[[str], None]) -> NamedSource:
        """Clean photographs. Raises InputError where there are none."""
        data, material = self.config.data, scan(self.config.data)
        kept, held = (
            NamedSource(Source(data, held_out=h, material=material).photos, data, material.store) for h in (False, True)
        )
        if not kept.photos:
            raise InputError("data.photos is empty: DA-CLIP learns from clean photographs that the simulators damage")
        self._held = held if held.photos else None
        say(f"{len(kept.photos)} photographs to train on, {len(held.photos)} held out")
        return kept

    def objective(self, stage: Stage) -> Objective:
        """The sum of the three of `LOSSES`."""

        def goal(learner: OneNetwork, batch: Named, stage: Stage, generator: torch.Generator) -> float:
            with learner.autocast():
                parts = losses(learner.network, batch.clean, batch.damaged, *self.names(batch.words))
            total = torch.stack(parts).sum()
            total.backward()
            self.details = {name: float(part.detach()) for name, part in zip(LOSSES, parts, strict=True)}
            return float(total.detach())

        return goal

    def verdict(self, state: State, device: torch.device, folder: Path) -> Verdict | None:
        """How often the kind of damage is named rightly on the held-out crops."""
        if self._held is None:
            return None
        found = accuracy(self._network, self.config, self._held, self.names)
        line = f"held out: the kind of damage is named rightly in {found['right']:.0%} of {found['count']} crops"
        return Verdict(line, found, found)

    def write(self, state: State, path: Path, verdict: Verdict | None = None) -> str:
        """The whole network, in fp32."""
        recipe = {
            "started_from": self._digest, "steps_done": state.counters.done, "seed": self.config.seed,
            "held_out": verdict.kept if verdict else None,
        }  # fmt: skip
        spec: Spec = replace(self._start, name=self.config.name, recipe=recipe)
        with written(path):
            return write(path, spec, self._network, None, torch.float32)

    def finish(self, state: State, folder: Path, verdict: Verdict | None) -> str:
        """The network, to describe photographs with."""
        saved = folder / "model.safetensors"
        self.write(state, saved, verdict)
        self._network.eval()
        return f"wrote {saved}; use it with: unveil describe PHOTO -n {saved}"


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


@torch.no_grad()  # not inference_mode: texts embedded here are used in training too
def accuracy(network: DACLIP, config: Config, held: NamedSource, names: Names, batches: int = 4) -> dict[str, Any]:
    """Share of held-out crops whose own text is the likeliest among all that occur there. `right`, `count`, `texts`."""
    size, right, count = network.clip.visual.size, 0, 0
    made = [held.stage_batch(config.stages[-1], config.seed, 10**9 + i) for i in range(batches)]
    texts = sorted({w for batch in made for w in batch.words})
    table = torch.stack([names.embedded(w) for w in texts])
    for batch in made:
        embedding, _ = network.control(prepared(batch.damaged.to(names.device), size))
        best = degradation_probabilities(embedding.float(), table, network.logit_scale.exp()).argmax(1).tolist()
        right += sum(texts[b] == w for b, w in zip(best, batch.words, strict=True))
        count += batch.count
    return {"right": right / count, "count": count, "texts": len(texts)}
