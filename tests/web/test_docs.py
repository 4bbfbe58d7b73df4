"""The clients that docs/serve.md shows are run as they stand there; Dockerfile and Space agree with the command."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi.testclient import TestClient

from unveil.restorer import Restorer
from unveil.testing import tiny_model
from unveil.web.engines import Engine, Restorers

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")


@pytest.fixture
def address(serve: Callable[..., TestClient]) -> Iterator[str]:
    app = serve().app
    app.state.service.restorers = Restorers(  # type: ignore[attr-defined]
        {"general": Engine("general", "LearnIR", "random", lambda device: Restorer(tiny_model(), "cpu"))}
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


def block(language: str, address: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    assert "http://127.0.0.1:7860" in found[1]
    return found[1].replace("http://127.0.0.1:7860", address)


@pytest.fixture
def folder(tmp_path: Path, make: Callable[..., bytes]) -> Path:
    (tmp_path / "photo.jpg").write_bytes(make(format="JPEG", quality=90))
    return tmp_path


def test_the_python_client(address: str, folder: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", block("python", address)], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "done 100%"
    Restorer(tiny_model(), "cpu").restore(folder / "photo.jpg", samples=2, seed=7).save(folder / "expected.jpg")
    assert (folder / "clean.jpg").read_bytes() == (folder / "expected.jpg").read_bytes()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_curl_client(address: str, folder: Path) -> None:
    ran = subprocess.run(block("sh", address), cwd=folder, shell=True, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    Restorer(tiny_model(), "cpu").restore(folder / "photo.jpg", seed=7).save(folder / "expected.jpg")
    assert (folder / "clean.jpg").read_bytes() == (folder / "expected.jpg").read_bytes()


def test_the_table_of_requests_is_the_interface(serve: Callable[..., TestClient]) -> None:
    paths = serve().get("/openapi.json").json()["paths"]
    told = set(
        re.findall(r"`?((?:GET|POST|DELETE) )?(/(?:v1|healthz|metrics|views)[^`\s]*)`", PAGE.split("## One queue")[0])
    )
    offered = {path.replace("/v1/jobs/{id}/views", "/views") for path in paths}
    assert offered <= {path for _, path in told}


def test_the_container_runs_what_the_command_takes(capsys: pytest.CaptureFixture[str]) -> None:
    from unveil.cli import main

    text = (ROOT / "Dockerfile").read_text()
    entry = re.search(r'ENTRYPOINT \["unveil", (.*)\]', text)
    assert entry
    tokens = [token.strip('" ') for token in entry[1].split(",")]
    assert main(tokens) == 2, "without a token nobody is let in"
    assert "--token" in capsys.readouterr().err
    for name in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE):
        for part in name.split():
            assert (ROOT / part).exists()
            assert f"!{part}" in (ROOT / ".dockerignore").read_text().split()


def test_the_space_is_the_same_page_with_smaller_limits() -> None:
    from runpy import run_path

    import gradio
    import yaml

    settings = run_path(str(ROOT / "space" / "app.py"))["SETTINGS"]
    assert settings.open
    assert settings.frame
    head = yaml.safe_load((ROOT / "space" / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert (head["sdk"], head["app_file"]) == ("gradio", "app.py")
    assert head["sdk_version"].split(".")[0] == gradio.__version__.split(".")[0]
    assert len(head["short_description"]) <= 60
    assert (ROOT / "space" / "requirements.txt").read_text().startswith("unveil[web]")
