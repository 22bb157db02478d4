"""The topic tree, `{root}/{device}/...`: the one place where topics are written.

docs/wire.md says what travels on each.
"""

from __future__ import annotations

import re

import msgspec

from edge_agent.errors import WireError

DEFAULT_ROOT = "edge/v1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_name(text: str) -> bool:
    """Tell whether a text may name a device or a station.

    Letters, digits, `.`, `_` and `-`, at most 64, beginning with a letter or a digit: safe in a
    topic, in a file name and on a label.

    >>> is_name("press-4"), is_name("press/4"), is_name("")
    (True, False, False)
    """
    return _NAME.fullmatch(text) is not None


class Topics(msgspec.Struct, frozen=True):
    """The topics of one device.

    >>> Topics("edge/v1", "press-4").batch("inspections")
    'edge/v1/press-4/batch/inspections'
    """

    root: str
    device: str

    @property
    def birth(self) -> str:
        """Retained; what the device is and that it is online (the will sets it offline)."""
        return f"{self.root}/{self.device}/birth"

    @property
    def ack(self) -> str:
        """From the collector to the device: batches that are committed."""
        return f"{self.root}/{self.device}/ack"

    @property
    def want(self) -> str:
        """From the collector to the device: batches that it misses."""
        return f"{self.root}/{self.device}/want"

    @property
    def gone(self) -> str:
        """From the device to the collector: wanted batches that are not here any more."""
        return f"{self.root}/{self.device}/gone"

    @property
    def alarm(self) -> str:
        """Each transition of an alarm, live."""
        return f"{self.root}/{self.device}/alarm"

    @property
    def command(self) -> str:
        """Orders to the device, with a response topic and correlation data (MQTT 5)."""
        return f"{self.root}/{self.device}/command"

    @property
    def answer(self) -> str:
        """Where answers go whose command names no other topic; below it all are free to use."""
        return f"{self.root}/{self.device}/answer"

    def may_answer(self, topic: str) -> bool:
        """Tell whether an answer may go to a topic that a stranger names.

        Below the root topics mean something to devices and collectors: nobody may make a device
        speak there in its own name.

        >>> topics = Topics("edge/v1", "press-4")
        >>> topics.may_answer("scada/answers"), topics.may_answer("edge/v1/press-4/answer/scada")
        (True, True)
        >>> topics.may_answer("edge/v1/press-4/ack"), topics.may_answer("a/+")
        (False, False)
        """
        if not topic or topic.startswith("$") or {"+", "#", "\0"} & set(topic):
            return False
        if topic == self.answer or topic.startswith(self.answer + "/"):
            return True
        return not (topic == self.root or topic.startswith(self.root + "/"))

    def batch(self, kind: str) -> str:
        """Sealed batches of one kind."""
        return f"{self.root}/{self.device}/batch/{kind}"

    def alarm_state(self, key: str) -> str:
        """Retained; the state of one alarm. A `/` in the key becomes a level."""
        return f"{self.root}/{self.device}/alarms/{key}"

    def verdict(self, station: str) -> str:
        """Live verdicts of one station, QoS 0, never retained."""
        return f"{self.root}/{self.device}/verdict/{station}"


def parse(root: str, topic: str) -> tuple[str, str]:
    """Split a topic under `root` into device and the rest.

    >>> parse("edge/v1", "edge/v1/press-4/batch/inspections")
    ('press-4', 'batch/inspections')

    Raises:
        WireError: The topic is not under `root`, or names no device.
    """
    prefix = root + "/"
    device, slash, rest = topic.removeprefix(prefix).partition("/")
    if not topic.startswith(prefix) or not slash or not rest or not is_name(device):
        raise WireError(f"topic {topic!r}: not of the form {root}/DEVICE/...")
    return device, rest
