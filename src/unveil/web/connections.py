"""Connections that cannot be held for nothing: bounded in number, and closed when their client neither sends nor takes."""

from __future__ import annotations

import asyncio
import json

from uvicorn.protocols.http.h11_impl import H11Protocol

LEAST_RATE = 4096
"""Bytes a second that a client must send, or take, while it is its turn."""
_BUSY = json.dumps({"detail": "too many connections are open; try again in a few seconds"}).encode()
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BUSY), _BUSY)
)


class Bounded(H11Protocol):
    """uvicorn's connection with a stopwatch for its client. most: connections at a time; stall: seconds of one look at the watch.

    A client that should send (a request that has begun, or a connection that never asked anything) and sends less than `LEAST_RATE`
    over `stall` seconds is dropped; so is one that takes nothing of its answer for as long. Where `most` are open, a new one takes the
    place of the one that has kept us waiting longest; only where all are being answered is it refused.
    """

    most = 256
    stall = 20.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it in, or make room for it."""
        super().connection_made(transport)
        self._heard = self._looked = self.loop.time()
        self._bytes = 0
        self._stuck: float | None = None
        self._refused = False
        self._watch = self.loop.call_later(self.stall / 2, self._look)
        if len(self.connections) > self.most:
            waiting = [c for c in self.connections if c is not self and isinstance(c, Bounded) and c.clients_turn]
            if waiting:
                min(waiting, key=lambda c: c._heard).drop()
            else:
                self._refused = True
                transport.write(_REFUSAL)
                transport.close()

    @property
    def clients_turn(self) -> bool:
        """Whether the client is to send something."""
        if self.cycle is None or self.cycle.response_complete:
            return True
        return self.cycle.more_body and not self.flow.read_paused

    def drop(self) -> None:
        """Close without another word; the application hears that the client has left."""
        self._watch.cancel()
        self.connections.discard(self)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Note that something came."""
        self._heard = self.loop.time()
        self._bytes += len(data)
        if not self._refused:
            super().data_received(data)

    def pause_writing(self) -> None:
        """The client takes less than there is for it."""
        self._stuck = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client has taken something."""
        self._stuck = None
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the watch."""
        self._watch.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        now = self.loop.time()
        # Between two requests uvicorn's own keep-alive timer runs.
        resting = self.timeout_keep_alive_task is not None
        if self._stuck is not None and now - self._stuck >= self.stall:
            self.drop()
            return
        if resting or not self.clients_turn:
            self._looked, self._bytes = now, 0
        elif now - self._looked >= self.stall:
            if self._bytes < LEAST_RATE * self.stall:
                self.drop()
                return
            self._looked, self._bytes = now, 0
        self._watch = self.loop.call_later(self.stall / 4, self._look)


def bounded(most: int, stall: float) -> type[Bounded]:
    """The class of connections with these bounds."""
    return type("Connection", (Bounded,), {"most": most, "stall": stall})
