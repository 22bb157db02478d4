"""A disk of its own in a file: ext4 on a loop device, whose power can be cut and which can be full.

The cut is the kernel's (FS_IOC_SHUTDOWN without a flush of the log): what no sync brought to the
disk is gone, as when the plug is pulled.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

_FS_IOC_SHUTDOWN = 0x8004587D
_WITHOUT_LOG_FLUSH = struct.pack("I", 2)
_SECTOR_BYTES = 512
_SECTORS_WRITTEN = 6
"""Field of a block device's `stat` file (kernel, Documentation/block/stat.rst), from 0."""


def missing() -> str:
    """Say what this machine lacks to have such a disk; empty if nothing."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("mount", "umount", "losetup", "mkfs.ext4"):
        if shutil.which(program) is None:
            return f"needs the program {program}"
    if not Path("/dev/loop-control").exists():
        return "needs loop devices"
    found = subprocess.run(["losetup", "--find"], capture_output=True, check=False)
    return "" if found.returncode == 0 else "needs a free loop device"


class Disk:
    """One disk, mounted at `root` from the beginning.

    Args:
        folder: Holds the image and the mount point; best on a tmpfs.
        size_mib: How large it is.
        block_bytes: Of the file system: 4096 as on any disk that is not tiny.
    """

    def __init__(self, folder: Path, *, size_mib: int = 64, block_bytes: int = 4096) -> None:
        self.root = folder / "disk"
        self._image = folder / "disk.img"
        self.root.mkdir(parents=True)
        with self._image.open("wb") as image:
            image.truncate(size_mib * 2**20)
        make = ["mkfs.ext4", "-q", "-F", "-m", "0", "-b", str(block_bytes), str(self._image)]
        subprocess.run(make, check=True)
        found = subprocess.run(
            ["losetup", "--find", "--show", self._image], check=True, capture_output=True, text=True
        )
        self._device = Path(found.stdout.strip())
        self.mount()

    def mount(self, *, options: str = "errors=continue") -> None:
        """Mount it; the kernel replays its log."""
        subprocess.run(["mount", "-o", options, self._device, self.root], check=True)

    def unmount(self) -> None:
        """Unmount it; waits for files that a killed process had open."""
        for pause_s in (0.02, 0.1, 0.5, 2.0, 0.0):
            done = subprocess.run(["umount", self.root], capture_output=True, check=False)
            if done.returncode == 0:
                return
            time.sleep(pause_s)
        raise OSError(done.stderr.decode())

    def cut(self) -> None:
        """Cut the power: what is not on the disk is gone, and nothing can be written any more."""
        root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(root, _FS_IOC_SHUTDOWN, _WITHOUT_LOG_FLUSH)
        finally:
            os.close(root)

    def power_on(self) -> None:
        """Come back after a cut."""
        self.unmount()
        self.mount()

    def fill(self, *, leave_bytes: int = 0) -> Path:
        """Fill it with a file, up to a rest; deleting the file makes room again."""
        ballast = self.root / "ballast"
        free = os.statvfs(self.root)
        with ballast.open("wb") as file:
            rest = max(0, free.f_bavail * free.f_frsize - leave_bytes)
            with contextlib.suppress(OSError):  # the last blocks go to the file's own extents
                os.posix_fallocate(file.fileno(), 0, max(1, rest))
            chunk = bytes(4096)
            file.seek(0, os.SEEK_END)
            with contextlib.suppress(OSError):
                while leave_bytes == 0:
                    os.write(file.fileno(), chunk)
        return ballast

    def empty(self) -> None:
        """Delete what `fill` wrote."""
        (self.root / "ballast").unlink(missing_ok=True)

    def make_read_only(self) -> None:
        """Let the kernel make it read-only under the feet of who writes, as after an error."""
        trigger = Path("/sys/fs/ext4", self._device.name, "trigger_fs_error")
        subprocess.run(["mount", "-o", "remount,errors=remount-ro", self.root], check=True)
        trigger.write_text("1", encoding="ascii")

    def written_bytes(self) -> int:
        """Return how many bytes have reached the device since it was attached."""
        os.sync()
        fields = Path("/sys/block", self._device.name, "stat").read_text(encoding="ascii").split()
        return int(fields[_SECTORS_WRITTEN]) * _SECTOR_BYTES

    def destroy(self) -> None:
        """Unmount, detach and delete it."""
        subprocess.run(["umount", "--lazy", self.root], capture_output=True, check=False)
        subprocess.run(["losetup", "--detach", self._device], capture_output=True, check=False)
        self._image.unlink(missing_ok=True)
