"""Batches prepared ahead of time by processes of torch's DataLoader, handed out in order."""

from __future__ import annotations

import multiprocessing
import signal
import warnings
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from types import FrameType
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from unveil.data.files import Store
from unveil.errors import InputError

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

    What comes out does not depend on `workers`: `make` must be a function of its key alone, and each process computes with one
    thread. Closing the iterator ends the processes.

    Args:
        make: To be sent to processes: a function of a module, or a `partial` of one.
        keys: In the order wanted; taken one by one, so that there may be endlessly many.
        workers: Processes; 0 makes every item here, when it is asked for.
        store: Where photographs come from. Files that a process cannot read go on its list here.
        pinned: In memory that a GPU copies from by itself; items then have a method `pin_memory`.

    Raises:
        InputError: What `make` raises, where its item would have come; or a process was killed.

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
