"""/v1/jobs: queued, followed, fetched, cancelled, deleted; and the queue's bounds as HTTP says them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from unveil.diffusion.sampling import Progress
from unveil.errors import Cancelled
from unveil.web.queue import Caller, Task
from unveil.web.schemas import Ask
from unveil.web.service import Service, clean

PATIENCE = 20.0


def send(client: TestClient, data: bytes, **form: str):  # type: ignore[no-untyped-def]
    return client.post("/v1/jobs", files={"photo": ("a.png", data)}, data={"model": "tiny"} | form)


def behind(client: TestClient) -> Service:
    return client.app.state.service  # type: ignore[attr-defined]


@contextmanager
def busy(client: TestClient) -> Iterator[Task]:
    """The server at work on something until the block ends."""
    started, end = threading.Event(), threading.Event()

    def work(task: Task, device: str) -> None:
        started.set()
        while not end.wait(0.005):
            if task.report(0.0):
                raise Cancelled

    task = behind(client).queue.submit("somebody", work)
    assert started.wait(PATIENCE)
    try:
        yield task
    finally:
        end.set()
        task.wait(PATIENCE)


def events(client: TestClient, job: dict) -> list[dict]:
    text = client.get(job["events"]).text
    return [json.loads(block.split("data: ")[1]) for block in text.split("\n\n") if block.startswith("event: status")]


def test_how_sure_it_is(client: TestClient, make: Callable[..., bytes]) -> None:
    wanted = {"model": "told", "fix": "haze", "uncertainty": "true"}
    job = send(client, make(), **wanted, views="true").json()
    assert job["light_uncertainty"] is None
    events(client, job)
    done = client.get(f"/v1/jobs/{job['id']}").json()
    assert list(done["views"]) == ["before", "after", "overlay", "deviation", "doubt"]
    assert 0 < done["light_uncertainty"] < 1
    whole = client.post("/v1/restore", files={"photo": ("a.png", make())}, data=wanted)
    assert float(whole.headers["x-unveil-light-uncertainty"]) == pytest.approx(done["light_uncertainty"], abs=1e-5)
    plain = client.post("/v1/restore", files={"photo": ("a.png", make())}, data=wanted | {"uncertainty": "false"})
    assert plain.content == whole.content, "asking changes no pixel"
    assert "x-unveil-light-uncertainty" not in plain.headers
    refused = send(client, make(), uncertainty="true")
    assert refused.status_code == 422
    assert "take samples=8 and fidelity=0" in refused.json()["detail"]


def test_a_job_from_its_start_to_its_end(client: TestClient, make: Callable[..., bytes]) -> None:
    answer = send(client, make(), seed="3", samples="2", views="true", preview="true")
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    said = events(client, job)
    assert said[-1]["state"] == "done"
    shares = [status["share"] for status in said]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    done = client.get(f"/v1/jobs/{job['id']}").json()
    assert done["result"] == f"/v1/jobs/{job['id']}/result"
    assert done["protocol"]["seed"] == done["seed"] == 3
    assert 0 < done["expires"] <= 900
    assert list(done["views"]) == ["before", "after", "draw-1", "draw-2", "overlay", "deviation", "doubt"]
    for address in (*done["views"].values(), done["preview"]):
        assert client.get(address).headers["content-type"] in ("image/png", "image/jpeg")
    first, again = client.get(done["result"]), client.get(done["result"])
    assert first.content == again.content
    assert first.headers["x-unveil-seed"] == "3"
    whole = client.post(
        "/v1/restore", files={"photo": ("a.png", make())}, data={"model": "tiny", "seed": "3", "samples": "2"}
    )
    assert whole.content == first.content


def test_deleting_deletes(client: TestClient, make: Callable[..., bytes]) -> None:
    job = send(client, make()).json()
    events(client, job)
    folder = behind(client).find(job["id"]).folder  # type: ignore[union-attr]
    assert folder.is_dir()
    assert client.delete(f"/v1/jobs/{job['id']}").json() == {"deleted": True}
    assert not folder.exists()
    for path in ("", "/result", "/events", "/views/after"):
        assert client.get(f"/v1/jobs/{job['id']}{path}").status_code == 404


def test_cancelling_while_it_waits_and_while_it_runs(
    serve: Callable[..., TestClient], make: Callable[..., bytes]
) -> None:
    client = serve()
    with busy(client) as running:
        job = send(client, make()).json()
        assert (job["state"], job["position"]) == ("waiting", 0)
        assert client.get(f"/v1/jobs/{job['id']}/result").status_code == 409
        task, folder = behind(client)._jobs[job["id"]].task, behind(client)._jobs[job["id"]].folder
        client.delete(f"/v1/jobs/{job['id']}")
        assert task.status.state == "cancelled"
        assert not folder.exists()
        assert running.status.state == "running"
    # In the middle of its steps: the callback of the first one deletes the job.
    service, seen = behind(client), []
    restorer = service.restorers.get("tiny", "cpu")
    inside, go_on = threading.Event(), threading.Event()
    original = restorer.restore

    def slow(image, options, *, callback):  # type: ignore[no-untyped-def]
        def watched(step: Progress) -> bool | None:
            seen.append(step.index)
            inside.set()
            go_on.wait(PATIENCE)
            return callback(step)

        return original(image, options, callback=watched)

    restorer.restore = slow  # type: ignore[method-assign]
    job = send(client, make()).json()
    assert inside.wait(PATIENCE)
    task, folder = service._jobs[job["id"]].task, service._jobs[job["id"]].folder
    client.delete(f"/v1/jobs/{job['id']}")
    go_on.set()
    assert task.wait(PATIENCE).state == "cancelled"
    assert seen == [0]
    service.queue.close()
    assert not folder.exists(), "the folder goes when the last step has ended"


def test_a_full_queue_is_429_and_says_when_to_come_again(
    serve: Callable[..., TestClient], make: Callable[..., bytes]
) -> None:
    client = serve(waiting=2, per_client=2)
    with busy(client):
        assert [send(client, make()).status_code for _ in range(2)] == [202, 202]
        refused = send(client, make())
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert "waiting already" in refused.json()["detail"]
        assert len(list(behind(client).store._root.iterdir())) == 2, "what was refused leaves nothing"


def test_a_restoration_that_takes_too_long_is_504(serve: Callable[..., TestClient], make: Callable[..., bytes]) -> None:
    client = serve(seconds=1e-6)
    answer = client.post("/v1/restore", files={"photo": ("a.png", make())}, data={"model": "tiny"})
    assert answer.status_code == 504
    assert "the limit here" in answer.json()["detail"]


def test_results_are_kept_for_their_time_and_no_longer(
    serve: Callable[..., TestClient], make: Callable[..., bytes]
) -> None:
    client = serve(keep=100)
    now = [0.0]
    store = behind(client).store
    store._clock = lambda: now[0]
    job = send(client, make()).json()
    events(client, job)
    behind(client).queue.close()
    now[0] = 99
    assert client.get(job["events"]).status_code == 200  # asking keeps it for as long again
    now[0] = 198
    assert client.get(f"/v1/jobs/{job['id']}/result").status_code == 200
    now[0] = 299
    assert client.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert list(store._root.iterdir()) == []
    assert behind(client)._jobs == {}


def test_waiting_for_an_answer_leaves_nothing(serve: Callable[..., TestClient], make: Callable[..., bytes]) -> None:
    client = serve()
    for data in (make(), make(size=(64, 64))[:-3000]):
        client.post("/v1/restore", files={"photo": ("a.png", data)}, data={"model": "tiny"})
    behind(client).queue.close()
    assert list(behind(client).store._root.iterdir()) == []
    assert behind(client)._jobs == {}


def test_a_job_may_be_forgotten_just_when_it_ends(serve: Callable[..., TestClient], make: Callable[..., bytes]) -> None:
    """Between the last word of a task and the books about it; the worker goes on."""
    service = behind(serve())
    counted = service.metrics.job

    def forgetting(task: Task) -> None:
        for job in list(service._jobs.values()):
            service.forget(job)
        counted(task)

    service.metrics.job = forgetting  # type: ignore[method-assign]
    for _ in range(2):
        job = service.restore(Ask(model="tiny").order("a.png", 10_000), make(), Caller("me"))
        assert job.task.wait(PATIENCE).state == "done"
    service.queue.close()
    assert service._jobs == {}
    assert list(service.store._root.iterdir()) == []


def test_the_folder_is_private_and_goes_with_the_server(serve: Callable[..., TestClient]) -> None:
    client = serve()
    root: Path = behind(client).store._root
    assert root.stat().st_mode & 0o777 == 0o700
    behind(client).close()
    assert not root.exists()


def test_a_closed_connection_cancels(serve: Callable[..., TestClient], make: Callable[..., bytes]) -> None:
    """Over a real socket: the client hangs up while its restoration waits."""
    import socket

    import uvicorn

    client = serve()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(client.app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    with busy(client):
        body = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n' + make() + b"\r\n"
        body += b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ntiny\r\n--b--\r\n'
        with socket.create_connection(listener.getsockname()) as caller:
            head = "POST /v1/restore HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            caller.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            _until(lambda: behind(client).queue.waiting == 1)
        _until(lambda: behind(client).queue.waiting == 0)
    server.should_exit = True
    thread.join(PATIENCE)
    assert behind(client)._jobs == {}


def _until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_metrics_count_what_happened(serve: Callable[..., TestClient], make: Callable[..., bytes]) -> None:
    client = serve()
    client.post("/v1/restore", files={"photo": ("a.png", make())}, data={"model": "tiny"})
    client.post("/v1/restore", content=b"x", headers={"content-type": "text/plain"})
    client.get("/v1/jobs/nobody")
    behind(client).queue.close()
    rows = client.get("/metrics").text.splitlines()
    assert 'unveil_requests_total{method="POST",route="/v1/restore",status="200"} 1' in rows
    assert 'unveil_requests_total{method="POST",route="/v1/restore",status="415"} 1' in rows
    assert 'unveil_requests_total{method="GET",route="/v1/jobs/{id}",status="404"} 1' in rows
    assert 'unveil_jobs_total{state="done"} 1' in rows
    assert "unveil_restore_seconds_count 1" in rows
    buckets = [int(row.split()[-1]) for row in rows if row.startswith("unveil_restore_seconds_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 1
    assert all(row.startswith("#") or len(row.rsplit(" ", 1)) == 2 for row in rows)


def test_models_and_health(client: TestClient) -> None:
    assert [model["name"] for model in client.get("/v1/models").json()] == ["tiny", "other", "told"]
    assert client.get("/healthz").json()["status"] == "ok"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("lake.jpg", "lake.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\lake.jpg", "lake.jpg"),
        ("..", "photo"),
        ("", "photo"),
        (None, "photo"),
        ('a\r\nSet-Cookie: x="1".png', "aSet-Cookie x=1.png"),
        ("<img src=x>.png", "img src=x.png"),
        ("日本.png", "日本.png"),
        ("x" * 500 + ".png", "x" * 116 + ".png"),
    ],
)
def test_names_are_names(given: str | None, kept: str) -> None:
    assert clean(given) == kept


def test_head_of_the_events_does_not_wait_for_them(client: TestClient, make: Callable[..., bytes]) -> None:
    with busy(client):
        job = send(client, make()).json()
        answer = client.head(job["events"])
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")
        client.delete(f"/v1/jobs/{job['id']}")
