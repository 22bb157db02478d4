"""Many devices, several collectors, one broker, one PostgreSQL; a collector that dies or hangs.

python -m tests.bench.scale [--devices 200] [--rate 10] [--seconds 30] [--case all] [--svg FILE]

Each case ends with the comparison of what the devices made with the rows of the store. All of it,
the devices too, shares this machine; seconds of CPU say who took what. Cases: `steady`; `kill` (one
of two collectors killed after a third of the time, another started after two thirds); `hang` (one
of two stopped with SIGSTOP for the middle third); `drain1` and `drain2` (as much as is taken, by
one collector and by two). --svg draws the seconds of kill and hang.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from edge_agent.collector.audit import Audit
from edge_agent.collector.simulation.check import Finding, check
from edge_agent.collector.simulation.fleet import Account, Fleet, Load
from edge_agent.uplink.settings import MqttSettings, UplinkSettings
from tests.broker import Broker
from tests.rigs.postgresql import Cluster

_TICK_S = os.sysconf("SC_CLK_TCK")
_LOOK_S = 0.25
_DELIVER_S = 60.0
_CASES = ("steady", "kill", "hang", "drain1", "drain2")


class Moment(msgspec.Struct, frozen=True):
    """How it stood."""

    at_s: float
    acknowledged: int
    backlog: int


class Plant:
    """Everything but the devices."""

    def __init__(self, folder: Path, cluster: Cluster, collectors: int) -> None:
        self.folder, self.cluster = folder, cluster
        self.broker = Broker(folder / "broker")
        self.broker.start()
        self.mqtt = MqttSettings(port=self.broker.port)
        self.url = cluster.database()
        self._config = folder / "collector.toml"
        self._config.write_text(
            f'[mqtt]\nport = {self.broker.port}\n[store]\nurl = "{self.url}"\n'
            '[ingest]\ngroup = "plant"\n',
            encoding="utf-8",
        )
        self.collectors: list[subprocess.Popen[bytes]] = []
        for _ in range(collectors):
            self.start_collector()

    def start_collector(self) -> None:
        """Start one, and wait until it listens."""
        log = self.folder / f"collector-{len(self.collectors)}.log"
        command = [sys.executable, "-m", "edge_agent.cli.collector", "run", "-c"]
        with log.open("wb") as file:
            self.collectors.append(subprocess.Popen([*command, str(self._config)], stderr=file))
        while "is connected" not in log.read_text(encoding="utf-8"):
            time.sleep(0.02)

    def cpu_s(self) -> list[float]:
        """Return seconds of CPU of broker, collectors and PostgreSQL."""
        broker = self.broker._process
        assert broker is not None
        return [
            _cpu_s(broker.pid),
            sum(_cpu_s(each.pid) for each in self.collectors if each.poll() is None),
            sum(_cpu_s(pid) for pid in self.cluster._pids()),
        ]

    def stop(self) -> None:
        """Stop all."""
        for collector in self.collectors:
            collector.send_signal(signal.SIGCONT)
            collector.terminate()
            collector.wait()
        self.broker.stop()


def _cpu_s(pid: int) -> float:
    """Return what a process took, and its children that ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1")
    except OSError:
        return 0.0
    return sum(map(int, stat.rpartition(")")[2].split()[11:15])) / _TICK_S


def play(case: str, load: Load, plant: Plant) -> tuple[Account, Finding, list[Moment]]:
    """Run one case."""
    moments: list[Moment] = []
    third = load.seconds / 3
    with Fleet(load, plant.mqtt, UplinkSettings()) as fleet:
        assert fleet.wait_for_links(60), "not all devices are connected"
        fleet.begin()

        def watch(until_s: float) -> None:
            while (now := fleet.standing()).seconds < until_s and not fleet.is_done:
                moments.append(Moment(now.seconds, now.acknowledged, now.backlog))
                time.sleep(_LOOK_S)

        watch(third)
        if case == "kill":
            plant.collectors[0].kill()
            plant.collectors[0].wait()
        elif case == "hang":
            plant.collectors[0].send_signal(signal.SIGSTOP)
        watch(2 * third)
        if case == "kill":
            plant.start_collector()
        elif case == "hang":
            plant.collectors[0].send_signal(signal.SIGCONT)
        watch(load.seconds + _DELIVER_S)
        account = fleet.account()
        audit = Audit(plant.url)
        finding = check(fleet, audit)
        audit.close()
    return account, finding, moments


def run(case: str, load: Load, cluster: Cluster) -> tuple[str, list[Moment]]:
    """Run one case, and say what came of it."""
    folder = Path(tempfile.mkdtemp(prefix="edge-scale-"))
    plant = Plant(folder, cluster, 1 if case == "drain1" else 2)
    try:
        before, own = plant.cpu_s(), time.process_time()
        account, finding, moments = play(case, load, plant)
        broker, collectors, store = (b - a for a, b in zip(before, plant.cpu_s(), strict=True))
        own = time.process_time() - own
    finally:
        plant.stop()
        shutil.rmtree(folder)
    right = "0 lost, 0 doubled" if finding.is_right else f"WRONG: {finding}"
    text = (
        f"{case:<7} {account.devices:>4} {account.records:>9,} {account.acknowledged:>9,} "
        f"{account.records_per_s:>8,.0f} {account.p50_ms:>7,.0f} {account.p99_ms:>7,.0f} "
        f"{account.longest_ms:>8,.0f} {account.resent_batches:>6,}  {right}; CPU: devices "
        f"{own:.1f} s, broker {broker:.1f} s, collectors {collectors:.1f} s, "
        f"PostgreSQL {store:.1f} s"
    )
    return text, moments


def draw(runs: dict[str, list[Moment]], seconds: float) -> str:
    """Draw what was acknowledged in each second, and the backlog."""
    width, height, left = 820, 150, 70
    whole = f"{width} {len(runs) * 200 + 30}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole}" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/><g font-family="system-ui, sans-serif">',
    ]
    said = {"kill": "kill -9 one of two; a new one starts", "hang": "one of two hangs; it goes on"}
    for place, (name, moments) in enumerate(runs.items()):
        top = 30 + place * 200
        end = max(moments[-1].at_s, seconds)
        # Rates over a second: batches come in steps.
        rates = [
            (b.at_s, (b.acknowledged - a.acknowledged) / max(b.at_s - a.at_s, 0.01))
            for a, b in zip(moments, moments[4:], strict=False)
        ]
        backlogs = [(m.at_s, float(m.backlog)) for m in moments]
        most = max(value for _, value in [*rates, *backlogs]) * 1.05
        x0, x1 = (left + (width - left - 20) * k * seconds / 3 / end for k in (1, 2))
        parts.append(
            f'<text x="{left}" y="{top - 8}" font-weight="600">{name}: {said[name]}</text>'
            f'<rect x="{x0:.0f}" y="{top}" width="{x1 - x0:.0f}" height="{height}" fill="#fff1f0"/>'
            f'<rect x="{left}" y="{top}" width="{width - left - 20}" height="{height}" '
            'fill="none" stroke="#afb8c1"/>'
        )
        for value in (0.0, most / 1.05):
            y = top + height * (1 - value / most)
            parts.append(
                f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{value:,.0f}</text>'
            )
        for colour, points in (("#0969da", rates), ("#cf222e", backlogs)):
            line = " ".join(
                f"{left + (width - left - 20) * at / end:.1f},{top + height * (1 - v / most):.1f}"
                for at, v in points
            )
            parts.append(
                f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
            )
        parts.append(f'<text x="{left}" y="{top + height + 16}">0 s</text>')
        parts.append(
            f'<text x="{width - 20}" y="{top + height + 16}" text-anchor="end">{end:.0f} s</text>'
            f'<text x="{width / 2}" y="{top + height + 16}" text-anchor="middle">'
            '<tspan fill="#0969da">records acknowledged a second</tspan>, '
            '<tspan fill="#cf222e">records that wait</tspan></text>'
        )
    return "\n".join([*parts, "</g></svg>", ""])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--records", type=int, default=400_000, help="of the drains")
    parser.add_argument("--case", choices=[*_CASES, "all"], default="all")
    parser.add_argument("--svg", type=Path, help="where to draw kill and hang")
    options = parser.parse_args()
    steady = Load(
        devices=options.devices, rate=options.rate, batch=options.batch, seconds=options.seconds
    )
    drain = Load(devices=40, rate=0.0, batch=500, records=options.records, lines=2)
    cases = _CASES if options.case == "all" else (options.case,)
    cluster = Cluster(settings="max_wal_size = 4GB")
    cluster.start()
    drawn: dict[str, list[Moment]] = {}
    say = sys.stdout.write
    say(
        f"{'case':<7} {'dev.':>4} {'records':>9} {'stored':>9} {'a second':>8} {'p50 ms':>7} "
        f"{'p99 ms':>7} {'max ms':>8} {'again':>6}\n"
    )
    try:
        for case in cases:
            text, moments = run(case, drain if case.startswith("drain") else steady, cluster)
            say(f"{text}\n")
            sys.stdout.flush()
            if case in {"kill", "hang"}:
                drawn[case] = moments
    finally:
        cluster.remove()
    if options.svg and drawn:
        options.svg.write_text(draw(drawn, options.seconds), encoding="utf-8")


if __name__ == "__main__":
    main()
