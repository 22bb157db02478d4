"""What the watch over light and camera costs, beside a plain copy of the frame.

    python tests/bench/light_speed.py [--frames 300] [--learn 60] [--json FILE]

On one core: `LightWatch.update` and `np.copyto` of the same frame in turn, over a ring of frames (a
frame is in memory, and in no cache) and on one frame again and again (which the watch must call
frozen). Minima are what the work costs; medians are what a shared machine makes of it. Then the
share of each function of the room in it, by its own time (without what it calls): they are wrapped
to be timed, so that the sum is a little more than the cost.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import inspect
import os
import pkgutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

import edge_agent.lighting
from edge_agent.camera.frame import Image
from edge_agent.lighting import Baseline, LightWatch
from tests.bench.drift.images import Split
from tests.bench.drift.stations import Kind, build
from tests.bench.drift.stream import Stream

_RING = 8
_WARM_UP = 30
_SHAPES = (
    Kind(name="1920x1080 colour", width=1920, height=1080, colour=True, scene="textured"),
    Kind(name="2448x2048 mono", width=2448, height=2048, colour=False, scene="textured"),
)


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Microseconds, of one shape of frame and one way of giving frames."""

    name: str
    update_min: float
    update_p50: float
    update_p99: float
    copy_min: float
    copy_p50: float
    shares: dict[str, float]

    @property
    def ratio(self) -> float:
        """Cost in copies of the frame, of minima."""
        return self.update_min / self.copy_min


class Shares:
    """Times every function of the room by its own time."""

    def __init__(self, package: ModuleType) -> None:
        self.spent: defaultdict[str, int] = defaultdict(int)
        self._inner: list[int] = [0]
        self._undo: list[tuple[Any, str, Any]] = []
        self._package = package.__name__
        found = pkgutil.iter_modules(package.__path__)
        self._modules = [importlib.import_module(f"{self._package}.{each.name}") for each in found]

    def __enter__(self) -> Shares:
        for module in self._modules:
            for name, value in list(vars(module).items()):
                if isinstance(value, FunctionType) and self._is_ours(value):
                    self._wrap(module, name, value)
                elif inspect.isclass(value) and value.__module__ == module.__name__:
                    for key, method in list(vars(value).items()):
                        if isinstance(method, FunctionType) and not key.startswith("__"):
                            self._wrap(value, key, method)
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, value in self._undo:
            setattr(owner, name, value)

    def _is_ours(self, function: FunctionType) -> bool:
        return function.__module__.startswith(self._package)

    def _wrap(self, owner: Any, name: str, function: FunctionType) -> None:
        room = function.__module__.rpartition(".")[2]
        label = f"{room}.{function.__qualname__}"
        self._undo.append((owner, name, function))
        setattr(owner, name, self._timed(label, function))

    def _timed(self, label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **settings: Any) -> Any:
            self._inner.append(0)
            begin = time.perf_counter_ns()
            try:
                return function(*args, **settings)
            finally:
                took = time.perf_counter_ns() - begin
                self.spent[label] += took - self._inner.pop()
                self._inner[-1] += took

        return timed


def main() -> None:
    """Measure both shapes, both ways."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=300, help="frames to time (300)")
    parser.add_argument("--learn", type=int, default=60, help="frames to learn from (60)")
    parser.add_argument("--json", type=Path, default=None, help="write the figures there")
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    console = Console(width=max(150, Console().width))
    costs = []
    for kind in _SHAPES:
        with console.status(f"rendering {kind.name}"):
            baseline, ring = _prepare(kind, chosen.learn)
        for name, frames in (("ring", ring), ("same frame", ring[:1])):
            costs.append(_measure(f"{kind.name}, {name}", baseline, frames, chosen.frames))
    show(console, costs)
    if chosen.json:
        chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(costs), indent=1))


def _prepare(kind: Kind, learn: int) -> tuple[Baseline, list[Image]]:
    """Learn a baseline from a static scene with parts, and render a ring of frames of it."""
    station = build(kind, 1, Split.TUNE)
    baseline = Baseline.learn(list(Stream(station, 0, count=learn)))
    stream = Stream(station, 1, count=_RING)
    stream.traffic.hand[:] = 0.0
    stream.traffic.part[:] = np.abs(stream.traffic.part)
    return baseline, list(stream)


def _measure(name: str, baseline: Baseline, frames: list[Image], count: int) -> Cost:
    watch = LightWatch(baseline)
    copy = np.empty_like(frames[0])
    update_ns, copy_ns = [], []
    gc.collect()
    gc.disable()
    for number in range(count + _WARM_UP):
        frame = frames[number % len(frames)]
        begin = time.perf_counter_ns()
        watch.update(frame)
        middle = time.perf_counter_ns()
        # Another frame of the ring: what the watch has read of this one is in a cache.
        np.copyto(copy, frames[(number + len(frames) // 2) % len(frames)])
        end = time.perf_counter_ns()
        if number >= _WARM_UP:
            update_ns.append(middle - begin)
            copy_ns.append(end - middle)
    gc.enable()
    with Shares(edge_agent.lighting) as shares:
        for number in range(count // 3):
            watch.update(frames[number % len(frames)])
    whole = sum(shares.spent.values())
    p50, p99 = np.percentile(update_ns, [50, 99]) / 1000
    return Cost(
        name=name,
        update_min=min(update_ns) / 1000,
        update_p50=float(p50),
        update_p99=float(p99),
        copy_min=min(copy_ns) / 1000,
        copy_p50=float(np.median(copy_ns)) / 1000,
        shares={key: spent / whole for key, spent in shares.spent.items()},
    )


def show(console: Console, costs: list[Cost]) -> None:
    """Print costs, and the shares of what takes one percent or more."""
    table = Table(title="microseconds on one core", title_justify="left")
    for column in ("", "update min", "p50", "p99", "copy min", "p50", "copies (minima)"):
        table.add_column(column, justify="right" if column else "left")
    for c in costs:
        figures = (c.update_min, c.update_p50, c.update_p99, c.copy_min, c.copy_p50)
        table.add_row(c.name, *(f"{figure:.0f}" for figure in figures), f"{c.ratio:.2f}")
    console.print(table)
    table = Table(title="share of each function, by its own time", title_justify="left")
    table.add_column("")
    for c in costs:
        table.add_column(c.name, justify="right")
    names = sorted({n for c in costs for n in c.shares}, key=lambda n: -costs[0].shares.get(n, 0))
    for name in names:
        row = [c.shares.get(name, 0.0) for c in costs]
        if max(row) >= 0.01:
            table.add_row(name, *(f"{share:.1%}" for share in row))
    console.print(table)


if __name__ == "__main__":
    main()
