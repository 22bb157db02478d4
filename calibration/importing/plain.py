"""Models that say nothing of themselves (timm, torchvision, others): told by their shapes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from calibration.importing import inside, layouts, surgery, tasks
from calibration.importing import labels as naming
from calibration.importing.facts import IMAGENET, Given, Normalisation, Reading
from edge_agent.errors import UsageError
from edge_agent.inspection.spec import Activation, Anomaly, Thresholds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    import onnx

    Seen = Mapping[str, npt.NDArray[Any]]


def read(model: onnx.ModelProto, meta: Mapping[str, str], seen: Seen, given: Given) -> Reading:
    """Read what a model is, from its shapes and what was given.

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
        how = inside.activation(model, layout.main, _rows(floats[layout.main]))
        if layout.classes == 1:
            outputs, how = {_two_classes(model, layout.main, how): layout.main}, "none"
        labels, notes = tasks.label_all(given, own, max(layout.classes, 2))
        described, more = tasks.classify(given, labels, how)
    elif layout.form in {"first", "last"}:
        values = floats[layout.main]
        values = values if layout.form == "first" else values.transpose(0, 3, 1, 2)
        labels, notes = tasks.label_all(given, own, layout.classes)
        how = inside.activation(model, layout.main, values)
        described, more = tasks.segment(given, labels, how, values[0, 0].size)
    else:
        labels, notes = tasks.label_all(
            given, own, layout.classes or len(given.labels or own) or _unknown(shapes)
        )
        make = tasks.segment_boxes if layout.task == "segment" else tasks.detect
        described, more = make(given, labels, "end2end" if layout.form == "end2end" else "yolo")
    return _reading(
        model, meta, given, described, outputs, thresholds=limits, notes=(*notes, *more)
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


def _two_classes(model: onnx.ModelProto, output: str, how: Activation) -> str:
    """Make two probabilities of one: that of the second class is what the model gives."""
    if how != "none":
        output = surgery.append(model, "Sigmoid", [output])
    flat = surgery.append(
        model, "Reshape", [output, surgery.constant(model, np.array([-1, 1], np.int64))]
    )
    other = surgery.append(model, "Sub", [surgery.constant(model, np.float32(1.0)), flat])
    return surgery.append(model, "Concat", [other, flat], axis=1)


def _unknown(shapes: Mapping[str, tuple[int, ...]]) -> int:
    raise UsageError(
        f"the model gives {layouts.say(shapes)}: neither that nor the file says how many classes "
        "it has: give --labels"
    )


def _reading(
    model: onnx.ModelProto,
    meta: Mapping[str, str],
    given: Given,
    task: Any,
    outputs: dict[str, str],
    *,
    thresholds: Thresholds | None,
    notes: Sequence[str],
) -> Reading:
    own = inside.normalisation(model)
    told = list(notes)
    normalisation = given.normalisation(IMAGENET if own is None else own)
    colour = surgery.input_of(model).channels == 3
    if not given.says_normalisation and surgery.input_of(model).dtype != "uint8":
        what = "taken for that of ImageNet" if own is None else "partly in the graph; before it"
        told.append(
            f"Normalisation: the file does not say it: {what}: {normalisation}; --scale, --mean "
            "and --std say it otherwise."
        )
    if not colour and own is None and not given.says_normalisation:
        normalisation = given.normalisation(grey_of(IMAGENET))
    return Reading(
        source=" ".join((model.producer_name or "unknown", model.producer_version)).strip(),
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
