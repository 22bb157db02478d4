"""Every file gives an image or one error that names it (the list at the end of the main issue)."""

from __future__ import annotations

import os
import struct
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge_agent.camera.headers import BadHeaderError, Format, check_whole, parse_header
from edge_agent.camera.images import list_images, read_image
from edge_agent.errors import ImageError
from tests.image_files import chunk, gif

if TYPE_CHECKING:
    from edge_agent.camera.frame import Image

COLOUR: Image = np.random.default_rng(1).integers(0, 256, (40, 60, 3)).astype(np.uint8)
COLOUR = np.ascontiguousarray(cv2.GaussianBlur(COLOUR, (5, 5), 2), np.uint8)
GREY: Image = np.ascontiguousarray(COLOUR[:, :, 1])


def encode(suffix: str, pixels: cv2.typing.MatLike, *options: int) -> bytes:
    done, data = cv2.imencode(suffix, pixels, list(options))
    assert done
    return data.tobytes()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def refusal(path: Path, **limits: int) -> str:
    """Read a file that must be refused; the refusal is one line that names the file."""
    with pytest.raises(ImageError) as caught:
        read_image(path, **limits)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def png(width: int, height: int, chunks: bytes) -> bytes:
    """Write a PNG by hand: 8-bit grey, with whatever chunks follow its header."""
    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunks


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff"])
def test_lossless_colour_is_read_as_it_is(tmp_path: Path, suffix: str) -> None:
    image = read_image(write(tmp_path / f"a{suffix}", encode(suffix, COLOUR)))
    assert np.array_equal(image, COLOUR)
    assert image.flags.c_contiguous


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_colour_is_read(tmp_path: Path, suffix: str) -> None:
    image = read_image(write(tmp_path / f"a{suffix}", encode(suffix, COLOUR)))
    assert image.shape == COLOUR.shape
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - COLOUR.astype(int)).mean() < 12


def test_webp_of_every_kind_tells_its_size() -> None:
    lossless = encode(".webp", COLOUR, cv2.IMWRITE_WEBP_QUALITY, 101)
    alpha = encode(".webp", cv2.cvtColor(COLOUR, cv2.COLOR_BGR2BGRA))
    for data in (encode(".webp", COLOUR), lossless, alpha):
        header = parse_header(data)
        assert (header.format, header.width, header.height) == (Format.WEBP, 60, 40)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_grey_stays_grey(tmp_path: Path, suffix: str) -> None:
    image = read_image(write(tmp_path / f"a{suffix}", encode(suffix, GREY)))
    assert image.shape == GREY.shape
    assert image.dtype == np.uint8


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_of_16_bits_the_upper_8_are_kept(tmp_path: Path, suffix: str, pixels: Image) -> None:
    deep = pixels.astype(np.uint16) * 256 + 77
    image = read_image(write(tmp_path / f"a{suffix}", encode(suffix, deep)))
    assert np.array_equal(image, pixels)


def test_alpha_is_dropped(tmp_path: Path) -> None:
    clear = np.dstack([COLOUR, np.zeros(GREY.shape, np.uint8)])
    image = read_image(write(tmp_path / "a.png", encode(".png", clear)))
    assert np.array_equal(image, COLOUR)
    assert image.flags.c_contiguous


def test_grey_with_alpha_is_read(tmp_path: Path) -> None:
    row = b"\x00" + bytes([90, 0] * 3)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 4, 0, 0, 0))
    data = (
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(row * 2)) + chunk(b"IEND", b"")
    )
    image = read_image(write(tmp_path / "a.png", data))
    assert image.shape[:2] == (2, 3)
    assert (image == 90).all()


@pytest.mark.parametrize("frames", [1, 3])
def test_of_a_gif_the_first_frame_is_read(tmp_path: Path, frames: int) -> None:
    image = read_image(write(tmp_path / "a.gif", gif(frames)))
    assert image.shape == (2, 2, 3)
    assert image.reshape(-1, 3).tolist() == [[0, 0, 255]] * 4


def test_exif_orientation_is_ignored(tmp_path: Path) -> None:
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x112, 3, 1, 6, 0) + b"\0\0\0\0"
    app1 = b"Exif\0\0" + tiff
    jpeg = encode(".jpg", COLOUR)
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + jpeg[2:]
    upright = np.asarray(cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR))
    assert upright.shape == (60, 40, 3)
    assert read_image(write(tmp_path / "a.jpg", turned)).shape == (40, 60, 3)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_a_truncated_file_is_refused(
    tmp_path: Path, suffix: str, keep: float, capfd: pytest.CaptureFixture[str]
) -> None:
    data = encode(suffix, COLOUR)
    path = write(tmp_path / f"cut{suffix}", data[: int(len(data) * keep)])
    refusal(path)
    assert capfd.readouterr() == ("", "")


def test_every_cut_of_a_jpeg_is_refused(tmp_path: Path) -> None:
    data = encode(".jpg", COLOUR, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    for length in range(0, len(data) - 1, 7):
        refusal(write(tmp_path / "cut.jpg", data[:length]))
    assert read_image(write(tmp_path / "whole.jpg", data + b"\0\0trailer")).shape == COLOUR.shape


def test_a_jpeg_preview_does_not_pass_for_the_end(tmp_path: Path) -> None:
    preview = encode(".jpg", COLOUR[:8, :8])
    app1 = b"Exif\0\0" + preview
    jpeg = encode(".jpg", COLOUR)
    data = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + jpeg[2:]
    assert read_image(write(tmp_path / "a.jpg", data)).shape == COLOUR.shape
    assert "cut short" in refusal(write(tmp_path / "b.jpg", data[:-40]))


@pytest.mark.parametrize("kept", [10, 30, 40])
def test_a_truncated_gif_is_refused(tmp_path: Path, kept: int) -> None:
    refusal(write(tmp_path / "a.gif", gif(1)[:kept]))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "empty" in refusal(write(tmp_path / "a.png", b""))


def test_text_named_png_is_refused(tmp_path: Path) -> None:
    assert "not an image" in refusal(write(tmp_path / "notes.png", b"shift 2: camera cleaned\n"))


def test_a_100_megapixel_image_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    zeros = zlib.compressobj(9)
    rows = b"".join(zeros.compress(bytes(10_001 * 100)) for _ in range(100)) + zeros.flush()
    data = png(10_000, 10_000, chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    assert len(data) < 200_000
    text = refusal(write(tmp_path / "huge.png", data))
    assert "10000x10000 is 100.0 megapixels" in text
    assert "64 allowed" in text


def test_the_limit_can_be_set(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", encode(".png", GREY))
    assert read_image(path, max_pixels=2400).shape == (40, 60)
    assert "scale it down or raise the limit" in refusal(path, max_pixels=2399)


def test_a_file_larger_than_any_image_of_its_size_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(600_000_000)  # a hole: takes no room on the disk
    assert "MB" in refusal(path)


def test_floating_point_is_refused(tmp_path: Path) -> None:
    data = encode(".tif", GREY.astype(np.float32))
    assert "float32" in refusal(write(tmp_path / "a.tif", data))


def test_a_damaged_png_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encode(".png", COLOUR))
    data[60:400] = bytes(340)
    refusal(write(tmp_path / "a.png", bytes(data)))
    assert capfd.readouterr().err == ""


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "a folder, not an image" in refusal(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "gone.png")


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in refusal(tmp_path / "pipe.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", encode(".png", GREY))
    path.chmod(0)
    assert "Permission denied" in refusal(path)


def test_random_bytes_behind_a_good_beginning_never_raise_anything_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    starts = [encode(s, COLOUR)[:24] for s in (".png", ".jpg", ".bmp", ".tif", ".webp")]
    for start in [*starts, gif(1)[:13], b"MM\0+"]:
        for _ in range(40):
            data = start + rng.bytes(int(rng.integers(0, 200)))
            try:
                header = parse_header(data)
                check_whole(data, header)
            except BadHeaderError:
                continue
            if header.width * header.height < 10_000_000:
                refusal(write(tmp_path / "x.png", data))


def test_reading_from_many_threads_is_safe(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", encode(".png", COLOUR))
    same: list[bool] = []
    threads = [
        threading.Thread(target=lambda: same.append(np.array_equal(read_image(path), COLOUR)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same == [True] * 8


def test_a_folder_is_listed_in_natural_order(tmp_path: Path) -> None:
    names = ["10.png", "2.png", "a/1.JPG", "a/b/3.tiff", "notes.txt", ".hidden.png", ".git/x.png"]
    for name in [*names, "masks/1.png"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listed = list_images(tmp_path, skip=frozenset({"masks"}))
    found = [path.relative_to(tmp_path).as_posix() for path in listed]
    assert found == ["2.png", "10.png", "a/1.JPG", "a/b/3.tiff"]
    assert tmp_path / "masks/1.png" in list_images(tmp_path)


def test_a_file_is_a_list_of_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "odd.name", b"")
    assert list_images(path) == [path]


def test_a_missing_folder_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="gone: no such file or folder"):
        list_images(tmp_path / "gone")
