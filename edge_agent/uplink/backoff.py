"""How long to wait before trying again."""

from __future__ import annotations


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
