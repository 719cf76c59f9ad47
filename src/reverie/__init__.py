"""Reverie: examples in, a generator out, and an honest word on how good it is.

    import reverie
    reverie.train("vae", data="photos/", out="runs/a", steps=2000)
    images = reverie.load("runs/a").generate(n=64, seed=0)

Importing this package does not import torch; the first use of a name below does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from reverie._version import __version__
from reverie.utils.errors import UserError

# Threads of arithmetic that wait for one another shall soon sleep, not spin: beside two other busy processes on two
# cores, a small VAE makes 9 steps/s so, and 2 with the OpenMP library's own patience; alone it is a tenth slower at
# the most. Read when torch is loaded; numbers do not depend on it.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

__all__ = [
    "UserError",
    "__version__",
    "atlas",
    "augment",
    "compare",
    "dream",
    "evaluate",
    "import_checkpoint",
    "list_methods",
    "load",
    "open_data",
    "plan",
    "resume",
    "train",
    "visualize",
]

if TYPE_CHECKING:
    from reverie.api import load, plan, resume, train
    from reverie.augmentation.augment import augment
    from reverie.convert.import_checkpoint import import_checkpoint
    from reverie.core.registry import list_methods
    from reverie.data.kinds import open_data
    from reverie.dreaming.atlas import atlas
    from reverie.dreaming.dream import dream
    from reverie.dreaming.visualize import visualize
    from reverie.evaluation.compare import compare
    from reverie.evaluation.evaluate import evaluate

_HOMES = {
    "train": "api",
    "resume": "api",
    "load": "api",
    "plan": "api",
    "list_methods": "core.registry",
    "open_data": "data.kinds",
    "evaluate": "evaluation.evaluate",
    "compare": "evaluation.compare",
    "augment": "augmentation.augment",
    "dream": "dreaming.dream",
    "visualize": "dreaming.visualize",
    "atlas": "dreaming.atlas",
    "import_checkpoint": "convert.import_checkpoint",
}
"""where each public name lives; read at its first use"""


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'reverie' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
