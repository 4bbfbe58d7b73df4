import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch
from PIL import Image

from unveil.errors import ModelError
from unveil.zeroshot.captions import KEY, QUESTION, address, caption, picture


@pytest.fixture
def server():
    """An endpoint on this machine: `.answer` (status, body) is what it says, `.asked` what it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.asked.append((self.path, dict(self.headers), json.loads(body)))
            status, text = self.server.answer
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args):
            pass

    made = HTTPServer(("127.0.0.1", 0), Handler)
    made.asked, made.answer = [], (200, json.dumps({"choices": [{"message": {"content": " a red\nbarn "}}]}))
    made.url = f"http://127.0.0.1:{made.server_port}"
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def image() -> torch.Tensor:
    return torch.linspace(-1, 1, 1000).expand(3, 500, 1000).contiguous()


def test_the_endpoint_gets_the_question_and_the_picture(server, monkeypatch):
    monkeypatch.setenv(KEY, "secret")
    assert caption(image(), server.url, "some-model") == "a red barn"
    path, headers, body = server.asked[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer secret"
    assert body["model"] == "some-model"
    text, sent = body["messages"][0]["content"]
    assert text["text"] == QUESTION
    file = io.BytesIO(base64.b64decode(sent["image_url"]["url"].split(",")[1]))
    with Image.open(file) as opened:
        assert opened.size == (896, 448)
        assert opened.getpixel((0, 0))[0] < 3
        assert opened.getpixel((895, 0))[0] > 252


def test_without_a_key_none_is_sent(server, monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    caption(image(), server.url + "/v1")
    assert "Authorization" not in server.asked[0][1]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, "wrong key"), "401 .*wrong key"),
        ((200, "<html>"), "not that of an OpenAI-compatible"),
        ((200, '{"choices": []}'), "not that of an OpenAI-compatible"),
        ((200, '{"choices": [{"message": {"content": ""}}]}'), "without a text"),
    ],
)
def test_answers_that_are_none(server, answer, said):
    server.answer = answer
    with pytest.raises(ModelError, match=said):
        caption(image(), server.url)


def test_an_endpoint_that_is_not_there(server):
    from socket import socket

    with socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ModelError, match=rf"no captioner answers at {url}/v1/chat/completions .*--prompt"):
        caption(image(), url)


def test_addresses():
    for given in ("http://h", "http://h/", "http://h/v1", "http://h/v1/chat/completions"):
        assert address(given) == "http://h/v1/chat/completions"
    assert address("http://h/api/v1/") == "http://h/api/v1/chat/completions"


def test_pictures_are_rounded_and_not_enlarged():
    assert picture(torch.zeros(3, 5, 7)).size == (7, 5)
    assert picture(torch.zeros(3, 1, 1)).getpixel((0, 0)) == (128, 128, 128)


def test_a_local_model_that_is_none(tmp_path):
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="no image-to-text model"):
        caption(image(), str(tmp_path))
