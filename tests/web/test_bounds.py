"""Limits over all clients: connections, bytes that come in, photographs on disk, decoding, guesses at the token."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import Response
from fastapi.testclient import TestClient

from unveil.errors import InputError
from unveil.web.middleware import FEW, MOST_ADDRESSES, SLOWEST, Guesses, Pixels, Receiving
from unveil.web.serving import bounded
from unveil.web.settings import ServerSettings
from unveil.web.store import Store

PATIENCE = 20.0


@contextmanager
def listening(client: TestClient, most: int = 256, stall: float = 20.0, **more: object) -> Iterator[tuple[str, int]]:
    """The client's application behind a real socket, with the connections that `unveil web` uses."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(client.app, http=bounded(most, stall), ws="none", log_level="error", lifespan="off", **more)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


def get(address: tuple[str, int], path: str = "/healthz") -> bytes:
    with socket.create_connection(address, timeout=PATIENCE) as caller:
        caller.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: caller.recv(65536), b""))


def begun(address: tuple[str, int]) -> socket.socket:
    """A request whose body never comes."""
    caller = socket.create_connection(address, timeout=PATIENCE)
    caller.sendall(
        b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    return caller


def test_stalled_requests_make_room_for_new_ones(serve: Callable[..., TestClient]) -> None:
    with listening(serve(), most=6) as address:
        stalled = [begun(address) for _ in range(12)]
        for _ in range(4):
            assert b"200 OK" in get(address)
        for caller in stalled:
            caller.close()


def test_who_sends_nothing_is_dropped(serve: Callable[..., TestClient]) -> None:
    with listening(serve(), stall=0.2) as address:
        for caller in (socket.create_connection(address, timeout=PATIENCE), begun(address)):
            with caller:
                assert caller.recv(100) == b""
        assert b"200 OK" in get(address)


def test_who_waits_for_an_answer_is_not_dropped(serve: Callable[..., TestClient], make: Callable[..., bytes]) -> None:
    client = serve()
    service = client.app.state.service  # type: ignore[attr-defined]
    end = threading.Event()
    service.queue.submit("me", lambda task, device: end.wait(PATIENCE))
    with listening(client, stall=0.1) as address:
        threading.Timer(0.8, end.set).start()
        body = json.dumps({"photo": b64encode(make()).decode(), "model": "tiny"}).encode()
        with socket.create_connection(address, timeout=PATIENCE) as caller:
            caller.sendall(
                b"POST /v1/restore HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            assert b" 200 " in b"".join(iter(lambda: caller.recv(65536), b"")).split(b"\r\n")[0]


def test_an_aborted_upload_is_one_line_and_499(
    serve: Callable[..., TestClient], caplog: pytest.LogCaptureFixture
) -> None:
    client = serve()
    with caplog.at_level(logging.WARNING), listening(client) as address:
        begun(address).close()
        until(lambda: 'status="499"' in client.get("/metrics").text)
    assert [record.getMessage() for record in caplog.records] == ["POST /v1/jobs: the client left while sending"]
    assert client.app.state.guard.receiving.held == 0  # type: ignore[attr-defined]


def test_who_leaves_while_waiting_is_499(serve: Callable[..., TestClient], make: Callable[..., bytes]) -> None:
    client = serve()
    service, end = client.app.state.service, threading.Event()  # type: ignore[attr-defined]
    service.queue.submit("me", lambda task, device: end.wait(PATIENCE))
    body = json.dumps({"photo": b64encode(make()).decode(), "model": "tiny"}).encode()
    with listening(client) as address:
        with socket.create_connection(address) as caller:
            caller.sendall(
                b"POST /v1/restore HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(body), body)
            )
            until(lambda: service.queue.waiting == 1)
        until(lambda: 'route="/v1/restore",status="499"' in client.get("/metrics").text)
    end.set()
    assert 'status="500"' not in client.get("/metrics").text


def until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_bytes_that_come_in_are_counted_over_all_clients() -> None:
    receiving = Receiving(100, 60)
    assert receiving.take("a", 50) == 0
    assert receiving.take("a", 11) == 429
    assert receiving.take("b", 50) == 0
    assert receiving.take("b", 1) == 503
    receiving.give_back("a", 50)
    assert receiving.take("b", 10) == 0
    receiving.give_back("b", 60)
    assert (receiving.held, receiving._clients) == (0, {})


def test_a_body_for_which_there_is_no_room_is_429_and_gives_back_what_it_took(
    serve: Callable[..., TestClient], make: Callable[..., bytes]
) -> None:
    client = serve(max_bytes=10_000)
    receiving = client.app.state.guard.receiving  # type: ignore[attr-defined]
    assert receiving.take("testclient", receiving.share - 100) == 0
    answer = client.post("/v1/jobs", files={"photo": ("a.png", make())}, data={"model": "tiny"})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    receiving.give_back("testclient", receiving.share - 100)
    assert client.post("/v1/jobs", files={"photo": ("a.png", make())}, data={"model": "tiny"}).status_code == 202
    assert receiving.held == 0


def test_photographs_on_disk_are_bounded_for_one_client_and_for_all(
    serve: Callable[..., TestClient], make: Callable[..., bytes]
) -> None:
    client = serve(page=True, max_stored=40_000)
    answers = [client.post("/page/photos", files={"photo": ("a.png", make())}) for _ in range(8)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[0] == 200
    assert statuses[-1] == 429
    assert set(statuses) == {200, 429}
    assert int(answers[-1].headers["retry-after"]) >= 1
    client.app.state.service.store.share = 1e9  # type: ignore[attr-defined]
    statuses = [client.post("/page/photos", files={"photo": ("a.png", make())}).status_code for _ in range(20)]
    assert statuses[-1] == 503
    folders = list(client.app.state.service.store._root.iterdir())  # type: ignore[attr-defined]
    assert len(folders) == len(client.app.state.service.store._kept), "what was refused leaves nothing"  # type: ignore[attr-defined]


def test_a_damaged_photograph_leaves_nothing(serve: Callable[..., TestClient], make: Callable[..., bytes]) -> None:
    client = serve(page=True)
    assert client.post("/page/photos", files={"photo": ("a.png", make(size=(64, 64))[:-3000])}).status_code == 422
    assert client.app.state.service.store._kept == {}  # type: ignore[attr-defined]
    assert list(client.app.state.service.store._root.iterdir()) == []  # type: ignore[attr-defined]


def test_decoding_takes_turns_by_pixels() -> None:
    pixels, held, most = Pixels(100), 0, 0

    async def decode(size: int) -> None:
        nonlocal held, most
        async with pixels.turn(size):
            held += min(size, 100)
            most = max(most, held)
            await asyncio.sleep(0)
            held -= min(size, 100)

    async def all() -> None:
        left = asyncio.create_task(decode(100))
        others = [asyncio.create_task(decode(size)) for size in (60, 60, 30, 10, 500, 1)]
        await asyncio.sleep(0)
        others[1].cancel()
        await asyncio.gather(left, *others, return_exceptions=True)

    asyncio.run(all())
    assert most <= 100
    assert (pixels.held, len(pixels._line)) == (0, 0)


def test_wrong_tokens_are_counted_and_slowed() -> None:
    now = [0.0]
    guesses = Guesses(lambda: now[0])
    waits = [guesses.delay("a") for _ in range(20)]
    assert waits[:FEW] == [0] * FEW
    assert waits[FEW:] == sorted(waits[FEW:])
    assert waits[-1] == SLOWEST
    assert guesses.delay("b") == 0
    now[0] = 1e6
    assert guesses.delay("a") == 0
    for n in range(MOST_ADDRESSES + 10):
        guesses.delay(str(n))
    assert len(guesses._seen) == MOST_ADDRESSES
    assert guesses.total == 22 + MOST_ADDRESSES + 10


def test_wrong_tokens_stand_in_the_metrics_and_the_right_one_is_not_held_up(serve: Callable[..., TestClient]) -> None:
    token = "größer als gedacht ☂"
    client = serve(host="0.0.0.0", token=token)
    for _ in range(FEW):
        assert client.get("/v1/models", headers={"authorization": "Bearer wrong-wrong-wrong"}).status_code == 401
    right = {"authorization": f"Bearer {token}".encode()}
    assert "unveil_wrong_tokens_total 4" in client.get("/metrics", headers=right).text


@pytest.mark.parametrize("token", ["schöner Schlüssel", "ключ-от-дома", " 12 characters "])
def test_a_token_of_any_letters_is_a_bearer_token(serve: Callable[..., TestClient], token: str) -> None:
    client = serve(host="0.0.0.0", token=token)
    assert client.get("/v1/models", headers={"authorization": f"Bearer {token}".encode()}).status_code == 200


def test_invented_methods_are_one_series(client: TestClient) -> None:
    for n in range(3):
        client.request(f"INVENTED{n}", "/healthz")
    text = client.get("/metrics").text
    assert "INVENTED" not in text
    assert 'method="other"' in text


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/restore"])
def test_a_full_disk_is_json(
    serve: Callable[..., TestClient], make: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    client, write = serve(), Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name == "upload":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    answer = client.post(path, files={"photo": ("a.png", make())}, data={"model": "tiny"})
    assert (answer.status_code, answer.json()["detail"]) == (507, "the server's disk is full; try again later")
    assert client.app.state.service.store._kept == {}  # type: ignore[attr-defined]


def test_a_label_divides_the_share_of_its_address(serve: Callable[..., TestClient], make: Callable[..., bytes]) -> None:
    client = serve(per_client=2, waiting=20)
    end = threading.Event()
    client.app.state.service.queue.submit("somebody", lambda task, device: end.wait(PATIENCE))  # type: ignore[attr-defined]
    statuses = [
        client.post(
            "/v1/jobs", files={"photo": ("a.png", make())}, data={"model": "tiny"}, headers={"X-Unveil-Client": str(n)}
        ).status_code
        for n in range(4)
    ]
    end.set()
    assert statuses == [202, 202, 429, 429]


def test_behind_a_trusted_proxy_the_client_is_who_it_says(serve: Callable[..., TestClient]) -> None:
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    client = serve()
    seen: list[str] = []
    guard = client.app.state.guard  # type: ignore[attr-defined]
    take = guard.receiving.take
    guard.receiving.take = lambda who, size: (seen.append(who), take(who, size))[1]
    for trusted in (["testclient"], ["10.0.0.1"]):
        behind = TestClient(ProxyHeadersMiddleware(client.app, trusted), base_url="http://127.0.0.1:7860")  # type: ignore[arg-type]
        behind.post("/v1/jobs", json={}, headers={"X-Forwarded-For": "203.0.113.9"})
    assert set(seen) == {"203.0.113.9", "testclient"}


def test_what_a_kill_left_is_swept_at_the_next_start_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    alive = Store()
    left = tmp_path / "unveil-left"
    (left / "kept" / "x").mkdir(parents=True)
    (left / ".lock").touch()
    (tmp_path / "unveil-foreign").mkdir()
    (tmp_path / "unveil-link").symlink_to(left)
    other = Store()
    assert not left.exists()
    assert alive._root.is_dir()
    assert (tmp_path / "unveil-foreign").is_dir()
    for store in (alive, other):
        base = store._base
        store.close()
        assert not base.exists()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"trusted_proxies": ("*",)}, "no address and no network"),
        ({"max_receiving": 1000}, "leaves no room"),
        ({"stall": 0}, "--stall"),
        ({"connections": -1}, "--connections"),
    ],
)
def test_bounds_that_make_no_sense(settings: dict, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        ServerSettings(**settings)


def test_who_takes_a_large_answer_slowly_but_steadily_gets_it_whole(serve: Callable[..., TestClient]) -> None:
    """What waits to be taken is all of it; only who takes next to nothing is dropped."""
    large = 6_000_000
    app = serve().app

    @app.get("/v1/large")  # type: ignore[attr-defined]
    async def answer() -> Response:
        return Response(bytes(large))

    for rate, whole in ((1 << 20, True), (0, False)):
        with listening(TestClient(app, base_url="http://127.0.0.1"), stall=0.4) as address, socket.socket() as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
            caller.settimeout(PATIENCE)
            caller.connect(address)
            caller.sendall(b"GET /v1/large HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            if not rate:
                time.sleep(2.5)
            got = 0
            with contextlib.suppress(ConnectionResetError):
                while piece := caller.recv(1 << 16):
                    got += len(piece)
                    time.sleep(len(piece) / (rate or 1 << 40))
            assert (got > large) == whole
