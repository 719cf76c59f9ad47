"""File suffixes and size limits of data sets, and the exceptions for a file that is not used."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm")
)
"""of image files, in lower case"""
MAX_BYTES = 512 * 1024 * 1024
"""size of the largest file that is read"""


class InvalidFile(Exception):
    """A file cannot be used. The message is the reason: words that many files share, perhaps a colon and detail."""


class UnreadableFile(InvalidFile):
    """A file cannot be read now, for a reason outside its bytes (permission, memory, a lost disk); a retry may work."""


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings and log lines off stderr.

    Enter it once around a pool of threads, not inside them: the filters of `warnings` are shared by all threads.
    """
    handler, log = logging.NullHandler(), logging.getLogger("PIL")
    log.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.removeHandler(handler)
