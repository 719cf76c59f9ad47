"""EvalConfig to stop: by Ctrl-C, or by a machine that goes down."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop and has saved; the message says how to go on."""


class GracefulStop:
    """Ctrl-C and SIGTERM ask for a stop after the step under way; a second Ctrl-C stops at once."""

    asked = False

    def __enter__(self) -> GracefulStop:
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
