"""What moves through the view: parts cut out of real images, hands, and a web."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from tests.bench.drift.images import Linear, Split, some

PAD = 14
"""Empty pixels around a part, for its blur and its shadow."""

_SHADOW = 0.25


@dataclass(frozen=True)
class Sprite:
    """A part as it is laid on the scene.

    Attributes:
        light: hxw or hxwx3; its reflectance, premultiplied with how much it covers.
        keep: hxw; how much of the scene's light stays beside it: 0 behind it, less in its shadow.
    """

    light: Linear
    keep: Linear

    def blurred(self, sigma_px: float) -> Sprite:
        """Return it as defocused optics show it."""
        if sigma_px <= 0.0:
            return self
        return Sprite(
            cv2.GaussianBlur(self.light, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE),
            cv2.GaussianBlur(self.keep, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE),
        )


Cut = Literal["casting", "screw", "aliens", "full"]


def cut_parts(
    kind: Cut, split: Split, rng: np.random.Generator, *, count: int, side_px: int, colour: bool
) -> list[Sprite]:
    """Cut parts out of images of their set.

    Args:
        kind: Which set; `full` takes whole castings, edge to edge.
        split: Which half.
        rng: Chooses the images.
        count: How many parts there are to choose from.
        side_px: The longer side of a part's image in the frame.
        colour: Whether the camera has colour.
    """
    name = "casting" if kind == "full" else kind
    sprites = []
    for image in some(name, split, rng, count=count, colour=colour):
        scale = side_px / max(image.shape[:2])
        flag = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        cover = _COVERS[kind](image)
        light = cv2.resize(image, None, fx=scale, fy=scale, interpolation=flag)
        cover = cv2.resize(cover, (light.shape[1], light.shape[0]), interpolation=cv2.INTER_AREA)
        sprites.append(_finish(np.clip(light, 0, 1), cover, full=kind == "full"))
    return sprites


def exposed(sprites: list[Sprite], reflectance: float) -> list[Sprite]:
    """Return parts with a mean reflectance, so that they are neither black nor burnt out."""
    seen = [float(each.light.sum()) / each.light[0, 0].size for each in sprites]
    covered = [float((each.keep < 0.5).sum()) for each in sprites]
    factor = np.float32(reflectance * sum(covered) / sum(seen))
    return [Sprite(each.light * factor, each.keep) for each in sprites]


def make_hand(side_px: int, rng: np.random.Generator, *, colour: bool) -> Sprite:
    """Draw a hand on an arm that comes from the left."""
    arm = 3 * side_px
    cover = np.zeros((side_px, arm + side_px), np.float32)
    middle = side_px // 2
    cv2.line(cover, (0, middle), (arm, middle), (1.0,), side_px // 3, cv2.LINE_AA)
    cv2.circle(cover, (arm + side_px // 4, middle), side_px // 3, (1.0,), -1, cv2.LINE_AA)
    for angle in (-0.5, -0.2, 0.1, 0.4):
        tip = (arm + int(0.9 * side_px), int(middle + angle * side_px * 0.7))
        start = (arm + side_px // 3, middle + int(angle * side_px * 0.4))
        cv2.line(cover, start, tip, (1.0,), side_px // 9, cv2.LINE_AA)
    skin = np.array([0.22, 0.30, 0.48], np.float32) * np.float32(rng.uniform(0.5, 1.3))
    light = np.ones((*cover.shape, 3), np.float32) * skin
    return _finish(light if colour else light.mean(axis=2), cover, full=False)


def make_web(
    width: int, height: int, split: Split, rng: np.random.Generator, *, colour: bool
) -> list[Sprite]:
    """Join tiles to strips, as a web that runs through; each strip is a lot."""
    strips = []
    for _ in range(3):
        tiles = some("mtd", split, rng, count=8, colour=colour)
        pieces = []
        for tile in tiles:
            wide = max(24, round(tile.shape[1] * (height + 2 * PAD) / tile.shape[0]))
            piece = cv2.resize(tile, (wide, height + 2 * PAD), interpolation=cv2.INTER_AREA)
            pieces.append(piece * np.float32(0.25 / (float(piece.mean()) + 1e-3)))
        strip = np.concatenate(pieces, axis=1)
        times = int(np.ceil(2.5 * width / strip.shape[1]))
        strip = np.clip(np.concatenate([strip] * max(1, times), axis=1), 0.0, 0.95)
        strips.append(Sprite(strip.astype(np.float32), np.zeros(strip.shape[:2], np.float32)))
    return strips


def _finish(light: Linear, cover: Linear, *, full: bool) -> Sprite:
    if full:
        return Sprite(light.astype(np.float32), np.zeros(light.shape[:2], np.float32))
    border = (PAD, PAD, PAD, PAD)
    cover = cv2.copyMakeBorder(cover, *border, cv2.BORDER_CONSTANT, value=0)
    light = cv2.copyMakeBorder(light, *border, cv2.BORDER_REPLICATE)
    cover = cv2.GaussianBlur(np.clip(cover, 0, 1), (0, 0), 0.7)
    shadow = cv2.GaussianBlur(cover, (0, 0), PAD / 3.5)
    weight = cover if light.ndim == 2 else cover[..., np.newaxis]
    keep = (1.0 - cover) * (1.0 - _SHADOW * shadow)
    keep[0, :] = keep[-1, :] = keep[:, 0] = keep[:, -1] = 1.0
    return Sprite((light * weight).astype(np.float32), keep.astype(np.float32))


def _grey(image: Linear) -> Linear:
    return image if image.ndim == 2 else image.mean(axis=2).astype(np.float32)


def _disc(image: Linear) -> Linear:
    height, width = image.shape[:2]
    cover = np.zeros((height, width), np.float32)
    cv2.circle(cover, (width // 2, height // 2), int(0.46 * height), (1.0,), -1, cv2.LINE_AA)
    return cover


def _full(image: Linear) -> Linear:
    return np.ones(image.shape[:2], np.float32)


def _differing(image: Linear) -> Linear:
    """Return what differs from the bright ground, without its holes, as a mask."""
    grey = _grey(image)
    ground = cv2.blur(cv2.dilate(grey, np.ones((81, 81), np.uint8)), (61, 61))
    away = ground - grey
    if image.ndim == 3:
        away = np.maximum(away, image.max(axis=2) - image.min(axis=2))
    mask: Linear = (away > 0.3 * ground).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    mask = cv2.erode(mask, np.ones((3, 3), np.uint8))
    count, labels, figures, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return _disc(image)
    largest = 1 + int(np.argmax(figures[1:, cv2.CC_STAT_AREA]))
    return np.asarray(labels == largest, np.float32)


_COVERS = {"casting": _disc, "screw": _differing, "aliens": _differing, "full": _full}
