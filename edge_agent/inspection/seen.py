"""What was seen in a part: the values that inspection hands on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.camera.frame import Image
from edge_agent.camera.roi import Roi

Map = npt.NDArray[np.float32]
"""Rows x columns; higher is worse."""


class Box(msgspec.Struct, frozen=True):
    """A rectangle in shares of an image's width and height."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def of(cls, roi: Roi) -> Box:
        """Return a region of interest as a box."""
        return cls(roi.x, roi.y, roi.width, roi.height)

    def within(self, outer: Box) -> Box:
        """Return this box, which is in shares of another, in shares of what that one lies in."""
        return Box(
            outer.x + self.x * outer.width,
            outer.y + self.y * outer.height,
            self.width * outer.width,
            self.height * outer.height,
        )

    def pixels(self, shape: Sequence[int]) -> tuple[int, int, int, int]:
        """Return x0, y0, x1, y1 in pixels of an image of this shape; inside it and never empty."""
        height, width = shape[:2]
        x0 = min(max(round(self.x * width), 0), width - 1)
        y0 = min(max(round(self.y * height), 0), height - 1)
        x1 = min(max(round((self.x + self.width) * width), x0 + 1), width)
        y1 = min(max(round((self.y + self.height) * height), y0 + 1), height)
        return x0, y0, x1, y1

    def crop(self, image: Image) -> Image:
        """Return the view of an image that lies in the box; no pixel is copied."""
        x0, y0, x1, y1 = self.pixels(image.shape)
        return image[y0:y1, x0:x1]


WHOLE = Box(0.0, 0.0, 1.0, 1.0)


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a stage found.

    Attributes:
        stage: Which found it.
        label: What it is.
        score: Higher is worse; 0 where it is not bad.
        confidence: How sure the model is of the label; 0 where it gives none.
        box: Where, in shares of the frame; None for the whole of it.
    """

    stage: str = ""
    label: str = ""
    score: float = 0.0
    confidence: float = 0.0
    box: Box | None = None


class Inspection(msgspec.Struct, frozen=True):
    """What one model saw in one image.

    Attributes:
        score: Higher is worse.
        map: Where that comes from; None where the model does not say.
        preprocess_ns: Time of crop and resize.
        inference_ns: Time in the engine.
        region: What of the image the map covers.
        findings: What was found, the surest first; boxes in shares of the image.
        confidences: The best of each label.
    """

    score: float
    map: Map | None
    preprocess_ns: int
    inference_ns: int
    region: Box = WHOLE
    findings: tuple[Finding, ...] = ()
    confidences: dict[str, float] = {}


class PlacedMap(msgspec.Struct, frozen=True):
    """A map, and what of the frame it covers."""

    map: Map
    region: Box


class StageSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What one stage saw in one part.

    Attributes:
        name: Of the stage.
        score: Higher is worse; the largest, where it looked at several boxes.
        findings: What was found; boxes in shares of the frame.
        confidences: The best of each label.
        maps: One for each place that it looked at, where the model gives one.
        preprocess_ns: Time of crop and resize.
        inference_ns: Time in the engine.
        took_ns: Time of the stage.
    """

    name: str
    score: float
    findings: tuple[Finding, ...] = ()
    confidences: dict[str, float] = {}
    maps: tuple[PlacedMap, ...] = ()
    preprocess_ns: int = 0
    inference_ns: int = 0
    took_ns: int = 0


class Skip(msgspec.Struct, frozen=True):
    """Why a stage did not look: a rule said so, or there was no box to look at."""

    kind: Literal["rule", "no_box"]
    text: str


class Stop(msgspec.Struct, frozen=True):
    """Why a part was not looked at to the end: an engine failed, or no time was left."""

    kind: Literal["engine", "late"]
    stage: str
    text: str


class PartSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What all stages saw in one part.

    Attributes:
        stages: Those that looked, in order.
        skipped: Why others did not, by their names.
        stop: Why it ended early; None if it did not.
    """

    stages: tuple[StageSeen, ...]
    skipped: dict[str, Skip] = {}
    stop: Stop | None = None

    @property
    def scores(self) -> dict[str, float]:
        """The score of each stage that looked; higher is worse."""
        return {stage.name: stage.score for stage in self.stages}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What all stages found, in their order."""
        return tuple(finding for stage in self.stages for finding in stage.findings)

    @property
    def preprocess_ns(self) -> int:
        """Time of crop and resize, of all stages."""
        return sum(stage.preprocess_ns for stage in self.stages)

    @property
    def inference_ns(self) -> int:
        """Time in the engines, of all stages."""
        return sum(stage.inference_ns for stage in self.stages)
