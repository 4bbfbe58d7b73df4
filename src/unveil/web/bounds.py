"""What all clients together may hold at a time: bytes that are coming in, pixels that are being decoded, guesses at the token."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

FEW = 4
"""Wrong tokens from one address that are answered at once."""
FORGOTTEN = 300.0
"""Seconds after which an address's wrong tokens are forgotten."""
SLOWEST = 4.0
"""Seconds that a wrong token waits for its answer at the most."""
MOST_ADDRESSES = 1024
MOST_DELAYED = 32


class Receiving:
    """Bytes of request bodies that have come in and are not on disk yet. For one event loop.

    most: over all clients. share: of one client, so that the others always have room.
    """

    def __init__(self, most: int, share: int) -> None:
        self.most, self.share = most, share
        self.held = 0
        self._clients: dict[str, int] = {}

    def take(self, client: str, size: int) -> int:
        """Count bytes that came in: 0. Or the status that refuses them, uncounted: 429 for the client's share, 503 for everybody's."""
        own = self._clients.get(client, 0)
        if own + size > self.share:
            return 429
        if self.held + size > self.most:
            return 503
        self.held += size
        self._clients[client] = own + size
        return 0

    def give_back(self, client: str, size: int) -> None:
        """The bytes are on disk, or gone."""
        self.held -= size
        left = self._clients.get(client, 0) - size
        if left > 0:
            self._clients[client] = left
        else:
            self._clients.pop(client, None)


class Charge:
    """What one request has taken of `Receiving`; given back once, by whoever is done with the bytes first."""

    def __init__(self, receiving: Receiving, client: str) -> None:
        self.receiving, self.client, self.size = receiving, client, 0

    def take(self, size: int) -> int:
        """See `Receiving.take`."""
        refused = self.receiving.take(self.client, size)
        if not refused:
            self.size += size
        return refused

    def give_back(self) -> None:
        """Give back what was taken."""
        self.receiving.give_back(self.client, self.size)
        self.size = 0


class Pixels:
    """Lets photographs be decoded side by side as long as they have at most `most` pixels together, in the order in which they came."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def turn(self, pixels: int) -> AsyncIterator[None]:
        """Wait until there is room, which the block then has. A photograph larger than `most` is decoded alone."""
        pixels = min(pixels, self.most)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((pixels, mine))
        self._next()
        try:
            await mine
            yield
        finally:
            if mine.done() and not mine.cancelled():
                self.held -= pixels
            else:
                self._line = deque(entry for entry in self._line if entry[1] is not mine)
            self._next()

    def _next(self) -> None:
        while self._line and self.held + self._line[0][0] <= self.most:
            pixels, first = self._line.popleft()
            if not first.done():
                self.held += pixels
                first.set_result(None)


class Guesses:
    """Wrong tokens by address. Each is answered later than the one before; who shows the right one is never held up."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._delayed = 0
        self.total = 0

    def delay(self, client: str) -> float:
        """Count one more; returns the seconds that its answer should wait."""
        now = self._clock()
        count, last = self._seen.pop(client, (0, now))
        count = 1 if now - last > FORGOTTEN else count + 1
        self._seen[client] = (count, now)
        while len(self._seen) > MOST_ADDRESSES:
            self._seen.popitem(last=False)
        self.total += 1
        return 0.0 if count <= FEW else min(SLOWEST, 0.1 * 2.0 ** min(count - FEW, 16))

    async def slow(self, client: str) -> bool:
        """Count one more and wait. False: so many wait that this one is to be turned away at once."""
        seconds = self.delay(client)
        if self._delayed >= MOST_DELAYED:
            return False
        self._delayed += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._delayed -= 1
        return True
