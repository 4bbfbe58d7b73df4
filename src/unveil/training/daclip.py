"""Training DA-CLIP's controller: to name the damage of a photograph, and to embed its content as if undamaged (Luo et al., ICLR 2024).

The published training pairs every photograph with a caption by another network; with `data.captions` so does this one. Without captions the
same contrastive loss pairs the content embedding of the damaged photograph with frozen CLIP's embedding of the clean photograph, which lies
close to that of its caption. Either way the L1 of the robust version (CVPR 2024
workshops) is added. The damage is named in words, as published, several of them where there was more than one kind.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unveil import degradation
from unveil.data.dataset import Photograph, crops_and_sources, rng
from unveil.data.files import Picture, Store
from unveil.degradation import wild
from unveil.errors import InputError, ModelError
from unveil.models.spec import Spec
from unveil.models.weights_file import read_guide, write
from unveil.networks.clip import prepared
from unveil.networks.daclip import DACLIP, contrastive, degradation_probabilities, robust_loss
from unveil.networks.daclip_words import CLEAN, OF_KINDS, UNIVERSAL, WILD, joined, rows
from unveil.training.batches import Material, Source, scan, touched
from unveil.training.distributed import World
from unveil.training.export import written
from unveil.training.settings import Config, Data, Pairs, Stage
from unveil.training.state import State
from unveil.training.trainer import MODEL, Objective, OneNetwork, Trainer, Verdict
from unveil.util.extras import installing
from unveil.util.words import first_line

Words = tuple[str, ...]


@dataclass(frozen=True)
class Named:
    """clean, damaged: (B, 3, crop, crop) in [0, 1]. words: for each sample, () where it is clean. captions: likewise, [] without any."""

    clean: Tensor
    damaged: Tensor
    words: list[Words]
    captions: list[str] = field(default_factory=list)

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
    """Clean photographs that the simulators damage, and the words for what they did; and real pairs with their settings, by the
    words of their kinds. captions: by file, for all of them or none.
    """

    photos: list[Photograph]
    data: Data
    store: Store
    pairs: tuple[tuple[Pairs, list[Photograph]], ...] = ()
    captions: Mapping[Path, str] = field(default_factory=dict)

    @property
    def pictures(self) -> set[Picture]:
        """All pictures that batches are drawn from."""
        every = [*self.photos, *(photo for _, found in self.pairs for photo in found)]
        return {picture for photo in every for picture in (photo.clean, photo.degraded) if picture is not None}

    def stage_batch(self, stage: Stage, seed: int, step: int, part: int = 0) -> Named:
        """One part of the batch of a step: a function of (seed, step, part)."""
        generator = rng(seed, step) if part == 0 else rng(seed, step, 2, part)
        count = stage.batch // stage.accumulate
        counts = [0] * len(self.pairs) + [count]
        if self.pairs:
            weights = [entry.weight for entry, _ in self.pairs]
            share = np.array([*weights, 1.0 - sum(weights) if self.photos else 0.0])
            counts = generator.multinomial(count, share / share.sum()).tolist()
        made = [
            self._real(entry, found, n, stage.crop, generator)
            for n, (entry, found) in zip(counts, self.pairs, strict=False)
            if n
        ]
        if counts[-1]:
            made.append(self._simulated(counts[-1], stage.crop, generator))
        return Named(
            torch.cat([one.clean for one in made]),
            torch.cat([one.damaged for one in made]),
            [words for one in made for words in one.words],
            [text for one in made for text in one.captions],
        )

    def _captions(self, drawn: list[Photograph]) -> list[str]:
        return [self.captions[photo.clean.path.resolve()] for photo in drawn] if self.captions else []

    def _real(
        self, entry: Pairs, found: list[Photograph], count: int, crop: int, generator: np.random.Generator
    ) -> Named:
        """Crops of real pairs. Mild damage on top is not named in the words: the content embedding is to ignore it, as published."""
        clean, damaged, drawn = crops_and_sources(found, count, crop, generator)
        assert damaged is not None
        return Named(
            clean, touched(damaged, entry.mild, generator), [tuple(entry.kinds)] * count, self._captions(drawn)
        )

    def _simulated(self, count: int, crop: int, generator: np.random.Generator) -> Named:
        """Crops that the simulators damage."""
        clean, _, shown = crops_and_sources(self.photos, count, crop, generator)
        torch_generator = torch.Generator().manual_seed(int(generator.integers(2**62)))
        data = self.data
        damaged, kinds, drawn = degradation.mixture(
            clean, torch_generator, weights=data.kinds or None, second=data.second, clean=data.clean, strong=data.strong
        )
        words: list[Words] = list(kinds)
        if "wild" in drawn:
            told = wild.labels(drawn["wild"]["words"])
            for i, said in zip(drawn["wild"]["index"].tolist(), told, strict=True):
                words[i] = said
        return Named(clean, damaged, words, self._captions(shown))


def named_source(source: Source, captions: Mapping[Path, str]) -> NamedSource:
    """What a `Source` draws from, with words and captions. captions: by file, none for none."""
    pairs = tuple(
        (entry, found)
        for entry, (_, found) in zip(source.data.pairs, source.pairs, strict=True)
        if found and entry.weight
    )
    return NamedSource(source.photos, source.data, source.store, pairs, captions)


class Describing(Trainer):
    """The controller of the DA-CLIP named by `init`, which `unveil models import` made of DA-CLIP or of CLIP alone.

    The folder of the run gets model.safetensors, to be given to `unveil describe -n` and as the guide of a network. Raises ModelError for
    weights that cannot be read, InputError for those of another network.
    """

    fixed = ("clip.",)
    leaves = (MODEL,)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if not Path(config.init).is_file():
            raise InputError(
                f"init: {config.init}: no such file; name a DA-CLIP with --init, made of a published checkpoint by "
                "`unveil models import CHECKPOINT -o FILE`"
            )
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
        vocabulary = self.config.data.tokenizer
        self.names = Names(self._network, device, Path(self.config.data.root) / vocabulary if vocabulary else None)
        enabled = self.config.precision == "bf16"
        return OneNetwork(self._network, partial(torch.autocast, device.type, torch.bfloat16, enabled=enabled))

    def material(self, world: World, say: Callable[[str], None]) -> NamedSource:
        """Clean photographs, real pairs and captions. Raises InputError for captions that are missing."""
        data, material = self.config.data, scan(self.config.data)
        captions = captions_of(data, material) if data.captions else {}
        kept, held = (named_source(Source(data, held_out=h, material=material), captions) for h in (False, True))
        self._held = held if held.photos else None
        for line in material.notes:
            say(line)
        paired = sum(len(found) for _, found in kept.pairs)
        say(
            f"{len(kept.photos)} photographs{f' and {paired} pairs' if paired else ''} to train on, {len(held.photos)} held out"
        )
        return kept

    def objective(self, stage: Stage) -> Objective:
        """The sum of the three of `LOSSES`."""

        def goal(learner: OneNetwork, batch: Named, stage: Stage, *_: torch.Generator) -> float:
            with learner.autocast():
                said = self.names.captions(batch.captions) if batch.captions else None
                parts = losses(learner.network, batch.clean, batch.damaged, *self.names(batch.words), said)
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
        """The network, ready to describe photographs."""
        saved = folder / MODEL
        self.write(state, saved, verdict)
        self._network.eval()
        return f"wrote {saved}; use it with: unveil describe PHOTO -n {saved}"


LOSSES = ("content", "degradation", "robust")


def losses(
    network: DACLIP,
    clean: Tensor,
    damaged: Tensor,
    texts: Tensor,
    group: Tensor,
    captions: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The three of `LOSSES`, scalars of equal weight. clean, damaged: (B, 3, H, W) in [0, 1]; texts: (B, embed); group: (B,).

    captions: likewise texts and groups, the partners of the content embeddings; None for CLIP's embedding of the clean photograph.
    """
    size = network.clip.visual.size
    with torch.no_grad():
        target = network.clip.visual(prepared(clean, size))
    seen = network.encode_image(prepared(damaged, size))
    partner, same = (target, None) if captions is None else captions
    return (
        contrastive(seen.content, partner, network.logit_scale, same),
        contrastive(seen.degradation, texts, network.logit_scale, group),
        robust_loss(seen.content, target),
    )


class Names:
    """Texts for kinds of damage, embedded once each by the frozen text tower; and captions. vocabulary: CLIP's, for captions."""

    def __init__(self, network: DACLIP, device: torch.device, vocabulary: Path | None = None) -> None:
        self.network, self.device = network, device
        self._known: dict[Words | str, Tensor] = {}
        self._tokens = tokeniser(vocabulary) if vocabulary is not None else None

    @torch.no_grad()
    def _embed(self, tokens: Sequence[int]) -> Tensor:
        clip = self.network.clip
        # Two places are for start and end; a longer text is cut, as CLIP's own tokeniser does.
        return clip.encode_text(rows([tuple(tokens)[: clip.context - 2]], clip.context).to(self.device))[0]

    def embedded(self, words: Words) -> Tensor:
        """(embed,) of several words as one text; () says that the photograph is clean."""
        if words not in self._known:
            self._known[words] = self._embed(joined([OF_KINDS.get(w) or WILD[w] for w in words] or [CLEAN]))
        return self._known[words]

    def captions(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """(texts (B, embed), group (B,)) of captions, as `__call__` of words."""
        assert self._tokens is not None, "captions need a vocabulary (checks._named)"
        for text in texts:
            if text not in self._known:
                self._known[text] = self._embed(self._tokens(text))
        return self._grouped(texts)

    def __call__(self, words: Sequence[Words]) -> tuple[Tensor, Tensor]:
        """(texts (B, embed), group (B,)): samples of one group bear the same text."""
        for word in words:
            self.embedded(word)
        return self._grouped(words)

    def _grouped(self, said: Sequence[Words] | Sequence[str]) -> tuple[Tensor, Tensor]:
        order = list(dict.fromkeys(said))
        group = torch.tensor([order.index(one) for one in said], device=self.device)
        return torch.stack([self._known[one] for one in said]), group


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


_HEAD = "filepath\ttitle"
"""First line of the published tables; it may be left out."""


def read_captions(file: Path, root: Path) -> dict[Path, str]:
    """The captions of a table, by resolved path of the photograph.

    file: UTF-8, a line for each photograph: its path (relative to `root`), a tab, the caption. Published tables of DA-CLIP put the damage
    behind the caption ("a lake: hazy"); that part is left out. Raises InputError for a file that cannot be read, a line without tab or
    caption.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"data.captions: {file} cannot be read ({error})") from error
    found: dict[Path, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (number == 1 and line == _HEAD):
            continue
        path, tab, caption = line.partition("\t")
        text, _, damage = caption.strip().rpartition(": ")
        caption = text if text and damage in UNIVERSAL else caption.strip()
        if not (tab and path and caption):
            raise InputError(f"data.captions: {file}, line {number}: write a path, a tab and what the photograph shows")
        found[(root / path).resolve()] = caption
    return found


def check_captions(photographs: Iterable[Photograph], captions: dict[Path, str], file: Path) -> None:
    """Raise InputError, with a count and the first, for photographs without a caption: their partners in the loss would be of another
    kind.
    """
    every = sorted({photograph.clean.path for photograph in photographs})
    bare = [path for path in every if path.resolve() not in captions]
    if bare:
        raise InputError(f"{len(bare)} of {len(every)} photographs have no caption in {file}; the first is {bare[0]}")


def captions_of(data: Data, material: Material) -> dict[Path, str]:
    """The captions that a configuration names, one for every photograph that `batches.scan` found. Raises InputError."""
    root = Path(data.root)
    captions = read_captions(root / data.captions, root)
    check_captions(
        [*material.photos, *(p for _, found in material.pairs for p in found)], captions, root / data.captions
    )
    return captions


@functools.cache
def tokeniser(folder: Path) -> Callable[[str], tuple[int, ...]]:
    """CLIP's tokens of a text, without start and end. folder: CLIP's vocabulary as transformers keeps it, as Stable Diffusion's
    `tokenizer`.

    Raises ModelError where transformers is not installed, or the folder holds no tokeniser.
    """
    try:
        from transformers import CLIPTokenizer
    except ImportError as error:
        raise ModelError(f"captions become tokens by transformers; install it with {installing('latent')}") from error
    # Of a folder without a vocabulary transformers makes a tokeniser that knows no word.
    if not any((folder / name).is_file() for name in ("vocab.json", "tokenizer.json")):
        raise ModelError(f"data.tokenizer: {folder} holds no CLIP tokeniser (vocab.json and merges.txt)")
    try:
        opened: Any = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"data.tokenizer: {folder} holds no CLIP tokeniser ({first_line(error)})") from error
    return lambda text: tuple(opened(text, add_special_tokens=False, verbose=False).input_ids)
