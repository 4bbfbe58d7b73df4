"""A run on a real Ray of this machine: same pixels and rows as one process, dead workers, resumption, poison."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unveil.errors import InputError
from unveil.jobs import cluster
from unveil.jobs.batch import Handling, run
from unveil.jobs.cluster import Cluster
from unveil.jobs.inputs import STANDARD, find
from unveil.jobs.manifest import Row
from unveil.jobs.outputs import Job, plan
from unveil.restorer import Options, Restoration, load

COUNT = 12
HALF = Cluster("local", workers=2, cpus=0.5)
OPTIONS = Options(steps=2, seed=5)

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray warns of much that is not ours


class Deadly:
    """A restorer whose process dies at photographs 13 pixels wide, as one would that the system kills for its memory."""

    def __init__(self, path: str) -> None:
        self.own = load(path, "cpu")

    def restore(self, source: Any, *arguments: Any, **named: Any) -> Restoration:
        if source.width == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.own.restore(source, *arguments, **named)


class Slow:
    """A restorer that leaves a file with its process's number and takes its time."""

    def __init__(self, path: str, notes: str) -> None:
        self.own, self.notes = load(path, "cpu"), Path(notes)

    def restore(self, source: Any, *arguments: Any, **named: Any) -> Restoration:
        (self.notes / str(os.getpid())).touch()
        time.sleep(0.5)
        return self.own.restore(source, *arguments, **named)


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """One Ray for all tests of this file: starting it takes seconds."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_DATA_LOG_LEVEL"] = "CRITICAL"
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


def photographs(folder: Path, count: int = COUNT, width: int = 36) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (24, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    return folder


def jobs(folder: Path, out: Path) -> list[Job]:
    return plan(find([folder]), out, folder=True)


def plain(rows: list[Row], out: Path) -> list[tuple[Any, ...]]:
    """Rows in the order of their inputs, without the times and the folder."""
    rows = sorted(rows, key=lambda r: r.input)
    return [
        (r.input, r.status, r.reason, Path(r.output).relative_to(out), r.size, r.seed, r.sha256, r.protocol)
        for r in rows
    ]


@pytest.mark.slow
def test_the_same_pixels_and_rows_as_one_process_and_a_resumption(ray: Any, model: str, tmp_path: Path) -> None:
    folder = photographs(tmp_path / "in")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0broken")
    alone: list[Row] = []
    many: list[Row] = []
    run(load(model, "cpu"), jobs(folder, tmp_path / "one"), OPTIONS, alone.append)
    cluster.restore(partial(load, model, "cpu"), jobs(folder, tmp_path / "many"), OPTIONS, many.append, cluster=HALF)
    assert plain(many, tmp_path / "many") == plain(alone, tmp_path / "one")
    assert sorted(r.status for r in many) == ["failed"] + ["restored"] * COUNT
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "many" / path.name).read_bytes()
    (tmp_path / "many" / "03.png").unlink()
    again: list[Row] = []
    cluster.restore(
        partial(load, model, "cpu"), jobs(folder, tmp_path / "many"), OPTIONS, again.append,
        handling=Handling(skip_existing=True), cluster=HALF,
    )  # fmt: skip
    assert [Path(r.input).name for r in again if r.status == "restored"] == ["03.png"]
    assert sum(r.status == "skipped" for r in again) == COUNT - 1
    assert (tmp_path / "many" / "03.png").read_bytes() == (tmp_path / "one" / "03.png").read_bytes()


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(ray: Any, model: str, tmp_path: Path) -> None:
    folder, notes = photographs(tmp_path / "in"), tmp_path / "notes"
    notes.mkdir()
    killed: list[int] = []

    def kill() -> None:
        for _ in range(600):
            found = [int(p.name) for p in notes.iterdir()]
            if found:
                os.kill(found[0], signal.SIGKILL)
                killed.append(found[0])
                return
            time.sleep(0.1)

    hand = threading.Thread(target=kill)
    hand.start()
    rows: list[Row] = []
    cluster.restore(
        partial(Slow, model, str(notes)), jobs(folder, tmp_path / "out"), OPTIONS, rows.append, cluster=HALF
    )
    hand.join()
    assert killed
    assert sorted(r.status for r in rows) == ["restored"] * COUNT
    assert len(list(notes.iterdir())) > len(killed), "another process must have gone on"


@pytest.mark.slow
def test_a_model_that_workers_do_not_find_is_an_error_and_no_endless_wait(ray: Any, tmp_path: Path) -> None:
    folder = photographs(tmp_path / "in", 3)
    with pytest.raises(InputError, match="do all machines see the model"):
        cluster.restore(
            partial(load, str(tmp_path / "gone.safetensors"), "cpu"), jobs(folder, tmp_path / "out"), OPTIONS,
            lambda row: None, cluster=HALF,
        )  # fmt: skip


@pytest.mark.slow
def test_a_photograph_that_kills_every_worker_becomes_a_row(ray: Any, model: str, tmp_path: Path) -> None:
    folder = photographs(tmp_path / "in", 5)
    photographs(folder / "deadly", 1, width=13)
    rows: list[Row] = []
    found = plan(find([folder], recursive=True), tmp_path / "out", folder=True)
    cluster.restore(partial(Deadly, model), found, OPTIONS, rows.append, cluster=HALF)
    failed = [r for r in rows if r.status == "failed"]
    assert [Path(r.input).parent.name for r in failed] == ["deadly"]
    assert "died 3 times" in failed[0].reason
    assert sum(r.status == "restored" for r in rows) == 5


def test_standard_input_and_odd_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="leave out --cluster"):
        cluster.restore(lambda: pytest.fail("opened"), [Job(STANDARD, STANDARD, {})], OPTIONS, lambda row: None)
    for odd in ({"workers": -1}, {"cpus": 0.0}, {"gpus": -1.0}):
        with pytest.raises(InputError, match="workers >= 0"):
            Cluster(**odd)  # type: ignore[arg-type]


def test_an_empty_share_asks_for_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    cluster.restore(lambda: pytest.fail("opened"), [], OPTIONS, lambda row: pytest.fail("a row of nothing"))


def test_without_ray_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    job = Job(tmp_path / "a.png", tmp_path / "b.png", {})
    with pytest.raises(InputError, match=r"\[cluster\]"):
        cluster.restore(lambda: pytest.fail("opened"), [job], OPTIONS, lambda row: None)


def test_only_the_photograph_in_hand_is_charged_for_a_worker_that_dies() -> None:
    """A portion of several is done again as a whole: those before the deadly one, which had ended, are as good as new."""
    attempts = cluster.Attempts()
    for _ in range(cluster.LIVES):
        for number in range(3):
            assert attempts.begin(number) == 1
            attempts.end(number)
        attempts.begin(3)
    assert attempts.begin(3) > cluster.LIVES
    assert attempts.begin(0) == 1


def test_workers_go_where_one_machine_has_room_for_them() -> None:
    def machine(cpus: float, gpus: float = 0, alive: bool = True) -> dict[str, Any]:
        return {"Alive": alive, "Resources": {"CPU": cpus} | ({"GPU": gpus} if gpus else {})}

    two = [machine(4), machine(4)]
    assert cluster._room(two, cluster.Cluster("local", cpus=2)) == 4
    assert cluster._room(two, cluster.Cluster("local", cpus=8)) == 0, "together they would have enough"
    assert cluster._room(two, cluster.Cluster("local", cpus=0.5, gpus=1)) == 0
    mixed = [machine(16, 2), machine(2, 4), machine(16, 4, alive=False)]
    assert cluster._room(mixed, cluster.Cluster("local", cpus=1, gpus=1)) == 4
