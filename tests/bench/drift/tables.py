"""Print outcomes for people."""

from __future__ import annotations

from collections import Counter

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.bench.drift.changes import CHANGES, Expect
from tests.bench.drift.images import Split
from tests.bench.drift.scoring import Outcome, Summary, change_of, is_textured, summarize
from tests.bench.drift.stations import KINDS
from tests.bench.drift.watching import Trace

_COLUMNS = (
    "", "healthy", "false", "/100k", "must", "recall", "delay", "p90", "cause", "best", "may",
    "recall", "cause", "told raised", "chatter", "declined",
)  # fmt: skip


def show_summaries(console: Console, title: str, groups: dict[str, list[Outcome]]) -> None:
    """Print a line of figures for each group of outcomes."""
    table = Table(title=title, title_justify="left")
    for column in _COLUMNS:
        table.add_column(column, justify="right" if column else "left")
    for name, outcomes in groups.items():
        if outcomes:
            table.add_row(name, *_cells(summarize(outcomes)))
    console.print(table)


def _figure(value: float, digits: int) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


def _cells(s: Summary) -> list[str]:
    return [
        f"{s.healthy}", f"{s.false}", f"{s.false_per_100k:.1f}", f"{s.must}", _figure(s.recall, 3),
        _figure(s.delay_p50, 0), _figure(s.delay_p90, 0), _figure(s.cause, 3),
        _figure(s.cause_best, 3), f"{s.may}", _figure(s.may_recall, 2), _figure(s.may_cause, 2),
        f"{s.told_raised}/{s.told}", f"{s.chatter}", f"{s.declined}",
    ]  # fmt: skip


def by_station(outcomes: list[Outcome]) -> dict[str, list[Outcome]]:
    """Group outcomes: each kind of station, those with static texture, and all."""
    groups = {name: [o for o in outcomes if o.kind == name] for name in KINDS}
    groups["textured"] = [o for o in outcomes if is_textured(o)]
    groups["all"] = outcomes
    return groups


def show_changes(console: Console, outcomes: list[Outcome]) -> None:
    """Print a line for each change: how many were found, when, and what they were called."""
    table = Table(title="by change (must be found; in brackets: may be)", title_justify="left")
    for column in ("change", "found", "delay", "p90", "max", "cause", "may", "called"):
        table.add_column(column, justify="left" if column in {"change", "called"} else "right")
    for change in CHANGES:
        these = change_of(outcomes, change)
        must = [o for o in these if o.expect is Expect.MUST]
        may = [o for o in these if o.expect is Expect.MAY]
        if not must and not may:
            continue
        found = [o for o in must if o.found]
        delays = [o.delay for o in found if o.delay is not None]
        spread = [f"{np.percentile(delays, q):.0f}" if delays else "" for q in (50, 90, 100)]
        right = sum(o.right for o in found)
        called = Counter(o.named[0] for o in must if o.found and o.named)
        other = Counter(o.named[0] for o in may if o.found and o.named)
        words = [f"{k} {n}" for k, n in called.most_common(4)]
        words += [f"({k} {n})" for k, n in other.most_common(3)]
        maybe = f"{sum(bool(o.found) for o in may)}/{len(may)}" if may else ""
        cause = f"{right}/{len(found)}" if must else ""
        share = f"{len(found)}/{len(must)}" if must else ""
        table.add_row(change.name, share, *spread, cause, maybe, ", ".join(words))
    console.print(table)


def show_troubles(console: Console, outcomes: list[Outcome], limit: int) -> None:
    """List what went wrong, with what it takes to see it again."""
    lines = [line for outcome in outcomes for line in troubles(outcome)]
    for line in lines[:limit]:
        console.print(line, highlight=False, soft_wrap=True)
    if len(lines) > limit:
        console.print(f"... and {len(lines) - limit} more: --troubles {len(lines)} shows all")


def troubles(o: Outcome) -> list[str]:
    """Say what went wrong in a stream, a line each."""
    repeat = (o.number - 1_000_000) if o.change == "none" else o.number // 1000
    replay = f'--replay {o.kind} "{o.change}" {o.seed}' + (f" --repeat {repeat}" if repeat else "")
    replay += f" --split {o.split}" if o.split is not Split.TUNE else ""
    replay += f" --healthy {o.healthy}" if o.change == "none" else ""
    lines = []
    if o.false:
        kinds = ", ".join(f"{k} at {i}" for k, i in zip(o.false_kinds, o.false_at, strict=True))
        hand = f" ({o.disturbed} after a hand or an empty frame)" if o.disturbed else ""
        lines.append(f"FALSE  {kinds}{hand}: {replay}")
    if o.told:
        lines.append(f"TOLD   raised {o.told}: {replay}")
    if o.expect is Expect.MUST and not o.found:
        said = f" (said before: {o.said_before})" if o.said_before else ""
        lines.append(f"MISSED {said}: {replay}")
    if o.expect is Expect.MUST and o.found and not o.right:
        lines.append(f"CALLED {', '.join(o.named) or 'nothing'} after {o.delay}: {replay}")
    if o.chatter:
        lines.append(f"CHATTER: {replay}")
    return lines


def show_costs(console: Console, traces: list[Trace]) -> None:
    """Print what the watch costs, and what baselines say they cannot watch."""
    table = Table(title="cost, and what cannot be watched", title_justify="left")
    for column in ("", "p50 us", "p99 us", "learn s", "cannot be watched (stations)"):
        table.add_column(column, justify="right" if "s" in column[-1:] else "left")
    for name in KINDS:
        these = [t for t in traces if t.kind == name]
        if not these:
            continue
        costs = np.concatenate([t.cost_us for t in these])
        stations = {t.seed: t for t in these}
        said = Counter(
            f"{key}: {why}" for t in stations.values() for key, why in sorted(t.monitors.items())
        )
        words = "; ".join(f"{text} ({n}/{len(stations)})" for text, n in said.most_common(6))
        learn = f"{np.median([t.learn_s for t in these]):.1f}"
        p50, p99 = np.percentile(costs, [50, 99])
        table.add_row(name, f"{p50:.0f}", f"{p99:.0f}", learn, words)
    console.print(table)
