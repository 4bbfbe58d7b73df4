"""Pieces of HTML with a user's or the server's words in them, always escaped."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from unveil.web.service import Given, Job


def alert(text: str) -> str:
    """What went wrong, read out by screen readers."""
    return f'<p class="u-alert" role="alert">{html.escape(text)}</p>'


def status_line(text: str) -> str:
    """Something worth knowing."""
    return f'<p class="u-told" role="status">{html.escape(text)}</p>'


def photograph(given: Given) -> str:
    """The photograph as it came."""
    name = html.escape(given.name, quote=True)
    return f'<div class="u-frame"><img class="u-stage-image" src="/page/photos/{given.id}/view" alt="{name}, as it came"></div>'


def handed(given: Given, tab: str) -> str:
    """The photograph as it came, in a tab that it was not sent to: the place there where photographs come in shows it too."""
    return f'<unveil-handed photo="{given.id}" to="#drop-{tab} unveil-drop"></unveil-handed>{photograph(given)}'


def progress(job: Job, given: Given, tab: str = "") -> str:
    """A running job over its photograph. tab: whose place for photographs remembers it when the page is loaded again."""
    kept = f' kept="#drop-{tab} unveil-drop"' if tab else ""
    return f'<unveil-progress job="{job.id}" photo="/page/photos/{given.id}/view"{kept}></unveil-progress>'


def following(batch: str, tab: str) -> str:
    """Tells the place for photographs of a tab which batch works on them."""
    return f'<unveil-following batch="{batch}" to="#drop-{tab} unveil-drop"></unveil-following>'


def compare(before: str, label: str, views: Sequence[Mapping[str, str]]) -> str:
    """Two pictures under a slider. before: the first one's address; views: what can be the second: src, label, note.

    A view may stand beside another first picture (before, before_label), and may be saved (save: address, name: of the file).
    """
    data = html.escape(json.dumps(list(views)), quote=True)
    return f'<unveil-compare before="{before}" before-label="{html.escape(label, quote=True)}" views="{data}"></unveil-compare>'


def download(job: Job, what: str) -> str:
    """The button that fetches the result as it was written, and what to know about the file."""
    assert job.delivery is not None
    size = job.delivery.file.stat().st_size
    kind = job.delivery.media.removeprefix("image/").upper()
    return (
        f'<div class="u-actions"><a class="u-button u-main" href="/v1/jobs/{job.id}/result" '
        f'download="{html.escape(job.delivery.name, quote=True)}">'
        f"Download {html.escape(job.delivery.name)}</a><small>{kind}, {_bytes(size)}. {html.escape(what)}</small></div>"
    )


def facts(title: str, rows: Mapping[str, Any], notes: Sequence[str] = (), command: str = "", of: str = "") -> str:
    """A closed list of what decided the pixels, with notes above it, and a command to copy. of: the job that it is about."""
    cells = "".join(
        f"<tr><td>{html.escape(str(k))}</td><td>{html.escape(_plain(v))}</td></tr>" for k, v in rows.items() if v != ""
    )
    copied = f'<unveil-copy text="{html.escape(command, quote=True)}" of="{of}"></unveil-copy>' if command else ""
    lines = "".join(f'<p class="u-note">{html.escape(note)}</p>' for note in notes)
    return f'{lines}<details class="u-facts"><summary>{html.escape(title)}</summary>{copied}<table>{cells}</table></details>'


def chips(title: str, texts: Sequence[str], hint: str) -> str:
    """A few short texts in a row. hint: shown where the pointer rests."""
    row = "".join(f'<span class="u-chip">{html.escape(text)}</span>' for text in texts)
    return (
        f'<div class="u-chips" role="status" title="{html.escape(hint, quote=True)}">{html.escape(title)} {row}</div>'
    )


def model(summary: str, method: str, hint: str = "") -> str:
    """One line about a model. hint: shown where the pointer rests."""
    title = f' title="{html.escape(hint, quote=True)}"' if hint else ""
    return f'<p class="u-model"{title}>{html.escape(summary)} <b>{html.escape(method)}</b></p>'


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items() if v) or "nothing"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _bytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{max(1, size // 1024)} KiB"
