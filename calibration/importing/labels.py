"""Labels: from the command line, a file, or a model's own metadata."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LISTS = frozenset({".txt", ".json", ".names", ".labels"})
_LONGEST = 64
_KEYS = ("names", "labels", "classes", "class_names")
_GOOD = frozenset({"good", "ok", "okay", "normal", "pass", "passed", "no_defect", "defect_free"})
_GROUND = frozenset({"background", "bg", "_background_", "__background__"})


def given(text: str) -> tuple[str, ...]:
    """Read labels that a person gave: a file with one a line (or JSON), or a,b,c.

    Raises:
        UsageError: The file cannot be read, or it holds no labels.
    """
    if not text:
        return ()
    file = Path(text)
    if file.suffix in _LISTS or ("/" in text and "," not in text) or file.is_file():
        return clean(_from_file(file))
    return clean(text.split(","))


def _from_file(file: Path) -> Sequence[str]:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--labels {file}: cannot be read: give a text file, one a line"
        ) from error
    return parse(text) or text.splitlines()


def parse(text: str) -> tuple[str, ...]:
    """Read labels from a list or a mapping by number, in JSON or as Python prints it."""
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
        if isinstance(found, Mapping):
            return _by_number(found)
        if isinstance(found, list | tuple):
            return tuple(str(each) for each in found)
    return ()


def _by_number(found: Mapping[object, object]) -> tuple[str, ...]:
    """Order a mapping: number to label, or label to number."""
    pairs = list(found.items())
    if pairs and all(isinstance(value, int) for _, value in pairs):
        pairs = [(value, key) for key, value in pairs]
    try:
        return tuple(str(label) for _, label in sorted(pairs, key=lambda pair: int(str(pair[0]))))
    except ValueError:
        return ()


def of(meta: Mapping[str, str]) -> tuple[str, ...]:
    """Return the labels that a model's metadata name; empty where it names none."""
    for key in _KEYS:
        found = parse(meta.get(key, "")) or (
            tuple(meta[key].split(",")) if "," in meta.get(key, "") else ()
        )
        if found:
            return clean(found)
    return ()


def clean(labels: Sequence[str]) -> tuple[str, ...]:
    """Return labels that are not empty, not too long, and each there once."""
    found: list[str] = []
    for place, label in enumerate(labels):
        text = " ".join(label.split())[:_LONGEST]
        if not text and place == len(labels) - 1:
            continue  # a file's last line
        text = text or str(place)
        while text in found:
            text = f"{text[: _LONGEST - 6]}-{place}"
        found.append(text)
    return tuple(found)


def known(option: str, some: Sequence[str], labels: Sequence[str]) -> None:
    """Refuse labels that the model does not have.

    Raises:
        UsageError: There is one.
    """
    for label in some:
        if label not in labels:
            shown = ", ".join(labels[:12]) + (", ..." if len(labels) > 12 else "")
            raise UsageError(f"{option} {label}: none of the model's labels, which are {shown}")


def good_among(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels that say of themselves that a part is good."""
    return tuple(
        each for each in labels if each.strip().lower().replace(" ", "_").replace("-", "_") in _GOOD
    )


def grounds_among(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels that say of themselves that nothing is there."""
    return tuple(each for each in labels if each.strip().lower() in _GROUND)
