"""Locate, count and look, on photos of real screws: a pipeline through the code of a station.

The detector is a matched filter: a screw's head is grey on warm wood, a disk within a ring.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_agent.camera.images import read_image
from edge_agent.decision.verdict import Thresholds, Verdict, judge_part
from edge_agent.inspection.engines import EngineSettings, load_engine
from edge_agent.inspection.pipeline import Pipeline
from edge_agent.inspection.spec import Anomaly, Detect, Input, Source, Stage
from edge_agent.inspection.tasks import load_task
from tests.tiny import tiny_onnx

pytestmark = pytest.mark.images

HEIGHT, WIDTH = 160, 128
REACH = 17


def _detector() -> bytes:
    """Make a detector of layout `yolo` with one class: ring minus disk in red minus blue."""
    rows, columns = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1]
    distance = np.hypot(rows, columns)
    disk, ring = distance <= 7.5, (distance >= 11) & (distance <= 16)
    kernels = np.stack([disk / disk.sum(), ring / ring.sum()])[:, np.newaxis].astype(np.float32)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].reshape(2, 1, 1, -1).astype(np.float32) + 0.5
    boxes = np.concatenate([x, y, np.full_like(x, 24), np.full_like(x, 24)], axis=1)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["cast", "warmth"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "last"], ["warm"], keepdims=1),
        helper.make_node("Transpose", ["warm"], ["plane"], perm=[0, 3, 1, 2]),
        helper.make_node("Pad", ["plane", "pads"], ["padded"], mode="edge"),
        helper.make_node("Conv", ["padded", "kernels"], ["both"]),
        helper.make_node("Split", ["both"], ["inner", "outer"], axis=1, num_outputs=2),
        helper.make_node("Sub", ["outer", "inner"], ["contrast"]),
        helper.make_node("Abs", ["outer"], ["around"]),
        helper.make_node("Add", ["around", "little"], ["scale"]),
        helper.make_node("Div", ["contrast", "scale"], ["response"]),
        helper.make_node("Sub", ["response", "limit"], ["above"]),
        helper.make_node("Mul", ["above", "steepness"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["sure"]),
        helper.make_node("Reshape", ["sure", "flat"], ["row"]),
        helper.make_node("Concat", ["boxes", "row"], ["found"], axis=1),
    ]
    constants: dict[str, object] = {
        "warmth": np.array([-1, 0, 1], np.float32) / 255, "last": np.array([3]),
        "pads": np.array([0, 0, REACH, REACH, 0, 0, REACH, REACH]), "kernels": kernels,
        "little": np.float32(0.05), "limit": np.float32(0.405), "steepness": np.float32(20),
        "flat": np.array([1, 1, HEIGHT * WIDTH]), "boxes": boxes,
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "screws",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, HEIGHT, WIDTH, 3])],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, [1, 5, HEIGHT * WIDTH])],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


LOCATE = Stage(
    name="locate",
    task=Detect(
        labels=("screw",), expected={"screw": 4}, layout="yolo", confidence=0.5, overlap=0.05
    ),
    models={"onnx": "locate.onnx"},
    input=Input(height=HEIGHT, width=WIDTH, fit="letterbox"),
    thresholds=Thresholds(0.45, 0.5),
)
LOOK = Stage(
    name="look",
    task=Anomaly(top=1),
    models={"onnx": "look.onnx"},
    input=Input(height=32, width=32),
    source=Source(stage="locate", margin=0.1),
)


def test_screws_are_located_counted_and_looked_at_one_by_one(images_dir: Path) -> None:
    models = {"locate": _detector(), "look": tiny_onnx((1, 32, 32, 3))}
    pipeline = Pipeline(
        [
            (stage, load_task(load_engine("onnx", models[stage.name], EngineSettings()),
                              stage.input, stage.task))
            for stage in (LOCATE, LOOK)
        ]
    )  # fmt: skip
    limits = {"locate": LOCATE.thresholds or Thresholds(1.0, 1.0)}
    right = exact = total = 0
    for file in sorted((images_dir / "four_screws").glob("*.jpg")):
        there = [place == "1" for place in file.stem.split("_")[1]]
        seen = pipeline.inspect(read_image(file))
        decision = judge_part(seen.scores, limits, skipped=seen.skipped, hindrances=())
        located = [each for each in seen.findings if each.stage == "locate"]
        looked = [each for each in seen.findings if each.stage == "look"]
        assert [each.box for each in looked] == [each.box for each in located]
        assert ("look" in seen.skipped) == (not located)
        for each in located:
            assert each.box is not None
            assert 0.0 < each.box.width <= 24 / 122 + 1e-3
        total += 1
        right += (decision.verdict is Verdict.OK) == all(there)
        exact += len(located) == sum(there)
    assert total == 100
    assert right >= 96
    assert exact >= 92
