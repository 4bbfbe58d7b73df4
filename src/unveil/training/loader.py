"""Batches prepared ahead of time by threads, handed out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")


def ahead(make: Callable[[Key], Item], keys: Iterable[Key], workers: int) -> Generator[Item]:
    """make(key) for every key in order, up to 2 * workers of them in preparation at a time.

    `make` must be a function of its key alone: then the number of workers changes when an item is ready, never what it is.
    An exception of `make` is raised where its item would have come. Closing the iterator waits for what is running.
    """
    pending: deque[Future[Item]] = deque()
    source = iter(keys)
    with ThreadPoolExecutor(workers, thread_name_prefix="loader") as pool:
        try:
            while True:
                while len(pending) < 2 * workers:
                    try:
                        pending.append(pool.submit(make, next(source)))
                    except StopIteration:
                        break
                if not pending:
                    return
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
