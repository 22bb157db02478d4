"""Records, cut into what they have in common and what each says for itself.

A record is cut into a template (its text, with a NUL for each value) and its values. Values that
stand under one path of keys make a column; a value that is the same in all records goes back into
the template. Whatever the records are, they can be put together again: keys and values are found
by a pattern, and what it finds decides only how small the columns become.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from edge_agent.columns import numbers, tokens
from edge_agent.columns.numbers import Numbers, Relation
from edge_agent.columns.octets import Octets, sized, unsigned
from edge_agent.errors import WireError

TEMPLATES = 256
COLUMNS = 1024
VALUES = 2_000_000
"""Values of all records: what bounds the memory of whoever reads a stranger's batch."""

_HOLE = b"\x00"
_RECENT = 8
_MOST_VALUES = 512  # of a record that is cut up
_MOST_LIKE = 32  # columns that are tried for what they tell of another
_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_VALUE = re.compile(rb"([:\[,])(" + _TEXT + rb"(?!:)|[-\d][\d.eE+-]*+|true|false|null)")
_ANY = b"(" + _TEXT + rb"|[^\"\[\]{},]++)"
_MARK = re.compile(rb'"((?:[^"\\\x00]|\\[^\x00])*)":|([{}\[\]])|(\x00)')


class Template(msgspec.Struct):
    """What records have in common.

    Attributes:
        place: Among the templates.
        text: With a NUL for each value.
        columns: Where each value goes.
        form: Finds the values of a record that has this template, ten times as fast as a search
            for values; made when a second record has it.
    """

    place: int
    text: bytes
    columns: tuple[int, ...]
    form: re.Pattern[bytes] | None = None


class Shreds:
    """Records that were cut up.

    Attributes:
        templates: By their texts, in the order of their places.
        paths: The path of keys to each column.
        columns: The values.
        rows: The template of each record.
    """

    def __init__(self, records: Sequence[bytes]) -> None:
        self.templates: dict[bytes, Template] = {}
        self.paths: dict[bytes, int] = {}
        self.columns: list[list[bytes]] = []
        self.rows: list[int] = []
        self._recent: list[Template] = []  # the one that was used last comes first
        for record in records:
            template, values = self._cut(record)
            self.rows.append(template.place)
            for column, value in zip(template.columns, values, strict=True):
                self.columns[column].append(value)

    def _cut(self, record: bytes) -> tuple[Template, Sequence[bytes]]:
        """Find the template of a record, or make it, and the values."""
        for template in self._recent[:_RECENT]:
            match = template.form and template.form.fullmatch(record)
            if match:
                self._use(template)
                return template, match.groups()
        parts = _VALUE.split(record)
        between = [a + b for a, b in zip(parts[0::3], [*parts[1::3], b""], strict=True)]
        text, values = _HOLE.join(between), parts[2::3]
        if (
            _HOLE in record
            or len(values) > _MOST_VALUES
            or (text not in self.templates and len(self.templates) >= TEMPLATES - 1)
        ):
            text, values = _HOLE, [record]  # as it stands
        known = self.templates.get(text)
        if known is None:
            return self._make(text), values
        if text != _HOLE:
            known.form = re.compile(_ANY.join(map(re.escape, between)), re.DOTALL)
            self._use(known)
        return known, values

    def _use(self, template: Template) -> None:
        if self._recent[:1] != [template]:
            self._recent = [template, *(each for each in self._recent if each is not template)]

    def _make(self, text: bytes) -> Template:
        places = []
        for path in _paths(text):
            shared = path if path in self.paths or len(self.paths) < COLUMNS - 1 else b""
            places.append(self.paths.setdefault(shared, len(self.paths)))
            self.columns += [[] for _ in range(len(self.paths) - len(self.columns))]
        self.templates[text] = Template(len(self.templates), text, tuple(places))
        return self.templates[text]


def _paths(text: bytes) -> Iterator[bytes]:
    """Name the path of keys to each hole of a template; places in a list are all the same."""
    stack: list[bytes] = []
    key = b""
    for mark in _MARK.finditer(text):
        if mark[3]:
            yield b"/".join([*stack, key])
        elif mark[2] in (b"{", b"["):
            stack.append(key)
        elif mark[2]:
            del stack[-1:]
        else:
            key = mark[1]


# --- writing --------------------------------------------------------------------------------------


def write(records: Sequence[bytes]) -> list[bytes] | None:
    """Lay records out in columns.

    Args:
        records: At least one, none with a line end.

    Returns:
        Chunks of bytes, each of one nature: compressed one by one they become smallest. None for
        records with more values than a reader takes.
    """
    shreds = Shreds(records)
    if sum(map(len, shreds.columns)) > VALUES:
        return None
    fixed = {index for index, texts in enumerate(shreds.columns) if _is_fixed(texts)}
    parsed = {i: tokens.parse(t) for i, t in enumerate(shreds.columns) if i not in fixed}
    order = sorted(parsed, key=lambda index: _turn(parsed[index]))
    place = {index: turn for turn, index in enumerate(order)}
    head = [unsigned(len(shreds.templates))]
    for template in shreds.templates.values():
        same = [shreds.columns[c][0] if c in fixed else _HOLE for c in template.columns]
        head.append(sized(_filled(template.text, same)))
        head += (unsigned(place[column]) for column in template.columns if column not in fixed)
    chunks = [b"".join(head), *numbers.write(np.array(shreds.rows, np.int64)), unsigned(len(order))]
    parents = [path.rpartition(b"/")[0] for path in shreds.paths]
    values: list[Numbers | None] = []
    for index in order:
        column = parsed[index]
        chunks.append(bytes([column.form]) + column.head)
        if column.values is not None:
            near = sorted(order[: len(values)], key=lambda other: abs(other - index))
            brothers = [place[i] for i in near if i < index and parents[i] == parents[index]]
            relations = _relations(column, values, [place[i] for i in near], brothers)
            chunks += numbers.write(column.values, values, relations)
        values.append(column.values)
    return chunks


def _is_fixed(texts: Sequence[bytes]) -> bool:
    return texts.count(texts[0]) == len(texts) and _HOLE not in texts[0]


def _filled(text: bytes, values: Sequence[bytes]) -> bytes:
    parts = text.split(_HOLE)
    return b"".join(part + value for part, value in zip(parts, [*values, b""], strict=True))


def _turn(column: tokens.Parsed) -> tuple[int, float]:
    """Order columns so that what may tell others comes before them."""
    if column.values is None:
        return 0, 0.0
    return 1 + (column.form is tokens.Form.TIME), numbers.plainness(column.values)


def _relations(
    column: tokens.Parsed,
    values: Sequence[Numbers | None],
    near: Sequence[int],
    brothers: Sequence[int],
) -> list[Relation]:
    """Guess what may tell the numbers of a column: another one, or the sum of its brothers."""
    if column.values is None or column.form is tokens.Form.CHOICE:
        return []
    count = len(column.values)
    counts = [None if other is None else len(other) for other in values]
    like = [other for other in near if counts[other] == count][:_MOST_LIKE]
    if column.form is tokens.Form.TIME:
        return [Relation((other,), 10**power) for other in like for power in (0, 3, 6)]
    brothers = [other for other in brothers if counts[other] == count]
    found = [Relation((other,)) for other in like]
    if 1 < len(brothers) <= numbers.RELATED_MOST:
        found.append(Relation(tuple(brothers)))
    return found


# --- reading --------------------------------------------------------------------------------------


def read(data: bytes, at: int, *, count: int, limit_bytes: int) -> list[bytes]:
    """Read records that were laid out in columns.

    Args:
        data: The batch, decompressed.
        at: Where its columns begin.
        count: Records that the header names; the caller has found it small enough.
        limit_bytes: Refuse more than this.

    Raises:
        WireError: They break the layout.
    """
    octets = Octets(data, at)
    templates = [_read_template(octets) for _ in range(octets.unsigned(TEMPLATES))]
    rows = numbers.read(octets, count)
    if not 0 <= int(rows.min()) <= int(rows.max()) < len(templates):
        raise WireError("batch: a record has a template that is not there")
    needed, size = _needs(templates, rows, octets.unsigned(COLUMNS))
    columns: list[tokens.Column] = []
    values: list[Numbers | None] = []
    _check_size(size, limit_bytes)
    for uses in needed:
        column = tokens.read(octets, uses, values)
        columns.append(column)
        values.append(column.values)
        size += column.size
        _check_size(size, limit_bytes)
    if not octets.is_empty:
        raise WireError("batch: its columns are followed by other bytes")
    queues = [iter(column.texts()).__next__ for column in columns]
    makers = [(text, [queues[place] for place in places]) for text, places in templates]
    return [
        text % tuple([take() for take in takes])
        for text, takes in map(makers.__getitem__, rows.tolist())
    ]


def _check_size(size: int, limit_bytes: int) -> None:
    """Refuse what becomes too large, before it does."""
    if size > limit_bytes:
        raise WireError(f"batch: more than {limit_bytes} bytes once it is put together")


def _read_template(octets: Octets) -> tuple[bytes, list[int]]:
    """Read a template; return its text as a format, and the column of each of its values."""
    text = octets.sized()
    holes = text.count(_HOLE)
    if holes > COLUMNS:
        raise WireError(f"batch: a template before byte {octets.at} has {holes} values")
    places = [octets.unsigned(COLUMNS - 1) for _ in range(holes)]
    return text.replace(b"%", b"%%").replace(_HOLE, b"%b"), places


def _needs(
    templates: Sequence[tuple[bytes, list[int]]], rows: Numbers, columns: int
) -> tuple[list[int], int]:
    """Count the values that each column must have, and the bytes that stand around them."""
    needed, size = [0] * columns, 0
    uses = np.bincount(rows, minlength=len(templates)).tolist()
    for (text, places), times in zip(templates, uses, strict=True):
        size += times * len(text)
        for place in places:
            if place >= columns:
                raise WireError("batch: a template has a column that is not there")
            needed[place] += times
    if not all(needed):
        raise WireError("batch: a column is used by no record")
    if sum(needed) > VALUES:
        raise WireError(f"batch: more than {VALUES} values")
    return needed, size
