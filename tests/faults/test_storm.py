"""A million records through a storm of everything at once; see `python -m tests.faults`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.__main__ import main
from tests.rigs import postgresql

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.broker, pytest.mark.processes, pytest.mark.slow]


def test_a_million_records_go_through_a_storm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--records", "1000000", "--folder", str(tmp_path)]) == 0
    assert "0 lost, 0 doubled" in capsys.readouterr().out


def test_records_go_through_a_storm_into_postgresql_by_two_collectors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if postgresql.PG_CTL is None:
        pytest.skip(postgresql.ABSENT)
    wanted = ["--records", "200000", "--store", "postgresql", "--collectors", "2", "--seed", "2"]
    assert main([*wanted, "--folder", str(tmp_path)]) == 0
    assert "0 lost, 0 doubled" in capsys.readouterr().out
