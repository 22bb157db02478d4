"""What may be set about a collector: collector.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge_agent import settings
from edge_agent.uplink.settings import MqttSettings, check_security

DEFAULT_PATH = Path("/etc/edge-collector/collector.toml")


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where everything is stored (section `store`)."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^(sqlite:///|postgresql://).+",
            description="The database: sqlite:/// and the path of its file (four slashes for an "
            "absolute path), or postgresql://user@host:port/database?sslmode=verify-full.",
        ),
    ] = "sqlite:////var/lib/edge-collector/collector.db"
    password_file: Annotated[
        str,
        Meta(
            description="File whose first line is the password for PostgreSQL; empty for "
            "PostgreSQL's own means (its password file, a certificate, peer)."
        ),
    ] = ""
    keep_days: Annotated[
        int,
        Meta(
            ge=0,
            le=36_500,
            description="How long records are kept, from when they came in; 0 for ever.",
            extra={"unit": "days"},
        ),
    ] = 0


class IngestSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How batches are taken in (section `ingest`)."""

    client_id: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9._-]{1,64}$",
            description="Name of this collector at the broker, which keeps messages for it.",
        ),
    ] = "edge-collector"
    group: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9._-]{0,64}$",
            description="Collectors with the same group share the work (an MQTT shared "
            "subscription); empty for one that takes all.",
        ),
    ] = ""
    receive_maximum: Annotated[
        int,
        Meta(
            ge=1,
            le=65_535,
            description="Messages that the broker may send before the first is committed.",
            extra={"unit": "messages"},
        ),
    ] = 200
    group_batches: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Batches that may go into one transaction.",
            extra={"unit": "batches"},
        ),
    ] = 100
    late_s: Annotated[
        float,
        Meta(
            ge=1,
            le=31_536_000,
            description="A record that came more than this after it happened is marked `late`.",
            extra={"unit": "s"},
        ),
    ] = 60.0
    gap_grace_s: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400,
            description="Batches that are missing this long, while later ones are here, are asked "
            "for.",
            extra={"unit": "s"},
        ),
    ] = 30.0
    payload_limit_bytes: Annotated[
        int,
        Meta(
            ge=2**16,
            le=2**28,
            description="A message larger than this goes to quarantine unread; what it held is not "
            "kept.",
            extra={"unit": "bytes"},
        ),
    ] = 32 * 2**20
    batch_limit_bytes: Annotated[
        int,
        Meta(
            ge=2**16,
            le=2**30,
            description="A batch larger than this once decompressed goes to quarantine.",
            extra={"unit": "bytes"},
        ),
    ] = 64 * 2**20


class CollectorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of collector.toml."""

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="How much is logged.")
    ] = "info"
    mqtt: MqttSettings = MqttSettings()
    store: StoreSettings = StoreSettings()
    ingest: IngestSettings = IngestSettings()


def load(path: Path | None) -> CollectorConfig:
    """Read and check collector.toml; without a path the one in /etc, or the defaults.

    Raises:
        ConfigError: Naming the file and the full name of the key, in one line.
    """
    if path is None and not DEFAULT_PATH.exists():
        return CollectorConfig()
    config = settings.load(path or DEFAULT_PATH, CollectorConfig)
    check_security(config.mqtt, origin=str(path or DEFAULT_PATH))
    return config
