"""Cut out what a bundle finds, as a stage that looks at its boxes would see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.errors import EngineError, UsageError
from edge_agent.inspection.order import enlarge, finds_boxes, places
from edge_agent.inspection.seen import WHOLE
from edge_agent.inspection.spec import Detect, Segment, Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge_agent.camera.frame import Image
    from edge_agent.inspection.pipeline import Pipeline
    from edge_agent.rollout.bundle import Bundle


def locator_of(bundle: Bundle, wanted: str, labels: Sequence[str]) -> str:
    """Return the name of the stage of a bundle that says where to look.

    Args:
        bundle: The bundle.
        wanted: The stage's name; empty for the only one that finds boxes.
        labels: That it must be able to find.

    Raises:
        UsageError: There is no such stage, none that finds boxes, more than one, or no such label.
    """
    found = {
        stage.name: stage.task.labels
        for stage in bundle.manifest.stages
        if isinstance(stage.task, Detect | Segment) and finds_boxes(stage.task)
    }
    names = ", ".join(found)
    if not found:
        raise UsageError(
            f"bundle {bundle.label} finds no boxes: give one with a detector, or a segmentation "
            "that gives boxes"
        )
    if wanted:
        found = {name: known for name, known in found.items() if name == wanted}
    if len(found) != 1:
        what = f"--stage {wanted}: no stage of this name finds boxes" if wanted else "which stage?"
        raise UsageError(f"{what}: --stage can be {names}")
    [(name, known)] = found.items()
    for label in labels:
        if label not in known:
            raise UsageError(f"--label {label}: stage {name} finds {', '.join(known[:12])}")
    return name


def cut(pipeline: Pipeline, source: Source, image: Image) -> Iterator[Image]:
    """Give what a stage with this source would look at; a view each, no pixel is copied.

    Args:
        pipeline: What finds the boxes.
        source: Which boxes, and how much around them.
        image: HxWx3 BGR or HxW grey, uint8.

    Raises:
        EngineError: An engine failed on the image.
    """
    seen = pipeline.inspect(image)
    if seen.stop is not None:
        raise EngineError(seen.stop.text)
    for stage in seen.stages:
        if stage.name == source.stage:
            for place in places(source, stage):
                yield enlarge(place.box or WHOLE, source.margin, image.shape).crop(image)
