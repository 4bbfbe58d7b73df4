"""A captioner behind an OpenAI-compatible endpoint (/v1/chat/completions with an image), by the standard library alone."""

from __future__ import annotations

import base64
import io
import json
import os
import urllib.error
import urllib.request
from http.client import HTTPException

from PIL import Image
from torch import Tensor

from unveil.errors import ModelError
from unveil.zeroshot.ldrps.captions import QUESTION

KEY = "UNVEIL_CAPTION_KEY"
"""Environment variable with the endpoint's key; without it no key is sent."""

LONGEST = 896
"""The photograph is sent no larger than this: twice the side of the tiles that such models look at."""


def picture(image: Tensor, longest: int = LONGEST) -> Image.Image:
    """A tensor (3, H, W) in [-1, 1] as an 8-bit picture, its longer side at most `longest`."""
    values = ((image.detach().float().cpu() + 1) * 127.5).round().clamp(0, 255).byte()
    out = Image.fromarray(values.permute(1, 2, 0).contiguous().numpy())
    out.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return out


def address(url: str) -> str:
    """The full path of the request: what the user gave, or the usual one under a server's root or its /v1."""
    url = url.rstrip("/")
    if url.endswith("/chat/completions"):
        return url
    return url + ("/chat/completions" if url.endswith("/v1") else "/v1/chat/completions")


def ask(image: Tensor, url: str, model: str = "", timeout: float = 120.0) -> str:
    """Ask once. Raises ModelError with the address and the reason where there is no usable answer."""
    file = io.BytesIO()
    picture(image).save(file, "PNG")
    data = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    content = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": data}}]
    body = {
        "model": model or "default",
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 80,
        "temperature": 0,
    }
    headers = {"Content-Type": "application/json"}
    if os.environ.get(KEY):
        headers["Authorization"] = f"Bearer {os.environ[KEY]}"
    request = urllib.request.Request(address(url), json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text = json.load(answer)["choices"][0]["message"]["content"]
    except urllib.error.HTTPError as e:
        said = e.read(300).decode(errors="replace").strip()
        raise ModelError(
            f"the captioner at {address(url)} refused with {e.code} {e.reason}: {said or 'no reason given'}"
        ) from e
    except (urllib.error.URLError, HTTPException, OSError) as e:
        reason = getattr(e, "reason", None) or e
        raise ModelError(
            f"no captioner answers at {address(url)} ({reason}); start it, correct the URL, or give the text with --prompt"
        ) from e
    except (ValueError, KeyError, IndexError, TypeError) as e:
        raise ModelError(
            f"the answer of {address(url)} is not that of an OpenAI-compatible chat endpoint ({e!r})"
        ) from e
    if not isinstance(text, str) or not text.strip():
        raise ModelError(f"the captioner at {address(url)} answered without a text; give one with --prompt")
    return text
