"""`edge-collector decode` and `quarantine`: what came over the wire, as it came."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.errors import UsageError

if TYPE_CHECKING:
    from edge_agent.collector.reading import Refused
    from edge_agent.spool.batch import Header

_PAYLOAD_BYTES = 2**28

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]


def decode(
    file: Annotated[
        Path, typer.Argument(help="The payload of a batch message; - is standard input.")
    ],
    json: Json = False,
) -> None:
    """Print a batch: its header, whether its digest holds, its records.

    Example: edge-collector decode batch.bin --json
    """
    from edge_agent.spool import batch  # noqa: PLC0415 - loads numpy

    payload = _read(file)
    header, records = batch.decode(payload)
    if json:
        _print_json(header, records, len(payload))
    else:
        _show(header, records, len(payload))


def quarantine(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="collector.toml; as for the other verbs.")
    ] = None,
    last: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 50,
    save: Annotated[
        str, typer.Option(help="Write what the message with this digest holds (or its beginning).")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Where to; without it DIGEST.batch in this folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Show the messages that could not be stored, and why; or save one to look into it.

    Example: edge-collector quarantine --save 3f09 --out odd.batch
    """
    from edge_agent.collector.reading import Reader  # noqa: PLC0415 - loads the database
    from edge_agent.collector.settings import load  # noqa: PLC0415

    store = load(config).store
    reader = Reader(store.url, password_file=store.password_file)
    try:
        if save:
            _save(reader.payload(_checked(save)), save, out or Path(f"{save}.batch"))
        else:
            _list(reader.quarantine(last=last), json=json)
    finally:
        reader.close()


def _read(file: Path) -> bytes:
    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(_PAYLOAD_BYTES)
        with file.open("rb") as source:
            return source.read(_PAYLOAD_BYTES)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error


def _print_json(header: Header, records: list[bytes], size: int) -> None:
    import msgspec  # noqa: PLC0415 - only machines need it

    about = {
        "header": header,
        "payload_bytes": size,
        "digest": "holds" if header.digest else "absent",
    }
    lines = [msgspec.json.encode(about)]
    for number, record in enumerate(records, header.first):
        try:
            msgspec.json.decode(record)
            found: Any = msgspec.Raw(record)  # as it stands: no number is written anew
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = {"unreadable": record.decode("utf-8", "backslashreplace")}
        lines.append(msgspec.json.encode({"number": number, "record": found}))
    sys.stdout.buffer.write(b"\n".join([*lines, b""]))
    sys.stdout.buffer.flush()


def _show(header: Header, records: list[bytes], size: int) -> None:
    content = sum(map(len, records)) + len(records)
    print(f"schema   {header.schema}")
    print(f"batch    {header.batch} of stream {header.stream}, kind {header.kind}")
    print(f"records  {header.first} to {header.last}, {header.count} of them")
    print(f"bytes    {size}, {size / len(records):.1f} a record; {content} unpacked")
    print(f"digest   {header.digest + ', holds' if header.digest else 'absent'}")
    for loss in header.lost:
        of = f" of stream {loss.stream}" if loss.stream else ""
        print(f"lost     {loss.first} to {loss.last}{of}: {loss.reason}")
    for number, record in enumerate(records, header.first):
        print(f"{number:>7}  {_printable(record.decode('utf-8', 'backslashreplace'))}")


def _printable(text: str) -> str:
    """Write a stranger's text so that it does nothing to the terminal."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _checked(digest: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{4,32}", digest):
        raise UsageError(
            f"--save {digest}: give a digest as `quarantine` shows it, or its beginning"
        )
    return digest


def _save(payload: bytes | None, digest: str, out: Path) -> None:
    if payload is None:
        raise UsageError(
            f"--save {digest}: no such message in quarantine, or it was too large to keep"
        )
    try:
        out.write_bytes(payload)
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}") from error
    print(f"{len(payload)} bytes written to {out}; `edge-collector decode {out}` looks into it")


def _list(found: list[Refused], *, json: bool) -> None:
    if json:
        import msgspec  # noqa: PLC0415 - only machines need it

        sys.stdout.buffer.write(b"".join(msgspec.json.encode(each) + b"\n" for each in found))
        sys.stdout.buffer.flush()
        return
    from rich.console import Console  # noqa: PLC0415 - only people need it
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("last", "digest", "seen", "bytes", "topic", "reason"):
        table.add_column(name, justify="right" if name in {"seen", "bytes"} else "left")
    for each in found:
        size = str(each.bytes) if each.kept else f"({each.bytes})"
        digest, topic, reason = each.digest[:12], escape(each.topic), escape(each.reason)
        table.add_row(each.last, digest, str(each.seen), size, topic, reason)
    Console().print(table)
