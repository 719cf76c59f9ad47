"""What all tests share: a cache of their own, and few threads, since two workers share two cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Nothing is read from or left in the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("REVERIE_CACHE")
    os.environ["REVERIE_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["REVERIE_CACHE"]
    else:
        os.environ["REVERIE_CACHE"] = before
