"""Export models as the libraries that made them do: what `edge-agent bundle import` must read.

    python tests/rigs/exports.py torch OUT [IMAGES]   # needs torch, ultralytics, timm, anomalib
    python tests/rigs/exports.py keras OUT            # needs tensorflow

Weights are random: only shapes, names and metadata count; the anomalib models and one classifier
are fitted to the images of IMAGES (train/good, test/good, test/defect) where that is given. The
libraries need an environment of their own and none of them enters this repository, nor does
anything they write: Ultralytics' exports are under the AGPL. Then run

    EDGE_EXPORTS=OUT pytest tests/integration/test_import.py
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

YOLO = {
    "yolov8n": "yolov8n.yaml", "yolo11n": "yolo11n.yaml", "yolo26n": "yolo26n.yaml",
    "yolov8n-seg": "yolov8n-seg.yaml", "yolo11n-seg": "yolo11n-seg.yaml",
    "yolo26n-seg": "yolo26n-seg.yaml", "yolo11n-cls": "yolo11n-cls.yaml",
    "yolov8n-pose": "yolov8n-pose.yaml",
}  # fmt: skip
SIDE = 160

_KEPT: list[Any] = []


def main() -> int:
    """Export everything of one environment; name what failed and go on."""
    kind, out = sys.argv[1], Path(sys.argv[2]).resolve()
    images = Path(sys.argv[3]).resolve() if len(sys.argv) > 3 else None
    out.mkdir(parents=True, exist_ok=True)
    jobs = dict(_torch_jobs(out, images) if kind == "torch" else _keras_jobs(out))
    wanted = os.environ.get("EXPORTS_ONLY", "")
    failed = 0
    for name, job in jobs.items():
        if wanted not in name:
            continue
        try:
            job()
            sys.stdout.write(f"exported {name}\n")
        except Exception as error:  # noqa: BLE001 - a library that fails must not hide the others
            failed += 1
            sys.stdout.write(f"FAILED {name}: {type(error).__name__}: {str(error)[:300]}\n")
        sys.stdout.flush()
    return int(failed > 0)


def _torch_jobs(out: Path, images: Path | None) -> Iterator[tuple[str, Callable[[], None]]]:
    torch = _torch()
    for name, recipe in YOLO.items():
        yield name, partial(_yolo, out, name, recipe)
        if name.endswith(("cls", "pose")):
            continue
        yield f"{name}-nms", partial(_yolo, out, f"{name}-nms", recipe, nms=True)
        if recipe.startswith(
            "yolo26"
        ):  # its own head without NMS: since 8.4 asked for by nms=False
            yield f"{name}-end2end", partial(_yolo, out, f"{name}-end2end", recipe, nms=False)
    yield "yolo11n-dynamic", partial(_yolo, out, "yolo11n-dynamic", "yolo11n.yaml", dynamic=True)
    for how in ("dynamo", "legacy"):
        for name, make in _classifiers(torch).items():
            yield f"{name}-{how}", partial(_classifier, torch, make, out / f"{name}-{how}.onnx")
    if images is not None:
        for name in ("Padim", "Patchcore", "Fastflow", "Ganomaly"):
            yield f"anomalib-{name.lower()}", partial(_anomalib, out, name, images)
        yield "trained", partial(_trained, torch, out, images)
    yield "trained-yolo", partial(_trained_yolo, out)


def _torch() -> Any:
    """Import torch; name torchvision's operators where its build does not fit that of torch."""
    torch = importlib.import_module("torch")
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.impl("nms", _nms, "CPU")
        _KEPT.append(library)  # it unregisters what it defined when it is collected
        importlib.import_module("torchvision")
        vars(importlib.import_module("torchvision.extension"))["_has_ops"] = lambda: True
    torch.manual_seed(0)
    return torch


def _nms(boxes: Any, scores: Any, overlap: float) -> Any:
    """Suppress what overlaps a better box; boxes are x1, y1, x2, y2."""
    torch = importlib.import_module("torch")
    order = scores.argsort(descending=True)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[order, :2])
        high = torch.minimum(boxes[best, 2:], boxes[order, 2:])
        common = (high - low).clamp(min=0).prod(dim=1)
        order = order[common / (area[best] + area[order] - common) <= overlap]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.int64)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _yolo(out: Path, name: str, recipe: str, **arguments: Any) -> None:
    ultralytics = importlib.import_module("ultralytics")
    with _inside(out / "work"):
        model = ultralytics.YOLO(recipe)
        made = model.export(format="onnx", imgsz=SIDE, simplify=False, opset=17, **arguments)
        shutil.move(str(Path(made)), out / f"{name}.onnx")


def _classifiers(torch: Any) -> dict[str, Callable[[], Any]]:
    timm = importlib.import_module("timm")
    vision = importlib.import_module("torchvision.models")

    def softmaxed() -> Any:
        model = vision.mobilenet_v3_small(weights=None, num_classes=4)
        return torch.nn.Sequential(model, torch.nn.Softmax(dim=1))

    class Segments(torch.nn.Module):  # type: ignore[misc]  # torch is not here when types are checked
        def __init__(self) -> None:
            super().__init__()
            self.model = vision.segmentation.lraspp_mobilenet_v3_large(
                weights=None, weights_backbone=None, num_classes=3
            )

        def forward(self, pixels: Any) -> Any:
            return self.model(pixels)["out"]

    return {
        "timm-lite0": lambda: timm.create_model("efficientnet_lite0", num_classes=5),
        "timm-resnet10t": lambda: timm.create_model("resnet10t", num_classes=2),
        "torchvision-mobilenet_v3_small": softmaxed,
        "torchvision-resnet18": lambda: vision.resnet18(weights=None, num_classes=2),
        "torchvision-lraspp": Segments,
    }


def _classifier(torch: Any, make: Callable[[], Any], file: Path) -> None:
    model, dynamo = make(), file.stem.endswith("dynamo")
    pixels = torch.rand(2, 3, SIDE, SIDE)
    axes: dict[str, Any] = {"input_names": ["input"], "output_names": ["output"]}
    if dynamo:
        axes["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
    else:
        axes["dynamic_axes"] = {"input": {0: "batch"}, "output": {0: "batch"}}
    torch.onnx.export(model.eval(), (pixels,), str(file), dynamo=dynamo, **axes)


def _anomalib(out: Path, name: str, images: Path) -> None:
    data = importlib.import_module("anomalib.data")
    models = importlib.import_module("anomalib.models")
    engines = importlib.import_module("anomalib.engine")
    with _inside(out / "work"):
        small = Path("small").resolve()
        for part, count in (("train/good", 24), ("test/good", 12), ("test/defect", 12)):
            (small / part).mkdir(parents=True, exist_ok=True)
            for file in sorted((images / part).iterdir())[:count]:
                shutil.copy(file, small / part / file.name)
        folder = data.Folder(
            name="small", root=small, normal_dir="train/good", abnormal_dir="test/defect",
            normal_test_dir="test/good", train_batch_size=4, eval_batch_size=4, num_workers=0,
        )  # fmt: skip
        options: dict[str, Any] = {"backbone": "resnet18", "pre_trained": False}
        if name == "Ganomaly":
            options = {"batch_size": 4, "n_features": 16}
        model = getattr(models, name)(evaluator=False, **options)
        engine = engines.Engine(max_epochs=1, accelerator="cpu", devices=1, logger=False)
        engine.fit(model=model, datamodule=folder)
        for side in (SIDE, None):
            size = (side, side) if side else None
            label = f"anomalib-{name.lower()}{'' if side else '-dynamic'}"
            made = model.to_onnx(out / "work" / label, input_size=size)
            # A folder each: the weights lie beside the model, in a file of one name.
            shutil.copytree(made.parent, out / label, dirs_exist_ok=True)
        _raw_scores(model, out / f"anomalib-{name.lower()}.json", small)


def _raw_scores(model: Any, file: Path, folder: Path) -> None:
    """Keep what is taken out of the graph, to hold against the imported model."""
    post = model.post_processor
    names = ("image_min", "image_max", "pixel_min", "pixel_max", "image_threshold")
    facts = {name: float(getattr(post, name)) for name in names}
    file.write_text(json.dumps({**facts, "folder": str(folder)}))


def _trained(torch: Any, out: Path, images: Path) -> None:
    """Train a small classifier: good against defect, half of the defects for the test."""
    cv2 = importlib.import_module("cv2")
    side = 128

    def load(files: list[Path]) -> Any:
        read = (cv2.imread(str(file)) for file in files)
        pixels = [cv2.resize(each, (side, side), interpolation=3) for each in read]
        return torch.tensor(np.stack(pixels)[..., ::-1].copy()).permute(0, 3, 1, 2)

    good = sorted((images / "train/good").iterdir())
    bad = sorted((images / "test/defect").iterdir())
    chosen = [*good, *bad[::2]]
    pixels = load(chosen)
    truth = torch.tensor([0] * len(good) + [1] * len(bad[::2]))
    mean, std = (torch.tensor(row).view(1, 3, 1, 1) for row in (MEAN, STD))
    model = _small_net(torch)
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.01)
    epochs = 24
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 4e-3, total_steps=epochs * (len(chosen) // 32)
    )
    weight = torch.tensor([1.0, len(good) / len(bad[::2])])
    for _epoch in range(epochs):
        order = torch.randperm(len(chosen))
        for start in range(0, len(chosen) // 32 * 32, 32):
            some = order[start : start + 32]
            batch = pixels[some].float().div(255)
            batch = batch * (0.85 + 0.3 * torch.rand(len(some), 1, 1, 1))
            batch = torch.rot90(batch, int(torch.randint(4, ())), (2, 3))
            batch = batch.flip(3) if torch.rand(()) < 0.5 else batch
            logits = model((batch - mean) / std)
            loss = torch.nn.functional.cross_entropy(logits, truth[some], weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    model.eval()
    files = [*sorted((images / "test/good").iterdir()), *bad[1::2]]
    with torch.no_grad():
        result = model((load(files).float().div(255) - mean) / std).softmax(1)[:, 1]
    facts = {str(file): round(float(each), 5) for file, each in zip(files, result, strict=True)}
    (out / "trained.json").write_text(json.dumps({"defect": facts}))
    torch.onnx.export(
        model, (torch.rand(1, 3, side, side),), str(out / "trained.onnx"), dynamo=True,
        input_names=["input"], output_names=["logits"], external_data=False,
    )  # fmt: skip


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _small_net(torch: Any) -> Any:
    layers: list[Any] = []
    depth = 3
    for wide in (16, 32, 64, 96, 128):
        layers += [
            torch.nn.Conv2d(depth, wide, 3, 2, 1, bias=False), torch.nn.BatchNorm2d(wide),
            torch.nn.Hardswish(), torch.nn.Conv2d(wide, wide, 3, 1, 1, groups=wide, bias=False),
            torch.nn.BatchNorm2d(wide), torch.nn.ReLU(),
        ]  # fmt: skip
        depth = wide
    return torch.nn.Sequential(
        *layers, torch.nn.AdaptiveMaxPool2d(1), torch.nn.Flatten(), torch.nn.Linear(depth, 2)
    )


def _plate(seed: int) -> tuple[Any, list[tuple[int, float, float, float, float]]]:
    """Draw a plate with dark spots (0) and bright scratches (1); boxes are x, y, width, height."""
    cv2 = importlib.import_module("cv2")
    noise = np.random.default_rng([17, seed])
    image = np.full((120, 160, 3), noise.uniform(100, 160), np.float32)
    boxes: list[tuple[int, float, float, float, float]] = []
    for _ in range(int(noise.integers(0, 4))):
        kind = int(noise.integers(2))
        wide, high = (
            noise.integers(10, 26, 2).tolist() if kind else [int(noise.integers(9, 22))] * 2
        )
        x, y = int(noise.integers(2, 158 - wide)), int(noise.integers(2, 118 - high))
        if kind:
            cv2.line(image, (x, y), (x + wide, y + high), [240.0] * 3, 2, cv2.LINE_AA)
        else:
            centre = (x + wide // 2, y + high // 2)
            cv2.circle(image, centre, wide // 2, [30.0] * 3, -1, cv2.LINE_AA)
        boxes.append((kind, x, y, wide, high))
    return np.clip(image + noise.normal(0, 6, image.shape), 0, 255).astype(np.uint8), boxes


def _trained_yolo(out: Path) -> None:
    """Train a small detector on drawn plates; keep plates, and what the library finds on them."""
    cv2 = importlib.import_module("cv2")
    ultralytics = importlib.import_module("ultralytics")
    root, kept = out / "work" / "plates", out / "trained-yolo-plates"
    for part, seeds in (("train", range(320)), ("val", range(1000, 1040))):
        for kind in ("images", "labels"):
            (root / kind / part).mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            image, boxes = _plate(seed)
            cv2.imwrite(str(root / "images" / part / f"{seed}.png"), image)
            rows = [
                f"{kind} {(x + w / 2) / 160} {(y + h / 2) / 120} {w / 160} {h / 120}"
                for kind, x, y, w, h in boxes
            ]
            (root / "labels" / part / f"{seed}.txt").write_text("\n".join(rows))
    text = f"path: {root}\ntrain: images/train\nval: images/val\nnames: [spot, scratch]\n"
    (root / "data.yaml").write_text(text)
    with _inside(out / "work"):
        model = ultralytics.YOLO("yolo11n.yaml")
        model.train(
            data=str(root / "data.yaml"), imgsz=SIDE, epochs=25, batch=16, workers=0, device="cpu",
            plots=False, seed=0, mosaic=0.3, project=str(out / "work"), name="yolo", exist_ok=True,
        )  # fmt: skip
        model = ultralytics.YOLO(str(out / "work" / "yolo" / "weights" / "best.pt"))
        found: dict[str, Any] = {}
        kept.mkdir(exist_ok=True)
        for file in sorted((root / "images" / "val").iterdir()):
            shutil.copy(file, kept / file.name)
            # A square input is what the export takes; the library's own would be just wide enough.
            seen = model.predict(
                str(file), imgsz=SIDE, rect=False, conf=0.25, iou=0.45, verbose=False
            )
            rows = seen[0].boxes
            found[file.name] = [
                [int(kind), float(score), *map(float, corners)]
                for kind, score, corners in zip(rows.cls, rows.conf, rows.xyxy, strict=True)
            ]
        made = model.export(format="onnx", imgsz=SIDE, opset=17)
        shutil.move(str(Path(made)), out / "trained-yolo.onnx")
        ended = model.export(format="onnx", imgsz=SIDE, opset=17, nms=True, conf=0.25, iou=0.45)
        shutil.move(str(Path(ended)), out / "trained-yolo-nms.onnx")
    truth = {f"{seed}.png": _plate(seed)[1] for seed in range(1000, 1040)}
    (out / "trained-yolo.json").write_text(json.dumps({"found": found, "truth": truth}))


def _keras_jobs(out: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    tensorflow = importlib.import_module("tensorflow")
    keras = tensorflow.keras
    model = keras.Sequential([
        keras.layers.Input((96, 96, 3)), keras.layers.Rescaling(1 / 127.5, offset=-1.0),
        keras.applications.MobileNetV2(
            input_shape=(96, 96, 3), weights=None, classes=4, alpha=0.35
        ),
    ])  # fmt: skip
    bare = keras.applications.MobileNetV2(
        input_shape=(96, 96, 3), weights=None, classes=4, alpha=0.35, classifier_activation=None
    )
    noise = np.random.default_rng(0)

    def pictures() -> Iterator[list[Any]]:
        for _ in range(16):
            yield [noise.uniform(0, 255, (1, 96, 96, 3)).astype(np.float32)]

    def write(name: str, change: Callable[[Any], None], source: Any = model) -> None:
        converter = tensorflow.lite.TFLiteConverter.from_keras_model(source)
        change(converter)
        (out / f"{name}.tflite").write_bytes(converter.convert())

    def whole(converter: Any, kind: Any = None) -> None:
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        converter.representative_dataset = pictures
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if kind is not None:
            converter.inference_input_type = converter.inference_output_type = kind

    def ranged(converter: Any) -> None:
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]

    def half(converter: Any) -> None:
        ranged(converter)
        converter.target_spec.supported_types = [tensorflow.float16]

    yield "keras-float", lambda: write("keras-float", lambda _converter: None)
    yield "keras-bare", lambda: write("keras-bare", lambda _converter: None, bare)
    yield "keras-uint8", lambda: write("keras-uint8", lambda c: whole(c, tensorflow.uint8))
    yield "keras-int8", lambda: write("keras-int8", lambda c: whole(c, tensorflow.int8))
    yield "keras-int8-float-io", lambda: write("keras-int8-float-io", whole)
    yield "keras-dynamic-range", lambda: write("keras-dynamic-range", ranged)
    yield "keras-float16", lambda: write("keras-float16", half)
    yield "keras-h5", lambda: model.save(str(out / "keras.h5"))
    yield "keras-keras", lambda: model.save(str(out / "keras.keras"))


if __name__ == "__main__":
    sys.exit(main())
