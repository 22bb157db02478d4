"""The folder of one demonstration: configuration files, logs, state, database."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_agent import config as agent_config
from edge_agent.demo.story import DIMMED_LEVEL, TAKT_MS, EventKind, Story
from edge_agent.errors import UsageError
from edge_agent.rollout.selftest import self_test
from edge_agent.rollout.slots import Slots
from edge_agent.settings import toml_value

DEVICE, STATION = "demo-1", "line1"
_ROOT = Path(__file__).parent.parent.parent
"""Of a checkout, or the folder that this package is installed in."""


class Workspace(msgspec.Struct, frozen=True):
    """Where one demonstration keeps its files, and how its broker is reached."""

    folder: Path
    port: int

    @property
    def agent_toml(self) -> Path:
        """The agent's configuration."""
        return self.folder / "agent.toml"

    @property
    def collector_toml(self) -> Path:
        """The collector's configuration."""
        return self.folder / "collector.toml"

    @property
    def database(self) -> Path:
        """The collector's database."""
        return self.folder / "collector.db"


def reference_bundle() -> Path:
    """Return the path of the simulated line's bundle, in a checkout or as installed.

    Raises:
        UsageError: It is not there.
    """
    bundle = _ROOT / "models" / "simulated_line.bundle"
    if not bundle.is_file():
        raise UsageError(f"{bundle}: the reference bundle is missing: make it with `make models`")
    return bundle


def simulated_camera(story: Story, seed: int) -> dict[str, object]:
    """Return the camera table of the simulated line, its light following the story."""
    return {
        "driver": "simulated",
        "takt_ms": TAKT_MS,
        "parts": story.parts,
        "seed": seed,
        "schedule": [
            {"from_part": story.part_at(EventKind.DIM), "level": DIMMED_LEVEL},
            {"from_part": story.part_at(EventKind.BRIGHTEN)},
        ],
    }


def folder_camera(images: Path) -> dict[str, object]:
    """Return the camera table of a folder of images, which go round until the story ends."""
    return {
        "driver": "folder",
        "path": str(images),
        "takt_ms": TAKT_MS,
        "loop": "looped",
        "order": "shuffled",
    }


def furnish(workspace: Workspace, camera: dict[str, object], bundle: Path) -> int:
    """Write the configuration files and install the bundle; return how many samples held.

    Raises:
        EdgeError: The bundle or the camera's table is not good.
    """
    folder = workspace.folder
    mqtt = f'[mqtt]\nhost = "127.0.0.1"\nport = {workspace.port}\n'
    table = "\n".join(f"{key} = {_inline(value)}" for key, value in camera.items())
    workspace.agent_toml.write_text(
        f'device = "{DEVICE}"\nstate_dir = {toml_value(folder / "state")}\n'
        f"runtime_dir = {toml_value(folder / 'run')}\n\n{mqtt}\n"
        f"[uplink]\nreconnect_max_ms = 1000\n\n[health]\ninterval_s = 5\n\n"
        f"[station.{STATION}]\n\n[station.{STATION}.camera]\n{table}\n",
        encoding="utf-8",
    )
    workspace.collector_toml.write_text(
        f"{mqtt}\n[store]\nurl = {toml_value(f'sqlite:///{workspace.database}')}\n",
        encoding="utf-8",
    )
    config = agent_config.load(workspace.agent_toml)
    inspection = config.station[STATION].inspection
    held: list[object] = []
    Slots(config.slots_dir(STATION)).install(
        bundle, lambda candidate: held.extend(self_test(candidate, inspection.engine, inspection))
    )
    return len(held)


def _inline(value: object) -> str:
    """Write a value as TOML, tables in lists inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(each) for each in value) + "]"
    return toml_value(value)
