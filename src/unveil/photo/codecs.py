"""imagecodecs, which is faster than what is here and reads more, where it is installed."""

from __future__ import annotations

from typing import Any


def codecs(name: str) -> Any:
    """imagecodecs where it is installed with the codec of this name ("PNG", "AVIF", "CMS", ...), otherwise None."""
    try:
        import imagecodecs
    except ImportError:
        return None
    return imagecodecs if getattr(imagecodecs, name).available else None
