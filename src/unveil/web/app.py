"""The application: the guard outside, the HTTP interface and the page inside."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unveil import __version__
from unveil.web import routes
from unveil.web.middleware import Guard
from unveil.web.responses import DISK, LEFT, is_full
from unveil.web.schemas import reason
from unveil.web.service import Service
from unveil.web.settings import ServerSettings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What is counted by its own name; whatever else a client calls its method is one series."""
SWEEP = 30.0
"""Seconds between two searches for expired files."""
ABOUT = "Restore photographs. The options are those of `unveil restore`; every refusal says why in `detail`."


def application(service: Service, *, page: bool = True) -> FastAPI:
    """The server's application. page: with the web page, which needs gradio."""
    app = FastAPI(
        title="Unveil",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    app.state.service = service
    app.include_router(routes.router)
    _refuse_other_methods(app)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(ClientDisconnect)(_left)
    app.exception_handler(OSError)(_refused_by_disk)
    app.exception_handler(Exception)(_fault)
    if page:
        from unveil.web.page import mount

        mount(app, service)
    app.add_middleware(_Guarded, app_state=app.state, settings=service.settings)
    app.add_middleware(_Counted, service=service)  # outside, so that refusals are counted too
    return app


def _refuse_other_methods(app: FastAPI) -> None:
    """Answer 405 where a path of the interface knows no such method: the page, mounted at /, would say that there is no such path."""
    known: dict[str, set[str]] = {}
    for route in routes.router.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            methods = route.methods or set()
            known.setdefault(route.path, set()).update(methods, ["HEAD"] if "GET" in methods else ())
    for path, methods in known.items():
        allowed = ", ".join(sorted(methods))

        async def refuse(request: Request, allowed: str = allowed) -> Response:
            said = f"{request.url.path} knows no {request.method}, only {allowed}"
            return JSONResponse({"detail": said}, 405, {"Allow": allowed})

        app.add_route(path, refuse, methods=sorted({*METHODS} - methods), include_in_schema=False)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async def sweep() -> None:
        while True:
            await asyncio.sleep(SWEEP)
            app.state.service.sweep()

    sweeping = asyncio.create_task(sweep())
    try:
        yield
    finally:
        sweeping.cancel()
        await asyncio.to_thread(app.state.service.close)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse({"detail": f"{first['loc'][-1]}: {reason(first)}"}, 422)


async def _left(request: Request, error: Exception) -> Response:
    """The client has left and does not read this answer; it is counted."""
    logging.getLogger(__name__).warning("%s %s: the client left while sending", request.method, request.url.path)
    return Response(status_code=LEFT)


async def _refused_by_disk(request: Request, error: Exception) -> Response:
    if not is_full(error):
        return await _fault(request, error)
    logging.getLogger(__name__).error("%s %s: %s", request.method, request.url.path, error)
    return JSONResponse({"detail": DISK}, 507)


async def _fault(request: Request, error: Exception) -> Response:
    if isinstance(error, OSError):
        logging.getLogger(__name__).error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse({"detail": "something went wrong inside; the server's log says what"}, 500)


class _Guarded(Guard):
    """The guard, known to the login page."""

    def __init__(self, app: ASGIApp, app_state: object, settings: ServerSettings) -> None:
        super().__init__(app, settings)
        app_state.guard = self  # type: ignore[attr-defined]


def _without_body(scope: Scope, receive: Receive, send: Send) -> tuple[Scope, Receive, Send]:
    """A request by HEAD as one by GET, whose answer ends with its header; a stream is told that its client has left."""
    ended = asyncio.Event()

    async def left() -> Message:
        await ended.wait()
        return {"type": "http.disconnect"}

    async def head(message: Message) -> None:
        if message["type"] == "http.response.body":
            if ended.is_set():
                return
            ended.set()
            message = {"type": "http.response.body", "body": b""}
        await send(message)

    return {**scope, "method": "GET"}, left, head


class _Counted:
    """ASGI middleware that counts answers by route, and answers HEAD wherever GET is answered."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.metrics = app, service.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method, answer = scope["method"] if scope["method"] in METHODS else "other", send
        if method == "HEAD":
            scope, receive, answer = _without_body(scope, receive, send)

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                self.metrics.request(method, route, message["status"])
            await answer(message)

        await self.app(scope, receive, counted)
