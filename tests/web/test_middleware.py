"""Who may come in, under which name, and where to."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from unveil.errors import InputError
from unveil.web.settings import ServerSettings

TOKEN = "a long enough secret"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "[", "192.168.0.7:7860"]
)
def test_other_names_than_this_machines_are_refused(client: TestClient, host: str) -> None:
    """A page elsewhere whose own name points to 127.0.0.1 must not read our answers."""
    assert client.get("/v1/models", headers={"host": host}).status_code == 403


@pytest.mark.parametrize(
    "settings", [{"token": TOKEN}, {"token": TOKEN, "host": "0.0.0.0"}, {"host": "0.0.0.0", "open": True}]
)
def test_foreign_names_are_refused_with_and_without_a_token(serve: Callable[..., TestClient], settings: dict) -> None:
    client = serve(**settings, names=("photos.example.org",))
    right = {"authorization": f"Bearer {TOKEN}"}
    for host in ("evil.example", "evil.example:7860", "127.0.0.1.evil.example", ""):
        assert client.get("/v1/models", headers=right | {"host": host}).status_code == 403
    for host in ("127.0.0.1:7860", "photos.example.org", "Photos.Example.org.:443"):
        assert client.get("/v1/models", headers=right | {"host": host}).status_code == 200
    by_address = client.get("/v1/models", headers=right | {"host": "192.0.2.7:7860"}).status_code
    assert by_address == (200 if "host" in settings else 403)


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "[::1]:7860", "localhost"])
def test_its_own_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://evil.example", 403), ("null", 403), ("http://127.0.0.1:9999", 403), ("http://127.0.0.1:7860", 404)],
)
def test_forms_of_other_sites_are_refused(client: TestClient, origin: str, status: int) -> None:
    assert client.delete("/v1/jobs/none", headers={"origin": origin}).status_code == status


def test_with_a_token_nothing_is_shown_without_it(serve: Callable[..., TestClient]) -> None:
    client = serve(host="0.0.0.0", token=TOKEN)
    for path in ("/v1/models", "/metrics", "/openapi.json", "/v1/jobs/x", "/page/examples", "/"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    for shown in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é".encode()):
        assert client.get("/v1/models", headers={"authorization": shown}).status_code == 401
    assert client.get("/v1/models", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/healthz").status_code == 200


def test_a_browser_logs_in_once(serve: Callable[..., TestClient]) -> None:
    client = serve(host="0.0.0.0", token=TOKEN)
    asked = client.get("/", headers={"accept": "text/html"}, follow_redirects=False)
    assert (asked.status_code, asked.headers["location"]) == (303, "/login")
    assert 'type="password"' in client.get("/login").text
    assert client.post("/login", data={"token": "wrong"}).status_code == 401
    entered = client.post("/login", data={"token": TOKEN}, follow_redirects=False)
    assert entered.status_code == 303
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie
    assert client.get("/v1/models").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/upload",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/run/predict",
        "/gradio_api/info",
        "/gradio_api/vibe-code",
        "/docs",
        "/redoc",
        "/monitoring",
        "/v2/anything",
        "/../etc/passwd",
    ],
)
def test_what_the_page_does_not_need_is_closed(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404
    assert client.post(path).status_code == 404


@pytest.mark.parametrize("id", ["..", "../..", "..%2f..", "%2e%2e", "etc", "\x00", "a" * 200])
@pytest.mark.parametrize("rest", ["", "/result", "/preview", "/views/before", "/views/..%2fupload", "/events"])
def test_ids_lead_nowhere(client: TestClient, id: str, rest: str) -> None:
    assert client.get(f"/v1/jobs/{id}{rest}".replace("\x00", "%00")).status_code in (404, 422)


def test_every_answer_forbids_what_it_does_not_need(client: TestClient) -> None:
    for path in ("/v1/models", "/nowhere", "/v1/jobs/none"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert not re.search(r"https?:|\*", policy)


def test_nobody_else_is_let_in_by_accident() -> None:
    with pytest.raises(InputError, match="--token"):
        ServerSettings(host="0.0.0.0")
    with pytest.raises(InputError, match="at least 12"):
        ServerSettings(token="short")
    assert ServerSettings(host="0.0.0.0", open=True).local is False
    assert ServerSettings(host="::1").local
    for name in ("max_bytes", "max_pixels", "seconds", "keep", "waiting", "per_client", "samples"):
        with pytest.raises(InputError, match=name.replace("_", "-")):
            ServerSettings(**{name: 0})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="port"):
        ServerSettings(port=70_000)


def test_no_answer_names_a_place_on_the_server(client: TestClient, make: Callable[..., bytes]) -> None:
    """Of all that is said about a good job, a bad one, and in the description of the interface."""
    root = str(client.app.state.service.store._root)  # type: ignore[attr-defined]
    form = {"model": "tiny", "views": "true", "samples": "2"}
    good = client.post("/v1/jobs", files={"photo": ("a.png", make())}, data=form).json()
    said = client.get(good["events"]).text + client.get(f"/v1/jobs/{good['id']}").text
    bad = client.post(
        "/v1/jobs", files={"photo": ("cut.png", make(size=(64, 64))[:-3000])}, data={"model": "tiny"}
    ).json()
    said += client.get(bad["events"]).text + client.get(f"/v1/jobs/{bad['id']}/result").text
    said += "".join(client.get(path).text for path in ("/openapi.json", "/metrics", "/v1/models", "/healthz"))
    assert "damaged" in said
    for place in (root, str(Path.home()), str(Path(__file__).parents[1]), "site-packages", "Traceback"):
        assert place not in said
