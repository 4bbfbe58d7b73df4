"""A bounded queue of work with one worker per device, fair between clients."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Any

from unveil.errors import UnveilError
from unveil.jobs.queue_task import CANCELLED, FAILED, Status, Task

LONGEST_RETRY = 600


class Full(UnveilError):
    """There is no room in the queue now. retry_after: seconds after which there should be."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Queue:
    """Runs tasks one at a time on each device, so that what else is waiting never changes a result.

    Clients take turns: with two that have submitted many tasks each, every second task that starts is the other's. Within a client, first
    come, first served.

    devices: one worker (thread) for each, which passes the name on to the work. waiting: the most tasks that may wait. per_client: the
    most tasks of one client that may wait or run. seconds: after which the work is asked to stop. record: called with every task that
    has ended.
    """

    def __init__(
        self,
        devices: Sequence[str],
        *,
        waiting: int = 32,
        per_client: int = 8,
        seconds: float = float("inf"),
        record: Callable[[Task], None] | None = None,
    ) -> None:
        self.waiting_limit, self.per_client, self.seconds = waiting, per_client, seconds
        self._record = record or (lambda task: None)
        self._turns: OrderedDict[str, deque[Task]] = OrderedDict()
        self._running: set[Task] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._usual = 1.0  # seconds of a task, forgetting old ones
        self._threads = [
            threading.Thread(target=self._work, args=(d,), name=f"unveil-{d}", daemon=True) for d in devices
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Tasks that wait."""
        with self._changed:
            return sum(map(len, self._turns.values()))

    @property
    def running(self) -> int:
        """Tasks that run."""
        with self._changed:
            return len(self._running)

    def submit(self, client: str, work: Callable[[Task, str], Any]) -> Task:
        """Put `work(task, device)` at the end of the client's line. Raises Full."""
        with self._changed:
            if self._closed:
                raise Full("the server is shutting down", 60)
            waiting = sum(map(len, self._turns.values()))
            own = len(self._turns.get(client, ())) + sum(task.client == client for task in self._running)
            if waiting >= self.waiting_limit:
                raise Full(
                    f"{waiting} restorations are waiting already; try again a little later", self._retry_after(waiting)
                )
            if own >= self.per_client:
                raise Full(
                    f"you have {own} restorations under way, the most one client may have; wait for one of them",
                    self._retry_after(own),
                )
            task = Task(client, work, self.seconds)
            self._turns.setdefault(client, deque()).append(task)
            self._changed.notify()
        self._tell_positions()
        return task

    def cancel(self, task: Task) -> bool:
        """Take a waiting task out, ask a running one to stop at its next step. False where it had ended already."""
        with self._changed:
            task.ask_to_stop()
            line = self._turns.get(task.client, deque())
            was_waiting = task in line
            if was_waiting:
                line.remove(task)
                if not line:
                    del self._turns[task.client]
        if was_waiting:
            task.tell(Status(CANCELLED, reason="cancelled"))
            self._record(task)
            self._tell_positions()
        return was_waiting or not task.status.final

    def close(self, timeout: float = 30.0) -> None:
        """Cancel everything and wait for the workers to end."""
        with self._changed:
            self._closed = True
            tasks = [task for line in self._turns.values() for task in line] + list(self._running)
            self._changed.notify_all()
        for task in tasks:
            self.cancel(task)
        for thread in self._threads:
            thread.join(timeout)

    def _work(self, device: str) -> None:
        while (task := self._next()) is not None:
            self._tell_positions()
            task.run(device)
            if task.error is not None and task.status.state == FAILED and not isinstance(task.error, UnveilError):
                logging.getLogger(__name__).error("a task failed", exc_info=task.error)
            with self._changed:
                self._running.discard(task)
                self._usual += 0.2 * (task.status.seconds - self._usual)
            self._record(task)

    def _next(self) -> Task | None:
        with self._changed:
            self._changed.wait_for(lambda: self._turns or self._closed)
            if self._closed:
                return None
            client, line = self._turns.popitem(last=False)
            task = line.popleft()
            if line:
                self._turns[client] = line  # behind everybody else
            self._running.add(task)
            return task

    def _tell_positions(self) -> None:
        with self._changed:
            places = list(self._places())
        for task, place in places:
            task.move(place)

    def _places(self) -> list[tuple[Task, int]]:
        """Every waiting task with the number of tasks that will start before it."""
        lines = [list(line) for line in self._turns.values()]
        order = [line[i] for i in range(max(map(len, lines), default=0)) for line in lines if i < len(line)]
        return [(task, place) for place, task in enumerate(order)]

    def _retry_after(self, ahead: int) -> int:
        return min(LONGEST_RETRY, max(1, round(self._usual * ahead / len(self._threads))))
