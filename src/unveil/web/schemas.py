"""What requests and answers look like: the fields, in a form or as JSON, their checks, and the order that comes of them.

And what /openapi.json says beyond what the routes say themselves: bodies in two media types, problems, examples.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from unveil.diffusion.resolution import READINGS
from unveil.diffusion.sampling import EULER, SOLVERS
from unveil.diffusion.self_ensemble import SIZES
from unveil.models.treatment import GROUPS
from unveil.networks.condition import KINDS
from unveil.options import MOST_SEED, Options
from unveil.photo.writing import NAMES
from unveil.util.words import did_you_mean
from unveil.web.service import clean
from unveil.web.work import Order
from unveil.zeroshot.methods import PRESETS

RESTORED = "_restored"
"""Behind the name of what is downloaded, so that it never takes the place of the photograph."""


def _views(count: int) -> int:
    """A number of views, in a form a text, that must be one of SIZES."""
    if count not in SIZES:
        raise ValueError(f"must be {', '.join(map(str, SIZES[:-1]))} or {SIZES[-1]}")
    return count


AUTO, MOST_TILE = "^auto(:[1-9][0-9]{0,4})?$", 65535


def _tile(given: Any) -> str | int:
    """The longest side of the tiles, whose number is a text in a form."""
    number = int(given) if isinstance(given, str) and re.fullmatch("[0-9]{1,9}", given) else given
    if isinstance(number, str) and re.fullmatch(AUTO, number):
        return number
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= MOST_TILE:
        return number
    raise ValueError(
        f"must be auto, auto:N for at most N pixels, a number of pixels up to {MOST_TILE}, or 0 for the whole photograph"
    )


def one_of(names: Iterable[str]) -> Any:
    """The annotation of a text that must be one of these."""
    known = list(names)

    def check(text: str) -> str:
        if text not in known:
            raise ValueError(f"choose one of {', '.join(known)}")
        return text

    return AfterValidator(check), WithJsonSchema({"type": "string", "enum": known})


Solver = Annotated[str, *one_of((*SOLVERS, *EULER))]
Reading = Annotated[str, *one_of(READINGS)]
Preset = Annotated[str, *one_of(PRESETS)]
KIND = {"type": "string", "enum": [*KINDS, *GROUPS]}
Kinds = Annotated[
    str | list[str],
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^({0})(,({0}))*$".format("|".join(KIND["enum"]))},
                {"type": "array", "items": KIND, "minItems": 1, "maxItems": 16},
            ]
        }
    ),
    Field(max_length=256),
]
"""Kinds of damage: one text with commas, or (in JSON) a list. Which names there are, `Options` says with the nearest one."""
Format = Annotated[str, *one_of(sorted({name.lower() for name in NAMES}))]


class Ask(BaseModel):
    """The options of a restoration, named as in `unveil restore`."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(max_length=64, description="A name from /v1/models.", examples=["general"])] = "general"
    preset: Annotated[
        Preset | None,
        Field(
            description="Settings of a zero-shot method: paper, as published, which takes long, or quick, as measured with the "
            "prior that ships. Default: quick."
        ),
    ] = None
    steps: Annotated[
        int | None, Field(ge=1, le=200, description="Network evaluations per draw. Default: the model's.")
    ] = None
    samples: Annotated[
        int, Field(ge=1, le=64, description="Draws from the posterior; with several, their mean is the result.")
    ] = 1
    seed: Annotated[int, Field(ge=0, le=MOST_SEED, description="Same seed, same pixels.")] = 0
    fix: Annotated[
        Kinds | None,
        Field(
            description="The only kinds of damage to fix, with commas; light: haze, shadow and lowlight. Models without this "
            "option refuse it. Default: what the describer finds.",
            examples=["noise,jpeg"],
        ),
    ] = None
    keep: Annotated[Kinds | None, Field(description="Kinds of damage to leave as they are.", examples=["light"])] = None
    fidelity: Annotated[
        float | None,
        Field(ge=0, le=1, description="0 samples the posterior, 1 aims at the smallest error. Default: the model's."),
    ] = None
    uncertainty: Annotated[
        bool,
        Field(
            description="Also estimate the error of the result: light_uncertainty of the job and, with views, overlay, deviation "
            "and doubt. For models with a network for it; others refuse it, and show how much their draws differ."
        ),
    ] = False
    strength: Annotated[float, Field(ge=0, le=1, description="How much of the estimated damage to remove.")] = 1.0
    self_ensemble: Annotated[
        int,
        AfterValidator(_views),
        WithJsonSchema({"type": "integer", "enum": list(SIZES)}),
        Field(
            description="Restore the photograph turned and mirrored too, and average: a smaller error, for as many times the time."
        ),
    ] = 1
    solver: Annotated[
        Solver | None,
        Field(description="Default: the model's. sde and ode for models on a mean-reverting path, such as wild."),
    ] = None
    grid: Annotated[
        str | None, Field(max_length=32, description="Where the steps lie: cubic, or the trained schedule's name.")
    ] = None
    resolution: Annotated[Reading | None, Field(description="Dynamic resolution. Default: the model's.")] = None
    tile: Annotated[
        str | int,
        PlainValidator(_tile),
        WithJsonSchema(
            {"anyOf": [{"type": "string", "pattern": AUTO}, {"type": "integer", "minimum": 0, "maximum": MOST_TILE}]}
        ),
        Field(description="Longest side of the tiles: auto, auto:N for at most N, pixels, or 0 for none."),
    ] = "auto"
    format: Annotated[Format | None, Field(description="Format of the result. Default: the photograph's own.")] = None
    strip: Annotated[bool, Field(description="Write no EXIF, XMP and comments into the result.")] = False

    def order(self, name: str, max_pixels: int, *, views: bool = False, preview: bool = False) -> Order:
        """The order for a photograph called `name`."""
        known = [field.name for field in fields(Options) if field.name in Ask.model_fields]
        own: dict[str, Any] = {name: getattr(self, name) for name in known} | {"keep": self.keep or ()}
        options = Options(**own, max_pixels=max_pixels)
        return Order(name, self.model, options, self.format, self.strip, views, preview, RESTORED, self.preset or "")


class JobAsk(Ask):
    """The options of a job."""

    views: Annotated[
        bool,
        Field(
            description="Also make pictures to look at: before, after, every draw, their deviation, the doubt without and with a legend."
        ),
    ] = False
    preview: Annotated[
        bool, Field(description="Keep the estimate of the latest step as a small picture while the job runs.")
    ] = False


class Nothing(BaseModel):
    """No options: a photograph alone."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Sent:
    """A photograph and what is to be done with it. name: the client's, as a bare file name."""

    data: bytes
    name: str
    ask: Any


async def sent(request: Request, kind: type[BaseModel]) -> Sent:
    """The photograph and the options of a request. Raises HTTPException 400, 413, 415 or 422 with a sentence."""
    if request.query_params:
        named = ", ".join(clean(name) for name in request.query_params)
        raise HTTPException(422, f"{named}: options stand beside the photo in the form or the JSON, not in the address")
    media = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media == "multipart/form-data":
        return await _form(request, kind)
    if media == "application/json":
        return await _json(request, kind)
    raise HTTPException(
        415, "send multipart/form-data with the file as `photo`, or application/json with it as base64 in `photo`"
    )


async def _form(request: Request, kind: type[BaseModel]) -> Sent:
    async with AsyncExitStack() as closing:
        try:
            opened = request.form(max_files=1, max_fields=64, max_part_size=4096)
            form = await closing.enter_async_context(opened)
        except HTTPException as error:
            if error.status_code in (413, 429, 503):  # sizes are told by the guard
                raise
            raise HTTPException(422, f"the form cannot be read: {error.detail}") from None
        except (MultiPartException, UnicodeDecodeError, KeyError, ValueError) as error:
            raise HTTPException(422, f"the form cannot be read: {error}") from None
        fields = dict(form)
        upload = fields.pop("photo", None)
        if not isinstance(upload, UploadFile):
            raise HTTPException(422, "photo: the form has no file of this name; with curl: -F photo=@picture.jpg")
        if len(form.multi_items()) != len(fields) + 1 or any(
            isinstance(value, UploadFile) for value in fields.values()
        ):
            raise HTTPException(422, "every field may be given once, and only photo is a file")
        # What a form leaves empty was not filled in.
        ask = _checked(kind, {name: value for name, value in fields.items() if value != ""}, strict=False)
        return Sent(await upload.read(), clean(upload.filename), ask)


async def _json(request: Request, kind: type[BaseModel]) -> Sent:
    body = bytearray()  # not request.body(), which the request would keep for as long as its client waits
    async for chunk in request.stream():
        body += chunk
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(422, f"the body is no JSON: {error}") from None
    del body
    if not isinstance(tree, dict):
        raise HTTPException(422, "the body must be an object with photo (base64) and options")
    photo, name = tree.pop("photo", None), tree.pop("name", None)
    if not isinstance(photo, str):
        raise HTTPException(422, "photo: the file as base64 text is missing")
    if name is not None and not isinstance(name, str):
        raise HTTPException(422, "name: must be text")
    try:
        data = base64.b64decode(photo, validate=True)
    except (binascii.Error, ValueError) as error:
        raise HTTPException(422, f"photo: is no base64 ({error})") from None
    del photo
    return Sent(data, clean(name), _checked(kind, tree, strict=True))


_WORDS = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float", "int_parsing_size"), "must be a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "must be a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "must be true or false"),
    **dict.fromkeys(("string_too_long", "too_long"), "must have at most {max_length} characters"),
    "string_type": "must be text",
    "greater_than_equal": "must be at least {ge:.16g}",
    "less_than_equal": "must be at most {le:.16g}",
}


def reason(error: Mapping[str, Any]) -> str:
    """What one of pydantic's errors says, in plain words."""
    words = _WORDS.get(error["type"])
    return words.format(**error.get("ctx", {})) if words else str(error["msg"]).removeprefix("Value error, ")


def _checked(kind: type[BaseModel], fields: dict[str, Any], *, strict: bool) -> BaseModel:
    try:
        return kind.model_validate(fields, strict=strict)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = str(first["loc"][0]) if first["loc"] else "options"
        said = reason(first)
        if first["type"] == "extra_forbidden":
            said = f"no such option; {did_you_mean(place, kind.model_fields)}"
        raise HTTPException(422, f"{clean(place)}: {said}") from None


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
