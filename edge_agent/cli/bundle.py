"""`edge-agent bundle`: look into a bundle, test it, find the best way to run it on this device."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import msgspec
import typer

from edge_agent import clock
from edge_agent.cli.inspect import EngineChoice
from edge_agent.cli.station import StationOption, pick, tell_agent
from edge_agent.config import DEFAULT_PATH, AgentConfig, load
from edge_agent.inspection.engines import EngineSettings, version_of
from edge_agent.rollout.bundle import Bundle, read_bundle
from edge_agent.rollout.selftest import SampleResult, judge_samples, what_fails
from edge_agent.rollout.tuning import Trial, Tuned, choose
from edge_agent.rollout.tuning_file import keep, this_processor

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    no_args_is_help=True, help="Look into a bundle, test it, tune it for this device."
)

BundleArgument = Annotated[Path, typer.Argument(help="The bundle file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_FAILED = 1


# --- show ----------------------------------------------------------------------------------------


@app.command()
def show(
    bundle: BundleArgument,
    as_json: JsonOption = False,
    card: Annotated[bool, typer.Option("--card", help="Print the model card alone.")] = False,
) -> None:
    """Show what a bundle holds: model, thresholds, samples, where it comes from.

    Example: edge-agent bundle show models/simulated_line.bundle --card
    """
    found = read_bundle(bundle)
    manifest = found.manifest
    text = found.files[manifest.card].decode(errors="replace") if manifest.card else ""
    if card:
        print(text.rstrip("\n") or f"bundle {found.label} brings no card")
        return
    facts = _facts(found, bundle.stat().st_size)
    if as_json:
        print(json.dumps({**facts, "card": text}))
    else:
        _print_facts(facts, manifest.card)


def _facts(bundle: Bundle, size: int) -> dict[str, Any]:
    """Return what a person or a program wants to know of a bundle."""
    manifest = bundle.manifest
    facts: dict[str, Any] = msgspec.to_builtins(manifest)
    facts["digest"] = bundle.digest
    facts["bytes"] = size
    for stage in facts["stages"]:
        stage["models"] = {
            form: {"file": file, "bytes": len(bundle.files[file])}
            for form, file in stage["models"].items()
        }
    return facts


def _print_facts(facts: dict[str, Any], card: str) -> None:
    console = _console()
    rows = [
        ("bundle", f"{facts['name']} {facts['version']}  ({facts['bytes'] / 1e6:.1f} MB)"),
        ("digest", facts["digest"]),
        *(row for stage in facts["stages"] for row in _stage_rows(stage)),
        ("tolerance", f"{facts['tolerance']:g} of the ng threshold"),
        ("baseline", facts["baseline"] or "none: learn one at the station"),
        *(
            (
                each["kind"],
                f"{each['file']}, score {_score(each['scores'])}  {each['truth']}".rstrip(),
            )
            for each in facts["samples"]
        ),
        ("created", facts["created"]),
        *facts["provenance"].items(),
        ("card", f"{card}: show it with --card" if card else "none"),
    ]
    for name, value in rows:
        if value:
            console.print(f"{name:18}{value}", markup=False)


def _stage_rows(stage: dict[str, Any]) -> Iterator[tuple[str, str]]:
    view, limits = stage["input"], stage["thresholds"]
    yield "stage", f"{stage['name']}: {stage['task']['kind']}"
    for form, each in stage["models"].items():
        yield f"  model for {form}", f"{each['file']}, {each['bytes'] / 1e6:.2f} MB"
    roi = _plain(view["roi"])
    yield "  input", f"{view['width']} x {view['height']} {view['order']}, ROI {roi}"
    yield "  thresholds", _plain(limits) if limits else "none: it does not decide"


def _plain(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"
        for name, value in values.items()
    )


# --- test ----------------------------------------------------------------------------------------


@app.command("test")
def judge(
    bundle: BundleArgument,
    engine: Annotated[EngineChoice, typer.Option(help="What runs the model.")] = EngineChoice.AUTO,
    as_json: JsonOption = False,
) -> None:
    """Let a bundle judge its own golden and challenge samples; status 1 if one does not hold.

    Example: edge-agent bundle test bracket-7.bundle --engine litert
    """
    found = read_bundle(bundle)
    results = judge_samples(found, engine.value, EngineSettings())
    failed = what_fails(results)
    if as_json:
        answer = {"bundle": found.label, "holds": not failed, "reason": failed, "samples": results}
        print(msgspec.json.encode(answer).decode())
    else:
        for result in results:
            print(_sample_line(result))
    if failed:
        print(f"bundle {found.label}: self-test {failed}", file=sys.stderr)
        raise typer.Exit(_FAILED)
    if not as_json:
        print(f"{found.label}: self-test held on {len(results)} samples")


def _sample_line(result: SampleResult) -> str:
    word = "holds" if result.holds else "FAILS"
    light = f"  {result.light}" if result.light else ""
    return (
        f"{word}  {result.kind:9}  {result.file:20}  expected {_score(result.expected)}  "
        f"actual {_score(result.scores)}  {result.verdict}{light}"
    )


def _score(scores: dict[str, float]) -> str:
    """Say scores, with their stages where there is more than one."""
    if len(scores) == 1:
        return f"{next(iter(scores.values())):9.3f}"
    return ", ".join(f"{name} {score:.3f}" for name, score in scores.items()) or "none"


# --- tune ----------------------------------------------------------------------------------------


@app.command()
def tune(
    bundle: BundleArgument,
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
    as_json: JsonOption = False,
) -> None:
    """Time every way to run a bundle's model on this device, and keep the best for a station.

    What disagrees with the bundle's own scores of its samples is never chosen. Without a
    configuration nothing is kept. A choice holds for this bundle on this device, and only while
    inspection.engine is "auto".

    Example: edge-agent bundle tune bracket-7.bundle --station press-4
    """
    from edge_agent.rollout.timing import measure  # noqa: PLC0415 - starts processes; only here

    settings = load(config or DEFAULT_PATH) if config or DEFAULT_PATH.exists() else None
    name = pick(list(settings.station), station) if settings else ""
    found = read_bundle(bundle)
    if settings and settings.socket_path.exists():
        os.nice(10)  # a running agent has parts to judge meanwhile
        print("An agent is running here: its load is in the figures.", file=sys.stderr)
    most = threads or _share(len(settings.station) if settings else 1)
    with _progress() as advance:
        trials = measure(bundle, threads=most, seconds=seconds, advance=advance)
    best = choose(trials)
    kept = _keep(settings, name, found, best) if settings and best else None
    if as_json:
        answer = {
            "bundle": found.label, "digest": found.digest, "cpu": this_processor(),
            "trials": trials, "choice": best.choice if best else None,
            "file": str(kept) if kept else "",
        }  # fmt: skip
        print(msgspec.json.encode(answer).decode())
    else:
        _print_trials(trials, best)
    if best is None:
        print(f"bundle {found.label}: nothing here can run it", file=sys.stderr)
        raise typer.Exit(_FAILED)
    if settings and kept:
        _announce(settings, name, best, kept, to=sys.stderr if as_json else sys.stdout)


def _share(stations: int) -> int:
    """Return how many processors a station may take for itself."""
    return max(1, len(os.sched_getaffinity(0)) // stations)


def _keep(settings: AgentConfig, station: str, bundle: Bundle, best: Trial) -> Path:
    tuned = Tuned(
        digest=bundle.digest,
        cpu=this_processor(),
        version=version_of(best.choice.engine),
        choice=best.choice,
        p50_ms=best.p50_ms,
        time=clock.iso(time.time_ns()),
    )
    return keep(settings.slots_dir(station), tuned)


def _announce(settings: AgentConfig, station: str, best: Trial, kept: Path, *, to: TextIO) -> None:
    """Say what was kept, and let a running agent take it over."""
    print(f"{best.choice}: kept for station {station} in {kept}", file=to)
    engine = settings.station[station].inspection.engine
    if engine != "auto":
        print(f'It waits: inspection.engine is "{engine}" in the configuration.', file=sys.stderr)
    elif settings.socket_path.exists():
        tell_agent(settings.socket_path, station, to=to)


def _print_trials(trials: list[Trial], best: Trial | None) -> None:
    from rich.table import Table  # noqa: PLC0415 - only people need it

    table = Table(box=None, pad_edge=False)
    for heading in ("engine", "threads", "option", "min ms", "p50 ms", "p99 ms", "MiB", "agrees"):
        left = heading in {"engine", "option", "agrees"}
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for trial in trials:
        figures = [
            f"{figure:.{digits}f}" if trial.runs else "-"
            for figure, digits in (
                (trial.min_ms, 2), (trial.p50_ms, 2), (trial.p99_ms, 2), (trial.memory_mb, 1),
            )
        ]  # fmt: skip
        choice = trial.choice
        agrees = "no" if trial.objection else "yes, chosen" if trial is best else "yes"
        table.add_row(choice.engine, str(choice.threads), choice.option, *figures, agrees)
    _console().print(table)
    for trial in trials:
        if trial.objection:
            print(f"{trial.choice}: {trial.objection}")


def _console() -> Console:
    from rich.console import Console  # noqa: PLC0415 - only people need it

    return Console(highlight=False, soft_wrap=True)


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
