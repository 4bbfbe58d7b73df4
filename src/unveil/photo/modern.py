"""JPEG XL, JPEG 2000, GIF and the Netpbm family: what Pillow, its plugin and imagecodecs read and write between them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import GifImagePlugin, Image, Jpeg2KImagePlugin, PpmImagePlugin

from unveil.photo import exif, isobmff, netpbm, pillow
from unveil.photo.encoding import Picture, image_of
from unveil.photo.header import Header
from unveil.photo.record import Decoded, NotRead, parted
from unveil.util.extras import codecs, needed

_ICC_METHODS = (2, 3)


def decode(data: bytes, header: Header) -> Decoded:
    """Samples at their own depth, and what metadata there is. Raises ValueError, or whatever the decoders raise."""
    return _DECODERS[header.format](data, header)


def _jxl(data: bytes, header: Header) -> Decoded:
    """Pixels come upright, but for those of a JPEG that was packed whole, which come as that JPEG has them; metadata from the plugin,
    more than eight bits from imagecodecs.
    """
    with jxl_plugin().JXLImageFile(io.BytesIO(data)) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise NotRead("it is an animation; take single frames out of it first")
        image.load()
        found = pillow.plain(image)
        found.icc, found.xmp = image.info.get("icc_profile") or None, image.info.get("xmp") or None
        block = image.info.get("exif")
        packed = bool(getattr(image, "jpeg", False))
    found.exif, found.orientation = exif.bare(block), None if packed else 1
    library = codecs("JPEGXL")
    if library is not None:
        samples = library.jpegxl_decode(data, index=0, numthreads=1)
        if samples.dtype != np.uint8 and samples.shape[:2] == found.samples.shape[:2]:
            found.samples, found.alpha = parted(samples)
    found.lossless = False
    return found


def jxl_plugin() -> Any:
    """The module of pillow_jxl that reads and writes. Raises InputError where it is not installed."""
    return needed("pillow_jxl.JpegXLImagePlugin", "JPEG XL needs a further package", "formats")


def _jp2(data: bytes, header: Header) -> Decoded:
    with Jpeg2KImagePlugin.Jpeg2KImageFile(io.BytesIO(data)) as image:
        if image.width * image.height > header.width * header.height:
            raise ValueError("it is larger than its header says")
        library = codecs("JPEG2K") if header.bits > 8 else None
        if library is not None:
            top = np.float32(2**header.bits - 1)
            whole = np.rint(np.minimum(library.jpeg2k_decode(data) / top, 1) * np.float32(65535)).astype(np.uint16)
            colours, alpha = parted(whole)
            found = Decoded(colours, "L" if colours.shape[2] == 1 else "RGB", alpha)
        else:
            image.load()
            deep = image.mode.startswith("I")
            found = Decoded(np.asarray(image).astype(np.uint16)[..., None], "L") if deep else pillow.plain(image)
            if header.bits > 8 and not deep:
                found.notes = (f"its {header.bits}-bit samples were read with 8 bits: pip install imagecodecs for all",)
    found.icc = _jp2_profile(data)
    return found


def _jp2_profile(data: bytes) -> bytes | None:
    for kind, start, end in isobmff.boxes(data, 0, len(data)):
        if kind == b"jp2h":
            for inner, first, last in isobmff.boxes(data, start, end):
                if inner == b"colr" and data[first] in _ICC_METHODS:
                    return data[first + 3 : last]
    return None


def _gif(data: bytes, header: Header) -> Decoded:
    with GifImagePlugin.GifImageFile(io.BytesIO(data)) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise NotRead("it is an animation, which is restored as a clip from a file; take single frames out of it")
        image.load()
        found = pillow.plain(image)
        comment = image.info.get("comment")
    if isinstance(comment, bytes) and comment:
        found.extra = (("COM", comment),)
    return found


def _netpbm(data: bytes, header: Header) -> Decoded:
    if data[:2] in (b"P1", b"P2", b"P3", b"P4"):
        with PpmImagePlugin.PpmImageFile(io.BytesIO(data)) as image:
            image.load()
            if image.mode == "I":
                return Decoded(np.asarray(image).astype(np.uint16)[..., None], "L")
            return pillow.plain(image)
    samples = netpbm.decode(data)
    return Decoded(np.ascontiguousarray(samples), "L" if samples.shape[2] == 1 else "RGB")


_DECODERS = {"JXL": _jxl, "JP2": _jp2, "GIF": _gif, "PNM": _netpbm}


def encode_jxl(picture: Picture) -> bytes:
    """A JPEG XL of 8 bits, without loss."""
    jxl_plugin()
    out = io.BytesIO()
    options = {"exif": picture.exif, "xmp": picture.xmp}
    given = {name: block for name, block in options.items() if block}
    image_of(picture).save(out, "JXL", lossless=True, effort=5, num_threads=1, **given)
    return out.getvalue()


def encode_jp2(picture: Picture) -> bytes:
    """A JPEG 2000 without loss; its profile is put into its box of colours."""
    _say_bare(picture, "JPEG 2000", profile=True)
    samples, library = picture.whole, codecs("JPEG2K")
    if samples.dtype == np.uint16 and library is not None:
        data = library.jpeg2k_encode(samples[..., 0] if samples.shape[2] == 1 else samples, level=0, reversible=True)
    else:
        out = io.BytesIO()
        image = image_of(picture)
        image.save(out, "JPEG2000", irreversible=False)
        data = out.getvalue()
    return _with_profile(data, picture.icc) if picture.icc else data


def _with_profile(data: bytes, icc: bytes) -> bytes:
    """The file with a profile in its colour box: enumerated colours replaced, the box around it made longer."""
    for kind, start, end in isobmff.boxes(data, 0, len(data)):
        if kind != b"jp2h":
            continue
        for inner, first, last in isobmff.boxes(data, start, end):
            if inner == b"colr":
                content = b"\2\0\0" + icc
                box = (len(content) + 8).to_bytes(4, "big") + b"colr" + content
                whole = data[start : first - 8] + box + data[last:end]
                return data[: start - 8] + (len(whole) + 8).to_bytes(4, "big") + b"jp2h" + whole + data[end:]
    return data


def encode_gif(picture: Picture) -> bytes:
    """A GIF of the 256 colours that suit the picture best; grey and pictures of few colours are exact."""
    _say_bare(picture, "GIF")
    image = image_of(picture)
    options: dict[str, Any] = {}
    alpha = None if picture.alpha is None else np.asarray(image.getchannel("A"))
    if image.mode in ("RGB", "RGBA", "LA"):
        most = 256 if alpha is None else 255  # one is for what is transparent
        image = image.convert("RGB")
        few = image.getcolors(most)
        image = image.quantize(
            most, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE if few else Image.Dither.FLOYDSTEINBERG
        )
        if few is None:
            picture.notes.append(f"its colours became {most}: GIF holds no more")
    if alpha is not None:
        hidden = alpha < 128
        colours = np.array(image)
        colours[hidden] = 255
        palette = image.getpalette() or []
        image = Image.fromarray(colours)
        image.putpalette(palette + [0] * (768 - len(palette)))
        options["transparency"] = 255
        if ((alpha > 0) & (alpha < 255)).any():
            picture.notes.append("its transparency became full or none: GIF holds nothing between")
    out = io.BytesIO()
    comment = next((content for name, content in picture.extra if name == "COM"), None)
    if comment:
        options["comment"] = comment
    image.save(out, "GIF", **options)
    return out.getvalue()


def encode_netpbm(picture: Picture) -> bytes:
    """A PGM or PPM of integers, a PFM of floats."""
    _say_bare(picture, "PNM")
    return netpbm.encode(picture.samples)


def _say_bare(picture: Picture, name: str, profile: bool = False) -> None:
    held = [picture.exif, picture.xmp, None if profile else picture.icc]
    if any(held):
        what = "metadata" if profile or not picture.icc else "metadata and colour profile"
        picture.notes.append(f"{what} left out: {name} holds none")
