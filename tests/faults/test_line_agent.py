"""The real `edge-agent run` with its simulated camera, killed at random moments.

What the camera saw is known twice over: a verdict that was heard live must be in the database under
the number it named (promise 1), and of each life of the agent the frame numbers must be whole.
"""

from __future__ import annotations

import json
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.uplink.client import Client, Identity, Message
from edge_agent.uplink.settings import MqttSettings
from tests.faults.ledger import fetch
from tests.faults.line import Line, wait_for
from tests.integration.agent_process import AgentProcess

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.broker, pytest.mark.processes]

TAKT_MS = 60


class Onlooker:
    """Whoever listens to live verdicts: a screen beside the line."""

    def __init__(self, port: int) -> None:
        self.heard: list[dict[str, Any]] = []
        self._client = Client(
            MqttSettings(port=port), Identity(client_id="onlooker"), self, reconnect_max_s=0.2
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def connected(self) -> None:
        self._client.subscribe("edge/v1/dut/verdict/+", qos=0)

    def disconnected(self, reason: str) -> None:
        pass

    def received(self, message: Message) -> None:
        self.heard.append(json.loads(message.payload))

    def close(self) -> None:
        self._stopping.set()
        self._client.wake()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._client.pump(0.2)
        self._client.close()


def killed(folder: Path, bundle: Path, times: int) -> None:
    moments = random.Random(times)
    with Line(folder, devices=0) as line:
        onlooker = Onlooker(line.broker.port)
        camera = f'driver = "simulated"\ntakt_ms = {TAKT_MS}'
        agent = AgentProcess(folder, line.broker.port, camera)
        assert agent.cli("install", str(bundle)).returncode == 0
        try:
            for turn in range(times):
                agent.start()
                agent.until_parts(3)
                time.sleep(moments.uniform(0, 0.6))
                agent.kill()
                if turn % 3 == 0:
                    line.broker.kill()
                    line.broker.start()
                if turn % 3 == 1:
                    line.collectors[0].kill()
                    line.collectors[0].start()
            agent.start()
            agent.until_parts(10)
            out = list(onlooker.heard)
            wait_for(lambda: not missing(line.url, out), 30, "verdicts that were out are missing")
        finally:
            agent.kill()
            onlooker.close()
        line.settle()
    assert len(out) > 3 * times
    assert not missing(line.url, out)
    no_part_is_missing(line.url, until=out[-1], lives=times + 1)


def missing(url: str, out: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the verdicts that were out and are not kept under the number that they named."""
    query = "SELECT number, part, time, verdict FROM inspections"
    kept = set(fetch(url, query))
    return [
        each
        for each in out
        if (each["record"], each["part"], each["time"], each["verdict"]) not in kept
    ]


def no_part_is_missing(url: str, *, until: dict[str, Any], lives: int) -> None:
    """Check that of each life of the agent every frame is there, once, from the first on."""
    query = "SELECT sequence, time FROM inspections ORDER BY mono_ns"
    frames = [row[0] for row in fetch(url, query) if row[1] <= until["time"]]
    starts = [place for place, frame in enumerate(frames) if frame == 1]
    assert len(starts) == lives
    for first, end in zip(starts, [*starts[1:], len(frames)], strict=True):
        assert frames[first:end] == list(range(1, end - first + 1)), "lost, or there twice"


@pytest.mark.slow
def test_an_agent_killed_forty_times_has_kept_every_part_whose_verdict_was_out(
    tmp_path: Path, simulated_bundle: Path
) -> None:
    killed(tmp_path, simulated_bundle, 40)
