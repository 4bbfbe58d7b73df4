"""What the page's events may carry to Gradio: plain values and identifiers, never the description of a file."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the page is the extra `web`")

from fastapi.testclient import TestClient

from unveil.web import wire

JOIN = "/gradio_api/queue/join"


@pytest.fixture(scope="module")
def client(started: Callable[..., TestClient]) -> TestClient:
    return started(page=True)


@pytest.mark.parametrize(
    "value",
    [
        {"path": "a.png"},
        {"path": "a.png", "meta": {"_type": "gradio.FileData"}},
        {"url": "http://127.0.0.1:1/a.png", "meta": {"_type": "gradio.FileData"}},
        [{"path": "a.png"}],
        {"anything": 1},
        ["a"],
        "x" * 1000,
    ],
)
@pytest.mark.parametrize("place", ["data", "event_data", "session_hash", "event_id"])
def test_a_description_of_a_file_is_refused_before_gradio_sees_it(
    client: TestClient, value: object, place: str
) -> None:
    body = {"data": [], "fn_index": 0, "session_hash": "abc"} | {place: [value] if place == "data" else value}
    answer = client.post(JOIN, json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(place)


@pytest.mark.parametrize("body", [b"", b"[]", b"nothing", b'{"data": 1}', b"[" * 5000, b'{"data": [NaN]}'])
def test_what_is_no_event_is_refused(client: TestClient, body: bytes) -> None:
    assert client.post(JOIN, content=body).status_code == 422


def test_a_long_event_is_refused(client: TestClient) -> None:
    assert client.post(JOIN, content=b" " * (wire.MOST_BYTES + 1)).status_code == 413


def test_an_event_of_the_page_passes(client: TestClient) -> None:
    page = client.app.state.service  # type: ignore[attr-defined]
    assert page is not None
    config = client.get("/config").json()
    change = next(d for d in config["dependencies"] if any(event == "change" for _, event in d["targets"]))
    body = {"data": ["tiny"], "event_data": None, "fn_index": change["id"], "trigger_id": 1, "session_hash": "abc"}
    answer = client.post(JOIN, json=body)
    assert answer.status_code == 200
    assert "event_id" in answer.json()


def test_only_what_was_understood_is_handed_on() -> None:
    given = {
        "data": ["general", 0.5, None, True],
        "event_data": {"id": "a-b_C1"},
        "fn_index": 3,
        "oauth_token": "x",
        "batched": True,
    }
    seen = json.loads(wire.checked("queue/join", json.dumps(given).encode()))
    assert seen == {"data": given["data"], "event_data": given["event_data"], "fn_index": 3}


def test_which_tab_was_chosen_passes_as_plain_values_only() -> None:
    plain = {"data": [], "event_data": {"index": 1, "value": "Compare"}}
    assert json.loads(wire.checked("queue/join", json.dumps(plain).encode())) == plain
    odd: dict[str, object]
    for odd in ({"value": {"path": "/etc/passwd"}}, {"index": [1]}, {"path": "x"}):
        with pytest.raises(ValueError, match="event_data"):
            wire.checked("queue/join", json.dumps({"event_data": odd}).encode())


def test_several_photographs_are_identifiers_and_no_more_than_are_taken() -> None:
    plain = {"event_data": {"id": "a", "ids": ["a", "b-_1"], "batch": None, "job": "c"}}
    assert json.loads(wire.checked("queue/join", json.dumps(plain).encode())) == plain
    for odd in (
        {"ids": "a"},
        {"ids": [{"path": "/etc/passwd"}]},
        {"ids": ["/etc/passwd"]},
        {"ids": ["a"] * 101},
        {"job": "../x"},
        {"batch": ["a"]},
    ):
        with pytest.raises(ValueError, match="event_data"):
            wire.checked("queue/join", json.dumps({"event_data": odd}).encode())


@pytest.mark.parametrize(
    ("method", "path", "known"),
    [
        ("POST", "queue/join", True), ("GET", "queue/join", False), ("POST", "queue/joined", False), ("POST", "queue/join/x", False),
        ("GET", "heartbeat/abc123", True), ("GET", "heartbeat/../upload", False), ("POST", "heartbeat/abc", False),
        ("GET", "file=x", False),
        ("POST", "upload", False), ("GET", "deep_link", False),
    ],
)  # fmt: skip
def test_paths_are_exact(method: str, path: str, known: bool) -> None:
    assert wire.offered(method, path) is known


def test_gradio_checks_files_as_if_launched_in_a_folder_of_our_own(client: TestClient) -> None:
    import gradio.utils

    cache = Path(gradio.utils.get_upload_folder())
    assert cache == Path(os.environ["GRADIO_TEMP_DIR"])
    assert stat.S_IMODE(cache.stat().st_mode) == stat.S_IMODE(cache.parent.stat().st_mode) == 0o700
    page = next(r.app for r in client.app.routes if hasattr(getattr(r, "app", None), "get_blocks"))  # type: ignore[attr-defined]
    assert page.get_blocks().has_launched


def test_nothing_is_read_from_the_pages_query(client: TestClient) -> None:
    assert client.get("/config?deep_link=x").json().get("deep_link_state", "none") == "none"
