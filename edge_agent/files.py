"""Files that are there whole, or as they were before, whatever happens while they are written.

Of a file that is written anew the former ones can be kept: `x.1` is the newest of them.
"""

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


def keep_former(path: Path, *, versions: int = 9) -> Path | None:
    """Keep what a file holds now as `.1`, what was `.1` as `.2`, and so on; the file stays.

    Args:
        path: The file; nothing happens where it is missing.
        versions: How many are kept.

    Returns:
        Where the present content is kept; None where there is none.

    Raises:
        OSError: It cannot be kept.
    """
    if not path.is_file():
        return None

    def numbered(number: int) -> Path:
        return path.with_name(f"{path.name}.{number}")

    for number in range(versions - 1, 0, -1):
        if numbered(number).exists():
            numbered(number).replace(numbered(number + 1))
    write_durably(numbered(1), path.read_bytes())
    return numbered(1)
