"""Image files made by hand, for what no library writes."""

from __future__ import annotations

import struct
import zlib


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gif(frames: int) -> bytes:
    """Write a GIF by hand: 2x2 pixels, each frame one colour of (red, blue)."""
    palette = bytes([255, 0, 0, 0, 0, 255])
    screen = b"GIF89a" + struct.pack("<HHBBB", 2, 2, 0x80, 0, 0) + palette
    body = b""
    for number in range(frames):
        # Codes of 3 bits: clear (4) before they need a fourth, two pixels, twice; end (5).
        colour = number % 2
        bits = 0
        for place, code in enumerate([4, colour, colour, 4, colour, colour, 5]):
            bits |= code << 3 * place
        body += b"\x21\xf9\x04\x04\x0a\x00\x00\x00"
        body += b"\x2c" + struct.pack("<HHHHB", 0, 0, 2, 2, 0) + b"\x02\x03"
        body += bits.to_bytes(3, "little") + b"\x00"
    return screen + body + b"\x3b"
