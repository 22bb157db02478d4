"""`edge-agent bundle`: look into a bundle, test it, find the best way to run it on this device."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from edge_agent.cli.inspect import EngineChoice
from edge_agent.cli.tune import tune
from edge_agent.inspection.engines import EngineSettings
from edge_agent.rollout.bundle import Bundle, read_bundle
from edge_agent.rollout.selftest import SampleResult, judge_samples, what_fails

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    no_args_is_help=True, help="Look into a bundle, test it, tune it for this device."
)

BundleArgument = Annotated[Path, typer.Argument(help="The bundle file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_FAILED = 1
_LABELS = 12
"""As many labels are shown."""


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
            console.print(f"{name:17} {value}", markup=False)


def _stage_rows(stage: dict[str, Any]) -> Iterator[tuple[str, str]]:
    view, limits = stage["input"], stage["thresholds"]
    yield "stage", f"{stage['name']}: {stage['task']['kind']}"
    yield from _task_rows(stage["task"])
    for form, each in stage["models"].items():
        yield f"  model for {form}", f"{each['file']}, {each['bytes'] / 1e6:.2f} MB"
    roi = _plain(view["roi"])
    size = f"{view['width']} x {view['height']} {view['order']}, {view['fit']}"
    yield "  input", f"{size}, ROI {roi}"
    yield "  thresholds", _plain(limits) if limits else "none: it does not decide"
    if source := stage["source"]:
        what = ", ".join(source["labels"]) or "each thing"
        yield "  looks at", f"{what} that {source['stage']} found, margin {source['margin']:g}"
    if when := stage["when"]:
        what = f"{when['label']} of {when['stage']}" if when["label"] else when["stage"]
        below = "" if when["below"] is None else f" and below {when['below']:g}"
        yield "  only when", f"{what} is at least {when['at_least']:g}{below}"
    if stage["budget_ms"]:
        yield "  budget", f"{stage['budget_ms']:g} ms"


def _task_rows(task: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("labels", "good", "defects"):
        if some := task.get(name):
            more = f", ... ({len(some)})" if len(some) > _LABELS else ""
            yield f"  {name}", ", ".join(some[:_LABELS]) + more
    if expected := task.get("expected"):
        yield "  expected", ", ".join(f"{count} {label}" for label, count in expected.items())
    if layout := task.get("layout"):
        yield "  layout", layout


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


def _console() -> Console:
    from rich.console import Console  # noqa: PLC0415 - only people need it

    return Console(highlight=False, soft_wrap=True)


app.command()(tune)
