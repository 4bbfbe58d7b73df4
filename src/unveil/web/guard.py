"""What every request passes before anything looks at it: the name it was sent to, its origin, its secret, its size, its path."""

from __future__ import annotations

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unveil.web.settings import LOOPBACK, Settings

COOKIE = "unveil_session"
OPEN_PATHS = ("/healthz", "/login", "/favicon.ico")
FORM_ROOM = 1 << 20
"""Bytes a request may have beyond its photograph."""
GRADIO = "/gradio_api/"
GRADIO_PATHS = ("queue/join", "queue/data", "heartbeat", "startup-events", "cancel", "reset", "app_id", "theme.css")
"""What the page uses of Gradio's interface. The rest (uploads, files, proxies, custom components, recordings) is closed: photographs
come and go through our own."""
GRADIO_PAGES = ("/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json")
OURS = ("/v1/", "/page/", "/healthz", "/metrics", "/openapi.json", "/login", "/assets/", "/static/", "/svelte/")
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'self'; object-src 'none'"
)


class Guard:
    """ASGI middleware; see the functions below for the rules. session: what the cookie holds after a login, new with every start."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings
        self.session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, self._protected(send))
            return
        await self.app(scope, self._counted(scope, receive), self._protected(send))

    def logged_in(self, token: str) -> Response | None:
        """An answer that sets the cookie, or None for a wrong token."""
        if self.settings.token is None or not _same(token, self.settings.token):
            return None
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(COOKIE, self.session, httponly=True, samesite="strict", path="/")
        return answer

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        path, host = scope["path"], headers.get("host", "")
        if not _is_offered(path):
            return _problem(404, "there is nothing here; /openapi.json lists what there is")
        # A page of another site may have its own name pointed to 127.0.0.1 and would then read our answers (DNS rebinding).
        if self.settings.local and self.settings.token is None and _name(host) not in (*LOOPBACK, self.settings.host):
            return _problem(
                403,
                "this server answers to this machine's own names only: open it as http://127.0.0.1 or http://localhost",
            )
        # Or it may send forms here, whose answers it cannot read but whose work would be done.
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and origin is not None and urlsplit(origin).netloc != host:
            return _problem(403, "requests from pages of other sites are refused")
        if not self._may_enter(path, headers):
            if "text/html" in headers.get("accept", ""):
                return RedirectResponse("/login", status_code=303)
            return _problem(401, "show the server's token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._room(scope):
            return _problem(413, self._too_large())
        return None

    def _may_enter(self, path: str, headers: Headers) -> bool:
        token = self.settings.token
        if token is None or path in OPEN_PATHS:
            return True
        kind, _, shown = headers.get("authorization", "").partition(" ")
        return (kind.lower() == "bearer" and _same(shown.strip(), token)) or _same(_cookie(headers), self.session)

    def _room(self, scope: Scope) -> int:
        # base64 takes four bytes for three.
        return (
            self.settings.max_bytes * 4 // 3 + FORM_ROOM if scope["path"].startswith(("/v1/", "/page/")) else FORM_ROOM
        )

    def _too_large(self) -> str:
        return f"the request is too large: a photograph may have {self.settings.max_bytes / 2**20:g} MiB here"

    def _counted(self, scope: Scope, receive: Receive) -> Receive:
        """Bodies without a stated length are counted while they come in."""
        left = self._room(scope)

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, self._too_large())
            return message

        return counted

    def _protected(self, send: Send) -> Send:
        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Content-Security-Policy"] = POLICY + (
                    "" if self.settings.frame else "; frame-ancestors 'none'"
                )
            await send(message)

        return protected


def _is_offered(path: str) -> bool:
    if path.startswith(GRADIO):
        return path[len(GRADIO) :].startswith(GRADIO_PATHS)
    return path in GRADIO_PAGES or path.startswith(OURS)


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _cookie(headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _same(shown: str, secret: str) -> bool:
    """Compare in a time that does not tell how much of it was right."""
    return hmac.compare_digest(shown.encode("utf-8", "replace"), secret.encode())


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"detail": detail}, status, headers)
