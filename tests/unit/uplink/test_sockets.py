from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from edge_agent.uplink import sockets
from edge_agent.uplink.network import NetworkWatch, is_stranded

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A connection of this machine with itself."""
    try:
        listener = socket.create_server(
            (request.param, 0), family=socket.AF_INET6 if ":" in request.param else socket.AF_INET
        )
    except OSError as error:
        pytest.skip(f"{request.param}: {error.strerror}")
    with listener:
        one = socket.create_connection(listener.getsockname()[:2])
        other, _ = listener.accept()
    with one, other:
        yield one, other


def option(connection: socket.socket, name: int) -> int:
    return connection.getsockopt(socket.IPPROTO_TCP, name)


def test_what_a_connection_costs_is_counted_both_ways(pair: Pair) -> None:
    one, other = pair
    before = sockets.read(one)
    assert before is not None
    one.sendall(bytes(3000))
    assert len(other.recv(3000, socket.MSG_WAITALL)) == 3000
    other.sendall(bytes(500))
    assert len(one.recv(500, socket.MSG_WAITALL)) == 500
    after = sockets.read(one)
    assert after is not None
    assert 3500 + 2 * 52 <= after.bytes - before.bytes <= 3500 + 8 * 72
    assert 0 < after.rtt_s < 1


def test_of_what_is_no_connection_nothing_is_known() -> None:
    with socket.socket(socket.AF_UNIX) as other:
        assert sockets.read(other) is None


@pytest.mark.parametrize(
    ("keepalive_s", "rtt_s", "idle_s", "patience_ms"),
    [
        (30, 0.001, 10, 20_000),  # MQTT would take 45 seconds
        (30, 4.0, 10, 60_000),  # a satellite is not given up for being slow
        (2, 0.0, 1, 11_000),
        (600, 0.1, None, 10_000),  # a metered link is not probed
    ],
)
def test_a_dead_link_is_given_up_soon(
    pair: Pair, keepalive_s: int, rtt_s: float, idle_s: int | None, patience_ms: int
) -> None:
    sockets.tune(pair[0], keepalive_s=keepalive_s, rtt_s=rtt_s)
    assert option(pair[0], socket.TCP_USER_TIMEOUT) == patience_ms
    probed = pair[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert probed == (idle_s is not None)
    if idle_s is not None:
        assert option(pair[0], socket.TCP_KEEPIDLE) == idle_s


def test_a_connection_of_a_sound_network_is_not_stranded(pair: Pair) -> None:
    assert not is_stranded(pair[0])
    assert not is_stranded(pair[1])
    pair[1].close()
    pair[0].close()
    assert is_stranded(pair[0])


def test_a_quiet_network_tells_nothing() -> None:
    watch = NetworkWatch()
    assert watch.fd is not None
    assert not watch.changed()
    watch.close()
    assert not watch.changed()
