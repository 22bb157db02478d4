"""Models of every task, so small that a test can make hundreds of them, and real all the same.

Each looks at its picture's channels: blue, green and red are the three classes, and a bright pixel
of a colour is a thing of that class. A point's box is `REACH` pixels wide and lies around it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_agent.camera.frame import Image
from edge_agent.inspection.spec import (
    Classify,
    Detect,
    Input,
    Segment,
    Source,
    Stage,
    Thresholds,
)
from edge_agent.rollout.bundle import Manifest, Sample
from tests.tiny import png, tiny_onnx, tiny_sample, tiny_stage

SIDE = 16
REACH = 4.0
LABELS = ("blue", "green", "red")
POINTS = SIDE * SIDE
SHAPE = (1, SIDE, SIDE, 3)
MASKS = 2


def build(nodes: list[onnx.NodeProto], outputs: dict[str, list[int]], **constants: Any) -> bytes:
    """Make a model of nodes that begin at `shares`: the picture as float32, 0 to 1, NCHW."""
    constants["full"] = np.float32(255.0)
    head = [
        helper.make_node("Cast", ["pixels"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["cast", "full"], ["last"]),
        helper.make_node("Transpose", ["last"], ["shares"], perm=[0, 3, 1, 2]),
    ]
    graph = helper.make_graph(
        [*head, *nodes],
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, list(SHAPE))],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def classifier() -> bytes:
    """Make a classifier: the logits are ten times the mean of each channel."""
    nodes = [
        helper.make_node("ReduceMean", ["shares", "sides"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "ten"], ["logits"]),
    ]
    return build(nodes, {"logits": [1, 3]}, sides=np.array([2, 3]), ten=np.float32(10.0))


def _boxes() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return centre x, centre y, width, height of each point's box: float32 (1, 4, points)."""
    rows, columns = np.divmod(np.arange(POINTS), SIDE)
    size = np.full(POINTS, REACH)
    return np.stack([columns + 0.5, rows + 0.5, size, size])[np.newaxis].astype(np.float32)


def detector(*, masks: bool = False) -> bytes:
    """Make a detector of layout `yolo`; with masks, the prototypes are the brightness."""
    nodes = [
        helper.make_node("Reshape", ["shares", "flat"], ["classes"]),
        helper.make_node("Concat", ["boxes", "classes"], ["found"], axis=1),
    ]
    outputs = {"found": [1, 7, POINTS]}
    constants: dict[str, Any] = {"flat": np.array([1, 3, POINTS]), "boxes": _boxes()}
    if masks:
        nodes = [
            nodes[0],
            helper.make_node("Concat", ["boxes", "classes", "masks"], ["found"], axis=1),
            helper.make_node("ReduceMax", ["shares", "one"], ["bright"], keepdims=1),
            helper.make_node("Sub", ["bright", "half"], ["centred"]),
            helper.make_node("Mul", ["centred", "ten"], ["strong"]),
            helper.make_node("Concat", ["strong", "strong"], ["prototypes"], axis=1),
        ]
        constants |= {
            "masks": np.ones((1, MASKS, POINTS), np.float32),
            "one": np.array([1]), "half": np.float32(0.5), "ten": np.float32(10.0),
        }  # fmt: skip
        outputs = {"found": [1, 7 + MASKS, POINTS], "prototypes": [1, MASKS, SIDE, SIDE]}
    return build(nodes, outputs, **constants)


def chooser() -> bytes:
    """Make a detector of layout `end2end`: the eight brightest points, as corners."""
    boxes = _boxes()[0].T
    corners = np.concatenate(
        [boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1
    )
    nodes = [
        helper.make_node("Reshape", ["shares", "flat"], ["classes"]),
        helper.make_node("ReduceMax", ["classes", "one"], ["most"], keepdims=0),
        helper.make_node("ArgMax", ["classes"], ["which"], axis=1, keepdims=0),
        helper.make_node("TopK", ["most", "eight"], ["best", "places"], axis=1),
        helper.make_node("Squeeze", ["places", "zero"], ["at"]),
        helper.make_node("Gather", ["corners", "at"], ["rows"], axis=0),
        helper.make_node("Squeeze", ["best", "zero"], ["sure"]),
        helper.make_node("Unsqueeze", ["sure", "one"], ["sure_column"]),
        helper.make_node("Squeeze", ["which", "zero"], ["numbers"]),
        helper.make_node("Gather", ["numbers", "at"], ["number"], axis=0),
        helper.make_node("Cast", ["number"], ["number_float"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["number_float", "one"], ["number_column"]),
        helper.make_node("Concat", ["rows", "sure_column", "number_column"], ["table"], axis=1),
        helper.make_node("Unsqueeze", ["table", "zero"], ["found"]),
    ]
    return build(
        nodes, {"found": [1, 8, 6]}, flat=np.array([1, 3, POINTS]), one=np.array([1]),
        zero=np.array([0]), eight=np.array([8]), corners=corners.astype(np.float32),
    )  # fmt: skip


def painter(*, classes_last: bool = False) -> bytes:
    """Make a semantic segmentation: the channels are the probabilities."""
    source = "last" if classes_last else "shares"
    shape = [1, SIDE, SIDE, 3] if classes_last else [1, 3, SIDE, SIDE]
    return build([helper.make_node("Identity", [source], ["classes"])], {"classes": shape})


def scorer() -> bytes:
    """Make an anomaly model that gives only a score: ten times the brightest value."""
    nodes = [
        helper.make_node("ReduceMax", ["shares", "all"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "ten"], ["score"]),
    ]
    return build(nodes, {"score": []}, all=np.array([0, 1, 2, 3]), ten=np.float32(10.0))


VIEW = Input(height=SIDE, width=SIDE)
CLASSIFY = Classify(labels=LABELS, good=("green",), activation="softmax")
DETECT = Detect(labels=LABELS, defects=("red",), expected={"green": 1}, layout="yolo")
SEGMENT = Segment(labels=LABELS, defects=("red",), layout="semantic", top=4)


def dark(height: int = 64, width: int = 64) -> Image:
    """Draw a dark picture."""
    return np.full((height, width, 3), 10, np.uint8)


def spot(image: Image, label: str, x: float, y: float, size: float = 0.2, level: int = 240) -> None:
    """Draw a square of a colour around a place, all in shares of the picture."""
    height, width = image.shape[:2]
    half = size / 2
    x0, x1 = round((x - half) * width), round((x + half) * width)
    y0, y1 = round((y - half) * height), round((y + half) * height)
    image[max(y0, 0) : y1, max(x0, 0) : x1, LABELS.index(label)] = level


def locate_then_inspect(**changes: Any) -> tuple[Stage, Stage]:
    """Describe two stages: find green things, then see whether each has anything bright in it."""
    locate = Stage(
        name="locate",
        task=Detect(labels=LABELS, layout="yolo", confidence=0.5, overlap=0.1),
        models={"onnx": "locate.onnx"},
        input=VIEW,
    )
    given: dict[str, Any] = {
        "name": "inspect",
        "models": {"onnx": "inspect.onnx"},
        "input": Input(height=8, width=8),
        "thresholds": Thresholds(242.0, 250.0),
        "source": Source(stage="locate", labels=("green",), margin=0.0),
    }
    return locate, tiny_stage(**(given | changes))


def two_stage_files() -> dict[str, bytes]:
    """Return the members of a bundle with `locate_then_inspect` and two samples."""
    good, bad = dark(), dark()
    spot(good, "green", 0.5, 0.5)
    spot(bad, "green", 0.5, 0.5, level=255)
    return {
        "locate.onnx": detector(),
        "inspect.onnx": tiny_onnx(),
        "golden.png": png(good),
        "challenge.png": png(bad),
    }


def two_stage_sample(file: str, score: float) -> Sample:
    """Describe a sample of that bundle."""
    sample = tiny_sample(file, score)
    return msgspec.structs.replace(sample, scores={"locate": 0.0, "inspect": score})


def two_stage_manifest(**changes: Any) -> Manifest:
    """Describe that bundle."""
    given: dict[str, Any] = {
        "name": "pair",
        "version": "1",
        "stages": locate_then_inspect(),
        "samples": (
            two_stage_sample("golden.png", 240.0),
            two_stage_sample("challenge.png", 255.0),
        ),
    }
    return Manifest(**(given | changes))
