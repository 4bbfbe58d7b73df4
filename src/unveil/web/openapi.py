"""What /openapi.json says beyond what the routes say themselves: bodies in two media types, problems, examples."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from unveil.web.asking import Ask

# The smallest picture that is one: a grey pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="

REASONS = {
    400: "The request cannot be understood.",
    401: "The server's token is missing or wrong.",
    403: "The request comes from a page of another site, or under a name that is not this server's.",
    404: "There is no such job, or it was deleted after its time.",
    405: "The path knows no such method.",
    409: "The job has no result (yet).",
    413: "The photograph has more bytes or pixels than are taken here.",
    415: "The file is no photograph that is read here, or the body is neither a form nor JSON.",
    422: "An option is out of range, or the file is damaged. The detail says which and why.",
    429: "The queue, or the client's share of the server, is full. Retry-After says in how many seconds to come again.",
    503: "The server has no room for this now, or is shutting down. Retry-After says in how many seconds to come again.",
    507: "The server's disk is full.",
    504: "The restoration took longer than is allowed here.",
}


class Problem(BaseModel):
    """Why a request was refused, as a sentence."""

    detail: str


class JobState(BaseModel):
    """A job at this moment. Addresses are relative to the server."""

    id: str
    state: str
    position: int | None
    share: float
    seconds: float
    left: float | None
    reason: str
    expires: float | None
    detail: dict[str, Any]
    events: str
    result: str | None
    preview: str | None
    views: dict[str, str]
    name: str
    seed: int
    protocol: dict[str, Any]
    notes: list[str]
    light_uncertainty: float | None


class ModelEntry(BaseModel):
    """Something to restore with."""

    name: str
    method: str
    summary: str
    facts: dict[str, Any]


class Deleted(BaseModel):
    """The job is cancelled and its files are gone, or will be when the step in hand has ended."""

    deleted: bool


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, for its `responses`."""
    return {
        code: {"model": Problem, "description": REASONS[code]} for code in sorted({400, 401, 403, 405, 429, *codes})
    }


def body(kind: type[Ask]) -> dict[str, Any]:
    """The request body of `kind` as a form and as JSON, for `openapi_extra`."""
    options = kind.model_json_schema()
    fields = options["properties"]
    name = {"type": "string", "description": "The file's name, which the result will bear.", "examples": ["lake.jpg"]}
    form = {"photo": {"type": "string", "format": "binary", "description": "The file."}, **fields}
    tree = {
        "photo": {
            "type": "string",
            "format": "byte",
            "contentEncoding": "base64",
            "description": "The file as base64.",
        },
        "name": name,
        **fields,
    }
    shape = {"type": "object", "required": ["photo"], "additionalProperties": False}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": shape | {"properties": form}},
                "application/json": {
                    "schema": shape | {"properties": tree},
                    "examples": {"one pixel": {"value": {"photo": PIXEL, "name": "pixel.png", "seed": 7, "steps": 2}}},
                },
            },
        }
    }
