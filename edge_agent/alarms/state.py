"""The alarm states of ANSI/ISA-18.2-2016 (figure 3), as one table."""

from __future__ import annotations

from enum import StrEnum


class AlarmState(StrEnum):
    """Where an alarm stands."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned-unacknowledged"
    SHELVED = "shelved"
    SUPPRESSED = "suppressed"
    OUT_OF_SERVICE = "out-of-service"


class AlarmEvent(StrEnum):
    """What happens to an alarm: its condition (raise, clear), or what a person or a rule does."""

    RAISE = "raise"
    CLEAR = "clear"
    ACKNOWLEDGE = "acknowledge"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    REMOVE = "remove-from-service"
    RETURN = "return-to-service"


_S, _E = AlarmState, AlarmEvent

TABLE: dict[tuple[AlarmState, AlarmEvent], AlarmState] = {
    (_S.NORMAL,         _E.RAISE):       _S.UNACKNOWLEDGED,
    (_S.UNACKNOWLEDGED, _E.ACKNOWLEDGE): _S.ACKNOWLEDGED,
    (_S.UNACKNOWLEDGED, _E.CLEAR):       _S.RETURNED,
    (_S.ACKNOWLEDGED,   _E.CLEAR):       _S.NORMAL,
    (_S.RETURNED,       _E.RAISE):       _S.UNACKNOWLEDGED,
    (_S.RETURNED,       _E.ACKNOWLEDGE): _S.NORMAL,
    (_S.NORMAL,         _E.SHELVE):      _S.SHELVED,
    (_S.UNACKNOWLEDGED, _E.SHELVE):      _S.SHELVED,
    (_S.ACKNOWLEDGED,   _E.SHELVE):      _S.SHELVED,
    (_S.RETURNED,       _E.SHELVE):      _S.SHELVED,
    (_S.NORMAL,         _E.SUPPRESS):    _S.SUPPRESSED,
    (_S.UNACKNOWLEDGED, _E.SUPPRESS):    _S.SUPPRESSED,
    (_S.ACKNOWLEDGED,   _E.SUPPRESS):    _S.SUPPRESSED,
    (_S.RETURNED,       _E.SUPPRESS):    _S.SUPPRESSED,
    (_S.NORMAL,         _E.REMOVE):      _S.OUT_OF_SERVICE,
    (_S.UNACKNOWLEDGED, _E.REMOVE):      _S.OUT_OF_SERVICE,
    (_S.ACKNOWLEDGED,   _E.REMOVE):      _S.OUT_OF_SERVICE,
    (_S.RETURNED,       _E.REMOVE):      _S.OUT_OF_SERVICE,
    (_S.SHELVED,        _E.UNSHELVE):    _S.NORMAL,
    (_S.SUPPRESSED,     _E.UNSUPPRESS):  _S.NORMAL,
    (_S.OUT_OF_SERVICE, _E.RETURN):      _S.NORMAL,
}  # fmt: skip
"""Next state by state and event; a pair that is not here changes nothing.

An alarm that comes back from shelved, suppressed or out of service while its condition stands goes
on to unacknowledged: see `following`."""

_BACK = {_E.UNSHELVE, _E.UNSUPPRESS, _E.RETURN}


def following(state: AlarmState, event: AlarmEvent, *, active: bool) -> AlarmState:
    """Return the state after an event.

    Args:
        state: The state before.
        event: What happens.
        active: Whether the condition stands; it decides what an alarm comes back to.

    >>> following(AlarmState.UNACKNOWLEDGED, AlarmEvent.CLEAR, active=False)
    <AlarmState.RETURNED: 'returned-unacknowledged'>
    >>> following(AlarmState.SHELVED, AlarmEvent.UNSHELVE, active=True)
    <AlarmState.UNACKNOWLEDGED: 'unacknowledged'>
    """
    after = TABLE.get((state, event), state)
    if event in _BACK and after is not state and active:
        return TABLE[(after, AlarmEvent.RAISE)]
    return after
