"""A run over many files: decoding and describing the next photograph, restoring this one and encoding the last at the same time."""

from __future__ import annotations

import errno
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from unveil import photo
from unveil.diffusion.sampling import stoppable
from unveil.errors import Cancelled, InputError, UnveilError
from unveil.jobs.inputs import STANDARD, stream_of
from unveil.jobs.manifest import Row, restored
from unveil.jobs.outputs import Claim, Job, Leftovers, claim, tried, write
from unveil.options import Options
from unveil.photo.header import probe
from unveil.photo.writing import format_of
from unveil.restoration import Restoration
from unveil.restorer import Callback, DescribedPhoto, Restorer, describe_photo
from unveil.util.signals import answered
from unveil.video import is_video, opened


class Restores(Protocol):
    """The interface that every method has; see `unveil.restorer.Restorer`. Models conditioned on kinds of damage also take a
    DescribedPhoto.
    """

    def restore(self, image: Any, options: Any = None, *, callback: Callback | None = None) -> Restoration: ...

    def resolve(self, options: Any) -> Any: ...


def steps_of(restorer: Restores, options: Options, height: int, width: int) -> list[float]:
    """The relative work of each step of a draw, as far as it is known beforehand; empty where it is not."""
    if not isinstance(restorer, Restorer):
        return []
    run = restorer.resolve(options)
    return [float(h * w) for h, w in run.resolution.sizes(run.process.steps, (height, width))]


IN_FLIGHT = 50_000_000
"""Most pixels that may be decoded ahead or wait to be encoded while another photograph is restored; beyond it the stages take turns."""
WAITING = 2
"""Restorations that may wait to be encoded."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of the system that the next output would meet too."""
_HEADER = 1 << 18

Watch = Callable[[Job, int, int], AbstractContextManager[Callback | None]]
"""(job, its number, its pictures: 1, or a video's frames, 0 where unknown) -> a context around its restoration that gives the callback
for every step."""


@dataclass(frozen=True)
class Handling:
    """What is done with files, as opposed to pixels. skip_existing: leave what has its finished files. strip: write no metadata.

    keep_times: give outputs the times of their photographs. tone_map: bring high dynamic range stills to standard range instead of
    refusing them.
    """

    skip_existing: bool = False
    strip: bool = False
    ext: str = "auto"
    keep_times: bool = False
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
    """Restore every job; `report` gets one row each, as soon as its file is on disk: one at a time, on a thread of the run.

    Rows come in the order of the jobs, but for those whose output another run was writing: they are looked at again at the end, and left
    to it if it is at work still. Several runs over the same outputs divide the work so, and none removes what another is writing.

    Whatever is wrong with one photograph becomes its row and the next one follows. KeyboardInterrupt, SIGTERM or Cancelled (from the
    callback) ends the run: what is being encoded is finished, the photograph in hand is left untouched, and all that is left gets a
    row "stopped"; then the exception goes on. A second KeyboardInterrupt gives up what waits to be encoded too. Where the disk or the
    output folder takes nothing any more, the run ends in the same way, at once, with OSError; so it does where `report` raises one.
    """
    _Batch(
        restorer, jobs, options, report, handling or Handling(), watch or (lambda job, number, pictures: nullcontext())
    ).all()


@dataclass
class _Part:
    """A job under way: its number, its claim, and its photograph once it is being decoded."""

    number: int
    job: Job
    claim: Claim
    source: Future[photo.Photo | DescribedPhoto] | None = None


@dataclass
class _Batch:
    restorer: Restores
    jobs: Sequence[Job]
    options: Options
    report: Callable[[Row], None]
    handling: Handling
    watch: Watch

    def __post_init__(self) -> None:
        self.began = time.time()
        self.leftovers = Leftovers(self.jobs)
        self.reported: set[int] = set()
        self.pending: deque[tuple[Future[None], int]] = deque()
        self.claims: set[Claim] = set()
        self.broken = ""
        self.ahead: _Part | None = None
        self.decoder = ThreadPoolExecutor(1, "decode")
        self.encoder = ThreadPoolExecutor(1, "encode")

    def all(self) -> None:
        # SIGTERM acts like Ctrl-C: the current photograph is left unwritten and all rows are reported.
        with self.decoder, self.encoder, answered(signal.default_int_handler, "SIGTERM"):
            try:
                self._each()
                self._settle(0, 0)
                if self.broken:
                    raise OSError(self.broken)
            except BaseException as error:
                again = threading.Event()
                with answered(lambda *_: again.set(), "SIGINT", "SIGTERM"):
                    self._end(error, again.is_set)
                if self.broken and isinstance(error, Cancelled):
                    raise OSError(self.broken) from None
                raise
            finally:
                for left in list(self.claims):
                    left.give_back()

    def _each(self) -> None:
        others: list[int] = []
        for number in range(len(self.jobs)):
            part = self._begun(number)
            if part is None:
                others.append(number)
            else:
                self._one(part)
        for number in others:
            job, part = self.jobs[number], self._begun(number)
            if part is None:
                self._tell_later(number, _row(job, "skipped", "another run is working on it"))
            elif self._is_fresh(job):
                self._release(part)
                self._tell_later(number, _row(job, "skipped", "another run has written it meanwhile"))
            else:
                self._one(part)

    def _begun(self, number: int) -> _Part | None:
        """The job with its claim, which may have been begun while the one before it was restored; None where another run has it."""
        if self.ahead is not None and self.ahead.number == number:
            part, self.ahead = self.ahead, None
            return part
        taken = claim(self.jobs[number].target)
        if taken is None:
            return None
        self.claims.add(taken)
        return _Part(number, self.jobs[number], taken)

    def _release(self, part: _Part) -> None:
        part.claim.give_back()
        self.claims.discard(part.claim)

    def _one(self, part: _Part) -> None:
        """Restore one job; the next one's photograph is decoded meanwhile."""
        number, job = part.number, part.job
        try:
            if self.broken:
                raise Cancelled
            if self._skips(job):
                self._put_row(part, _row(job, "skipped", "its output is there already"))
                return
            if is_video(job.source):
                self._put_row(part, self._video(number, job))
                return
            # Standard input is read here: a thread that waits for it could not be interrupted.
            seen = self._read(job) if job.source == STANDARD else self._decoding(part).result()
            source = seen.source if isinstance(seen, DescribedPhoto) else seen
            pixels = source.width * source.height
            self._begin_next(number, pixels)
            with self.watch(job, number, 1) as callback, stoppable(lambda: bool(self.broken)):
                result = self.restorer.restore(seen, self.options, callback=callback)
        except Cancelled:
            self._release(part)
            raise
        except Exception as error:  # noqa: BLE001 - no single file may stop a batch
            self._put_row(part, _row(job, "failed", _reason(error)))
        except BaseException:
            self._release(part)
            raise
        else:
            self._put(self.encoder.submit(self._finish, part, result), pixels)

    def _begin_next(self, number: int, pixels: int) -> None:
        """Begin to decode the photograph after this one, where there is room for both."""
        following = self.jobs[number + 1] if number + 1 < len(self.jobs) else None
        self._settle(WAITING, IN_FLIGHT - pixels)
        if following is None or following.source == STANDARD or is_video(following.source) or self._skips(following):
            return
        if pixels + _pixels(following.source) > IN_FLIGHT:
            return
        part = self._begun(number + 1)
        if part is not None:
            self._decoding(part)
            self.ahead = part

    def _decoding(self, part: _Part) -> Future[photo.Photo | DescribedPhoto]:
        if part.source is None:
            part.source = self.decoder.submit(self._read, part.job)
        return part.source

    def _video(self, number: int, job: Job) -> Row:
        from unveil.jobs import video

        self.leftovers.sweep(job)
        try:
            row = video.restore(
                self.restorer,
                job,
                self.options,
                lambda frames: self.watch(job, number, frames),
                strip=self.handling.strip,
                ext=self.handling.ext,
            )
            self._keep_times(job, row.outputs)
            return row
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - no single file may stop a batch
            self._is_broken(job, error)
            return _row(job, "failed", _reason(error))

    def _skips(self, job: Job) -> bool:
        return self.handling.skip_existing and job.target != STANDARD and _finished(job)

    def _is_fresh(self, job: Job) -> bool:
        """Whether another run has finished this output while this one was running."""
        return _finished(job) and (self.handling.skip_existing or job.target.stat().st_ctime >= self.began)

    def _read(self, job: Job) -> photo.Photo | DescribedPhoto:
        """A photograph and what is to be fixed in it; on the decoder's thread, so that neither waits for the network."""
        source = photo.read(stream_of(job.source), self.options.max_pixels, self.handling.tone_map)
        if job.target != STANDARD:
            format_of(source, job.target)  # an output that cannot be written is known before the work is done
            self.leftovers.sweep(job)
        if isinstance(self.restorer, Restorer) and self.restorer.model.spec.conditioned:
            return describe_photo(self.restorer, source, self.options)
        return source

    def _finish(self, part: _Part, result: Restoration) -> None:
        """Write a restoration and report it; on the encoder's thread."""
        row = self._write(part.job, result)
        self._release(part)
        self._tell(part.number, row)

    def _write(self, job: Job, result: Restoration) -> Row:
        try:
            outputs, notes = write(result, job, strip=self.handling.strip, ext=self.handling.ext)
            self._keep_times(job, map(str, outputs))
        except Exception as error:  # noqa: BLE001 - no single file may stop a batch
            self._is_broken(job, error)
            return _row(job, "failed", _reason(error))
        assert result.source is not None
        source, protocol = result.source, result.protocol
        told = (*source.notes, *result.notes, *notes)
        return restored(job.source, outputs, result.seconds, (source.width, source.height), result.seed, protocol, told)

    def _keep_times(self, job: Job, outputs: Iterable[str]) -> None:
        if self.handling.keep_times and STANDARD not in (job.source, job.target):
            from unveil.jobs.outputs import keep_times

            keep_times(job.source, [Path(output) for output in outputs])

    def _is_broken(self, job: Job, error: Exception) -> None:
        """After a write failed, find out whether every other write would fail too; then nothing more is computed."""
        cause = error if isinstance(error, OSError) else error.__cause__
        if job.target == STANDARD or not isinstance(cause, OSError):
            return
        try:
            if cause.errno in FULL:
                raise cause
            tried(job.target.parent)
        except OSError as refusal:
            self.broken = (
                f"{job.target.parent}: takes no more files ({refusal.strerror}), so the run was stopped; make room or mend the folder, "
                "then go on with --skip-existing"
            )

    def _put_row(self, part: _Part, row: Row) -> None:
        self._release(part)
        self._tell_later(part.number, row)

    def _tell_later(self, number: int, row: Row) -> None:
        """Queued behind the outputs being written, so that rows keep their order."""
        self._put(self.encoder.submit(self._tell, number, row), 0)

    def _put(self, done: Future[None], pixels: int) -> None:
        self.pending.append((done, pixels))
        self._settle(WAITING, IN_FLIGHT)

    def _settle(self, count: int, pixels: int, again: Callable[[], bool] = lambda: False) -> None:
        """Wait until at most `count` rows and `pixels` pixels are on their way, or `again` says to wait no longer."""
        while self.pending:
            future, _ = self.pending[0]
            busy = len(self.pending) > count or sum(p for _, p in self.pending) > max(pixels, 0)
            if not busy and not future.done():
                return
            while not future.done():
                wait([future], timeout=0.2)
                if again():
                    return
            self.pending.popleft()
            future.result()

    def _end(self, error: BaseException, again: Callable[[], bool]) -> None:
        """Finish the outputs being encoded, give the rest up, and report both."""
        self.decoder.shutdown(wait=False, cancel_futures=True)
        try:
            self._settle(0, 0, again)
        except OSError as refusal:  # `report` cannot take rows any more
            self.broken = self.broken or str(refusal)
        self.encoder.shutdown(wait=True, cancel_futures=True)
        if isinstance(error, OSError) and not self.broken:
            return  # rows are not reported any more
        reason = "the run was stopped before this one was finished"
        for number, job in enumerate(self.jobs):
            if number not in self.reported:
                self._tell(number, _row(job, "stopped", reason))

    def _tell(self, number: int, row: Row) -> None:
        self.reported.add(number)
        self.report(row)


def _row(job: Job, status: str, reason: str) -> Row:
    return Row(str(job.source), str(job.target), status, reason)


def _reason(error: Exception) -> str:
    if isinstance(error, UnveilError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "memory ran out; close other programs or use a smaller --tile"
    return f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}; this is a fault of unveil, please report it"


def extent_of(source: Path) -> tuple[int, int, int] | None:
    """(width, height, pictures) of a photograph or a clip by its header, None where it does not say."""
    try:
        if is_video(source):
            with opened(source, 1 << 62) as clip:
                return clip.width, clip.height, max(1, clip.count)
        with source.open("rb") as file:
            header = probe(str(source), file.read(_HEADER), 1 << 62)
    except (OSError, InputError):
        return None
    return header.width, header.height, 1


def _pixels(source: Path) -> int:
    """Pixels of a photograph by its header; more than the limit where it does not say."""
    extent = extent_of(source)
    return IN_FLIGHT if extent is None else extent[0] * extent[1]


def _finished(job: Job) -> bool:
    from unveil.jobs.finished import done  # not for a single photograph, which is restored whatever is there

    return done(job)
