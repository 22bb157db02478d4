"""Each choice is tried in a process of its own: what it takes, and what it dies of."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edge_agent.errors import EngineError
from edge_agent.inspection.engines import Choice
from edge_agent.rollout.bundle import write_bundle
from edge_agent.rollout.footprint import footprint_mb
from tests.tiny import tiny_files, tiny_manifest


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.bundle"
    write_bundle(path, tiny_manifest(), tiny_files())
    return path


def test_a_choice_takes_some_memory(tiny: Path) -> None:
    assert 0 < footprint_mb(tiny, "anomaly", Choice("onnx", 1, "all")) < 100


def test_a_choice_that_cannot_be_run_says_why_in_one_line(tiny: Path) -> None:
    with pytest.raises(EngineError, match=r"^litert, 1 thread: no model for engine litert$"):
        footprint_mb(tiny, "anomaly", Choice("litert"))


def test_a_choice_whose_process_dies_of_it_is_an_error(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\nkill -ILL $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dying))
    with pytest.raises(EngineError, match="onnx, 1 thread: its process was killed by signal 4"):
        footprint_mb(tiny, "anomaly", Choice("onnx"))
