"""agent.toml into one frozen, typed value: every key that the agent knows.

What a key means, its unit, range and default stand beside the key, here or in the settings of the
room or driver that uses it. deploy/agent.toml and docs/configuration.md are written from them (see
`edge_agent.cli.config`); tests hold both files equal to the code.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge_agent import settings
from edge_agent.camera.registry import DRIVERS, make_camera, settings_type
from edge_agent.camera.triggers import Trigger
from edge_agent.decision.automation import Automation
from edge_agent.decision.orders import modbus
from edge_agent.errors import ConfigError
from edge_agent.inspection.engines import EngineSettings
from edge_agent.settings import Section
from edge_agent.spool.settings import SpoolSettings
from edge_agent.topics import is_name
from edge_agent.uplink.settings import MqttSettings, UplinkSettings, check_pauses, check_security

DEFAULT_PATH = Path("/etc/edge-agent/agent.toml")


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class CameraKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that every camera has, beside those of its driver."""

    driver: Annotated[str, Meta(description=f"Which camera: {', '.join(DRIVERS)}.")]
    trigger: Annotated[
        Trigger, Meta(description="What starts a capture: the camera's own takt, or an order.")
    ] = Trigger.FREE_RUN


class Camera(msgspec.Struct, frozen=True, kw_only=True):
    """Which camera a station has: the keys of its table depend on the driver.

    Attributes:
        driver: Name of the driver.
        trigger: What starts a capture.
        settings: The driver's own settings.
    """

    driver: str
    trigger: Trigger
    settings: msgspec.Struct

    @classmethod
    def from_table(cls, raw: dict[str, Any], *, origin: str, prefix: str) -> Camera:
        """Make a camera of its table; see `edge_agent.settings.convert`."""
        common = CameraKeys.__struct_fields__
        keys = settings.convert(
            {key: value for key, value in raw.items() if key in common},
            CameraKeys,
            origin=origin,
            prefix=prefix,
        )
        try:
            kind = settings_type(keys.driver)
        except ConfigError as error:
            raise ConfigError(f"{origin}: {prefix}driver: {error}") from error
        own = {key: value for key, value in raw.items() if key not in common}
        for key in own:
            known = [*common, *kind.__struct_fields__]
            settings.check_known(key, known, origin=origin, prefix=prefix)
        built = settings.convert(own, kind, origin=origin, prefix=prefix)
        try:  # opens nothing; refuses settings that contradict each other
            make_camera(keys.driver, built, station="", trigger=keys.trigger)
        except ConfigError as error:
            raise ConfigError(f"{origin}: {prefix.rstrip('.')}: {error}") from error
        return cls(driver=keys.driver, trigger=keys.trigger, settings=built)

    @classmethod
    def sections(cls, name: str) -> Iterator[Section]:
        """List the table once for each driver; see `edge_agent.settings.sections`."""
        for driver in DRIVERS:
            own, *tables = settings.sections(settings_type(driver), name)
            first, *rest = settings.keys_of(CameraKeys)
            first = msgspec.structs.replace(first, default=settings.toml_value(driver))
            yield Section(name, f"{own.text} (driver {driver})", (first, *rest, *own.keys))
            yield from tables


class Inspection(EngineSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a station's model is run."""

    engine: Annotated[
        Literal["auto", "onnx", "litert", "openvino"],
        Meta(
            description="What runs the model; auto takes what `edge-agent bundle tune` found, "
            "threads too, else the first the bundle has a model for, and falls back on the others."
        ),
    ] = "auto"


class Lighting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a station's light is watched."""

    watch: Annotated[
        Literal["on", "off"],
        Meta(description="off judges parts whatever the light: an image too dark can pass as ok."),
    ] = "on"
    baseline: Annotated[
        str,
        Meta(
            description="File with the station's own baseline (`edge-agent baseline learn`); empty "
            "takes the one in the bundle."
        ),
    ] = ""
    when_drifted: Annotated[
        Literal["stays", "human", "shadow", "assist", "partial", "full"],
        Meta(
            description="Degree of automation that the station steps down to while light or camera "
            "have drifted, though not so far that parts are invalid; it never steps up."
        ),
    ] = "stays"
    forecast_days: Annotated[
        float,
        Meta(
            ge=0.0,
            le=365.0,
            description="When the light ages so that it will be beyond its limit in so many days, "
            "a low alarm says so; 0 for never. `edge-agent status` says it earlier.",
            extra={"unit": "days"},
        ),
    ] = 7.0
    correct: Annotated[
        Literal["off", "gain", "field"],
        Meta(
            description="Bring a frame whose light has changed, by a cause that is named, back to "
            "the baseline before the model looks: its level and colour, or one-sided light too."
        ),
    ] = "off"
    figures_every: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Every so manyth record of an ok part in normal light keeps all figures of "
            "the light, the others its level: they cost most of a record on the wire. 1 keeps all. "
            "A prime, so that fixtures that come in turn all have theirs.",
            extra={"unit": "records"},
        ),
    ] = 17


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a verdict counts, and when scores are no longer what they were."""

    deadline_ms: Annotated[
        int,
        Meta(
            ge=1,
            le=600_000,
            description="A verdict later than this after capture is invalid: the part has gone by.",
            extra={"unit": "ms"},
        ),
    ] = 1000
    clear_margin: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1.0,
            description="With automation partial: a score nearer than this to a threshold, as a "
            "share of the ng threshold, is a person's to decide.",
        ),
    ] = 0.1
    score_watch: Annotated[
        Literal["on", "off"],
        Meta(
            description="Hold scores and verdicts against the first parts after a model went live; "
            "an alarm says when they moved though the light did not."
        ),
    ] = "on"
    reference_parts: Annotated[
        int,
        Meta(
            ge=200,
            le=100_000,
            description="How many first parts, in good light, are that reference: five lots or more"
            ", where lots differ.",
            extra={"unit": "parts"},
        ),
    ] = 2000
    quiet_days: Annotated[
        float,
        Meta(
            ge=0.01,
            le=3650.0,
            description="At most one false alarm of moved scores in so many days of running.",
            extra={"unit": "days"},
        ),
    ] = 30.0


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the station does for a part number; any number of them."""

    part_number: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            description="What is made, as `edge-agent changeover` or a command over MQTT tells it.",
        ),
    ]
    name: Annotated[str, Meta(description="For people; empty takes the part number.")] = ""
    code: Annotated[
        int,
        Meta(ge=0, le=65_535, description="What a PLC writes for it over Modbus; 0 for none."),
    ] = 0
    baseline: Annotated[
        str,
        Meta(
            description="File with the baseline of this product (`edge-agent baseline learn`); "
            "empty takes the station's."
        ),
    ] = ""


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """One inspection place."""

    camera: Camera
    inspection: Inspection = Inspection()
    lighting: Lighting = Lighting()
    decision: Decision = Decision()
    recipe: tuple[Recipe, ...] = ()
    automation: Annotated[
        Automation,
        Meta(
            description="Who decides: people with a silent model, people with a model that judges "
            "unseen, people with its proposal, the model where it is clear, or the model."
        ),
    ] = Automation.FULL
    modbus_register: Annotated[
        int,
        Meta(
            ge=0,
            le=65_533,
            description="First of its three holding registers, where a PLC says what comes.",
        ),
    ] = 0
    queue: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="Frames that may wait for inspection; beyond it a part is invalid (late).",
            extra={"unit": "frames"},
        ),
    ] = 2


class Health(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often the device reports on itself."""

    interval_s: Annotated[
        float,
        Meta(ge=1, le=86_400, description="Time between health records.", extra={"unit": "s"}),
    ] = 30.0


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All of agent.toml."""

    device: Annotated[
        str,
        Meta(description="Name of this device in topics and alarms; empty takes the host's name."),
    ] = ""
    state_dir: Annotated[
        str, Meta(description="Folder of what must outlive a power cut: slots, spool, alarms.")
    ] = "/var/lib/edge-agent"
    runtime_dir: Annotated[
        str, Meta(description="Folder of the control socket; may be lost at a reboot.")
    ] = "/run/edge-agent"
    log_level: Annotated[LogLevel, Meta(description="How much is logged.")] = LogLevel.INFO
    mqtt: MqttSettings = MqttSettings()
    uplink: UplinkSettings = UplinkSettings()
    spool: SpoolSettings = SpoolSettings()
    health: Health = Health()
    modbus: modbus.Settings = modbus.Settings()
    station: Annotated[
        dict[str, Station],
        Meta(description="give at least one [station.NAME] with a [station.NAME.camera]"),
    ]

    def slots_dir(self, station: str) -> Path:
        """Return the folder of a station's slots."""
        return Path(self.state_dir) / "stations" / station

    @property
    def modbus_registers(self) -> dict[str, int]:
        """Return the first Modbus register of each station."""
        return {name: station.modbus_register for name, station in self.station.items()}

    @property
    def socket_path(self) -> Path:
        """Return the path of the control socket."""
        return Path(self.runtime_dir) / "control.sock"


def load(path: Path) -> AgentConfig:
    """Read and check agent.toml.

    Raises:
        ConfigError: Naming the file and the full name of the key, in one line.
    """
    return parse(settings.read_toml(path), origin=str(path))


def parse(raw: dict[str, Any], *, origin: str) -> AgentConfig:
    """Check the tables of an agent.toml; `origin` names them in errors; see `load`."""
    config = settings.convert(raw, AgentConfig, origin=origin)
    if not config.station:
        raise ConfigError(f"{origin}: station: give at least one [station.NAME] with a camera")
    device = config.device or socket.gethostname().partition(".")[0]
    named = {
        "device": device,
        **{f"station.{settings.key_text(name)}": name for name in config.station},
    }
    for key, name in named.items():
        if not is_name(name):
            raise ConfigError(
                f"{origin}: {key}: {name!r} cannot be a name: use letters, digits, '.', '_' and "
                f"'-', at most 64, beginning with a letter or a digit"
            )
    for name, station in config.station.items():
        _check_recipes(station, origin=origin, prefix=f"station.{settings.key_text(name)}.recipe")
    check_security(config.mqtt, origin=origin)
    check_pauses(config.uplink, origin=origin)
    if config.modbus.listen == "on":
        try:
            modbus.check_registers(config.modbus_registers)
        except ConfigError as error:
            raise ConfigError(f"{origin}: {error}") from error
    return msgspec.structs.replace(config, device=device)


def _check_recipes(station: Station, *, origin: str, prefix: str) -> None:
    """Refuse two recipes for one part number, or for one code."""
    taken: dict[tuple[str, str | int], int] = {}
    for place, recipe in enumerate(station.recipe):
        for key, value in (("part_number", recipe.part_number), ("code", recipe.code)):
            first = taken.setdefault((key, value), place) if value else place
            if first != place:
                raise ConfigError(
                    f"{origin}: {prefix}[{place}].{key}: {value!r} is that of {prefix}[{first}] "
                    f"too: give each recipe its own"
                )
