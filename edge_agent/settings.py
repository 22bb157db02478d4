"""TOML into frozen, typed settings, with errors that name the key and the remedy.

Settings are msgspec structs whose fields carry their meaning with them:

    takt_ms: Annotated[
        int, Meta(ge=1, description="Time between parts.", extra={"unit": "ms"})
    ] = 100

From that one line come the check, the error, `config show`, the sample file and the manual.
"""

from __future__ import annotations

import datetime
import difflib
import enum
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from edge_agent.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN = 80
"""How much of a wrong value is shown, in characters."""

_WORDS = {
    "int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false",
    "array": "a list", "object": "a table", "null": "nothing",
}  # fmt: skip


class Key(msgspec.Struct, frozen=True):
    """One key of a configuration, for people.

    Attributes:
        name: Within its table.
        kind: What it takes, in words.
        default: As TOML; None for a key that must be given.
        unit: Of its value; may be empty.
        text: What it does.
    """

    name: str
    kind: str
    default: str | None
    unit: str
    text: str


class Section(msgspec.Struct, frozen=True):
    """One table of a configuration, for people.

    Attributes:
        name: Full name, with dots; empty for the top of the file.
        text: What it is about.
        keys: In their order.
        repeated: Whether it is a list of tables, `[[name]]`, that may be given any number of times.
    """

    name: str
    text: str
    keys: tuple[Key, ...]
    repeated: bool = False

    @property
    def heading(self) -> str:
        """How the table begins in a file; empty for the top of the file."""
        if not self.name:
            return ""
        return f"[[{self.name}]]" if self.repeated else f"[{self.name}]"


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: It is missing, unreadable, or not TOML.
    """
    try:
        # Some editors put a byte order mark before the text.
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; `config show` prints a sample") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not valid TOML: nested too deeply") from error
    except ValueError as error:  # bad TOML, not UTF-8, or a number with thousands of digits
        raise ConfigError(f"{path}: not valid TOML: {' '.join(str(error).split())}") from error


def load(path: Path, kind: type[T]) -> T:
    """Read a settings file.

    Raises:
        ConfigError: Naming the file and the key: unknown, missing, of a wrong type, out of range.
    """
    return convert(read_toml(path), kind, origin=str(path))


def convert(raw: Mapping[str, Any], kind: type[T], *, origin: str, prefix: str = "") -> T:
    """Make a settings value of a table.

    Args:
        raw: The table.
        kind: A msgspec struct.
        origin: Where the table is from, for errors.
        prefix: Full name of the table, with a dot at its end; empty for the whole file.

    Raises:
        ConfigError: As `load`.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name in raw:
        check_known(name, list(fields), origin=origin, prefix=prefix)
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in raw:
            values[field.name] = _value(raw[name], field.type, origin=origin, name=prefix + name)
        elif field.required:
            raise ConfigError(f"{origin}: {prefix}{name} is missing: {_remedy(field, prefix)}")
    try:
        return kind(**values)
    except ValueError as error:
        raise ConfigError(f"{origin}: {prefix.rstrip('.') or 'file'}: {error}") from error


def _remedy(field: msgspec.structs.FieldInfo, prefix: str) -> str:
    """Say what to do about a key that is missing."""
    text = _meta(field.type)[0]
    if not text and _is_settings(_bare(field.type)):
        return f"give a table [{prefix}{field.encode_name}]"
    return text or f"it takes {_words(field.type)}"


def check_known(name: str, known: list[str], *, origin: str, prefix: str) -> None:
    """Refuse a key that does not exist, naming the nearest that does.

    Raises:
        ConfigError: It does not exist.
    """
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {prefix}{near[0]}?" if near else f"known here: {', '.join(known)}"
        raise ConfigError(f"{origin}: {prefix}{key_text(name)}: unknown key; {hint}")


def _value(raw: Any, kind: Any, *, origin: str, name: str) -> Any:
    bare = _bare(kind)
    if _is_settings(bare):
        if not isinstance(raw, dict):
            raise ConfigError(f"{origin}: {name}: must be a table, [{name}]")
        make = getattr(bare, "from_table", None)  # a table whose keys depend on one of them
        if make is not None:
            return make(raw, origin=origin, prefix=name + ".")
        return convert(raw, bare, origin=origin, prefix=name + ".")
    if item := _table_of(bare):
        if not isinstance(raw, dict) or not all(isinstance(each, dict) for each in raw.values()):
            raise ConfigError(f"{origin}: {name}: must be tables, [{name}.NAME]")
        return {
            key: convert(each, item, origin=origin, prefix=f"{name}.{key_text(key)}.")
            for key, each in raw.items()
        }
    if (item := _list_of(bare)) and isinstance(raw, list):
        return tuple(
            _item(each, item, origin=origin, name=f"{name}[{index}]")
            for index, each in enumerate(raw)
        )
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        problem = f"must be {_words(kind)}" if _is_choice(bare) else _plain(str(error))
        raise ConfigError(f"{origin}: {name}: {problem}{_shown(raw)}") from error


def _item(raw: Any, kind: type[T], *, origin: str, name: str) -> T:
    if not isinstance(raw, dict):
        raise ConfigError(f"{origin}: {name}: must be a table{_shown(raw)}")
    return convert(raw, kind, origin=origin, prefix=name + ".")


def sections(kind: type[msgspec.Struct], name: str = "") -> Iterator[Section]:
    """List the tables of a settings struct, outer ones first, each with its plain keys."""
    yield Section(name, _first_line(kind), tuple(keys_of(kind)))
    for field in msgspec.structs.fields(kind):
        bare, path = _bare(field.type), f"{name}.{field.encode_name}".lstrip(".")
        if hasattr(bare, "sections"):
            yield from bare.sections(path)
        elif _is_settings(bare):
            yield from sections(bare, path)
        elif item := _table_of(bare):
            yield from sections(item, f"{path}.NAME")
        elif item := _list_of(bare):
            text = _meta(field.type)[0] or _first_line(item)
            yield Section(path, text, tuple(keys_of(item)), repeated=True)


def keys_of(kind: type[msgspec.Struct]) -> Iterator[Key]:
    """List the plain keys of a settings struct; its tables are left out."""
    for field in msgspec.structs.fields(kind):
        bare = _bare(field.type)
        if _is_settings(bare) or _table_of(bare) or _list_of(bare):
            continue
        text, unit = _meta(field.type)
        default = None if field.required else toml_value(_default(field))
        yield Key(field.encode_name, _words(field.type), default, unit, text)


def _first_line(kind: type[msgspec.Struct]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]


def toml_value(value: Any) -> str:
    """Write a value as TOML, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime.date | datetime.time):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(each) for each in value) + "]"
    if isinstance(value, msgspec.Struct):
        pairs = msgspec.structs.asdict(value).items()
        return "{ " + ", ".join(f"{key} = {toml_value(each)}" for key, each in pairs) + " }"
    return _quoted(str(value))


def _quoted(text: str) -> str:
    """Write a text as TOML; whatever would not print, or would end the line, is escaped."""
    quoted = msgspec.json.encode(text).decode()
    return "".join(each if each.isprintable() else f"\\U{ord(each):08X}" for each in quoted)


def key_text(name: str) -> str:
    """Write one part of a key's name as TOML does, on one line."""
    return name if _BARE_KEY.fullmatch(name) else _quoted(name)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return field.default_factory()


def _bare(kind: Any) -> Any:
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind


def _is_settings(bare: Any) -> bool:
    return isinstance(bare, type) and issubclass(bare, msgspec.Struct)


def _table_of(bare: Any) -> Any:
    """Return X for a field of type dict[str, X] where X is a settings struct."""
    arguments = typing.get_args(bare)
    is_dict = typing.get_origin(bare) is dict and _is_settings(_bare(arguments[1]))
    return _bare(arguments[1]) if is_dict else None


def _list_of(bare: Any) -> Any:
    """Return X for a field of type tuple[X, ...] where X is a settings struct."""
    arguments = typing.get_args(bare)
    is_list = typing.get_origin(bare) is tuple and _is_settings(_bare(arguments[0]))
    return _bare(arguments[0]) if is_list else None


def _meta(kind: Any) -> tuple[str, str]:
    """Return the description and the unit of a field; a plain ratio (unit 1) has none."""
    text, unit = "", ""
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta):
            text = meta.description or text
            unit = (meta.extra or {}).get("unit", unit)
    return text, "" if unit == "1" else unit


def _is_choice(bare: Any) -> bool:
    is_enum = isinstance(bare, type) and issubclass(bare, enum.Enum)
    return is_enum or typing.get_origin(bare) is typing.Literal


def _words(kind: Any) -> str:
    """Say in words what a field takes."""
    bare = _bare(kind)
    if isinstance(bare, type) and issubclass(bare, enum.Enum):
        return " | ".join(toml_value(each.value) for each in bare)
    if typing.get_origin(bare) is typing.Literal:
        return " | ".join(toml_value(each) for each in typing.get_args(bare))
    if typing.get_origin(bare) in {typing.Union, types.UnionType}:
        return " or ".join(_words(each) for each in typing.get_args(bare) if each is not type(None))
    if typing.get_origin(bare) in {tuple, list}:
        return f"a list: {_words(typing.get_args(bare)[0])}"
    word = {int: "whole number", float: "number", str: "text", bool: "true | false"}.get(bare)
    if bare is Path:
        word = "path"
    return (word or str(bare)) + _range(kind)


def _range(kind: Any) -> str:
    low = high = None
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta):
            low = meta.ge if meta.ge is not None else meta.gt if meta.gt is not None else low
            high = meta.le if meta.le is not None else meta.lt if meta.lt is not None else high
    if low is None and high is None:
        return ""
    if high is None:
        return f", {_number(low)} or more"
    if low is None:
        return f", {_number(high)} or less"
    return f", {_number(low)} to {_number(high)}"


def _number(value: float | None) -> str:
    """Write a limit in full: 3600000, not 3.6e+06."""
    assert value is not None
    return str(int(value)) if value == int(value) else repr(value)


def _plain(message: str) -> str:
    """Put msgspec's words into ours: `Expected `int`, got `str`` and the like."""
    message = message.partition(" - at `")[0]
    message = re.sub(
        r"`([^`]*)`",
        lambda found: " or ".join(_WORDS.get(word, word) for word in found[1].split(" | ")),
        message,
    )
    return f"{message[:1].lower()}{message[1:]}"


def _shown(raw: Any) -> str:
    """Show a wrong value, if it is short and simple enough to be shown in one line."""
    simple = [raw] if not isinstance(raw, list) else raw
    if any(isinstance(each, dict | list) for each in simple):
        return ""
    text = toml_value(raw)
    return f" (it is {text if len(text) <= _SHOWN else text[:_SHOWN] + '...'})"
