"""Reverie: examples in, a generator out, and an honest word on how good it is.

    import reverie
    reverie.train("vae", data="photos/", out="runs/a", steps=2000)
    images = reverie.load("runs/a").generate(n=64, seed=0)

Importing this package does not import torch; the first use of a name below does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .errors import UserError

# Threads of arithmetic that wait for one another shall soon sleep, not spin: beside two other busy processes on two
# cores, a small VAE makes 9 steps/s so, and 2 with the OpenMP library's own patience; alone it is a tenth slower at
# the most. Read when torch is loaded; numbers do not depend on it.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

__version__ = "0.1.0"
__all__ = [
    "UserError",
    "__version__",
    "adopt",
    "augment",
    "compare",
    "evaluate",
    "load",
    "methods",
    "open_data",
    "resume",
    "train",
]

if TYPE_CHECKING:
    from . import methods
    from .data import open_data
    from .evaluation.augment import augment
    from .evaluation.compare import compare
    from .evaluation.evaluate import evaluate
    from .peers import adopt
    from .work import load, resume, train

_HOMES = {
    "train": "work", "resume": "work", "load": "work", "open_data": "data", "evaluate": "evaluation.evaluate",
    "compare": "evaluation.compare", "augment": "evaluation.augment", "adopt": "peers",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    import importlib

    if name == "methods":  # a package that answers to being called
        return importlib.import_module(".methods", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module 'reverie' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
