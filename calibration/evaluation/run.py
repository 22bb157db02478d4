"""Judge every image of a set with a bundle, as a station would."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from calibration.evaluation.metrics import Scores
from calibration.evaluation.pixels import (
    SIDE,
    PixelCounts,
    bin_edges,
    count_pixels,
    grid_shape,
    shrink_mask,
    spread_map,
)
from calibration.evaluation.sets import GOOD, ImageSet, Item
from edge_agent.camera.images import read_image
from edge_agent.decision.verdict import Cause, Thresholds, Verdict, judge_part, worst_stage
from edge_agent.errors import ImageError, UsageError
from edge_agent.inspection.spec import Classify
from edge_agent.lighting import LightLevel, LightWatch
from edge_agent.rollout.live import make_live

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from calibration.evaluation.pixels import Mask
    from edge_agent.camera.frame import Image
    from edge_agent.inspection.engines import EngineSettings
    from edge_agent.inspection.seen import Box, Map, PartSeen, PlacedMap
    from edge_agent.inspection.spec import Stage
    from edge_agent.rollout.bundle import Bundle
    from edge_agent.rollout.live import LiveModel


class Seen(msgspec.Struct, frozen=True):
    """How one image came out.

    Attributes:
        item: The image.
        verdict: At the bundle's thresholds, in its light.
        score: Higher is worse; None where the model gave none, or not a number.
        cause: Why it is `invalid`, in words; empty if it is not.
        hindrance: The same in one word: `brightness`, `no_score`, ...
        labels: What each classifier took it for, by stage; of several boxes, the worst one.
    """

    item: Item
    verdict: Verdict
    score: float | None
    cause: str = ""
    hindrance: str = ""
    labels: dict[str, str] = {}

    @property
    def is_good(self) -> bool:
        """Whether the part is a good one."""
        return self.item.kind == GOOD

    @property
    def is_right(self) -> bool:
        """Whether a good part is `ok`, or a defective one is not."""
        return (self.verdict is Verdict.OK) == self.is_good


class LeftOut(msgspec.Struct, frozen=True):
    """A file that could not be used, and why."""

    path: str
    reason: str


class Run(msgspec.Struct, frozen=True):
    """All that a bundle made of a set.

    Attributes:
        bundle: The bundle.
        engine: What ran its model.
        watched: Whether the light was held against the bundle's baseline.
        seen: The images that could be read, in the order of the set.
        left_out: Images and masks that could not.
        resized_masks: Masks of another size than their image, made to fit.
        empty_masks: Masks without a defect in them, not used.
        good_pixels: Cells of good images by score; empty where there are no masks.
        bad_pixels: Cells of defective images with a mask.
        per_part_ms: Median time from the decoded image to the verdict.
    """

    bundle: Bundle
    engine: str
    watched: bool
    seen: tuple[Seen, ...]
    left_out: tuple[LeftOut, ...]
    resized_masks: int
    empty_masks: int
    good_pixels: tuple[PixelCounts, ...]
    bad_pixels: tuple[PixelCounts, ...]
    per_part_ms: float

    @property
    def scores(self) -> Scores:
        """The scores of all images that have one."""
        return scores_of(self.seen)


def scores_of(seen: Sequence[Seen]) -> Scores:
    """Return the scores of images that have one."""
    good = [each.score for each in seen if each.score is not None and each.is_good]
    bad = [each.score for each in seen if each.score is not None and not each.is_good]
    return Scores(np.array(good, np.float64), np.array(bad, np.float64))


def limits_of(thresholds: Mapping[str, Thresholds]) -> Thresholds:
    """Return what a part's one score is held against; see `score_of`."""
    each = list(thresholds.values())
    return each[0] if len(each) == 1 else Thresholds(min(t.review / t.ng for t in each), 1.0)


def score_of(seen: PartSeen, thresholds: Mapping[str, Thresholds]) -> float | None:
    """Return one score of a part: that of the stage that decides.

    Where several decide it is the largest share of its `ng` threshold that one of them reaches; 0
    where rules left all of them out. None where none looked, or a score is not a number.
    """
    name = worst_stage(seen.scores, thresholds)
    if not name:
        by_rule = [each.kind == "rule" for each in seen.skipped.values()]
        return 0.0 if by_rule and all(by_rule) else None
    score = seen.scores[name] if len(thresholds) == 1 else seen.scores[name] / thresholds[name].ng
    return score if math.isfinite(score) else None


def labels_of(seen: PartSeen, stages: Sequence[Stage]) -> dict[str, str]:
    """Return what each classifier that looked took a part for.

    Of the labels at several boxes it is that with the highest score, the surest of those.
    """
    sorting = {stage.name for stage in stages if isinstance(stage.task, Classify)}
    return {
        stage.name: max(stage.findings, key=lambda each: (each.score, each.confidence)).label
        for stage in seen.stages
        if stage.name in sorting and stage.findings
    }


def evaluate_set(
    bundle: Bundle,
    images: ImageSet,
    engine: str,
    settings: EngineSettings,
    *,
    watch: bool,
    advance: Callable[[], None],
) -> Run:
    """Judge every image of a set.

    Args:
        bundle: The bundle.
        images: The set.
        engine: An engine's name, or `auto`.
        settings: How to run it.
        watch: Hold the light against the bundle's baseline, if it brings one.
        advance: Called after each image.

    Raises:
        BundleError: The bundle cannot be run.
        UsageError: No good, or no defective image could be judged.
    """
    watched = watch and bool(bundle.manifest.baseline)
    model = make_live(bundle, engine, settings, watch=watched)
    work = _Work(model, with_maps=images.has_masks)
    for item in images.items:
        work.add(item)
        advance()
    model.pipeline.close()
    scores = scores_of(work.seen)
    for what, values in (("good", scores.good), ("defective", scores.bad)):
        if not len(values):
            reason = f"; {work.left_out[0].reason}" if work.left_out else ""
            raise UsageError(f"{images.folder}: no image of a {what} part could be scored{reason}")
    good, bad = work.count()
    return Run(
        bundle,
        model.pipeline.engine,
        watched,
        tuple(work.seen),
        tuple(work.left_out),
        work.resized_masks,
        work.empty_masks,
        good,
        bad,
        round(float(np.median(work.times_ms)), 3),
    )


class _Work:
    """What has been seen so far. Maps are kept as small as the model gives them."""

    def __init__(self, model: LiveModel, *, with_maps: bool) -> None:
        self.seen: list[Seen] = []
        self.left_out: list[LeftOut] = []
        self.resized_masks = 0
        self.empty_masks = 0
        self.times_ms: list[float] = []
        self._model = model
        self._watch = LightWatch(model.baseline) if model.baseline else None
        self._with_maps = with_maps
        self._maps: list[tuple[Map, Box, Mask | None, tuple[int, int]]] = []

    def add(self, item: Item) -> None:
        """Judge one image."""
        try:
            image = read_image(item.path)
        except ImageError as error:
            self.left_out.append(LeftOut(str(item.path), str(error)))
            return
        begin = time.perf_counter_ns()
        # Each image for itself: what follows what in a folder is no course of time.
        light = self._watch.glance(image) if self._watch else None
        causes = light.causes if light and light.level is LightLevel.INVALID else ()
        seen = self._model.pipeline.inspect(image)
        if seen.stop is not None:
            self.seen.append(Seen(item, Verdict.INVALID, None, seen.stop.text, seen.stop.kind))
            return
        thresholds = self._model.thresholds
        hindrances = [Cause(cause.kind, cause.text, cause.size, cause.unit) for cause in causes]
        decision = judge_part(seen.scores, thresholds, skipped=seen.skipped, hindrances=hindrances)
        self.times_ms.append((time.perf_counter_ns() - begin) / 1e6)
        known = score_of(seen, thresholds)
        first = decision.causes[0] if decision.causes else Cause("", "")
        labels = labels_of(seen, self._model.pipeline.stages)
        self.seen.append(Seen(item, decision.verdict, known, first.text, first.kind, labels))
        maps = [each for stage in seen.stages for each in stage.maps if stage.name in thresholds]
        if self._with_maps and known is not None and len(maps) == 1:
            self._keep(item, image, maps[0])

    def count(self) -> tuple[tuple[PixelCounts, ...], tuple[PixelCounts, ...]]:
        """Count the cells of good images, and of defective ones that have a mask."""
        groups: tuple[list[PixelCounts], list[PixelCounts]] = ([], [])
        if any(mask is not None for _, _, mask, _ in self._maps):
            edges = bin_edges([each for each, _, _, _ in self._maps])
            for anomaly_map, region, mask, shape in self._maps:
                grid = spread_map(anomaly_map, region, *shape)
                groups[mask is not None].append(count_pixels(grid, mask, edges))
        return tuple(groups[0]), tuple(groups[1])

    def _keep(self, item: Item, image: Image, placed: PlacedMap) -> None:
        shape = grid_shape(*image.shape[:2])
        mask = self._read_mask(item.mask, image, shape) if item.mask else None
        if mask is None and item.kind != GOOD:
            return
        shrunk = _at_most(placed.map, SIDE)
        self._maps.append((shrunk, placed.region, mask, shape))

    def _read_mask(self, file: Path, image: Image, shape: tuple[int, int]) -> Mask | None:
        import cv2  # noqa: PLC0415 - heavy

        try:
            drawn = read_image(file)
        except ImageError as error:
            self.left_out.append(LeftOut(str(file), str(error)))
            return None
        if drawn.ndim == 3:
            drawn = drawn.max(axis=2)
        height, width = image.shape[:2]
        if drawn.shape != (height, width):
            self.resized_masks += 1
            resized = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_NEAREST)
            drawn = resized.astype(np.uint8, copy=False)
        if not drawn.any():
            self.empty_masks += 1
            return None
        # White is defect; some sets draw with 1 instead of 255.
        return shrink_mask(drawn > drawn.max() / 2, *shape)


def _at_most(anomaly_map: Map, side: int) -> Map:
    """Shrink a map that is larger than the grid; copy one that is not."""
    import cv2  # noqa: PLC0415 - heavy

    height, width = anomaly_map.shape
    shrink = max(height, width) / side
    if shrink <= 1.0:
        return anomaly_map.copy()
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    return cv2.resize(anomaly_map, size, interpolation=cv2.INTER_AREA).astype(np.float32)
