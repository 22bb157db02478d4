"""How `edge-agent status` shows an agent to people."""

from __future__ import annotations

from typing import Any

from edge_agent.alarms.state import AlarmState


def show(status: dict[str, Any]) -> None:
    """Print the status of an agent; see `edge_agent.agent.status.Status`."""
    from rich.console import Console  # noqa: PLC0415 - only people need it
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console()
    console.print(
        f"[bold]{status['device']}[/] is {status['state']} for {status['uptime_s']:.0f} s "
        f"(version {status['version']}, pid {status['pid']}, {status['rss_mb']:.0f} MiB)"
    )
    stations = Table(show_edge=False, box=None, padding=(0, 2, 0, 0))
    for column in ("station", "bundle", "parts", "verdicts", "p50 / p99", "last part"):
        stations.add_column(column)
    for name, each in status["stations"].items():
        latency, last = each["latency_ms"], each["last"]
        stations.add_row(
            name,
            f"{each['bundle'] or '(none)'} {each['engine']}",
            str(each["parts"]),
            ", ".join(f"{count} {verdict}" for verdict, count in each["verdicts"].items()) or "-",
            f"{latency['p50']:.1f} / {latency['p99']:.1f} ms" if latency else "-",
            f"{last['part']}: {last['verdict']}, light {last['light']}" if last else "-",
        )
    console.print(stations)
    link = status["uplink"]
    waiting = sum(lane["waiting"] for lane in status["spool"].values())
    lost = sum(lane["lost"] for lane in status["spool"].values())
    kib = status["backlog_bytes"] / 1024
    up = "connected" if link["connected"] else f"[red]down[/] ({escape(link['error'])})"
    console.print(f"uplink {up}; {waiting} records wait ({kib:.0f} KiB), {lost} lost")
    for alarm in status["alarms"]:
        colour = "red" if alarm["state"] == AlarmState.UNACKNOWLEDGED else "yellow"
        console.print(
            f"[{colour}]{alarm['key']} {alarm['state']} ({alarm['priority']})[/] since "
            f"{alarm['since']}: {escape(alarm['text'])}"
        )
