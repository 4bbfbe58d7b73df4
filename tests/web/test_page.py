"""The page's own addresses and its HTML, without a browser."""

from __future__ import annotations

import asyncio
import io
import re
import socket
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gradio", reason="the page is the extra `web`")

from fastapi.testclient import TestClient
from PIL import Image

from unveil.degradation.registry import KINDS as simulators
from unveil.diffusion import SOLVERS, GaussianPath, mean_reverting
from unveil.diffusion.irsde import theta_sum
from unveil.errors import InputError, ModelError
from unveil.models.describer import Description
from unveil.networks.condition import KINDS
from unveil.restorer import Options
from unveil.web.engines import Engine
from unveil.web.page import batches, controls, degrade_tab, photographs, restore_tab, words
from unveil.web.page.controls import DEFAULT, NAMES, changed, offered, order, presets, solvers
from unveil.web.page.limits import Limits
from unveil.web.queue import Caller, Task
from unveil.web.service import Given, Job
from unveil.web.work import Delivery, Order
from unveil.zeroshot_restorer import Estimate


@pytest.fixture(scope="module")
def client(started: Callable[..., TestClient]) -> TestClient:
    """One server with its page for all tests of this file: building the page takes a second."""
    return started(page=True)


def test_a_photograph_is_kept_shown_and_deleted_after_its_time(
    serve: Callable[..., TestClient], make: Callable[..., bytes]
) -> None:
    client = serve(page=True)
    answer = client.post("/page/photos", files={"photo": ("../lake.tif", make(format="TIFF", size=(40, 30)))})
    assert answer.status_code == 200
    said = answer.json()
    assert (said["name"], said["width"], said["height"], said["format"]) == ("lake.tif", 40, 30, "TIFF")
    view = client.get(said["view"])
    assert view.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(view.content)).size == (40, 30)
    assert Image.open(io.BytesIO(client.get(said["thumbnail"]).content)).format == "JPEG"
    assert client.get(f"/page/photos/{said['id']}").json() == said
    service = client.app.state.service  # type: ignore[attr-defined]
    service.store._clock = lambda: 1e12
    for address in (f"/page/photos/{said['id']}", said["view"], said["thumbnail"]):
        assert client.get(address).status_code == 404
    assert service._given == {}


def test_what_the_page_shows_and_asks_for_is_ours(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """No font, script or style from elsewhere in the page, no place on the server, and the server connects to nobody."""
    called: list[object] = []
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            called.append(address)
        real(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)
    page = client.get("/").text
    assert called == []
    loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=[\"']?([^\"'\s>]+)", page)
    assert len(loaded) >= 2
    assert [address for address in loaded if re.match(r"(?:https?:)?//", address)] == []
    assert "fonts.googleapis" not in page
    assert "fonts.googleapis" not in client.get("/theme.css").text
    root = str(client.app.state.service.store._root)  # type: ignore[attr-defined]
    for text in (page, client.get("/config").text):
        for place in (root, str(Path.home()), str(photographs.ASSETS.parents[2]), "site-packages"):
            assert place not in text


def test_examples_are_damaged_photographs(client: TestClient) -> None:
    offered = client.get("/page/examples").json()
    assert [example["name"] for example in offered] == list(photographs.EXAMPLES)
    first = offered[0]
    assert Image.open(io.BytesIO(client.get(first["thumbnail"]).content)).format == "JPEG"
    taken = client.post(f"/page/examples/{first['name']}")
    assert taken.json()["format"] == "PNG"
    assert client.post("/page/examples/nobody").status_code == 404
    assert client.get("/page/examples/..%2f..%2fx").status_code == 404


@pytest.mark.parametrize(
    "name", ["page.css", "drop.js", "common.js", "progress.js", "compare.js", "copy.js", "icon.svg"]
)
def test_assets(client: TestClient, name: str) -> None:
    answer = client.get(f"/page/assets/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == photographs.SERVED[name]
    assert not re.search(r"https?://(?!www\.w3\.org)", answer.text)


@pytest.mark.parametrize("name", ["..%2f__init__.py", "__init__.py", "..", "nothing.js"])
def test_no_other_file_is_an_asset(client: TestClient, name: str) -> None:
    assert client.get(f"/page/assets/{name}").status_code == 404


def test_refusals_of_photographs(serve: Callable[..., TestClient], make: Callable[..., bytes]) -> None:
    client = serve(page=True, max_pixels=1000)
    answers = {
        name: client.post("/page/photos", files={"photo": (name, data)}).status_code
        for name, data in (
            ("text.png", b"text"),
            ("cut.png", make()[:-300]),
            ("wide.png", make(size=(50, 50))),
            ("empty.png", b""),
        )
    }
    assert answers == {"text.png": 415, "cut.png": 422, "wide.png": 413, "empty.png": 422}
    assert client.post("/page/photos", files={"photo": ("a.png", make())}, data={"seed": "1"}).status_code == 422


def test_words_are_escaped(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script>'
    given = Given("id", evil, 1, 1, "PNG", tmp_path)
    for html in (
        words.alert(evil),
        words.status_line(evil),
        words.photograph(given),
        words.compare("/x", evil, [{"src": "/y", "label": evil, "note": evil}]),
        words.facts(evil, {evil: evil}, [evil]),
        words.model(evil, evil),
    ):
        assert "<script" not in html


def values_of(**changed: object) -> dict[str, Any]:
    """The values of the controls as they stand at first, but for these."""
    first = ("tiny", 0, 1, 1.0, 0, 0, controls.DEFAULT, controls.DEFAULT, 0, "as it came", False, False, "", 1, True)
    return dict(zip(NAMES, first + (False,) * len(KINDS), strict=True)) | changed


def test_the_controls_say_what_the_options_say(serve: Callable[..., TestClient], tmp_path: Path) -> None:
    service = serve().app.state.service  # type: ignore[attr-defined]
    given = Given("id", "a.jpg", 1, 1, "JPEG", tmp_path)
    default = values_of(fidelity=0.5, samples=2, seed=7)
    plain = order(service, given, tuple(default.values()))
    assert (plain.options.steps, plain.options.solver, plain.options.tile, plain.format) == (None, None, "auto", None)
    assert (plain.engine, plain.options.seed, plain.options.samples, plain.options.fidelity) == ("tiny", 7, 2, 0.5)
    told = order(
        service,
        given,
        tuple((default | {"steps": 3, "solver": "2m", "tile": 128, "format": "png", "strip": True}).values()),
    )
    assert (told.options.steps, told.options.solver, told.options.tile, told.format, told.strip) == (
        3,
        "2m",
        128,
        "png",
        True,
    )
    assert plain.suffix == "_restored"
    assert plain.options.fix is None
    by_hand = {"model": "told", "auto": False, "noise": True, "haze": True}
    assert order(service, given, tuple((default | by_hand).values())).options.fix == ("haze", "noise")
    assert order(service, given, tuple((default | by_hand | {"auto": True}).values())).options.fix is None
    sure = default | {"model": "told", "uncertainty": True}
    assert order(service, given, tuple(sure.values())).options.uncertainty
    # A model without a network for it is not asked, nor is anybody in Compare, which shows none.
    assert not order(service, given, tuple((sure | {"model": "tiny"}).values())).options.uncertainty
    assert not order(service, given, changed(service, tuple(sure.values()), "told", 1.0, 7)).options.uncertainty
    # A model that cannot be told is told nothing, whatever stands on the switches that are hidden then.
    assert order(service, given, tuple((default | by_hand | {"model": "tiny"}).values())).options.fix is None
    with pytest.raises(ValueError, match="Every switch is off"):
        order(service, given, tuple((default | {"model": "told", "auto": False}).values()))
    with pytest.raises(ValueError, match="Seed is empty"):
        order(service, given, tuple((default | {"seed": None}).values()))


def test_what_it_looks_like_is_said_by_the_classifier_that_ships_or_not_at_all(
    tmp_path: Path, make: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fixed:
        speaker = "a classifier"

        def describe(self, pixels: np.ndarray) -> Description:
            assert pixels.shape == (16, 24, 3)
            return Description({"haze": 0.8, "noise": 0.31, "rain": 0.1}, self.speaker, False)

    def missing() -> Fixed:
        raise ModelError("no such entry")

    (tmp_path / "upload").write_bytes(make())
    given = Given("id", "a.png", 24, 16, "PNG", tmp_path)
    for load, expected in ((Fixed, ["haze 80%", "noise 31%"]), (missing, [])):
        controls._speaker.cache_clear()
        monkeypatch.setattr(controls.describer, "load", load)
        assert re.findall(r'u-chip">([^<]+)<', controls.described(controls.diagnosed(given))) == expected
    controls._speaker.cache_clear()


def test_what_cannot_finish_in_time_is_not_offered_and_why(serve: Callable[..., TestClient], tmp_path: Path) -> None:
    tried: list[tuple[int, int]] = []

    class Slow:
        def estimate(self, height: int, width: int) -> Estimate:
            tried.append((height, width))
            return Estimate(1000, 0.01 * height * width)

        def resolve(self, options: object) -> None: ...

    service = serve(seconds=600).app.state.service  # type: ignore[attr-defined]
    service.restorers.known["slow"] = Engine("slow", "Slow", "takes long", lambda device: Slow())  # type: ignore[arg-type]
    limits = Limits(service)
    small, large = (Given("id", "a.jpg", side, 100, "JPEG", tmp_path) for side in (600, 1000))
    assert limits.refused(small) == {}
    assert limits.reason({}) == ""
    assert limits.refused(large) == {"slow": pytest.approx(1000)}
    assert len(tried) == 1
    assert "slow (about 17 min). The limit here is 10 min." in limits.reason(limits.refused(large))
    assert [name for _, name in offered(service, limits.refused(large))] == ["tiny", "other", "told"]


def test_a_preset_is_offered_ordered_and_refused_where_it_takes_too_long(
    serve: Callable[..., TestClient], tmp_path: Path
) -> None:
    class Slow:
        def __init__(self, each: float) -> None:
            self.each = each

        def estimate(self, height: int, width: int) -> Estimate:
            return Estimate(1000, self.each * height * width)

        def resolve(self, options: object) -> None: ...

    service = serve(seconds=600).app.state.service  # type: ignore[attr-defined]
    slow = {"quick": lambda device: Slow(1e-5), "paper": lambda device: Slow(0.01)}
    service.restorers.known["tao"] = Engine("tao", "TAO", "takes long", slow["quick"], presets=slow)  # type: ignore[arg-type]
    assert [name for _, name in presets(service, "tao")] == ["", "paper"]
    assert len(presets(service, "tiny")) == 1  # nothing to choose: the list is not shown
    given = Given("id", "a.jpg", 1000, 100, "JPEG", tmp_path)
    values = values_of(model="tao", preset="paper")
    made = order(service, given, tuple(values.values()))
    assert (made.engine, made.preset) == ("tao", "paper")
    limits = Limits(service)
    with pytest.raises(
        InputError, match="tao with the settings paper would take about 17 min; the limit here is 10 min"
    ):
        limits.check(given, made)
    quick = order(service, given, tuple((values | {"preset": ""}).values()))
    assert quick.preset == ""
    limits.check(given, quick)
    assert limits.refused(given) == {}  # the method itself is offered
    # Hidden, for a model that has none; and Compare does not ask.
    assert order(service, given, tuple((values | {"model": "tiny"}).values())).preset == ""
    compared = order(service, given, changed(service, tuple(values.values()), "tao", 0.0, 1))
    assert compared.preset == ""
    # Compare, which offers every method, asks whether it can finish; with its usual settings this one cannot be this large.
    with pytest.raises(InputError, match=r"tao would take about 2 h 46 min; the limit here is 10 min"):
        limits.check(replace(given, width=100_000, height=10_000), compared)


def test_damage_is_described_in_plain_words_and_exactly_as_a_hint() -> None:
    assert set(degrade_tab.PLAIN) == set(simulators)
    for kind in simulators:
        shown = re.fullmatch(r'<p class="u-model" title="[^"]+">([^<]+)<b></b></p>', degrade_tab._about(kind))
        assert shown is not None
        assert "=" not in shown[1]


def test_the_archive_of_several_has_a_name_for_each(tmp_path: Path) -> None:
    jobs = []
    for number, name in enumerate(("a.jpg", "A.jpg", "b.png", "a.jpg")):
        (file := tmp_path / str(number)).write_bytes(bytes([number]) * (batches.PIECE + number))
        task = Task("x", lambda task, device: None)
        task.result = Delivery(file, name, "image/jpeg", (1, 1))
        jobs.append(Job(str(number), task, tmp_path, name, "tiny", 0))
    assert batches.names(jobs) == ["a.jpg", "A_2.jpg", "b.png", "a_3.jpg"]
    (tmp_path / "2").unlink()  # deleted after its time, just now
    with zipfile.ZipFile(io.BytesIO(b"".join(batches.archive(jobs)))) as whole:
        assert whole.testzip() is None
        assert [(i.filename, i.file_size) for i in whole.infolist()] == [
            ("a.jpg", batches.PIECE), ("A_2.jpg", batches.PIECE + 1), ("a_3.jpg", batches.PIECE + 3),
        ]  # fmt: skip


def test_a_batch_goes_past_a_full_queue_and_what_cannot_be_done(
    serve: Callable[..., TestClient], make: Callable[..., bytes]
) -> None:
    """More photographs than one client may have in the queue, and one whose order is wrong."""
    client = serve(page=True, per_client=1, samples=2)
    service = client.app.state.service  # type: ignore[attr-defined]
    caller = Caller("here", "page")
    given = [service.give(make(seed), f"{seed}.png", caller) for seed in range(4)]
    orders = [(one, Order(one.name, "tiny", Options(samples=3 if one is given[1] else 1))) for one in given]

    async def run() -> batches.Batch:
        known = batches.Batches(service)
        batch = known.start(orders, caller)
        await asyncio.wait_for(batch.over.wait(), 120)
        assert known.find(batch.id) is batch
        assert known.find("x") is None
        return batch

    batch = asyncio.run(run())
    told = batches.to_json(batch)
    assert [entry["state"] for entry in told["entries"]] == ["done", "failed", "done", "done"]
    assert "samples may be at most 2" in told["entries"][1]["reason"]
    assert told["final"]
    assert told["zip"] == f"/page/batches/{batch.id}/zip"
    assert client.get("/page/batches/x").status_code == 404


@pytest.mark.parametrize(("light", "said", "unsaid"), [
    (None, "the draws differ", "brightness"), (0.0, "Yellow: likely off", "brightness"), (12 / 255, "of the whole may be off by", "draws"),
])  # fmt: skip
def test_doubt_is_put_in_words(tmp_path: Path, light: float | None, said: str, unsaid: str) -> None:
    (file := tmp_path / "result").write_bytes(b"x")
    names = ("before", "after", "overlay", "doubt")
    task = Task("x", lambda task, device: None)
    task.result = Delivery(file, "a.png", "image/png", (1, 1), light=light, views=dict.fromkeys(names, file))
    html = restore_tab.result(Job("1", task, tmp_path, "a.png", "told", 0, Order("a.png", "told")))
    assert "Doubt" in html
    assert said in html
    assert unsaid not in html


def test_help_and_its_style(client: TestClient) -> None:
    page = client.get("/page/help")
    assert page.status_code == 200
    assert 'id="fails"' in page.text
    assert client.get("/page/assets/help.css").headers["content-type"].startswith("text/css")


def test_compare_takes_the_settings_over(serve: Callable[..., TestClient], tmp_path: Path) -> None:
    service = serve().app.state.service  # type: ignore[attr-defined]
    given = Given("id", "a.jpg", 1, 1, "JPEG", tmp_path)
    values = (
        "tiny",
        0.5,
        2,
        0.75,
        7,
        3,
        "2m",
        "off",
        0,
        "png",
        True,
        True,
        "",
        4,
        False,
        *(kind == "noise" for kind in KINDS),
    )
    made = order(service, given, changed(service, values, "told", 1.0, 9))
    assert (made.engine, made.options.fidelity, made.options.seed, made.options.steps) == ("told", 1.0, 9, 3)
    assert (made.options.fix, made.options.strength, made.options.solver) == (("noise",), 0.75, "2m")
    assert made.options.self_ensemble == 4


def test_ir_sdes_own_solvers_are_listed_for_the_models_whose_path_has_them(
    serve: Callable[..., TestClient],
) -> None:
    service = serve().app.state.service  # type: ignore[attr-defined]

    def behind(process: GaussianPath) -> Any:
        run = SimpleNamespace(process=process)
        return SimpleNamespace(
            devices=["cpu"], restorers=SimpleNamespace(get=lambda *_: SimpleNamespace(resolve=lambda _: run))
        )

    assert solvers(behind(mean_reverting(theta_sum("cosine", 5, 0.005))), "wild") == (*SOLVERS, "sde", "ode")
    assert solvers(service, "tiny") == SOLVERS
    values = dict.fromkeys(NAMES) | {"solver": "sde", "resolution": "off"}
    told = dict(zip(NAMES, changed(service, tuple(values.values()), "tiny", 0.5, 7), strict=True))
    assert (told["solver"], told["resolution"]) == (DEFAULT, "off")
