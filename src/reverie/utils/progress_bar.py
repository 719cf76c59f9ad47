"""The progress bar of everything but training."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def bar(items: Iterable[Any] | None, total: int | None, what: str, unit: str = "images") -> Any:
    """A progress bar of tqdm on stderr: on a terminal only, after a second, and gone when it is done.

    items: what is iterated through it; None: it is moved by `update`
    total: the number of items; None: the length of items
    """
    return tqdm(items, total=total, desc=what, unit=f" {unit}", delay=1, disable=None, leave=False, file=sys.stderr)
