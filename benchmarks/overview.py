"""The one table of docs/choose.md: every method, what it needs, what it costs, how good it is. `render.py` puts it there.

Trained models stand on whole sets. Zero-shot methods were measured on each n-th photograph of them, so the input, the corrections and
`general` stand beside them on those photographs too: a number is only to be compared within its half of the table.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

SETS = {"tao256/LOL": "low light", "tao256/HSTS": "haze", "tao256/Kodak24": "noise"}
NEEDS = {
    "general": ("[LearnIR](learnir.md), ICLR 2026", "the default", "nothing: ships as `general`"),
    "wild": ("[IR-SDE](wild.md), as in DA-CLIP, CVPRW 2024", "`-n wild`", "nothing: ships as `wild`"),
    "LD-RPS": ("[LD-RPS](ldrps.md), ICCV 2025", "`ldrps`", "a prior"),
    "UP-ZeroIR": ("[UP-ZeroIR](upzeroir.md), CVPR 2026", "`upzeroir`", "a prior"),
    "TAO": ("[TAO](known_operators.md), ICML 2024", "`tao`", "a prior"),
    "GDP": ("[GDP](known_operators.md), CVPR 2023", "`gdp`", "a prior, the operator"),
    "DPS": ("[DPS](known_operators.md), ICLR 2023", "`dps`", "a prior, the operator"),
    "DiffPIR": ("[DiffPIR](known_operators.md), CVPRW 2023", "`diffpir`", "a prior, the operator"),
    "DDRM": ("[DDRM](known_operators.md), NeurIPS 2022", "`ddrm`", "a prior, the operator"),
    "PiGDM": ("[PiGDM](known_operators.md), ICLR 2023", "`pigdm`", "a prior, the operator"),
}
BEGIN, END = "<!-- written by benchmarks/render.py -->\n", "<!-- until here -->\n"
ABSENT = "–"
PROTOCOL = f"""PSNR in dB of one draw on the 256x256 pairs that TAO published of LOL, HSTS and Kodak24: RGB, whole frame, 8 bit, mean
over photographs. Seconds: one photograph on one processor core. Zero-shot: the small priors that ship and a few steps, mean of up to
three seeds; they show that a method works, not how good it is with a large prior. {ABSENT}: not measured, or not with the weights that
ship."""
Row = dict[str, Any]


def psnr(row: Row | None, images: list[str] | None = None) -> float | None:
    """Mean PSNR of one draw in dB, over the photographs named; None where one of them was not measured."""
    if row is None or not row["one draw"] or images == []:
        return None
    scores = dict(zip(row["images"], (one["psnr"] for one in row["one draw"]), strict=True))
    wanted = row["images"] if images is None else images
    return float(np.mean([scores[name] for name in wanted])) if scores.keys() >= set(wanted) else None


def seconds(row: Row) -> float:
    """Processor seconds of one draw of one photograph."""
    return float(np.mean(row["processor_seconds"])) / row.get("draws", 1)


def shown(value: float | None, digits: int = 1) -> str:
    return ABSENT if value is None else f"{value:.{digits}f}"


def trained(result: dict[str, Any], sha256: str, images: dict[str, list[str]] | None = None) -> list[str]:
    """Seconds and a PSNR a set of a model on the shelf; nothing of other weights than those that ship."""
    rows = [result["sets"].get(s, {}).get("default") for s in SETS]
    rows = [row if row and row["run"].get("sha256") == sha256 else None for row in rows]
    spent = [seconds(row) for row in rows if row]
    of_sets = [psnr(row, None if images is None else images[s]) for row, s in zip(rows, SETS, strict=True)]
    return [shown(float(np.mean(spent)) if spent else None), *[shown(v) for v in of_sets]]


def zero_shot(result: dict[str, Any], title: str) -> list[str]:
    """Seconds and a PSNR a set of a zero-shot method, mean over its seeds."""
    from benchmarks import zeroshot_quality  # brings torch

    spent, cells = [], []
    for name in SETS:
        of_set = result["sets"].get(name, {})
        found = zeroshot_quality.value(of_set, title)
        cells.append(shown(None if found is None else found.mean))
        spent += of_set.get(f"{title} seed 0", {}).get("processor_seconds", [])
    return [shown(float(np.mean(spent)) if spent else None), *cells]


def corrections(result: dict[str, Any]) -> list[str]:
    """The best PSNR of the corrections that learn nothing."""
    spent, cells = [], []
    for name in SETS:
        of_set = result["sets"].get(name, {})
        rows = [row for title, row in of_set.items() if title != "input" and " seed " not in title]
        cells.append(shown(max((v for v in map(psnr, rows) if v is not None), default=None)))
        spent += [seconds(row) for row in rows if row["one draw"]]
    return [shown(float(np.mean(spent)) if spent else None), *cells]


def markdown(head: list[str], lines: list[list[str]], words: int) -> str:
    """A table whose first columns hold words, and the others numbers."""
    bar = ["---" if i < words else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, bar, *lines])


def methods(
    quality: dict[str, Any], wild: dict[str, Any], zero: dict[str, Any], shelf: dict[str, dict[str, Any]]
) -> str:
    """The table and its protocol. shelf: the manifest of the models that ship."""
    few = {name: zero["sets"].get(name, {}).get("input", {}).get("images", []) for name in SETS}
    whole = {name: quality["sets"][name]["input"] for name in SETS}
    sizes = [", ".join(map(str, n)) for n in ([len(r["images"]) for r in whole.values()], map(len, few.values()))]
    general = shelf["general"]["sha256"]
    lines = [
        [f"*on all photographs ({sizes[0]})*", *[""] * 6],
        ["the input", "", "", "", *[shown(psnr(row)) for row in whole.values()]],
        [*NEEDS["general"], *trained(quality, general)],
        [*NEEDS["wild"], *trained(wild, shelf["wild"]["sha256"])],
        [f"*on each {zero['protocol']['every']}th ({sizes[1]})*", *[""] * 6],
        ["the input", "", "", "", *[shown(psnr(row, few[name])) for name, row in whole.items()]],
        ["the better of two corrections that learn nothing", "", "the damage", *corrections(zero)],
        ["`general` again", "", "", *trained(quality, general, few)],
        *[[*NEEDS[title], *zero_shot(zero, title)] for title in NEEDS if title not in ("general", "wild")],
    ]
    head = ["method", "`--method`", "what it needs", "seconds", *SETS.values()]
    return f"{markdown(head, lines, 3)}\n\n{PROTOCOL}\n"


def placed(page: str, content: str) -> str:
    """The page with `content` between its two comments. Raises ValueError where they are not there, once each."""
    found = re.subn(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: f"{BEGIN}\n{content}\n{END}", page, flags=re.S)
    if found[1] != 1:
        raise ValueError(f"expected one {BEGIN.strip()} ... {END.strip()}, found {found[1]}")
    return found[0]
