"""How the server is run: where it listens, who may ask, and how much."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from unveil.errors import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST_TOKEN = 12


@dataclass(frozen=True)
class Settings:
    """host, port: where to listen. token: what clients must show, None for nobody but this machine. open: let everybody in, wherever.

    max_bytes, max_pixels: the largest photograph. seconds: the longest a restoration may run. samples: the most draws of one.
    waiting, per_client: see `Queue`. keep: seconds that results are kept. models: further models by name. device: "auto" or as torch
    names it; auto takes every CUDA device. frame: whether other sites may show the page in a frame.

    Raises InputError for limits that are not positive, a token that is too short, and an address that others can reach without either.
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

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "seconds", "samples", "waiting", "per_client", "keep"):
            if not getattr(self, name) > 0:
                raise InputError(f"--{name.replace('_', '-')} must be greater than 0, not {getattr(self, name)}")
        if not 0 <= self.port <= 65535:
            raise InputError(f"--port must lie between 0 and 65535, not {self.port}")
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            raise InputError(
                f"the token has {len(self.token)} characters; use at least {SHORTEST_TOKEN}, such as 32 random ones"
            )
        if not self.local and self.token is None and not self.open:
            raise InputError(
                f"{self.host} can be reached from other machines; ask them for a secret with --token, or say --no-auth to let everybody in"
            )

    @property
    def local(self) -> bool:
        """Whether only programs on this machine can reach the server."""
        return self.host in LOOPBACK
