"""Where the samples of a TIFF page lie and how they are packed (TIFF 6.0, sections 2 to 15; supplement 3 for floats)."""

from __future__ import annotations

from dataclasses import dataclass

from unveil.photo.ifd import Entry, Tiff

DEFLATE = (8, 32946)
# Through libtiff inside Pillow: LZW, PackBits, LZMA, Zstandard.
LIBTIFF = (5, 32773, 34925, 50000)
GREY_INVERTED, GREY, RGB, CMYK = 0, 1, 2, 5
BASE_CHANNELS = {GREY_INVERTED: 1, GREY: 1, RGB: 3, CMYK: 4}
OTHER_COLOURS = {
    8: "CIELAB", 9: "ICCLAB", 10: "ITULAB", 32803: "camera raw (CFA)", 34892: "camera raw (linear)", 32844: "LogL", 32845: "LogLuv",
}  # fmt: skip
ALPHA_KINDS = {1: "premultiplied", 2: "straight"}
UNSPECIFIED = 0
MOST_EXTRA = 16


@dataclass(frozen=True)
class Layout:
    """One page, cut into blocks (strips or tiles) of block_height x block_width pixels.

    dtype: of a sample, in the file's byte order. planes: 1 where channels are interleaved, else the number of channels.
    positions: (offset, bytes) of each block. extra: what each channel beside the colours is (ExtraSamples): 0 unspecified, 1 alpha that
    colours are multiplied by, 2 alpha.
    """

    width: int
    height: int
    channels: int
    dtype: str
    photometric: int
    compression: int
    predictor: int
    tiled: bool
    block_height: int
    block_width: int
    planes: int
    positions: tuple[tuple[int, int], ...]
    extra: tuple[int, ...]

    @property
    def block_channels(self) -> int:
        """Channels within one block."""
        return 1 if self.planes > 1 else self.channels


def colours(tiff: Tiff, tags: dict[int, Entry]) -> int:
    """The photometric interpretation. Raises ValueError for colour spaces that are not pictures to us (Lab, raw sensor data)."""
    photometric = tiff.integer(tags, 262, GREY_INVERTED)
    if photometric in OTHER_COLOURS:
        raise ValueError(f"its colours are {OTHER_COLOURS[photometric]}; convert it to RGB first")
    return photometric


def layout(tiff: Tiff, tags: dict[int, Entry]) -> Layout | None:
    """How to read this page here, or None where Pillow should (palettes, fax, JPEG inside TIFF, fewer than 8 bits).

    Raises ValueError for what nobody here can read, with the reason.
    """
    photometric = colours(tiff, tags)
    compression = tiff.integer(tags, 259, 1)
    bits = set(tiff.integers(tags, 258) or (1,))
    formats = set(tiff.integers(tags, 339) or (1,))
    width, height = tiff.integer(tags, 256, 0), tiff.integer(tags, 257, 0)
    if photometric not in BASE_CHANNELS or compression not in (1, *DEFLATE, *LIBTIFF) or bits <= {1, 2, 4}:
        if max(bits) > 8:
            raise ValueError(
                f"{max(bits)}-bit samples with compression {compression} and colours {photometric} are not read; save it with LZW"
            )
        return None
    if len(bits) > 1 or len(formats) > 1:
        raise ValueError("its channels differ in depth; convert them to one depth first")
    kind = {1: "u", 3: "f"}.get(formats.pop())
    depth = bits.pop()
    if (kind, depth) not in (("u", 8), ("u", 16), ("f", 16), ("f", 32), ("f", 64)):
        raise ValueError(
            f"samples of {depth} bits that are {'floats' if kind == 'f' else 'integers'} are not read; convert to 16 bit or 32-bit float"
        )
    if tiff.integer(tags, 266, 1) != 1:
        raise ValueError("its bits are stored in reverse order (FillOrder 2); save it again from an image editor")
    channels = tiff.integer(tags, 277, 1)
    extra = channels - BASE_CHANNELS[photometric]
    if not 0 <= extra <= MOST_EXTRA:
        raise ValueError(f"it has {channels} channels; at most {MOST_EXTRA} beside the colours are read")
    sorts = (*tiff.integers(tags, 338)[:extra], *[UNSPECIFIED] * extra)[:extra]
    planes = channels if tiff.integer(tags, 284, 1) == 2 else 1
    tiled = 322 in tags
    block_width = tiff.integer(tags, 322, 0) if tiled else width
    block_height = tiff.integer(tags, 323, 0) if tiled else min(tiff.integer(tags, 278, height), height)
    if min(block_width, block_height) < 1 or max(block_width, block_height) > max(width, height) + 65536:
        raise ValueError("its strips or tiles have no sensible size; the file is damaged")
    across, down = -(-width // block_width), -(-height // block_height)
    return Layout(
        width, height, channels, f"{tiff.endian}{kind}{depth // 8}", photometric, compression, tiff.integer(tags, 317, 1), tiled,
        block_height, block_width, planes, _positions(tiff, tags, tiled, across * down * planes),
        sorts,
    )  # fmt: skip


def _positions(tiff: Tiff, tags: dict[int, Entry], tiled: bool, count: int) -> tuple[tuple[int, int], ...]:
    offsets = tiff.integers(tags, 324 if tiled else 273)
    sizes = tiff.integers(tags, 325 if tiled else 279)
    if len(offsets) < count or len(sizes) < count:
        raise ValueError("pieces of the picture are not listed; the file is damaged")
    found = tuple(zip(offsets[:count], sizes[:count], strict=True))
    if any(offset < 8 or size < 1 or offset + size > len(tiff.data) for offset, size in found):
        raise ValueError("pieces of the picture lie outside the file; it is cut short")
    return found
