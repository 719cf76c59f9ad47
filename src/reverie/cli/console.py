"""The terminal: encodings, pipes, what libraries would print, and which of many processes prints messages."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

ESCAPED = {
    code: chr(code).encode("unicode_escape").decode()
    for code in (*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    if chr(code) not in "\n\t"
}
"""control characters, and those that change the direction of text -> how they are spelt out"""


class SafeStream:
    """A text stream that spells out control characters, so that no name in a file can steer the terminal.

    A carriage return at either end stays: it is how progress is shown.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes the text."""
        body = text.strip("\r")
        start = text.find(body) if body else len(text)
        self._stream.write(text[:start] + body.translate(ESCAPED) + text[start + len(body) :])
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def quiet_terminal() -> Iterator[None]:
    """Inside, control characters are spelt out, and warnings and logs of libraries do not appear.

    Filters that Python was given (-W, PYTHONWARNINGS) go before; with them, messages of code in C appear too.
    """
    before, handler, log = (sys.stdout, sys.stderr), logging.NullHandler(), logging.getLogger()
    log.addHandler(handler)
    try:
        with _quiet_c_code(), warnings.catch_warnings():
            sys.stdout, sys.stderr = (SafeStream(stream) for stream in (sys.stdout, sys.stderr))
            warnings.simplefilter("ignore", append=True)
            yield
    finally:
        sys.stdout, sys.stderr = before
        log.removeHandler(handler)


@contextlib.contextmanager
def _quiet_c_code() -> Iterator[None]:
    """Inside, what code in C writes to file descriptor 2, as libtiff and OpenCV do, is lost; sys.stderr is not."""
    try:
        terminal = None if sys.warnoptions else os.dup(2)
    except OSError:  # there is no standard error
        terminal = None
    if terminal is None:
        yield
        return
    before = sys.stderr
    with os.fdopen(terminal, "w", 1, encoding=before.encoding, errors=before.errors) as fresh:
        before.flush()
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        try:
            if _is_descriptor_2(before):
                sys.stderr = fresh
            yield
        finally:
            sys.stderr = before
            fresh.flush()
            os.dup2(terminal, 2)


def _is_descriptor_2(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, AttributeError, ValueError):  # of a notebook, of a test
        return False


def is_main_process(grace: float = 0) -> bool:
    """Whether this is rank 0 of the processes of a distributed run, the one that prints messages.

    The other ranks sleep for `grace` seconds first: torchrun ends all processes as soon as one has ended, and rank 0
    shall have printed by then.
    """
    is_main = os.environ.get("RANK", "0") == "0"
    if not is_main:
        time.sleep(grace)
    return is_main


def use_utf8() -> None:
    """Makes text of any language printable: files and pipes get UTF-8, a terminal keeps its own encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def discard_output() -> None:
    """Sends unwritten output to the null device, so that the interpreter does not fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
