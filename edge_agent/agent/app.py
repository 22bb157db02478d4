"""The agent as a process: build every stage, run them, drain them, stop them.

Invariants:
    - Stages start from the end of the path to its beginning and stop the other way round, so that
      nothing is handed to a stage that is not there.
    - systemd hears READY after every station has its threads, and WATCHDOG only while every
      station's judging thread is alive.
    - `stop` judges the parts that wait and seals what is open; what the collector has not
      acknowledged stays in the spool.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

import msgspec

from edge_agent import __version__, clock
from edge_agent.agent.ageing import Ageing
from edge_agent.agent.changeover import Changed, Changeovers
from edge_agent.agent.commands import Commands
from edge_agent.agent.control import ControlServer
from edge_agent.agent.desk import AlarmDesk
from edge_agent.agent.lanes import HEALTH, LANES
from edge_agent.agent.models import StationModels
from edge_agent.agent.notify import notify, watchdog_s
from edge_agent.agent.path import PartPath
from edge_agent.agent.products import Product, Products
from edge_agent.agent.scores import ScoreWatches
from edge_agent.agent.station import Station
from edge_agent.agent.status import (
    LaneStatus,
    LastPart,
    ProductStatus,
    StationStatus,
    Status,
    UplinkStatus,
    percentiles,
    resident_mb,
)
from edge_agent.agent.verbs import StationVerbs
from edge_agent.alarms.book import Alarm, Transition
from edge_agent.alarms.catalogue import AGEING, MODEL, SPOOL, STAGE, AlarmKind, kind_of
from edge_agent.camera.registry import make_camera
from edge_agent.config import AgentConfig
from edge_agent.config import Station as StationConfig
from edge_agent.decision.automation import Automation, Degrees
from edge_agent.decision.orders import modbus
from edge_agent.decision.outputs.mqtt import MqttOutput
from edge_agent.errors import BundleError, SpoolError, UsageError
from edge_agent.lighting.correction import Correct
from edge_agent.spool.spool import Spool
from edge_agent.topics import Topics
from edge_agent.uplink import wire
from edge_agent.uplink.uplink import Uplink

log = logging.getLogger(__name__)

BIRTH_SCHEMA = "edge/birth/1"
_TICK_S = 0.5
_FAREWELL_S = 2.0
"""How long a stopping agent waits for the collector to take the last batches."""

_WORDS_S = 5.0
"""How often the text of a standing alarm is published again, if it changed."""

_STAGES = ("sealing", "health", "modbus", "damage")
"""Sources of alarms that are no stations."""

_DAMAGE_STANDS_NS = 60 * 10**9
"""How long the alarm of a damage that is mended stands; a person has to acknowledge it."""

_STALLED_S = 10.0
"""A judging thread that was not seen for this long is stuck."""


class Agent:
    """All stages of one device.

    Args:
        config: What to build.

    Raises:
        EdgeError: A stage cannot be built; nothing was started.
    """

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self._started = time.monotonic()
        self._stopping = threading.Event()
        self._words: dict[str, str] = {}  # text of each alarm as it was last published
        self._models = {
            name: StationModels(config.slots_dir(name), each)
            for name, each in config.station.items()
        }
        self._model_lock = threading.Lock()
        self._scores = {
            name: _score_watches(config.slots_dir(name), each)
            for name, each in config.station.items()
        }
        self._ageing = {
            name: Ageing(
                config.slots_dir(name) / "light", forecast_days=each.lighting.forecast_days
            )
            for name, each in config.station.items()
            if each.lighting.watch == "on"
        }
        topics = Topics(config.mqtt.root, config.device)
        self._topics = topics
        state_dir = Path(config.state_dir)
        self.spool = Spool(state_dir / "spool", LANES, config.spool)
        self.commands = Commands(topics, {"changeover": self._on_command}, self._answer)
        self.uplink = Uplink(
            self.spool,
            topics,
            mqtt=config.mqtt,
            settings=config.uplink,
            birth=self._birth(online=True),
            death=self._birth(online=False),
            on_command=self.commands.take if config.uplink.commands == "on" else None,
        )
        self.spool.on_sealed = self.uplink.wake
        self.desk = AlarmDesk(self.spool, self._announce, state_dir / "alarms.json")
        self.stations = {name: self._build(name, each) for name, each in config.station.items()}
        self.changeovers = Changeovers(
            {name: station.path for name, station in self.stations.items()},
            {
                name: Products(config.slots_dir(name), each.recipe)
                for name, each in config.station.items()
            },
            lambda record: self.spool.append(HEALTH, record),
        )
        self._modbus = (
            modbus.Driver(
                config.modbus,
                config.modbus_registers,
                self.changeovers.tell_code,
                self.changeovers.code,
            )
            if config.modbus.listen == "on"
            else None
        )
        self._verbs = StationVerbs(
            config, self.stations, self.desk, self.changeovers, reload=self._load_live
        )
        self._control = ControlServer(
            config.socket_path,
            {"status": lambda _request: self.status(), **self._verbs.handlers()},
        )

    # --- run ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Run until `request_stop`; then drain and stop."""
        self.start()
        try:
            self._supervise()
        finally:
            self.stop()

    def start(self) -> None:
        """Start every stage, the last of the path first."""
        if self._modbus is not None:  # first, since it alone can fail
            self._modbus.start()
        self.desk.start()
        self.commands.start()
        self.uplink.start()
        for alarm in self.desk.alarms():  # what a killed agent left standing is said again
            self._publish_state(alarm)
        for name in self.stations:
            self._load_live(name)
        for station in self.stations.values():
            station.start()
        self._control.start()
        notify(f"READY=1\nSTATUS=inspecting with {len(self.stations)} stations")
        log.info(
            "device %s is inspecting; stations: %s", self.config.device, ", ".join(self.stations)
        )

    def request_stop(self) -> None:
        """Ask `run` to return; may be called from a signal handler."""
        self._stopping.set()

    def stop(self) -> None:
        """Stop every stage, the first of the path first."""
        notify("STOPPING=1")
        self._stopping.set()
        self._control.close()
        if self._modbus is not None:
            self._modbus.close()
        self.commands.close()
        for station in self.stations.values():
            station.stop()
        self._save_references()
        for ageing in self._ageing.values():
            ageing.save()
        self._keep_health()
        self.desk.close()
        try:
            self.spool.flush()
        except SpoolError as error:
            log.error("open batches stay in the journal: %s", error)  # noqa: TRY400 - one line
        self.uplink.drain(_FAREWELL_S)
        self.uplink.stop()
        self.spool.close()
        log.info("stopped; %d records wait for the collector", self.spool.backlog().records)

    def _supervise(self) -> None:
        """Look after the stages: watchdog, spool alarm, health records."""
        next_health = time.monotonic() + self.config.health.interval_s
        next_words = time.monotonic() + _WORDS_S
        patience_s = watchdog_s()
        while not self._stopping.wait(min(_TICK_S, patience_s / 3) if patience_s else _TICK_S):
            stuck = [
                name
                for name, station in self.stations.items()
                if station.heartbeat_age_s() > _STALLED_S
            ]
            for name in stuck:
                self.desk.observe(STAGE, name, "judging does not answer")
            if not stuck:
                notify("WATCHDOG=1")
            self._look_after_spool()
            if self._modbus is not None:
                gone = "" if self._modbus.is_alive() else "the Modbus server is gone"
                self.desk.observe(STAGE, _STAGES[2], gone)
            self._clear_strangers()
            self._save_references()
            self._look_after_light()
            if time.monotonic() >= next_words:
                next_words += _WORDS_S
                self._publish_new_words()
            if time.monotonic() >= next_health:
                next_health += self.config.health.interval_s
                self._keep_health()

    def _look_after_spool(self) -> None:
        """Raise an alarm while records wait for the disk, and for damage that was mended."""
        stats = self.spool.stats()
        self.desk.observe(SPOOL, _STAGES[0], stats.error)
        since_ns = time.monotonic_ns() - _DAMAGE_STANDS_NS
        fresh = [damage.text for damage in stats.damages if damage.at_ns > since_ns]
        self.desk.observe(SPOOL, _STAGES[3], "; ".join(fresh))

    def _clear_strangers(self) -> None:
        """Let alarms clear whose station is not configured any more: nobody else observes them."""
        for alarm in self.desk.standing():
            kind = kind_of(alarm.key)
            if kind and alarm.active and alarm.source not in {*self.stations, *_STAGES}:
                self.desk.observe(kind, alarm.source, "")

    def _save_references(self) -> None:
        """Write what was frozen on the path of a part: there is no time for a disk there."""
        for watches in self._scores.values():
            if watches is not None:
                watches.save()

    def _look_after_light(self) -> None:
        """Ask where the light goes, and keep what is known of it, each when it is time."""
        for name, ageing in self._ageing.items():
            ageing.look_after()
            if ageing.alarm is not None:  # what stood before a restart stands until it is known
                self.desk.observe(AGEING, name, ageing.alarm)

    def _publish_new_words(self) -> None:
        """Publish the state of alarms whose text has changed since it was published."""
        for alarm in self.desk.standing():
            if self._words.get(alarm.key) != alarm.text:
                self._publish_state(alarm)

    def _keep_health(self) -> None:
        stamp = clock.now()
        record = {
            "time": clock.iso(stamp.wall_ns), "wall_ns": stamp.wall_ns, "mono_ns": stamp.mono_ns,
            "boot": clock.boot_id(), "status": self.status(),
        }  # fmt: skip
        try:
            self.spool.append(HEALTH, msgspec.json.encode(record))
        except SpoolError as error:
            self.desk.observe(SPOOL, _STAGES[1], str(error))

    # --- build -------------------------------------------------------------------------------

    def _build(self, name: str, config: StationConfig) -> Station:
        def observe(kind: AlarmKind, text: str) -> None:
            self.desk.observe(kind, name, text)

        path = PartPath(
            name,
            self.spool,
            outputs=(MqttOutput(self.uplink.publish_live, self._topics.verdict(name)),),
            observe=observe,
            deadline_ms=config.decision.deadline_ms,
            degrees=_degrees(config),
            scores=self._scores[name],
            ageing=self._ageing.get(name),
            correct=Correct(config.lighting.correct),
            figures_every=config.lighting.figures_every,
        )
        camera = config.camera
        return Station(
            name,
            lambda: make_camera(
                camera.driver, camera.settings, station=name, trigger=camera.trigger
            ),
            path,
            queue_frames=config.queue,
            observe=observe,
        )

    def _load_live(self, name: str) -> str:
        """Make the live bundle of a station decide; return its digest, empty for none.

        The model before stays loaded, so that going back to it takes no time.
        """
        path = self.stations[name].path
        with self._model_lock:
            try:
                found = self._models[name].live()
            except (BundleError, UsageError) as error:
                log.error("station %s: %s", name, error)  # noqa: TRY400 - one line says it
                self.desk.observe(MODEL, name, str(error))
                return path.model.digest if path.model else ""
            if found is None:
                return ""
            bundle, path.model = found
            log.info("station %s: %s decides, on %s", name, bundle.label, path.model.runs_on)
            return bundle.digest

    def _on_command(self, command: wire.Command) -> Changed:
        """Change a station over; a device with one station needs not be told which."""
        name = command.station or (next(iter(self.stations)) if len(self.stations) == 1 else "")
        return self.changeovers.change(name, command.part_number, by="mqtt")

    def _answer(self, topic: str, payload: bytes, correlation: bytes) -> None:
        self.uplink.publish_live(topic, payload, qos=1, correlation=correlation)

    # --- what is said ------------------------------------------------------------------------

    def status(self) -> Status:
        """Say how everything is doing."""
        stats = self.spool.stats()
        link = self.uplink.state()
        return Status(
            device=self.config.device,
            version=__version__,
            pid=os.getpid(),
            state="stopping" if self._stopping.is_set() else "running",
            uptime_s=round(time.monotonic() - self._started, 1),
            rss_mb=resident_mb(),
            stations={
                name: self._station_status(station) for name, station in self.stations.items()
            },
            alarms=self.desk.standing(),
            spool={
                name: LaneStatus(
                    lane.stream,
                    lane.appended,
                    lane.backlog.records,
                    lane.evicted + lane.damaged + lane.dropped,
                    lane.kind,
                    lane.in_memory,
                )
                for name, lane in stats.lanes.items()
            },
            backlog_bytes=self.spool.backlog().bytes,
            uplink=UplinkStatus(
                link.connected,
                link.sent_bytes,
                link.acked_batches,
                link.error,
                link.hour_bytes,
                self.config.uplink.budget_bytes_per_hour,
                link.held,
            ),
        )

    def _station_status(self, station: Station) -> StationStatus:
        counts = station.counts()
        model = station.path.model
        ageing = self._ageing.get(station.name)
        return StationStatus(
            parts=counts.parts,
            verdicts=counts.verdicts,
            finished=station.finished.is_set(),
            faults=counts.faults,
            bundle=model.bundle if model else "",
            model=model.digest if model else "",
            engine=model.pipeline.engine if model else "",
            latency_ms=percentiles(counts.latencies_ns),
            last=LastPart.of(counts.last.record) if counts.last else None,
            automation=self.config.station[station.name].automation.value,
            product=_product_status(self.changeovers.product(station.name)),
            forecasts=ageing.forecasts if ageing else (),
        )

    def _birth(self, *, online: bool) -> bytes:
        return msgspec.json.encode(
            {
                "schema": BIRTH_SCHEMA,
                "online": online,
                "device": self.config.device,
                "version": __version__,
                "stations": list(self.config.station),
                "boot": clock.boot_id(),
                "started": clock.iso(time.time_ns()),
            }
        )

    def _announce(self, transition: Transition, alarm: Alarm) -> None:
        self.uplink.publish_live(self._topics.alarm, msgspec.json.encode(transition), qos=1)
        self._publish_state(alarm)

    def _publish_state(self, alarm: Alarm) -> None:
        self._words[alarm.key] = alarm.text
        topic = self._topics.alarm_state(alarm.key)
        self.uplink.publish_live(topic, msgspec.json.encode(alarm), retain=True, qos=1)


def _degrees(config: StationConfig) -> Degrees:
    down_to = config.lighting.when_drifted
    return Degrees(
        config.automation,
        None if down_to == "stays" else Automation(down_to),
        config.decision.clear_margin,
    )


def _score_watches(folder: Path, config: StationConfig) -> ScoreWatches | None:
    if config.decision.score_watch == "off":
        return None
    return ScoreWatches(
        folder / "scores",
        parts=config.decision.reference_parts,
        quiet_days=config.decision.quiet_days,
    )


def _product_status(product: Product | None) -> ProductStatus | None:
    return ProductStatus(product.part_number, product.recipe) if product else None
