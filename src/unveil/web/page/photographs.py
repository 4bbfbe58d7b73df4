"""The page's own addresses: photographs in, their views, the examples, scripts and styles."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from unveil import photo
from unveil.errors import UnveilError
from unveil.web.page import batches
from unveil.web.queue import Caller
from unveil.web.responses import problem
from unveil.web.routes import Client, Here
from unveil.web.schemas import Nothing, sent
from unveil.web.service import Given, Service
from unveil.web.work import damage, image_of

router = APIRouter(prefix="/page", include_in_schema=False)
ASSETS = Path(str(files("unveil.web.page") / "assets"))
SERVED: Mapping[str, str] = {
    "page.css": "text/css",
    "help.css": "text/css",
    "icon.svg": "image/svg+xml",
    **{f"{name}.js": "text/javascript" for name in ("common", "drop", "progress", "compare", "copy")},
}


@dataclass(frozen=True)
class Example:
    """A photograph of the package and the damage done to it: what the shipped model was trained for."""

    title: str
    file: str
    kind: str
    severity: float
    seed: int


EXAMPLES = {
    "coffee": Example("Too little light", "coffee.jpg", "lowlight", 0.4, 4),
    "chelsea": Example("Noise", "chelsea.jpg", "noise", 0.75, 1),
    "astronaut": Example("Compression", "astronaut.jpg", "jpeg", 0.8, 2),
    "rocket": Example("Haze", "rocket.jpg", "haze", 0.35, 5),
}


@router.post("/photos")
async def give(request: Request, here: Here, client: Client) -> dict[str, Any]:
    """Keep a photograph for this page."""
    came = await sent(request, Nothing)
    return await _given(here, came.data, came.name, client)


@router.get("/photos/{id}")
async def look(id: str, here: Here) -> dict[str, Any]:
    """What is known about a photograph."""
    return described(_known(id, here))


@router.get("/photos/{id}/{kind}")
async def picture(id: str, kind: str, here: Here) -> Response:
    """view: at full size for the browser. thumbnail: a small one."""
    given = _known(id, here)
    names = {"view": "view.*", "thumbnail": "thumbnail.jpg"}
    found = next(given.folder.glob(names[kind])) if kind in names else None
    if found is None:
        raise HTTPException(404, "there is no such picture")
    return FileResponse(found, headers={"Cache-Control": "private, max-age=600"})


@router.get("/batches/{id}")
async def batch(id: str, request: Request) -> dict[str, Any]:
    """How several photographs stand."""
    return batches.to_json(_batch(id, request))


@router.delete("/batches/{id}")
async def stop(id: str, request: Request) -> dict[str, Any]:
    """Cancel what has not ended."""
    found = _batch(id, request)
    request.app.state.batches.stop(found)
    return batches.to_json(found)


@router.get("/batches/{id}/zip")
async def archive(id: str, request: Request) -> Response:
    """All results there are, in one file."""
    done = _batch(id, request).done
    if not done:
        raise HTTPException(409, "nothing is restored yet")
    headers = {"Content-Disposition": 'attachment; filename="restored.zip"', "Cache-Control": "no-store"}
    return StreamingResponse(batches.archive(done), media_type="application/zip", headers=headers)


@router.get("/examples")
async def examples() -> list[dict[str, str]]:
    """The examples, in order."""
    return [{"name": n, "title": e.title, "thumbnail": f"/page/examples/{n}"} for n, e in EXAMPLES.items()]


@router.get("/examples/{name}")
async def example(name: str) -> Response:
    """A small picture of an example."""
    data = await asyncio.to_thread(_example, name)
    small = image_of(photo.read(data).pixels)
    small.thumbnail((240, 240))
    small.save(out := io.BytesIO(), "JPEG", quality=85)
    return Response(out.getvalue(), media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


@router.post("/examples/{name}")
async def take(name: str, here: Here, client: Client) -> dict[str, Any]:
    """Use an example as if it had been sent."""
    return await _given(here, await asyncio.to_thread(_example, name), f"{name}.png", client)


@router.get("/help")
async def manual() -> Response:
    """How the page is used, and where restorations fail."""
    return FileResponse(ASSETS / "help.html", media_type="text/html", headers={"Cache-Control": "no-cache"})


@router.get("/assets/{name}")
async def asset(name: str) -> Response:
    """Scripts and styles, by a fixed list."""
    if name not in SERVED:
        raise HTTPException(404, "there is nothing of this name")
    return FileResponse(ASSETS / name, media_type=SERVED[name], headers={"Cache-Control": "no-cache"})


def described(given: Given) -> dict[str, Any]:
    """What the page is told about a photograph."""
    return {
        "id": given.id,
        "name": given.name,
        "width": given.width,
        "height": given.height,
        "format": given.format,
        "thumbnail": f"/page/photos/{given.id}/thumbnail",
        "view": f"/page/photos/{given.id}/view",
    }


async def _given(here: Service, data: bytes, name: str, client: Caller) -> dict[str, Any]:
    try:
        width, height = here.check(data, name)
        async with here.decoding.turn(width * height):
            return described(await asyncio.to_thread(here.give, data, name, client))
    except UnveilError as error:
        raise problem(error) from None


def _batch(id: str, request: Request) -> batches.Batch:
    found = request.app.state.batches.find(id)
    if found is None:
        raise HTTPException(404, "there is no such batch (any more)")
    return found


def _known(id: str, here: Any) -> Given:
    given = here.given(id)
    if given is None:
        raise HTTPException(404, "the photograph was deleted after its time; please choose it again")
    return given


@lru_cache(maxsize=len(EXAMPLES))
def _example(name: str) -> bytes:
    """The damaged example as a PNG."""
    if name not in EXAMPLES:
        raise HTTPException(404, "there is no such example")
    chosen = EXAMPLES[name]
    clean = photo.read(Path(str(files("unveil") / "examples" / chosen.file)))
    pixels, _ = damage(clean.pixels, chosen.kind, chosen.severity, chosen.seed)
    image_of(pixels).save(out := io.BytesIO(), "PNG")
    return out.getvalue()
