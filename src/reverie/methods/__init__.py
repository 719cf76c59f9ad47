"""One file a paper. The folder is the registry: a file here is a method, and `reverie.methods()` lists them."""

import sys
from types import ModuleType

from ..registry import Entry, methods


class _Methods(ModuleType):
    # `reverie.methods` is this package as soon as any of its files is imported, so the package itself answers the
    # call that lists them.
    def __call__(self) -> dict[str, Entry]:
        return methods()


sys.modules[__name__].__class__ = _Methods
