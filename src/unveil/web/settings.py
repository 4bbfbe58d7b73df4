"""How the server is run: where it listens, who may ask, and how much."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, Token

from unveil.errors import InputError
from unveil.models import shelf
from unveil.zeroshot.methods import METHODS

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST_TOKEN = 12
FORM_ROOM = 1 << 20
"""Bytes a request may have beyond its photograph."""
_POSITIVE = {
    "max_bytes": "max-bytes", "max_pixels": "max-pixels", "seconds": "max-seconds", "samples": "max-samples", "waiting": "waiting",
    "per_client": "per-client", "keep": "keep", "connections": "connections", "stall": "stall", "max_receiving": "max-receiving",
    "max_stored": "max-stored",
}  # fmt: skip
Words = tuple[str, ...]
TOKEN = "UNVEIL_TOKEN"


def _token(_: object, given: Sequence[Token]) -> str:
    """An empty --token is none given."""
    return given[0].value or os.environ.get(TOKEN, "")


@Parameter(name="*")
@dataclass(frozen=True)
class ServerSettings:
    """How the server is run, as `unveil web` takes it.

    Args:
        host: Address to listen on; other machines can reach 0.0.0.0, which asks for --token or --no-auth.
        port: Port to listen on; 0 takes a free one.
        token: Secret that clients must show (at least 12 characters); also taken from UNVEIL_TOKEN.
        open: Accept every client that can reach the address.
        device: auto (every CUDA device, or the processor), cpu, cuda:0, ...
        models: Further models, as NAME=PATH of a weight file or run folder.
        max_bytes: Largest photograph in bytes.
        max_pixels: Largest photograph in pixels.
        seconds: Longest time a restoration may run.
        samples: Most draws of one restoration.
        waiting: Restorations that may wait; beyond that, clients are asked to try again later.
        per_client: Restorations that one client may have under way.
        keep: Seconds that results are kept after they were last asked for.
        names: A further name that the server answers to, such as the one its proxy has; may be given several times.
        trusted_proxies: Address or network of a proxy whose X-Forwarded-For gives the client's address; may be given several times.
        connections: Connections that may be open.
        stall: Seconds after which a client is disconnected that neither sends nor receives.
        max_receiving: Bytes of requests that may be coming in at a time; one client has half of them.
        max_stored: Bytes of photographs and results that are kept on disk; one client has a quarter of them.
        frame: Whether other sites may show the page in a frame.

    Raises:
        InputError: Limits are not positive or do not fit together, the token is too short, a proxy is no address, or others can reach
            the address without token or `open`.

    """

    host: str = "127.0.0.1"
    port: int = 7860
    token: Annotated[str | None, Parameter(env_var=TOKEN, show_env_var=False, converter=_token)] = None
    open: Annotated[bool, Parameter(name="--no-auth", negative="")] = False
    device: str = "auto"
    models: Annotated[Words, Parameter(name="--model", negative="")] = ()
    max_bytes: int = 64 << 20
    max_pixels: int = 50_000_000
    seconds: Annotated[float, Parameter(name="--max-seconds")] = 600.0
    samples: Annotated[int, Parameter(name="--max-samples")] = 16
    waiting: int = 32
    per_client: int = 8
    keep: float = 900.0
    names: Annotated[Words, Parameter(name="--allow-host", negative="")] = ()
    trusted_proxies: Annotated[Words, Parameter(name="--trusted-proxy", negative="")] = ()
    connections: int = 256
    stall: float = 20.0
    max_receiving: int = 256 << 20
    max_stored: int = 4 << 30
    frame: Annotated[bool, Parameter(parse=False)] = False

    def __post_init__(self) -> None:
        for name, option in _POSITIVE.items():
            if not getattr(self, name) > 0:
                raise InputError(f"--{option} must be greater than 0, not {getattr(self, name)}")
        if not 0 <= self.port <= 65535:
            raise InputError(f"--port must lie between 0 and 65535, not {self.port}")
        # An empty one is none; blanks around it do not survive a header.
        object.__setattr__(self, "token", self.token.strip() if self.token else None)
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
    def further(self) -> dict[str, Path]:
        """The further models by name. Raises InputError for one without a name or a path, for a name that is taken, and a path without a
        model.
        """
        found: dict[str, Path] = {}
        taken = {*shelf.names(), *METHODS}
        for text in self.models:
            name, _, path = text.partition("=")
            if not (name and path):
                raise InputError(f"--model {text!r}: write it as NAME=PATH")
            if name in taken or name in found:
                raise InputError(f"--model {text!r}: there is a model {name} already; give yours another name")
            if not Path(path).exists():
                raise InputError(f"--model {text!r}: no such file or run folder; check the path")
            found[name] = Path(path)
        return found

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
