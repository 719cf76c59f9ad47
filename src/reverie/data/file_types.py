"""What a file of a data set is by its name, and the two reasons for not using one."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm")
)


MAX_BYTES = 512 * 1024 * 1024


class InvalidFile(Exception):
    """One image cannot be used. The text is the reason: a few words that group, then perhaps a colon and detail."""


class UnreadableFile(InvalidFile):
    """One image cannot be read now, for a reason that lies outside its bytes: it may be readable again."""


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings and log lines off stderr. Entered once around a pool of threads, not inside them:
    the filters of `warnings` are shared by all threads."""
    handler, log = logging.NullHandler(), logging.getLogger("PIL")
    log.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.removeHandler(handler)
