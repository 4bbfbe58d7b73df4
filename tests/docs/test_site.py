"""The pages are built strictly, and a page fetches nothing from elsewhere: no fonts, no scripts, no pictures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]+src=["']?(?:https?:)?//|<link[^>]+href=["']?(?:https?:)?//|@import url"""
)


@pytest.mark.slow
def test_the_pages_build_and_fetch_nothing(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="mkdocs-material comes with the extra docs")
    call = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path / "site")]
    built = subprocess.run(
        call, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert built.returncode == 0, built.stderr
    pages = list((tmp_path / "site").glob("*.html"))
    assert {page.stem for page in pages} >= {path.stem for path in (ROOT / "docs").glob("*.md")}
    for page in pages:
        assert not FETCHED.search(page.read_text(encoding="utf-8")), page.name


def test_equations_are_numbered_in_order_and_what_sets_them_lies_with_the_pages() -> None:
    text = (ROOT / "docs" / "mathematics.md").read_text(encoding="utf-8")
    assert [int(n) for n in re.findall(r"\\tag\{(\d+)\}", text)] == list(range(1, 17))
    assert text.count("\n$$\n") % 2 == 0
    style = ROOT / "docs" / "assets" / "katex" / "katex.min.css"
    fonts = set(re.findall(r"url\(([^)]+)\)", style.read_text(encoding="utf-8")))
    assert fonts
    assert all((style.parent / font).is_file() for font in fonts)


@pytest.mark.slow
def test_mathematics_is_set_in_pages_opened_from_disk(tmp_path: Path) -> None:
    """In a browser, from file://, with nothing asked of anybody: every equation is set, none as an error; wide tables scroll on a phone."""
    pytest.importorskip("material", reason="mkdocs-material comes with the extra docs")
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    found = os.environ.get("UNVEIL_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no browser is installed")
    call = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path / "site")]
    subprocess.run(call, cwd=ROOT, check=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "site" / "mathematics.html").as_uri())
        marked, done = (page.locator(name).count() for name in (".arithmatex", ".arithmatex .katex"))
        assert marked == done > 18
        assert page.locator(".katex-error").count() == 0
        page.goto((tmp_path / "site" / "results.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
