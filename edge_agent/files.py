"""Files that are there whole, or as they were before, whatever happens while they are written."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Write a file so that after a power cut it is there whole, or as it was before.

    Written beside it, synced, renamed over it; then the folder is synced too, since a rename
    alone can be undone by a power cut.

    Raises:
        OSError: It cannot be written; the file of before is untouched.
    """
    draft = path.with_name(path.name + ".part")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)  # on a full disk every byte counts
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
