"""A row of whole numbers: what is predictable is left out, the rest is laid out without it.

With v the numbers and c earlier rows of the same length:

    e[i] = v[i] - floor(sum of c[i] / divisor)      what other columns do not say
    d[i] = e[i] - e[i-1]                            how it goes on, from a start; or d = e
    r[i] = (d[i] - base) / unit                     whole, and not negative

r is packed bit by bit, or split into planes of bytes, the lowest first, which zstd makes smaller
where some bytes are frequent. All arithmetic is modulo 2**64 and read as signed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.columns.octets import Octets, signed, unsigned
from edge_agent.errors import WireError

Numbers = npt.NDArray[np.int64]
LARGEST = 2**62
"""Of a number that is laid out: the sum or difference of two stays within 64 bits."""

RELATED_MOST = 16
"""Columns that may tell another one together."""

_SAMPLE = 64
_WORTH_BITS = 0.1  # what a way must save for each number to be taken
_TABLE_BYTES = 12  # what zstd spends on a plane before its first byte, about
_PLANES_FROM = 64  # numbers: with fewer zstd leaves the bytes of a plane as they are


_DIFFERENCES, _RELATED, _UNIT, _PACKED = 1, 2, 4, 8  # flags: what stands before the numbers


class Relation(msgspec.Struct, frozen=True):
    """What other columns say of this one.

    Attributes:
        columns: Their places among the columns.
        divisor: What their sum is divided by.
    """

    columns: tuple[int, ...] = ()
    divisor: int = 1


class _Rest(msgspec.Struct, frozen=True):
    """What is left of numbers once base and unit are taken out.

    Attributes:
        above: Not negative.
        base: What was the smallest.
        unit: What they are multiples of.
        bits: Of the largest.
    """

    above: npt.NDArray[np.uint64]
    base: int
    unit: int
    bits: int


# --- writing --------------------------------------------------------------------------------------


def write(
    values: Numbers, others: Sequence[Numbers | None] = (), relations: Sequence[Relation] = ()
) -> list[bytes]:
    """Lay numbers out in the shortest way that is known here.

    Args:
        values: At least one, from -LARGEST to LARGEST.
        others: Numbers of the columns before this one; None where a column has none.
        relations: Those worth trying.

    Returns:
        The parameters, then the bytes of the numbers, in chunks of one nature each.
    """
    ways = [Relation(), *relations]
    untold = np.stack([values - _told(each, others, len(values)) for each in ways])
    tried = []
    for index in {0, _likeliest(untold)}:
        for steps in (0, 1) if len(values) > 2 else (0,):
            rest = _rest(np.diff(untold[index], n=steps))
            bits = min(_packed_bytes(rest), _plane_bytes(rest)) * 8 / len(values)
            tried.append((bits + _WORTH_BITS * (steps + (index > 0)), index, steps))
    _, index, steps = min(tried)
    return _lay_out(untold[index], ways[index], steps)


def plainness(values: Numbers) -> float:
    """Estimate the bytes that a row takes by itself."""
    rests = [_rest(values), _rest(np.diff(values))]
    return min(min(_packed_bytes(rest), _plane_bytes(rest)) for rest in rests)


def _lay_out(values: Numbers, relation: Relation, steps: int) -> list[bytes]:
    rest = _rest(np.diff(values, n=steps))
    flags, head = 0, b""
    if relation.columns:
        flags |= _RELATED
        head += unsigned(len(relation.columns)) + b"".join(map(unsigned, relation.columns))
        head += unsigned(relation.divisor)
    if steps:
        flags |= _DIFFERENCES
        head += signed(int(values[0]))
    head += signed(rest.base)
    if rest.unit != 1:
        flags |= _UNIT
        head += unsigned(rest.unit)
    if _packed_bytes(rest) <= _plane_bytes(rest):
        flags |= _PACKED
        return [bytes([flags]) + head + bytes([rest.bits]) + _pack(rest)]
    width = (rest.bits + 7) // 8
    planes = rest.above.astype("<u8").view(np.uint8).reshape(-1, 8)
    split = [planes[:, index].tobytes() for index in range(width)]
    return [bytes([flags]) + head + bytes([width]), *split]


def _likeliest(untold: npt.NDArray[np.int64]) -> int:
    """Choose the relation that leaves least, by how far the first few numbers lie apart."""
    if untold.shape[1] < 2:
        return 0
    apart = np.abs(np.diff(untold[:, :_SAMPLE]).astype(np.float64))
    return int(np.log2(apart + 1.0).sum(axis=1).argmin())


def _told(relation: Relation, others: Sequence[Numbers | None], count: int) -> Numbers:
    """Return what other columns say these numbers are."""
    told = np.zeros(count, np.int64)
    for column in relation.columns:
        other = others[column] if column < len(others) else None
        if other is None or len(other) != count:
            raise WireError(f"batch: a column refers to column {column}, which has no such numbers")
        told += other
    return told if relation.divisor == 1 else told // np.int64(relation.divisor)


def _rest(values: Numbers) -> _Rest:
    if not len(values):
        return _Rest(values.view(np.uint64), 0, 1, 0)
    base = int(values.min())
    above = (values - base).view(np.uint64)
    unit = int(np.gcd.reduce(above)) or 1
    if unit > 1:
        above //= np.uint64(unit)
    return _Rest(above, base, unit, int(above.max()).bit_length())


def _packed_bytes(rest: _Rest) -> float:
    return len(rest.above) * rest.bits / 8


def _plane_bytes(rest: _Rest) -> float:
    """Estimate what planes take once they are compressed: their entropies, and the tables."""
    count = len(rest.above)
    if count < _PLANES_FROM:
        return float(count * ((rest.bits + 7) // 8) + 1)
    size = 0.0
    for shift in range(0, rest.bits, 8):
        seen = np.bincount((rest.above >> np.uint64(shift)).astype(np.uint8))
        seen = seen[seen > 0]
        bits = -float(seen @ np.log2(seen / count))
        size += min(float(count), bits / 8 + len(seen) / 3) + _TABLE_BYTES
    return size


def _pack(rest: _Rest) -> bytes:
    planes = rest.above.astype("<u8").view(np.uint8).reshape(-1, 8)
    bits = np.unpackbits(planes, axis=1, bitorder="little")[:, : rest.bits]
    return np.packbits(bits, bitorder="little").tobytes()


# --- reading --------------------------------------------------------------------------------------


def read(octets: Octets, count: int, others: Sequence[Numbers | None] = ()) -> Numbers:
    """Read a row of `count` numbers.

    Args:
        octets: Where it is next.
        count: How many; the reader answers for the memory that they take.
        others: Numbers of the columns before this one.

    Raises:
        WireError: It breaks the layout.
    """
    flags = octets.unsigned(15)
    relation = Relation()
    if flags & _RELATED:
        columns = tuple(octets.unsigned() for _ in range(octets.unsigned(RELATED_MOST)))
        relation = Relation(columns, octets.unsigned(2**63 - 1))
    start = octets.signed() if flags & _DIFFERENCES else 0
    base = octets.signed()
    unit = octets.unsigned() if flags & _UNIT else 1
    if relation.divisor == 0 or (flags & _DIFFERENCES and not count):
        raise WireError(
            f"batch: numbers before byte {octets.at}: divisor 0, or differences of none"
        )
    above = _read_above(octets, count - (flags & _DIFFERENCES), flags)
    values = (above * np.uint64(unit)).view(np.int64) + np.int64(base)
    if flags & _DIFFERENCES:
        values = np.concatenate((np.array([start], np.int64), values)).cumsum()
    return values + _told(relation, others, count) if relation.columns else values


def _read_above(octets: Octets, count: int, flags: int) -> npt.NDArray[np.uint64]:
    planes = np.zeros((count, 8), np.uint8)
    if flags & _PACKED:
        bits = octets.unsigned(64)
        packed = np.frombuffer(octets.take((count * bits + 7) // 8), np.uint8)
        if bits:
            loose = np.unpackbits(packed, count=count * bits, bitorder="little")
            loose = np.packbits(loose.reshape(count, bits), axis=1, bitorder="little")
            planes[:, : (bits + 7) // 8] = loose
    else:
        for index in range(octets.unsigned(8)):
            planes[:, index] = np.frombuffer(octets.take(count), np.uint8)
    return planes.view("<u8").reshape(count)
