"""Other detectors, on the same frames: each is given the global statistics of `figures`.

A frame raises an alarm when any statistic's detector does; the alarm stands for `_HOLD` frames, as
a fault that is being looked at would, so that detectors that flag single frames are not counted
anew each time. Each detector first sees the frames that the watch's baseline was learned from. All
are given statistics as distances from the learned median in learned spreads.

| peer | what it is |
|---|---|
| adwin, page-hinkley, kswin | river's, one a statistic |
| psi | population stability index of the brightness histogram: last 50 frames against the learned |
| three sigma | three frames in a row beyond three sigma |
| every 200 | alarms every 200 frames, whatever there is: what recall alone is worth |

Settings named `matched` are those, of a ladder, that come nearest to the watch's false alarms;
the first is the default. KSWIN is run on 60 changes and 5 healthy streams at most. ADWIN: Bifet and
Gavalda, SDM 2007; Page-Hinkley: Page, Biometrika 1954; KSWIN: Raab et al., Neurocomputing 2020.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress

from tests.bench.drift.scoring import Outcome, score, summarize
from tests.bench.drift.watching import Trace

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_HOLD = 60
_KSWIN_HEALTHY, _KSWIN_CHANGES = 5, 60
_KSWIN_LEARN = 150
_PSI_FRAMES = 50
_EVERY = 200
_FLOOR = 1e-3

_LADDERS: dict[str, tuple[float, ...]] = {
    "adwin": (0.002, 1e-4, 1e-6, 1e-9, 1e-13, 1e-18, 1e-25),
    "page-hinkley": (50.0, 150.0, 400.0, 800.0, 1500.0, 3000.0),
    "kswin": (0.005, 1e-6, 1e-12),
    "psi": (0.1, 0.25, 0.5, 1.0, 2.0, 4.0),
    "three sigma": (3.0, 5.0, 8.0, 12.0, 20.0),
    "every 200": (1.0,),
}
"""By peer: its threshold; the first is its default."""


def run_peers(
    console: Console, traces: list[Trace], *, jobs: int, target_per_100k: float
) -> dict[str, list[Outcome]]:
    """Run all peers on the traces, at defaults and matched to the watch's false alarms.

    Returns:
        Outcomes by peer and setting.
    """
    results: dict[str, list[Outcome]] = {}
    with Progress(console=console, transient=True) as progress, ProcessPoolExecutor(jobs) as pool:
        for peer, ladder in _LADDERS.items():
            task = progress.add_task(peer, total=len(ladder))
            chosen = _few(traces) if peer == "kswin" else traces
            levels: list[tuple[float, list[Outcome]]] = []
            for threshold in ladder:
                asked = [(peer, threshold, trace) for trace in chosen]
                levels.append((threshold, list(pool.map(_judge, asked, chunksize=4))))
                progress.advance(task)
                if summarize(levels[-1][1]).false_per_100k <= target_per_100k:
                    progress.advance(task, len(ladder))
                    break
            results[f"{peer} {levels[0][0]:g}"] = levels[0][1]
            if len(levels) > 1:
                results[f"{peer} {levels[-1][0]:g} (matched)"] = levels[-1][1]
    return results


def _few(traces: list[Trace]) -> list[Trace]:
    """Return some streams for KSWIN, which costs 0.2 ms a statistic: evenly over all there are."""
    chosen: list[Trace] = []
    for healthy, most in ((True, _KSWIN_HEALTHY), (False, _KSWIN_CHANGES)):
        these = [t for t in traces if (t.change.name == "none") is healthy]
        chosen += these[:: max(1, -(-len(these) // most))]
    return chosen


def _judge(asked: tuple[str, float, Trace]) -> Outcome:
    peer, threshold, trace = asked
    flag = held(_PEERS[peer](threshold, trace))
    return score(trace, flag, {})


def held(raised: Bools) -> Bools:
    """Let each alarm stand for `_HOLD` frames."""
    flag = np.zeros(len(raised), np.bool_)
    for index in np.flatnonzero(raised).tolist():
        flag[index : index + _HOLD] = True
    return flag


def standardized(trace: Trace) -> tuple[Floats, Floats]:
    """Return the learned frames' and the stream's statistics, in learned spreads."""
    before, after = trace.before[0].astype(np.float64), trace.figures.astype(np.float64)
    middle = np.median(before, axis=0)
    spread = 1.4826 * np.median(np.abs(before - middle), axis=0)
    live = before.std(axis=0) > 1e-9
    spread = np.maximum(spread, _FLOOR)
    return ((before - middle) / spread)[:, live], ((after - middle) / spread)[:, live]


def _river(make: Callable[[float], Any], learn: int = 10**6) -> Callable[[float, Trace], Bools]:
    def run(threshold: float, trace: Trace) -> Bools:
        before, after = standardized(trace)
        raised = np.zeros(len(after), np.bool_)
        for column in range(after.shape[1]):
            detector = make(threshold)
            for value in before[-learn:, column].tolist():
                detector.update(value)
            for index, value in enumerate(after[:, column].tolist()):
                detector.update(value)
                if detector.drift_detected:
                    raised[index] = True
        return raised

    return run


def _drift(name: str, **settings: Any) -> Any:
    return getattr(importlib.import_module("river.drift"), name)(**settings)


def _psi(threshold: float, trace: Trace) -> Bools:
    """Compare histograms: sum (p - q) ln (p / q), over a window of frames."""
    learned = np.maximum(trace.before[1].astype(np.float64).mean(axis=0), 1e-4)
    joined = np.concatenate([trace.before[1][-_PSI_FRAMES + 1 :], trace.histograms])
    total = np.cumsum(np.vstack([np.zeros(joined.shape[1]), joined.astype(np.float64)]), axis=0)
    recent = np.maximum((total[_PSI_FRAMES:] - total[:-_PSI_FRAMES]) / _PSI_FRAMES, 1e-4)
    index = ((recent - learned) * np.log(recent / learned)).sum(axis=1)
    above: Bools = index > threshold
    return above


def _three_sigma(threshold: float, trace: Trace) -> Bools:
    _, after = standardized(trace)
    beyond = np.abs(after) > threshold
    raised = np.zeros(len(after), np.bool_)
    raised[2:] = (beyond[2:] & beyond[1:-1] & beyond[:-2]).any(axis=1)
    return raised


def _every(_threshold: float, trace: Trace) -> Bools:
    # From anywhere in its round: all streams are young when their change comes.
    flags: Bools = (np.arange(len(trace.loud)) + 37 * trace.number + trace.seed) % _EVERY == 0
    return flags


_PEERS: dict[str, Callable[[float, Trace], Bools]] = {
    "adwin": _river(lambda t: _drift("ADWIN", delta=t)),
    "page-hinkley": _river(lambda t: _drift("PageHinkley", threshold=t)),
    "kswin": _river(lambda t: _drift("KSWIN", alpha=t, seed=1), _KSWIN_LEARN),
    "psi": _psi,
    "three sigma": _three_sigma,
    "every 200": _every,
}
