"""A bounded queue of work with one worker per device, fair between clients; and a piece of work in it, which can be stopped."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from unveil.diffusion.sampling import stoppable
from unveil.errors import Cancelled, UnveilError

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
FINAL = (DONE, FAILED, CANCELLED)


@dataclass(frozen=True)
class Status:
    """The state of a task as clients see it.

    position: tasks that will be started before it, 0 for the next one; None once it was started. share: of the work that is done, 0
    to 1. left: estimated seconds until the end, None where nothing is known. reason: why it failed, one sentence for the user.
    detail: what the work itself says about where it is, plain values.
    """

    state: str = WAITING
    position: int | None = None
    share: float = 0.0
    seconds: float = 0.0
    left: float | None = None
    reason: str = ""
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINAL


Listener = Callable[[Status], None]


class Task:
    """Work that waits, runs or has ended. Thread-safe.

    client: whose turn it takes (`Caller`). limit: seconds that it may run. result: what the work returned, None until then.
    error: the exception it ended with.
    """

    def __init__(self, client: Any, work: Callable[[Task, str], Any], limit: float = float("inf")) -> None:
        self.client, self.limit = client, limit
        self.work: Callable[[Task, str], Any] | None = work
        self.result: Any = None
        self.error: Exception | None = None
        self.ended: float | None = None
        self._status = Status()
        self._changed = threading.Condition()
        self._listeners: list[Listener] = []
        self._stop = ""
        self._started: float | None = None

    @property
    def status(self) -> Status:
        """The latest status, with the seconds that the task has been running."""
        with self._changed:
            status = self._status
        return replace(status, seconds=self._seconds()) if status.state == RUNNING else status

    @property
    def stopping(self) -> bool:
        """Whether the work should end as soon as it can: it was cancelled, or has used up its time."""
        return bool(self._stop) or self._seconds() > self.limit

    def report(self, share: float, left: float | None = None, **detail: Any) -> bool:
        """Called by the work, as often as it likes. True: stop now, as for the callback of `Restorer.restore`."""
        status = self._status
        self.tell(replace(status, share=min(max(share, status.share), 1.0), left=left, detail=status.detail | detail))
        return self.stopping

    def go_on(self) -> None:
        """Called by the work between two parts that have no callback. Raises Cancelled where it should stop."""
        if self.stopping:
            raise Cancelled

    def wait(self, timeout: float | None = None) -> Status:
        """Block until the task has ended (or so many seconds have passed) and return its status."""
        with self._changed:
            self._changed.wait_for(lambda: self._status.final, timeout)
        return self.status

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every new status, on whichever thread made it; it must return at once. Returns a function that ends this."""
        with self._changed:
            self._listeners.append(listener)

        def end() -> None:
            with self._changed:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return end

    def tell(self, status: Status) -> None:
        """Make `status` the latest one, unless the task has ended."""
        with self._changed:
            if self._status.final:
                return
            self._status = replace(status, seconds=self._seconds())
            if status.final:
                self.ended = time.monotonic()
            self._spread()

    def move(self, place: int) -> None:
        """Set the place in the queue, while the task waits."""
        with self._changed:
            if self._status.state != WAITING or self._status.position == place:
                return
            self._status = replace(self._status, position=place)
            self._spread()

    def _spread(self) -> None:
        """Wake waiting threads and call listeners; with the lock held, so that all get every status in order."""
        self._changed.notify_all()
        for listener in self._listeners:
            listener(self._status)

    def ask_to_stop(self, reason: str = CANCELLED) -> None:
        """From now on `report` says True. `Queue.cancel` is what clients call. reason: what the last status says, if nothing did before."""
        self._stop = self._stop or reason

    def run(self, device: str) -> None:
        """Do the work and set the final status. Called by the queue."""
        self._started = time.monotonic()
        self.tell(Status(RUNNING))
        try:
            if self._stop:
                raise Cancelled
            with stoppable(lambda: self.stopping):
                self.result = self.work(self, device)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - no single task may stop the queue; the error is kept for whoever asks
            self.error = error
            self.tell(self._ending(error))
        else:
            self.tell(replace(self._status, state=DONE, share=1.0, left=0.0))
        finally:
            self.work = None  # what it holds (an upload's name, a photograph) is not needed any more

    def _ending(self, error: Exception) -> Status:
        if isinstance(error, Cancelled) and self._stop:
            return replace(self._status, state=CANCELLED, left=None, reason=self._stop)
        if isinstance(error, Cancelled):
            return replace(
                self._status, state=FAILED, left=None, reason=f"stopped after {self.limit:g} seconds, the limit here"
            )
        if isinstance(error, UnveilError):
            reason = " ".join(str(error).split())
        elif isinstance(error, MemoryError):
            reason = "memory ran out; try a smaller photograph or fewer draws"
        else:
            reason = "something went wrong inside; the server's log says what"
        return replace(self._status, state=FAILED, left=None, reason=reason)

    def _seconds(self) -> float:
        if self._started is None:
            return 0.0
        return (self.ended or time.monotonic()) - self._started


LONGEST_RETRY = 600
CLOSING = "the server is shutting down; send it again a little later"


class Caller(NamedTuple):
    """Who asks. share: the address, which has a limited number of places in the queue. line: one of the programs or pages at that address;
    they take turns and have no more places together.
    """

    share: str
    line: str = ""


class Full(UnveilError):
    """No room for this client now, in the queue or on disk. retry_after: seconds after which there should be."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Crowded(Full):
    """No room for any client now."""


_Turns = OrderedDict[str, OrderedDict[str, deque[Task]]]


class Queue:
    """Runs tasks one at a time on each device, so that what else is waiting never changes a result.

    Clients take turns: with two that have submitted many tasks each, every second task that starts is the other's. Within a client its
    lines take turns in the same way; within a line, first come, first served.

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
        self._turns: _Turns = OrderedDict()
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
            return self._count()

    @property
    def running(self) -> int:
        """Tasks that run."""
        with self._changed:
            return len(self._running)

    def submit(self, client: str | Caller, work: Callable[[Task, str], Any]) -> Task:
        """Put `work(task, device)` at the end of the client's line. Raises Full, Crowded when it is closed."""
        caller = client if isinstance(client, Caller) else Caller(client)
        with self._changed:
            if self._closed:
                raise Crowded(CLOSING, 60)
            waiting = self._count()
            own = self._count(caller.share) + sum(task.client.share == caller.share for task in self._running)
            if waiting >= self.waiting_limit:
                raise Full(
                    f"{waiting} restorations are waiting already; try again a little later", self._retry_after(waiting)
                )
            if own >= self.per_client:
                raise Full(
                    f"you have {own} restorations under way, the most one client may have; wait for one of them",
                    self._retry_after(own),
                )
            task = Task(caller, work, self.seconds)
            self._turns.setdefault(caller.share, OrderedDict()).setdefault(caller.line, deque()).append(task)
            self._changed.notify()
        self._tell_positions()
        return task

    def cancel(self, task: Task, reason: str = CANCELLED) -> bool:
        """Take a waiting task out, ask a running one to stop at its next operation. False where it had ended already."""
        with self._changed:
            task.ask_to_stop(reason)
            share = self._turns.get(task.client.share, OrderedDict())
            line = share.get(task.client.line, deque())
            was_waiting = task in line
            if was_waiting:
                line.remove(task)
                if not line:
                    del share[task.client.line]
                if not share:
                    del self._turns[task.client.share]
        if was_waiting:
            task.tell(Status(CANCELLED, reason=reason))
            self._record(task)
            self._tell_positions()
        return was_waiting or not task.status.final

    def stop(self) -> None:
        """Take no more tasks and cancel all there are, saying why; does not wait for them."""
        with self._changed:
            self._closed = True
            waiting = [task for lines in self._turns.values() for line in lines.values() for task in line]
            tasks = waiting + list(self._running)
            self._changed.notify_all()
        for task in tasks:
            self.cancel(task, CLOSING)

    def close(self, timeout: float = 5.0) -> None:
        """Stop, and wait at most so many seconds for each worker to end."""
        self.stop()
        for thread in self._threads:
            thread.join(timeout)

    def _work(self, device: str) -> None:
        while (task := self._next()) is not None:
            self._tell_positions()
            task.run(device)
            if (
                task.error is not None
                and task.status.state == FAILED
                and not isinstance(task.error, (UnveilError, Cancelled))
            ):
                logging.getLogger(__name__).error("a task failed", exc_info=task.error)
            with self._changed:
                self._running.discard(task)
                self._usual += 0.2 * (task.status.seconds - self._usual)
            try:
                self._record(task)
            except Exception:  # an exception here would end the worker, and all that wait would wait for ever
                logging.getLogger(__name__).exception("what is done after a task failed")

    def _next(self) -> Task | None:
        with self._changed:
            self._changed.wait_for(lambda: self._turns or self._closed)
            if self._closed:
                return None
            task = _take(self._turns)
            self._running.add(task)
            return task

    def _tell_positions(self) -> None:
        with self._changed:
            places = list(self._places())
        for task, place in places:
            task.move(place)

    def _places(self) -> list[tuple[Task, int]]:
        """Every waiting task with the number of tasks that will start before it."""
        left: _Turns = OrderedDict(
            (share, OrderedDict((name, deque(line)) for name, line in lines.items()))
            for share, lines in self._turns.items()
        )
        return [(_take(left), place) for place in range(self._count())]

    def _count(self, share: str | None = None) -> int:
        """Tasks that wait, of everybody or of one client."""
        lines = [self._turns.get(share, {})] if share is not None else self._turns.values()
        return sum(len(line) for those in lines for line in those.values())

    def _retry_after(self, ahead: int) -> int:
        return min(LONGEST_RETRY, max(1, round(self._usual * ahead / len(self._threads))))


def _take(turns: _Turns) -> Task:
    """The task whose turn it is, taken out; its line goes behind the client's others, and the client behind everybody else."""
    share, lines = turns.popitem(last=False)
    name, line = lines.popitem(last=False)
    task = line.popleft()
    if line:
        lines[name] = line
    if lines:
        turns[share] = lines
    return task
