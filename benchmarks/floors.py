"""The drawing of the floors of the house, docs/img/architecture.svg, from the contract that `make lint` checks.

python -m benchmarks floors
"""

from __future__ import annotations

import re
import tomllib
from argparse import Namespace

from benchmarks._shared import HERE

PICTURE = HERE.parent / "docs" / "img" / "architecture.svg"
WIDTH, HEIGHT, GAP, LEFT = 880, 46, 8, 190
LABELS = {
    "cli": "doors", "bench": "measuring", "loading": "the door in Python", "jobs": "many, and how good",
    "restorer": "one photograph, one run", "models": "models and methods", "networks": "the ground",
}  # fmt: skip
MATHEMATICS = ("diffusion", "networks", "models", "zeroshot")
INK, GREY, RED = "#1d2b36", "#5b6770", "#c8551b"


def floors() -> list[list[str]]:
    """The rooms of every floor, from the top."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    return [re.findall(r"\w+", layer) for layer in layers]


def svg() -> str:
    """The drawing."""
    found = floors()
    right, bottom = WIDTH - 60, 10 + len(found) * (HEIGHT + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 6}" font-family="sans-serif" font-size="15">',
        "<title>The floors of the house: imports run downwards only</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for number, rooms in enumerate(found):
        y = 10 + number * (HEIGHT + GAP)
        middle, width = y + HEIGHT // 2 + 5, (right - LEFT - GAP * (len(rooms) - 1)) / len(rooms)
        label = LABELS.get(rooms[0], "")
        lines += [f'<text x="12" y="{middle}" fill="{GREY}" font-size="12">{label}</text>'] if label else []
        for i, room in enumerate(rooms):
            x = LEFT + i * (width + GAP)
            fill = "#f6e3d3" if room in MATHEMATICS else "#dfe9f3"
            box = f'x="{x:.0f}" y="{y}" width="{width:.0f}" height="{HEIGHT}" rx="6"'
            lines.append(f'<rect {box} fill="{fill}" stroke="{GREY}"/>')
            lines.append(f'<text x="{x + width / 2:.0f}" y="{middle}" text-anchor="middle" fill="{INK}">{room}</text>')
    arrow, words = WIDTH - 34, WIDTH - 14
    lines += [
        f'<path d="M{arrow} 20 V{bottom - 30}" stroke="{RED}" stroke-width="2.5"/>',
        f'<path d="M{arrow - 7} {bottom - 34} l7 14 l7 -14 z" fill="{RED}"/>',
        f'<text x="{words}" y="{bottom // 2}" fill="{RED}" font-size="13" text-anchor="middle" '
        f'transform="rotate(90 {words} {bottom // 2})">imports run downwards only</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def main(_: Namespace) -> None:
    PICTURE.write_text(svg(), encoding="utf-8")
    print(f"wrote {PICTURE}")
