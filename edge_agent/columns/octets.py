"""The smallest parts of the layout: whole numbers and strings of bytes, written and read."""

from __future__ import annotations

from edge_agent.errors import WireError


def unsigned(value: int) -> bytes:
    """Write a number from 0 to 2**64 - 1: seven bits a byte, the lowest first (LEB128).

    >>> unsigned(300).hex()
    'ac02'
    """
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value: int) -> bytes:
    """Write a number of 64 bits with its sign: 0, -1, 1, -2 as 0, 1, 2, 3.

    >>> signed(-2).hex()
    '03'
    """
    return unsigned(2 * value if value >= 0 else -2 * value - 1)


def sized(data: bytes) -> bytes:
    """Write a string of bytes after its length."""
    return unsigned(len(data)) + data


class Octets:
    """Bytes that are read from the front; the end is never overrun.

    Attributes:
        at: Where the next read begins.
    """

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self.at = at

    @property
    def is_empty(self) -> bool:
        """Whether all is read."""
        return self.at == len(self._data)

    def unsigned(self, most: int = 2**64 - 1) -> int:
        """Read a number from 0 to `most`.

        Raises:
            WireError: It is larger, or cut short.
        """
        value = byte = self._byte()
        if byte <= 0x7F and byte <= most:
            return byte  # nearly all are this small
        shift = 7
        while byte > 0x7F:
            if shift > 63:
                raise WireError(f"batch: a number at byte {self.at} does not end")
            byte = self._byte()
            value += (byte - 1) << shift  # less the mark of the byte before
            shift += 7
        if value > most:
            raise WireError(f"batch: {value} at byte {self.at} where at most {most} may stand")
        return value

    def _byte(self) -> int:
        if self.at >= len(self._data):
            raise WireError(f"batch: its columns are cut short at byte {self.at}")
        self.at += 1
        return self._data[self.at - 1]

    def signed(self) -> int:
        """Read a number of 64 bits with its sign."""
        value = self.unsigned()
        return -(value + 1) // 2 if value & 1 else value // 2

    def take(self, size: int) -> bytes:
        """Read `size` bytes.

        Raises:
            WireError: There are fewer.
        """
        end = self.at + size
        if end > len(self._data):
            raise WireError(f"batch: its columns are cut short at byte {self.at}")
        found = self._data[self.at : end]
        self.at = end
        return found

    def sized(self) -> bytes:
        """Read a string of bytes after its length."""
        return self.take(self.unsigned())
