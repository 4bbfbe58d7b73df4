"""The checks of every request before it is handled: the host name it was sent to, its origin, its secret, its size, its path.

Also what all clients together may hold at a time: bytes that are coming in, pixels that are being decoded, guesses at the token.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unveil.web import wire
from unveil.web.settings import FORM_ROOM, ServerSettings

FEW = 4
"""Wrong tokens from one address that are answered at once."""
FORGOTTEN = 300.0
"""Seconds after which an address's wrong tokens are forgotten."""
SLOWEST = 4.0
"""Seconds that a wrong token waits for its answer at the most."""
MOST_ADDRESSES = 1024
MOST_DELAYED = 32


class Receiving:
    """Bytes of request bodies that have come in and are not on disk yet. For one event loop.

    most: over all clients. share: of one client, so that the others always have room.
    """

    def __init__(self, most: int, share: int) -> None:
        self.most, self.share = most, share
        self.held = 0
        self._clients: dict[str, int] = {}

    def take(self, client: str, size: int) -> int:
        """Count bytes that came in: 0. Or the status that refuses them, uncounted: 429 for the client's share, 503 for everybody's."""
        own = self._clients.get(client, 0)
        if own + size > self.share:
            return 429
        if self.held + size > self.most:
            return 503
        self.held += size
        self._clients[client] = own + size
        return 0

    def give_back(self, client: str, size: int) -> None:
        """The bytes are on disk, or gone."""
        self.held -= size
        left = self._clients.get(client, 0) - size
        if left > 0:
            self._clients[client] = left
        else:
            self._clients.pop(client, None)


class Charge:
    """What one request has taken of `Receiving`; given back once, by whoever is done with the bytes first."""

    def __init__(self, receiving: Receiving, client: str) -> None:
        self.receiving, self.client, self.size = receiving, client, 0

    def take(self, size: int) -> int:
        refused = self.receiving.take(self.client, size)
        if not refused:
            self.size += size
        return refused

    def give_back(self) -> None:
        """Give back what was taken."""
        self.receiving.give_back(self.client, self.size)
        self.size = 0


class Pixels:
    """Lets photographs be decoded side by side as long as they have at most `most` pixels together, in the order in which they came."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def turn(self, pixels: int) -> AsyncIterator[None]:
        """Wait until there is room, and reserve it within the context. A photograph larger than `most` is decoded alone."""
        pixels = min(pixels, self.most)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((pixels, mine))
        self._next()
        try:
            await mine
            yield
        finally:
            if mine.done() and not mine.cancelled():
                self.held -= pixels
            else:
                self._line = deque(entry for entry in self._line if entry[1] is not mine)
            self._next()

    def _next(self) -> None:
        while self._line and self.held + self._line[0][0] <= self.most:
            pixels, first = self._line.popleft()
            if not first.done():
                self.held += pixels
                first.set_result(None)


class Guesses:
    """Wrong tokens by address. Each is answered later than the one before; who shows the right one is never held up."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._delayed = 0
        self.total = 0

    def delay(self, client: str) -> float:
        """Count one more; returns the seconds that its answer should wait."""
        now = self._clock()
        count, last = self._seen.pop(client, (0, now))
        count = 1 if now - last > FORGOTTEN else count + 1
        self._seen[client] = (count, now)
        while len(self._seen) > MOST_ADDRESSES:
            self._seen.popitem(last=False)
        self.total += 1
        return 0.0 if count <= FEW else min(SLOWEST, 0.1 * 2.0 ** min(count - FEW, 16))

    async def slow(self, client: str) -> bool:
        """Count one more and wait. False: so many wait that this one is to be turned away at once."""
        seconds = self.delay(client)
        if self._delayed >= MOST_DELAYED:
            return False
        self._delayed += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._delayed -= 1
        return True


COOKIE = "unveil_session"
OPEN_PATHS = ("/healthz", "/login", "/favicon.ico")
CHARGE = "unveil.charge"
"""Where a request's scope holds the bytes that it was charged with (`Charge`)."""
RETRY = 5
"""Seconds after which to try again where there is no room now."""
GRADIO_PAGES = ("/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json")
OURS = ("/v1/", "/page/", "/healthz", "/metrics", "/openapi.json", "/login", "/assets/", "/static/", "/svelte/")
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'self'; object-src 'none'"
)


class Guard:
    """ASGI middleware; see the functions below for the rules.

    session: what the cookie holds after a login, new with every start. receiving: the bodies of all requests that are coming in.
    guesses: wrong tokens.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self.app, self.settings = app, settings
        self.session = secrets.token_urlsafe(32)
        self.receiving = Receiving(settings.max_receiving, max(settings.max_receiving // 2, settings.room))
        self.guesses = Guesses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        send = self._protected(send)
        refusal = self._refusal(scope, headers) or await self._stranger(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        charge = scope[CHARGE] = Charge(self.receiving, client_of(scope))
        receive = self._counted(scope, receive, charge)
        try:
            if scope["path"] in GRADIO_PAGES:
                scope["query_string"] = b""  # of what Gradio reads there (saved states, other pages) nothing is ours
            if scope["path"].startswith(wire.GRADIO) and scope["method"] == "POST":
                await self._event(scope, receive, send)
            else:
                await self.app(scope, receive, send)
        finally:
            charge.give_back()

    async def logged_in(self, token: str, client: str) -> Response | None:
        """An answer that sets the cookie, or None for a wrong token."""
        if self.settings.token is None:
            return None
        if not _same(token.strip().encode("utf-8", "replace"), self.settings.token):
            return None if await self.guesses.slow(client) else _too_many_guesses()
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(COOKIE, self.session, httponly=True, samesite="strict", path="/")
        return answer

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        path, host = scope["path"], headers.get("host", "")
        if not _is_offered(scope["method"], path):
            return _problem(404, "there is nothing here; /openapi.json lists what there is")
        # A page of another site may have its own name pointed to this machine and would then read our answers (DNS rebinding).
        if not self.settings.answers_to(_name(host)):
            return _problem(
                403,
                "this server does not answer to that name: open it by its address, or start it with --allow-host NAME",
            )
        # Or it may send forms here, whose answers it cannot read but whose work would be done.
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and origin is not None and urlsplit(origin).netloc != host:
            return _problem(403, "requests from pages of other sites are refused")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._room(scope):
            return _problem(413, self._too_large())
        return None

    async def _stranger(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to a request without the right token. A wrong token is counted and answered late."""
        token = self.settings.token
        if token is None or scope["path"] in OPEN_PATHS or _same(_cookie(headers).encode(), self.session):
            return None
        kind, _, shown = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and shown.strip():
            # Header bytes are read as Latin-1; clients send other letters as UTF-8, some as Latin-1.
            if _same(shown.strip().encode("latin-1", "replace"), token):
                return None
            if not await self.guesses.slow(client_of(scope)):
                return _too_many_guesses()
        if "text/html" in headers.get("accept", ""):
            return RedirectResponse("/login", status_code=303)
        return _problem(401, "show the server's token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})

    async def _event(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An event of the page, handed to Gradio as `wire` understands it."""
        body = b""
        more = True
        while more:
            try:
                message = await receive()
            except HTTPException as error:  # there is no room
                await _problem(error.status_code, error.detail, dict(error.headers or {}))(scope, receive, send)
                return
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > wire.MOST_BYTES:
                await _problem(413, "the event is too large")(scope, receive, send)
                return
        try:
            body = wire.checked(scope["path"][len(wire.GRADIO) :], body)
        except ValueError as error:
            await _problem(422, str(error))(scope, receive, send)
            return
        headers = MutableHeaders(scope=scope)
        headers["content-length"] = str(len(body))
        headers["content-type"] = "application/json"
        first = True

        async def again() -> Message:
            nonlocal first
            if first:
                first = False
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        await self.app(scope, again, send)

    def _room(self, scope: Scope) -> int:
        return self.settings.room if scope["path"].startswith(("/v1/", "/page/")) else FORM_ROOM

    def _too_large(self) -> str:
        return f"the request is too large: a photograph may have {self.settings.max_bytes / 2**20:g} MiB here"

    def _counted(self, scope: Scope, receive: Receive, charge: Charge) -> Receive:
        """Bodies are counted while they come in: each (its length may not be stated), and all clients' together."""
        left = self._room(scope)

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            size = len(message.get("body", b""))
            left -= size
            if left < 0:
                raise HTTPException(413, self._too_large())
            refused = charge.take(size)
            if refused:
                whose = "your other requests" if refused == 429 else "other requests"
                raise HTTPException(
                    refused,
                    f"{whose} are being received and leave no room for this one; try again in {RETRY} seconds",
                    {"Retry-After": str(RETRY)},
                )
            return message

        return counted

    def _protected(self, send: Send) -> Send:
        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                # Not "no-referrer", by which browsers say Origin: null of our own login form too.
                headers["Referrer-Policy"] = "same-origin"
                headers["Content-Security-Policy"] = POLICY + (
                    "" if self.settings.frame else "; frame-ancestors 'none'"
                )
            await send(message)

        return protected


def client_of(scope: Scope) -> str:
    """The client that a request counts for: the address, or behind a trusted proxy the one that the proxy states."""
    return scope["client"][0] if scope.get("client") else "unknown"


def _is_offered(method: str, path: str) -> bool:
    if path.startswith(wire.GRADIO):
        return wire.offered(method, path[len(wire.GRADIO) :])
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


def _same(shown: bytes, secret: str) -> bool:
    """Compare in a time that does not depend on how many characters agree. Letters beyond ASCII may come in either encoding."""
    utf8, latin1 = (hmac.compare_digest(shown, secret.encode(kind, "replace")) for kind in ("utf-8", "latin-1"))
    return utf8 or (latin1 and all(ord(c) < 256 for c in secret))


def _too_many_guesses() -> Response:
    return _problem(429, "too many wrong tokens at a time; try again later", {"Retry-After": str(RETRY)})


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"detail": detail}, status, headers)
