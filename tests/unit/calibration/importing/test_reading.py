"""What is no model that we import is refused by name, before anything large is read."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import external_data_helper

from calibration.importing.reading import read_model
from edge_agent.errors import UsageError
from edge_agent.rollout.bundle import MAX_BYTES
from tests.unit.calibration.importing import made


def _refused(file: Path, text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        read_model(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_missing_file_a_folder_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    _refused(tmp_path / "none.onnx", "cannot be read: No such file")
    _refused(tmp_path, "a folder: give the model's file")
    (tmp_path / "empty.onnx").touch()
    _refused(tmp_path / "empty.onnx", "empty: export the model again")


@pytest.mark.parametrize("content", [b"hello, world: this is text\n", bytes(300), b"\xff" * 99])
def test_what_is_not_a_model_at_all_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    _refused(file, "not an ONNX or TFLite model, or damaged")


def test_half_a_model_is_refused(tmp_path: Path) -> None:
    data = made.classifier().SerializeToString()
    file = tmp_path / "half.onnx"
    file.write_bytes(data[: len(data) // 2])
    _refused(file, "not an ONNX or TFLite model, or damaged")


def test_two_gigabytes_are_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "large.onnx"
    with file.open("wb") as sparse:
        sparse.truncate(2 << 30)
    _refused(file, "2048 MiB; a bundle holds 512 MiB at most")


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("best.pt", b"PK\x03\x04rest", "yolo export model=best.pt format=onnx"),
        ("net.pth", pickle.dumps({"a": 1}), "a PyTorch file: export it to ONNX"),
        ("net.onnx", pickle.dumps({"a": 1}), "a Python pickle: export it to ONNX"),
        ("net.h5", b"\x89HDF\r\n\x1a\nrest", "TFLiteConverter.from_keras_model"),
        ("net.bin", b"\x89HDF\r\n\x1a\nrest", "TFLiteConverter.from_keras_model"),
        ("net.keras", b"PK\x03\x04rest", "TFLiteConverter.from_keras_model"),
        ("net.engine", b"ftrtrest", "a TensorRT engine"),
        ("saved_model.pb", b"\x08\x01", "TFLiteConverter.from_saved_model"),
        ("net.safetensors", b"{}", "weights without a network"),
        ("net.bundle", b"PK\x03\x04rest", "a bundle already: edge-agent install"),
    ],
)
def test_files_of_other_kinds_are_told_what_to_do(
    tmp_path: Path, name: str, content: bytes, text: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    _refused(file, text)


def _with_data(folder: Path) -> Path:
    model = made.classifier()
    external_data_helper.convert_model_to_external_data(
        model, location="weights.data", size_threshold=0
    )
    onnx.save(model, str(folder / "net.onnx"))
    return folder / "net.onnx"


def test_weights_beside_the_model_are_read_with_it(tmp_path: Path) -> None:
    file = _with_data(tmp_path)
    read = read_model(file)
    assert read.form == "onnx"
    assert read.model is not None
    assert all(tensor.data_location == 0 for tensor in read.model.graph.initializer)
    before = read.digest
    data = bytearray((tmp_path / "weights.data").read_bytes())
    data[5] ^= 1
    (tmp_path / "weights.data").write_bytes(bytes(data))
    assert read_model(file).digest != before


def test_weights_that_are_missing_are_refused(tmp_path: Path) -> None:
    file = _with_data(tmp_path)
    (tmp_path / "weights.data").rename(tmp_path / "elsewhere.data")
    _refused(file, r"'weights.data', which is not beside it.*external_data=False")


def test_weights_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    file = _with_data(tmp_path)
    (tmp_path / "weights.data").write_bytes(b"short")
    _refused(file, "its weights cannot be read")


@pytest.mark.parametrize("where", ["../weights.data", "/etc/passwd"])
def test_weights_outside_the_folder_are_refused(tmp_path: Path, where: str) -> None:
    file = _with_data(tmp_path)
    model = onnx.load(str(file), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = where
    file.write_bytes(model.SerializeToString())
    _refused(file, "outside its folder")


def test_weights_that_are_too_large_are_refused_unread(tmp_path: Path) -> None:
    file = _with_data(tmp_path)
    with (tmp_path / "weights.data").open("r+b") as data:
        data.truncate(MAX_BYTES)
    _refused(file, "a bundle holds 512 MiB at most")


def test_metadata_beside_the_model_is_read(tmp_path: Path) -> None:
    file = made.save(made.classifier(), tmp_path / "net.onnx")
    assert read_model(file).beside == {}
    (tmp_path / "metadata.json").write_text('{"image_threshold": 3.5}')
    assert read_model(file).beside == {"image_threshold": 3.5}
    (tmp_path / "metadata.json").write_text("[not json")
    assert read_model(file).beside == {}


def test_a_tflite_file_is_told_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "any.name"
    file.write_bytes(made.tflite())
    read = read_model(file)
    assert (read.form, read.model) == ("tflite", None)
    assert np.frombuffer(read.data, np.uint8).size == file.stat().st_size
