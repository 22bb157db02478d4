"""Pictures to calibrate the int8 trunk on: drawn, so that nobody's photographs ship in its ranges.

Their statistics are those of natural images where it matters to ranges: occluding objects of all
sizes ("dead leaves": Lee, Mumford and Huang, IJCV 41, 2001), a 1/f spectrum, light that falls off
across the frame, grain, and both ends of the scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.camera.frame import Image

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def pictures(count: int, size: int, *, seed: int) -> Iterator[Image]:
    """Draw `count` pictures of (size, size, 3), uint8.

    The first is black and white, so that the ends of the scale are always in it.
    """
    rng = np.random.default_rng(seed)
    board = np.indices((size, size)).sum(axis=0) // (size // 4) % 2 * 255
    yield np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8)
    kinds = (_leaves, _clouds, _leaves, _machined)
    for index in range(1, count):
        picture = _lit(kinds[index % len(kinds)](rng, size), rng)
        yield np.clip(picture + rng.normal(0, rng.uniform(0, 6), picture.shape), 0, 255).astype(
            np.uint8
        )


def _leaves(rng: np.random.Generator, size: int) -> Floats:
    """Draw discs and boxes of all sizes over each other, each with its own shade."""
    out = np.full((size, size, 3), rng.uniform(0, 255), np.uint8)
    grey = rng.random() < 0.4
    for radius in np.sort(size / 2 / rng.pareto(1.2, 250).clip(1, size))[::-1]:
        colour = rng.uniform(0, 255, 3)
        colour = np.repeat(colour[:1], 3) if grey else colour
        centre = rng.integers(0, size, 2)
        if rng.random() < 0.5:
            cv2.circle(out, centre.tolist(), int(radius), colour.tolist(), -1, cv2.LINE_AA)
        else:
            box = cv2.boxPoints((centre.tolist(), (2 * radius, radius), rng.uniform(0, 180)))
            cv2.fillPoly(out, [box.astype(np.int32)], colour.tolist(), cv2.LINE_AA)
    return out.astype(np.float64)


def _clouds(rng: np.random.Generator, size: int) -> Floats:
    """Draw noise with a 1/f spectrum: rough castings, cloth, wood."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    frequency[0, 0] = 1
    slope = rng.uniform(0.7, 1.6)
    planes = []
    for _ in range(3):
        wave = np.fft.fft2(rng.normal(size=(size, size))) / frequency**slope
        plane = np.fft.ifft2(wave).real
        planes.append((plane - plane.mean()) / plane.std())
    colour = rng.uniform(0, 0.6)
    mixed = np.stack([planes[0] + colour * plane for plane in planes], axis=2)
    return rng.uniform(60, 190) + rng.uniform(15, 60) * mixed


def _machined(rng: np.random.Generator, size: int) -> Floats:
    """Draw a bright part with holes, edges and tool marks on a plain ground."""
    out = np.full((size, size, 3), rng.uniform(10, 240), np.uint8)
    middle = (rng.uniform(0.4, 0.6, 2) * size).astype(int).tolist()
    radius = int(rng.uniform(0.25, 0.48) * size)
    shade = rng.uniform(30, 250)
    tint = (shade + rng.uniform(-12, 12, 3)).tolist()
    cv2.circle(out, middle, radius, tint, -1, cv2.LINE_AA)
    for ring in rng.uniform(0.2, 1, 6):
        edge = [float(shade + rng.uniform(-60, 60))] * 3
        cv2.circle(out, middle, int(ring * radius), edge, int(rng.integers(1, 6)), cv2.LINE_AA)
    for angle in np.linspace(0, 2 * np.pi, int(rng.integers(3, 9)), endpoint=False):
        hole = (middle + 0.7 * radius * np.array([np.cos(angle), np.sin(angle)])).astype(int)
        cv2.circle(out, hole.tolist(), int(0.1 * radius), [20.0] * 3, -1, cv2.LINE_AA)
    marks = rng.normal(0, rng.uniform(0, 8), (size, 1, 1))
    return out + marks


def _lit(picture: Floats, rng: np.random.Generator) -> Floats:
    """Let light fall off across a picture, and give it a level."""
    size = picture.shape[0]
    across, down = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    fall = 1 + rng.uniform(-0.3, 0.3) * across + rng.uniform(-0.3, 0.3) * down
    return picture * (fall * rng.uniform(0.5, 1.3))[:, :, None]
