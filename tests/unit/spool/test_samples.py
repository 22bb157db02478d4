"""Every schema that was ever sent stays readable: by our code, and by who knows only the page."""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path

import pytest

from edge_agent.spool import batch
from tests.unit.spool import second_decoder

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROOT = Path(__file__).parents[3]
SAMPLES = sorted((ROOT / "tests" / "samples").glob("*/*.batch"))
PAGE = (ROOT / "docs" / "wire.md").read_text(encoding="utf-8")
EXAMPLE = base64.b64decode(re.findall(r"^```base64\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1])


def test_there_is_a_sample_of_each_schema() -> None:
    schemas = {batch.decode(path.read_bytes())[0].schema for path in SAMPLES}
    assert schemas == {batch.SCHEMA, batch.SCHEMA_COLUMNS}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_old_batches_are_read(path: Path) -> None:
    expected = path.with_suffix(".jsonl").read_bytes()
    header, records = batch.decode(path.read_bytes())
    assert b"".join(record + b"\n" for record in records) == expected
    assert header.schema == f"edge/{path.parent.name.replace('-', '/')}"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_decoder_written_from_the_page_reads_the_same(path: Path) -> None:
    header, records = batch.decode(path.read_bytes())
    told, found = second_decoder.decode(path.read_bytes())
    assert found == records
    assert (told["stream"], told["batch"]) == (header.stream, header.batch)


def test_the_worked_example_is_what_the_code_reads_and_writes() -> None:
    header, records = batch.decode(EXAMPLE)
    assert [header.first, header.last, len(records)] == [43, 48, 6]
    assert second_decoder.decode(EXAMPLE)[1] == records
    assert batch.decode(batch.encode(header, records, level=6)) == (header, records)
    body = zstd.decompress(EXAMPLE).partition(b"\n")[2]
    assert zstd.decompress(batch.encode(header, records, level=6)).partition(b"\n")[2] == body


def test_the_bytes_on_the_page_are_those_of_the_worked_example() -> None:
    (lines,) = re.findall(r"^```hex\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    shown = "".join(line.split(" ")[0] for line in lines.splitlines())
    assert shown == zstd.decompress(EXAMPLE).partition(b"\n")[2].hex()
