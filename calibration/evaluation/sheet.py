"""The contact sheet: pictures of the worst mistakes, with what the model saw and the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np

from calibration.evaluation.report import worst_bad, worst_good
from calibration.evaluation.run import limits_of
from edge_agent.camera.images import read_image
from edge_agent.errors import ImageError
from edge_agent.inspection.engines import FORMATS, EngineSettings
from edge_agent.inspection.overlay import draw_part
from edge_agent.rollout.loading import load_pipeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from calibration.evaluation.run import Run, Seen
    from edge_agent.camera.frame import Image

_TILE_PX = 320
"""Longer side of a picture on the page."""

_FILE_PX = 1024
"""Longer side of a picture in a file, at most."""

_TRUTH = (255, 255, 0)
"""Colour of the line around the defect as drawn in the mask: cyan."""


class Tile(msgspec.Struct, frozen=True):
    """One picture of the sheet.

    Attributes:
        seen: The image it shows.
        jpeg: The picture.
    """

    seen: Seen
    jpeg: bytes


class Sheet(msgspec.Struct, frozen=True):
    """The worst mistakes of a bundle.

    Attributes:
        good: The good images with the highest scores, the worst first.
        bad: The defective images with the lowest scores, the worst first.
    """

    good: tuple[Tile, ...]
    bad: tuple[Tile, ...]


def draw_worst(run: Run) -> Sheet:
    """Draw the worst mistakes of a bundle."""
    good, bad = (
        tuple(Tile(seen, _jpeg(picture)) for seen, picture in _draw(run, chosen, _TILE_PX))
        for chosen in (worst_good(run), worst_bad(run))
    )
    return Sheet(good, bad)


def draw_mistakes(run: Run) -> Iterator[tuple[str, bytes]]:
    """Draw every image that came out wrong.

    Yields:
        A file name that says kind, score and file, and the picture as JPEG.
    """
    wrong = [each for each in run.seen if not each.is_right and each.score is not None]
    for seen, picture in _draw(run, wrong, _FILE_PX):
        yield f"{seen.item.kind}_{seen.score:.3f}_{seen.item.path.stem}.jpg", _jpeg(picture)


def _draw(run: Run, chosen: Iterable[Seen], side_px: int) -> Iterator[tuple[Seen, Image]]:
    """Look at images once more: maps are not kept while thousands of images are judged."""
    manifest = run.bundle.manifest
    engine = run.engine if run.engine in FORMATS else "auto"  # its stages run on several
    pipeline = load_pipeline(run.bundle, engine, EngineSettings())
    for seen in chosen:
        image = read_image(seen.item.path)
        looked = pipeline.inspect(image)
        picture = _fit(image, side_px)
        of = limits_of(manifest.thresholds).ng
        caption = f"{seen.verdict.value}  {seen.score or 0.0:.2f} / {of:.2f}"
        shown = draw_part(
            picture,
            looked,
            thresholds=manifest.thresholds,
            verdict=seen.verdict.value,
            caption="" if side_px == _TILE_PX else caption,  # the page says it below the picture
        )
        if seen.item.mask:
            _outline(shown[: picture.shape[0]], seen.item.mask)
        yield seen, shown
    pipeline.close()


def _outline(canvas: Image, mask: Path) -> None:
    """Draw a line around the defect as the mask has it."""
    try:
        drawn = read_image(mask)
    except ImageError:  # it was told when the image was judged
        return
    flat = drawn.max(axis=2) if drawn.ndim == 3 else drawn
    size = (canvas.shape[1], canvas.shape[0])
    on = (cv2.resize(flat, size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    outlines, _ = cv2.findContours(on, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(canvas, outlines, -1, _TRUTH, 1)


def _fit(image: Image, side_px: int) -> Image:
    """Shrink an image to the tile, or enlarge a tiny one, so that captions can be read."""
    scale = side_px / max(image.shape[:2])
    if side_px == _FILE_PX:
        scale = min(1.0, scale)
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=how).astype(np.uint8, copy=False)


def _jpeg(picture: Image) -> bytes:
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
