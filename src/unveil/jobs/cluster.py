"""A run over many files on many machines: Ray Data distributes the photographs, `jobs.batch` restores them on the workers."""

from __future__ import annotations

import json
import logging
import os
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from unveil.errors import InputError, UnveilWarning
from unveil.jobs.batch import Handling, Restores, run
from unveil.jobs.inputs import STANDARD
from unveil.jobs.manifest import Row
from unveil.jobs.outputs import Job
from unveil.options import Options
from unveil.util.extras import installing
from unveil.util.words import first_line

BLOCKS = 2000
"""The photographs are distributed in at most so many portions; a worker that dies costs its current one."""
LIVES = 3
"""How many workers may die over one photograph: one that kills every worker must not stop the rest."""
LOST = f"its worker died {LIVES} times, most likely for want of memory; use fewer --workers or a smaller --tile"

Opening = Callable[[], Restores]


@dataclass(frozen=True)
class Cluster:
    """address: "local" starts Ray here and ends it afterwards, "auto" joins the cluster this machine belongs to, else its address.

    workers: how many processes, each with a model of its own; 0: as many as there is room for. cpus, gpus: of each, fractions too.
    """

    address: str = "local"
    workers: int = 0
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.workers < 0 or not self.cpus > 0 or self.gpus < 0:
            raise InputError(
                f"a cluster needs workers >= 0, cpus > 0 and gpus >= 0 for each, got {self.workers}, {self.cpus:g} and {self.gpus:g}"
            )


class Attempts:
    """How often each photograph was begun and not ended, kept in a process of its own that outlives the workers."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def begin(self, number: int) -> int:
        """Count one more attempt at a photograph; returns how many that makes."""
        self.counts[number] = self.counts.get(number, 0) + 1
        return self.counts[number]

    def end(self, number: int) -> None:
        """It is done: that its portion is done again, for a later one in it, is not held against it."""
        self.counts.pop(number, None)


class Worker:
    """One process of the cluster: opens the model once, then restores portions of the list."""

    def __init__(self, opening: Opening, options: Options, handling: Handling, attempts: Any) -> None:
        self.restorer, self.options, self.handling, self.attempts = opening(), options, handling, attempts

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """batch: {"job": n pickled pairs of number and job} -> {"row": their rows as JSON}."""
        import ray

        lines: list[str] = []
        for pair in batch["job"]:
            number, job = pickle.loads(pair)  # noqa: S301 - made by this very run, a moment ago
            rows: list[Row] = []
            if int(ray.get(self.attempts.begin.remote(number))) > LIVES:  # type: ignore[arg-type]
                rows.append(Row(str(job.source), str(job.target), "failed", LOST))
            else:
                with warnings.catch_warnings(action="ignore", category=UnveilWarning):  # they stand in the rows
                    run(self.restorer, [job], self.options, rows.append, handling=self.handling)
                self.attempts.end.remote(number)
            lines.append(rows[0].to_json())
        return {"row": lines}


def restore(
    opening: Opening,
    jobs: Sequence[Job],
    options: Options,
    report: Callable[[Row], None],
    *,
    handling: Handling | None = None,
    cluster: Cluster | None = None,
) -> None:
    """Restore every job on a Ray cluster; `report` gets one row each, as they are finished, in no particular order.

    opening: gives a worker its restorer; it is sent there by pickle. Files are read and written by the workers, which must all see
    them under the same paths. Pixels are those of `jobs.batch.run`: each photograph's noise depends on the seed alone.
    A worker that dies is replaced and its portion done again; what kills every worker becomes a row "failed".
    Raises InputError without Ray, where its cluster does not answer, or for standard input.
    """
    where = cluster or Cluster()
    if any(STANDARD in (job.source, job.target) for job in jobs):
        raise InputError("standard input and output belong to one process; leave out --cluster")
    if not jobs:
        return
    with _Connected(where) as ray:
        room = _room(ray.nodes(), where)
        if room < 1:
            wanted = f"{where.cpus:g} processors" + (f" and {where.gpus:g} GPUs" if where.gpus else "")
            has = ray.cluster_resources()
            raise InputError(
                f"no machine of the cluster has {wanted} to give ({has.get('CPU', 0):g} processors and {has.get('GPU', 0):g} GPUs in all)"
            )
        workers = where.workers or room
        for line in _done(ray, opening, jobs, options, handling or Handling(), where, min(workers, len(jobs))):
            report(_row(line))


def _room(machines: Sequence[dict[str, Any]], where: Cluster) -> int:
    """For how many workers there is room, each of which lives on one machine."""
    found = 0
    for has in (machine["Resources"] for machine in machines if machine["Alive"]):
        room = int(has.get("CPU", 0) / where.cpus)
        found += min(room, int(has.get("GPU", 0) / where.gpus)) if where.gpus else room
    return found


def _done(
    ray: Any,
    opening: Opening,
    jobs: Sequence[Job],
    options: Options,
    handling: Handling,
    where: Cluster,
    workers: int,
) -> Iterator[str]:
    from ray.data import ActorPoolStrategy, DataContext, from_items

    DataContext.get_current().enable_progress_bars = False
    attempts = ray.remote(num_cpus=0)(Attempts).remote()
    portion = -(-len(jobs) // BLOCKS)
    blocks = -(-len(jobs) // portion)
    listed = from_items([{"job": pickle.dumps(pair)} for pair in enumerate(jobs)], override_num_blocks=blocks)
    found = listed.map_batches(
        Worker,  # by Ray's own rule replaced when it dies, and its portion done again
        fn_constructor_args=(opening, options, handling, attempts),
        batch_size=portion,
        compute=ActorPoolStrategy(size=workers),
        num_cpus=where.cpus,
        num_gpus=where.gpus,
    )
    try:
        for row in found.iter_rows():
            yield str(row["row"])
    except ray.exceptions.RayError as error:
        reason = [line for line in str(error).splitlines() if line.strip()][-1].strip()
        raise InputError(
            f"the workers could not go on ({reason}); do all machines see the model and the photographs under these paths?"
        ) from error


def _row(line: str) -> Row:
    tree = json.loads(line)
    for name in ("outputs", "notes", "size"):
        tree[name] = None if tree[name] is None else tuple(tree[name])
    return Row(**tree)


class _Connected:
    """Ray, joined or started, for the length of a run."""

    def __init__(self, where: Cluster) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        os.environ.setdefault("RAY_DATA_LOG_LEVEL", "CRITICAL")  # what became of each portion is in the rows
        try:
            import ray
        except ImportError as error:
            raise InputError(f"--cluster needs Ray; install it with: {installing('cluster')}") from error
        self.ray, self.where, self.own = ray, where, False

    def __enter__(self) -> Any:
        if not self.ray.is_initialized():
            address = None if self.where.address == "local" else self.where.address
            try:
                self.ray.init(
                    address=address,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **({} if address else {"include_dashboard": False}),
                )
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise InputError(
                    f"no Ray cluster answers at {self.where.address!r} ({first_line(error)}); "
                    "start one with `ray start --head`, or use --cluster local"
                ) from error
            self.own = True
        return self.ray

    def __exit__(self, *unused: object) -> None:
        if self.own:
            self.ray.shutdown()
