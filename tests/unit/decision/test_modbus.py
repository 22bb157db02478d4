"""Orders over Modbus TCP, with a real client: the invariants of `...orders.modbus`, by name."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymodbus.client import ModbusTcpClient

from edge_agent.config import parse
from edge_agent.decision.orders import Outcome, Told
from edge_agent.decision.orders.modbus import Driver, Settings
from edge_agent.errors import ConfigError

FIRST, SECOND = 0, 40


class Stations:
    """What two stations make; 3 is refused, and what is above 9 has no recipe."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, int]] = []
        self.codes = {"one": 5, "two": 0}
        self.mended = False

    def tell(self, station: str, code: int) -> Told:
        self.orders.append((station, code))
        if code == 3 and not self.mended:
            return Told(Outcome.REFUSED, self.codes[station])
        self.codes[station] = code if code <= 9 else 0
        return Told(Outcome.TAKEN if code <= 9 else Outcome.NO_RECIPE, self.codes[station])

    def code(self, station: str) -> int:
        return self.codes[station]


@pytest.fixture
def stations() -> Stations:
    return Stations()


@pytest.fixture
def driver(stations: Stations) -> Iterator[Driver]:
    settings = Settings(listen="on", port=0)
    driver = Driver(settings, {"one": FIRST, "two": SECOND}, stations.tell, stations.code)
    driver.start()
    yield driver
    driver.close()
    assert not driver.is_alive()


@pytest.fixture
def plc(driver: Driver) -> Iterator[ModbusTcpClient]:
    client = ModbusTcpClient("127.0.0.1", port=driver.port, timeout=3)
    assert client.connect()
    yield client
    client.close()


def read(plc: ModbusTcpClient, first: int) -> list[int]:
    answer = plc.read_holding_registers(first, count=3, device_id=1)
    assert not answer.isError()
    return list(answer.registers)


def write(plc: ModbusTcpClient, first: int, code: int) -> bool:
    return not plc.write_register(first, code, device_id=1).isError()


def test_at_first_the_registers_say_what_is_in_force(plc: ModbusTcpClient) -> None:
    assert read(plc, FIRST) == [0, 5, Outcome.NONE]
    assert read(plc, SECOND) == [0, 0, Outcome.NONE]


def test_the_answer_comes_after_the_order_was_carried_out(
    plc: ModbusTcpClient, stations: Stations
) -> None:
    assert write(plc, SECOND, 7)
    assert stations.orders == [("two", 7)]
    assert read(plc, SECOND) == [7, 7, Outcome.TAKEN]
    assert read(plc, FIRST) == [0, 5, Outcome.NONE]
    assert write(plc, FIRST, 12)
    assert read(plc, FIRST) == [12, 0, Outcome.NO_RECIPE]


def test_many_registers_may_be_written_at_once(plc: ModbusTcpClient, stations: Stations) -> None:
    assert not plc.write_registers(FIRST, [8], device_id=1).isError()
    assert stations.orders == [("one", 8)]


def test_the_same_code_in_each_cycle_orders_once(plc: ModbusTcpClient, stations: Stations) -> None:
    for _ in range(20):
        assert write(plc, FIRST, 7)
    assert stations.orders == [("one", 7)]
    write(plc, FIRST, 0)
    assert read(plc, FIRST) == [0, 7, Outcome.NONE]
    write(plc, FIRST, 7)
    assert stations.orders == [("one", 7)] * 2


def test_a_refused_order_is_tried_again(plc: ModbusTcpClient, stations: Stations) -> None:
    write(plc, FIRST, 3)
    assert read(plc, FIRST) == [3, 5, Outcome.REFUSED]
    stations.mended = True
    write(plc, FIRST, 3)
    assert read(plc, FIRST) == [3, 3, Outcome.TAKEN]
    assert stations.orders == [("one", 3)] * 2


def test_what_others_changed_is_read(plc: ModbusTcpClient, stations: Stations) -> None:
    write(plc, FIRST, 7)
    stations.codes["one"] = 2  # by a person, at the station
    assert read(plc, FIRST) == [7, 2, Outcome.TAKEN]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda plc: plc.write_register(FIRST + 1, 9, device_id=1),
        lambda plc: plc.write_registers(FIRST, [1, 2, 3], device_id=1),
        lambda plc: plc.write_register(20, 1, device_id=1),
        lambda plc: plc.read_holding_registers(20, count=2, device_id=1),
        lambda plc: plc.write_register(60_000, 1, device_id=1),
    ],
)
def test_what_is_not_the_plcs_to_write_is_refused_and_the_next_request_served(
    plc: ModbusTcpClient, stations: Stations, wrong: Callable[[ModbusTcpClient], object]
) -> None:
    answer = wrong(plc)
    assert getattr(answer, "isError")()  # noqa: B009 - pymodbus types its answers one by one
    assert stations.orders == []
    assert write(plc, FIRST, 7)


@pytest.mark.parametrize("data", [b"\x00" * 3, b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 600])
def test_noise_on_the_port_harms_nothing(driver: Driver, plc: ModbusTcpClient, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", driver.port), timeout=3) as noisy:
        noisy.sendall(data)
        assert write(plc, FIRST, 7)
    assert read(plc, FIRST) == [7, 7, Outcome.TAKEN]


def test_two_plcs_are_served(driver: Driver, plc: ModbusTcpClient, stations: Stations) -> None:
    def other() -> None:
        client = ModbusTcpClient("127.0.0.1", port=driver.port, timeout=3)
        client.connect()
        for code in (1, 2, 1, 2):
            client.write_register(SECOND, code, device_id=1)
        client.close()

    thread = threading.Thread(target=other)
    thread.start()
    for code in (8, 9, 8, 9):
        assert write(plc, FIRST, code)
    thread.join()
    assert sorted(stations.orders) == sorted(
        [("one", code) for code in (8, 9, 8, 9)] + [("two", code) for code in (1, 2, 1, 2)]
    )


def test_a_port_in_use_is_said_at_the_start(driver: Driver, stations: Stations) -> None:
    second = Driver(
        Settings(listen="on", port=driver.port), {"one": 0}, stations.tell, stations.code
    )
    with pytest.raises(ConfigError, match=rf"modbus: cannot listen on 127\.0\.0\.1:{driver.port}"):
        second.start()
    second.close()


def test_registers_that_overlap_are_refused() -> None:
    camera = {"camera": {"driver": "simulated"}}
    raw: dict[str, Any] = {
        "modbus": {"listen": "on"},
        "station": {"a": camera, "b": camera | {"modbus_register": 2}},
    }
    with pytest.raises(ConfigError, match=r"x: station\.b\.modbus_register: 2 overlaps the 3 reg"):
        parse(raw, origin="x")
    raw["station"]["b"]["modbus_register"] = 3
    assert parse(raw, origin="x").modbus_registers == {"a": 0, "b": 3}
