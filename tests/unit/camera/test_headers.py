from __future__ import annotations

import struct

import pytest

from edge_agent.camera.headers import BadHeaderError, Format, Header, check_whole, parse_header


def test_a_bmp_stored_from_the_top_has_a_size() -> None:
    data = b"BM" + bytes(12) + struct.pack("<Iii", 40, 640, -480)
    assert parse_header(data) == Header(Format.BMP, 640, 480)


def test_a_bmp_of_os2_has_a_size() -> None:
    data = b"BM" + bytes(12) + struct.pack("<IHH", 12, 64, 48)
    assert parse_header(data) == Header(Format.BMP, 64, 48)


@pytest.mark.parametrize(("mark", "order"), [(b"II", "<"), (b"MM", ">")])
def test_a_tiff_of_either_byte_order_has_a_size(mark: bytes, order: str) -> None:
    entries = struct.pack(order + "HHHIHH", 2, 256, 3, 1, 640, 0)
    entries += struct.pack(order + "HHII", 257, 4, 1, 480)
    data = mark + struct.pack(order + "HI", 42, 8) + entries
    assert parse_header(data) == Header(Format.TIFF, 640, 480)


def test_a_big_tiff_has_a_size() -> None:
    entries = struct.pack("<Q", 2)
    entries += struct.pack("<HHQHHI", 256, 3, 1, 640, 0, 0) + struct.pack("<HHQQ", 257, 16, 1, 480)
    data = b"II" + struct.pack("<HHHQ", 43, 8, 0, 16) + entries
    assert parse_header(data) == Header(Format.TIFF, 640, 480)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "PNG file is cut short in its header"),
        (b"\xff\xd8\xff\xe0", "JPEG file is cut short in its header"),
        (b"\xff\xd8\xff\xe0\x00\x04ab12345", "JPEG file is damaged in its header"),
        (b"GIF89a\x00\x00\x00\x00", "GIF file claims 0x0 pixels"),
        (b"II*\0\x08\0\0\0\0\0", "TIFF file claims 0x0 pixels"),
    ],
)
def test_bytes_that_are_no_image_are_told_apart(data: bytes, text: str) -> None:
    with pytest.raises(BadHeaderError, match=text):
        parse_header(data)


def test_a_png_with_a_wrong_checksum_is_damaged() -> None:
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 8, b"IHDR", 4, 4) + bytes(4)
    header = parse_header(data)
    assert header == Header(Format.PNG, 4, 4)
    with pytest.raises(BadHeaderError, match="checksum"):
        check_whole(data, header)
