"""What is typed of a pipeline becomes values, or one line that says how to type it."""

from __future__ import annotations

import pytest

from calibration.joining import saying
from edge_agent.errors import UsageError
from edge_agent.inspection.spec import Source, When


def test_a_source_names_a_stage_and_perhaps_labels() -> None:
    assert saying.sources(["look=find", "read=find:nut, big screw"]) == {
        "look": Source(stage="find"),
        "read": Source(stage="find", labels=("nut", "big screw")),
    }


@pytest.mark.parametrize("text", ["look", "look=", "=find", "look=find:", ""])
def test_a_source_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"give STAGE=EARLIER or STAGE=EARLIER:LABEL, such as"):
        saying.sources([text])


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("look=find>=0.5", When(stage="find", at_least=0.5)),
        ("look=find<0.5", When(stage="find", below=0.5)),
        ("look = find >= 2", When(stage="find", at_least=2.0)),
        ("look=0.2<=find<.9", When(stage="find", at_least=0.2, below=0.9)),
        ("look=find>=0.2<0.9", When(stage="find", at_least=0.2, below=0.9)),
        ("look=find:big nut>=0.5", When(stage="find", label="big nut", at_least=0.5)),
        ("look=find:a:b<0.5", When(stage="find", label="a:b", below=0.5)),
    ],
)
def test_a_rule_has_bounds(text: str, rule: When) -> None:
    assert saying.rules([text]) == {"look": rule}


@pytest.mark.parametrize(
    "text",
    ["look=find", "look=find>0.5", "look=0.2<=find>=0.5", "look=find>=x", "look=0.9<=find<0.2"],
)
def test_a_rule_without_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"in quotes \(the shell takes < and > for itself\)"):
        saying.rules([text])


def test_numbers_lie_in_their_range() -> None:
    assert saying.numbers("--margin", ["look=0.2"], least=0, most=1) == {"look": 0.2}
    assert saying.counts("--limit", ["look=4"], least=1, most=64) == {"look": 4}
    for text in ("look=2", "look=nan", "look=a", "look"):
        with pytest.raises(UsageError, match=rf"--margin {text}: give STAGE=NUMBER, 0 to 1"):
            saying.numbers("--margin", [text], least=0, most=1)
    with pytest.raises(UsageError, match=r"--limit look=4.5: give STAGE=COUNT, 1 to 64"):
        saying.counts("--limit", ["look=4.5"], least=1, most=64)


def test_a_stage_is_spoken_of_once() -> None:
    with pytest.raises(UsageError, match="--source: stage look is given twice"):
        saying.sources(["look=find", "look=seek"])
