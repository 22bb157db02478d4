"""Models of other makers, from their file to a verdict.

Those made here have the inputs, outputs and metadata of real exports. The real ones are made by
tests/rigs/exports.py, in an environment of their own; EDGE_EXPORTS names their folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
import typer
from ai_edge_litert.interpreter import Interpreter
from typer.testing import CliRunner

from calibration.cli.bundle_import import bundle_import
from calibration.importing import convert_lite, looking
from calibration.importing.convert import Converted, convert
from calibration.importing.facts import Given, Normalisation
from calibration.importing.reading import read_model
from edge_agent.camera.images import read_image
from edge_agent.errors import EdgeError, UsageError
from edge_agent.inspection.engines import EngineSettings, load_engine
from edge_agent.inspection.spec import Anomaly, Classify, Detect, Segment, Stage, Thresholds
from edge_agent.rollout.bundle import Bundle, read_bundle
from edge_agent.rollout.loading import load_pipeline
from edge_agent.rollout.selftest import judge_samples, self_test, what_fails
from edge_agent.rollout.slots import Slots
from tests.unit.calibration.importing import made

EXPORTS = Path(os.environ.get("EDGE_EXPORTS", "/nowhere"))
exported = pytest.mark.skipif(
    not EXPORTS.is_dir(), reason="EDGE_EXPORTS names no folder that tests/rigs/exports.py filled"
)

app = typer.Typer()
app.command()(bundle_import)


def _import(*arguments: object) -> str:
    """Run the verb; return what it printed. Errors are raised as they are."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if result.exception is not None and isinstance(result.exception, EdgeError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def _folder(path: Path, count: int, *, spot: int = 0) -> Path:
    path.mkdir()
    for seed in range(count):
        cv2.imwrite(str(path / f"{seed}.png"), made.photo(seed, 96, spot=spot))
    return path


def _brightest() -> onnx.ModelProto:
    """A classifier of plates: the darkest point decides between good and spot."""
    net = made.Net(("batch", 3, made.SIDE, made.SIDE))
    darkest = net.add("ReduceMin", "images", axes=[1, 2, 3], keepdims=0)
    column = net.add("Reshape", darkest, net.constant(np.array([-1, 1], np.int64)))
    centred = net.add("Sub", column, net.constant(np.float32(0.3)))
    net.add("MatMul", centred, net.constant(np.array([[30.0, -30.0]], np.float32)), to="logits")
    return net.model({"logits": (onnx.TensorProto.FLOAT, ("batch", 2))})


def test_a_classifier_is_imported_installed_and_judges(tmp_path: Path) -> None:
    file = made.save(_brightest(), tmp_path / "plates.onnx")
    good, bad = _folder(tmp_path / "good", 8), _folder(tmp_path / "bad", 5, spot=24)
    out = tmp_path / "plates.bundle"
    told = _import(
        file, "--out", out, "--labels", "good,spot", "--scale", "1/255", "--golden", good,
        "--challenge", bad,
    )  # fmt: skip
    assert "classify" in told
    assert "4 golden and 4 challenge samples" in told
    bundle = read_bundle(out)
    assert bundle.manifest.name == "plates"
    assert what_fails(judge_samples(bundle, "auto", EngineSettings())) == ""

    def test(candidate: Bundle) -> None:
        self_test(candidate, "auto", EngineSettings())

    assert Slots(tmp_path / "slots").install(out, test).digest == bundle.digest
    pipeline = load_pipeline(bundle, "auto", EngineSettings())
    scores = [pipeline.inspect(read_image(file)).scores["classify"] for file in bad.iterdir()]
    assert min(scores) > 0.9


def test_folders_with_little_in_them_are_taken_or_refused_by_name(tmp_path: Path) -> None:
    file = made.save(_brightest(), tmp_path / "plates.onnx")
    arguments = [file, "--out", tmp_path / "out.bundle", "--labels", "good,spot"]
    one = _folder(tmp_path / "one", 1)
    (one / "broken.png").write_bytes(b"no image")
    told = _import(*arguments, "--calibrate", one, "--golden", one)
    assert "left out: " in told
    assert "1 golden and 0 challenge samples" in told
    empty, broken = tmp_path / "empty", tmp_path / "broken"
    empty.mkdir()
    broken.mkdir()
    (broken / "broken.png").write_bytes(b"no image")
    for folder, text in ((empty, "holds no images"), (broken, "holds no image that can be read")):
        with pytest.raises(UsageError, match=text):
            _import(*arguments, "--calibrate", folder)


@pytest.mark.parametrize("task", ["detect", "segment"])
@pytest.mark.parametrize("layout", ["yolo", "end2end"])
def test_yolo_exports_become_bundles(tmp_path: Path, task: str, layout: str) -> None:
    file = made.save(made.yolo(task, layout=layout), tmp_path / "best.onnx")
    out = tmp_path / "out.bundle"
    told = _import(file, "--out", out, "--defects", "dent", "--name", "dents")
    assert f"{task}, of Ultralytics 8.4.190" in told
    assert "edge-agent install will refuse it" in " ".join(told.split())
    (stage,) = read_bundle(out).manifest.stages
    assert isinstance(stage.task, Detect | Segment)
    assert stage.task.defects == ("dent",)
    seen = load_pipeline(read_bundle(out), "auto", EngineSettings()).inspect(made.photo(1, 96))
    assert seen.stop is None


def test_anomalib_exports_become_bundles(tmp_path: Path) -> None:
    file = made.save(made.anomalib(), tmp_path / "model.onnx")
    out = tmp_path / "out.bundle"
    assert "ng from 8, review from 7.5" in _import(file, "--out", out, "--name", "padim")
    (stage,) = read_bundle(out).manifest.stages
    assert (stage.task, stage.thresholds) == (Anomaly(1), Thresholds(review=7.5, ng=8.0))


@pytest.mark.parametrize("kind", ["float32", "int8", "uint8"])
def test_tflite_models_become_bundles(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "net.tflite"
    file.write_bytes(made.tflite(kind, first="MUL"))
    out = tmp_path / "out.bundle"
    _import(file, "--out", out, "--labels", "good,chip,dent")
    (stage,) = read_bundle(out).manifest.stages
    assert stage.models == {"litert": "model.tflite"}
    seen = load_pipeline(read_bundle(out), "litert", EngineSettings()).inspect(made.photo(1, 96))
    assert 0.0 <= seen.scores["classify"] <= 1.0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--input", "large"], "--input large: give HEIGHTxWIDTH"),
        (["--mean", "a,b"], "--mean a,b: give one number"),
        (["--scale", "1/0"], "--scale 1/0: give one number"),
        (["--expect", "screw"], "--expect screw: give LABEL=N"),
        (["--golden", "none"], "none: no such folder"),
        (["--labels", "none.txt"], "--labels none.txt: cannot be read"),
    ],
)
def test_what_is_mistyped_is_refused_and_writes_nothing(
    tmp_path: Path, arguments: list[str], text: str
) -> None:
    file = made.save(made.yolo(), tmp_path / "best.onnx")
    with pytest.raises(UsageError, match=text):
        _import(file, "--out", tmp_path / "out.bundle", *arguments)
    assert not (tmp_path / "out.bundle").exists()


@pytest.mark.processes
def test_the_verb_stands_beside_those_of_bundle(tmp_path: Path) -> None:
    for arguments in (["bundle", "--help"], ["bundle", "import", "--help"], ["bundle", "import"]):
        done = subprocess.run(
            [sys.executable, "-m", "edge_agent.cli.agent", *arguments],
            capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert "import" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    missing = subprocess.run(
        [sys.executable, "-m", "edge_agent.cli.agent", "bundle", "import", "x", "--out", "y"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert missing.returncode != 0
    assert missing.stderr.strip().endswith("x: cannot be read: No such file or directory")


# --- what the libraries themselves export --------------------------------------------------------

_GIVEN: dict[str, Given] = {
    "timm-lite0": Given(labels=("good", *"bcde")),
    "timm-resnet10t": Given(labels=("good", "bad")),
    "torchvision-mobilenet_v3_small": Given(labels=("good", *"bcd")),
    "torchvision-resnet18": Given(labels=("good", "bad")),
    "torchvision-lraspp": Given(),
    "trained": Given(labels=("good", "defect")),
    "yolo11n-cls": Given(good=("0",)),
    "anomalib-ganomaly-dynamic": Given(size=(256, 256)),
    "keras-bare": Given(labels=("good", *"bcd"), mean=(127.5,), std=(127.5,)),
    "keras": Given(labels=("good", *"bcd")),
}


def _given(name: str) -> Given:
    return next((given for key, given in _GIVEN.items() if name.startswith(key)), Given())


def _found(pattern: str) -> list[Any]:
    """List the exports, so that each is a test of its own."""
    files = sorted(EXPORTS.glob(pattern)) if EXPORTS.is_dir() else []
    return [pytest.param(file, id=str(file.relative_to(EXPORTS))) for file in files]


def _picture(height: int, width: int) -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(11)
    small = noise.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _floats(
    pixels: npt.NDArray[np.uint8], normalisation: Normalisation, shape: list[Any]
) -> npt.NDArray[np.float32]:
    """Prepare pixels as the library that trained the model would."""
    mean, std = np.array(normalisation.mean), np.array(normalisation.std)
    floats = ((pixels * normalisation.scale - mean) / std).astype(np.float32)
    count = shape[0] if isinstance(shape[0], int) else 1
    return np.repeat(floats.transpose(2, 0, 1)[None], count, axis=0)


def _inspects(converted: Converted) -> Any:
    """Load the converted model as a station would, and let it look at a picture."""
    task = converted.reading.task
    stage = Stage(
        name="stage", task=task, input=converted.input, thresholds=Thresholds(0.25, 0.5),
        models={"litert": "model.tflite"} if converted.onnx is None else {"onnx": "model.onnx"},
    )  # fmt: skip
    model = converted.litert
    if converted.onnx is not None:
        model = converted.onnx.SerializeToString()
    seen = looking.pipeline_of(stage, model).inspect(_picture(240, 320))
    assert seen.stop is None
    assert np.isfinite(seen.scores["stage"])
    return seen


@exported
@pytest.mark.slow
@pytest.mark.parametrize("file", [*_found("*.onnx"), *_found("*/model.onnx")])
def test_a_real_onnx_export_gives_what_it_gave_before(file: Path) -> None:
    name = str(file.relative_to(EXPORTS)).removesuffix(".onnx").removesuffix("/model")
    if "pose" in name:
        with pytest.raises(UsageError, match="for 'pose'"):
            convert(read_model(file), _given(name))
        return
    converted = convert(read_model(file), _given(name))
    spec, reading = converted.input, converted.reading
    pixels = _picture(spec.height, spec.width)
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    floats = _floats(pixels, reading.normalisation, entry.shape)
    names = [output.name for output in session.get_outputs()]
    before = dict(zip(names, session.run(names, {entry.name: floats}), strict=True))
    assert converted.onnx is not None
    engine = load_engine("onnx", converted.onnx.SerializeToString(), EngineSettings())
    after = engine.run(pixels[None])
    if isinstance(reading.task, Anomaly):
        _same_anomaly(before, after, float(reading.facts["threshold"]), name)
    else:
        for old, new in reading.outputs.items():
            _close(after[new], before[old][:1])
    _inspects(converted)


def _close(after: npt.NDArray[Any], before: npt.NDArray[Any]) -> None:
    reach = float(np.abs(before).max()) or 1.0
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=2e-4 * reach)


def _same_anomaly(
    before: dict[str, Any], after: dict[str, Any], threshold: float, name: str
) -> None:
    """Normalise the raw score as the export did, and hold it against what that gave."""
    facts = json.loads((EXPORTS / f"{name.removesuffix('-dynamic')}.json").read_text())
    assert threshold == pytest.approx(facts["image_threshold"], rel=1e-3, abs=1e-4)
    span = facts["image_max"] - facts["image_min"]
    shift = 0.0 if threshold > 0.05 * span else span - threshold
    raw = float(after["score"].reshape(-1)[0]) - shift
    normalised = np.clip((raw - threshold) / span + 0.5, 0.0, 1.0)
    assert normalised == pytest.approx(float(before["pred_score"].reshape(-1)[0]), abs=1e-3)


@exported
@pytest.mark.slow
@pytest.mark.parametrize("file", _found("*.tflite"))
def test_a_real_tflite_export_gives_what_it_gave_before(file: Path) -> None:
    converted = convert_lite.convert(read_model(file), _given(file.stem))
    spec, normalisation = converted.input, converted.reading.normalisation
    pixels = _picture(spec.height, spec.width)
    interpreter = Interpreter(model_path=str(file))
    interpreter.allocate_tensors()
    entry, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    mean, std = np.array(normalisation.mean), np.array(normalisation.std)
    values = (pixels[None] * normalisation.scale - mean) / std
    scale, zero = entry["quantization"]
    values = np.round(values / scale + zero) if scale else values
    interpreter.set_tensor(entry["index"], values.astype(entry["dtype"]))
    interpreter.invoke()
    before = interpreter.get_tensor(result["index"]).astype(np.float32)
    scale, zero = result["quantization"]
    before = (before - zero) * np.float32(scale) if scale else before
    (after,) = load_engine("litert", converted.litert, EngineSettings()).run(pixels[None]).values()
    np.testing.assert_allclose(after, before, atol=1e-5)
    assert isinstance(converted.reading.task, Classify)
    _inspects(converted)


@exported
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float", "int8"])
def test_a_trained_classifier_judges_as_it_did_where_it_was_trained(
    tmp_path: Path, precision: str
) -> None:
    truth: dict[str, float] = json.loads((EXPORTS / "trained.json").read_text())["defect"]
    files = {file: score for file, score in truth.items() if Path(file).is_file()}
    if not files:
        pytest.skip("the images that it was tried on are not here")
    out = tmp_path / "out.bundle"
    arguments: list[object] = [EXPORTS / "trained.onnx", "--out", out, "--labels", "good,defect"]
    if precision == "int8":
        good = next(Path(file).parents[2] for file in files) / "train" / "good"
        told = _import(*arguments, "--calibrate", good)
        assert "Precision: int8: " in told
    else:
        _import(*arguments)
    pipeline = load_pipeline(read_bundle(out), "auto", EngineSettings())
    look: Callable[[str], float] = lambda file: pipeline.inspect(  # noqa: E731 - said once
        read_image(Path(file))
    ).scores["classify"]
    scores = {file: look(file) for file in files}
    apart = [abs(scores[file] - files[file]) for file in files]
    changed = sum((scores[file] >= 0.5) != (files[file] >= 0.5) for file in files)
    right = sum((scores[file] >= 0.5) == ("/good/" not in file) for file in files) / len(files)
    assert right >= 0.9
    if precision == "float":
        assert max(apart) < 0.005
        assert changed == 0
    else:
        assert float(np.mean(apart)) < 0.01
        assert changed <= 0.01 * len(files)


def _overlap(one: Any, other: Any) -> float:
    """Return intersection over union of two boxes of corners."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    common = float(np.prod(np.clip(high - low, 0.0, None)))
    areas = [float(np.prod(np.asarray(box[2:]) - np.asarray(box[:2]))) for box in (one, other)]
    return common / (sum(areas) - common)


@exported
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision"),
    [("trained-yolo", "float"), ("trained-yolo-nms", "float"), ("trained-yolo", "int8")],
)
def test_a_trained_detector_finds_what_its_library_finds(
    tmp_path: Path, name: str, precision: str
) -> None:
    told = json.loads((EXPORTS / "trained-yolo.json").read_text())
    plates = EXPORTS / "trained-yolo-plates"
    out = tmp_path / "out.bundle"
    more: tuple[object, ...] = ("--calibrate", plates) if precision == "int8" else ()
    _import(EXPORTS / f"{name}.onnx", "--out", out, "--defects", "spot,scratch", *more)
    bundle = read_bundle(out)
    assert bundle.manifest.provenance["precision"].startswith(
        "int8: " if precision == "int8" else "as in the file"
    )
    pipeline = load_pipeline(bundle, "auto", EngineSettings())
    matched = expected = given = 0
    apart: list[float] = []
    for file, rows in told["found"].items():
        image = read_image(plates / file)
        height, width = image.shape[:2]
        (stage,) = pipeline.inspect(image).stages
        boxes = [
            (finding.label, finding.confidence, np.array(
                [box.x * width, box.y * height, (box.x + box.width) * width,
                 (box.y + box.height) * height]
            ))
            for finding in stage.findings if (box := finding.box) is not None
        ]  # fmt: skip
        given += len(boxes)
        expected += len(rows)
        for kind, score, *corners in rows:
            label = ("spot", "scratch")[kind]
            near = [
                confidence for found, confidence, box in boxes
                if found == label and _overlap(box, np.array(corners)) > 0.8
            ]  # fmt: skip
            matched += bool(near)
            apart += [min(abs(confidence - score) for confidence in near)] if near else []
    share = 0.98 if precision == "float" else 0.9
    assert expected > 40
    assert matched >= share * expected
    assert abs(given - expected) <= (1.0 - share) * expected + 1
    assert float(np.mean(apart)) < (0.01 if precision == "float" else 0.05)
