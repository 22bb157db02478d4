"""How `edge-agent status` shows an agent to people."""

from __future__ import annotations

from typing import Any

from edge_agent.alarms.state import AlarmState


def show(status: dict[str, Any]) -> None:
    """Print the status of an agent; see `edge_agent.agent.status.Status`."""
    from rich.console import Console  # noqa: PLC0415 - only people need it
    from rich.markup import escape  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"[bold]{status['device']}[/] is {status['state']} for {status['uptime_s']:.0f} s "
        f"(version {status['version']}, pid {status['pid']}, {status['rss_mb']:.0f} MiB)"
    )
    for name, each in status["stations"].items():
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in each["verdicts"].items())
        bundle = f"{each['bundle']} on {each['engine']}" if each["bundle"] else "no bundle"
        console.print(
            f"station [bold]{name}[/], {bundle}: {each['parts']} parts; {verdicts or '-'}"
        )
        if notes := _notes(each):
            console.print(f"  {escape(notes)}")
        latency, last = each["latency_ms"], each["last"]
        if last:
            told = ", ".join(f"{stage} {score:.3f}" for stage, score in last["scores"].items())
            scores = f" ({told})" if told else ""
            console.print(
                f"  last part {escape(last['part'])}: {last['verdict']}{scores}, "
                f"light {last['light']}; "
                f"capture to verdict p50 {latency['p50']:.1f}, p99 {latency['p99']:.1f} ms"
            )
        for forecast in each.get("forecasts", ()):
            console.print(f"  [yellow]{escape(forecast['text'])}[/]")
    link = status["uplink"]
    waiting = sum(lane["waiting"] for lane in status["spool"].values())
    lost = sum(lane["lost"] for lane in status["spool"].values())
    kib = status["backlog_bytes"] / 1024
    up = "connected" if link["connected"] else f"[red]down[/] ({escape(link['error'])})"
    console.print(f"uplink {up}; {waiting} records wait ({kib:.0f} KiB), {lost} lost")
    if budget := link.get("budget_bytes"):
        held = ", ".join(link["held"])
        waits = f"; [yellow]waiting for it: {escape(held)}[/]" if held else ""
        console.print(
            f"  {link['hour_bytes'] / 1024:.0f} of {budget / 1024:.0f} KiB in the last hour{waits}"
        )
    for alarm in status["alarms"]:
        colour = "red" if alarm["state"] == AlarmState.UNACKNOWLEDGED else "yellow"
        console.print(
            f"[{colour}]{alarm['key']} {alarm['state']} ({alarm['priority']})[/] since "
            f"{alarm['since']}: {escape(alarm['text'])}"
        )


def _notes(station: dict[str, Any]) -> str:
    """Say what is made, and who decides where that is not the model alone."""
    notes = []
    if product := station.get("product"):
        known = f"recipe {product['recipe']}" if product["recipe"] else "no recipe for it"
        notes.append(f"makes {product['part_number']} ({known})")
    configured = station.get("automation", "full")
    in_force = (station["last"] or {}).get("automation") or configured
    if in_force != configured:
        notes.append(f"automation {in_force}, stepped down from {configured}: the light drifted")
    elif in_force != "full":
        notes.append(f"automation {in_force}")
    return "; ".join(notes)
