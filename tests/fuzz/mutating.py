"""Damage to bytes: what links, disks and strangers do to them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

_TELLING = (0, 1, 2, 7, 8, 9, 0x0A, 0x22, 0x5B, 0x5D, 0x7B, 0x7D, 0x7F, 0x80, 0xFF)
_MOST_STEPS = 4
_SPAN = 64
LONGEST = 64 * 2**10


def mutate(data: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    """Damage `data` in one to four places.

    Args:
        data: What is damaged.
        others: Where foreign pieces come from.
        draw: What chance there is.
    """
    found = bytearray(data)
    for _ in range(draw.randint(1, _MOST_STEPS)):
        _step(found, others, draw)
    return bytes(found[:LONGEST])


def _step(found: bytearray, others: Sequence[bytes], draw: Random) -> None:
    at = draw.randrange(len(found) + 1)
    span = slice(at, at + draw.randint(1, _SPAN))
    kind = draw.randrange(9)
    if kind == 0 and at < len(found):
        found[at] ^= 1 << draw.randrange(8)
    elif kind == 1 and at < len(found):
        found[at] = draw.choice(_TELLING)
    elif kind == 2:
        found[at:at] = bytes([draw.choice(_TELLING)]) * draw.randint(1, 12)
    elif kind == 3:
        del found[span]
    elif kind == 4:
        del found[at:]
    elif kind == 5:
        found[at:at] = found[span] * draw.randint(1, 4)
    elif kind == 6:
        found[span] = draw.randbytes(draw.randint(0, 16))
    elif kind == 7 and at < len(found):
        found[at] = (found[at] + draw.choice((1, -1, 16, -16))) % 256
    else:
        other = draw.choice(others)
        begin = draw.randrange(len(other) + 1)
        found[span] = other[begin : begin + draw.randint(1, _SPAN)]
