"""The terminal: encodings, pipes, and which of many processes prints messages."""

from __future__ import annotations

import io
import os
import sys
import time


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
