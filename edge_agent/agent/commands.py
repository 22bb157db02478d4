"""Commands over MQTT: what a plant's systems may order from afar, and the answers.

Invariants:
    - Every command is answered, to the topic and with the correlation data that it came with; one
      that names no topic, or one that is not its to name, is answered on the device's own.
    - A command that the broker kept for later (`retain`) is refused: it would be carried out anew
      at every connection.
    - The link waits for no command: they are carried out one after another on a thread of their
      own, and what comes while too many wait is refused.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from edge_agent.errors import EdgeError, UsageError, WireError
from edge_agent.topics import Topics
from edge_agent.uplink import wire
from edge_agent.uplink.client import Message

log = logging.getLogger(__name__)

_WAITING = 64

Verb = Callable[[wire.Command], Any]
"""Carries a command out and returns what is so now; raises EdgeError to refuse."""

Publish = Callable[[str, bytes, bytes], None]
"""Takes topic, payload and correlation data of an answer, and returns at once."""


class Commands:
    """Carry out commands. Thread-safe.

    Args:
        topics: Of the device.
        verbs: What may be ordered, by name.
        publish: Sends an answer.
    """

    def __init__(self, topics: Topics, verbs: Mapping[str, Verb], publish: Publish) -> None:
        self._topics = topics
        self._verbs = verbs
        self._publish = publish
        self._queue: queue.Queue[Message | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)

    def start(self) -> None:
        """Begin to carry out commands."""
        self._thread.start()

    def close(self) -> None:
        """Carry out what waits, and stop."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def take(self, message: Message) -> None:
        """Take a command; returns at once."""
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self._answer(message, _refused(f"busy: {_WAITING} commands wait; ask again"))

    def _run(self) -> None:
        while (message := self._queue.get()) is not None:
            self._answer(message, self._carry_out(message))

    def _carry_out(self, message: Message) -> wire.Answer:
        try:
            command = self._read(message)
            result = msgspec.to_builtins(self._verbs[command.verb](command))
        except EdgeError as error:
            return _refused(str(error))
        except Exception as error:
            log.exception("fault in a command")
            return _refused(f"fault in the agent: {type(error).__name__}: {error}; see its log")
        return wire.Answer(ok=True, result=result)

    def _read(self, message: Message) -> wire.Command:
        if message.retain:
            raise WireError("command: retained ones are not carried out: send it without")
        command = wire.decode_command(message.payload)
        if command.verb not in self._verbs:
            known, shown = ", ".join(sorted(self._verbs)), command.verb[:64]
            raise UsageError(f"command: verb {shown!r} is not known; there is {known}")
        return command

    def _answer(self, message: Message, answer: wire.Answer) -> None:
        if not answer.ok:
            log.warning("command refused: %s", answer.error)
        topic = message.response_topic
        if not self._topics.may_answer(topic):
            topic = self._topics.answer
        self._publish(topic, wire.encode(answer), message.correlation)


def _refused(error: str) -> wire.Answer:
    return wire.Answer(ok=False, error=error)
