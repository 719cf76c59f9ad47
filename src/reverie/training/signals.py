"""Requests to stop: Ctrl-C, or SIGTERM of a machine that goes down."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop and has saved a checkpoint; the message says how to go on."""


class GracefulStop:
    """Turns Ctrl-C and SIGTERM into `requested`, which the loop reads after each step; a second Ctrl-C stops at once.

    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    requested = False

    def __enter__(self) -> GracefulStop:
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._request) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
