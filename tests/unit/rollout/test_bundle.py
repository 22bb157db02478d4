"""A bundle is read only if all of it is what its manifest says, and nothing besides."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as run
from hypothesis import strategies as st

from edge_agent.decision.verdict import Thresholds
from edge_agent.errors import BundleError
from edge_agent.inspection.spec import Stage
from edge_agent.rollout import bundle as module
from edge_agent.rollout.bundle import (
    MANIFEST,
    decode_bundle,
    read_bundle,
    write_bundle,
)
from tests.tiny import png, tiny_files, tiny_manifest, tiny_sample

FILES = {"model.onnx": b"model", "golden.png": b"golden", "challenge.png": b"challenge" * 9}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a bundle whose members are only as large as the tests of its container need."""
    path = tmp_path / "small.bundle"
    write_bundle(path, tiny_manifest(), FILES)
    return path


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(content: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, each in content.items():
            archive.writestr(name, each)
    return data.getvalue()


def refusal(data: bytes) -> str:
    """Decode what must be refused; the refusal is one line that names where it is from."""
    with pytest.raises(BundleError) as caught:
        decode_bundle(data, "x.bundle")
    text = str(caught.value)
    assert text.startswith("bundle x.bundle: ")
    assert len(text.splitlines()) == 1
    return text.removeprefix("bundle x.bundle: ")


def with_manifest(data: bytes, **changes: Any) -> bytes:
    """Change what the manifest of a bundle, or its one stage, says; None takes a key out."""
    content = members(data)
    manifest = json.loads(content[MANIFEST])
    of_stage = {key: changes.pop(key) for key in Stage.__struct_fields__ if key in changes
                and key not in manifest}  # fmt: skip
    manifest["stages"][0] |= of_stage
    manifest |= changes
    kept = {key: value for key, value in manifest.items() if value is not None}
    return packed({**content, MANIFEST: json.dumps(kept).encode()})


# --- what is written -----------------------------------------------------------------------------


def test_what_is_written_is_read(small: Path) -> None:
    bundle = read_bundle(small)
    assert bundle.files == FILES
    assert bundle.manifest.thresholds == {"anomaly": Thresholds(100.0, 200.0)}
    assert bundle.manifest.files == {
        name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()
    }
    assert bundle.label == f"tiny 1 ({bundle.digest[:12]})"
    assert bundle.digest == hashlib.sha256(members(small.read_bytes())[MANIFEST]).hexdigest()


def test_equal_manifests_and_files_give_equal_bytes(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again.bundle"
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    write_bundle(again, tiny_manifest(), dict(reversed(FILES.items())))
    assert again.read_bytes() == small.read_bytes()
    other = write_bundle(tmp_path / "other", tiny_manifest("2"), FILES)
    assert other.digest != read_bundle(again).digest


def test_write_leaves_the_whole_file_or_none(tmp_path: Path, small: Path) -> None:
    before = small.read_bytes()
    with pytest.raises(BundleError, match=r"speaks of 'model\.onnx', which is not in it"):
        write_bundle(small, tiny_manifest(), {"golden.png": b"", "challenge.png": b""})
    assert small.read_bytes() == before
    (tmp_path / "folder").mkdir()
    with pytest.raises(BundleError, match="folder: cannot be written: Is a directory"):
        write_bundle(tmp_path / "folder", tiny_manifest(), FILES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "small.bundle"]


@pytest.mark.parametrize(
    "changes",
    [{"name": "a b"}, {"version": ""}, {"models": {}}, {"models": {"tpu": "model.onnx"}},
     {"tolerance": 0.0}, {"runtime": 2}, {"card": "card.md"}, {"baseline": "b.json"},
     {"created": "x" * 401}],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_what_cannot_be_read_is_not_written(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "x", tiny_manifest(**changes), FILES)
    assert list(tmp_path.iterdir()) == []


def test_a_member_may_not_take_the_manifests_name(tmp_path: Path) -> None:
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        pytest.raises(BundleError, match=r"holds 'manifest\.json' twice"),
    ):
        write_bundle(tmp_path / "x", tiny_manifest(), {**FILES, MANIFEST: b"{}"})


# --- what is damaged -----------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_any_flipped_byte_is_refused_or_changes_nothing_that_is_used(
    small: Path, mask: int
) -> None:
    data, bundle = bytearray(small.read_bytes()), read_bundle(small)
    refusals = []
    for place in range(len(data)):
        data[place] ^= mask
        try:
            # Some bytes of a ZIP mean nothing to us: times, attributes, versions.
            assert decode_bundle(bytes(data), "x") == bundle
        except BundleError as error:
            refusals.append(str(error))
        data[place] ^= mask
    assert len(refusals) > len(data) * 0.7
    assert all(len(text.splitlines()) == 1 for text in refusals)
    assert decode_bundle(bytes(data), "x") == bundle


def test_any_cut_is_refused(small: Path) -> None:
    data = small.read_bytes()
    for size in range(len(data)):
        assert refusal(data[:size])


@run(max_examples=200)
@given(st.binary(max_size=300))
def test_bytes_that_are_no_bundle_are_refused(data: bytes) -> None:
    assert refusal(data)
    assert refusal(b"PK\x03\x04" + data)
    assert refusal(data + packed({})[-22:])


def test_a_member_that_is_missing_extra_or_other_is_named(small: Path) -> None:
    content = members(small.read_bytes())
    missing = {name: data for name, data in content.items() if name != "golden.png"}
    assert refusal(packed(missing)).startswith("'golden.png' is missing: fetch")
    assert refusal(packed({**content, "x.py": b""})).startswith("'x.py' is not named in the man")
    assert refusal(packed({**content, "golden.png": b"x"})).startswith("'golden.png' is damaged")
    del content[MANIFEST]
    assert refusal(packed(content)) == "has no manifest.json: not a bundle"
    assert refusal(packed({})) == "has no manifest.json: not a bundle"
    assert "is not named" in refusal(packed({**members(small.read_bytes()), "a\nb": b""}))


def test_a_member_that_is_there_twice_is_refused(small: Path) -> None:
    data = io.BytesIO(small.read_bytes())
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(data, "a") as archive,
    ):
        archive.writestr("model.onnx", FILES["model.onnx"])
    assert refusal(data.getvalue()).startswith("holds 'model.onnx' twice")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"schema": "edge/bundle/2"}, "made for schema 'edge/bundle/2', runtime 1; this"),
        ({"schema": None}, "made for schema None, runtime 1"),
        ({"runtime": 2}, "made for schema 'edge/bundle/1', runtime 2; this agent runs"),
        ({"runtime": 2.0}, "runtime"),
        ({"runtime": 2, "new_field": 1}, "runtime 2; this agent runs"),
        ({"new_field": 1}, "unknown field `new_field`"),
        ({"name": None}, "missing required field `name`"),
        ({"name": "../x"}, "name"),
        ({"task": "segment"}, "task"),
        ({"models": {"tpu": "model.onnx"}}, "models"),
        ({"models": {}}, "holds no model"),
        ({"models": {"onnx": "other"}}, "speaks of 'other', which is not in it"),
        ({"thresholds": {"review": 2.0, "ng": 1.0}}, "0 < review (2.0) <= ng (1.0) must hold"),
        ({"thresholds": {"review": 0.0, "ng": 1.0}}, "must hold"),
        ({"thresholds": {"review": 1.0, "ng": float("inf")}}, "manifest.json"),
        ({"tolerance": float("nan")}, "manifest.json"),
        ({"tolerance": 0.9}, "tolerance"),
        ({"task": {"kind": "anomaly", "top": 0}}, "top"),
        ({"files": {}}, "is not named in the manifest"),
    ],
)  # fmt: skip
def test_a_manifest_that_this_agent_cannot_honour_is_refused(
    small: Path, changes: dict[str, Any], expected: str
) -> None:
    assert expected in refusal(with_manifest(small.read_bytes(), **changes))


@pytest.mark.parametrize(
    "head",
    [b"", b"[]", b"3", b"null", b"\xff\xfe", b"{", b"[" * 100_000, b'{"a":' * 100_000,
     b'{"schema": "edge/bundle/1", "name": "\xff"}', b'{"schema": "edge/bundle/1", "x": NaN}'],
    ids=range(10),
)  # fmt: skip
def test_a_manifest_that_is_no_json_object_is_refused(head: bytes) -> None:
    assert MANIFEST in refusal(packed({MANIFEST: head}))


# --- what is an attack ---------------------------------------------------------------------------


def test_a_zip_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1 << 20)
    bomb = packed({"zeros": bytes(2 << 20)})
    assert len(bomb) < 10_000
    assert refusal(bomb) == "unpacks to over 1 MiB"


def test_a_zip_bomb_that_lies_about_its_size_unpacks_to_no_more_than_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1 << 20)
    bomb, size = packed({"zeros": bytes(2 << 20)}), struct.pack("<I", 2 << 20)
    assert bomb.count(size) == 2
    assert "damaged" in refusal(bomb.replace(size, struct.pack("<I", 100)))


def test_more_members_than_any_bundle_has_are_refused() -> None:
    crowd = packed({str(index): b"" for index in range(1001)}, zipfile.ZIP_STORED)
    assert refusal(crowd) == "holds 1001 files: not a bundle"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_refused(small: Path, method: int) -> None:
    assert "is packed in a way not read" in refusal(packed(members(small.read_bytes()), method))


def test_an_encrypted_member_is_refused(small: Path) -> None:
    data = bytearray(small.read_bytes())
    data[6] |= 1  # the flag in the local header, and the one in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in refusal(bytes(data))


# --- files ---------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BundleError, match="gone: cannot be read: No such file"):
        read_bundle(tmp_path / "gone")
    with pytest.raises(BundleError, match="cannot be read: Is a directory"):
        read_bundle(tmp_path)
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    with pytest.raises(BundleError, match="larger than 0 MiB: not a bundle"):
        read_bundle(small)


def test_a_device_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1 << 20)
    with pytest.raises(BundleError, match="larger than 1 MiB"):
        read_bundle(Path("/dev/zero"))


# --- samples -------------------------------------------------------------------------------------


def sample_bundle(tmp_path: Path, data: bytes) -> module.Bundle:
    files = {**tiny_files(), "golden.png": data}
    return write_bundle(tmp_path / "x.bundle", tiny_manifest(), files)


GOLDEN = tiny_sample("golden.png", 1.0)


def test_samples_come_back_as_the_camera_gave_them(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    np.testing.assert_array_equal(sample_bundle(tmp_path, png(colour)).image(GOLDEN), colour)
    grey = np.ascontiguousarray(colour[:, :, 0])
    np.testing.assert_array_equal(sample_bundle(tmp_path, png(grey)).image(GOLDEN), grey)


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "16-bit", "alpha", "huge"])
def test_a_sample_that_is_no_camera_image_is_refused(tmp_path: Path, kind: str) -> None:
    whole = png(np.full((40, 40, 3), 7, np.uint8))
    deep = cv2.imencode(".png", np.full((8, 8), 700, np.uint16))[1].tobytes()
    alpha = cv2.imencode(".png", np.full((8, 8, 4), 7, np.uint8))[1].tobytes()
    huge = whole[:16] + struct.pack(">II", 1 << 24, 1 << 24) + whole[24:]
    data = {"empty": b"", "text": b"golden", "cut": whole[:20], "16-bit": deep, "alpha": alpha,
            "huge": huge}[kind]  # fmt: skip
    with pytest.raises(BundleError, match=r"golden\.png is not an 8-bit grey or colour image"):
        sample_bundle(tmp_path, data).image(GOLDEN)


def test_the_reference_bundle_is_whole(simulated_bundle: Path) -> None:
    bundle = read_bundle(simulated_bundle)
    assert bundle.manifest.name == "simulated-line"
    assert {sample.kind for sample in bundle.manifest.samples} == {"golden", "challenge"}
    assert msgspec.json.decode(bundle.files[bundle.manifest.baseline])["schema"]
    for sample in bundle.manifest.samples:
        assert bundle.image(sample).ndim == 3
