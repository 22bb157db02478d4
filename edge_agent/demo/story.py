"""The story that the demonstration plays: what happens when, as pure functions of its length."""

from __future__ import annotations

from enum import StrEnum

import msgspec

MIN_DURATION_S = 12.0
TAKT_MS = 100
DIMMED_LEVEL = 0.35
"""What is left of the light while it is dimmed."""

_BROKER_DOWN_S = 5.0


class EventKind(StrEnum):
    """What the demonstration does, or causes."""

    DIM = "dim"
    BRIGHTEN = "brighten"
    KILL_BROKER = "kill-broker"
    START_BROKER = "start-broker"


class StoryEvent(msgspec.Struct, frozen=True):
    """One turn of the story.

    Attributes:
        at_s: Seconds of line time, from the first part.
        kind: What happens.
        text: The same for people.
    """

    at_s: float
    kind: EventKind
    text: str


class Story(msgspec.Struct, frozen=True):
    """The whole story.

    Attributes:
        parts: How many parts come.
        events: In the order of their times.
    """

    parts: int
    events: tuple[StoryEvent, ...]

    def part_at(self, kind: EventKind) -> int:
        """Return the number of the first part that comes after an event."""
        at_s = next(event.at_s for event in self.events if event.kind is kind)
        return round(at_s * 1000 / TAKT_MS) + 1


def tell(duration_s: float, *, light: bool) -> Story:
    """Lay out the story for a length of time.

    Args:
        duration_s: How long parts come, at least `MIN_DURATION_S`.
        light: Whether the light can be changed (the simulated line).

    >>> [(event.kind.value, event.at_s) for event in tell(40.0, light=True).events]
    [('dim', 8.0), ('brighten', 14.0), ('kill-broker', 22.0), ('start-broker', 27.0)]
    """
    down_s = min(_BROKER_DOWN_S, duration_s / 3)
    kill_s = 0.55 * duration_s
    events = [
        StoryEvent(kill_s, EventKind.KILL_BROKER, "the broker is killed: records wait on disk"),
        StoryEvent(
            kill_s + down_s, EventKind.START_BROKER, "the broker is back: the backlog drains"
        ),
    ]
    if light:
        share = f"{DIMMED_LEVEL:.0%}"
        dim_s, bright_s = 0.2 * duration_s, 0.35 * duration_s
        events += [
            StoryEvent(dim_s, EventKind.DIM, f"the light is dimmed to {share}"),
            StoryEvent(bright_s, EventKind.BRIGHTEN, "the light is back"),
        ]
    events.sort(key=lambda event: event.at_s)
    return Story(round(duration_s * 1000 / TAKT_MS), tuple(events))
