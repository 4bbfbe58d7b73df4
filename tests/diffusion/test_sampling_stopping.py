"""Stopping between two operations of torch."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from unveil.diffusion.sampling import check, stoppable
from unveil.errors import Cancelled
from unveil.restorer import Restorer
from unveil.testing import tiny_model
from unveil.web.queue import CLOSING, Queue

X = np.random.default_rng(0).random((64, 96, 3), dtype=np.float32)


def test_it_stops_in_the_middle_of_a_step_and_changes_nothing_otherwise() -> None:
    restorer = Restorer(tiny_model(), "cpu")
    alone = restorer.restore(X, steps=2)
    asked = 0

    def ask(limit: float) -> bool:
        nonlocal asked
        asked += 1
        return asked > limit

    with stoppable(lambda: ask(float("inf"))):
        assert np.array_equal(restorer.restore(X, steps=2).image, alone.image)
    assert asked > 100
    asked, steps = 0, []
    with pytest.raises(Cancelled), stoppable(lambda: ask(30)):
        restorer.restore(X, steps=2, callback=lambda step: steps.append(step.index))
    assert (asked, steps) == (31, [])
    assert np.array_equal(restorer.restore(X, steps=2).image, alone.image)


def test_work_without_torch_is_stopped_where_it_asks() -> None:
    check()
    with stoppable(lambda: False):
        check()
        with pytest.raises(Cancelled), stoppable(lambda: True):
            check()
        check()  # of the outer one again
    with stoppable(lambda: True), ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(check).result()  # another thread's work goes on


@pytest.mark.parametrize("how", ["cancel", "time", "stop"])
def test_a_task_ends_at_its_next_operation(how: str) -> None:
    queue = Queue(["cpu"], seconds=0.1 if how == "time" else 1000)

    def work(task: object, device: str) -> None:
        limit = time.monotonic() + 20
        while time.monotonic() < limit:  # a step that says nothing
            torch.ones(3).sum()

    task = queue.submit("me", work)
    while task.status.state == "waiting":
        time.sleep(0.01)
    began = time.monotonic()
    if how == "cancel":
        queue.cancel(task)
    if how == "stop":
        queue.stop()
    status = task.wait(10)
    assert time.monotonic() - began < 2
    assert (status.state, status.reason) == {
        "cancel": ("cancelled", "cancelled"), "time": ("failed", "stopped after 0.1 seconds, the limit here"),
        "stop": ("cancelled", CLOSING),
    }[how]  # fmt: skip
    queue.close()
