"""Read a model file; refuse, before anything large is read, what is none that we import.

Invariants:
    - A file larger than `MAX_BYTES`, with the data that lies beside it, is refused unread.
    - Nothing in a file is executed: pickles are refused by their first bytes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edge_agent.errors import UsageError
from edge_agent.rollout.bundle import MAX_BYTES

if TYPE_CHECKING:
    import onnx

_ONNX_WAY = "export it to ONNX where it was trained and import that (docs/import.md says how)"
_YOLO_WAY = "yolo export model={name} format=onnx"
_KERAS_WAY = (
    "convert it with tf.lite.TFLiteConverter.from_keras_model(model), import the .tflite file"
)
_FOREIGN = {
    ".pt": f"a PyTorch file: {_ONNX_WAY}; of Ultralytics: {_YOLO_WAY}",
    ".pth": f"a PyTorch file: {_ONNX_WAY}",
    ".ckpt": f"a checkpoint of training: {_ONNX_WAY}",
    ".pkl": f"a Python pickle: {_ONNX_WAY}",
    ".safetensors": f"weights without a network: {_ONNX_WAY}",
    ".h5": f"a Keras file: {_KERAS_WAY}",
    ".hdf5": f"a Keras file: {_KERAS_WAY}",
    ".keras": f"a Keras file: {_KERAS_WAY}",
    ".pb": "a TensorFlow graph: convert it with tf.lite.TFLiteConverter.from_saved_model(folder)",
    ".engine": f"a TensorRT engine, for one GPU alone: {_ONNX_WAY}",
    ".trt": f"a TensorRT engine, for one GPU alone: {_ONNX_WAY}",
    ".xml": f"an OpenVINO model: {_ONNX_WAY}; the extra 'openvino' runs the ONNX one",
    ".mlmodel": f"a Core ML model: {_ONNX_WAY}",
    ".bundle": "a bundle already: edge-agent install takes it as it is",
}
_STARTS = (
    (b"\x89HDF\r\n\x1a\n", ".h5"),
    (b"\x80\x02", ".pkl"), (b"\x80\x03", ".pkl"), (b"\x80\x04", ".pkl"), (b"\x80\x05", ".pkl"),
    (b"ftrt", ".engine"), (b"ptrt", ".engine"),
)  # fmt: skip


class ModelFile(msgspec.Struct, frozen=True):
    """A model file, read.

    Attributes:
        path: Of the file.
        form: What it holds.
        data: The bytes of a TFLite file; empty for ONNX.
        model: The ONNX model with all its weights; None for TFLite.
        digest: SHA-256 over the file and the weights that lie beside it.
        beside: What a `metadata.json` beside it says; empty where there is none.
    """

    path: Path
    form: Literal["onnx", "tflite"]
    data: bytes
    model: onnx.ModelProto | None
    digest: str
    beside: dict[str, Any]


def read_model(path: Path) -> ModelFile:
    """Read a model file.

    Raises:
        UsageError: It is missing, too large, or none that we import; the text says what to do.
    """
    head = _head(path)
    if head[4:8] == b"TFL3":
        data = path.read_bytes()
        return ModelFile(path, "tflite", data, None, hashlib.sha256(data).hexdigest(), {})
    _refuse_foreign(path, head)
    data = path.read_bytes()
    digest = hashlib.sha256(data)
    model = _parse(path, data)
    del data
    for file in _external(path, model):
        digest.update(file.read_bytes())
    _load_external(path, model)
    return ModelFile(path, "onnx", b"", model, digest.hexdigest(), _beside(path))


def _head(path: Path) -> bytes:
    """Return the first bytes of a file that is not too large."""
    if path.is_dir():
        raise UsageError(f"{path}: a folder: give the model's file (.onnx or .tflite) in it")
    try:
        _check_size(path, path.stat().st_size)
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error


def _check_size(path: Path, size: int) -> None:
    if size == 0:
        raise UsageError(f"{path}: empty: export the model again")
    if size > MAX_BYTES:
        raise UsageError(
            f"{path}: {size / 2**20:.0f} MiB; a bundle holds {MAX_BYTES >> 20} MiB at most: take a "
            "smaller model of its family"
        )


def _refuse_foreign(path: Path, head: bytes) -> None:
    suffix = next((kind for start, kind in _STARTS if head.startswith(start)), "")
    kind = path.suffix.lower()
    suffix = kind if kind in _FOREIGN and (suffix or kind != ".onnx") else suffix
    if head.startswith(b"PK\x03\x04") and not suffix:
        suffix = ".pt"
    if suffix:
        raise UsageError(f"{path}: {_FOREIGN[suffix].format(name=path.name)}")


def _parse(path: Path, data: bytes) -> onnx.ModelProto:
    import onnx  # noqa: PLC0415 - heavy
    from google.protobuf.message import (  # type: ignore[import-untyped]  # noqa: PLC0415 - comes with onnx, untyped
        DecodeError,
    )

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        whole = bool(model.graph.node) and bool(model.graph.output) and bool(model.opset_import)
    except (DecodeError, UnicodeDecodeError):
        whole = False
    if not whole:
        raise UsageError(
            f"{path}: not an ONNX or TFLite model, or damaged: export it anew, or fetch it again"
        )
    return model


def _external(path: Path, model: onnx.ModelProto) -> list[Path]:
    """List the files beside the model that hold weights of it.

    Raises:
        UsageError: One is missing, lies elsewhere, or all together are too large.
    """
    names = set()
    for tensor in model.graph.initializer:
        if tensor.data_location == tensor.EXTERNAL:
            names |= {entry.value for entry in tensor.external_data if entry.key == "location"}
    files = []
    for name in sorted(names):
        file = path.parent / name
        if Path(name).is_absolute() or ".." in Path(name).parts or file.is_symlink():
            raise UsageError(
                f"{path}: its weights are said to be in {name!r}, outside its folder: export it "
                "with its weights inside (torch.onnx.export(..., external_data=False))"
            )
        if not file.is_file():
            raise UsageError(
                f"{path}: its weights are in {name!r}, which is not beside it: put it there, or "
                "export with the weights inside (torch.onnx.export(..., external_data=False))"
            )
        files.append(file)
    _check_size(path, path.stat().st_size + sum(file.stat().st_size for file in files))
    return files


def _load_external(path: Path, model: onnx.ModelProto) -> None:
    from onnx import checker, external_data_helper  # noqa: PLC0415 - heavy

    try:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except (checker.ValidationError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{path}: its weights cannot be read ({reason}): export it anew"
        ) from error


def _beside(path: Path) -> dict[str, Any]:
    """Return what a metadata.json beside the model says (anomalib 0 and 1 write one)."""
    for file in (path.with_name("metadata.json"), path.parent.parent / "metadata.json"):
        try:
            found = json.loads(file.read_bytes()) if file.stat().st_size < 1_000_000 else {}
        except (OSError, ValueError):
            continue
        return found if isinstance(found, dict) else {}
    return {}
