from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edge_agent.inspection.spec import Anomaly, Input


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({"height": 7, "width": 8}, ">= 8"),
        ({"height": 8, "width": 8193}, "<= 8192"),
        ({"height": 8, "width": 8, "channels": 1}, "channels"),
        ({"height": 8, "width": 8, "order": "HSV"}, "order"),
        ({"height": 8, "width": 8, "mean": 0.5}, "unknown field `mean`"),
        ({"height": 8}, "missing required field `width`"),
        ({"height": 8, "width": 8, "roi": {"x": 2}}, "roi"),
    ],
)
def test_a_description_that_this_runtime_cannot_honour_is_refused(
    raw: dict[str, Any], why: str
) -> None:
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.convert(raw, Input)


def test_a_score_needs_at_least_one_value() -> None:
    with pytest.raises(msgspec.ValidationError, match=">= 1"):
        msgspec.convert({"top": 0}, Anomaly)
    assert msgspec.convert({"top": 3}, Anomaly) == Anomaly(3)
