"""The queue: its order, its bounds, and how tasks end."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from unveil.errors import Cancelled, InputError
from unveil.web.queue import Full, Queue, Status, Task

PATIENCE = 20.0


@pytest.fixture
def make() -> Iterator[Callable[..., Queue]]:
    """Builds queues and closes them afterwards."""
    made: list[Queue] = []

    def build(devices: tuple[str, ...] = ("cpu",), **settings: object) -> Queue:
        made.append(Queue(devices, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for queue in made:
        queue.close()


class Gate:
    """Work that holds a worker until it is opened, and says when it was started."""

    def __init__(self) -> None:
        self.started, self.open = threading.Event(), threading.Event()

    def __call__(self, task: Task, device: str) -> str:
        self.started.set()
        while not self.open.wait(0.005):
            if task.report(0.0):
                raise Cancelled
        return device


def held(queue: Queue, client: str = "holder") -> tuple[Gate, Task]:
    gate = Gate()
    task = queue.submit(client, gate)
    assert gate.started.wait(PATIENCE)
    return gate, task


def test_clients_take_turns_and_each_is_served_in_order(make: Callable[..., Queue]) -> None:
    queue = make(per_client=10)
    gate, _ = held(queue)
    order: list[str] = []
    tasks = [
        queue.submit(name[0], lambda task, device, name=name: order.append(name))
        for name in ("a1", "a2", "a3", "a4", "b1", "b2", "c1")
    ]
    assert [task.status.position for task in tasks] == [0, 3, 5, 6, 1, 4, 2]
    gate.open.set()
    for task in tasks:
        assert task.wait(PATIENCE).state == "done"
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_one_task_at_a_time_on_each_device(make: Callable[..., Queue]) -> None:
    queue = make(("cpu", "gpu"), waiting=20, per_client=20)
    lock, here, most = threading.Lock(), {"cpu": 0, "gpu": 0}, {"cpu": 0, "gpu": 0}
    meet = threading.Barrier(2)

    def work(task: Task, device: str) -> str:
        with lock:
            here[device] += 1
            most[device] = max(most[device], here[device])
        meet.wait(PATIENCE)  # only passed where both devices work at the same time
        with lock:
            here[device] -= 1
        return device

    tasks = [queue.submit("a", work) for _ in range(8)]
    assert {task.wait(PATIENCE).state for task in tasks} == {"done"}
    assert most == {"cpu": 1, "gpu": 1}
    assert {task.result for task in tasks} == {"cpu", "gpu"}


def test_the_queue_is_bounded_in_all_and_for_each_client(make: Callable[..., Queue]) -> None:
    queue = make(waiting=3, per_client=2)
    gate, _ = held(queue, "a")
    queue.submit("a", gate)
    with pytest.raises(Full, match="you have 2") as error:
        queue.submit("a", gate)
    assert error.value.retry_after >= 1
    queue.submit("b", gate)
    queue.submit("b", gate)
    with pytest.raises(Full, match="3 restorations are waiting"):
        queue.submit("c", gate)
    assert (queue.waiting, queue.running) == (3, 1)
    gate.open.set()


def test_cancelling_what_waits_and_what_runs(make: Callable[..., Queue]) -> None:
    ended: list[Task] = []
    queue = make(record=ended.append)
    _, running = held(queue)
    first, second = queue.submit("a", lambda task, device: 1), queue.submit("a", lambda task, device: 2)
    assert second.status.position == 1
    assert queue.cancel(first)
    assert first.status.state == "cancelled"
    assert second.status.position == 0
    assert queue.cancel(running)
    assert running.wait(PATIENCE).state == "cancelled"
    assert second.wait(PATIENCE).state == "done"
    assert not queue.cancel(second)
    assert second.status.state == "done"
    queue.close()
    assert [task.status.state for task in ended] == ["cancelled", "cancelled", "done"]


def test_work_that_takes_too_long_is_stopped(make: Callable[..., Queue]) -> None:
    queue = make(seconds=0.02)
    status = queue.submit("a", Gate()).wait(PATIENCE)
    assert (status.state, status.reason) == ("failed", "stopped after 0.02 seconds, the limit here")


def _fail(error: Exception) -> Callable[[Task, str], None]:
    def work(task: Task, device: str) -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InputError("a.jpg:\nis empty"), "a.jpg: is empty"),
        (MemoryError(), "memory ran out; try a smaller photograph or fewer draws"),
        (ZeroDivisionError("/secret/path"), "something went wrong inside; the server's log says what"),
    ],
)
def test_a_task_that_fails_says_why_and_the_next_one_runs(
    make: Callable[..., Queue], error: Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    queue = make()
    task = queue.submit("a", _fail(error))
    status = task.wait(PATIENCE)
    assert (status.state, status.reason, task.error) == ("failed", reason, error)
    assert queue.submit("a", lambda task, device: "fine").wait(PATIENCE).state == "done"
    queue.close()
    # Users' mistakes are no news for the log; our own are, with their traceback.
    assert ("a task failed" in caplog.text) == (not isinstance(error, InputError))


def test_a_time_limit_is_no_fault_of_the_server(make: Callable[..., Queue], caplog: pytest.LogCaptureFixture) -> None:
    queue = make()
    assert queue.submit("a", _fail(Cancelled("cancelled after step 2 of 5"))).wait(PATIENCE).final
    queue.close()
    assert "a task failed" not in caplog.text


def test_listeners_hear_everything_up_to_the_end(make: Callable[..., Queue]) -> None:
    queue = make()
    gate, _ = held(queue)

    def work(task: Task, device: str) -> str:
        task.report(0.5, 3.0, step=1)
        task.report(0.25, 2.0, draw=2)  # never goes back
        return "made"

    task = queue.submit("a", work)
    heard: list[Status] = []
    end = task.listen(heard.append)
    gate.open.set()
    task.wait(PATIENCE)
    queue.close()
    assert [(s.state, s.share) for s in heard] == [("running", 0.0), ("running", 0.5), ("running", 0.5), ("done", 1.0)]
    assert heard[-1].detail == {"step": 1, "draw": 2}
    assert heard[-1].final
    end()
    task.tell(Status("waiting"))
    assert task.status.state == "done"
    assert len(heard) == 4


def test_what_the_work_held_is_let_go(make: Callable[..., Queue]) -> None:
    class Photograph:
        pass

    queue, held_by_work = make(), Photograph()
    seen = weakref.ref(held_by_work)
    task = queue.submit("a", lambda task, device, kept=held_by_work: None)
    del held_by_work
    task.wait(PATIENCE)
    queue.close()
    gc.collect()
    assert seen() is None


def test_a_closed_queue_cancels_what_is_left_and_takes_nothing(make: Callable[..., Queue]) -> None:
    queue = make()
    _, running = held(queue)
    waiting = queue.submit("a", lambda task, device: None)
    queue.close()
    assert (running.status.state, waiting.status.state) == ("cancelled", "cancelled")
    with pytest.raises(Full, match="shutting down"):
        queue.submit("a", lambda task, device: None)


def test_a_worker_outlives_what_fails_after_a_task(
    make: Callable[..., Queue], caplog: pytest.LogCaptureFixture
) -> None:
    def record(task: Task) -> None:
        raise FileNotFoundError("its folder is gone")

    queue = make(record=record)
    for _ in range(2):
        assert queue.submit("somebody", lambda task, device: 7).wait(PATIENCE).state == "done"
    assert "its folder is gone" in caplog.text
