"""Names and links of the stages of a pipeline."""

from __future__ import annotations

import msgspec
import pytest

from calibration.joining.wiring import Piece, Wiring, name_pieces, sees_whole, wire
from edge_agent.errors import UsageError
from edge_agent.inspection.order import what_is_wrong
from edge_agent.inspection.spec import Source, Stage, When
from edge_agent.rollout.bundle import Bundle
from tests.tiny_tasks import locate_then_inspect
from tests.unit.calibration.joining.pieces import locator, looker, sorter


def pair() -> Bundle:
    """A bundle that is a pipeline already."""
    found = looker()
    stages = locate_then_inspect(when=When(stage="locate", below=0.9))
    return msgspec.structs.replace(
        found, manifest=msgspec.structs.replace(found.manifest, name="pair", stages=stages)
    )


def names(*given: tuple[str, Bundle]) -> list[str]:
    return [new for piece in name_pieces(given) for new in piece.names.values()]


def two() -> tuple[Piece, ...]:
    return name_pieces([("find", locator()), ("look", looker())])


def wired(**wiring: object) -> tuple[Stage, ...]:
    return wire(two(), Wiring(**wiring))  # type: ignore[arg-type]  # as a person may say them


def test_a_stage_is_called_as_its_bundle_or_as_was_said() -> None:
    assert names(("", locator()), ("", looker())) == ["green-things", "things"]
    assert names(("find", locator()), ("", looker())) == ["find", "things"]
    assert names(("", looker()), ("", looker()), ("things", looker())) == [
        "things-2", "things-3", "things",
    ]  # fmt: skip


def test_stages_of_a_pipeline_keep_their_names_where_they_can() -> None:
    assert names(("", looker()), ("", pair())) == ["things", "locate", "inspect"]
    assert names(("line", pair()), ("", pair())) == [
        "line-locate", "line-inspect", "locate", "inspect",
    ]  # fmt: skip
    assert names(("", pair()), ("", pair())) == ["locate", "inspect", "pair-2-locate",
                                                 "pair-2-inspect"]  # fmt: skip
    assert names(("inspect", looker()), ("", pair())) == ["inspect", "locate", "pair-inspect"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([("find", locator())], "two bundles or more"),
        ([("a", locator()), ("a", looker())], "a= is given to two bundles"),
        (
            [("Find", locator()), ("", looker())],
            "Find=: no bundle can be called that here: a small",
        ),
        ([("good", locator()), ("", looker())], r"good=: .* \(it stands for the frames of --good"),
        ([("", looker())] * 9, "hold 9 stages together, and a bundle holds 8 at most: leave some"),
        ([("x" * 32, pair()), ("", looker())], "its name is longer than 32 letters: give"),
    ],
)
def test_names_that_cannot_be_are_refused(given: list[tuple[str, Bundle]], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        name_pieces(given)


def test_what_is_said_of_a_stage_is_done() -> None:
    find, look = wired(
        sources={"look": Source(stage="find", labels=("green",))}, margins={"look": 0.3},
        limits={"look": 4}, rules={"look": When(stage="find", below=0.5)},
        budgets_ms={"look": 40.0}, silent=("find",),
    )  # fmt: skip
    assert look.source == Source(stage="find", labels=("green",), margin=0.3, limit=4)
    assert look.when == When(stage="find", below=0.5)
    assert (look.budget_ms, find.thresholds) == (40.0, None)
    assert (find.source, find.when, find.budget_ms) == (None, None, 0.0)
    assert look.models == {"onnx": "look/model.onnx", "litert": "look/model.tflite"}
    assert look.thresholds == looker().manifest.stages[0].thresholds


def test_links_within_a_bundle_follow_its_new_names() -> None:
    pieces = name_pieces([("a", pair()), ("b", pair())])
    stages = wire(pieces, Wiring(margins={"b-inspect": 0.2}))
    assert what_is_wrong(stages) == ""
    inner = stages[3]
    assert (inner.name, inner.source, inner.when) == (
        "b-inspect",
        Source(stage="b-locate", labels=("green",), margin=0.2),
        When(stage="b-locate", below=0.9),
    )


def test_a_bundle_sees_whole_frames_until_it_is_sent_to_boxes() -> None:
    pieces = name_pieces([("find", locator()), ("look", looker()), ("pair", pair())])
    stages = wire(pieces, Wiring(sources={"look": Source(stage="find")}))
    assert [sees_whole(piece, stages) for piece in pieces] == [True, False, True]
    stages = wire(pieces, Wiring(sources={"pair-inspect": Source(stage="find")}))
    assert [sees_whole(piece, stages) for piece in pieces] == [True, True, True]
    stages = wire(pieces, Wiring(sources={"pair-locate": Source(stage="find")}))
    assert [sees_whole(piece, stages) for piece in pieces] == [True, True, False]


@pytest.mark.parametrize(
    ("wiring", "text"),
    [
        ({"sources": {"lok": Source(stage="find")}}, "there is no stage lok: .*; was look meant"),
        ({"sources": {"look": Source(stage="fnd")}}, "--source: there is no stage fnd"),
        ({"rules": {"x": When(stage="find")}}, r"--when: .* the stages are find, look \(NAME=BUN"),
        ({"silent": ("x",)}, "--no-verdict: there is no stage x"),
        (
            {"margins": {"look": 0.2}},
            "--margin look=0.2: stage look looks at the whole frame: give",
        ),
        ({"limits": {"find": 2}}, "--limit find=2: stage find looks at the whole frame"),
        (
            {"sources": {"find": Source(stage="look")}},
            "look must look before find: give its bundle",
        ),
        ({"rules": {"find": When(stage="find")}}, "--when find=find: find must look before find"),
        ({"silent": ("find", "look")}, "no stage would decide anything"),
        (
            {"sources": {"look": Source(stage="find", labels=("screw",))}},
            "stage find has no label 'screw': change --source or --when",
        ),
        (
            {"rules": {"look": When(stage="find", label="screw")}},
            "stage find has no label 'screw': change --source or --when",
        ),
    ],
)
def test_what_cannot_hang_together_is_refused(wiring: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        wired(**wiring)


def test_only_what_finds_boxes_says_where_to_look() -> None:
    pieces = name_pieces([("sort", sorter()), ("look", looker())])
    with pytest.raises(UsageError, match=r"sort finds no boxes \(classify\): only a detector"):
        wire(pieces, Wiring(sources={"look": Source(stage="sort")}))
