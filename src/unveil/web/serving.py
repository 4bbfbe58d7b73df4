"""Running the application under uvicorn, on connections that cannot be held for nothing.

They are bounded in number, and closed when their client neither sends nor takes.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from unveil.errors import InputError
from unveil.web.app import application
from unveil.web.service import Service
from unveil.web.settings import ServerSettings

LEAST_RATE = 4096
"""Bytes a second that a client must send, or take, while it is its turn."""
_BUSY = json.dumps({"detail": "too many connections are open; try again in a few seconds"}).encode()
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BUSY), _BUSY)
)


_AHEAD = 1 << 16
"""Bytes that the system may hold of an answer before it is sent."""


class Bounded(H11Protocol):
    """uvicorn's connection that drops a client that stalls. most: connections at a time; stall: seconds over which that is judged.

    A client that should send (a request that has begun, or a connection that never asked anything) and sends less than `LEAST_RATE`
    over `stall` seconds is dropped; so is one that takes nothing of its answer for as long. Where `most` are open, a new one takes the
    place of the one that has kept us waiting longest; only where all are being answered is it refused.
    """

    most = 256
    stall = 20.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it in, or make room for it."""
        super().connection_made(transport)
        # Else the system's own buffer takes megabytes at a time, and who reads them steadily seems to take nothing for long.
        if hasattr(socket, "TCP_NOTSENT_LOWAT") and (inside := transport.get_extra_info("socket")) is not None:
            inside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _AHEAD)
        self._heard = self._looked = self.loop.time()
        self._bytes = 0
        self._stuck: float | None = None
        self._left = 0
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
        """Close the connection without an answer; the application is told that the client has left."""
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
        self._stuck, self._left = self.loop.time(), self.transport.get_write_buffer_size()
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
            # A whole result waits to be taken; who takes it steadily may need longer.
            left = self.transport.get_write_buffer_size()
            if self._left - left < LEAST_RATE * (now - self._stuck):
                self.drop()
                return
            self._stuck, self._left = now, left
        if resting or self._stuck is not None or not self.clients_turn:
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


def serve(settings: ServerSettings, *, page: bool = True) -> int:
    """Serve until Ctrl-C; prints the address when it can be opened. Raises InputError where the address cannot be taken."""
    listener = _listen(settings)
    try:
        app = application(Service(settings), page=page)
    except BaseException:
        listener.close()
        raise
    if not settings.local and settings.token is None:
        print(
            f"unveil: WARNING: everybody who can reach {settings.host} may use this server and its processor; ask for --token instead",
            file=sys.stderr,
            flush=True,
        )
    config = uvicorn.Config(
        app,
        http=bounded(settings.connections, settings.stall),
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=3,
        timeout_keep_alive=30,
    )
    port = listener.getsockname()[1]
    if threading.current_thread() is threading.main_thread():
        # uvicorn repeats the signal that ended it, whose default would leave without tidying up.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    address = reached(settings.host, port)
    end_streams = getattr(app.state, "end_streams", lambda: None)  # only the page has any
    _Server(config, address, app.state.service.stop, end_streams).run(sockets=[listener])
    return 0


def _listen(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise InputError(
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror}); choose another --host or --port"
        ) from None
    listener.listen(128)
    return listener


def reached(host: str, port: int) -> str:
    """Where to find the server, in words: 0.0.0.0 is no address that a browser could open, so that others' way is said beside it."""
    if host in ("0.0.0.0", "::"):
        return f"http://127.0.0.1:{port} and, for other machines, at port {port} of this one"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn, saying one line of its own once it answers. stop, end_streams: called before it waits for the requests in hand, so that they
    end; the second on the event loop.
    """

    def __init__(
        self, config: uvicorn.Config, address: str, stop: Callable[[], None], end_streams: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self.address, self.stop, self.end_streams = address, stop, end_streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.to_thread(self.stop)
        self.end_streams()
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"Unveil is at {self.address} (Ctrl-C ends it)", flush=True)
