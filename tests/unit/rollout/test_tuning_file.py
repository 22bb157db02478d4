"""What was tuned, on the disk: the invariants of `edge_agent.rollout.tuning_file`, by name."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest

from edge_agent.errors import UsageError
from edge_agent.inspection.engines import Choice, version_of
from edge_agent.rollout.tuning import Tuned, TunedStage
from edge_agent.rollout.tuning_file import NAME, keep, read_table, this_processor, tuned_choices

CHOICE = Choice("onnx", 2, "extended")


@pytest.fixture
def tuned() -> Tuned:
    stages = {"anomaly": TunedStage(choice=CHOICE, version=version_of("onnx"))}
    return Tuned(digest="d", cpu=this_processor(), stages=stages)


def test_what_was_kept_is_found_again(tmp_path: Path, tuned: Tuned) -> None:
    folder = tmp_path / "stations/press"
    assert tuned_choices(folder, "d", "auto") == {}
    assert keep(folder, tuned) == folder / NAME
    assert read_table(folder).get("d") == tuned
    assert tuned_choices(folder, "d", "auto") == {"anomaly": (CHOICE,)}
    assert tuned_choices(folder, "another", "auto") == {}
    assert [each.name for each in folder.iterdir()] == [NAME]


def test_the_configuration_comes_first_and_the_log_says_so(
    tmp_path: Path, tuned: Tuned, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    keep(tmp_path, tuned)
    assert tuned_choices(tmp_path, "d", "litert") == {}
    assert "inspection.engine = litert in the configuration comes before" in caplog.text
    assert "(onnx, 2 threads, extended)" in caplog.text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cpu": "another"}, "it was timed on another processor (another)"),
        ({"version": "0.1"}, "it was timed with version 0.1 of onnx, not "),
        ({"choice": Choice("tpu")}, "engine 'tpu': unknown"),
    ],
)
def test_what_does_not_hold_here_is_left_aside_with_one_warning(
    tmp_path: Path,
    tuned: Tuned,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, object],
    reason: str,
) -> None:
    of_stage = {key: value for key, value in changes.items() if key != "cpu"}
    stage = msgspec.structs.replace(tuned.stages["anomaly"], **of_stage)
    cpu = str(changes.get("cpu", tuned.cpu))
    keep(tmp_path, msgspec.structs.replace(tuned, cpu=cpu, stages={"anomaly": stage}))
    assert tuned_choices(tmp_path, "d", "auto") == {}
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert warning.getMessage().endswith("; run `edge-agent bundle tune` again")
    assert reason in warning.getMessage()


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"\xff", b'{"schema": "edge/tuning/9"}', b'{"tuned": [{"digest": 1}]}'],
)
def test_a_damaged_file_is_one_warning_and_is_written_anew(
    tmp_path: Path, tuned: Tuned, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    (tmp_path / NAME).write_bytes(data)
    assert tuned_choices(tmp_path, "d", "auto") == {}
    (warning,) = caplog.records
    assert f"{tmp_path / NAME}: cannot be read" in warning.getMessage()
    assert "\n" not in warning.getMessage()
    keep(tmp_path, tuned)
    assert tuned_choices(tmp_path, "d", "auto") == {"anomaly": (CHOICE,)}


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path: Path, tuned: Tuned) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot be written: .*run this as the user of the agent"):
        keep(tmp_path / "file", tuned)
