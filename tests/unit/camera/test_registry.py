from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from edge_agent.camera.drivers.folder import Settings as FolderSettings
from edge_agent.camera.drivers.simulated import Driver, Settings
from edge_agent.camera.registry import DRIVERS, make_camera, settings_type
from edge_agent.camera.triggers import Trigger
from edge_agent.errors import ConfigError


def test_a_driver_is_made_from_its_name_and_settings() -> None:
    assert settings_type("simulated") is Settings
    camera = make_camera("simulated", Settings(), station="s1", trigger=Trigger.FREE_RUN)
    assert isinstance(camera, Driver)


def test_an_unknown_driver_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(ConfigError, match="'simulatd' is not known; did you mean 'simulated'"):
        settings_type("simulatd")
    with pytest.raises(ConfigError, match="known: simulated, folder, video"):
        settings_type("xyz")


def test_settings_of_another_driver_are_refused() -> None:
    settings = FolderSettings(path="x")
    with pytest.raises(ConfigError, match="needs its own settings"):
        make_camera("simulated", settings, station="s1", trigger=Trigger.FREE_RUN)


@pytest.mark.parametrize("driver", sorted(DRIVERS))
def test_every_setting_is_described_and_bounded(driver: str) -> None:
    for field in msgspec.inspect.type_info(settings_type(driver)).fields:  # type: ignore[attr-defined]  # a struct
        assert isinstance(field.type, msgspec.inspect.Metadata), field.name
        description = (field.type.extra_json_schema or {}).get("description", "")
        assert description.endswith("."), field.name
        if isinstance(field.type.type, msgspec.inspect.FloatType | msgspec.inspect.IntType):
            assert field.type.type.ge is not None, field.name
            assert field.type.type.le is not None, field.name
            assert field.type.extra is not None, field.name
            assert field.type.extra["unit"], field.name


def test_settings_are_had_without_opencv() -> None:
    code = (
        "import sys; from edge_agent.camera import registry\n"
        "for name in registry.DRIVERS: registry.settings_type(name)\n"
        "sys.exit('cv2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
