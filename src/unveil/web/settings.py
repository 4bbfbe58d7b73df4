"""How the server is run: where it listens, who may ask, and how much."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from unveil.errors import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST_TOKEN = 12
FORM_ROOM = 1 << 20
"""Bytes a request may have beyond its photograph."""
_POSITIVE = {
    "max_bytes": "max-bytes", "max_pixels": "max-pixels", "seconds": "max-seconds", "samples": "max-samples", "waiting": "waiting",
    "per_client": "per-client", "keep": "keep", "connections": "connections", "stall": "stall", "max_receiving": "max-receiving",
    "max_stored": "max-stored",
}  # fmt: skip


@dataclass(frozen=True)
class ServerSettings:
    """host, port: where to listen. token: what clients must show, None to serve this machine alone. open: let everybody in, wherever.

    names: further names that the server answers to (`Host`). trusted_proxies: addresses or networks of proxies whose X-Forwarded-For says
    who the client is.
    max_bytes, max_pixels: the largest photograph. seconds: the longest a restoration may run. samples: the most draws of one.
    waiting, per_client: see `Queue`. keep: seconds that results are kept. models: further models by name. device: "auto" or as torch
    names it; auto takes every CUDA device. frame: whether other sites may show the page in a frame.
    connections: how many may be open. stall: seconds after which a client that neither sends nor takes is dropped. max_receiving: bytes of
    bodies that may be coming in at a time, half of them one client's. max_stored: bytes of photographs and results on disk, a quarter
    of them one client's.

    Raises InputError for limits that are not positive or do not fit together, a token that is too short, a proxy that is no address, and
    an address that others can reach without either.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    token: str | None = None
    open: bool = False
    max_bytes: int = 64 << 20
    max_pixels: int = 50_000_000
    seconds: float = 600.0
    samples: int = 16
    waiting: int = 32
    per_client: int = 8
    keep: float = 900.0
    device: str = "auto"
    models: dict[str, Path] = field(default_factory=dict)
    frame: bool = False
    names: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    connections: int = 256
    stall: float = 20.0
    max_receiving: int = 256 << 20
    max_stored: int = 4 << 30

    def __post_init__(self) -> None:
        for name, option in _POSITIVE.items():
            if not getattr(self, name) > 0:
                raise InputError(f"--{option} must be greater than 0, not {getattr(self, name)}")
        if not 0 <= self.port <= 65535:
            raise InputError(f"--port must lie between 0 and 65535, not {self.port}")
        if self.token is not None:
            object.__setattr__(self, "token", self.token.strip())  # blanks around it do not survive a header
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            raise InputError(
                f"the token has {len(self.token)} characters; use at least {SHORTEST_TOKEN}, such as 32 random ones"
            )
        if self.max_receiving < self.room:
            raise InputError(
                f"--max-receiving {self.max_receiving} leaves no room for one photograph of --max-bytes {self.max_bytes}; "
                f"make it at least {self.room}"
            )
        for proxy in self.trusted_proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError:
                raise InputError(
                    f"--trusted-proxy {proxy!r} is no address and no network; write it as 10.0.0.7 or 10.0.0.0/24"
                ) from None
        if not self.local and self.token is None and not self.open:
            raise InputError(
                f"{self.host} can be reached from other machines; ask them for a secret with --token, or say --no-auth to let everybody in"
            )

    @property
    def local(self) -> bool:
        """Whether only programs on this machine can reach the server."""
        return self.host in LOOPBACK

    @property
    def room(self) -> int:
        """Bytes that a request with the largest photograph may have: base64 takes four bytes for three."""
        return self.max_bytes * 4 // 3 + FORM_ROOM

    @cached_property
    def own_names(self) -> frozenset[str]:
        """The names that are certainly ours."""
        here = {*LOOPBACK, self.host, *self.names}
        if not self.local:
            here.add(socket.gethostname())
        return frozenset(name.lower().rstrip(".") for name in here)

    def answers_to(self, name: str) -> bool:
        """Whether a request to this name is meant for us. name: of the Host header, without its port.

        A page elsewhere can have its own name point here, but no address: where others can reach us, by which of our addresses is theirs.
        """
        if name.lower().rstrip(".") in self.own_names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return not self.local
