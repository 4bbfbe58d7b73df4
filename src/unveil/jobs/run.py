"""A run over many files: decoding the next photograph, restoring this one and encoding the last at the same time."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from unveil import photo
from unveil.errors import Cancelled, InputError, UnveilError
from unveil.jobs import video
from unveil.jobs.finding import STANDARD
from unveil.jobs.manifest import Row
from unveil.jobs.queue_restorers import Restores
from unveil.jobs.targets import Job, sweep
from unveil.jobs.writing import write
from unveil.photo.header import probe
from unveil.photo.writing import format_of
from unveil.restorer import Callback, Options, Restoration
from unveil.video import is_video

IN_FLIGHT = 50_000_000
"""Pixels that may be decoded ahead and waiting to be encoded while another photograph is worked on; beyond it they take turns."""
WAITING = 2
"""Restorations that may wait to be encoded."""
_HEADER = 1 << 18

Watch = Callable[[Job, int, int], AbstractContextManager[Callback | None]]
"""(job, its number, its pictures: 1, or a video's frames, 0 where unknown) -> a context around its restoration that gives the callback
for every step."""


@dataclass(frozen=True)
class Handling:
    """What is done with files, as opposed to pixels. skip_existing: leave what has its target. strip: write no metadata.

    tone_map: bring high dynamic range stills to standard range instead of refusing them.
    """

    skip_existing: bool = False
    strip: bool = False
    ext: str = "auto"
    tone_map: bool = False


def run(
    restorer: Restores,
    jobs: Sequence[Job],
    options: Options,
    report: Callable[[Row], None],
    *,
    handling: Handling | None = None,
    watch: Watch | None = None,
) -> None:
    """Restore every job; `report` gets one row each, in order, on the calling thread, as soon as it and those before it are done.

    Whatever is wrong with one photograph becomes its row and the next one follows. KeyboardInterrupt or Cancelled (from the
    callback) ends the run: what is being encoded is finished, the photograph in hand is left untouched, and all that is left gets a
    row "stopped"; then the exception goes on.
    """
    _Run(
        restorer, jobs, options, report, handling or Handling(), watch or (lambda job, number, pictures: nullcontext())
    ).all()


class _Run:
    def __init__(
        self,
        restorer: Restores,
        jobs: Sequence[Job],
        options: Options,
        report: Callable[[Row], None],
        handling: Handling,
        watch: Watch,
    ) -> None:
        self.restorer, self.jobs, self.options, self.report = restorer, jobs, options, report
        self.handling, self.watch = handling, watch
        self.reported = 0
        self.pending: deque[tuple[Future[Row], int]] = deque()

    def all(self) -> None:
        with ThreadPoolExecutor(1, "decode") as decoder, ThreadPoolExecutor(1, "encode") as encoder:
            try:
                ahead: Future[photo.Photo] | None = None
                for number, job in enumerate(self.jobs):
                    ahead = self._one(number, job, ahead, decoder, encoder)
                self._settle(0, 0)
            except (KeyboardInterrupt, Cancelled):
                self._settle(0, 0)
                for job in self.jobs[self.reported :]:
                    self._tell(_row(job, "stopped", "the run was stopped before this one was finished"))
                raise
            finally:
                decoder.shutdown(wait=False, cancel_futures=True)

    def _one(
        self,
        number: int,
        job: Job,
        ahead: Future[photo.Photo] | None,
        decoder: ThreadPoolExecutor,
        encoder: ThreadPoolExecutor,
    ) -> Future[photo.Photo] | None:
        """Restore one job; returns the next one's photograph, if it is being decoded already."""
        if self._skips(job):
            self._put(_done(_row(job, "skipped", "its output is there already")), 0)
            return None
        if is_video(job.source):
            self._put(_done(self._video(number, job)), 0)
            return None
        # Standard input is read here: a thread that waits for it could not be interrupted.
        mine = ahead or (None if job.source == STANDARD else decoder.submit(self._read, job))
        following: Future[photo.Photo] | None = None
        try:
            source = self._read(job) if mine is None else mine.result()
            pixels = source.width * source.height
            if number + 1 < len(self.jobs) and self._decodes(self.jobs[number + 1]):
                coming = _pixels(self.jobs[number + 1].source)
                self._settle(WAITING, IN_FLIGHT - pixels)
                if pixels + coming <= IN_FLIGHT:
                    following = decoder.submit(self._read, self.jobs[number + 1])
            else:
                self._settle(WAITING, IN_FLIGHT - pixels)
            with self.watch(job, number, 1) as callback:
                result = self.restorer.restore(source, self.options, callback=callback)
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - no single file may stop a batch
            self._put(_done(_row(job, "failed", _reason(error))), 0)
        else:
            self._put(encoder.submit(self._write, job, result), pixels)
        return following

    def _video(self, number: int, job: Job) -> Row:
        try:
            return video.restore(
                self.restorer,
                job,
                self.options,
                lambda frames: self.watch(job, number, frames),
                strip=self.handling.strip,
            )
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - no single file may stop a batch
            return _row(job, "failed", _reason(error))

    def _decodes(self, job: Job) -> bool:
        """Whether a job begins with a photograph that can be decoded ahead."""
        return not self._skips(job) and not is_video(job.source)

    def _skips(self, job: Job) -> bool:
        return self.handling.skip_existing and job.target != STANDARD and job.target.exists()

    def _read(self, job: Job) -> photo.Photo:
        given = sys.stdin.buffer if job.source == STANDARD else job.source
        source = photo.read(given, self.options.max_pixels, self.handling.tone_map)
        if job.target != STANDARD:
            format_of(source, job.target)  # an output that cannot be written is known before the work is done
            sweep(job)
        return source

    def _write(self, job: Job, result: Restoration) -> Row:
        try:
            outputs, notes = write(result, job, strip=self.handling.strip, ext=self.handling.ext)
        except Exception as error:  # noqa: BLE001 - no single file may stop a batch
            return _row(job, "failed", _reason(error))
        assert result.source is not None
        return Row(
            input=str(job.source),
            output=str(job.target),
            status="restored",
            outputs=tuple(map(str, outputs)),
            seconds=round(result.seconds, 3),
            size=(result.source.width, result.source.height),
            seed=result.seed,
            sha256=result.protocol.get("sha256", ""),
            protocol=result.protocol,
            notes=(*result.source.notes, *result.notes, *notes),
        )

    def _put(self, row: Future[Row], pixels: int) -> None:
        self.pending.append((row, pixels))
        self._settle(WAITING, IN_FLIGHT)

    def _settle(self, count: int, pixels: int) -> None:
        """Report what is done, and wait until at most `count` rows and `pixels` pixels are on their way."""
        while self.pending:
            future, _ = self.pending[0]
            busy = len(self.pending) > count or sum(p for _, p in self.pending) > max(pixels, 0)
            if not busy and not future.done():
                return
            row = future.result()
            self.pending.popleft()
            self._tell(row)

    def _tell(self, row: Row) -> None:
        self.reported += 1
        self.report(row)


def _row(job: Job, status: str, reason: str) -> Row:
    return Row(str(job.source), str(job.target), status, reason)


def _done(row: Row) -> Future[Row]:
    future: Future[Row] = Future()
    future.set_result(row)
    return future


def _reason(error: Exception) -> str:
    if isinstance(error, UnveilError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "memory ran out; close other programs or use a smaller --tile"
    return f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}; this is a fault of unveil, please report it"


def size_of(source: Path) -> tuple[int, int] | None:
    """(width, height) of a photograph by its header, None where that does not tell."""
    try:
        with source.open("rb") as file:
            header = probe(str(source), file.read(_HEADER), 1 << 62)
    except (OSError, InputError):
        return None
    return header.width, header.height


def _pixels(source: Path) -> int:
    """Pixels of a photograph by its header; more than may be in flight where that does not tell."""
    size = size_of(source)
    return IN_FLIGHT if size is None else size[0] * size[1]
