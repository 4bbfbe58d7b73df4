"""One piece of work in the queue: its state, how far it is, and whether it should stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from unveil.diffusion.sampling import stoppable
from unveil.errors import Cancelled, UnveilError

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
FINAL = (DONE, FAILED, CANCELLED)


@dataclass(frozen=True)
class Status:
    """What a client is told.

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

    client: whose turn it takes (`queue.Caller`). limit: seconds that it may run. result: what the work returned, None until then.
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
        """The latest word, with the seconds it has been running up to now."""
        with self._changed:
            status = self._status
        return replace(status, seconds=self._seconds()) if status.state == RUNNING else status

    @property
    def stopping(self) -> bool:
        """Whether the work should end as soon as it can: it was cancelled, or has used up its time."""
        return bool(self._stop) or self._seconds() > self.limit

    def report(self, share: float, left: float | None = None, **detail: Any) -> bool:
        """Called by the work, as often as it likes. True: stop now, as the callback of `Restorer.restore` says it."""
        status = self._status
        self.tell(replace(status, share=min(max(share, status.share), 1.0), left=left, detail=status.detail | detail))
        return self.stopping

    def go_on(self) -> None:
        """Called by the work between two parts of it that tell nothing themselves. Raises Cancelled where it should stop."""
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
        """Make `status` the latest word, unless the last one has been spoken."""
        with self._changed:
            if self._status.final:
                return
            self._status = replace(status, seconds=self._seconds())
            if status.final:
                self.ended = time.monotonic()
            self._spread()

    def move(self, place: int) -> None:
        """Tell the place in the queue, while the task waits."""
        with self._changed:
            if self._status.state != WAITING or self._status.position == place:
                return
            self._status = replace(self._status, position=place)
            self._spread()

    def _spread(self) -> None:
        """Wake who waits and tell who listens; with the lock held, so that all hear everything in the order in which it happened."""
        self._changed.notify_all()
        for listener in self._listeners:
            listener(self._status)

    def ask_to_stop(self, reason: str = CANCELLED) -> None:
        """From now on `report` says True. `Queue.cancel` is what clients call. reason: what the last status says, if nothing did before."""
        self._stop = self._stop or reason

    def run(self, device: str) -> None:
        """Do the work here and now, and tell how it ended. Called by the queue."""
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
