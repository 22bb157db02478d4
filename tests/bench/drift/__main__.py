"""Measure the drift watch: `python -m tests.bench.drift` prints tables and the list of troubles.

python -m tests.bench.drift                          one station of each kind, every change
python -m tests.bench.drift --stations fixture,plate --changes "dim 2 %,small dirt" --seeds 3
python -m tests.bench.drift --healthy 200000         no-change runs beside
python -m tests.bench.drift --split held             images, cameras and seeds not tuned on
python -m tests.bench.drift --replay fixture "dim 2 %" 7 --out FOLDER
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress

from tests.bench.drift.changes import CHANGES, Expect, expected
from tests.bench.drift.images import Split
from tests.bench.drift.scoring import Outcome, score, summarize
from tests.bench.drift.stations import KINDS
from tests.bench.drift.tables import (
    by_station,
    show_changes,
    show_costs,
    show_summaries,
    show_troubles,
)
from tests.bench.drift.watching import Job, Trace, run_job

_HEALTHY_STREAM = 5000
_CHANGES_A_JOB = 10


def main() -> None:
    """Run what the command line asks for."""
    chosen = _arguments()
    console = Console(width=max(170, Console().width))
    if chosen.replay:
        from tests.bench.drift.replay import replay  # noqa: PLC0415 - only where it is asked for

        replay(console, chosen)
        return
    jobs = list(_jobs(chosen))
    traces = run_all(console, jobs, chosen.jobs)
    outcomes = [score(trace, trace.loud, trace.said) for trace in traces]
    show_changes(console, outcomes)
    show_costs(console, traces)
    show_summaries(console, "the watch: an alarm is a named cause", by_station(outcomes))
    modes = {
        "causes": outcomes,
        "not normal": [score(t, t.level > 0, t.said) for t in traces],
        "drifted or invalid": [score(t, t.level > 1, t.said) for t in traces],
        "invalid": [score(t, t.level > 2, t.said) for t in traces],
    }
    show_summaries(console, "the watch, by what counts as an alarm", modes)
    peers = {}
    if chosen.peers:
        from tests.bench.drift.peers import run_peers  # noqa: PLC0415 - river is an extra

        target = summarize(outcomes).false_per_100k
        peers = run_peers(console, traces, jobs=chosen.jobs, target_per_100k=target)
        show_summaries(console, "peers, on global statistics", {"the watch": outcomes, **peers})
        textured = {n: [o for o in p if KINDS[o.kind].textured] for n, p in peers.items()}
        own = [o for o in outcomes if KINDS[o.kind].textured]
        show_summaries(console, "peers, static texture only", {"the watch": own, **textured})
    show_troubles(console, outcomes, chosen.troubles)
    if chosen.json:
        _write(chosen.json, outcomes, peers)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--stations", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    add("--changes", default="all", help="names, by commas; all, or none")
    add("--seed", type=int, default=1, help="of the first station (1)")
    add("--seeds", type=int, default=1, help="stations of each kind (1)")
    add("--repeat", type=int, default=0, help="another draw of the same stations' streams (0)")
    add("--split", type=Split, default=Split.TUNE, choices=list(Split), help="(tune)")
    add("--learn", type=int, default=600, help="frames to learn from (600)")
    add("--healthy", type=int, default=0, help="frames without a change, over all stations (0)")
    add("--peers", action="store_true", help="run the peers on the same frames")
    add("--jobs", type=int, default=1, help="processes (1)")
    add("--troubles", type=int, default=60, help="how many lines of troubles to print (60)")
    add("--json", type=Path, default=None, help="write all outcomes there")
    add("--replay", nargs=3, metavar=("STATION", "CHANGE", "SEED"), help="dump one stream")
    add("--out", type=Path, default=Path("drift-replay"), help="folder of the dump")
    return parser.parse_args()


def _jobs(chosen: argparse.Namespace) -> Iterator[Job]:
    names = [c.name for c in CHANGES] if chosen.changes == "all" else []
    if chosen.changes not in {"all", "none"}:
        names = [
            name.strip() for name in chosen.changes.split(";" if ";" in chosen.changes else ",")
        ]
        names = _joined(names)
    kinds = [KINDS[name] for name in chosen.stations.split(",")]
    whole = sum(kind.weight for kind in kinds)
    for kind in kinds:
        run = [
            c.name
            for c in CHANGES
            if c.name in names
            and expected(c, scene=kind.scene, colour=kind.colour) is not Expect.NOT
        ]
        for seed in range(chosen.seed, chosen.seed + chosen.seeds):
            common = {
                "kind": kind.name, "seed": seed, "split": chosen.split, "repeat": chosen.repeat,
                "learn": chosen.learn, "figures": chosen.peers,
            }  # fmt: skip
            for first in range(0, len(run), _CHANGES_A_JOB):
                yield Job(changes=tuple(run[first : first + _CHANGES_A_JOB]), **common)
        left = round(chosen.healthy * kind.weight / whole)
        seed = chosen.seed
        while left > 0:
            common = {
                "kind": kind.name, "seed": seed, "split": chosen.split,
                "learn": chosen.learn, "figures": chosen.peers,
            }  # fmt: skip
            yield Job(healthy=min(left, _HEALTHY_STREAM), **common)
            left, seed = left - _HEALTHY_STREAM, seed + 1


def _joined(names: list[str]) -> list[str]:
    """Join what a comma inside a name has parted ("product, told"), and refuse what is unknown."""
    text, known = ", ".join(names), [c.name for c in CHANGES]
    found = [name for name in known if name in text]
    left = text
    for name in sorted(found, key=len, reverse=True):
        left = left.replace(name, "")
    if left.strip(", "):
        raise SystemExit(f"unknown change {left.strip(', ')!r}: one of {', '.join(known)}")
    return found


def run_all(console: Console, jobs: list[Job], processes: int) -> list[Trace]:
    """Run jobs, in several processes if asked; the order of the traces is that of the jobs."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    results: list[list[Trace]] = [[] for _ in jobs]
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("watching streams", total=len(jobs))
        if processes <= 1:
            for index, job in enumerate(jobs):
                results[index] = run_job(job)
                progress.advance(task)
        else:
            with ProcessPoolExecutor(processes) as pool:
                running = {pool.submit(run_job, job): index for index, job in enumerate(jobs)}
                for done in as_completed(running):
                    results[running[done]] = done.result()
                    progress.advance(task)
    return [trace for result in results for trace in result]


def _write(path: Path, outcomes: list[Outcome], peers: dict[str, list[Outcome]]) -> None:
    groups = {name: summarize(group) for name, group in by_station(outcomes).items() if group}
    content = {
        "summary": groups,
        "peers": {name: summarize(group) for name, group in peers.items()},
        "outcomes": outcomes,
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


if __name__ == "__main__":
    main()
