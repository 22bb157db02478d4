"""What an image file says of itself: its format, its size, and whether it is whole.

Read before anything is decoded: a small file can claim a size that no device can hold, and OpenCV
decodes a cut-off JPEG to a half grey image without a word. Pure functions of bytes.
"""

from __future__ import annotations

import enum
import struct
import zlib

import msgspec

_JPEG_FRAMES = frozenset(
    {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
)
"""Markers of JPEG segments that carry the image size (ITU-T T.81, table B.1)."""

_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_SHORT, _TIFF_LONG, _TIFF_LONG8 = 3, 4, 16


class Format(enum.StrEnum):
    """Formats that are read."""

    PNG = "PNG"
    JPEG = "JPEG"
    BMP = "BMP"
    TIFF = "TIFF"
    WEBP = "WebP"
    GIF = "GIF"


class Header(msgspec.Struct, frozen=True):
    """What a file says of itself.

    Attributes:
        format: Its format, by its first bytes; the name does not count.
        width: In pixels.
        height: In pixels.
    """

    format: Format
    width: int
    height: int


class BadHeaderError(Exception):
    """The bytes are not an image, or not a whole one; the text says what is wrong."""


def parse_header(data: bytes) -> Header:
    """Read format and size.

    Args:
        data: The whole file.

    Raises:
        BadHeaderError: It is none of the formats, or ends within its header.
    """
    found = _format_of(data)
    try:
        width, height = _SIZES[found](data)
    except (struct.error, IndexError, OverflowError) as error:
        raise BadHeaderError(f"the {found} file is cut short in its header") from error
    if width <= 0 or height <= 0:
        raise BadHeaderError(f"the {found} file claims {width}x{height} pixels")
    return Header(found, width, height)


def check_whole(data: bytes, header: Header) -> None:
    """Refuse a file that ends before its image does, as far as its format can tell.

    Raises:
        BadHeaderError: It is cut short.
    """
    if header.format is Format.JPEG:
        whole = _jpeg_is_whole(data)
    elif header.format is Format.PNG:
        whole = _png_is_whole(data)
    elif header.format is Format.BMP:
        declared: int = struct.unpack_from("<I", data, 2)[0]
        # Some writers leave the size out, or put that of the header there.
        whole = declared <= 54 or len(data) >= declared
    elif header.format is Format.WEBP:
        length: int = struct.unpack_from("<I", data, 4)[0]
        whole = len(data) >= length + 8
    else:
        whole = True
    if not whole:
        raise BadHeaderError(f"the {header.format} file is cut short: its end is missing")


def _format_of(data: bytes) -> Format:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return Format.PNG
    if data.startswith(b"\xff\xd8\xff"):
        return Format.JPEG
    if data.startswith(b"BM"):
        return Format.BMP
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return Format.TIFF
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return Format.WEBP
    if data.startswith((b"GIF87a", b"GIF89a")):
        return Format.GIF
    raise BadHeaderError(f"not an image: its content is no {', '.join(Format)}")


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _png_is_whole(data: bytes) -> bool:
    """Walk the chunks to IEND, and check their sums (PNG specification, 5.3).

    Raises:
        BadHeaderError: A sum is wrong.
    """
    at = 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            return False
        if zlib.crc32(memoryview(data)[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise BadHeaderError("the PNG file is damaged: a checksum is wrong")
        if kind == b"IEND":
            return True
        at = end + 4
    return False


def _jpeg_segment(data: bytes, at: int) -> tuple[int, int, int]:
    """Return marker, start and end of the segment at `at` (ITU-T T.81, B.1.1)."""
    if data[at] != 0xFF:
        raise BadHeaderError("the JPEG file is damaged in its header")
    while data[at + 1] == 0xFF:
        at += 1
    marker = data[at + 1]
    if marker == 0x01 or 0xD0 <= marker <= 0xD8:
        return marker, at + 2, at + 2
    length = struct.unpack_from(">H", data, at + 2)[0]
    return marker, at + 4, at + 2 + length


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    while True:
        marker, start, at = _jpeg_segment(data, at)
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, start + 1)
            return width, height


def _jpeg_is_whole(data: bytes) -> bool:
    """Tell whether the end marker follows the first scan.

    A scan holds no 0xFF that is not stuffed, so the bytes of the marker are the marker. A preview
    inside a header segment has an end marker of its own, and is stepped over.
    """
    at = 2
    marker = 0
    while marker != 0xDA:
        if at + 4 > len(data):
            return False
        marker, _, at = _jpeg_segment(data, at)
    return data.find(b"\xff\xd9", at) >= 0


def _bmp_size(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        return width, height
    width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)


def _gif_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _webp_size(data: bytes) -> tuple[int, int]:
    """Read the size of a WebP image (RFC 9649, 2.5 to 2.7)."""
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
        return (width, height) if len(data) >= 30 else (0, 0)
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _tiff_size(data: bytes) -> tuple[int, int]:
    """Read the size of the first image of a TIFF or BigTIFF file."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    at = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    count = struct.unpack_from(order + ("Q" if big else "H"), data, at)[0]
    at += 8 if big else 2
    entry_size, value_at = (20, 12) if big else (12, 8)
    sizes = {_TIFF_WIDTH: 0, _TIFF_HEIGHT: 0}
    for entry in range(min(count, 4096)):
        place = at + entry * entry_size
        tag, kind = struct.unpack_from(order + "HH", data, place)
        if tag in sizes:
            code = {_TIFF_SHORT: "H", _TIFF_LONG: "I", _TIFF_LONG8: "Q"}.get(kind, "I")
            sizes[tag] = struct.unpack_from(order + code, data, place + value_at)[0]
    return sizes[_TIFF_WIDTH], sizes[_TIFF_HEIGHT]


_SIZES = {
    Format.PNG: _png_size,
    Format.JPEG: _jpeg_size,
    Format.BMP: _bmp_size,
    Format.TIFF: _tiff_size,
    Format.WEBP: _webp_size,
    Format.GIF: _gif_size,
}
