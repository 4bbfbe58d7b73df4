"""The HTTP interface: /v1/restore, /v1/jobs, /v1/models, /healthz, /metrics; and the page on which browsers show the token."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from unveil import __version__
from unveil.errors import UnveilError
from unveil.web.middleware import CHARGE, client_of
from unveil.web.queue import Caller
from unveil.web.responses import LEFT, ended, events, failure, headers, problem, state
from unveil.web.schemas import Ask, Deleted, JobAsk, JobState, ModelEntry, Problem, body, problems, sent
from unveil.web.service import Job, Service

router = APIRouter()
IMAGE = {
    "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    "headers": {
        name: {"schema": {"type": "string"}, "description": text}
        for name, text in (
            ("X-Unveil-Seed", "The seed of the draws."),
            (
                "X-Unveil-Model",
                "The model that made the pixels, a specialist of the one asked for among them, percent-encoded.",
            ),
            ("X-Unveil-Seconds", "Wall seconds of the restoration."),
            (
                "X-Unveil-Light-Uncertainty",
                "With uncertainty: how far the light of the whole may be off, 1 is the full range.",
            ),
        )
    },
}
NO_STORE = {"Cache-Control": "no-store"}


def service_of(request: Request) -> Service:
    """The service behind this server."""
    return request.app.state.service


def caller(request: Request) -> Caller:
    """Whose share and whose turn it is: the address, and within its share the name that the program gives itself."""
    return Caller(client_of(request.scope), request.headers.get("x-unveil-client", "")[:64])


Here = Annotated[Service, Depends(service_of)]
Client = Annotated[Caller, Depends(caller)]
Id = Annotated[str, Path(max_length=64, description="As POST /v1/jobs said.")]


def job_of(here: Here, id: Id) -> Job:
    """The job that the path names."""
    job = here.find(id)
    if job is None:
        raise HTTPException(404, "there is no such job; results are deleted after their time")
    return job


Known = Annotated[Job, Depends(job_of)]


async def _submit(request: Request, here: Service, client: Caller, kind: type[Ask]) -> Job:
    given = await sent(request, kind)
    wants = {"views": given.ask.views, "preview": given.ask.preview} if isinstance(given.ask, JobAsk) else {}
    try:
        order = given.ask.order(given.name, here.settings.max_pixels, **wants)
        return await asyncio.to_thread(here.restore, order, given.data, client)
    except UnveilError as error:
        raise problem(error) from None
    finally:
        request.scope[CHARGE].give_back()  # from here on the photograph is on disk, or nowhere


@router.post(
    "/v1/restore",
    response_class=Response,
    responses={
        200: IMAGE | {"description": "The restored photograph."},
        **problems(409, 413, 415, 422, 429, 503, 504, 507),
    },
    openapi_extra=body(Ask),
    summary="Restore a photograph and wait for it",
)
async def restore(request: Request, here: Here, client: Client) -> Response:
    """Send a photograph, get it back restored, in its own format with its metadata. Closing the connection cancels."""
    job = await _submit(request, here, client, Ask)
    try:
        watch = asyncio.create_task(_gone(request))
        wait = asyncio.create_task(ended(job))
        await asyncio.wait({watch, wait}, return_when=asyncio.FIRST_COMPLETED)
        watch.cancel()
        wait.cancel()
        if not job.task.status.final:
            return Response(status_code=LEFT)
        if job.delivery is None:
            raise failure(job)
        content = await asyncio.to_thread(job.delivery.file.read_bytes)
        return Response(content, media_type=job.delivery.media, headers=headers(job.delivery, job.engine))
    finally:
        here.forget(job)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@router.post(
    "/v1/jobs",
    status_code=202,
    response_model=JobState,
    responses=problems(413, 415, 422, 429, 503, 507),
    openapi_extra=body(JobAsk),
    summary="Queue a restoration",
)
async def create(request: Request, response: Response, here: Here, client: Client) -> Any:
    """Send a photograph and go on; the answer says where to look. Results are deleted some time after they were last asked for."""
    job = await _submit(request, here, client, JobAsk)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return state(job, here)


@router.get("/v1/jobs/{id}", response_model=JobState, responses=problems(404, 422), summary="How a job stands")
async def look(job: Known, here: Here, response: Response) -> Any:
    """State, share of the work done, seconds left, and the addresses of what there is."""
    response.headers.update(NO_STORE)
    return state(job, here)


@router.get(
    "/v1/jobs/{id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"description": "Server-sent events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
        **problems(404, 422),
    },
    summary="Follow a job",
)
async def follow(job: Known) -> StreamingResponse:
    """An event `status` now and after every change, until the job has ended."""
    return StreamingResponse(
        events(job), media_type="text/event-stream", headers=NO_STORE | {"X-Accel-Buffering": "no"}
    )


@router.get(
    "/v1/jobs/{id}/result",
    response_class=Response,
    responses={200: IMAGE | {"description": "The restored photograph."}, **problems(404, 409, 422, 503, 504, 507)},
    summary="Fetch the result",
)
async def result(job: Known) -> Response:
    """The restored photograph, in its own format with its metadata, byte for byte the same however often it is asked for."""
    if job.delivery is None:
        raise (
            failure(job)
            if job.task.status.final
            else HTTPException(409, f"the job is {job.task.status.state}; ask again later")
        )
    return FileResponse(job.delivery.file, media_type=job.delivery.media, headers=headers(job.delivery, job.engine))


@router.get(
    "/v1/jobs/{id}/preview",
    response_class=Response,
    responses={200: {"description": "A small JPEG.", "content": {"image/jpeg": {}}}, **problems(404, 422)},
    summary="Look at the latest step",
)
async def preview(job: Known) -> Response:
    """The estimate of the latest step, if the job was asked to keep it."""
    return _picture(job.folder / "preview.jpg")


@router.get(
    "/v1/jobs/{id}/views/{name}",
    response_class=Response,
    responses={200: {"description": "A PNG or JPEG.", "content": {"image/*": {}}}, **problems(404, 422)},
    summary="Look at a picture of the result",
)
async def view(job: Known, name: Annotated[str, Path(max_length=32)]) -> Response:
    """before, after, draw-1 and so on, overlay, deviation, doubt (the overlay, with a legend): at full size, for looking at."""
    views = job.delivery.views if job.delivery else {}
    if name not in views:
        raise HTTPException(404, f"there is no such picture; there are {', '.join(views) or 'none'}")
    return _picture(views[name])


def _picture(path: Any) -> Response:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise HTTPException(404, "there is no such picture (yet)") from None
    return Response(content, media_type="image/png" if path.suffix == ".png" else "image/jpeg", headers=NO_STORE)


@router.delete("/v1/jobs/{id}", response_model=Deleted, responses=problems(404, 422), summary="Cancel and delete")
async def delete(job: Known, here: Here) -> Any:
    """Stop the job if it waits or runs, and delete everything about it."""
    here.forget(job)
    return {"deleted": True}


@router.get(
    "/v1/models", response_model=list[ModelEntry], responses=problems(), summary="What there is to restore with"
)
async def models(here: Here) -> Any:
    """The names that `model` takes."""
    return [
        {"name": engine.name, "method": engine.method, "summary": engine.summary, "facts": dict(engine.facts)}
        for engine in here.restorers.known.values()
    ]


@router.get(
    "/healthz",
    responses={405: {"model": Problem, "description": "The path knows no such method."}},
    summary="Whether the server is up",
)
async def healthz(here: Here) -> dict[str, str | int]:
    """For load balancers; needs no token."""
    return {"status": "ok", "unveil": __version__, "waiting": here.queue.waiting, "running": here.queue.running}


@router.get("/metrics", response_class=PlainTextResponse, responses=problems(), summary="Counters for Prometheus")
async def metrics(request: Request, here: Here) -> PlainTextResponse:
    """Requests, jobs and seconds since the start, in the text exposition format."""
    guard = request.app.state.guard
    text = here.metrics.text(here.queue.waiting, here.queue.running, guard.guesses.total, guard.receiving.held)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")


LOGIN = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Unveil</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body {{ font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; margin: 0 }}
form {{ display: grid; gap: .8rem; width: min(20rem, 86vw) }} input, button {{ font: inherit; padding: .6rem .8rem }}
p {{ margin: 0 }} [role=alert] {{ color: #c2410c }}</style></head>
<body><form method="post" action="/login"><h1>Unveil</h1><p>This server asks for its token.</p>
<label for="token">Token</label><input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
{note}<button>Enter</button></form></body></html>"""


@router.get("/login", include_in_schema=False)
async def login() -> HTMLResponse:
    """The form."""
    return HTMLResponse(LOGIN.format(note=""))


@router.post("/login", include_in_schema=False)
async def log_in(request: Request) -> Response:
    """The cookie for the right token."""
    form = await request.form(max_files=0, max_fields=4, max_part_size=1024)
    token = form.get("token")
    guard = request.app.state.guard
    answer = await guard.logged_in(token, client_of(request.scope)) if isinstance(token, str) else None
    return answer or HTMLResponse(LOGIN.format(note='<p role="alert">That is not the token.</p>'), 401)
