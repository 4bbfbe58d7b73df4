"""What the page's events may carry: plain values and the identifiers of photographs sent to us, and nothing that names a file.

Gradio's own format lets a caller put the description of a file (a path, an address) where a value is expected, which its server then
copies, reads or looks up. No component of this page takes files, so every such description is refused before Gradio sees it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

GRADIO = "/gradio_api/"
LONGEST = 256
"""Characters of a text in an event: names of models, formats and solvers, identifiers."""
MOST_VALUES = 64
MOST_IDS = 100
"""Identifiers of photographs in one event."""
MOST_BYTES = 1 << 16
"""Bytes of an event; the longest of this page has a few hundred."""
_WORD = re.compile(r"[\w-]{1,64}", re.ASCII)

_NAMED = ("id", "batch", "job")
_SAID = {*_NAMED, "ids", "index", "value", "selected"}

Check = Callable[[Any], bool]


def _plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST
    return value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value))


def _values(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MOST_VALUES and all(map(_plain, value))


def _word(value: Any) -> bool:
    return value is None or (isinstance(value, str) and _WORD.fullmatch(value) is not None)


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, int) and abs(value) < 2**31)


def _event_data(value: Any) -> bool:
    """The data of an element's event: identifiers of photographs and work, or the chosen tab, which this page does not use."""
    if value is None:
        return True
    if not isinstance(value, dict) or not set(value) <= _SAID:
        return False
    several = value.get("ids", [])
    if not isinstance(several, list) or len(several) > MOST_IDS or not all(map(_word, several)):
        return False
    return all(_word(value.get(name)) for name in _NAMED) and all(_plain(v) for k, v in value.items() if k != "ids")


_EVENT: Mapping[str, Check] = {
    "data": _values, "event_data": _event_data, "session_hash": _word, "event_id": _word, "fn_index": _number, "trigger_id": _number,
}  # fmt: skip
_LEAVING: Mapping[str, Check] = {"session_hash": _word, "event_id": _word, "fn_index": _number}
PATHS: Mapping[str, tuple[str, Mapping[str, Check] | None]] = {
    "queue/join": ("POST", _EVENT),
    "cancel": ("POST", _LEAVING),
    "reset": ("POST", _LEAVING),
    "queue/data": ("GET", None),
    "startup-events": ("GET", None),
    "app_id": ("GET", None),
    "theme.css": ("GET", None),
}
"""What the page uses of Gradio's interface, with its method and the fields that a body may have. The rest (uploads, files, proxies,
custom components, recordings) is closed."""
_HEARTBEAT = re.compile(r"heartbeat/[\w-]{1,64}", re.ASCII)


def offered(method: str, path: str) -> bool:
    """Whether the page needs this path of Gradio's interface. path: behind `GRADIO`."""
    if _HEARTBEAT.fullmatch(path):
        return method == "GET"
    return path in PATHS and PATHS[path][0] == method


def checked(path: str, body: bytes) -> bytes:
    """The body of a POST as Gradio may see it, written anew from what was understood of it.

    Fields that the page does not send are left out. Raises ValueError, with a sentence for the client, for a field that holds anything
    but a plain value, and for what is no JSON.
    """
    fields = PATHS[path][1]
    assert fields is not None
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the event is no JSON") from None
    if not isinstance(tree, dict):
        raise ValueError("the event must be an object")
    kept = {name: tree[name] for name in fields if name in tree}
    for name, value in kept.items():
        if not fields[name](value):
            raise ValueError(
                f"{name}: events of this page carry plain values and identifiers; photographs come by POST /page/photos"
            )
    return json.dumps(kept).encode()
