"""The terminal: encodings, pipes, and which of many processes speaks."""

from __future__ import annotations

import io
import os
import sys
import time


def _first(patience: float) -> bool:
    """Whether this is the first of many processes, which says what is wrong; the others wait, since all are stopped as
    soon as one has ended."""
    first = os.environ.get("RANK", "0") == "0"
    time.sleep(0 if first else patience)
    return first


def _speak_unicode() -> None:
    """Names and lines of any language can be printed: a file or a pipe gets UTF-8, a terminal what it can show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def _drop_output() -> None:
    """What is still unwritten goes nowhere, so that the interpreter does not try again as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
