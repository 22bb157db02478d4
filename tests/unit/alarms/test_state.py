"""Every pair of state and event of ISA-18.2, against a table written here by hand."""

from __future__ import annotations

import itertools

import pytest

from edge_agent.alarms.state import AlarmEvent, AlarmState, following

S, E = AlarmState, AlarmEvent

# One row a state, one column an event, in the order of COLUMNS; a dot changes nothing; `*` is
# what an alarm comes back to: unacknowledged while its condition stands, else normal.
COLUMNS = (
    E.RAISE, E.CLEAR, E.ACKNOWLEDGE, E.SHELVE, E.UNSHELVE, E.SUPPRESS, E.UNSUPPRESS, E.REMOVE,
    E.RETURN,
)  # fmt: skip
ROWS = {
    #                 raise clear ack   shelve unshelve suppress unsuppress remove return
    S.NORMAL:         "una  .     .     she    .        sup      .          out    .",
    S.UNACKNOWLEDGED: ".    ret   ack   she    .        sup      .          out    .",
    S.ACKNOWLEDGED:   ".    nor   .     she    .        sup      .          out    .",
    S.RETURNED:       "una  .     nor   she    .        sup      .          out    .",
    S.SHELVED:        ".    .     .     .      *        .        .          .      .",
    S.SUPPRESSED:     ".    .     .     .      .        .        *          .      .",
    S.OUT_OF_SERVICE: ".    .     .     .      .        .        .          .      *",
}  # fmt: skip
SHORT = {
    "nor": S.NORMAL, "una": S.UNACKNOWLEDGED, "ack": S.ACKNOWLEDGED, "ret": S.RETURNED,
    "she": S.SHELVED, "sup": S.SUPPRESSED, "out": S.OUT_OF_SERVICE,
}  # fmt: skip
PAIRS = list(itertools.product(S, E))


def expected(state: AlarmState, event: AlarmEvent, *, active: bool) -> AlarmState:
    word = ROWS[state].split()[COLUMNS.index(event)]
    if word == "*":
        return S.UNACKNOWLEDGED if active else S.NORMAL
    return state if word == "." else SHORT[word]


def test_the_table_here_speaks_of_every_pair() -> None:
    assert set(ROWS) == set(S)
    assert set(COLUMNS) == set(E)
    assert all(len(row.split()) == len(E) for row in ROWS.values())
    assert len(PAIRS) == 63


@pytest.mark.parametrize(("state", "event"), PAIRS)
@pytest.mark.parametrize("active", [True, False])
def test_every_pair_leads_where_isa_18_2_says(
    state: AlarmState, event: AlarmEvent, active: bool
) -> None:
    assert following(state, event, active=active) is expected(state, event, active=active)


def test_states_go_over_the_wire_by_these_words() -> None:
    assert [state.value for state in S] == [
        "normal", "unacknowledged", "acknowledged", "returned-unacknowledged", "shelved",
        "suppressed", "out-of-service",
    ]  # fmt: skip
