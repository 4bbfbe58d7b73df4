"""Training batches: clean photographs through the simulators, real pairs, native or reduced views; all a function of (seed, step).

`ahead` has them prepared by processes of torch's DataLoader, and hands them out in order.
"""

from __future__ import annotations

import multiprocessing
import signal
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unveil import degradation
from unveil.data.dataset import Photograph, crops, hold_out, load_clean, of_benchmark, photographs, rng
from unveil.data.files import Picture, Store
from unveil.data.pairs import in_folders, listed
from unveil.degradation import wild
from unveil.degradation.draws import Random
from unveil.diffusion.resolution import resize
from unveil.errors import InputError, collected
from unveil.networks.condition import KINDS
from unveil.training.settings import Data, Pairs, Stage

_REDUCTION = 2  # a reduced view halves a crop of twice the size; large photographs are also held at half size
_SMALL = 128  # reduced views of crops up to this size are as large as this, of larger ones half the crop


@dataclass(frozen=True)
class Batch:
    """x0, y: (B, 3, h, w) in [-1, 1]. low: whether this is a reduced view. kinds: (B, len(condition.KINDS)), 1 where a sample has
    that kind of damage, on the processor, where what a network is told of them is drawn.
    """

    x0: Tensor
    y: Tensor
    low: bool
    kinds: Tensor

    @property
    def count(self) -> int:
        """Samples."""
        return len(self.x0)

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device, without waiting for the copy."""
        x0, y = (tensor.to(device, non_blocking=True) for tensor in (self.x0, self.y))
        return replace(self, x0=x0, y=y)

    def pin_memory(self) -> Batch:
        """The same batch in pinned memory, from which a GPU copies asynchronously."""
        return self._each(Tensor.pin_memory)

    def repeated(self, times: int) -> Batch:
        """Every sample `times` times."""
        if times == 1:
            return self
        return self._each(lambda tensor: tensor.repeat(times, *[1] * (tensor.ndim - 1)))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return replace(self, x0=change(self.x0), y=change(self.y), kinds=change(self.kinds))


@dataclass(frozen=True)
class Material:
    """Everything a configuration names, matched and checked but not decoded. pairs: (weight, photographs) per entry. notes: what was
    passed over, one sentence each.
    """

    photos: list[Photograph]
    pairs: list[tuple[float, list[Photograph]]]
    store: Store
    notes: tuple[str, ...] = ()


def _load(pair: Pairs, root: Path, store: Store) -> tuple[list[Photograph], list[str]]:
    if pair.folder:
        return of_benchmark(root / pair.folder, pair.layout, pair.split, store)
    clean_name = f"*{pair.suffix}" if pair.suffix else pair.clean_name
    found = in_folders(
        root / pair.degraded,
        root / pair.clean,
        degraded_name=pair.degraded_name,
        clean_name=clean_name,
        rule=pair.match,
    )
    return photographs(found, store, scene=pair.scene)


def scan(data: Data) -> Material:
    """Find all photographs and pairs. Raises InputError listing all files of all sets that have no partner or the wrong size, and
    for a set of which nothing matches.
    """
    with collected() as notes:
        found = _scanned(data)
    return replace(found, notes=tuple(dict.fromkeys(notes)))


def _scanned(data: Data) -> Material:
    root, store = Path(data.root), Store(data.cache << 20)
    photos = load_clean([root / f for f in data.photos], store)
    pairs: list[tuple[float, list[Photograph]]] = []
    wrong: list[str] = []
    for number, entry in enumerate(data.pairs):
        found, misfits = _load(entry, root, store)
        pairs.append((entry.weight, found))
        if entry.unpaired == "error":
            wrong += misfits
        elif misfits and not found and entry.weight > 0:
            some = "; ".join(dict.fromkeys([*misfits[:2], *misfits[-2:]]))  # from either end, where either folder's are
            raise InputError(
                f"data.pairs.{number}: no pair matches, so that unpaired: skip leaves nothing: {some}. "
                "State the rule with degraded_name and clean_name"
            )
    if wrong:
        raise InputError(
            f"{listed(wrong)}. Remove or rename them, state the rule with degraded_name and clean_name, "
            "or leave them out with unpaired: skip"
        )
    store.check()
    return Material(photos, pairs, store)


def named(kinds: Iterable[Iterable[str]]) -> Tensor:
    """(n, len(KINDS)) float32, 1 for every kind that is named for a sample."""
    found = [{k for kind in one for k in degradation.spelled(kind)} for one in kinds]
    return torch.tensor([[float(kind in one) for kind in KINDS] for one in found])


def touched(y: Tensor, share: float, generator: np.random.Generator) -> Tensor:
    """Degraded sides of real pairs, a share of them mildly damaged on top; see `degradation.wild.mild`. A share of 0 draws nothing."""
    if share == 0:
        return y
    chosen = torch.from_numpy(generator.random(len(y)) < share)
    draws = torch.Generator().manual_seed(int(generator.integers(2**62)))
    if not chosen.any():
        return y
    y = y.clone()
    y[chosen] = wild.carry_out(y[chosen], wild.mild(int(chosen.sum()), draws))
    return y


class Hand(ABC):
    """What draws some samples of a batch, each next call going on where the last one ended. count: samples. random: of the simulators."""

    count: int
    random: Random

    @abstractmethod
    def dealt(self, shares: Tensor) -> list[Hand]:
        """The samples shared out at random among as many entries as `shares` (n,) float64 has."""

    @abstractmethod
    def crops(self, entry: int, size: int, reach: int) -> tuple[Tensor, Tensor | None]:
        """(clean, degraded), as of `data.dataset.crops`, of an entry of pairs, or -1 of the clean photographs."""

    @abstractmethod
    def parted(self, share: float) -> list[tuple[Tensor, Hand]]:
        """A random share of the samples and the others: which (long, on the processor), and their hands."""

    @abstractmethod
    def touched(self, y: Tensor, share: float) -> Tensor:
        """Degraded sides (count, 3, h, w) of real pairs, a share of them mildly damaged on top; see `degradation.wild.mild`."""


@dataclass
class Generators(Hand):
    """A batch drawn by two generators on the processor, its photographs decoded as they are needed."""

    source: Source
    count: int
    numbers: np.random.Generator
    random: torch.Generator

    def dealt(self, shares: Tensor) -> list[Hand]:
        counts = self.numbers.multinomial(self.count, (shares / shares.sum()).numpy())
        return [replace(self, count=int(n)) for n in counts]

    def crops(self, entry: int, size: int, reach: int) -> tuple[Tensor, Tensor | None]:
        return crops(self.source.entries[entry], self.count, size, self.numbers, reach)

    def parted(self, share: float) -> list[tuple[Tensor, Hand]]:
        n = int(self.numbers.binomial(self.count, share)) if share > 0 else 0
        return [(one, replace(self, count=len(one))) for one in torch.arange(self.count).split([n, self.count - n])]

    def touched(self, y: Tensor, share: float) -> Tensor:
        return touched(y, share, self.numbers)


def _split(data: Data, material: Material, *, held_out: bool) -> list[list[Photograph]]:
    """One side of the split: of the clean photographs, then of every entry of pairs.

    Each list is split by its own names, and one file may have other names, or more neighbours, in another list. So what any list holds
    out is taken out of the training side of all.
    """
    lists = [(material.photos, data.kept())]
    lists += [(found, data.kept(entry)) for (_, found), entry in zip(material.pairs, data.pairs, strict=True)]
    kept, held = zip(*(hold_out(found, share) for found, share in lists), strict=True)
    if held_out:
        return list(held)
    gone = {file for found in held for photo in found for file in photo.files}
    return [[photo for photo in found if gone.isdisjoint(photo.files)] for found in kept] if gone else list(kept)


def reduced_side(stage: Stage) -> int:
    """Side in pixels of a stage's reduced views: `view` where it is set, else twice the crop up to 128 px, half of a larger one."""
    usual = min(_SMALL, 2 * stage.crop) if stage.crop <= _SMALL else max(64, stage.crop // 2 // 64 * 64)
    return stage.view or usual


class Source:
    """The mixture of all training material of a configuration, or (held_out) of what was kept back for validation."""

    def __init__(self, data: Data, *, held_out: bool = False, material: Material | None = None) -> None:
        material = material or scan(data)
        self.data, self.store = data, material.store
        self.photos, *splits = _split(data, material, held_out=held_out)
        self.pairs: list[tuple[float, list[Photograph]]] = []
        for (weight, _), split in zip(material.pairs, splits, strict=True):
            self.pairs.append((weight, split))
            if data.photos:
                # The clean side of a pair is one more clean photograph, on the same side of the split.
                self.photos = self.photos + [Photograph(p.name, p.clean, scene=p.scene) for p in split]
        empty = [n for n, (weight, found) in enumerate(self.pairs) if weight > 0 and not found]
        if not held_out and (empty or (data.photos and not self.photos)):
            what = f"data.pairs.{empty[0]} has" if empty else "data.photos have"
            share = data.kept(data.pairs[empty[0]] if empty else None)
            raise InputError(
                f"{what} nothing left to train on: {share:g} of it is held out for validation, and so is what other entries of data "
                "hold out; add photographs or set data.held_out 0"
            )

    @property
    def pictures(self) -> set[Picture]:
        """All pictures that batches are drawn from."""
        every = [*self.photos, *(photo for _, found in self.pairs for photo in found)]
        return {picture for p in every for picture in (p.clean, p.degraded) if picture is not None}

    @property
    def entries(self) -> list[list[Photograph]]:
        """The photographs of every entry of pairs, and last the clean ones."""
        return [*(found for _, found in self.pairs), self.photos]

    def draw(self, seed: int, step: int, count: int, size: int, low: bool, part: int = 0) -> Batch:
        """A batch of `count` crops of `size` pixels. The same (seed, step, count, size, low, part) gives the same bits."""
        return self.composed(self.hand(seed, step, count, part), size, low)

    def hand(self, seed: int, step: int, count: int, part: int) -> Hand:
        """What draws a batch: generators that depend on (seed, step, part)."""
        numbers = rng(seed, step) if part == 0 else rng(seed, step, 2, part)
        return Generators(self, count, numbers, torch.Generator().manual_seed(int(numbers.integers(2**62))))

    def composed(self, hand: Hand, size: int, low: bool) -> Batch:
        """The samples of a hand: crops of `size` pixels, damaged where they are clean photographs."""
        cut = size * (_REDUCTION if low else 1)
        reach = self.data.reach if low else 0
        weights = [w for w, _ in self.pairs]
        spare = 1.0 - sum(weights) if self.photos else 0.0
        *of_pairs, of_photos = hand.dealt(torch.tensor([*weights, max(spare, 0.0)], dtype=torch.float64))
        clean: list[Tensor] = []
        degraded: list[Tensor] = []
        kinds: list[Tensor] = []
        for n, (own, entry) in enumerate(zip(of_pairs, self.data.pairs, strict=True)):
            if own.count:
                x, y = own.crops(n, cut, reach)
                clean.append(x)
                degraded.append(x if y is None else own.touched(y, entry.mild))
                kinds.append(named([entry.kinds] * own.count))
        if of_photos.count and self.photos:
            m = self.data.margin
            x, _ = of_photos.crops(-1, cut + 2 * m, reach)
            x, y, kinds_here = self._damaged(x, of_photos)
            kinds.append(kinds_here)
            clean.append(x[:, :, m : m + cut, m : m + cut])
            degraded.append(y[:, :, m : m + cut, m : m + cut])
        x0, y = torch.cat(clean), torch.cat(degraded)
        if low:
            x0, y = resize(x0, (size, size)), resize(y, (size, size))
        return Batch(x0 * 2 - 1, y * 2 - 1, low, torch.cat(kinds))

    def _damaged(self, x: Tensor, hand: Hand) -> tuple[Tensor, Tensor, Tensor]:
        """(clean, degraded, kinds) of clean crops (n, 3, h, w) in [0, 1]; some of the clean ones darkened first."""
        data = self.data
        # For damage that changes the light itself (haze, shadow, low light) the right exposure could only be guessed.
        every = data.kinds or dict.fromkeys(degradation.ORDER, 1.0)
        unlit = {k: w for k, w in every.items() if k not in degradation.LIGHT}
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for (chosen, own), kinds in zip(hand.parted(data.exposure), (unlit, every), strict=True):
            if len(chosen) == 0:
                continue
            piece = x[chosen.to(x.device)]
            if kinds is unlit:
                piece = degradation.exposed(piece, own.random)
            if not any(kinds.values()):  # none but of the light: what was darkened is nothing to mend
                parts.append((piece, piece, named([()] * len(chosen))))
                continue
            y, kinds_here, _ = degradation.mixture(
                piece, own.random, weights=kinds, second=data.second, clean=data.clean, strong=data.strong
            )
            parts.append((piece, y, named(kinds_here)))
        clean, degraded, labels = zip(*parts, strict=True)
        return torch.cat(clean), torch.cat(degraded), torch.cat(labels)

    def stage_batch(self, stage: Stage, seed: int, step: int, part: int = 0) -> Batch:
        """One part of the batch of a step: every so often a reduced view, with as many pixels in all.

        All parts of a step are of one kind and size, so that processes that share them have equal work.
        """
        count = stage.batch // stage.accumulate
        if stage.expert == "native" or (not stage.expert and not rng(seed, step, 1).random() < stage.low):
            return self.draw(seed, step, count, stage.crop, False, part)
        size = reduced_side(stage)
        return self.draw(seed, step, max(1, count * stage.crop**2 // size**2), size, True, part)


_AHEAD = 4  # items in preparation for each process

Key = TypeVar("Key")
Item = TypeVar("Item")


class _Made(Dataset[tuple[Item | InputError, dict[Path, str]]], Generic[Key, Item]):
    """Key -> the result of `make` or its error, and all files that its process has found unreadable so far."""

    def __init__(self, make: Callable[[Key], Item], store: Store | None) -> None:
        self.make, self.store = make, store

    def __getitem__(self, key: Key) -> tuple[Item | InputError, dict[Path, str]]:  # type: ignore[override]
        try:
            made: Item | InputError = self.make(key)
        except InputError as error:  # as a value: torch would put a traceback into its message
            made = error
        return made, dict(self.store.unreadable) if self.store else {}


def ahead(
    make: Callable[[Key], Item], keys: Iterable[Key], workers: int, *, store: Store | None = None, pinned: bool = False
) -> Generator[Item]:
    """make(key) for every key in order, prepared by so many processes, up to four each ahead of the one that is asked for.

    What comes out does not depend on `workers`, of which 0 makes every item here, when it is asked for: `make` must be a function of its
    key alone, and each process computes with one thread. Closing the iterator ends the processes.

    make: to be sent to processes: a function of a module, or a `partial` of one. keys: taken one by one, so that there may be endlessly
    many. store: where photographs come from; files that a process cannot read go on its list here. pinned: in memory that a GPU copies
    from by itself; items then have a method `pin_memory`. Raises InputError: what `make` raises, where its item would have come; or a
    process was killed.
    """
    with warnings.catch_warnings():
        # Of more processes than there are cores, which the caller asked for.
        warnings.filterwarnings("ignore", "This DataLoader will create")
        # Python 3.12 on: torch's own threads do not outlive a fork, and nothing here waits for them.
        warnings.filterwarnings("ignore", ".* is multi-threaded", DeprecationWarning)
        loader = DataLoader(
            _Made(make, store),
            batch_size=None,
            sampler=keys,
            num_workers=workers,
            prefetch_factor=_AHEAD if workers else None,
            pin_memory=pinned,
            worker_init_fn=_as_it_comes,
            # Of its own, for torch draws a seed for its processes that nothing here uses.
            generator=torch.Generator(),
        )
        items = iter(loader)
    while True:
        try:
            item, unreadable = next(items)
        except StopIteration:
            return
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise InputError(
                "a process that prepares batches was killed, most often because memory ran out; go on with fewer --workers or a "
                "smaller --data.cache"
            ) from error
        for path, reason in unreadable.items():
            if store is not None:
                store.refuse(path, reason)
        if isinstance(item, InputError):
            raise item
        yield item


def shares_memory() -> bool:
    """Whether new processes begin with what is in the memory of this one, without copying it."""
    return multiprocessing.get_start_method() == "fork"


GRACE = 30
"""Seconds for which a process that prepares batches goes on after a SIGTERM."""


def _as_it_comes(number: int) -> None:
    """A process that prepares batches ignores the first SIGTERM for a while, so that the training process can stop in order.

    A scheduler (SLURM, systemd, a container) sends its SIGTERM to all processes of a run: if a loader ended at once, the step, and all
    steps since the last checkpoint, would be lost. The second SIGTERM, as torch sends it, ends it.
    """
    for name in ("SIGINT", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _for_a_while if hasattr(signal, "alarm") else signal.SIG_DFL)


def _for_a_while(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.alarm(GRACE)
