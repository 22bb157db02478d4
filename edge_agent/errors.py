"""The errors of this project, sorted by whose fault it is.

Every message names the thing that is wrong and what to do about it, in one line: it is shown to
people as it stands.
"""

from __future__ import annotations


class EdgeError(Exception):
    """Base of all errors that this project raises on purpose."""


# --- what a person gave us -----------------------------------------------------------------------


class ConfigError(EdgeError):
    """A configuration file is missing, unreadable or wrong."""


class ImageError(EdgeError):
    """A file is not an image that can be judged."""


class BundleError(EdgeError):
    """A bundle is damaged, incompatible, or fails its self-test."""


class UsageError(EdgeError):
    """A command was given something that it cannot work with."""


# --- what the machine or the line did ------------------------------------------------------------


class CameraError(EdgeError):
    """A camera cannot be opened or stopped giving frames."""


class EngineError(EdgeError):
    """An inference engine cannot load or run a model."""


class SpoolError(EdgeError):
    """The spool cannot keep what it was given."""


class BrokerError(EdgeError):
    """The MQTT broker cannot be reached or refuses us."""


class StoreError(EdgeError):
    """The collector's database cannot be used."""


class ControlError(EdgeError):
    """A running agent cannot be reached, or refuses an order."""


# --- what came over the wire ---------------------------------------------------------------------


class WireError(EdgeError):
    """A message breaks the contract of docs/wire.md."""
