"""`unveil web`: the page and the HTTP interface."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from unveil.errors import InputError
from unveil.util.extras import installing


def web(
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    token: str | None = None,
    no_auth: Annotated[bool, Parameter(negative="")] = False,
    device: str = "auto",
    model: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    max_bytes: int = 64 << 20,
    max_pixels: int = 50_000_000,
    max_seconds: float = 600.0,
    max_samples: int = 16,
    waiting: int = 32,
    per_client: int = 8,
    keep: float = 900.0,
    allow_host: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    trusted_proxy: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    connections: int = 256,
    stall: float = 20.0,
    max_receiving: int = 256 << 20,
    max_stored: int = 4 << 30,
    page: bool = True,
) -> int:
    """Serve the page and the HTTP interface until Ctrl-C.

    Nothing is opened by itself and nothing is sent anywhere. Only this machine can reach it, unless --host says otherwise.

    Args:
        host: Address to listen on; other machines can reach 0.0.0.0, which asks for --token or --no-auth.
        port: Port to listen on; 0 takes a free one.
        token: Secret that clients must show (at least 12 characters); also taken from UNVEIL_TOKEN.
        no_auth: Accept every client that can reach the address.
        device: auto (every CUDA device, or the processor), cpu, cuda:0, ...
        model: Further models, as NAME=PATH of a weight file or run folder.
        max_bytes: Largest photograph in bytes.
        max_pixels: Largest photograph in pixels.
        max_seconds: Longest time a restoration may run.
        max_samples: Most draws of one restoration.
        waiting: Restorations that may wait; beyond that, clients are asked to try again later.
        per_client: Restorations that one client may have under way.
        keep: Seconds that results are kept after they were last asked for.
        allow_host: A further name that the server answers to, such as the one its proxy has; may be given several times.
        trusted_proxy: Address or network of a proxy whose X-Forwarded-For gives the client's address; may be given several times.
        connections: Connections that may be open.
        stall: Seconds after which a client is disconnected that neither sends nor receives.
        max_receiving: Bytes of requests that may be coming in at a time; one client has half of them.
        max_stored: Bytes of photographs and results that are kept on disk; one client has a quarter of them.
        page: Serve the page too, not the HTTP interface alone.

    """
    import os

    try:
        from unveil.web.serving import serve
    except ModuleNotFoundError as error:
        raise InputError(
            f"the web server needs further packages ({error.name} is missing): {installing('web')}"
        ) from error
    from unveil.web.settings import ServerSettings

    settings = ServerSettings(
        host=host,
        port=port,
        token=token or os.environ.get("UNVEIL_TOKEN") or None,
        open=no_auth,
        max_bytes=max_bytes,
        max_pixels=max_pixels,
        seconds=max_seconds,
        samples=max_samples,
        waiting=waiting,
        per_client=per_client,
        keep=keep,
        device=device,
        models=dict(_named(text) for text in model),
        names=allow_host,
        trusted_proxies=trusted_proxy,
        connections=connections,
        stall=stall,
        max_receiving=max_receiving,
        max_stored=max_stored,
    )
    return serve(settings, page=page)


def _named(text: str) -> tuple[str, Path]:
    name, sign, path = text.partition("=")
    if not (name and sign and path):
        raise InputError(f"--model {text!r}: write it as NAME=PATH")
    return name, Path(path)
