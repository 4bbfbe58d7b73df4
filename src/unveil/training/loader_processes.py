"""Batches prepared ahead of time by processes, handed out in order: for devices that outrun one interpreter."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterable
from pathlib import Path

from torch.utils.data import DataLoader, Dataset

from unveil.errors import InputError
from unveil.training.batches import Batch, Source
from unveil.training.config import Stage

_AHEAD = 4  # batches in preparation for each process

Item = tuple[Batch | InputError, dict[Path, str]]
"""A part of a step or why there is none, and all files that its process has found unreadable so far."""


class _Parts(Dataset[Item]):
    """Key (step, part) -> that part of that step; a function of its key alone, as for threads."""

    def __init__(self, source: Source, stage: Stage, seed: int) -> None:
        self.source, self.stage, self.seed = source, stage, seed

    def __getitem__(self, key: tuple[int, int]) -> Item:
        try:
            batch = self.source.stage_batch(self.stage, self.seed, *key)
        except InputError as error:  # torch would put a traceback into its message
            batch = error
        return batch, dict(self.source.store.unreadable)


def _as_it_comes(number: int) -> None:
    """A process that prepares batches leaves it to the training one to stop in order."""
    for name in ("SIGINT", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def elsewhere(
    source: Source, stage: Stage, seed: int, keys: Iterable[tuple[int, int]], workers: int, *, pinned: bool
) -> Generator[Batch]:
    """The batch of every key (step, part) in order, by `workers` processes, one thread and one cache of photographs each.

    pinned: in memory that a GPU copies from by itself. Files that a process cannot read go on the list of the training one.
    Raises what preparing a batch raises, where that batch would have come.
    """
    loader = DataLoader(
        _Parts(source, stage, seed),
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        prefetch_factor=_AHEAD,
        pin_memory=pinned,
        worker_init_fn=_as_it_comes,
    )
    for batch, unreadable in loader:
        for path, reason in unreadable.items():
            source.store.refuse(path, reason)
        if isinstance(batch, InputError):
            raise batch
        yield batch
