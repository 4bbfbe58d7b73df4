"""The code blocks of README and docs: python, with the output shown below it, and commands, one by one.

A block may be preceded by a comment, invisible on the page: `<!-- setup: NAME -->` names what must be there for it (see `SETUPS` in
test_blocks.py); `<!-- not run: REASON -->` says why it is only looked at.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(
    r"(?:<!-- (?P<tag>setup|not run): (?P<said>[^>]*?) -->\s*\n)?^```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```[^\n]*\n"
    r"(?:\s*^```text\n(?P<shown>.*?)^```)?",
    re.M | re.S,
)
_INDENTED = re.compile(r"(?:<!-- not run: (?P<said>[^>]*?) -->\s*\n)?(?P<body>(?:^    [^\n]*\n)+)", re.M)


@dataclass(frozen=True)
class Block:
    """Where it stands, what it holds, what its page shows as its output, and what its comment says."""

    page: str
    line: int
    language: str
    body: str
    shown: str | None = None
    setup: str = ""
    not_run: str = ""

    @property
    def id(self) -> str:
        """Page and line, for the name of the test."""
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Fenced blocks, then indented ones outside of them."""
    text = page.read_text(encoding="utf-8")
    found, rest = [], list(text)
    for match in _FENCE.finditer(text):
        tag, said = match["tag"], match["said"] or ""
        line = text.count("\n", 0, match.start("language")) + 1
        found.append(
            Block(
                page.name,
                line,
                match["language"],
                match["body"],
                match["shown"],
                said if tag == "setup" else "",
                said if tag == "not run" else "",
            )
        )
        for i in range(match.start(), match.end()):
            rest[i] = "\n" if text[i] == "\n" else " " if text[i] != "`" else "x"
    outside = "".join(c if c != " " or text[i] == " " else "." for i, c in enumerate(rest))
    for match in _INDENTED.finditer(outside):
        line = outside.count("\n", 0, match.start("body")) + 1
        found.append(Block(page.name, line, "", match["body"], not_run=match["said"] or ""))
    return found


def commands(block: Block, program: str) -> list[list[str]]:
    """The arguments of every line of a block that begins with `program`, up to where the shell's next command begins.

    What stands behind two spaces is a remark.
    """
    if block.language not in ("", "sh", "bash", "console"):
        return []
    lines = block.body.replace("\\\n", " ").splitlines()
    calls = [line.strip().removeprefix("$ ") for line in lines]
    own = [re.split(r"\s{2,}(?=[A-Za-z(#])|\s#\s", call)[0] for call in calls if call.startswith(f"{program} ")]
    return [shlex.split(re.split(r"\s(?:[|>;]|&&|\|\|)\s", call)[0])[1:] for call in own]


ALL = [block for page in PAGES for block in blocks(page)]
PYTHON = [block for block in ALL if block.language == "python"]
