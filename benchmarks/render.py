"""Write the pages of docs/ whose numbers come from benchmarks/results, or check that they are what the results say.

Their text is in benchmarks/pages; docs/api.md is written from the package's own docstrings, the table of docs/choose.md by `overview.py`.

    python -m benchmarks render            write them
    python -m benchmarks render --check    exit status 1 and a line for every page that is not up to date
"""

from __future__ import annotations

import importlib
import json
import sys
from argparse import Namespace
from importlib.resources import files
from pathlib import Path
from typing import Any

from benchmarks import api, overview
from benchmarks._pages import Facts, PageError, render
from benchmarks._shared import HERE, RESULTS
from unveil.bench import speed

SHORT = {
    "zeroshot_quality": "zero", "wild_model": "wild", "fit_classifier": "describe", "fit_second_look": "second",
}  # fmt: skip
"""What pages call a result, where it is not its name."""
QUOTED = (
    *SHORT, "speed", "gpu", "quality", "quality_wild", "calibration", "denoisers", "gallery", "blind",
)  # fmt: skip
MODULES = {
    "quality_wild": "benchmarks.quality",
    "fit_classifier": "recipes.fit_classifier",
    "fit_second_look": "recipes.fit_second_look",
}
"""What made a result and knows its facts, where it is not the benchmark of the result's name."""

DOCS = HERE.parent / "docs"
CHOOSE = DOCS / "choose.md"
PAGES = HERE / "pages"


def of_speed(result: dict[str, Any]) -> Facts:
    """Of `unveil bench speed`: `off.fp32.outside` (%), `off.fp32.passes`, the table."""
    made = Facts({"table.speed": speed.markdown(result)})
    for row in result["rows"]:
        for key, value in speed.numbers(row).items():
            made.put(f"{row['resolution']}.{row['dtype']}.{key}", value, 0 if key == "peak" else 2)
    return made


def facts(results: Path = RESULTS) -> Facts:
    """Every fact of every result that is there, under its benchmark's short name."""
    found = Facts()
    for name in QUOTED:
        path, short = results / f"{name}.json", SHORT.get(name, name)
        if path.is_file():
            result = json.loads(path.read_text(encoding="utf-8"))
            module = MODULES.get(name, f"benchmarks.{name}")
            of_result = of_speed(result) if name == "speed" else importlib.import_module(module).facts(result)
            found |= {f"{short}.{key}": value for key, value in of_result.items()}
            found[f"{short}.machine"] = result["protocol"]["machine"]
    for name, entry in json.loads((files("unveil.models") / "manifest.json").read_text()).items():
        for key in ("sha256", "machine", "licence"):
            found[f"model.{name}.{key}"] = str(entry[key])
        found.put(f"model.{name}.megabytes", entry["bytes"] / 1e6, 1)
        found.put(f"model.{name}.parameters", entry["parameters"] / 1e6, 1)
        found.put(f"model.{name}.steps", entry["steps"], 0)
        found.put(f"model.{name}.before", entry.get("started_from", {}).get("steps", 0), 0)
    return found


def choose(results: Path = RESULTS) -> str:
    """docs/choose.md with its table of methods as the results say."""
    quality, wild, zero = (
        json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("quality", "quality_wild", "zeroshot_quality")
    )
    shelf = json.loads((files("unveil.models") / "manifest.json").read_text())
    return overview.placed(CHOOSE.read_text(encoding="utf-8"), overview.methods(quality, wild, zero, shelf))


def pages(known: Facts | None = None) -> dict[Path, str]:
    """Target in docs/ -> what should stand there.

    Raises PageError, with the page's name, where a page contradicts the results.
    """
    known = facts() if known is None else known
    made = {}
    for source in sorted(PAGES.glob("*.md")):
        try:
            made[DOCS / source.name] = render(source.read_text(encoding="utf-8"), known)
        except PageError as error:
            raise PageError(f"{source.name}: {error}") from error
    made[DOCS / "api.md"] = api.page()
    made[CHOOSE] = choose()
    return made


OPTIONS = {"--check": (False, "write nothing")}


def main(arguments: Namespace) -> int:
    stale = 0
    for target, text in pages().items():
        if arguments.check:
            if not target.is_file() or target.read_text(encoding="utf-8") != text:
                print(f"{target.name} is not what the results say; run python -m benchmarks render", file=sys.stderr)
                stale = 1
        else:
            DOCS.mkdir(exist_ok=True)
            target.write_text(text, encoding="utf-8")
            print(f"wrote {target}")
    return stale
