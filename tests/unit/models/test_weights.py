"""The weights are read without their framework, and nothing else can be read that way."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from edge_agent.errors import UsageError
from models.weights import package_weights, read_weights

_HEAD = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("boom",))


def _file(tmp_path: Path, *pickles: object, tail: bytes = b"") -> Path:
    out = io.BytesIO()
    for each in pickles:
        pickle.dump(each, out, protocol=2)
    path = tmp_path / "weights.pth"
    path.write_bytes(out.getvalue() + tail)
    return path


def test_the_package_holds_the_trunk_we_build() -> None:
    weights = read_weights(package_weights())
    assert weights["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert weights["_blocks.10._project_conv.weight"].shape == (112, 672, 1, 1)
    assert all(value.dtype == np.float32 for value in weights.values())
    assert all(np.isfinite(value).all() for value in weights.values())
    assert all((v >= 0).all() for name, v in weights.items() if name.endswith("running_var"))


@pytest.mark.parametrize("where", [0, 2, 3])
def test_a_foreign_pickle_is_refused_and_not_run(
    tmp_path: Path, where: int, capsys: pytest.CaptureFixture[str]
) -> None:
    content: list[object] = [*_HEAD, {}, []]
    content[where] = _Bomb()
    with pytest.raises(UsageError, match=r"it asks for (builtins|__builtin__)\.print"):
        read_weights(_file(tmp_path, *content))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04", b"\x80\x02}.", b"no pickle at all", b"\x80\x02K\x01."]
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="not a plain file of weights") as error:
        read_weights(path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(package_weights().read_bytes()[:-1000])
    with pytest.raises(UsageError, match="cut short"):
        read_weights(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.pth: cannot be read"):
        read_weights(tmp_path / "nothing.pth")
