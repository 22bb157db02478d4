from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from edge_agent.collector.settings import CollectorConfig, load
from edge_agent.errors import ConfigError
from edge_agent.settings import sections

SAMPLE = Path(__file__).parents[3] / "deploy" / "collector.toml"


def test_the_sample_shows_every_key_with_its_default() -> None:
    assert load(SAMPLE) == CollectorConfig()
    text = SAMPLE.read_text(encoding="utf-8")
    table = tomllib.loads(text)
    words = " ".join(text.replace("\n# ", " ").split())
    for section in sections(CollectorConfig):
        keys = table[section.name] if section.name else table
        for key in section.keys:
            assert key.name in keys
            assert f"{key.text} ({key.kind})" in words


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        ("[mqtt]\nhots = 1", r"mqtt\.hots: unknown key; did you mean mqtt\.host\?"),
        ("[store]\nurl = 'mysql://x'", r"store\.url"),
        ("[ingest]\nreceive_maximum = 0", r"ingest\.receive_maximum"),
        ("[mqtt]\nhost = 'broker.example'", "in clear"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, toml: str, text: str) -> None:
    path = tmp_path / "collector.toml"
    path.write_text(toml, encoding="utf-8")
    with pytest.raises(ConfigError, match=text):
        load(path)


def test_a_file_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "none.toml")
