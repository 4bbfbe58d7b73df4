"""POST /v1/restore: photographs in, the same pixels as in-process out, and a reason for every refusal."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from unveil import photo
from unveil.restorer import Restorer
from unveil.testing import tiny_experts, tiny_model
from unveil.web.responses import headers
from unveil.web.work import Delivery

MAKER = 0x010F


def restored(data: bytes, seed: int = 0, model: int = 0, **settings: object) -> bytes:
    """What the same call in-process writes."""
    out = io.BytesIO()
    result = Restorer(tiny_model(model), "cpu").restore(data, seed=seed, **settings)
    assert result.source is not None
    photo.write(result.source, result.image, out)
    return out.getvalue()


def test_a_form_gives_what_a_call_in_process_gives(client: TestClient, make: Callable[..., bytes]) -> None:
    data = make()
    answer = client.post(
        "/v1/restore", files={"photo": ("lake.png", data)}, data={"model": "tiny", "seed": "7", "steps": "3"}
    )
    assert answer.status_code == 200
    assert answer.content == restored(data, 7, steps=3)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-unveil-seed"] == "7"
    assert answer.headers["x-unveil-model"] == "tiny"
    assert float(answer.headers["x-unveil-seconds"]) > 0
    assert 'filename="lake_restored.png"' in answer.headers["content-disposition"]


def test_the_header_names_the_model_that_made_the_pixels(tmp_path: Path) -> None:
    made = Delivery(tmp_path / "result", "a.png", "image/png", (1, 1), protocol={"model": "shadow"})
    assert headers(made, "general")["X-Unveil-Model"] == "shadow"


def test_a_form_may_ask_for_views(client: TestClient, make: Callable[..., bytes]) -> None:
    data = make()
    ask = {"model": "tiny", "seed": "7", "self_ensemble": "2"}
    answer = client.post("/v1/restore", files={"photo": ("lake.png", data)}, data=ask)
    assert answer.content == restored(data, 7, self_ensemble=2)
    answer = client.post("/v1/restore", files={"photo": ("lake.png", data)}, data=ask | {"self_ensemble": "3"})
    assert answer.status_code == 422
    assert "self_ensemble: must be 1, 2, 4 or 8" in answer.json()["detail"]


def test_json_gives_the_same(client: TestClient, make: Callable[..., bytes]) -> None:
    data = make(1)
    tree = {
        "photo": base64.b64encode(data).decode(),
        "name": "sea.png",
        "model": "other",
        "seed": 2**53 - 1,
        "fidelity": 1,
        "samples": 2,
    }
    answer = client.post("/v1/restore", json=tree)
    assert answer.status_code == 200
    assert answer.content == restored(data, 2**53 - 1, model=1, fidelity=1.0, samples=2)


def test_the_photographs_own_format_and_metadata_come_back_and_nobody_elses(
    client: TestClient, make: Callable[..., bytes]
) -> None:
    exif = Image.Exif()
    exif[MAKER] = "A camera of mine"
    mine = client.post(
        "/v1/restore", files={"photo": ("a.jpeg", make(format="JPEG", exif=exif, quality=90))}, data={"model": "tiny"}
    )
    yours = client.post(
        "/v1/restore", files={"photo": ("a.jpeg", make(format="JPEG", quality=90))}, data={"model": "tiny"}
    )
    stripped = client.post(
        "/v1/restore",
        files={"photo": ("a.jpeg", make(format="JPEG", exif=exif))},
        data={"model": "tiny", "strip": "true"},
    )
    assert Image.open(io.BytesIO(mine.content)).getexif()[MAKER] == "A camera of mine"
    assert not Image.open(io.BytesIO(yours.content)).getexif()
    assert MAKER not in Image.open(io.BytesIO(stripped.content)).getexif()
    assert 'filename="a_restored.jpeg"' in mine.headers["content-disposition"]
    assert mine.headers["content-type"] == "image/jpeg"


def test_another_format_on_request(client: TestClient, make: Callable[..., bytes]) -> None:
    answer = client.post("/v1/restore", files={"photo": ("a.png", make())}, data={"model": "tiny", "format": "webp"})
    assert Image.open(io.BytesIO(answer.content)).format == "WEBP"
    assert 'filename="a_restored.webp"' in answer.headers["content-disposition"]


def test_eight_clients_at_once_get_the_pixels_that_each_gets_alone(
    serve: Callable[..., TestClient], make: Callable[..., bytes]
) -> None:
    """Different sizes, models, seeds and settings, interleaved by the queue; bit for bit."""
    client = serve(per_client=64, waiting=64)
    orders = [
        (make(k, (20 + 9 * (k % 3), 16 + 7 * (k % 4))), k, k % 2, {"samples": 1 + k % 2, "steps": 2 + k % 3})
        for k in range(8)
    ]
    alone = [restored(data, seed, model, **settings) for data, seed, model, settings in orders]
    start = threading.Barrier(8)

    def ask(k: int) -> list[bytes]:
        start.wait(20)
        got = []
        for data, seed, model, settings in (orders[k], orders[(k + 3) % 8]):
            form = {"model": ("tiny", "other")[model], "seed": str(seed)} | {
                name: str(value) for name, value in settings.items()
            }
            answer = client.post(
                "/v1/restore", files={"photo": ("x.png", data)}, data=form, headers={"X-Unveil-Client": f"client {k}"}
            )
            assert answer.status_code == 200, answer.text
            got.append(answer.content)
        return got

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(ask, range(8)))
    for k in range(8):
        assert got[k] == [alone[k], alone[(k + 3) % 8]]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("steps", "0", "steps: must be at least 1"),
        ("steps", "6", "steps must be between 1 and 5"),
        ("preset", "fast", "preset: choose one of paper, quick"),
        ("preset", "paper", "tiny has no preset 'paper'; presets are of zero-shot methods"),
        ("steps", "many", "steps: must be a whole number"),
        ("samples", "5", "samples may be at most 4 here"),
        ("fidelity", "1.5", "fidelity"),
        ("fidelity", "nan", "fidelity"),
        ("strength", "-1", "strength"),
        ("solver", "euler", "solver"),
        ("solver", "sde", "need a path whose drift is free of the clean image"),
        ("grid", "square", "unknown grid"),
        ("resolution", "up", "resolution"),
        ("tile", "auto:0", "tile: must be auto, auto:N for at most N pixels"),
        ("tile", "-1", "a number of pixels up to 65535, or 0 for the whole photograph"),
        ("tile", "70000", "tile"),
        ("strength", "2", "strength: must be at most 1"),
        ("strip", "perhaps", "strip: must be true or false"),
        ("fix", "x" * 300, "fix: must have at most 256 characters"),
        ("format", "psd", "format"),
        ("seed", "-1", "seed"),
        ("model", "nobody", "no model named 'nobody'"),
        ("model", "../../etc/passwd", "no model named"),
        ("model", "/etc/passwd", "no model named"),
        ("photo_url", "http://127.0.0.1/", "photo_url: no such option; "),
    ],
)
def test_a_wrong_option_is_422_and_named(
    client: TestClient, make: Callable[..., bytes], field: str, value: str, reason: str
) -> None:
    answer = client.post("/v1/restore", files={"photo": ("a.png", make())}, data={"model": "tiny"} | {field: value})
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize("tile", [-1, 70000, 1.5, True, [64], "big"])
def test_a_wrong_tile_is_told_in_plain_words_in_json_too(
    client: TestClient, make: Callable[..., bytes], tile: object
) -> None:
    asked = {"photo": base64.b64encode(make()).decode(), "model": "tiny"}
    answer = client.post("/v1/restore", json=asked | {"tile": tile})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(
        "tile: must be auto, auto:N for at most N pixels, a number of pixels up to"
    )
    for good in (64, "64", "auto", "auto:64", 0):
        assert client.post("/v1/restore", json=asked | {"tile": good}).status_code == 200


@pytest.mark.parametrize("path", ["/v1/restore", "/v1/jobs"])
def test_options_in_the_address_are_refused_and_not_dropped(
    client: TestClient, make: Callable[..., bytes], path: str
) -> None:
    answer = client.post(
        f"{path}?fix=noise&seed=3", files={"photo": ("a.png", make())}, data={"model": "tiny", "seed": "7"}
    )
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("fix, seed: options stand beside the photo in the form or the JSON")


@pytest.mark.parametrize("page", [False, True])
def test_a_method_that_a_path_does_not_know_is_405_beside_the_page_too(
    started: Callable[..., TestClient], page: bool
) -> None:
    if page:
        pytest.importorskip("gradio", reason="comes with the extra `web`")
    client = started(page)
    for method, path, allowed in (
        ("GET", "/v1/restore", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("PATCH", "/v1/jobs/abc", "DELETE, GET, HEAD"),
        ("DELETE", "/v1/models", "GET, HEAD"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert answer.json()["detail"] == f"{path} knows no {method}, only {allowed}"
    assert client.get("/v1/nothing").status_code == 404
    assert client.head("/v1/restore").status_code == 405


def test_head_is_answered_wherever_get_is_and_without_a_body(started: Callable[..., TestClient]) -> None:
    pytest.importorskip("gradio", reason="comes with the extra `web`")
    client = started(True)
    paths = ["/healthz", "/v1/models", "/openapi.json", "/login", "/v1/jobs/none", "/", "/theme.css", "/manifest.json"]
    for path in paths:
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert head.headers["content-type"] == get.headers["content-type"]
    assert 'unveil_requests_total{method="HEAD",route="/healthz",status="200"} 1' in client.get("/metrics").text


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"", 422, "empty"),
        (b"hello, this is text", 415, "is not an image"),
        (b"%PDF-1.7 something", 415, "is a PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='http://127.0.0.1/'/></svg>", 415, "an SVG"),
        (b"\x89PNG\r\n\x1a\nbroken", 422, "damaged or cut short"),
    ],
)
def test_what_is_no_photograph(client: TestClient, data: bytes, status: int, reason: str) -> None:
    answer = client.post("/v1/restore", files={"photo": ("../../evil/name.png", data)}, data={"model": "tiny"})
    assert answer.status_code == status
    assert reason in answer.json()["detail"]
    assert answer.json()["detail"].startswith("name.png: ")


def test_a_body_that_is_damaged_behind_its_header(client: TestClient, make: Callable[..., bytes]) -> None:
    answer = client.post(
        "/v1/restore", files={"photo": ("cut.png", make(size=(64, 64))[:-3000])}, data={"model": "tiny"}
    )
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("cut.png: ")


def test_too_many_bytes_and_pixels_are_413_from_the_header(
    serve: Callable[..., TestClient], make: Callable[..., bytes]
) -> None:
    client = serve(max_pixels=1000, max_bytes=4000)
    wide = client.post("/v1/restore", files={"photo": ("a.png", make(size=(40, 26)))}, data={"model": "tiny"})
    assert (wide.status_code, "40 x 26" in wide.text) == (413, True)
    heavy = client.post(
        "/v1/restore", files={"photo": ("a.png", make(size=(10, 10)) + bytes(5000))}, data={"model": "tiny"}
    )
    assert heavy.status_code == 413
    stated = client.post(
        "/v1/restore", content=b"x", headers={"content-length": str(10**10), "content-type": "application/json"}
    )
    assert stated.status_code == 413

    def pieces():  # type: ignore[no-untyped-def]
        for _ in range(40):
            yield bytes(1 << 16)

    unstated = client.post("/v1/restore", content=pieces(), headers={"content-type": "application/json"})
    assert (unstated.status_code, "too large" in unstated.text) == (413, True)


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"x", "text/plain", 415),
        (b"x", "", 415),
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b'{"photo": 3}', "application/json", 422),
        (b'{"photo": "***"}', "application/json", 422),
        (b'{"photo": "", "samples": true}', "application/json", 422),
        (b'{"photo": "", "steps": "3"}', "application/json", 422),
        (b'{"photo": "", "name": 3}', "application/json", 422),
        (b"\xff\xfe", "application/json", 422),
        (b"x", "multipart/form-data", 422),
        (b"x", "multipart/form-data; boundary=", 422),
        (b"--a\r\nbroken\r\n--a--", "multipart/form-data; boundary=a", 422),
    ],
)
def test_bodies_that_are_none(client: TestClient, body: bytes, media: str, status: int) -> None:
    answer = client.post("/v1/restore", content=body, headers={"content-type": media})
    assert (answer.status_code, bool(answer.json()["detail"])) == (status, True)


def test_forms_with_too_much_in_them(client: TestClient, make: Callable[..., bytes]) -> None:
    data = make()
    twice = client.post("/v1/restore", files=[("photo", ("a.png", data)), ("photo", ("b.png", data))])
    other = client.post("/v1/restore", files={"picture": ("a.png", data)})
    field = client.post("/v1/restore", data={"photo": "text"}, files={"x": b""})
    assert [a.status_code for a in (twice, other, field)] == [422, 422, 422]
    assert "photo" in other.json()["detail"]


def test_options_follow_the_pixels(client: TestClient, make: Callable[..., bytes]) -> None:
    """strength 0 gives the photograph back: the options really reach the restorer."""
    data = make(5)
    answer = client.post("/v1/restore", files={"photo": ("a.png", data)}, data={"model": "tiny", "strength": "0"})
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), np.asarray(Image.open(io.BytesIO(data))))


def test_told_what_to_fix_and_what_to_keep(client: TestClient, make: Callable[..., bytes]) -> None:
    data = make(5)
    for fields, options in (
        ({"fix": "Noise,haze"}, {"fix": "noise,haze"}),
        ({"fix": "shadow", "keep": "shadow"}, None),
        ({"fix": "light", "keep": "shadow"}, {"fix": "haze,lowlight"}),
        ({"fix": "light"}, {"fix": ("light",)}),
    ):
        answer = client.post(
            "/v1/restore", files={"photo": ("a.png", data)}, data={"model": "told", "seed": "3"} | fields
        )
        if options is None:
            assert answer.status_code == 422
            assert "shadow: asked to fix and to keep at once" in answer.json()["detail"]
            continue
        assert answer.status_code == 200
        expected = Restorer(tiny_experts(), "cpu").restore(data, seed=3, **options)
        assert expected.source is not None
        photo.write(expected.source, expected.image, out := io.BytesIO())
        assert answer.content == out.getvalue()
    tree = {"photo": base64.b64encode(data).decode(), "model": "told", "fix": ["noise", "haze"], "seed": 3}
    told = client.post("/v1/jobs", json=tree).json()
    done = client.app.state.service.find(told["id"]).task.wait(60)  # type: ignore[attr-defined]
    assert done.state == "done"
    said = client.get(f"/v1/jobs/{told['id']}").json()
    assert said["protocol"]["told"] == {k: float(k in ("haze", "noise")) for k in said["protocol"]["told"]}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "told", "fix": "niose"}, "fix: 'niose' is no kind of damage; did you mean noise?"),
        ({"model": "told", "keep": "lihgt"}, "keep: 'lihgt' is no kind of damage; did you mean light?"),
        ({"model": "tiny", "fix": "noise"}, "tiny cannot be told what to fix"),
        ({"model": "tiny", "keep": "light"}, "tiny cannot be told what to fix"),
    ],
)
def test_what_cannot_be_told_is_refused_in_the_users_words(
    client: TestClient, make: Callable[..., bytes], fields: dict[str, str], words: str
) -> None:
    for path in ("/v1/restore", "/v1/jobs"):
        answer = client.post(path, files={"photo": ("a.png", make())}, data=fields)
        assert answer.status_code == 422
        assert words in answer.json()["detail"]


def test_what_takes_kinds_is_documented(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    for path in ("/v1/restore", "/v1/jobs"):
        for media in schema["paths"][path]["post"]["requestBody"]["content"].values():
            fields = media["schema"]["properties"]
            assert "lowlight" in str(fields["fix"])
            assert "light" in str(fields["keep"])


def test_a_tile_may_be_bounded(client: TestClient, make: Callable[..., bytes]) -> None:
    """As `unveil restore` takes it, and as protocols have it."""
    for tile in ("auto:64", "64", "0", "auto"):
        answer = client.post("/v1/restore", files={"photo": ("a.png", make())}, data={"model": "tiny", "tile": tile})
        assert answer.status_code == 200, answer.text
