"""The work in the queue: files in a folder, the time that is left, the restorers it uses."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unveil import photo
from unveil.cli import main
from unveil.degradation.primitives import own_seed
from unveil.diffusion.sampling import Progress
from unveil.errors import Cancelled, InputError
from unveil.figures import overlay
from unveil.jobs.batch import steps_of
from unveil.restorer import Options, Restorer
from unveil.testing import tiny_experts, tiny_model
from unveil.web.engines import Engine, Restorers
from unveil.web.queue import Task
from unveil.web.work import UPLOAD, Order, Pace, check_format, damage, degrading, restoring


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.copy()


def picture(size: tuple[int, int] = (40, 28)) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out := io.BytesIO(), "PNG")
    return out.getvalue()


@pytest.fixture
def restorers() -> Restorers:
    return Restorers({"tiny": Engine("tiny", "LearnIR", "random", lambda device: Restorer(tiny_model(), device))})


def test_the_file_is_what_save_writes_and_the_upload_is_gone(tmp_path: Path, restorers: Restorers) -> None:
    (tmp_path / UPLOAD).write_bytes(picture())
    order = Order("lake.png", "tiny", Options(samples=2, seed=4), views=True, preview=True)
    task = Task("me", restoring(order, tmp_path, restorers))
    task.run("cpu")
    done = task.result
    expected = Restorer(tiny_model(), "cpu").restore(picture(), samples=2, seed=4)
    expected.save(tmp_path / "expected.png")
    assert done.file.read_bytes() == (tmp_path / "expected.png").read_bytes()
    assert (done.name, done.media, done.seed, done.size) == ("lake.png", "image/png", 4, (40, 28))
    assert done.protocol == expected.protocol
    assert not (tmp_path / UPLOAD).exists()
    assert task.status.detail == {
        "step": 5,
        "steps": 5,
        "draw": 2,
        "draws": 2,
        "previews": task.status.detail["previews"],
    }
    assert 1 <= task.status.detail["previews"] <= 10
    # The last one that there was time for: of the reduced stage on a fast machine, of the whole size on a slow one.
    assert opened(tmp_path / "preview.jpg").size in ((32, 22), (40, 28))
    assert {
        name: opened(path).size for name, path in done.views.items() if name not in ("deviation", "doubt")
    } == dict.fromkeys(("before", "after", "draw-1", "draw-2", "overlay"), (40, 28))
    second = np.asarray(opened(done.views["draw-2"]))
    assert np.abs(second - expected.samples[1] * 255).max() <= 0.5 + 1e-3


def test_a_jpeg_that_needs_nothing_comes_back_byte_for_byte(tmp_path: Path, restorers: Restorers) -> None:
    Image.open(io.BytesIO(picture())).save(out := io.BytesIO(), "JPEG", quality=40, comment=b"taken by me")
    for strip, strength in ((False, 0.0), (True, 0.0), (False, 1.0)):
        (tmp_path / UPLOAD).write_bytes(out.getvalue())
        task = Task(
            "me", restoring(Order("a.jpg", "tiny", Options(strength=strength), strip=strip), tmp_path, restorers)
        )
        task.run("cpu")
        assert (task.result.file.read_bytes() == out.getvalue()) == (not strip and strength == 0)


def test_one_draw_and_what_a_network_says_of_its_error(tmp_path: Path) -> None:
    engine = Engine("told", "LearnIR", "random", lambda device: Restorer(tiny_experts(doubt=True), device))
    (tmp_path / UPLOAD).write_bytes(picture())
    order = Order("lake.png", "told", Options(fix="haze", uncertainty=True), views=True)
    task = Task("me", restoring(order, tmp_path, Restorers({"told": engine})))
    task.run("cpu")
    expected = Restorer(tiny_experts(doubt=True), "cpu").restore(picture(), fix="haze", uncertainty=True)
    assert task.result.light == expected.light_uncertainty > 0
    assert list(task.result.views) == ["before", "after", "overlay", "deviation", "doubt"]
    local = expected.uncertainty
    assert local is not None
    tinted = np.asarray(opened(task.result.views["overlay"]))
    assert np.array_equal(tinted, np.asarray(overlay(expected.image, local).crop((0, 0, 40, 28))))
    assert len(np.unique(tinted.reshape(-1, 3), axis=0)) > 100


def test_messages_bear_the_users_name_and_no_path(tmp_path: Path, restorers: Restorers) -> None:
    (tmp_path / UPLOAD).write_bytes(picture()[:-200])
    task = Task("me", restoring(Order("lake.png", "tiny"), tmp_path, restorers))
    task.run("cpu")
    assert task.status.state == "failed"
    assert task.status.reason.startswith("lake.png: ")
    assert str(tmp_path) not in task.status.reason


def test_the_time_left_counts_cheap_steps_as_cheap() -> None:
    """Three steps at a quarter of the side, then two at full size, twice: 3/16 + 2 of the work of one full step each."""
    task, now = Task("me", lambda task, device: None), [0.0]
    pace = Pace(task, [1.0, 1.0, 1.0, 16.0, 16.0], 2, None, lambda: now[0])
    heard = []
    for step in range(10):
        now[0] += (1.0, 1.0, 1.0, 16.0, 16.0)[step % 5]
        assert not pace(Progress(step % 5, 5, torch.zeros(1, 3, 1, 1)))
        heard.append((round(task.status.share, 6), round(task.status.left or 0, 6)))
    work = np.cumsum([1, 1, 1, 16, 16] * 2)
    assert heard == [(round(w / 70, 6), float(70 - w)) for w in work]


def test_previews_are_rare(tmp_path: Path) -> None:
    task, now, shown = Task("me", lambda task, device: None), [0.0], []
    pace = Pace(task, [], 1, shown.append, lambda: now[0])
    for step in range(100):
        now[0] = step * 0.01
        pace(Progress(step, 100, torch.full((1,), float(step))))
    assert [int(x) for x in shown] == [0, 25, 50, 75]
    assert task.status.detail["previews"] == 4


def test_a_cancelled_task_stops_at_the_next_step(tmp_path: Path, restorers: Restorers) -> None:
    (tmp_path / UPLOAD).write_bytes(picture())
    work = restoring(Order("lake.png", "tiny"), tmp_path, restorers)
    task = Task("me", work)
    steps = []
    task.listen(lambda status: steps.append(status.share) or (status.share > 0.2 and task.ask_to_stop()))
    task.run("cpu")
    assert task.status.state == "cancelled"
    assert isinstance(task.error, Cancelled)
    assert len(set(steps)) < 5
    assert [p.name for p in tmp_path.iterdir()] == []


def test_the_relative_work_of_steps_is_the_samplers_own() -> None:
    restorer = Restorer(tiny_model(low=16), "cpu")
    sizes: list[int] = []
    restorer.restore(
        np.zeros((64, 48, 3), np.uint8), callback=lambda p: sizes.append(p.x0_hat.shape[-2] * p.x0_hat.shape[-1])
    )
    assert steps_of(restorer, Options(), 64, 48) == sizes


def test_restorers_are_kept_but_not_too_many() -> None:
    loaded: list[tuple[str, str]] = []

    def engine(name: str) -> Engine:
        def load(device: str) -> Restorer:
            loaded.append((name, device))
            return Restorer(tiny_model(), device)

        return Engine(name, "LearnIR", name, load)

    kept = Restorers({name: engine(name) for name in "abc"}, most=2)
    assert kept.get("a", "cpu") is kept.get("a", "cpu")
    kept.get("b", "cpu")
    kept.get("a", "cpu")
    kept.get("c", "cpu")  # b was used longest ago
    kept.get("a", "cpu")
    kept.get("b", "cpu")
    assert [name for name, _ in loaded] == ["a", "b", "c", "b"]


def test_every_device_keeps_its_own_and_loads_beside_the_others() -> None:
    """Eight devices take turns with two models each: sixteen are loaded, once each, and two devices load at the same time."""
    loaded: list[tuple[str, str]] = []
    together = threading.Barrier(8)

    def engine(name: str) -> Engine:
        def load(device: str) -> Restorer:
            loaded.append((name, device))
            together.wait(10)  # breaks unless all eight are here at once
            return Restorer(tiny_model(), "cpu")

        return Engine(name, "LearnIR", name, load)

    kept = Restorers({name: engine(name) for name in "ab"}, most=2)

    def serve(device: str) -> None:
        for name in "ababab":
            kept.get(name, device)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(serve, [f"cuda:{i}" for i in range(8)]))
    assert sorted(loaded) == [(name, f"cuda:{i}") for name in "ab" for i in range(8)]


def test_damage_is_the_simulators_own(tmp_path: Path) -> None:
    data = picture()
    (tmp_path / UPLOAD).write_bytes(data)
    task = Task("me", degrading("lake.png", "noise", 0.5, 3, tmp_path, 10_000))
    task.run("cpu")
    expected, report = damage(photo.read(data).pixels, "noise", 0.5, own_seed(3, "lake.png"))
    assert np.array_equal(np.asarray(opened(task.result.file)), np.rint(expected * 255).astype(np.uint8))
    assert task.result.protocol == {"kind": "noise", "seed": 3} | report
    assert set(task.result.views) == {"before", "after"}


def test_formats() -> None:
    check_format(None)
    check_format("jpeg")
    check_format(".TIFF")
    with pytest.raises(InputError, match="unknown format"):
        check_format("psd")


def test_the_page_and_the_command_line_damage_alike(tmp_path: Path) -> None:
    (tmp_path / "lake.png").write_bytes(data := picture())
    status = main(
        ["degrade", str(tmp_path / "lake.png"), "-o", str(tmp_path / "d.png"), "--kind", "noise", "--seed", "5"]
    )
    assert status == 0
    (tmp_path / UPLOAD).write_bytes(data)
    task = Task("me", degrading("lake.png", "noise", None, 5, tmp_path, 10_000))
    task.run("cpu")
    assert task.result is not None
    assert task.result.name == "lake_noise.png"
    assert np.array_equal(np.asarray(opened(task.result.file)), np.asarray(opened(tmp_path / "d.png")))


def test_steps_that_are_left_out_are_the_first() -> None:
    """The two at full size are all that is run where the light stays: each is a half of a draw."""
    task, now = Task("me", lambda task, device: None), [0.0]
    pace = Pace(task, [1.0, 1.0, 1.0, 16.0, 16.0], 2, None, lambda: now[0])
    heard = []
    for step in range(4):
        now[0] += 16.0
        pace(Progress(step % 2, 2, torch.zeros(1, 3, 1, 1)))
        heard.append((task.status.share, task.status.detail["draw"]))
    assert heard == [(0.25, 1), (0.5, 1), (0.75, 2), (1.0, 2)]
