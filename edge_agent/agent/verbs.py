"""What may be asked of a running agent's stations at the control socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from edge_agent import clock
from edge_agent.agent.changeover import Changed, Changeovers
from edge_agent.agent.control import Handler
from edge_agent.agent.desk import AlarmDesk
from edge_agent.agent.station import Station
from edge_agent.agent.tap import FrameTap, Tapped
from edge_agent.alarms.state import AlarmEvent
from edge_agent.camera.drivers import simulated
from edge_agent.camera.simulation.light import Light
from edge_agent.config import AgentConfig
from edge_agent.errors import UsageError
from edge_agent.settings import convert


class StationVerbs:
    """Carry out what is asked of stations.

    Args:
        config: Of the agent.
        stations: By name.
        desk: Of the alarms.
        changeovers: Tells stations what they make.
        reload: Makes the live bundle of a station decide; returns its digest.
    """

    def __init__(
        self,
        config: AgentConfig,
        stations: Mapping[str, Station],
        desk: AlarmDesk,
        changeovers: Changeovers,
        *,
        reload: Callable[[str], str],
    ) -> None:
        self._config = config
        self._stations = stations
        self._desk = desk
        self._changeovers = changeovers
        self._reload = reload

    def handlers(self) -> dict[str, Handler]:
        """Return what carries out each verb."""
        return {
            "reload": self._on_reload,
            "trigger": self._on_trigger,
            "finish": self._on_finish,
            "light": self._on_light,
            "changeover": self._on_changeover,
            "tap": self._on_tap,
            "tapped": self._on_tapped,
            "acknowledge": self._on_acknowledge,
        }

    def _on_reload(self, request: dict[str, Any]) -> dict[str, str]:
        """Let the live bundle of a station decide from the next part on."""
        return {"digest": self._reload(self._station(request))}

    def _on_trigger(self, request: dict[str, Any]) -> dict[str, str]:
        name = self._station(request)
        camera = self._stations[name].camera
        if camera is None:
            raise UsageError(f"station {name}: its camera is not open")
        camera.trigger()
        return {"station": name}

    def _on_finish(self, request: dict[str, Any]) -> dict[str, str]:
        """Take no more parts at a station; those that wait are judged."""
        name = self._station(request)
        self._stations[name].stop()
        return {"station": name}

    def _on_acknowledge(self, request: dict[str, Any]) -> dict[str, str]:
        key = str(request.get("key", ""))
        self._desk.act(key, AlarmEvent.ACKNOWLEDGE)
        state = next(alarm.state for alarm in self._desk.alarms() if alarm.key == key)
        return {"key": key, "state": state.value}

    def _on_changeover(self, request: dict[str, Any]) -> Changed:
        """Let another product come from the next part on."""
        part_number = request.get("part_number")
        if not isinstance(part_number, str):
            raise UsageError("changeover: give a part_number, a text")
        return self._changeovers.change(self._station(request), part_number, by="cli")

    def _on_tap(self, request: dict[str, Any]) -> Tapped:
        """Keep copies of a station's next frames; none ends it."""
        name, wanted = self._station(request), request.get("frames")
        path = self._stations[name].path
        if path.tap is not None:
            path.tap.stop()
        if wanted == 0:
            tap, path.tap = path.tap, None
            return tap.state() if tap else Tapped("", 0, 0)
        if not isinstance(wanted, int):
            raise UsageError("tap: give how many frames, a whole number")
        moment = clock.iso(time.time_ns())[:19].replace("-", "").replace(":", "")
        path.tap = FrameTap(self._config.slots_dir(name) / f"frames-{moment}Z", wanted)
        return path.tap.state()

    def _on_tapped(self, request: dict[str, Any]) -> Tapped:
        tap = self._stations[self._station(request)].path.tap
        return tap.state() if tap else Tapped("", 0, 0, "nobody takes frames here")

    def _on_light(self, request: dict[str, Any]) -> dict[str, Any]:
        """Change the light of a simulated line; without changes its schedule holds again."""
        name = self._station(request)
        camera = self._stations[name].camera
        if not isinstance(camera, simulated.Driver):
            raise UsageError(f"station {name}: its camera is real: change the light at the station")
        changes = request.get("changes") or {}
        camera.set_light(convert(changes, Light, origin="light") if changes else None)
        return dict(changes)

    def _station(self, request: dict[str, Any]) -> str:
        name = request.get("station")
        if name not in self._stations:
            raise UsageError(f"station {name!r}: unknown; there are {', '.join(self._stations)}")
        return str(name)
