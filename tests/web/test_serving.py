"""`unveil web`: what it prints, what it refuses, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from unveil.cli import main
from unveil.errors import InputError
from unveil.web.serving import reached, serve
from unveil.web.settings import ServerSettings


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        (["--host", "0.0.0.0"], "--no-auth"),
        (["--token", "short"], "at least 12"),
        (["--port", "70000"], "--port"),
        (["--max-pixels", "0"], "--max-pixels"),
        (["--model", "mine"], "NAME=PATH"),
        (["--model", "mine=/nowhere/typo.safetensors"], "no such file or run folder"),
        (["--model", "general=."], "there is a model general already"),
        (["--model", "tao=."], "there is a model tao already"),
        (["--device", "abacus"], "abacus"),
    ],
)
def test_wrong_settings_are_one_line(tokens: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["web", "--port", "0", *tokens]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert reason in said.err
    assert said.err.count("\n") == 1


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(InputError, match="choose another"):
        serve(ServerSettings(port=other.getsockname()[1]), page=False)


def test_it_says_an_address_that_can_be_opened() -> None:
    assert reached("127.0.0.1", 7860) == "http://127.0.0.1:7860"
    assert reached("::1", 80) == "http://[::1]:80"
    assert reached("0.0.0.0", 7860) == "http://127.0.0.1:7860 and, for other machines, at port 7860 of this one"


@pytest.mark.slow
@pytest.mark.parametrize("page", [False, True])
def test_it_prints_its_address_serves_and_ends_on_ctrl_c(page: bool) -> None:
    """With the page while one is open, whose streams do not end by themselves."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "unveil.cli",
        "web",
        "--port",
        "0",
        "--device",
        "cpu",
        *([] if page else ["--no-page"]),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    with contextlib.ExitStack() as streams:
        try:
            line = process.stdout.readline()
            assert line.startswith("Unveil is at http://127.0.0.1:")
            address = line.split()[3]
            with urllib.request.urlopen(f"{address}/healthz") as answer:
                assert json.load(answer)["status"] == "ok"
            if page:
                stream = streams.enter_context(urllib.request.urlopen(f"{address}/gradio_api/heartbeat/somebody"))
                assert b"ALIVE" in stream.readline()
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert "Traceback" not in errors
