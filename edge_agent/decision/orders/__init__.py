"""Orders: where a line's controller tells a station what to make. One file each.

The contract: a driver takes `Tell` and calls it, on a thread of its own, whenever an order comes,
and gives the outcome back to whoever ordered. It never waits for a part, and a part never for it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

import msgspec


class Outcome(IntEnum):
    """What became of an order; the numbers are on the wire."""

    NONE = 0
    """Nothing was ordered yet."""

    TAKEN = 1
    """It holds from the next part on."""

    NO_RECIPE = 2
    """It holds, but there is no recipe for it: only the fixed scene is watched."""

    REFUSED = 3
    """Nothing has changed; the log says why."""


class Told(msgspec.Struct, frozen=True):
    """The outcome of an order, and the code of the product that is in force; 0 for one without."""

    outcome: Outcome
    code: int


Tell = Callable[[str, int], Told]
"""Takes a station and the code of a product; raises nothing."""

InForce = Callable[[str], int]
"""Takes a station and returns the code of the product in force; 0 for none, or one without."""


class Orders(Protocol):
    """One place where orders come from."""

    def start(self) -> None:
        """Begin to listen.

        Raises:
            ConfigError: That cannot be done.
        """

    def is_alive(self) -> bool:
        """Tell whether it still listens."""

    def close(self) -> None:
        """Stop listening; may be called twice."""
