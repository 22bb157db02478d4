"""The camera drivers that can be named in a configuration."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    import msgspec

    from edge_agent.camera.frame import Camera
    from edge_agent.camera.triggers import Trigger

DRIVERS: dict[str, str] = {
    "simulated": "edge_agent.camera.drivers.simulated",
    "folder": "edge_agent.camera.drivers.folder",
    "video": "edge_agent.camera.drivers.video",
}
"""One line a driver: its name in a configuration and the module that holds it."""


class _Factory(Protocol):
    def __call__(self, settings: msgspec.Struct, *, station: str, trigger: Trigger) -> Camera: ...


class _DriverModule(Protocol):
    """What a driver's module must hold."""

    Settings: type[msgspec.Struct]
    Driver: _Factory


def settings_type(driver: str) -> type[msgspec.Struct]:
    """Return the type of a driver's settings; imports the driver, and nothing heavy.

    Raises:
        ConfigError: There is no such driver.
    """
    return _module(driver).Settings


def make_camera(driver: str, settings: msgspec.Struct, *, station: str, trigger: Trigger) -> Camera:
    """Construct a camera, not yet opened.

    Args:
        driver: Its name in `DRIVERS`.
        settings: A value of `settings_type(driver)`.
        station: The station whose parts it sees.
        trigger: What starts a capture.

    Raises:
        ConfigError: There is no such driver, or the settings are those of another one.
    """
    module = _module(driver)
    if not isinstance(settings, module.Settings):
        given = f"{type(settings).__module__}.{type(settings).__qualname__}"
        raise ConfigError(f"camera driver {driver!r}: needs its own settings, not {given}")
    return module.Driver(settings, station=station, trigger=trigger)


def _module(driver: str) -> _DriverModule:
    if driver not in DRIVERS:
        near = difflib.get_close_matches(driver, DRIVERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(DRIVERS)}"
        raise ConfigError(f"camera driver {driver!r} is not known; {hint}")
    return cast("_DriverModule", import_module(DRIVERS[driver]))
