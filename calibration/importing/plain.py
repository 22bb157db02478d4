"""Models that say nothing of themselves (timm, torchvision, others): told by their shapes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from calibration.importing import labels as naming
from calibration.importing import layouts, tasks
from calibration.importing.facts import IMAGENET, PLAIN, Given, Inner, Normalisation, Reading
from edge_agent.errors import UsageError
from edge_agent.inspection.spec import Anomaly, Thresholds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Seen = Mapping[str, npt.NDArray[Any]]


def read(inner: Inner, meta: Mapping[str, str], seen: Seen, given: Given) -> Reading:
    """Read what a model is, from its shapes and what was given.

    Args:
        inner: What the graph tells.
        meta: Its metadata.
        seen: What it gave for noise, by output.
        given: What a person says.

    Raises:
        UsageError: Its outputs have no known layout, or not that of the task given.
    """
    floats = {name: value for name, value in seen.items() if value.dtype.kind == "f"}
    shapes = {name: value.shape for name, value in floats.items()}
    if not shapes:
        raise UsageError(
            f"the model gives {layouts.say({name: value.shape for name, value in seen.items()})}, "
            "whole numbers: they say what won, not by how much: export it without its last step "
            "(argmax, or a threshold)"
        )
    own = naming.of(meta)
    layout = layouts.tell(shapes, given.task, len(given.labels or own))
    outputs = {name: name for name in (layout.main, layout.also) if name}
    described: Any
    notes: list[str] = []
    more: list[str] = []
    limits: Thresholds | None = Thresholds(review=0.25, ng=0.5)
    if layout.task == "anomaly":
        described, limits = _anomaly(shapes[layout.main]), None
        outputs = _named(shapes, layout)
    elif layout.task == "classify":
        how = inner.activation(layout.main, _rows(floats[layout.main]))
        labels, notes = tasks.label_all(given, own, max(layout.classes, 2))
        described, more = tasks.classify(given, labels, how)
    elif layout.form in {"first", "last"}:
        values = floats[layout.main]
        values = values if layout.form == "first" else values.transpose(0, 3, 1, 2)
        labels, notes = tasks.label_all(given, own, layout.classes)
        how = inner.activation(layout.main, values)
        described, more = tasks.segment(given, labels, how, values[0, 0].size)
    else:
        labels, notes = tasks.label_all(
            given, own, layout.classes or len(given.labels or own) or _unknown(shapes)
        )
        make = tasks.segment_boxes if layout.task == "segment" else tasks.detect
        described, more = make(given, labels, "end2end" if layout.form == "end2end" else "yolo")
    return _reading(
        inner, meta, given, described, outputs, thresholds=limits, notes=[*notes, *more]
    )


def _anomaly(shape: tuple[int, ...]) -> Anomaly:
    cells = math.prod(shape[1:])
    return Anomaly(tasks.top_of(cells))


def _named(shapes: Mapping[str, tuple[int, ...]], layout: layouts.Layout) -> dict[str, str]:
    """Name the outputs of an anomaly model."""
    names = [name for name in (layout.main, layout.also) if name]
    return {name: tasks.MAP if math.prod(shapes[name][1:]) > 1 else tasks.SCORE for name in names}


def _rows(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.reshape(len(values), -1)


def _unknown(shapes: Mapping[str, tuple[int, ...]]) -> int:
    raise UsageError(
        f"the model gives {layouts.say(shapes)}: neither that nor the file says how many classes "
        "it has: give --labels"
    )


def _reading(
    inner: Inner,
    meta: Mapping[str, str],
    given: Given,
    task: Any,
    outputs: dict[str, str],
    *,
    thresholds: Thresholds | None,
    notes: Sequence[str],
) -> Reading:
    told = list(notes)
    colour = inner.channels == 3
    usual = inner.own or (IMAGENET if colour else grey_of(IMAGENET))
    normalisation = PLAIN if inner.pixels else given.normalisation(usual)
    if inner.pixels and given.says_normalisation:
        told.append("--scale, --mean and --std: the model takes pixels as they are: not used.")
    if not inner.pixels and not given.says_normalisation:
        what = f"taken for that of ImageNet, {normalisation}"
        if inner.own is not None:
            what = f"taken from its first steps, {normalisation}"
        told.append(
            f"The file does not say its normalisation: {what}; --scale, --mean and --std say it "
            "otherwise."
        )
    return Reading(
        source=inner.maker,
        task=task,
        order=given.order or ("RGB" if colour else "GREY"),
        fit=given.fit or "stretch",
        normalisation=normalisation,
        outputs=outputs,
        thresholds=thresholds,
        notes=tuple(told),
        facts={key: value[:200] for key, value in meta.items()},
    )


def grey_of(normalisation: Normalisation) -> Normalisation:
    """Return a normalisation of colour for a grey input: the mean of its channels."""
    return msgspec.structs.replace(
        normalisation,
        mean=(sum(normalisation.mean) / len(normalisation.mean),),
        std=(sum(normalisation.std) / len(normalisation.std),),
    )
