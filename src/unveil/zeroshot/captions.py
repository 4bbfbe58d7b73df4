"""The text for the prior, written by a model that looks at the photograph. Nothing is asked unless the user names one.

Behind an OpenAI-compatible endpoint (/v1/chat/completions with an image), by the standard library alone; or on this machine, any
image-to-text model of transformers (BLIP, GIT, ...) from a folder or the hub.
"""

from __future__ import annotations

import base64
import io
import json
import os
import urllib.error
import urllib.request
from functools import lru_cache
from http.client import HTTPException
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from unveil.errors import ModelError
from unveil.util.extras import installing

QUESTION = (
    "This photograph is of low quality. Name what it would show if it had been taken well: main subject, colours, "
    "orientation. Words and short phrases, twenty at most, nothing about its faults."
)
"""What LD-RPS asks its multimodal model for, in our words."""


def caption(image: Tensor, captioner: str, model: str = "") -> str:
    """A prompt for an image (3, H, W) in [-1, 1], one line.

    captioner: an http(s) URL of an OpenAI-compatible endpoint (the photograph is sent there), or a folder or hub id of a
    transformers image-to-text model. model: its name at the endpoint. Raises ModelError where it cannot be reached or run.
    """
    ask = ask_endpoint if captioner.startswith(("http://", "https://")) else ask_local
    return " ".join(ask(image, captioner, model).split())


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


def ask_endpoint(image: Tensor, url: str, model: str = "", timeout: float = 120.0) -> str:
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


WORDS = 40
"""Most new tokens of a caption."""


@lru_cache(maxsize=1)
def _loaded(name: str) -> tuple[Any, Any]:
    try:
        from transformers import AutoModelForImageTextToText, AutoProcessor
    except ImportError as e:
        raise ModelError(f"a local captioner needs transformers: {installing('latent')}") from e
    try:
        return AutoProcessor.from_pretrained(name), AutoModelForImageTextToText.from_pretrained(name).eval()
    except (OSError, ValueError, ImportError, KeyError) as e:
        raise ModelError(
            f"{name} is no image-to-text model that transformers can load ({e}); give a folder, or the hub id of one such as BLIP"
        ) from e


def ask_local(image: Tensor, name: str, model: str = "") -> str:
    """Caption an image (3, H, W) in [-1, 1] with the model in a folder or of a hub id, greedily. Raises ModelError."""
    processor, network = _loaded(name)
    inputs = processor(images=picture(image), return_tensors="pt")
    with torch.no_grad():
        tokens = network.generate(**inputs, max_new_tokens=WORDS, do_sample=False)
    return processor.batch_decode(tokens, skip_special_tokens=True)[0]
