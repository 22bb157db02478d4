"""Run one stream again and write down all that was said and measured, a line a frame."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from rich.console import Console

from edge_agent.lighting import Baseline, LightState, LightWatch
from tests.bench.drift.changes import BY_NAME, Product
from tests.bench.drift.images import Split
from tests.bench.drift.stations import KINDS, build
from tests.bench.drift.stream import Stream
from tests.bench.drift.watching import LEARN_STREAM, stream_of, tell

_PLOT_WIDTH, _PLOT_HEIGHT = 1200, 90


def replay(console: Console, chosen: argparse.Namespace) -> None:
    """Write frames.csv, plot.png and pictures of a stream into a folder."""
    name, change, seed = chosen.replay
    out: Path = chosen.out
    out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    station = build(KINDS[name], int(seed), Split(chosen.split))
    frames = list(Stream(station, LEARN_STREAM, count=chosen.learn))
    baseline = Baseline.learn(frames)
    console.print(f"monitors: {getattr(baseline, 'monitors', 'not said')}")
    console.print(f"notes: {getattr(baseline, 'notes', 'none')}")
    happening = BY_NAME[change]
    stream, _ = stream_of(station, happening, chosen.repeat, chosen.healthy or 5000)
    watch = LightWatch(baseline)
    lines: list[dict[str, Any]] = []
    last: tuple[str, ...] = ()
    for index, frame in enumerate(stream):
        if index == stream.at and happening.product is Product.TOLD:
            tell(watch)
        state = watch.update(frame)
        lines.append(_line(index, stream, state))
        texts = tuple(cause.text for cause in state.causes)
        if texts != last and tuple(c.kind for c in state.causes) != _kinds(lines, index):
            console.print(f"{index - stream.at:+6d} {state.level}: {texts}", highlight=False)
        last = texts
        if index in {0, stream.at - 1, stream.at, stream.at + 30}:
            cv2.imwrite(str(out / f"frame{index:05d}.png"), frame)
    with (out / "frames.csv").open("w", newline="") as file:
        names = list(dict.fromkeys(key for line in lines for key in line))
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(lines)
    cv2.imwrite(str(out / "plot.png"), plot(lines, stream.at))
    console.print(f"the change comes at frame {stream.at}; written to {out}/")


def _kinds(lines: list[dict[str, Any]], index: int) -> tuple[str, ...]:
    if index == 0 or not lines[index - 1]["causes"]:
        return ()
    return tuple(lines[index - 1]["causes"].split("+"))


def _line(index: int, stream: Stream, state: LightState) -> dict[str, Any]:
    seen = stream.traffic
    line: dict[str, Any] = {
        "frame": index,
        "changed": int(index >= stream.at),
        "level": str(state.level),
        "causes": "+".join(cause.kind for cause in state.causes),
        "excess": state.excess,
        "part": int(seen.part[index]),
        "lot": int(seen.lot[index]),
        "part_level": float(seen.level[index]),
        "hand": float(seen.hand[index]),
        "lamp": float(stream.lamps[0][index] + stream.lamps[1][index]) / 2,
    }
    seen_there: Any = state.statistics
    if isinstance(seen_there, msgspec.Struct):
        seen_there = msgspec.structs.asdict(seen_there)
    for name, value in seen_there.items():
        line.update(_flat(name, value))
    return line


def _flat(name: str, value: Any) -> dict[str, float]:
    if isinstance(value, (bool, int, float, np.floating, np.integer)):
        return {f"s.{name}": float(value)}
    if isinstance(value, (tuple, list, np.ndarray)):
        values = np.asarray(value).reshape(-1)
        if values.size <= 64 and values.dtype.kind in "fiub":
            return {f"s.{name}.{i}": float(v) for i, v in enumerate(values)}
    return {}


def plot(lines: list[dict[str, Any]], at: int) -> Any:
    """Draw each statistic over the frames; red from the change on, black bars where it alarms."""
    names = ["excess", "lamp", "part_level"]
    names += [n for n in lines[0] if n.startswith("s.") and n.count(".") == 1]
    picture = np.full((_PLOT_HEIGHT * len(names), _PLOT_WIDTH, 3), 255, np.uint8)
    for row, name in enumerate(names):
        values = np.array([float(line.get(name, np.nan)) for line in lines])
        _draw(picture[row * _PLOT_HEIGHT : (row + 1) * _PLOT_HEIGHT], name, values, at)
    for index, line in enumerate(lines):
        if line["causes"]:
            x = int(index * (_PLOT_WIDTH - 1) / max(1, len(lines) - 1))
            picture[:6, x] = 0
    return picture


def _draw(box: Any, name: str, values: Any, at: int) -> None:
    fine = values[np.isfinite(values)]
    if fine.size:
        low, high = np.percentile(fine, [0.2, 99.8])
        span = max(float(high - low), 1e-9)
        x = np.arange(len(values)) * (_PLOT_WIDTH - 1) / max(1, len(values) - 1)
        y = (_PLOT_HEIGHT - 4) - (np.nan_to_num(values, nan=low) - low) / span * (_PLOT_HEIGHT - 10)
        points = np.stack([x, np.clip(y, 1, _PLOT_HEIGHT - 2)], axis=1).astype(np.int32)
        cv2.polylines(box, [points[: at + 1]], False, (160, 90, 0))
        if at < len(points):
            cv2.polylines(box, [points[at:]], False, (0, 0, 200))
        name = f"{name}  {low:.4g} .. {high:.4g}"
    cv2.putText(box, name, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
