"""The bundle: one file that holds a model with all that is needed to trust it.

A bundle is a ZIP archive. Its first member, `manifest.json`, names every other member with its
SHA-256 digest; the digest of the manifest is therefore the digest of the bundle. Members carry no
times, so the same content gives the same bytes.

Invariants:
    - `read_bundle` returns a bundle only if every member named in the manifest is there with the
      digest stated, and none besides nor twice; otherwise it raises and nothing was unpacked.
    - Nothing that a file holds makes `read_bundle` raise anything but BundleError, or unpack more
      than `MAX_BYTES`.
    - `write_bundle` leaves either the whole file or none.
    - Equal manifests and files give equal bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np

from edge_agent.camera.frame import Image
from edge_agent.errors import BundleError
from edge_agent.files import write_durably
from edge_agent.inspection.order import what_is_wrong
from edge_agent.inspection.spec import Stage, Thresholds

SCHEMA = "edge/bundle/1"
RUNTIME = 1
"""What `Manifest.runtime` may ask for at most: raised when a bundle needs more than we can do."""

MANIFEST = "manifest.json"
MAX_BYTES = 512 * 1024 * 1024
MAX_MEMBERS = 1000
_EPOCH = (1980, 1, 1, 0, 0, 0)

Text = Annotated[str, msgspec.Meta(max_length=400)]


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frame that the self-test judges: golden must come out `ok`, challenge must not.

    Attributes:
        file: The member that holds the frame, an image file.
        kind: Known good, or known bad.
        scores: What each stage scored when the bundle was made, of those that look at it.
        truth: What is wrong with it, in words.
    """

    file: Text
    kind: Literal["golden", "challenge"]
    scores: dict[str, float]
    truth: Text = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bundle says of itself.

    Attributes:
        name: What it inspects, e.g. `simulated-line`.
        version: Of this name; free text, shown to people.
        runtime: The least `RUNTIME` that can run it.
        stages: The models, in the order in which they look at a part.
        tolerance: How far a stage's score of a sample may lie from that in `Sample.scores`, as a
            share of its `ng` threshold; of 1 where it has none.
        baseline: Member with the lighting baseline of the frames it was fitted on; empty for none.
        card: Member with the model card (Markdown); empty for none.
        created: When, ISO 8601; free, so that the same inputs can give the same bytes.
        provenance: What it was made from and with, free text by key.
        files: SHA-256 of every member but the manifest; filled in by `write_bundle`.
    """

    schema: Literal["edge/bundle/1"] = "edge/bundle/1"
    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    version: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
    runtime: Annotated[int, msgspec.Meta(ge=1)] = RUNTIME
    stages: tuple[Stage, ...]
    samples: tuple[Sample, ...] = ()
    tolerance: Annotated[float, msgspec.Meta(gt=0.0, le=0.5)] = 0.1
    baseline: Text = ""
    card: Text = ""
    created: Text = ""
    provenance: dict[str, str] = {}
    files: dict[str, str] = {}

    @property
    def thresholds(self) -> dict[str, Thresholds]:
        """The thresholds of the stages that decide, by their names."""
        return {each.name: each.thresholds for each in self.stages if each.thresholds is not None}


class Bundle(msgspec.Struct, frozen=True):
    """A bundle in memory, its digests checked.

    Attributes:
        manifest: What it says of itself.
        digest: SHA-256 of the manifest's bytes: the identity of the bundle.
        files: The members by name, without the manifest.
    """

    manifest: Manifest
    digest: str
    files: dict[str, bytes]

    @property
    def label(self) -> str:
        """Name, version and short digest, for people."""
        return f"{self.manifest.name} {self.manifest.version} ({self.digest[:12]})"

    def image(self, sample: Sample) -> Image:
        """Decode the frame of a sample: HxWx3 BGR or HxW grey, uint8.

        Raises:
            BundleError: The member is no image.
        """
        import cv2  # noqa: PLC0415 - heavy, and most commands never look at a sample

        problem = f"bundle {self.label}: sample {sample.file} is not an 8-bit grey or colour image"
        data = np.frombuffer(self.files[sample.file], np.uint8)
        try:
            image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
        except cv2.error as error:
            raise BundleError(problem) from error
        if image is None or image.dtype != np.uint8 or image.shape[2:] not in {(), (3,)}:
            raise BundleError(problem)
        return np.ascontiguousarray(image)


def write_bundle(path: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle file, atomically, and return it as `read_bundle` would.

    Args:
        path: Where to; an existing file is replaced.
        manifest: Its `files` are filled in here.
        files: The members by name; every name that the manifest uses must be among them.

    Raises:
        BundleError: The manifest names a member that is not given, or the like.
    """
    digests = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    manifest = msgspec.structs.replace(manifest, files=digests)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        head = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        for name, content in [(MANIFEST, head), *((name, files[name]) for name in digests)]:
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content, compresslevel=9)
    bundle = decode_bundle(data.getvalue(), str(path))  # what we write, we can read
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, data.getvalue())
    except OSError as error:
        raise BundleError(f"bundle {path}: cannot be written: {error.strerror}") from error
    return bundle


def read_bundle(path: Path) -> Bundle:
    """Read a bundle file and check every digest in it.

    Raises:
        BundleError: It is missing, damaged, incomplete, or for another runtime.
    """
    return decode_bundle(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """Read the bytes of a bundle file, unchecked, and never more than a bundle may have.

    Raises:
        BundleError: It is missing, unreadable or too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BundleError(f"bundle {path}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise BundleError(f"bundle {path}: larger than {MAX_BYTES >> 20} MiB: not a bundle")
    return data


def decode_bundle(data: bytes, origin: str) -> Bundle:
    """Check the bytes of a bundle file; see `read_bundle`. `origin` names it in errors."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_archive(members, origin)
            content = {member.filename: archive.read(member) for member in members}
    except _ZIP_ERRORS as error:
        reason = " ".join(str(error).split())
        raise BundleError(
            f"bundle {origin}: not a bundle, or damaged ({reason}): fetch it again"
        ) from error
    head = content.pop(MANIFEST, None)
    if head is None:
        raise BundleError(f"bundle {origin}: has no {MANIFEST}: not a bundle")
    manifest = _decode_manifest(head, origin)
    _check_members(manifest, content, origin)
    return Bundle(manifest, hashlib.sha256(head).hexdigest(), content)


# What zipfile raises on damaged archives, depending on the byte that is wrong.
_ZIP_ERRORS = (
    zipfile.BadZipFile, EOFError, NotImplementedError, OSError, OverflowError, RuntimeError,
    ValueError, struct.error, zlib.error,
)  # fmt: skip


def _check_archive(members: list[zipfile.ZipInfo], origin: str) -> None:
    """Refuse, before anything is unpacked, what no bundle needs and only an attack brings."""
    if len(members) > MAX_MEMBERS:
        raise BundleError(f"bundle {origin}: holds {len(members)} files: not a bundle")
    if sum(member.file_size for member in members) > MAX_BYTES:
        raise BundleError(f"bundle {origin}: unpacks to over {MAX_BYTES >> 20} MiB")
    names: set[str] = set()
    for member in members:
        if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise BundleError(f"bundle {origin}: {member.filename!r} is packed in a way not read")
        if member.filename in names:
            raise BundleError(f"bundle {origin}: holds {member.filename!r} twice: do not use it")
        names.add(member.filename)


def _decode_manifest(head: bytes, origin: str) -> Manifest:
    try:
        raw = json.loads(head)
        schema, runtime = raw.get("schema"), raw.get("runtime", 1)
    except (ValueError, AttributeError, RecursionError) as error:
        raise BundleError(f"bundle {origin}: {MANIFEST} is not a JSON object") from error
    if schema != SCHEMA or (isinstance(runtime, int) and runtime > RUNTIME):
        raise BundleError(
            f"bundle {origin}: made for schema {schema!r}, runtime {runtime!r}; this agent runs "
            f"{SCHEMA!r}, runtime {RUNTIME}: update the agent, or export the bundle for this one"
        )
    try:
        return msgspec.json.decode(head, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"bundle {origin}: {MANIFEST}: {error}") from error


def _check_members(manifest: Manifest, content: dict[str, bytes], origin: str) -> None:
    for name in sorted(manifest.files.keys() | content.keys()):
        if name not in content:
            raise BundleError(f"bundle {origin}: {name!r} is missing: fetch the bundle again")
        if name not in manifest.files:
            raise BundleError(
                f"bundle {origin}: {name!r} is not named in the manifest: do not use it"
            )
        if hashlib.sha256(content[name]).hexdigest() != manifest.files[name]:
            raise BundleError(f"bundle {origin}: {name!r} is damaged: fetch the bundle again")
    if wrong := what_is_wrong(manifest.stages):
        raise BundleError(f"bundle {origin}: {MANIFEST}: {wrong}")
    used = [file for stage in manifest.stages for file in stage.models.values()]
    used += [sample.file for sample in manifest.samples]
    used += [name for name in (manifest.baseline, manifest.card) if name]
    for name in used:
        if name not in content:
            raise BundleError(f"bundle {origin}: {MANIFEST} speaks of {name!r}, which is not in it")
