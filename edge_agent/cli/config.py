"""`edge-agent config`: check a configuration, or show every key there is."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edge_agent.config import AgentConfig
from edge_agent.settings import Key, Section, sections

_MANUAL = """\
# Configuration of the agent

Every key of `agent.toml`. It is TOML; a key that is left out has its default. An unknown key, a
wrong type and a value out of range are refused in one line with the key's full name, and the
nearest known key for a typo: `edge-agent config check FILE`.

`edge-agent config show --format toml` prints a complete sample, which is also `deploy/agent.toml`;
`edge-agent config show --format markdown` writes this page.
"""

app = typer.Typer(no_args_is_help=True, help="Check a configuration, or show every key there is.")


class Form(StrEnum):
    """How the keys are shown."""

    TABLE = "table"
    TOML = "toml"
    MARKDOWN = "markdown"
    JSON = "json"


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The configuration, e.g. agent.toml.")],
) -> None:
    """Check a configuration file, and say what is wrong in one line.

    Example: edge-agent config check /etc/edge-agent/agent.toml
    """
    from edge_agent.config import load  # noqa: PLC0415 - imports the camera drivers

    config = load(file)
    stations = ", ".join(
        f"{name} ({station.camera.driver})" for name, station in config.station.items()
    )
    print(f"{file}: good. Device {config.device}; stations: {stations}")


@app.command()
def show(
    form: Annotated[Form, typer.Option("--format", help="How to show the keys.")] = Form.TABLE,
) -> None:
    """Show every key of agent.toml with its default and unit.

    Example: edge-agent config show --format toml > agent.toml
    """
    found = list(sections(AgentConfig))
    if form is Form.TOML:
        print(as_toml(found), end="")
    elif form is Form.MARKDOWN:
        print(as_markdown(found), end="")
    elif form is Form.JSON:
        for section in found:
            for key in section.keys:
                print(json.dumps({"section": section.name, **_plain(key)}))
    else:
        _print_table(found)


def as_toml(found: list[Section]) -> str:
    """Write a sample agent.toml: every key with its default, what it does and its unit.

    The first driver of a camera is the one in use; the others stand beside it as comments.
    """
    lines = [
        "# agent.toml: every key that the agent knows, with its default.",
        "# A key that is left out has that default. `edge-agent config check FILE` checks a file.",
        "",
    ]
    seen: set[str] = set()
    for section in found:
        heading = section.heading.replace("NAME", "line1")
        mark = "# " if heading in seen or section.repeated else ""
        seen.add(heading)
        if heading:
            lines += [f"# {section.text}", f"{mark}{heading}"]
        for key in section.keys:
            unit = f" [{key.unit}]" if key.unit else ""
            lines.append(f"# {key.text} ({key.kind}){unit}")
            if key.default is None:
                lines.append(f"# {key.name} = ...   (required)")
            else:
                lines.append(f"{mark}{key.name} = {key.default}")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def as_markdown(found: list[Section]) -> str:
    """Write the manual of all keys."""
    lines = _MANUAL.splitlines()
    for section in found:
        lines += ["", f"## `{section.heading}`" if section.name else "## Top of the file", ""]
        lines += [section.text, ""]
        if not section.keys:
            continue
        lines += ["| key | takes | default | unit | what it does |", "|---|---|---|---|---|"]
        for key in section.keys:
            default = "**required**" if key.default is None else f"`{key.default}`"
            cells = (f"`{key.name}`", key.kind, default, key.unit, key.text)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines).rstrip("\n") + "\n"


def _plain(key: Key) -> dict[str, str | None]:
    return {
        "key": key.name, "takes": key.kind, "default": key.default, "unit": key.unit,
        "text": key.text,
    }  # fmt: skip


def _print_table(found: list[Section]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only people need it
    from rich.table import Table  # noqa: PLC0415

    console = Console()
    for section in found:
        title = section.heading or "top of the file"
        table = Table(
            title=f"{title}  {section.text}".replace("[", "\\["), title_justify="left", expand=True
        )
        table.add_column("key", style="bold", no_wrap=True)
        table.add_column("default", overflow="fold", ratio=1)
        table.add_column("unit", no_wrap=True)
        table.add_column("what it does", ratio=3)
        for key in section.keys:
            default = "(required)" if key.default is None else key.default
            table.add_row(
                key.name, default, key.unit, f"{key.text} ({key.kind})".replace("[", "\\[")
            )
        console.print(table)
