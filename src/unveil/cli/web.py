"""`unveil web`: the page and the HTTP interface."""

from __future__ import annotations

from unveil.errors import InputError
from unveil.util.extras import installing
from unveil.web.settings import ServerSettings

DEFAULTS = ServerSettings()


def web(*, settings: ServerSettings = DEFAULTS, page: bool = True) -> int:
    """Serve the page and the HTTP interface until Ctrl-C.

    Nothing is opened by itself and nothing is sent anywhere. Only this machine can reach it, unless --host says otherwise.

    Args:
        settings: How the server is run.
        page: Serve the page too, not the HTTP interface alone.

    """
    try:
        from unveil.web.serving import serve
    except ModuleNotFoundError as error:
        raise InputError(
            f"the web server needs further packages ({error.name} is missing): {installing('web')}"
        ) from error
    return serve(settings, page=page)
