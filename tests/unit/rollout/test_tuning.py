"""The rule that chooses how to run a model: invariants of `edge_agent.rollout.tuning`, by name."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.inspection.engines import Choice
from edge_agent.rollout.tuning import (
    Trial,
    Tuned,
    TunedStage,
    TuningTable,
    choose,
    outdated,
    processor,
    thread_counts,
)

ONNX, LITERT = Choice("onnx"), Choice("litert")
ONNX_2, LITERT_2 = Choice("onnx", 2), Choice("litert", 2)


def trial(choice: Choice, p50_ms: float, objection: str = "") -> Trial:
    return Trial(choice=choice, p50_ms=p50_ms, runs=0 if objection else 100, objection=objection)


def chosen(*trials: Trial) -> Choice | None:
    best = choose(trials)
    return best.choice if best else None


def test_a_choice_that_disagrees_is_never_chosen_however_fast() -> None:
    wrong = trial(LITERT, 0.1, "golden.png came out ng")
    assert chosen(wrong, trial(ONNX, 9.0)) == ONNX
    assert chosen(wrong) is None
    assert chosen() is None
    assert chosen(Trial(choice=LITERT, runs=0)) is None  # it was never timed


@pytest.mark.parametrize(
    ("two_threads_ms", "expected"), [(9.9, ONNX), (8.1, ONNX), (8.0, ONNX_2), (4.0, ONNX_2)]
)
def test_more_threads_are_chosen_only_where_they_pay(
    two_threads_ms: float, expected: Choice
) -> None:
    assert chosen(trial(ONNX, 10.0), trial(ONNX_2, two_threads_ms)) == expected


@pytest.mark.parametrize(
    ("litert_ms", "expected"), [(9.6, ONNX), (9.5, LITERT), (5.0, LITERT), (11.0, ONNX)]
)
def test_where_nothing_is_gained_it_is_what_auto_would_take(
    litert_ms: float, expected: Choice
) -> None:
    assert chosen(trial(ONNX, 10.0), trial(LITERT, litert_ms)) == expected


def test_each_further_thread_must_pay_anew() -> None:
    four = Choice("onnx", 4)
    assert chosen(trial(ONNX, 10.0), trial(ONNX_2, 6.0), trial(four, 5.5)) == ONNX_2
    assert chosen(trial(ONNX, 10.0), trial(ONNX_2, 9.0), trial(four, 5.5)) == four


TRIALS = st.lists(
    st.builds(
        trial,
        st.builds(
            Choice, st.sampled_from(["onnx", "litert"]), st.sampled_from([1, 2, 4]), st.just("")
        ),
        st.floats(0.1, 100.0),
        st.sampled_from(["", "", "it disagrees"]),
    ),
    max_size=8,
)


@given(TRIALS)
def test_the_choice_is_sound_and_nothing_with_as_few_threads_is_much_faster(
    trials: list[Trial],
) -> None:
    best = choose(trials)
    sound = [each for each in trials if not each.objection]
    assert (best is None) == (not sound)
    if best is not None:
        assert best in sound
        rivals = [each for each in sound if each.choice.threads <= best.choice.threads]
        assert all(best.p50_ms <= 1.05 * each.p50_ms + 1e-9 for each in rivals)


def test_threads_are_tried_up_to_the_processors() -> None:
    assert thread_counts(1) == (1,)
    assert thread_counts(2) == (1, 2)
    assert thread_counts(6) == (1, 2, 3, 4, 6)
    assert thread_counts(100)[-1] == 64


TUNED = Tuned(digest="d", cpu="one", stages={"anomaly": TunedStage(choice=ONNX_2, version="1.2")})


def test_a_choice_holds_only_for_its_processor_and_engine_version() -> None:
    assert outdated(TUNED, "anomaly", cpu="one", version="1.2") == ""
    assert (
        outdated(TUNED, "anomaly", cpu="two", version="1.2")
        == "it was timed on another processor (one)"
    )
    assert "version 1.2 of onnx, not 1.3" in outdated(TUNED, "anomaly", cpu="one", version="1.3")


def test_the_table_keeps_one_choice_a_bundle_and_the_newest_few() -> None:
    table = TuningTable()
    for digest in ("a", "b", "a", "c", "d", "e"):
        choice = Choice("onnx", 3) if digest == "a" else ONNX
        stages = {"anomaly": TunedStage(choice=choice, version="1.2")}
        table = table.with_tuned(msgspec.structs.replace(TUNED, digest=digest, stages=stages))
    assert [each.digest for each in table.tuned] == ["e", "d", "c", "a"]
    assert table.get("b") is None
    found = table.get("a")
    assert found is not None
    assert found.stages["anomaly"].choice.threads == 3


X86 = "processor\t: 0\nmodel name\t: Fast 9000\nflags\t\t: fpu avx2 avx512_vnni\n\nprocessor : 1\n"
ARM = "processor : 0\nFeatures : fp asimd asimddp\nCPU implementer : 0x41\nCPU part : 0xd0b\n"
BOARD = ARM + "Model : Small Board 5\n"


def test_a_processor_is_named_by_what_decides_speed_and_rounding() -> None:
    assert processor(X86, 2) == "Fast 9000, 2 processors, avx2 avx512_vnni"
    assert processor(ARM, 4) == "implementer 0x41 part 0xd0b, 4 processors, asimd asimddp"
    assert processor(BOARD, 4) == processor(ARM, 4)
    assert processor("", 1) == "implementer ? part ?, 1 processors, no known features"
    without = X86.replace(" avx512_vnni", "")
    assert processor(without, 2) != processor(X86, 2)  # the same name in another cloud
