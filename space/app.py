"""The page as a Hugging Face Space. Everybody may use it, so photographs and waiting times are kept small."""

import os

from unveil.web.serving import serve
from unveil.web.settings import ServerSettings

SETTINGS = ServerSettings(
    host="0.0.0.0",
    port=7860,
    open=True,
    frame=True,  # Spaces show their app in a frame
    max_bytes=16 << 20,
    max_pixels=6_000_000,
    seconds=300,
    samples=8,
    waiting=16,
    per_client=2,
    names=tuple(filter(None, [os.environ.get("SPACE_HOST")])),
    trusted_proxies=("10.0.0.0/8",),  # the Space's own; it says who the visitor is
)

if __name__ == "__main__":
    serve(SETTINGS)
