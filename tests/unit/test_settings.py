"""Every wrong table gives one line that names the key in full; every right one gives its value."""

from __future__ import annotations

import datetime
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from edge_agent.errors import ConfigError
from edge_agent.settings import convert, load, read_toml, sections, toml_value


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Lamp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One lamp."""

    power_w: Annotated[float, Meta(ge=0, le=3_600_000, description="Power.", extra={"unit": "W"})]
    share: Annotated[float, Meta(gt=0, description="Share.", extra={"unit": "1"})] = 0.5
    depth: Annotated[int, Meta(le=7, description="Depth.")] = 1


class Inner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The inner table.

    More about it.
    """

    colour: Annotated[Colour, Meta(description="Colour.")] = Colour.RED
    mode: Annotated[Literal["fast", "slow"], Meta(description="Mode.")] = "fast"
    names: Annotated[tuple[str, ...], Meta(description="Names.")] = ()
    lamps: Annotated[tuple[Lamp, ...], Meta(description="The lamps.")] = ()
    low: Annotated[int, Meta(ge=0, le=9, description="Low.")] = 1
    high: Annotated[int, Meta(ge=0, le=9, description="High.")] = 2

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")


class Outer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    name: Annotated[str, Meta(max_length=8, description="What it is called.")]
    on: Annotated[bool, Meta(description="On.")] = True
    file: Annotated[Path, Meta(description="File.")] = Path("/x")
    limit: Annotated[int | None, Meta(description="Limit.")] = None
    inner: Inner = Inner()
    lamp: dict[str, Lamp] = {}


class Needs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file with a table that must be there."""

    inner: Inner
    bare: int


def refusal(raw: dict[str, Any], kind: type[msgspec.Struct] = Outer) -> str:
    """Convert a table that must be refused; the refusal is one line."""
    with pytest.raises(ConfigError) as caught:
        convert(raw, kind, origin="x.toml")
    text = str(caught.value)
    assert text.startswith("x.toml: ")
    assert len(text.splitlines()) == 1
    return text.removeprefix("x.toml: ")


def test_a_right_table_gives_its_value() -> None:
    raw = tomllib.loads(
        """
        name = "a"
        [inner]
        colour = "blue"
        names = ["p", "q"]
        lamps = [{ power_w = 3 }]
        [lamp.left]
        power_w = 4.5
        """
    )
    value = convert(raw, Outer, origin="x.toml")
    assert value.inner == Inner(
        colour=Colour.BLUE, names=("p", "q"), lamps=(Lamp(power_w=3.0),), low=1
    )
    assert value.lamp == {"left": Lamp(power_w=4.5)}
    assert value.on is True


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"nmae": "a"}, "nmae: unknown key; did you mean name?"),
        ({"zzzz": 1}, "zzzz: unknown key; known here: name, on, file, limit, inner, lamp"),
        ({"name": "a", "inner": {"color": 1}}, "inner.color: unknown key; did you mean inner.col"),
        ({"name": "a", "lamp": {"l": {"power": 1}}}, "lamp.l.power: unknown key; did you mean lam"),
        ({}, "name is missing: What it is called."),
        ({"name": 1}, "name: expected a text, got a whole number (it is 1)"),
        ({"name": "much too long"}, 'name: expected a text of length <= 8 (it is "much too long")'),
        ({"name": True}, "name: expected a text, got true or false (it is true)"),
        ({"name": "a", "inner": 3}, "inner: must be a table, [inner]"),
        ({"name": "a", "lamp": [1]}, "lamp: must be tables, [lamp.NAME]"),
        ({"name": "a", "lamp": {"l": 1}}, "lamp: must be tables, [lamp.NAME]"),
        ({"name": "a", "lamp": {"l": {}}}, "lamp.l.power_w is missing: Power."),
        (
            {"name": "a", "lamp": {"l": {"power_w": -1}}},
            "lamp.l.power_w: expected a number >= 0.0 (it is -1)",
        ),
        (
            {"name": "a", "inner": {"colour": "green"}},
            'inner.colour: must be "red" | "blue" (it is "green")',
        ),
        ({"name": "a", "inner": {"mode": 2}}, 'inner.mode: must be "fast" | "slow" (it is 2)'),
        ({"name": "a", "inner": {"names": "p"}}, "inner.names: expected a list, got a text"),
        ({"name": "a", "inner": {"names": ["p", 1]}}, "inner.names: expected a text, got a whole"),
        ({"name": "a", "inner": {"lamps": {}}}, "inner.lamps: expected a list, got a table"),
        ({"name": "a", "inner": {"lamps": [3]}}, "inner.lamps[0]: must be a table (it is 3)"),
        ({"name": "a", "inner": {"lamps": ["power_w"]}}, "inner.lamps[0]: must be a table (it is "),
        (
            {"name": "a", "inner": {"lamps": [{"power_w": 1}, {"power_w": "x"}]}},
            'inner.lamps[1].power_w: expected a number, got a text (it is "x")',
        ),
        ({"name": "a", "inner": {"low": 5}}, "inner: low 5 is above high 2"),
        ({"name": "a", "limit": "x"}, "limit: expected a whole number or nothing, got a text"),
    ],
)
def test_a_wrong_table_names_its_key_in_full(raw: dict[str, Any], expected: str) -> None:
    assert expected in refusal(raw)


def test_a_missing_key_says_what_it_takes_where_it_has_no_description() -> None:
    assert refusal({"bare": 1}, Needs) == "inner is missing: give a table [inner]"
    assert refusal({"inner": {}}, Needs) == "bare is missing: it takes whole number"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**30])
def test_a_number_beyond_its_range_is_refused(value: float) -> None:
    assert "lamp.l.power_w: expected a number" in refusal(
        {"name": "a", "lamp": {"l": {"power_w": value}}}
    )


@pytest.mark.parametrize("name", ["a\nb", "a.b", "", "\u2028", "a\x85b", "Größe"])
def test_a_strange_key_still_gives_one_line(name: str) -> None:
    assert ": unknown key; " in refusal({name: 1})
    assert "power_w" in refusal({"name": "a", "lamp": {name: {}}})
    assert "(it is " in refusal({"name": 1, "on": name}) or name


def test_a_long_or_deep_value_is_not_shown_whole() -> None:
    assert len(refusal({"name": "x" * 10_000})) < 200
    deep: Any = 1
    for _ in range(100_000):
        deep = {"a": deep}
    assert refusal({"name": deep}) == "name: expected a text, got a table"
    assert refusal({"name": [deep]}) == "name: expected a text, got a list"
    while isinstance(deep, dict):  # or freeing it recurses too deeply
        deep = deep["a"]


# --- files ---------------------------------------------------------------------------------------


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "a"\n')
    assert load(path, Outer).name == "a"
    path.write_bytes(b'name = "b"\n')
    assert load(path, Outer).name == "b"


@pytest.mark.parametrize(
    "text",
    [
        b"a = ",
        b"a = \xff",
        b"a b\n\n",
        b"a = 1\na = 2",
        b"a = " + b"[" * 5000,
        b"a = " + b"9" * 5000,
        b"a = 2024-02-31",
    ],
)
def test_what_is_not_toml_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=r"x\.toml: not valid TOML: ") as caught:
        read_toml(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: no such file; .*config show"):
        read_toml(tmp_path / "gone.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_toml(tmp_path)


def test_a_dotted_key_thousands_of_levels_deep_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("name" + ".a" * 3000 + " = 1\n")
    with pytest.raises(ConfigError, match=r"name: expected a text, got a table"):
        load(path, Outer)


# --- what people see -----------------------------------------------------------------------------


def test_sections_list_every_table_with_its_keys() -> None:
    found = {section.heading: section for section in sections(Outer)}
    assert list(found) == ["", "[inner]", "[[inner.lamps]]", "[lamp.NAME]"]
    assert [key.name for key in found[""].keys] == ["name", "on", "file", "limit"]
    assert [key.name for key in found["[inner]"].keys] == [
        "colour", "mode", "names", "low", "high",
    ]  # fmt: skip
    assert found["[inner]"].text == "The inner table."
    assert found["[[inner.lamps]]"].text == "The lamps."


def test_keys_carry_kind_range_default_and_unit() -> None:
    keys = {key.name: key for section in sections(Outer) for key in section.keys}
    assert keys["name"].default is None
    assert keys["on"].default == "true"
    assert keys["file"].kind == "path"
    assert keys["limit"].kind == "whole number"
    assert keys["colour"].kind == '"red" | "blue"'
    assert keys["mode"].kind == '"fast" | "slow"'
    assert keys["names"].kind == "a list: text"
    assert keys["power_w"].kind == "number, 0 to 3600000"  # in full, not 3.6e+06
    assert keys["power_w"].unit == "W"
    assert keys["share"].kind == "number, 0 or more"
    assert keys["share"].unit == ""  # a plain ratio has no unit worth showing
    assert keys["depth"].kind == "whole number, 7 or less"


@pytest.mark.parametrize(
    "value",
    [
        True, 3, -0.5, 1e300, "a", 'q"\\', "tab\t\x7f\x00\u2028", "Größe", [1, 2], ["a"], [],
        datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.UTC),
    ],
)  # fmt: skip
def test_toml_value_writes_what_toml_reads(value: Any) -> None:
    text = toml_value(value)
    assert tomllib.loads(f"a = {text}") == {"a": value}
    assert len(text.splitlines()) == 1


def test_toml_value_writes_settings_as_an_inline_table() -> None:
    assert tomllib.loads(f"a = {toml_value(Lamp(power_w=3.0))}")["a"] == {
        "power_w": 3.0, "share": 0.5, "depth": 1,
    }  # fmt: skip


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_toml_value_writes_any_text(text: str) -> None:
    written = toml_value(text)
    assert tomllib.loads(f"a = {written}") == {"a": text}
    assert len(written.splitlines()) == 1
