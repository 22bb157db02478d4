"""The set: images of known truth in folders, their masks, and what they are sliced by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from edge_agent.camera.images import MASK_FOLDERS, list_images
from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

GOOD = "good"
FOLDER = "folder"
"""What `--by` takes for slices by kind of defect."""

META = "meta.json"
NONE = "(none)"
"""The slice of images that have no value for what the set is sliced by."""

_TRAIN = "train"
_LAYOUT = (
    f"lay it out as test/{GOOD}, test/DEFECT and, where there are masks, masks/DEFECT/NAME.png; or "
    f"as {GOOD} and one folder for each kind of defect"
)


class Item(msgspec.Struct, frozen=True):
    """One image of a set.

    Attributes:
        path: The file.
        kind: `good`, or the kind of defect: the name of its folder.
        slice: The value that it is sliced by; empty if the set is not sliced.
        mask: The drawing of the defect; None where there is none.
    """

    path: Path
    kind: str
    slice: str = ""
    mask: Path | None = None


class ImageSet(msgspec.Struct, frozen=True):
    """The images of a folder.

    Attributes:
        folder: The folder with `good` in it.
        items: Good images first, then the kinds of defects by name.
        empty: Folders without an image, by name.
        has_masks: Whether there is a folder of masks.
    """

    folder: Path
    items: tuple[Item, ...]
    empty: tuple[str, ...]
    has_masks: bool


def read_set(folder: Path, by: str = "") -> ImageSet:
    """List the images of a set.

    Args:
        folder: A set (`test/good`, `test/DEFECT`, `masks/DEFECT/NAME.png`), or the folder with
            `good` and the kinds of defects itself.
        by: What it is sliced by: nothing, `folder`, a field of `meta.json`, or a regular
            expression with a group, searched for in the file name.

    Raises:
        UsageError: It is no set, good or defective images are missing, or `by` fits nothing.
    """
    test = _test_folder(folder)
    kinds = sorted(
        entry.name
        for entry in test.iterdir()
        if entry.is_dir()
        and entry.name not in MASK_FOLDERS | {GOOD, _TRAIN}
        and not entry.name.startswith(".")
    )
    masks = _mask_folder(folder, test)
    files = {kind: list_images(test / kind) for kind in [GOOD, *kinds]}
    if not files[GOOD]:
        raise UsageError(f"{test / GOOD}: holds no images of good parts")
    if not any(files[kind] for kind in kinds):
        raise UsageError(f"{test}: no images of defective parts: {_LAYOUT}")
    items = tuple(
        Item(file, kind, mask=_mask_of(masks, kind, file) if kind != GOOD else None)
        for kind, found in files.items()
        for file in found
    )
    empty = tuple(kind for kind in kinds if not files[kind])
    return ImageSet(test, _sliced(items, by, test), empty, masks is not None)


def _test_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    for candidate in (folder / "test", folder):
        if (candidate / GOOD).is_dir():
            return candidate
    if not any(folder.iterdir()):
        raise UsageError(f"{folder}: the folder is empty: {_LAYOUT}")
    raise UsageError(f"{folder}: is no set, there is no folder '{GOOD}' in it: {_LAYOUT}")


def _mask_folder(folder: Path, test: Path) -> Path | None:
    for root in dict.fromkeys([folder, test, test.parent]):
        for name in sorted(MASK_FOLDERS, reverse=True):
            if (root / name).is_dir():
                return root / name
    return None


def _mask_of(masks: Path | None, kind: str, file: Path) -> Path | None:
    if masks is None:
        return None
    for name in (f"{file.stem}.png", f"{file.stem}_mask.png"):
        if (masks / kind / name).is_file():
            return masks / kind / name
    return None


def labels_of(files: Sequence[Path], folder: Path, by: str) -> list[str]:
    """Return what a field of `meta.json`, its folder, or a group in its name says of each image.

    Args:
        files: The images.
        folder: That they lie in; `meta.json` is looked for in it and in the two above it.
        by: The field, `folder`, or a regular expression with a group; empty gives empty labels.

    Raises:
        UsageError: It fits nothing.
    """
    if not by:
        return [""] * len(files)
    folder = folder.resolve()
    roots = [folder, *folder.parents[:2]]
    root = next((root for root in roots if (root / META).is_file()), folder)
    items = tuple(Item(file.parent.resolve() / file.name, file.parent.name) for file in files)
    sliced = _sliced(items, by, root, option="--group-by")
    # What it does not fit is a part of its own.
    return [item.slice if item.slice != NONE else str(item.path) for item in sliced]


def _sliced(
    items: tuple[Item, ...], by: str, test: Path, *, option: str = "--by"
) -> tuple[Item, ...]:
    if not by:
        return items
    value = _by_folder if by == FOLDER else _by_field(test, by) or _by_pattern(by, option)
    if value is None:
        raise UsageError(
            f"{option} {by}: neither '{FOLDER}', nor a field of {META}{_fields(test)}, nor a "
            "regular expression with a group, such as 'exp([0-9])'"
        )
    sliced = tuple(msgspec.structs.replace(item, slice=value(item) or NONE) for item in items)
    if all(item.slice == NONE for item in sliced):
        raise UsageError(f"{option} {by}: fits none of the {len(items)} images")
    return sliced


def _by_folder(item: Item) -> str:
    return item.kind


def _by_field(test: Path, field: str) -> Callable[[Item], str] | None:
    meta = _read_meta(test)
    if not any(field in known for known in meta.values()):
        return None

    def value(item: Item) -> str:
        known = meta.get(item.path.name)
        if known is None and item.path.is_relative_to(test):
            known = meta.get(item.path.relative_to(test).as_posix())
        known = known or {}
        return str(known[field]) if known.get(field) is not None else ""

    return value


def _by_pattern(pattern: str, option: str) -> Callable[[Item], str] | None:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{option} {pattern}: not a regular expression: {error}") from error
    if not compiled.groups:
        return None

    def value(item: Item) -> str:
        found = compiled.search(item.path.name)
        return next((group for group in found.groups() if group), "") if found else ""

    return value


def _read_meta(test: Path) -> dict[str, dict[str, Any]]:
    """Read what is known of each image: an object of objects by file name."""
    for file in (test / META, test.parent / META):
        if not file.is_file():
            continue
        try:
            return msgspec.json.decode(file.read_bytes(), type=dict[str, dict[str, Any]])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{file}: cannot be used: {error}; it holds an object of fields by file name"
            ) from error
    return {}


def _fields(test: Path) -> str:
    fields = sorted({field for known in _read_meta(test).values() for field in known})
    return f" ({', '.join(fields[:8])})" if fields else ""
