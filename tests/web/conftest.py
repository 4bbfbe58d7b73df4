from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the web server is the extra `web`")
pytest.importorskip("httpx", reason="the web server's test client needs httpx")
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import anyio
from fastapi.testclient import TestClient

from unveil.restorer import Restorer
from unveil.testing import tiny_experts, tiny_model
from unveil.web.app import application
from unveil.web.engines import Engine, Restorers
from unveil.web.service import Service
from unveil.web.settings import ServerSettings

# anyio loads this on its first use, which under pytest means rewriting it; deep inside a request Python 3.11 cannot parse it for that.
assert anyio.open_file

BASE = "http://127.0.0.1:7860"


def picture(seed: int = 0, size: tuple[int, int] = (24, 16), format: str = "PNG", **settings: object) -> bytes:
    """A photograph of noise, (width, height), as a file."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out := io.BytesIO(), format, **settings)
    return out.getvalue()


def restorers() -> Restorers:
    """Two small random models, and one that can be told what to fix."""
    return Restorers(
        {
            name: Engine(
                name, "LearnIR", f"random weights {seed}", lambda device, seed=seed: Restorer(tiny_model(seed), "cpu")
            )
            for seed, name in enumerate(("tiny", "other"))
        }
        | {"told": Engine("told", "LearnIR", "can be told", lambda device: Restorer(tiny_experts(doubt=True), "cpu"))}
    )


@pytest.fixture
def make() -> Callable[..., bytes]:
    return picture


def starting() -> Iterator[Callable[..., TestClient]]:
    clients: list[TestClient] = []

    def start(page: bool = False, **settings: object) -> TestClient:
        service = Service(ServerSettings(**{"samples": 4} | settings), restorers())  # type: ignore[arg-type]
        client = TestClient(application(service, page=page), base_url=BASE)
        clients.append(client)
        return client.__enter__()

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def serve() -> Iterator[Callable[..., TestClient]]:
    """Starts servers (without the page) with the given settings and ends them afterwards. `client.app.state.service` is what is behind."""
    yield from starting()


@pytest.fixture(scope="module")
def started() -> Iterator[Callable[..., TestClient]]:
    """The same, for servers that all tests of a file share."""
    yield from starting()


@pytest.fixture(scope="module")
def client(started: Callable[..., TestClient]) -> TestClient:
    """One server for all tests of a file."""
    return started()
