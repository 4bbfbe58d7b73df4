"""Requests that nobody would send: never a 500, never a leak. A hundred here; `-m slow` sends five thousand
and weighs the process, and makes up others from the schema."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
from fastapi.testclient import TestClient

PHOTO = Path(__file__).parents[1] / "photo"
ODD = (
    "", "0", "-1", "1e309", "nan", "true", "null", "auto", "general", "../..", "\x00", "é" * 40, "A" * 5000, "[]", "{}", "%00", "' OR 1=1",
    "9" * 400, "0x10", "1.5", "\u202e",
)  # fmt: skip
FIELDS = (
    "model",
    "steps",
    "samples",
    "seed",
    "fidelity",
    "strength",
    "solver",
    "grid",
    "resolution",
    "self_ensemble",
    "tile",
    "format",
    "strip",
    "unknown",
)


def corpus() -> tuple[list[bytes], Callable[..., bytes]]:
    """The photo room's files of every format, and its mutations."""
    builders = run_path(str(PHOTO / "conftest.py"))
    names = (
        "matrix_profile",
        "grey_profile",
        "cmyk_profile",
        "random",
        "smooth",
        "pillow",
        "tiff",
        "png16",
        "chunk",
        "exif",
    )
    make = SimpleNamespace(**{name: builders[name] for name in names}, xmp=builders["XMP"])
    fuzz = run_path(str(PHOTO / "test_fuzz.py"))
    return list(fuzz["seeds"](make).values()), fuzz["mutate"]


def flood(client: TestClient, count: int, seed: int) -> Counter[int]:
    """Send `count` requests, half of them damaged photographs with sound options, the others sound photographs with odd ones."""
    files, mutate = corpus()
    bits, rng, seen = np.random.default_rng(seed), random.Random(seed), Counter[int]()
    for index in range(count):
        data, form = files[index % len(files)], {"model": "tiny", "steps": "1"}
        if index % 2:
            data = mutate(data, bits, files)
        else:
            form |= {rng.choice(FIELDS): rng.choice(ODD) for _ in range(rng.randint(1, 3))}
        path = rng.choice(("/v1/restore", "/v1/restore", "/v1/jobs"))
        answer = client.post(path, files={"photo": (rng.choice(("a.png", "../é\r\n.jpg", "")) or "x", data)}, data=form)
        seen[answer.status_code] += 1
        assert answer.status_code in (200, 202, 413, 415, 422), (
            f"request {index}: {answer.status_code} {answer.text[:300]}"
        )
        if answer.status_code == 202:
            job = answer.json()
            client.get(job["events"])
            assert client.get(f"/v1/jobs/{job['id']}/result").status_code in (200, 422)
            if rng.random() < 0.8:
                client.delete(f"/v1/jobs/{job['id']}")
        elif answer.status_code != 200:
            assert len(answer.json()["detail"]) > 5
    return seen


def test_a_hundred_odd_requests(serve: Callable[..., TestClient]) -> None:
    seen = flood(serve(max_pixels=100_000), 100, 0)
    # Neither everything refused nor everything done.
    assert 10 < seen[200] + seen[202] < 90


@pytest.mark.slow
def test_five_thousand_odd_requests_leave_nothing_behind(serve: Callable[..., TestClient]) -> None:
    client = serve(max_pixels=100_000, keep=5)
    service = client.app.state.service  # type: ignore[attr-defined]
    # Libraries and allocators take what they take once, the last of it after a thousand requests.
    flood(client, 1500, 1)
    before = resident()
    seen = flood(client, 5000, 2)
    service.store._clock = lambda: float("inf")
    service.sweep()
    after = resident()
    print(f"{dict(seen)}; resident {before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB after")
    assert after < 1.05 * before
    assert list(service.store._root.iterdir()) == []
    assert service._jobs == {}


def resident() -> int:
    """Bytes of memory held, without what the C library keeps for its own next use."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("memory is weighed on Linux")
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmRSS"))


def _schema_test(client: TestClient, examples: int) -> int:
    """Requests made up from /openapi.json alone, checked against what it promises; returns their number."""
    schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis (pip install schemathesis)")
    from hypothesis import HealthCheck, given, settings
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
        unsupported_method,
    )

    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
        unsupported_method,
    ]
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app, headers={"host": "127.0.0.1"})
    sent = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        strategy = operation.as_strategy(generation_mode=GenerationMode.POSITIVE) | operation.as_strategy(
            generation_mode=GenerationMode.NEGATIVE
        )

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def check(case) -> None:  # type: ignore[no-untyped-def]
            nonlocal sent
            sent += 1
            case.call_and_validate(headers={"host": "127.0.0.1"}, checks=checks)

        check()
    return sent


@pytest.mark.slow
def test_requests_from_the_schema(serve: Callable[..., TestClient]) -> None:
    assert _schema_test(serve(), 120) > 500
