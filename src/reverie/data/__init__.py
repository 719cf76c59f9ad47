"""What is learnt from, by path or name: images, pairs of them, two sides. Importing this loads no torch, no Pillow."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverie.data.images import Images

__all__ = ["Images", "open_data"]


def open_data(spec: str | Path, split: str = "train") -> Any:
    """Open data of whatever kind is at a path or of a name: a folder, a zip, idx or CIFAR files, two folders with a
    comma between them, a built-in set such as `letters:5000`, a public one such as `mnist`. Reads headers only; call
    `prepare` to decode. Raises UserError."""
    from reverie.data.kinds import kind_of

    return kind_of(spec).data.open(spec, split)


def __getattr__(name: str) -> Any:
    if name == "Images":
        from reverie.data.images import Images

        return Images
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
