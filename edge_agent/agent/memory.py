"""Keeping the agent small and prompt: how Python, the C library and OpenCV share what there is."""

from __future__ import annotations

import ctypes
import logging
import sys

log = logging.getLogger(__name__)

# malloc.h of glibc
_M_TRIM_THRESHOLD, _M_ARENA_MAX = -1, -8


def settle_memory() -> None:
    """Let all threads share one heap, and give freed memory back; call before threads start.

    glibc gives each thread a heap of its own, which never shrinks: an agent of eight threads held
    40 MiB of nothing. Its threads take turns under Python's lock anyway.
    Does nothing where the C library has no `mallopt`.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        log.debug("the C library has no mallopt")
        return
    library.mallopt(_M_ARENA_MAX, 1)
    library.mallopt(_M_TRIM_THRESHOLD, 128 * 1024)


def settle_opencv() -> None:
    """Keep OpenCV on the thread that calls it: frames are small, and cores are for inference."""
    import cv2  # noqa: PLC0415 - heavy

    cv2.setNumThreads(1)


def settle_threads() -> None:
    """Let a thread that wants the interpreter have it after half a millisecond, in place of five.

    The judging thread must not wait for the thread that prepares the next frame.
    """
    sys.setswitchinterval(0.0005)
