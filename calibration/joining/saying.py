"""What a person types of a pipeline: `STAGE=...`, read into values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from edge_agent.errors import UsageError
from edge_agent.inspection.spec import Source, When

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Value = TypeVar("Value")

_NUMBER = r"-?(?:\d+\.?\d*|\.\d+)(?:[eE]-?\d+)?"
_RULE = re.compile(
    rf"(?:(?P<low>{_NUMBER})<=)?(?P<stage>[a-z][a-z0-9_-]*)(?::(?P<label>.+?))?"
    rf"(?:>=(?P<from>{_NUMBER}))?(?:<(?P<below>{_NUMBER}))?"
)


def sources(texts: Sequence[str]) -> dict[str, Source]:
    """Read `STAGE=EARLIER` and `STAGE=EARLIER:LABEL,LABEL`.

    >>> sources(["inspect=locate:screw,nut"])["inspect"].labels
    ('screw', 'nut')

    Raises:
        UsageError: It is not of that form.
    """

    def read(text: str) -> Source:
        stage, colon, some = text.partition(":")
        labels = tuple(each.strip() for each in some.split(",") if each.strip())
        if not stage or (colon and not labels):
            raise ValueError(text)
        return Source(stage=stage, labels=labels)

    return _each("--source", texts, read, "STAGE=EARLIER or STAGE=EARLIER:LABEL, such as "
                                          "inspect=locate or inspect=locate:screw")  # fmt: skip


def rules(texts: Sequence[str]) -> dict[str, When]:
    """Read `STAGE=EARLIER>=0.5`, `STAGE=EARLIER:LABEL<0.9` and `STAGE=0.2<=EARLIER<0.9`.

    >>> rule = rules(["sort = 0.2 <= find:dent < 0.9"])["sort"]
    >>> rule.stage, rule.label, rule.at_least, rule.below
    ('find', 'dent', 0.2, 0.9)

    Raises:
        UsageError: It is not of that form.
    """

    def read(text: str) -> When:
        found = _RULE.fullmatch(re.sub(r"\s*(<=|>=|<)\s*", r"\1", text))
        if found is None or (found["low"] and found["from"]):
            raise ValueError(text)
        low, below = found["low"] or found["from"], found["below"]
        if low is None and below is None:
            raise ValueError(text)
        return When(
            stage=found["stage"],
            label=found["label"] or "",
            at_least=float(low) if low is not None else 0.0,
            below=float(below) if below is not None else None,
        )

    return _each("--when", texts, read, "a bound, in quotes (the shell takes < and > for itself), "
                 'such as "inspect=locate>=0.5" or "inspect=0.2<=sort:dent<0.9"')  # fmt: skip


def numbers(option: str, texts: Sequence[str], *, least: float, most: float) -> dict[str, float]:
    """Read `STAGE=NUMBER`.

    >>> numbers("--budget-ms", ["inspect=40"], least=1, most=1000)
    {'inspect': 40.0}

    Raises:
        UsageError: It is not of that form, or the number lies outside.
    """

    def read(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise ValueError(text)
        return value

    return _each(option, texts, read, f"STAGE=NUMBER, {least:g} to {most:g}")


def counts(option: str, texts: Sequence[str], *, least: int, most: int) -> dict[str, int]:
    """Read `STAGE=COUNT`.

    Raises:
        UsageError: It is not of that form, or the count lies outside.
    """

    def read(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise ValueError(text)
        return value

    return _each(option, texts, read, f"STAGE=COUNT, {least} to {most}")


def _each(
    option: str, texts: Sequence[str], read: Callable[[str], Value], form: str
) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for text in texts:
        stage, equals, rest = (each.strip() for each in text.partition("="))
        try:
            if not stage or not equals:
                raise ValueError(text)  # noqa: TRY301 - told in the same words as the others
            value = read(rest)
        except ValueError as error:
            raise UsageError(f"{option} {text}: give {form}") from error
        if stage in found:
            raise UsageError(f"{option}: stage {stage} is given twice: say it once")
        found[stage] = value
    return found
