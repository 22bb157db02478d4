"""How files are played as a camera."""

from __future__ import annotations

import enum


class Playback(enum.StrEnum):
    """What comes after the last frame of a folder or a video."""

    ONCE = "once"
    LOOPED = "looped"


def round_suffix(played: int) -> str:
    """Return what keeps part ids apart when the same files are played again.

    >>> round_suffix(1), round_suffix(2)
    ('', '#2')
    """
    return "" if played <= 1 else f"#{played}"
