"""The page in a real browser: every state, every request watched. `make test-web` runs these; pictures go to UNVEIL_SCREENSHOTS if set."""

from __future__ import annotations

import io
import os
import shutil
import socket
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason="the page is the extra `web`")
pytest.importorskip("playwright", reason="browser tests need playwright (pip install playwright)")

import uvicorn
from playwright.sync_api import expect, sync_playwright

from unveil import photo
from unveil.models import describer
from unveil.models.model import Model
from unveil.models.treatment import treatment
from unveil.networks.condition import KINDS
from unveil.restorer import Restorer
from unveil.testing import tiny_experts, tiny_model
from unveil.web.app import application
from unveil.web.engines import Engine, Restorers
from unveil.web.page import working
from unveil.web.service import Service
from unveil.web.settings import ServerSettings

pytestmark = pytest.mark.slow
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = float(os.environ.get("UNVEIL_BROWSER_SECONDS", "60"))
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}
LAPTOP = {"width": 1366, "height": 768}
GRACE = 15.0
expect.set_options(timeout=1000 * PATIENCE)


def for_some_kinds() -> Model:
    model = tiny_experts()
    return replace(model, spec=replace(model.spec, fixes=("noise", "jpeg")))


class Held(Restorer):
    """Stops before every step while it is closed, so that a test can look at a restoration that runs."""

    def __init__(self) -> None:
        super().__init__(tiny_model(), "cpu")
        self.open = threading.Event()
        self.open.set()

    def restore(self, image: Any, options: Any = None, *, callback: Any = None, **settings: Any) -> Any:
        def watched(step: Any) -> bool | None:
            stop = callback(step)
            while not self.open.wait(0.05):
                if callback.task.stopping:
                    return True
            return stop

        return super().restore(image, options, callback=watched, **settings)


class Page:
    """A browser window on a server of its own, which keeps what it asked for and what went wrong."""

    def __init__(self, window: Any, address: str, restorer: Held, service: Service) -> None:
        self.window, self.address, self.restorer, self.service = window, address, restorer, service
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.refused: list[tuple[int, str]] = []
        window.set_default_timeout(1000 * PATIENCE)
        window.on("request", lambda request: self.asked.append(request.url))
        window.on("pageerror", lambda error: self.wrong.append(str(error)))
        window.on("console", lambda said: self._hear(said.type, said.text))
        window.on("response", lambda answer: self._weigh(answer.status, answer.url))
        window.goto(address)
        window.wait_for_selector("#drop-restore .u-example")

    def _hear(self, kind: str, text: str) -> None:
        if (
            kind == "error" and "Failed to load resource" not in text
        ):  # that one is told by the response too, with its address
            self.wrong.append(text)

    def _weigh(self, status: int, url: str) -> None:
        if status >= 400:
            self.refused.append((status, url.removeprefix(self.address)))

    def give(self, tab: str, file: Path | None = None) -> None:
        if file is None:
            self.window.click(f"#drop-{tab} .u-example >> nth=0")
        else:
            self.window.set_input_files(f"#drop-{tab} input[type=file]", str(file))
        self.window.wait_for_selector(f"#stage-{tab} .u-stage-image")

    def go(self, tab: str) -> None:
        self.window.click(f"#go-{tab}:not([disabled])")

    def done(self, tab: str) -> None:
        self.window.wait_for_selector(f"#stage-{tab} unveil-compare")
        self.window.wait_for_function(
            f"document.querySelector('#stage-{tab} unveil-compare .u-layer')?.naturalWidth > 0"
        )

    def show(self, name: str, whole: bool = True) -> None:
        folder = os.environ.get("UNVEIL_SCREENSHOTS")
        if folder:
            self.window.wait_for_timeout(400)
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.window.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=whole)

    def give_many(self, files: list[Path]) -> None:
        self.window.set_input_files("#drop-restore input[type=file]", list(map(str, files)))
        expect(self.window.locator("#drop-restore .u-queue li")).to_have_count(len(files))
        self.window.wait_for_selector("#stage-restore .u-stage-image")

    def in_view(self, *parts: str) -> None:
        """Without scrolling."""
        assert self.window.evaluate("scrollY") == 0
        height = self.window.viewport_size["height"]
        for part in parts:
            box = self.window.locator(f"#stage-restore {part}").bounding_box()
            assert box["y"] >= 0, part
            assert box["y"] + box["height"] <= height, part

    def draws(self, count: int) -> None:
        field = self.window.get_by_role("spinbutton", name="Draws")
        field.fill(str(count))
        field.press("Tab")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = os.environ.get("UNVEIL_BROWSER") or next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no browser is installed: apt-get install chromium, or name one in UNVEIL_BROWSER")
    with sync_playwright() as playwright:
        # No sandbox: it needs privileges that containers do not have; the browser sees our own page only.
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Held, Service]]:
    restorer = Held()
    known = {
        "tiny": Engine("tiny", "LearnIR", "A small model with random weights.", lambda device: restorer),
        "other": Engine("other", "LearnIR", "Another one.", lambda device: Restorer(tiny_model(1), "cpu")),
        "told": Engine(
            "told", "LearnIR", "One that is told what to fix.", lambda device: Restorer(tiny_experts(doubt=True), "cpu")
        ),
        "some": Engine(
            "some", "LearnIR", "For some kinds of damage.", lambda device: Restorer(for_some_kinds(), "cpu")
        ),
    }
    service = Service(ServerSettings(samples=8, max_pixels=500_000), Restorers(known))
    with reachable(service) as address:
        yield address, restorer, service


@contextmanager
def reachable(service: Service) -> Iterator[str]:
    """The address at which the service answers."""
    usual, working.GRACE = working.GRACE, GRACE
    listener = socket.create_server(("127.0.0.1", 0))
    serving = uvicorn.Server(uvicorn.Config(application(service), log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=serving.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    working.GRACE = usual
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    serving.should_exit = True
    thread.join(20)


@pytest.fixture
def visit(browser: Any, server: tuple[str, Held, Service]) -> Iterator[Callable[..., Page]]:
    """Opens windows; whatever they did, they asked nobody but our own server, and nothing went wrong in them."""
    contexts, pages = [], []

    def open_one(size: dict[str, int] = DESKTOP, scheme: str = "light", **settings: Any) -> Page:
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme, **settings))
        pages.append(Page(contexts[-1].new_page(), *server))
        return pages[-1]

    yield open_one
    server[1].open.set()
    for context in contexts:
        context.close()
    for page in pages:
        foreign = [url for url in page.asked if not url.startswith((page.address, "data:", f"blob:{page.address}"))]
        assert foreign == [], "the page must ask nobody else"
        assert page.wrong == []
        assert page.refused == []


def choose(page: Page, model: str) -> None:
    """Choose a model in the tab Restore."""
    page.window.locator("input[aria-label=Model]").click()
    page.window.get_by_role("option", name=f"{model} (LearnIR)").click()


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A JPEG with a position and a camera in it."""
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    exif.get_ifd(0x8825)[1] = "N"
    y, x = np.mgrid[0:120, 0:180]
    pixels = np.stack([x, y * 2, (x + y) % 256], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "lake.jpg", quality=92, exif=exif)
    return tmp_path / "lake.jpg"


@pytest.fixture
def lakes(lake: Path) -> list[Path]:
    """Three photographs."""
    made = [lake]
    for turned in (1, 2):
        made.append(lake.with_name(f"lake{turned}.jpg"))
        Image.open(lake).rotate(90 * turned, expand=True).save(made[-1], quality=92)
    return made


def test_upload_restore_slide_and_download(visit: Callable[..., Page], lake: Path, tmp_path: Path) -> None:
    page = visit()
    page.show("01-empty")
    page.give("restore", lake)
    assert "lake.jpg" in page.window.inner_text("#drop-restore .u-chosen")
    assert "180 × 120" in page.window.inner_text("#drop-restore .u-chosen")
    page.show("02-photograph")
    page.go("restore")
    page.done("restore")
    page.show("03-result")
    # The slider follows keys and mouse; the upper picture is cut where it stands.
    slider = page.window.locator("#stage-restore .u-slider")
    slider.focus()
    before = page.window.evaluate("document.querySelector('#stage-restore .u-layer + .u-layer').style.clipPath")
    for _ in range(20):
        slider.press("ArrowRight")
    assert float(slider.input_value()) == 60
    assert page.window.evaluate("document.querySelector('#stage-restore .u-layer + .u-layer').style.clipPath") != before
    box = page.window.locator("#stage-restore .u-compare").bounding_box()
    page.window.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 40)
    assert abs(float(slider.input_value()) - 25) <= 1
    slider.press("+")
    slider.press("+")
    assert "scale(2.25)" in page.window.evaluate("document.querySelector('#stage-restore .u-layer').style.transform")
    page.show("04-zoomed")
    slider.press("0")
    with page.window.expect_download() as fetched:
        page.window.click("#stage-restore a.u-main")
    fetched.value.save_as(tmp_path / "fetched.jpg")
    assert fetched.value.suggested_filename == "lake_restored.jpg"
    # The very bytes that the library writes, with the photograph's metadata.
    result = Restorer(tiny_model(), "cpu").restore(lake, fidelity=0.0)
    result.save(tmp_path / "expected.jpg")
    assert (tmp_path / "fetched.jpg").read_bytes() == (tmp_path / "expected.jpg").read_bytes()
    kept = photo.read(tmp_path / "fetched.jpg")
    assert kept.exif == photo.read(lake).exif or b"A camera" in (kept.exif or b"")
    page.window.click("#stage-restore summary")
    assert "general" not in page.window.inner_text("#stage-restore table")
    assert "tiny" in page.window.inner_text("#stage-restore table")


def test_several_draws_show_where_the_model_is_unsure(visit: Callable[..., Page]) -> None:
    page = visit()
    page.give("restore")
    page.draws(4)
    page.go("restore")
    page.done("restore")
    labels = page.window.locator("#stage-restore .u-thumb").all_inner_texts()
    assert labels == ["Mean of 4", "Draw 1", "Draw 2", "Draw 3", "Draw 4", "Doubt"]
    page.window.click("#stage-restore .u-thumb >> nth=5")
    assert page.window.locator("#stage-restore .u-thumb >> nth=5").get_attribute("aria-pressed") == "true"
    assert "invented" in page.window.inner_text("#stage-restore .u-note")
    page.show("05-draws")
    # The doubt stands beside the mean that it is about, and is saved with its legend; a draw stands beside the photograph again.
    assert page.window.inner_text("#stage-restore .u-tag-left") == "Mean of 4"
    with page.window.expect_download() as fetched:
        page.window.click("#stage-restore a.u-save")
    assert fetched.value.suggested_filename == "coffee_doubt.png"
    with Image.open(fetched.value.path()) as saved:
        assert saved.size == (600, 400 + 28)
    page.window.click("#stage-restore .u-thumb >> nth=1")
    assert page.window.inner_text("#stage-restore .u-tag-left") == "Before"
    assert page.window.inner_text("#stage-restore a.u-save") == "Save coffee_draw-1.png"


def test_how_sure_it_is_stands_beside_one_draw(visit: Callable[..., Page], lake: Path) -> None:
    page = visit(LAPTOP)
    switch = page.window.locator("#doubt-restore input")
    expect(switch).not_to_be_visible()  # the first model has no network for it
    choose(page, "told")
    page.give("restore", lake)
    page.window.wait_for_selector("#fix-noise >> text=%")
    page.window.locator("#fix-haze input").check()
    expect(page.window.locator("#looks-restore .u-chip")).to_have_count(0)
    switch.check()
    page.go("restore")
    page.done("restore")
    assert page.window.locator("#stage-restore .u-thumb").all_inner_texts() == ["After", "Doubt"]
    page.window.click("#stage-restore .u-thumb >> nth=1")
    said = Restorer(tiny_experts(doubt=True), "cpu").restore(lake, fix="haze", uncertainty=True)
    words = page.window.inner_text("#stage-restore .u-note >> nth=0")
    assert f"The brightness of the whole may be off by ±{255 * (said.light_uncertainty or 0):.0f}" in words
    page.in_view(".u-compare", ".u-slider", ".u-strip", "a.u-save", "a.u-main")
    page.show("25-doubt", whole=False)
    with page.window.expect_download() as fetched:
        page.window.click("#stage-restore a.u-save")
    assert fetched.value.suggested_filename == "lake_doubt.png"
    with Image.open(fetched.value.path()) as saved:
        assert saved.height > 120  # with its legend
    page.window.click("#stage-restore summary")
    assert "--uncertainty" in page.window.inner_text("#stage-restore unveil-copy code")


def test_result_slider_and_download_are_in_view_with_several_draws_and_photographs(
    visit: Callable[..., Page], lakes: list[Path]
) -> None:
    page = visit(LAPTOP)
    page.give("restore")
    page.draws(8)
    page.go("restore")
    page.done("restore")
    page.window.click("#stage-restore .u-thumb >> nth=-1")
    page.show("18-laptop-draws", whole=False)
    page.in_view(".u-compare", ".u-slider", ".u-strip", ".u-note", "a.u-main")
    page.window.click("#drop-restore >> text=Choose another")
    page.draws(1)
    page.give_many(lakes)
    page.go("restore")
    page.window.wait_for_selector("#drop-restore .u-queue-foot a.u-main >> text=Download all")
    page.done("restore")
    page.show("19-laptop-several", whole=False)
    page.in_view(".u-compare", ".u-slider", "a.u-main")


def test_a_small_picture_is_enlarged_smoothly(visit: Callable[..., Page], tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(tmp_path / "tiny.png")
    page = visit()
    page.give("restore", tmp_path / "tiny.png")
    page.go("restore")
    page.done("restore")
    drawn = "getComputedStyle(document.querySelector('#stage-restore .u-layer')).imageRendering"
    slider = page.window.locator("#stage-restore .u-slider")
    assert page.window.evaluate(drawn) == "auto"
    slider.press("+")
    assert page.window.evaluate(drawn) == "auto"
    page.show("20-small")
    for _ in range(3):
        slider.press("+")
    assert page.window.evaluate(drawn) == "pixelated"  # who comes near wants to see the pixels


def test_progress_and_cancel(visit: Callable[..., Page]) -> None:
    page = visit()
    page.give("restore")
    page.restorer.open.clear()
    page.go("restore")
    page.window.wait_for_selector("#stage-restore unveil-progress >> text=Step 1 of 5")
    page.window.wait_for_function("document.querySelector('#stage-restore .u-stage-image').src.includes('preview')")
    page.window.wait_for_selector("#go-restore:disabled")
    page.show("06-running")
    task = next(job.task for job in page.service._jobs.values() if not job.task.status.final)
    asked: list[float] = []
    real = task.ask_to_stop
    task.ask_to_stop = lambda *reason: (asked.append(time.monotonic()), real(*reason))  # type: ignore[method-assign]
    pressed = time.monotonic()
    page.window.click("#stage-restore unveil-progress .u-button")
    page.window.wait_for_selector("#stage-restore >> text=Cancelled")
    assert time.monotonic() - pressed < 1 + PATIENCE / 20, "a second, and what a busy machine takes"
    assert task.ended is not None
    assert task.ended - asked[0] < 1, "the server's part"
    page.show("07-cancelled")
    page.window.wait_for_selector("#go-restore:not([disabled])")
    assert page.service.queue.running == 0
    # The picture of a step may have been asked for just when everything about the job was deleted.
    page.refused = [(status, path) for status, path in page.refused if not ("preview" in path and status == 404)]
    page.restorer.open.set()
    page.go("restore")
    page.done("restore")


def test_a_second_visitor_waits_in_line(visit: Callable[..., Page]) -> None:
    first, second = visit(), visit()
    first.give("restore")
    second.give("restore")
    first.restorer.open.clear()
    first.go("restore")
    first.window.wait_for_selector("unveil-progress >> text=Step 1")
    second.go("restore")
    second.window.wait_for_selector("unveil-progress >> text=Next in line")
    second.show("08-waiting")
    first.restorer.open.set()
    first.done("restore")
    second.done("restore")


def test_several_photographs_are_restored_one_after_another_and_come_as_one_archive(
    visit: Callable[..., Page], lakes: list[Path], tmp_path: Path
) -> None:
    page = visit()
    (tmp_path / "notes.txt").write_text("no photograph")
    page.give_many([*lakes[:2]])
    # Dropping more onto the list adds to it; what is no photograph is named, and stops nothing.
    page.window.set_input_files("#drop-restore input[type=file]", [str(tmp_path / "notes.txt"), str(lakes[2])])
    expect(page.window.locator("#drop-restore .u-queue li")).to_have_count(3)
    assert "notes.txt: is not an image" in page.window.inner_text("#drop-restore [role=alert]:visible")
    expect(page.window.locator("#go-restore")).to_have_text("Restore all 3")
    page.show("21-several-before", whole=False)
    page.restorer.open.clear()
    page.go("restore")
    page.window.wait_for_selector("#stage-restore unveil-progress >> text=Step 1")
    states = page.window.locator("#drop-restore .u-state")
    expect(states.nth(0)).to_contain_text("restoring")
    expect(states.nth(1)).to_have_text("waiting")
    page.show("22-several-running", whole=False)
    page.restorer.open.set()
    page.window.wait_for_selector("#drop-restore .u-queue-foot a.u-main >> text=Download all")
    for state in states.all():
        expect(state).to_contain_text("restored in")
    expect(page.window.locator("#drop-restore .u-queue-total")).to_have_text("3 photographs, 3 restored")
    expect(page.window.locator("#go-restore")).to_be_enabled()
    page.window.click("#drop-restore .u-pick >> nth=0")
    page.window.wait_for_selector("#stage-restore a.u-main >> text=lake_restored.jpg")
    page.done("restore")
    page.show("23-several-done", whole=False)
    with page.window.expect_download() as fetched:
        page.window.click("#drop-restore .u-queue-foot a.u-main")
    with zipfile.ZipFile(fetched.value.path()) as whole:
        assert whole.namelist() == ["lake_restored.jpg", "lake1_restored.jpg", "lake2_restored.jpg"]
        assert whole.testzip() is None
        # Each as it comes alone.
        expected = Restorer(tiny_model(), "cpu").restore(lakes[1], fidelity=0.0)
        expected.save(tmp_path / "expected.jpg")
        assert whole.read("lake1_restored.jpg") == (tmp_path / "expected.jpg").read_bytes()
    page.refused = [(status, path) for status, path in page.refused if status != 415]
    # One can be taken off the list; the last one left stands alone.
    page.window.get_by_label("Take lake.jpg off the list").click()
    page.window.get_by_label("Take lake1.jpg off the list").click()
    page.window.wait_for_selector("#drop-restore .u-chosen >> text=lake2.jpg")
    expect(page.window.locator("#go-restore")).to_have_text("Restore")


def test_all_of_several_are_cancelled_together(visit: Callable[..., Page], lakes: list[Path]) -> None:
    page = visit()
    page.give_many(lakes)
    page.restorer.open.clear()
    page.go("restore")
    page.window.wait_for_selector("#stage-restore unveil-progress >> text=Step 1")
    pressed = time.monotonic()
    page.window.click("#drop-restore >> text=Cancel all")
    for state in page.window.locator("#drop-restore .u-state").all():
        expect(state).to_have_text("cancelled")
    assert time.monotonic() - pressed < 1 + PATIENCE / 20
    expect(page.window.locator("#go-restore")).to_be_enabled()
    assert page.service.queue.running == page.service.queue.waiting == 0
    page.refused = [(status, path) for status, path in page.refused if not ("preview" in path and status == 404)]


def test_a_page_that_is_loaded_again_goes_on_where_it_was(visit: Callable[..., Page], lake: Path) -> None:
    page = visit()
    page.give("restore", lake)
    page.restorer.open.clear()
    page.go("restore")
    page.window.wait_for_selector("unveil-progress >> text=Step 1")
    page.window.reload()
    page.window.wait_for_selector("#drop-restore .u-chosen >> text=lake.jpg")
    page.window.wait_for_selector("#stage-restore unveil-progress >> text=Step 1")
    expect(page.window.locator("#go-restore")).to_be_disabled()
    page.window.wait_for_timeout(1000 * (GRACE + 1))  # longer than work goes on that nobody asks for
    assert page.service.queue.running == 1
    page.restorer.open.set()
    page.done("restore")
    expect(page.window.locator("#go-restore")).to_be_enabled()
    assert len(page.service._jobs) >= 1
    # The result is there after another reload, and was not computed again.
    before = page.window.get_attribute("#stage-restore a.u-main", "href")
    page.window.reload()
    page.done("restore")
    assert page.window.get_attribute("#stage-restore a.u-main", "href") == before
    page.wrong.clear()  # gradio's own connections, cut in the middle


def test_several_go_on_after_a_reload_too(visit: Callable[..., Page], lakes: list[Path]) -> None:
    page = visit()
    page.give_many(lakes)
    page.restorer.open.clear()
    page.go("restore")
    page.window.wait_for_selector("#stage-restore unveil-progress >> text=Step 1")
    page.window.reload()
    expect(page.window.locator("#drop-restore .u-queue li")).to_have_count(3)
    expect(page.window.locator("#drop-restore .u-state").nth(0)).to_contain_text("restoring")
    page.restorer.open.set()
    page.window.wait_for_selector("#drop-restore .u-queue-foot a.u-main >> text=Download all")
    page.done("restore")
    page.wrong.clear()


def test_help_says_where_it_fails(visit: Callable[..., Page]) -> None:
    page = visit()
    with page.window.context.expect_page() as opened:
        page.window.get_by_role("link", name="Where it fails").click()
    opened.value.wait_for_load_state()
    assert "Never use a restoration to recognise anybody" in opened.value.inner_text("#fails + ul")
    if os.environ.get("UNVEIL_SCREENSHOTS"):
        opened.value.screenshot(path=str(Path(os.environ["UNVEIL_SCREENSHOTS"]) / "24-help.png"), full_page=True)


def test_leaving_the_page_stops_the_work(visit: Callable[..., Page]) -> None:
    page = visit()
    page.give("restore")
    page.restorer.open.clear()
    page.go("restore")
    page.window.wait_for_selector("unveil-progress >> text=Step 1")
    task = next(job.task for job in page.service._jobs.values() if not job.task.status.final)
    page.window.goto("about:blank")
    assert task.wait(PATIENCE).state == "cancelled"
    page.wrong.clear()  # gradio's own connections, cut in the middle


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("notes.png", b"these are notes", "notes.png: is not an image"),
        ("empty.jpg", b"", "empty.jpg: the file is empty"),
        ("cut.png", None, "cut.png: "),
        ("wide.png", "wide", "600,000 pixels"),
    ],
)
def test_what_cannot_be_restored_is_said_in_words(
    visit: Callable[..., Page], tmp_path: Path, name: str, data: bytes | str | None, words: str
) -> None:
    if not isinstance(data, bytes):
        size = (1000, 600) if data == "wide" else (64, 64)
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(
            out := io.BytesIO(), "PNG"
        )
        data = out.getvalue() if data == "wide" else out.getvalue()[:-4000]
    (tmp_path / name).write_bytes(data)
    page = visit()
    page.window.set_input_files("#drop-restore input[type=file]", str(tmp_path / name))
    alert = page.window.wait_for_selector("#drop-restore [role=alert]:visible")
    assert words in alert.inner_text()
    page.show(f"09-refused-{Path(name).stem}")
    assert page.window.locator("#go-restore").is_disabled()
    assert [path for _, path in page.refused] == ["page/photos"]
    page.refused.clear()


def test_compare_two_models(visit: Callable[..., Page]) -> None:
    page = visit()
    page.window.get_by_role("tab", name="Compare").click()
    page.give("compare")
    page.go("compare")
    page.done("compare")
    assert page.window.inner_text("#stage-compare .u-tag-left") == "tiny, fidelity 0"
    assert page.window.inner_text("#stage-compare .u-tag-right") == "other, fidelity 1"
    page.show("10-compare")


def test_compare_begins_with_the_photograph_and_settings_of_restore(visit: Callable[..., Page], lake: Path) -> None:
    page = visit()
    page.give("restore", lake)
    choose(page, "other")
    page.window.get_by_role("tab", name="Compare").click()
    page.window.wait_for_selector("#stage-compare .u-stage-image:visible")
    page.window.wait_for_selector("#drop-compare .u-chosen >> text=lake.jpg")
    page.go("compare")
    page.done("compare")
    assert page.window.inner_text("#stage-compare .u-tag-left").startswith("other, fidelity")


def test_damage_a_photograph_and_hand_it_on(visit: Callable[..., Page], lake: Path) -> None:
    page = visit()
    page.window.get_by_role("tab", name="Degrade").click()
    page.give("degrade", lake)
    page.go("degrade")
    page.done("degrade")
    page.window.click("#stage-degrade summary")
    assert "airlight" in page.window.inner_text("#stage-degrade table")
    page.show("11-degrade")
    page.window.click("#hand-on")
    page.window.wait_for_selector("#stage-restore .u-stage-image:visible")
    page.window.wait_for_selector("#drop-restore .u-chosen >> text=lake_haze.jpg")
    page.go("restore")
    page.done("restore")


def test_everything_can_be_reached_with_the_keyboard(visit: Callable[..., Page]) -> None:
    page = visit()
    seen: set[str] = set()
    for _ in range(40):
        page.window.keyboard.press("Tab")
        seen.add(
            page.window.evaluate(
                "(() => { const e = document.activeElement; return e.getAttribute('role') === 'tab' ? 'tab' : e.type === 'file' ? 'file' : "
                "e.classList.contains('u-example') ? 'example' : e.getAttribute('aria-label') || e.innerText || ''; })()"
            )
        )
    assert {"tab", "file", "example"} <= seen
    assert any("More" in text for text in seen)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone(visit: Callable[..., Page], scheme: str) -> None:
    page = visit(PHONE, scheme, has_touch=True, is_mobile=True, device_scale_factor=2)
    page.show(f"12-phone-{scheme}-empty")
    page.give("restore")
    choose(page, "told")
    page.window.wait_for_selector("#fix-restore:visible")
    tops = [page.window.locator(place).bounding_box()["y"] for place in ("#go-restore", "#fix-restore")]
    assert tops == sorted(tops), "the button comes before the settings"
    page.show(f"12-phone-{scheme}-chosen")
    choose(page, "tiny")
    page.draws(2)
    page.go("restore")
    page.done("restore")
    page.show(f"13-phone-{scheme}-result")
    # Nothing sticks out to the side.
    assert page.window.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_dark(visit: Callable[..., Page]) -> None:
    page = visit(scheme="dark")
    page.give("restore")
    page.draws(2)
    page.go("restore")
    page.done("restore")
    page.window.get_by_role("button", name="More").click()
    page.show("14-dark")
    colours = page.window.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('.u-head h1')).color]"
    )
    light = [sum(map(int, colour[colour.index("(") + 1 : -1].split(",")[:3])) for colour in colours]
    assert light[0] < 200 < 500 < light[1]


def test_a_photograph_whose_event_was_lost_is_shown_all_the_same(visit: Callable[..., Page], lake: Path) -> None:
    page = visit(LAPTOP)
    page.window.evaluate(
        "document.addEventListener('photo', (event) => event.stopImmediatePropagation(), {capture: true, once: true})"
    )
    page.give("restore", lake)
    page.go("restore")
    page.done("restore")


def test_the_stream_of_answers_stays_open_while_the_page_is_looked_at(
    visit: Callable[..., Page], lakes: list[Path]
) -> None:
    page = visit(LAPTOP)
    streams: list[str] = []
    ended: list[str] = []
    for name, kept in (("request", streams), ("requestfinished", ended), ("requestfailed", ended)):
        page.window.on(name, lambda request, kept=kept: kept.append(request.url))
    page.give_many(lakes)
    page.go("restore")
    page.window.wait_for_selector("#drop-restore .u-queue-foot a.u-main >> text=Download all")
    page.window.click("#drop-restore >> text=Choose others")
    page.give("restore", lakes[0])
    page.draws(2)
    page.go("restore")
    page.done("restore")
    # It was opened when the page was.
    assert [url for url in streams + ended if "/queue/data" in url] == []
    # In the background it has none, and comes back to a new one.
    for hidden, seen in (("true", ended), ("false", streams)):
        page.window.evaluate(
            f"Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        end = time.monotonic() + PATIENCE
        while not any("/queue/data" in url for url in seen) and time.monotonic() < end:
            page.window.wait_for_timeout(50)
        assert [url for url in seen if "/queue/data" in url]
    page.go("restore")
    page.done("restore")


def test_the_diagnosis_is_switches_that_act(visit: Callable[..., Page], lake: Path) -> None:
    page = visit(LAPTOP)
    choose(page, "told")
    page.window.wait_for_selector("#fix-restore:visible")
    page.give("restore", lake)
    page.window.wait_for_selector("#fix-noise >> text=%")
    pixels = photo.read(lake).pixels
    found = treatment(describer.shipped().describe(pixels).probabilities).probabilities
    for kind in KINDS:
        assert page.window.locator(f"#fix-{kind} input").is_checked() == (found[kind] > 0)
    assert page.window.locator("#fix-auto input").is_checked()
    page.show("15-switches", whole=False)
    # A switch that is touched ends Automatic, and Automatic puts the switches back.
    other = next(kind for kind in KINDS if found[kind] == 0)
    page.window.locator(f"#fix-{other} input").check()
    expect(page.window.locator("#fix-auto input")).not_to_be_checked()
    page.window.locator("#fix-auto input").check()
    expect(page.window.locator(f"#fix-{other} input")).not_to_be_checked()
    for kind in KINDS:
        page.window.locator(f"#fix-{kind} input").set_checked(kind in ("noise", "jpeg"))
    expect(page.window.locator("#fix-auto input")).not_to_be_checked()
    page.go("restore")
    page.done("restore")
    page.in_view(".u-compare", ".u-slider", "a.u-main")
    page.show("16-told", whole=False)
    page.window.click("#stage-restore summary")
    line = page.window.inner_text("#stage-restore unveil-copy code")
    assert line.startswith("unveil restore lake.jpg -n told --fix noise,jpeg --seed 0")
    assert "noise 1, jpeg 1" in page.window.inner_text("#stage-restore table")
    page.show("17-again")
    with page.window.expect_download() as fetched:
        page.window.click("#stage-restore a.u-main")
    expected = Restorer(tiny_experts(), "cpu").restore(lake, fix="noise,jpeg")
    expected.save(lake.with_name("expected.jpg"))
    fetched.value.save_as(got := lake.with_name("got.jpg"))
    assert got.read_bytes() == lake.with_name("expected.jpg").read_bytes()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_accessibility_by_axe(visit: Callable[..., Page], lake: Path, size: dict[str, int], scheme: str) -> None:
    """WCAG 2.2 AA, as far as axe-core can tell: nothing serious in any state. `-s` prints the counts."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python").Axe()
    # Without transitions: a button on its way from disabled to enabled has a colour in between.
    page = visit(size, scheme, has_touch=size is PHONE, is_mobile=size is PHONE, reduced_motion="reduce")
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    serious = []

    def look(state: str) -> None:
        found = axe.run(page.window, options=rules).response
        nodes = [(violation, node) for violation in found["violations"] for node in violation["nodes"]]
        counts = Counter(violation["impact"] for violation, _ in nodes)
        print(f"axe {state} {scheme} {size['width']}: {len(found['passes'])} rules passed, findings {dict(counts)}")
        for violation, node in nodes:
            line = f"{state}: {violation['id']} ({violation['impact']}): {node['html'][:120]} {node['failureSummary']}"
            print(line)
            if violation["impact"] in ("serious", "critical"):
                serious.append(line)

    look("first view")
    page.give("restore", lake)
    look("chosen")
    page.draws(2)
    page.restorer.open.clear()
    page.go("restore")
    page.window.wait_for_selector("#stage-restore unveil-progress >> text=Step 1 of 5")
    look("running")
    page.restorer.open.set()
    page.done("restore")
    look("done")
    page.window.click("#stage-restore summary")
    page.window.get_by_role("button", name="More").click()
    look("everything open")
    assert serious == []


def test_switches_are_those_of_the_kinds_that_the_model_fixes(visit: Callable[..., Page], lake: Path) -> None:
    page = visit(LAPTOP)
    choose(page, "told")
    page.give("restore", lake)
    page.window.wait_for_selector("#fix-noise >> text=%")
    page.window.locator("#fix-haze input").check()
    choose(page, "some")
    expect(page.window.locator("#fix-haze")).to_be_hidden()
    for kind in ("noise", "jpeg"):
        page.window.locator(f"#fix-{kind} input").set_checked(kind == "noise")
    page.go("restore")
    page.done("restore")
    page.window.click("#stage-restore summary")
    line = page.window.inner_text("#stage-restore unveil-copy code")
    assert line.startswith("unveil restore lake.jpg -n some --fix noise --seed 0")
    choose(page, "told")
    expect(page.window.locator("#fix-haze")).to_be_visible()


def test_the_token_is_asked_for_once(browser: Any) -> None:
    """Browsers say of a form from which page it comes, unless that page forbids it."""
    tiny = Engine("tiny", "LearnIR", "A small model.", lambda device: Restorer(tiny_model(), "cpu"))
    service = Service(ServerSettings(token="a-long-secret-token"), Restorers({"tiny": tiny}))
    with reachable(service) as address:
        window = browser.new_context().new_page()
        window.set_default_timeout(1000 * PATIENCE)
        window.goto(address)
        window.fill("#token", "another-long-token")
        window.press("#token", "Enter")
        expect(window.locator("#token")).to_be_visible()
        window.fill("#token", "a-long-secret-token")
        window.press("#token", "Enter")
        window.wait_for_selector("#drop-restore .u-example")
        window.goto(address)
        window.wait_for_selector("#drop-restore .u-example")
        window.context.close()
