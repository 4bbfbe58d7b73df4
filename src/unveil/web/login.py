"""A page to show the token on, for browsers; programs send it in a header."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from unveil.web.guard import client_of

router = APIRouter(include_in_schema=False)
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Unveil</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body {{ font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; margin: 0 }}
form {{ display: grid; gap: .8rem; width: min(20rem, 86vw) }} input, button {{ font: inherit; padding: .6rem .8rem }}
p {{ margin: 0 }} [role=alert] {{ color: #c2410c }}</style></head>
<body><form method="post" action="/login"><h1>Unveil</h1><p>This server asks for its token.</p>
<label for="token">Token</label><input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
{note}<button>Enter</button></form></body></html>"""


@router.get("/login")
async def ask() -> HTMLResponse:
    """The form."""
    return HTMLResponse(PAGE.format(note=""))


@router.post("/login")
async def check(request: Request) -> Response:
    """The cookie for the right token."""
    form = await request.form(max_files=0, max_fields=4, max_part_size=1024)
    token = form.get("token")
    guard = request.app.state.guard
    answer = await guard.logged_in(token, client_of(request.scope)) if isinstance(token, str) else None
    return answer or HTMLResponse(PAGE.format(note='<p role="alert">That is not the token.</p>'), 401)
