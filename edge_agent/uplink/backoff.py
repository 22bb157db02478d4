"""How long to wait before trying again."""

from __future__ import annotations

_HURRY_S = 1.0
_HURRIED_ATTEMPT = 2


def pause_s(attempt: int, *, minimum_s: float, maximum_s: float, draw: float) -> float:
    """Return the pause before an attempt: exponential, with full jitter.

    After "Exponential Backoff And Jitter" (M. Brooker, AWS Architecture Blog, 2015): random in the
    whole range, so that a fleet that lost its broker does not come back all at once. The pause is
    never under a tenth of the minimum, so that a refusing broker is not hammered.

    Args:
        attempt: 0 after the first failure, 1 after the second, ...
        minimum_s: Ceiling of the first pause.
        maximum_s: Ceiling of every pause.
        draw: A random number in [0, 1).

    >>> [pause_s(n, minimum_s=0.25, maximum_s=30, draw=0.999) < 0.25 * 2**n for n in range(7)]
    [True, True, True, True, True, True, True]
    >>> pause_s(1000, minimum_s=0.25, maximum_s=30, draw=0.5)
    15.0
    """
    ceiling = min(maximum_s, minimum_s * 2.0 ** min(attempt, 60))
    return max(minimum_s / 10, ceiling * draw)


class Retry:
    """When to try next, and that good news cuts a pause short.

    Args:
        minimum_s: Ceiling of the first pause.
        maximum_s: Ceiling of every pause.

    Attributes:
        at: When to try next, monotonic, in seconds.
    """

    def __init__(self, *, minimum_s: float, maximum_s: float) -> None:
        self.at = 0.0
        self._minimum_s = minimum_s
        self._maximum_s = maximum_s
        self._attempt = 0
        self._hurried_at = -_HURRY_S

    def failed(self, now: float, draw: float) -> None:
        """Plan the next attempt; see `pause_s`."""
        self.at = now + pause_s(
            self._attempt, minimum_s=self._minimum_s, maximum_s=self._maximum_s, draw=draw
        )
        self._attempt += 1

    def succeeded(self) -> None:
        """Begin with short pauses the next time."""
        self._attempt = 0

    def hurry(self, now: float, draw: float) -> None:
        """Try soon: something has changed that may have been the cause.

        Changes come in bursts, and to many devices at once: so it is tried at most once a second,
        not by all in the same moment, and the pauses after it are short but not the shortest.
        """
        soon = max(now + draw * min(self._minimum_s, _HURRY_S), self._hurried_at + _HURRY_S)
        self._hurried_at, self._attempt = now, min(self._attempt, _HURRIED_ATTEMPT)
        self.at = min(self.at, soon)
