"""Measure what the runtime costs: `make bench` prints a table and writes bench.json.

The runtime tax is the time per part from frame in memory to record in the spool and verdict out,
divided by the bare engine's time on the same model and the same pixels. Both are taken in turn in
one run, so that a machine whose speed drifts does not favour one. Nothing is left out: the light is
watched, the spool is on disk, the uplink is connected to a real broker and sends every verdict.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from edge_agent import clock
from edge_agent.agent.control import ask
from edge_agent.agent.path import PartPath
from edge_agent.camera.drivers.simulated import Settings
from edge_agent.camera.frame import EndOfFrames, Frame
from edge_agent.camera.registry import make_camera
from edge_agent.camera.triggers import Trigger
from edge_agent.config import load
from edge_agent.decision.outputs.mqtt import MqttOutput
from edge_agent.demo.processes import Child, edge_command, free_port, make_broker, wait_for_port
from edge_agent.demo.story import tell
from edge_agent.demo.workspace import (
    STATION,
    Workspace,
    furnish,
    reference_bundle,
    simulated_camera,
)
from edge_agent.errors import ControlError
from edge_agent.inspection.engines import EngineSettings, Pixels, load_engine
from edge_agent.rollout.bundle import Bundle, read_bundle
from edge_agent.rollout.live import make_live
from edge_agent.spool.settings import SpoolSettings
from edge_agent.spool.spool import Lane, Spool
from edge_agent.topics import Topics
from edge_agent.uplink.settings import MqttSettings, UplinkSettings
from edge_agent.uplink.uplink import Uplink

_WARM_UP = 30
_RING = 4


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What is written to bench.json; times in milliseconds where the name does not say."""

    runtime_tax_p50: float
    runtime_tax_p99: float
    parts_per_second: float
    rss_mb: float
    first_verdict_s: float
    engine_ms_p50: float
    engine_ms_p99: float
    part_ms_p50: float
    part_ms_p99: float
    stage_us_p50: dict[str, float]


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description="Measure what the runtime costs.")
    parser.add_argument("--parts", type=int, default=1500, help="parts to judge (1500)")
    parser.add_argument("--bundle", type=Path, default=None, help="the bundle (the shipped one)")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="(bench.json)")
    chosen = parser.parse_args()
    console = Console()
    path = chosen.bundle or reference_bundle()
    engine_ns, part_ns, stages = measure_tax(read_bundle(path), chosen.parts)
    rss_mb, first_verdict_s = measure_process(path)
    figures = Figures(
        runtime_tax_p50=round(_share(part_ns, 50) / _share(engine_ns, 50), 3),
        runtime_tax_p99=round(_share(part_ns, 99) / _share(engine_ns, 99), 3),
        parts_per_second=round(1e9 / float(np.mean(part_ns)), 1),
        rss_mb=rss_mb,
        first_verdict_s=first_verdict_s,
        engine_ms_p50=_ms(engine_ns, 50),
        engine_ms_p99=_ms(engine_ns, 99),
        part_ms_p50=_ms(part_ns, 50),
        part_ms_p99=_ms(part_ns, 99),
        stage_us_p50=stages,
    )
    chosen.out.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")
    show(console, figures, path, chosen.parts)
    console.print(f"written to {chosen.out}")


def measure_tax(bundle: Bundle, parts: int) -> tuple[list[int], list[int], dict[str, float]]:
    """Time the bare engine and the whole path in turn, on the same parts.

    Returns:
        Nanoseconds of each engine run, of each part, and the stages' medians in microseconds.
    """
    frames = _frames(64)
    spec = bundle.manifest.stages[0].input
    model = make_live(bundle, "onnx", EngineSettings())
    bare = load_engine("onnx", bundle.files["model.onnx"], EngineSettings())
    inputs = [_pixels(frame, bundle) for frame in frames]
    assert inputs[0].shape == (1, spec.height, spec.width, 3)
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder, _link(Path(folder)) as link:
        spool, uplink, topics = link
        path = PartPath(
            "line1",
            spool,
            outputs=(MqttOutput(uplink.publish_live, topics.verdict("line1")),),
            observe=lambda _kind, _text: None,
            deadline_ms=10_000,
        )
        path.model = model
        engine_ns, part_ns = [], []
        stages: dict[str, list[int]] = {"lighting": [], "preprocess": [], "inference": []}
        gc.freeze()
        # The camera writes into a ring of buffers, as a driver does: a frame is in memory, and not
        # yet in the cache of the core that judges it.
        ring = [np.empty_like(frames[0].image) for _ in range(_RING)]
        for number in track(range(parts + _WARM_UP), "judging parts", transient=True):
            turn = number % len(frames)
            image = ring[number % _RING]
            np.copyto(image, frames[turn].image)
            frame = msgspec.structs.replace(
                frames[turn], image=image, captured=clock.now(), sequence=number
            )
            begin = time.perf_counter_ns()
            bare.run(inputs[turn])
            middle = time.perf_counter_ns()
            record = path.process(frame).record
            end = time.perf_counter_ns()
            if number >= _WARM_UP:
                engine_ns.append(middle - begin)
                part_ns.append(end - middle)
                for name, times in stages.items():
                    times.append(getattr(record.latency_us, name))
    return engine_ns, part_ns, {name: float(median(times)) for name, times in stages.items()}


def measure_process(bundle: Path) -> tuple[float, float]:
    """Start the real agent three times; return its resident memory (MiB) and the median time in
    seconds from its start to its first verdict.
    """
    times, rss = [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder:
            workspace = Workspace(Path(folder), free_port())
            furnish(workspace, simulated_camera(tell(60.0, light=True), 1), bundle)
            broker = make_broker(workspace.folder, workspace.port)
            command = [*edge_command("agent"), "run", "--config", str(workspace.agent_toml)]
            agent = Child("agent", command, workspace.folder / "agent.log")
            broker.start()
            try:
                wait_for_port(workspace.port, broker)
                begin = time.monotonic()
                agent.start()
                control = load(workspace.agent_toml).socket_path
                while not _parts(control):
                    agent.check()
                    time.sleep(0.01)
                times.append(time.monotonic() - begin)
                while _parts(control) < 100:
                    agent.check()
                    time.sleep(0.2)
                rss.append(ask(control, "status")["rss_mb"])
            finally:
                agent.stop()
                broker.stop()
    return max(rss), round(median(times), 2)


def show(console: Console, figures: Figures, bundle: Path, parts: int) -> None:
    """Print the figures for people."""
    table = Table(title=f"{bundle.name}, {parts} parts", title_justify="left")
    for column in ("", "p50", "p99"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("bare engine", f"{figures.engine_ms_p50} ms", f"{figures.engine_ms_p99} ms")
    table.add_row("whole path", f"{figures.part_ms_p50} ms", f"{figures.part_ms_p99} ms")
    tax = (f"{figures.runtime_tax_p50:.2f}", f"{figures.runtime_tax_p99:.2f}")
    table.add_row("[bold]runtime tax[/]", *tax)
    for name, value in figures.stage_us_p50.items():
        table.add_row(f"  {name}", f"{value / 1000:.2f} ms", "")
    table.add_row("parts a second, one camera", f"{figures.parts_per_second}", "")
    table.add_row("memory of the agent", f"{figures.rss_mb} MiB", "")
    table.add_row("process start to first verdict", f"{figures.first_verdict_s} s", "")
    console.print(table)


@contextlib.contextmanager
def _link(folder: Path) -> Iterator[tuple[Spool, Uplink, Topics]]:
    """Give a spool on disk and an uplink that is connected to a real broker."""
    port = free_port()
    broker = make_broker(folder, port)
    broker.start()
    wait_for_port(port, broker)
    topics = Topics("edge/v1", "bench")
    spool = Spool(folder / "spool", [Lane("inspections", "inspections")], SpoolSettings())
    uplink = Uplink(
        spool,
        topics,
        mqtt=MqttSettings(port=port),
        settings=UplinkSettings(),
        birth=b"{}",
        death=b"{}",
    )
    spool.on_sealed = uplink.wake
    uplink.start()
    try:
        yield spool, uplink, topics
    finally:
        uplink.stop()
        spool.close()
        broker.stop()


def _frames(count: int) -> list[Frame]:
    """Take frames from the simulated line and keep them."""
    settings = Settings(takt_ms=0, parts=count, seed=1)
    camera = make_camera("simulated", settings, station="line1", trigger=Trigger.FREE_RUN)
    camera.open()
    frames = []
    with contextlib.suppress(EndOfFrames):
        while frame := camera.read(1.0):
            frames.append(msgspec.structs.replace(frame, image=frame.image.copy()))
    camera.close()
    return frames


def _pixels(frame: Frame, bundle: Bundle) -> Pixels:
    import cv2  # noqa: PLC0415 - as everywhere

    spec = bundle.manifest.stages[0].input
    resized = cv2.resize(spec.roi.crop(frame.image), (spec.width, spec.height))
    return np.ascontiguousarray(resized[np.newaxis], np.uint8)


def _parts(control: Path) -> int:
    try:
        return int(ask(control, "status")["stations"][STATION]["parts"])
    except ControlError:
        return 0


def _share(times_ns: list[int], share: int) -> float:
    return float(np.percentile(times_ns, share))


def _ms(times_ns: list[int], share: int) -> float:
    return round(_share(times_ns, share) / 1e6, 3)


if __name__ == "__main__":
    main()
