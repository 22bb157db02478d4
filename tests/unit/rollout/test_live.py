from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_agent.decision.verdict import Thresholds
from edge_agent.errors import BundleError, UsageError
from edge_agent.inspection.engines import EngineSettings
from edge_agent.lighting import Baseline
from edge_agent.rollout.bundle import Bundle, write_bundle
from edge_agent.rollout.live import make_live
from tests.tiny import picture, tiny_files, tiny_manifest

NOISE = np.random.default_rng(0)
BASELINE = Baseline.learn(
    [NOISE.integers(90, 110, (60, 80, 3)).astype(np.uint8) for _ in range(8)]
).encode()


def bundle(tmp_path: Path, baseline: bytes | None) -> Bundle:
    more = {} if baseline is None else {"baseline.json": baseline}
    manifest = tiny_manifest(baseline="baseline.json" if more else "")
    return write_bundle(tmp_path / "x.bundle", manifest, tiny_files() | more)


def test_a_live_model_has_what_a_record_needs(tmp_path: Path) -> None:
    made = bundle(tmp_path, BASELINE)
    live = make_live(made, "auto", EngineSettings())
    assert live.inspector.inspect(picture(33)).score == 33.0
    assert live.thresholds == Thresholds(100.0, 200.0)
    assert (live.bundle, live.digest) == ("tiny 1", made.digest[:12])
    assert live.watch is not None
    assert live.watch.baseline.encode() == BASELINE


def test_the_stations_own_baseline_comes_first(tmp_path: Path) -> None:
    own = Baseline.learn([np.full((60, 80, 3), level, np.uint8) for level in range(100, 108)])
    path = tmp_path / "own.json"
    path.write_bytes(own.encode())
    live = make_live(bundle(tmp_path, BASELINE), "auto", EngineSettings(), baseline=path)
    assert live.watch is not None
    assert live.watch.baseline == own
    with pytest.raises(UsageError, match=r"gone\.json"):
        make_live(bundle(tmp_path, None), "auto", EngineSettings(), baseline=tmp_path / "gone.json")


def test_light_that_is_to_be_watched_needs_a_baseline(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no lighting baseline: learn one at the station"):
        make_live(bundle(tmp_path, None), "auto", EngineSettings())
    assert make_live(bundle(tmp_path, None), "auto", EngineSettings(), watch=False).watch is None


def test_a_baseline_in_the_bundle_that_is_none_is_the_bundles_fault(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"baseline\.json of bundle tiny 1"):
        make_live(bundle(tmp_path, b"{}"), "auto", EngineSettings())
