"""Image files: which there are in a folder, and their pixels.

A file gives an image, or one `ImageError` that names it. What is made of what a file may hold:

- 8-bit grey stays grey; colour, palettes included, comes as BGR.
- 16 bits a channel: the upper 8 are kept (`value >> 8`), as a camera's 8-bit output would; a file
  that uses only the lower 12 of them is dark.
- Alpha is dropped: the pixels below it are kept as they are, transparent or not.
- EXIF orientation is ignored: these are a camera's own pixels, and a station's regions lie on them.
- Of several images in a file (GIF, TIFF, WebP) the first is read.
- Floating point, and more pixels than allowed, are refused.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.camera.headers import BadHeaderError, Header, check_whole, parse_header
from edge_agent.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.camera.frame import Image

MAX_PIXELS = 64_000_000
"""Pixels of the largest image that is read unless told otherwise; 192 MB in colour."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
MASK_FOLDERS = frozenset({"masks", "ground_truth"})
"""Folders of image sets that hold drawings of the defects, not images of parts."""

_BYTES_PER_PIXEL = 8
"""No format here stores more: four channels of 16 bits, uncompressed."""

_ROOM_FOR_METADATA = 16_000_000


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Read one image file.

    Returns:
        HxWx3 BGR or HxW grey, uint8, C-contiguous; a new array.

    Raises:
        ImageError: There is no such file, it is not an image, it is damaged, or it is too large.
    """
    data = _read_bytes(path, limit=max_pixels * _BYTES_PER_PIXEL + _ROOM_FOR_METADATA)
    try:
        header = parse_header(data)
        _check_size(path, header, max_pixels)
        check_whole(data, header)
    except BadHeaderError as error:
        raise ImageError(f"{path}: {error}; replace the file") from error
    return _to_camera_pixels(path, _decode(path, header, data))


def list_images(path: Path, *, skip: frozenset[str] = frozenset()) -> list[Path]:
    """List the image files of a folder and its sub-folders, in natural order (2 before 10).

    By name: a file that is no image in spite of its name is listed, and `read_image` says so.
    Hidden files and folders are left out.

    Args:
        path: A folder; a file is a list of itself, whatever its name.
        skip: Names of sub-folders that are left out.

    Raises:
        ImageError: There is no such file or folder, or it may not be read.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ImageError(f"{path}: no such file or folder")
    found = (entry for entry in _walk(path, skip) if entry.suffix.lower() in SUFFIXES)
    return sorted(found, key=lambda entry: _natural(entry.relative_to(path)))


def _walk(folder: Path, skip: frozenset[str]) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise ImageError(f"{error.filename}: cannot be listed: {error.strerror}") from error

    for root, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if name not in skip and not name.startswith(".")]
        yield from (Path(root, name) for name in files if not name.startswith("."))


def _natural(path: Path) -> list[list[tuple[int, int, str]]]:
    """Return a sort key: numbers by value, folder by folder."""
    return [
        [(0, int(digits), "") if digits else (1, 0, text) for digits, text in _pieces(part)]
        for part in path.parts
    ]


def _pieces(text: str) -> list[tuple[str, str]]:
    return re.findall(r"([0-9]+)|([^0-9]+)", text)


def _read_bytes(path: Path, *, limit: int) -> bytes:
    try:
        # A pipe or device with an image's name must not hold the reader up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _check_file(path, os.fstat(descriptor), limit)
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read()
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}") from error
    if not data:
        raise ImageError(f"{path}: the file is empty; replace it")
    return data


def _check_file(path: Path, info: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(info.st_mode):
        kind = "a folder" if stat.S_ISDIR(info.st_mode) else "not a regular file"
        raise ImageError(f"{path}: {kind}, not an image")
    if info.st_size > limit:
        raise ImageError(
            f"{path}: {info.st_size / 1e6:.0f} MB; more than any image within the pixel"
            " limit needs; make it smaller or raise the limit"
        )


def _check_size(path: Path, header: Header, max_pixels: int) -> None:
    pixels = header.width * header.height
    if pixels > max_pixels:
        raise ImageError(
            f"{path}: {header.width}x{header.height} is {pixels / 1e6:.1f} megapixels, more than"
            f" the {max_pixels / 1e6:g} allowed; scale it down or raise the limit"
        )


def _decode(path: Path, header: Header, data: bytes) -> np.ndarray[tuple[int, ...], np.dtype]:
    import cv2  # noqa: PLC0415 - heavy: not needed to list files

    _quiet_opencv()
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(
            f"{path}: the {header.format} file cannot be decoded; replace it"
        ) from error
    if pixels is None:
        raise ImageError(f"{path}: the {header.format} file is damaged or of a kind not read here")
    return pixels


def _to_camera_pixels(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype]) -> Image:
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    elif pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = pixels[:, :, :3]
    elif pixels.ndim == 3 and pixels.shape[2] == 2:
        pixels = pixels[:, :, 0]
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8 or pixels.ndim not in {2, 3}:
        raise ImageError(
            f"{path}: holds {pixels.dtype} values; save it with 8 or 16 bits a channel"
        )
    return np.ascontiguousarray(pixels)


def _quiet_opencv() -> None:
    """Keep OpenCV's decoders from writing to the terminal: what they find is raised here."""
    import cv2  # noqa: PLC0415 - see _decode

    logging = cv2.utils.logging
    if logging.getLogLevel() > logging.LOG_LEVEL_SILENT:
        logging.setLogLevel(logging.LOG_LEVEL_SILENT)
