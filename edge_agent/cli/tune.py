"""`edge-agent bundle tune`: find the best way to run each stage of a bundle on this device."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import msgspec
import typer

from edge_agent import clock
from edge_agent.cli.station import StationOption, pick, tell_agent
from edge_agent.config import DEFAULT_PATH, AgentConfig, load
from edge_agent.inspection.engines import version_of
from edge_agent.rollout.bundle import Bundle, read_bundle
from edge_agent.rollout.tuning import Trial, Tuned, TunedStage, choose
from edge_agent.rollout.tuning_file import keep, this_processor

_FAILED = 1


class _StageTrials(msgspec.Struct, frozen=True):
    """How each way to run a stage did, and which is best; None where nothing can run it."""

    trials: list[Trial]
    choice: Trial | None


def tune(
    bundle: Annotated[Path, typer.Argument(help="The bundle file.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help=f"The configuration file; {DEFAULT_PATH} if it is."),
    ] = None,
    station: StationOption = "",
    threads: Annotated[
        int,
        typer.Option(min=0, max=64, help="Threads at most; 0: the processors, among the stations."),
    ] = 0,
    seconds: Annotated[float, typer.Option(min=0, max=3600, help="Time for the timing.")] = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time every way to run a bundle's models on this device, and keep the best for a station.

    What disagrees with the bundle's own scores of its samples is never chosen. Without a
    configuration nothing is kept. A choice holds for this bundle on this device, and only while
    inspection.engine is "auto".

    Example: edge-agent bundle tune bracket-7.bundle --station press-4
    """
    settings = load(config or DEFAULT_PATH) if config or DEFAULT_PATH.exists() else None
    name = pick(list(settings.station), station) if settings else ""
    found = read_bundle(bundle)
    if settings and settings.socket_path.exists():
        os.nice(10)  # a running agent has parts to judge meanwhile
        print("An agent is running here: its load is in the figures.", file=sys.stderr)
    most = threads or _share(len(settings.station) if settings else 1)
    tried = _try_stages(bundle, found, threads=most, seconds=seconds)
    best = {stage: each.choice for stage, each in tried.items() if each.choice}
    whole = len(best) == len(tried)
    kept = _keep(settings, name, found, best) if settings and whole else None
    if as_json:
        _print_json(found, tried, kept)
    else:
        for stage, each in tried.items():
            _print_trials(stage if len(tried) > 1 else "", each)
    if not whole:
        lost = ", ".join(stage for stage in tried if stage not in best)
        which = f" (stage {lost})" if len(tried) > 1 else ""
        print(f"bundle {found.label}: nothing here can run it{which}", file=sys.stderr)
        raise typer.Exit(_FAILED)
    if settings and kept:
        _announce(settings, name, best, kept, to=sys.stderr if as_json else sys.stdout)


def _try_stages(
    path: Path, bundle: Bundle, *, threads: int, seconds: float
) -> dict[str, _StageTrials]:
    from edge_agent.rollout.timing import measure  # noqa: PLC0415 - starts processes; only here

    tried = {}
    stages = bundle.manifest.stages
    with _progress() as advance:
        for place, stage in enumerate(stages):

            def step(share: float, place: int = place) -> None:
                advance((place + share) / len(stages))

            trials = measure(
                path, stage.name, threads=threads, seconds=seconds / len(stages), advance=step
            )
            tried[stage.name] = _StageTrials(trials, choose(trials))
    return tried


def _share(stations: int) -> int:
    """Return how many processors a station may take for itself."""
    return max(1, len(os.sched_getaffinity(0)) // stations)


def _keep(settings: AgentConfig, station: str, bundle: Bundle, best: dict[str, Trial]) -> Path:
    stages = {
        name: TunedStage(
            choice=trial.choice, version=version_of(trial.choice.engine), p50_ms=trial.p50_ms
        )
        for name, trial in best.items()
    }
    tuned = Tuned(
        digest=bundle.digest,
        cpu=this_processor(),
        stages=stages,
        time=clock.iso(time.time_ns()),
    )
    return keep(settings.slots_dir(station), tuned)


def _announce(
    settings: AgentConfig, station: str, best: dict[str, Trial], kept: Path, *, to: TextIO
) -> None:
    """Say what was kept, and let a running agent take it over."""
    for name, trial in best.items():
        which = f"stage {name}: " if len(best) > 1 else ""
        print(f"{which}{trial.choice}: kept for station {station} in {kept}", file=to)
    engine = settings.station[station].inspection.engine
    if engine != "auto":
        print(f'It waits: inspection.engine is "{engine}" in the configuration.', file=sys.stderr)
    elif settings.socket_path.exists():
        tell_agent(settings.socket_path, station, to=to)


def _print_json(bundle: Bundle, tried: dict[str, _StageTrials], kept: Path | None) -> None:
    answer = {
        "bundle": bundle.label,
        "digest": bundle.digest,
        "cpu": this_processor(),
        "stages": {
            name: {"trials": each.trials, "choice": each.choice.choice if each.choice else None}
            for name, each in tried.items()
        },
        "file": str(kept) if kept else "",
    }
    print(msgspec.json.encode(answer).decode())


def _print_trials(stage: str, tried: _StageTrials) -> None:
    from rich.console import Console  # noqa: PLC0415 - only people need it
    from rich.table import Table  # noqa: PLC0415

    if stage:
        print(f"stage {stage}:")
    table = Table(box=None, pad_edge=False)
    for heading in ("engine", "threads", "option", "min ms", "p50 ms", "p99 ms", "MiB", "agrees"):
        left = heading in {"engine", "option", "agrees"}
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for trial in tried.trials:
        figures = [
            f"{figure:.{digits}f}" if trial.runs else "-"
            for figure, digits in (
                (trial.min_ms, 2), (trial.p50_ms, 2), (trial.p99_ms, 2), (trial.memory_mb, 1),
            )
        ]  # fmt: skip
        choice = trial.choice
        agrees = "no" if trial.objection else "yes, chosen" if trial is tried.choice else "yes"
        table.add_row(choice.engine, str(choice.threads), choice.option, *figures, agrees)
    Console(highlight=False, soft_wrap=True).print(table)
    for trial in tried.trials:
        if trial.objection:
            print(f"{trial.choice}: {trial.objection}")


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """Show a bar on standard error, where a person looks at it."""
    if not sys.stderr.isatty():
        yield lambda _share: None
        return
    from rich.console import Console  # noqa: PLC0415 - only people need it
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("timing", total=1.0)
        yield lambda share: bar.update(task, completed=share)
