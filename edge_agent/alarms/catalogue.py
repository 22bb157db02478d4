"""All alarms that this agent can raise. Anything else is an event, not an alarm."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Priority(StrEnum):
    """How soon a person must respond (ISA-18.2 advises few of the high ones)."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class AlarmKind(msgspec.Struct, frozen=True):
    """One kind of alarm.

    Attributes:
        name: The alarm's key but for its last level, the source.
        priority: How soon a person must respond.
        on_delay_s: How long the condition must stand before the alarm is raised.
        off_delay_s: How long it must be gone before the alarm clears.
        remedy: What to do; empty where the text of the condition says it.
    """

    name: str
    priority: Priority
    on_delay_s: float
    off_delay_s: float
    remedy: str


def _light(cause: str) -> AlarmKind:
    """Make the kind of a cause that the light and camera watch names: its text says what to do."""
    return AlarmKind(f"light/{cause}", Priority.HIGH, 0.0, 5.0, "")


# One cause is one alarm: what is wrong with light and camera is told apart by the watch.
LIGHT = {
    cause: _light(cause)
    for cause in (
        "brightness", "gradient", "ambient", "color", "exposure", "flicker", "defocus", "dirt",
        "camera_moved", "frozen", "product", "other",
    )
}  # fmt: skip
SCORES = AlarmKind(
    "scores",
    Priority.MEDIUM,
    0.0,
    10.0,
    "look at the parts, the fixture and the lens; another product is told with `edge-agent "
    "changeover`; try the bundle with `edge-agent bundle test`",
)
AGEING = AlarmKind("ageing", Priority.LOW, 0.0, 0.0, "do it before that day")
CAMERA = AlarmKind("camera", Priority.CRITICAL, 0.0, 2.0, "check the camera, its cable and power")
MODEL = AlarmKind(
    "model",
    Priority.CRITICAL,
    0.0,
    0.0,
    "install a bundle (edge-agent install), or go back (rollback)",
)
IMAGE = AlarmKind("image", Priority.MEDIUM, 0.0, 10.0, "look at the named image or at the camera")
LATE = AlarmKind(
    "late", Priority.HIGH, 0.0, 10.0, "lengthen the takt, or use a smaller model or more threads"
)
SPOOL = AlarmKind("spool", Priority.CRITICAL, 0.0, 5.0, "check the disk: it is full or failing")
STAGE = AlarmKind("stage", Priority.CRITICAL, 0.0, 60.0, "read the log and report this fault")

CATALOGUE = {
    kind.name: kind
    for kind in (*LIGHT.values(), SCORES, AGEING, CAMERA, MODEL, IMAGE, LATE, SPOOL, STAGE)
}


def key_of(kind: AlarmKind, source: str) -> str:
    """Return the key of the alarm of a kind at a station (or of a stage).

    >>> key_of(LIGHT["brightness"], "press-4")
    'light/brightness/press-4'
    """
    return f"{kind.name}/{source}"


def kind_of(key: str) -> AlarmKind | None:
    """Return the kind of an alarm by its key; None for one that this agent does not know.

    >>> kind_of("light/brightness/press-4") is LIGHT["brightness"]
    True
    """
    return CATALOGUE.get(key.rpartition("/")[0])
