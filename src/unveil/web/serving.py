"""Running the application under uvicorn."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Callable

import uvicorn

from unveil.errors import InputError
from unveil.web.app import application
from unveil.web.connections import bounded
from unveil.web.service import Service
from unveil.web.settings import Settings


def serve(settings: Settings, *, page: bool = True) -> int:
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
    _Server(config, address, app.state.service.stop).run(sockets=[listener])
    return 0


def _listen(settings: Settings) -> socket.socket:
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
    """Where to find the server, in words: 0.0.0.0 is no address that a browser could open.

    Args:
        host: What it listens on.
        port: The port.

    Returns:
        "http://127.0.0.1:7860"; with "0.0.0.0" or "::" also that other machines come by this one's name or address.

    """
    if host in ("0.0.0.0", "::"):
        return f"http://127.0.0.1:{port} and, for other machines, at port {port} of this one"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn, saying one line of its own once it answers. stop: called before it waits for the requests in hand, so that they end."""

    def __init__(self, config: uvicorn.Config, address: str, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self.address, self.stop = address, stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.to_thread(self.stop)
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"Unveil is at {self.address} (Ctrl-C ends it)", flush=True)
