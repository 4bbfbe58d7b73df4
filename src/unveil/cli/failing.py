"""How a command over many files says that one of them failed: always the file, then the reason."""

from __future__ import annotations

import json
import re
import sys


def say(source: object, reason: object, as_json: bool = False) -> None:
    """One line on standard error, or with `as_json` one row on standard output. The file is named once, though the reason may name it."""
    if as_json:
        print(json.dumps({"input": str(source), "status": "failed", "reason": str(reason)}), flush=True)
        return
    # As a whole word: a pair called 1 is not named by "10x10".
    known = re.search(rf"(?<!\w){re.escape(str(source))}(?!\w)", str(reason))
    named = str(reason) if known else f"{source}: {reason}"
    print(f"unveil: {named}", file=sys.stderr, flush=True)
